"""`mclass tag`, `embed` and `search`, run in this process."""

import csv
import io
import json
import os
import re
import sys

import numpy as np
import pytest
import soundfile
import torch

from mclass import audio, cli, inference, models, pretrained, search

TAGS = ["low, deep", 'so-called "high"', "<noise>"]
NAMES = ("a.wav", "sub/b.flac", "sub/deep, or not/c.mp3")


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Three recordings of 7 s, tones of different pitch, in nested folders."""
    root = tmp_path_factory.mktemp("music")
    for i, name in enumerate(NAMES):
        (root / name).parent.mkdir(exist_ok=True)
        time = np.arange(7 * 16_000) / 16_000
        noise = np.random.default_rng(i).standard_normal(time.size)
        audio.save(
            root / name, torch.from_numpy(0.2 * np.sin(2 * np.pi * 300 * 3**i * time) + 0.02 * noise), 16_000
        )
    (root / "notes.txt").write_text("not audio")
    (root / ".hidden.wav").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model of random weights in the folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    models.save(models.create("cnn_1d", num_tags=3, channels=8), folder / "model.pt", tags=TAGS)
    return folder


@pytest.fixture
def run(saved, capsys):
    """Run a command with the model; returns exit code, lines of output, lines of errors."""

    def run(*arguments, model=saved):
        code = cli.main([*map(str, arguments), *(["--model", str(model)] if model else [])])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def expected(path, saved, **options):
    return inference.tag(path, models.load(saved / "model.pt"), **options)


def test_folders_are_tagged_recursively(run, music, saved):
    code, lines, errors = run("tag", music, "--json")
    assert (code, errors) == (0, [])
    found = [json.loads(line) for line in lines]
    assert [one["file"] for one in found] == [str(music / name) for name in NAMES]
    for one, name in zip(found, NAMES, strict=True):
        result = expected(music / name, saved)
        np.testing.assert_allclose([one["scores"][tag] for tag in TAGS], result.scores, atol=1e-4)
        assert one["top"] == [tag for tag, _ in result.top(3)]
        assert (one["chunks"], one["padded"]) == (2, False)
        assert one["seconds"] == pytest.approx(result.duration, abs=1e-3)


def test_hop_and_aggregate(run, music, saved):
    _, lines, _ = run("tag", music / "a.wav", "--json", "--hop", "0.5", "--aggregate", "max")
    result = expected(music / "a.wav", saved, hop=8000)
    assert json.loads(lines[0])["chunks"] == len(result.taggram) == 9
    np.testing.assert_allclose([*json.loads(lines[0])["scores"].values()], result.taggram.max(0), atol=1e-4)


def test_csv_can_be_read_back(run, music, saved):
    code, lines, _ = run("tag", music, "--csv")
    header, *rows = csv.reader(io.StringIO("\n".join(lines)))
    assert (code, header) == (0, ["file", *TAGS])
    assert [row[0] for row in rows] == [str(music / name) for name in NAMES]
    for row in rows:
        np.testing.assert_allclose([float(value) for value in row[1:]], expected(row[0], saved).scores, atol=1e-4)


def test_pictures_and_pages(run, music, tmp_path):
    assert run("tag", music / "a.wav", "--plot", tmp_path / "new/a.png", "--html", tmp_path / "a.html")[0] == 0
    assert (tmp_path / "new/a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("<audio") == 1
    assert run("tag", music, "--plot", tmp_path / "all", "--html", tmp_path / "all.html")[0] == 0
    assert len([path for path in (tmp_path / "all").iterdir() if path.suffix == ".png"]) == 3
    assert (tmp_path / "all.html").read_text(encoding="utf-8").count("<audio") == 3


def test_output_that_cannot_be_written_is_refused_before_the_work(run, music, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "tag", lambda *_, **__: pytest.fail("work has begun"))
    (tmp_path / "file").touch()
    for option, value, message in (
        ("--html", tmp_path / "file" / "a.html", "--html .* cannot be written"),
        ("--html", tmp_path, "is a folder"),
        ("--plot", tmp_path / "file" / "a.png", "--plot .* cannot be written"),
        ("--plot", tmp_path / "a.doc", "png, .svg or .pdf"),
    ):
        code, lines, errors = run("tag", music / "a.wav", option, value)
        assert (code, lines, len(errors)) == (2, [], 1)
        assert re.search(message, errors[0])
    assert "folder" in run("tag", music, "--plot", tmp_path / "a.png")[2][0]
    monkeypatch.setattr(inference, "embed", lambda *_, **__: pytest.fail("work has begun"))
    assert "cannot be written" in run("embed", music, "--out", tmp_path / "file" / "a.npz")[2][0]
    assert ".npz" in run("embed", music, "--out", tmp_path / "a.txt")[2][0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_bad_input_is_named_in_one_line(run, music, tmp_path, monkeypatch):
    for model, words in (
        ("mtat/musicn", "did you mean 'mtat/musicnn'"),
        ("short_chunk_cn", "did you mean 'short_chunk_cnn'"),
        ("fcn", "architecture without weights, which has learned nothing; published weights of it: jamendo/fcn"),
        ("cnn_1d", "train it: mclass train"),
        (tmp_path / "no.pt", "no such file"),
    ):
        code, lines, errors = run("tag", music / "a.wav", model=model)
        assert (code, lines, len(errors)) == (2, [], 1)
        assert words in errors[0]
    assert "no audio files" in run("tag", tmp_path)[2][0]
    assert "not there" in run("tag", music / "a.wav", "--device", "gpu7")[2][0]


def test_which_weights_were_taken_is_said(run, music, monkeypatch):
    loaded = []
    monkeypatch.setattr(pretrained, "default", lambda: "mtat/musicnn")
    monkeypatch.setattr(pretrained, "load", lambda name: loaded.append(name) or models.create("cnn_1d"))
    errors = run("tag", music / "a.wav", model=None)[2]
    assert errors[0].startswith("model: mtat/musicnn (trained on MagnaTagATune; license: MIT, (c) 2020 ")
    assert "has no tags" in errors[1]
    assert loaded == ["mtat/musicnn"]


@pytest.mark.filterwarnings("default::UserWarning")
def test_short_and_cut_files(run, music, tmp_path):
    soundfile.write(tmp_path / "short.wav", 0.1 * np.ones(16_000), 16_000)
    (tmp_path / "cut.flac").write_bytes((music / "sub/b.flac").read_bytes()[:9000])
    code, lines, errors = run("tag", tmp_path, "--json")
    assert (code, [json.loads(line)["padded"] for line in lines]) == (0, [True])
    assert "warning: " in errors[0]
    assert "short.wav: 1.00 s are shorter than the 3.00 s" in errors[0]
    assert "cut.flac: is truncated" in errors[1]
    assert errors[2:] == ["mclass: 1 of 2 files could not be tagged"]


def test_what_was_done_before_an_interrupt_is_kept(run, music, tmp_path, monkeypatch):
    real, done = inference.tag, []

    def tag(file, *arguments, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(file)
        return real(file, *arguments, **options)

    monkeypatch.setattr(inference, "tag", tag)
    code, lines, errors = run("tag", tmp_path / "absent.wav", music, "--json", "--html", tmp_path / "page.html")
    assert code == 130
    assert [json.loads(line)["file"] for line in lines] == done[1:] == [str(music / NAMES[0])]
    assert "absent.wav" in errors[0]  # what failed is said all the same
    assert "interrupted" in errors[-1]
    assert "a.wav" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_names_of_files_need_not_be_unicode(run, music, tmp_path):
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n<i>.wav")
    os.link(music / "a.wav", odd)
    code, lines, _ = run("tag", tmp_path, "--json", "--html", tmp_path / "page.html")
    assert (code, json.loads(lines[0])["file"]) == (0, os.fsdecode(odd))
    assert "<i>" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_embed_and_search(run, music, saved, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"")
    code, lines, errors = run("embed", music, tmp_path / "bad.wav", "--out", tmp_path / "index.npz")
    assert (code, lines) == (0, [])
    assert "bad.wav: the file is empty" in errors[0]
    assert errors[1] == "mclass: 1 of 4 files could not be embedded"
    index = search.Index.load(tmp_path / "index.npz")
    assert index.files == [str(music / name) for name in NAMES]
    model = models.load(saved / "model.pt")
    for file, embedding in zip(index.files, index.embeddings, strict=True):
        np.testing.assert_allclose(embedding, inference.embed(file, model), atol=1e-6)

    sound = audio.read(music / "a.wav", 16_000)
    audio.save(tmp_path / "query.flac", 0.9 * sound[:100_000], 16_000)
    code, lines, _ = run("search", tmp_path / "query.flac", "--index", tmp_path / "index.npz", model=None)
    assert (code, lines[0], len(lines)) == (0, str(tmp_path / "query.flac"), 4)
    assert lines[1].endswith(f"  {music / 'a.wav'}")
    assert float(lines[1].split()[0]) > 0.99
    # A query that is in the index is not its own neighbour; several queries, as JSON.
    code, lines, _ = run("search", music, "--index", tmp_path / "index.npz", "--json", "--top", "2", model=None)
    for line, name in zip(map(json.loads, lines), NAMES, strict=True):
        assert line["query"] == str(music / name)
        assert {one["file"] for one in line["nearest"]} == set(index.files) - {line["query"]}

    torch.manual_seed(1)
    models.save(models.create("cnn_1d", num_tags=3, channels=8), tmp_path / "other.pt", tags=TAGS)
    code, _, errors = run("search", music, "--index", tmp_path / "index.npz", model=tmp_path / "other.pt")
    assert code == 2
    assert "another model" in errors[0]
    code, _, errors = run("search", music, "--index", tmp_path / "no.npz", model=None)
    assert (code, "mclass embed" in errors[0]) == (2, True)


def test_an_index_grows_and_an_interrupt_leaves_what_was_done(run, music, tmp_path, monkeypatch):
    out, real, done = tmp_path / "index.npz", inference.embed, []

    def embed(file, *arguments, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(file)
        return real(file, *arguments, **options)

    monkeypatch.setattr(inference, "embed", embed)
    code, _, errors = run("embed", music, "--out", out)
    assert (code, "--add to go on from these 2" in errors[-1]) == (130, True)
    assert search.Index.load(out).files == done == [str(music / name) for name in NAMES[:2]]

    # A new beginning that is interrupted, too, keeps the index that was there.
    done[:] = ["", ""]
    code, _, errors = run("embed", music, "--out", out)
    assert (code, "nothing was written" in errors[-1]) == (130, True)
    assert len(search.Index.load(out).files) == 2

    done.clear()
    assert run("embed", os.path.relpath(music), "--out", out, "--add")[0] == 0
    assert done == [os.path.relpath(music / NAMES[2])]  # known by its place, however it is written
    both, alone = search.Index.load(out), tmp_path / "alone.npz"
    monkeypatch.setattr(inference, "embed", real)
    assert run("embed", music, "--out", alone)[0] == 0
    np.testing.assert_array_equal(both.embeddings, search.Index.load(alone).embeddings)

    code, _, errors = run("embed", music, "--out", out, "--add")
    assert (code, "holds all of these files already" in errors[0]) == (0, True)
    torch.manual_seed(1)
    models.save(models.create("cnn_1d", num_tags=3, channels=8), tmp_path / "other.pt", tags=TAGS)
    code, _, errors = run("embed", music, "--out", out, "--add", model=tmp_path / "other.pt")
    assert (code, "another model" in errors[0]) == (2, True)
    assert len(search.Index.load(out).files) == 3
