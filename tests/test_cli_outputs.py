"""What commands write: one at a time, through links; names of every kind, none of which acts on a terminal."""

import csv
import errno
import io
import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mclass import cli, datasets, inference, models, search, training
from mclass._utils.files import writing
from mclass.errors import BusyError, DatasetError

ROOT = Path(__file__).parents[1]
TAGS = ["low", "\x1b]0;owned\x07", "$\\frac$ \u202egnp"]
EVIL = "a\x1b[31m\n\u202e3pm.wav"  # red, a second line, and a suffix that is shown as another
NOT_UTF8 = os.fsdecode(b"caf\xe9\x9b.wav")

linux = pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes there")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "model.pt"
    models.save(models.create("cnn_1d", num_tags=3, channels=8), path, tags=TAGS)
    return path


@pytest.fixture
def music(tmp_path):
    """Three recordings whose names are plain, evil, and no text at all."""
    (tmp_path / "music").mkdir()
    for i, name in enumerate(("plain.wav", EVIL, NOT_UTF8)):
        noise = 0.2 * np.random.default_rng(i).standard_normal(50_000)
        soundfile.write(io.BytesIO() if name is None else os.fsencode(tmp_path / "music" / name), noise, 16_000)
    return tmp_path / "music"


@pytest.fixture
def run(model, capsys):
    def run(*arguments, model=model):
        code = cli.main([*map(str, arguments), *(["--model", str(model)] if model else [])])
        return code, *capsys.readouterr()

    return run


def acting(text):
    """Characters in printed text that a terminal obeys; line breaks are the command's own."""
    return set(
        re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u202a-\u202e\u2028\u2066-\u2069\ud800-\udfff]", text)
    )


class Elsewhere:
    """Another writer: a thread, whose lock this one does not share."""

    def __init__(self, *paths):
        self.paths, self.go, self.ready = paths, threading.Event(), threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.hold)
        self.thread.start()
        assert self.ready.wait(60)

    def hold(self):
        with writing(*self.paths):
            self.ready.set()
            self.go.wait(60)

    def __exit__(self, *_):
        self.go.set()
        self.thread.join()


# Two at once


def test_one_index_has_one_writer(run, music, tmp_path):
    out = tmp_path / "index.npz"
    assert run("embed", music / "plain.wav", "--out", out)[0] == 0
    for more in ((), ("--add",)):
        with Elsewhere(out):
            code, _, errors = run("embed", music, "--out", out, *more)
        assert (code, errors.count("\n")) == (2, 1)
        assert f"{out} is being written by process {os.getpid()} of this machine since" in errors
    assert run("embed", music, "--out", out, "--add")[0] == 0
    assert len(search.Index.load(out).files) == 3
    assert sorted(os.listdir(tmp_path)) == ["index.npz", "music"]


class Gone(io.TextIOBase):
    """Standard error of a terminal that was closed."""

    def write(self, text):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_closed_terminal_loses_nothing(model, music, tmp_path, monkeypatch):
    real, done = inference.embed, []

    def embed(file, *arguments, **options):
        done.append(file)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(file, *arguments, **options)

    monkeypatch.setattr(inference, "embed", embed)
    monkeypatch.setattr(sys, "stderr", Gone())
    (music / "0.wav").write_bytes(b"")  # is listed as bad
    assert cli.main([*map(str, ("embed", music, "--out", tmp_path / "a.npz", "--model", model))]) == 130
    assert search.Index.load(tmp_path / "a.npz").files == done[1:2]


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--out", "evaluate --dataset folder --root {music} --out {out}.csv"),
        ("--html", "tag {music} --html {out}.html"),
        ("--plot", "tag {music} --plot {out}"),
        ("--csv", "data check --root {music} --csv {out}.csv"),
        ("--out", "grade {music} --homework {root}/homework/hw1.ipynb --out {out}.csv"),
        ("--out", "grade {music} --homework {root}/homework/hw1.ipynb --out {out}.csv --resume"),
    ],
)
def test_one_file_has_one_writer(run, music, tmp_path, option, arguments, model):
    (music / "hw1_ada.ipynb").write_text("{}")
    words = [word.format(music=music, out=tmp_path / "result", root=ROOT) for word in arguments.split()]
    with Elsewhere(Path(words[words.index(option) + 1])):
        code, out, errors = run(*words, model=model if words[0] in ("evaluate", "tag") else None)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert re.search(
        rf"is being written by process \d+ .*; wait until it has finished, or choose another {option}\n", errors
    )
    assert not (tmp_path / "result.csv").exists()


@pytest.mark.filterwarnings("ignore::mclass.metrics.UndefinedTagsWarning")
def test_one_folder_has_one_writer(tmp_path):
    etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    for make in (datasets.prepare, datasets.shard):
        with (
            Elsewhere(tmp_path / "out"),
            pytest.raises(DatasetError, match="is being written by process"),
        ):
            make(etude, tmp_path / "out", progress=False)
    (tmp_path / "data").mkdir()
    with (
        Elsewhere(tmp_path / "data", tmp_path / "data" / ".download.lock"),
        pytest.raises(BusyError, match="choose another --root"),
    ):
        datasets.download("fma", tmp_path / "data", accept_licence=True)
    (tmp_path / "run").mkdir()
    task = training.Tagging(models.create("cnn_1d", num_tags=len(etude.tags)))
    with (
        Elsewhere(tmp_path / "run", tmp_path / "run" / ".lock"),
        pytest.raises(BusyError, match="choose another folder"),
    ):
        training.fit(task, *etude.splits()[:2], epochs=1, folder=tmp_path / "run", progress=False)
    assert [*(tmp_path / "data").iterdir(), *(tmp_path / "run").iterdir()] == []
    assert sorted(os.listdir(tmp_path)) == ["data", "run"]


def test_models_saved_at_once_are_whole(tmp_path):
    saved = [models.create("cnn_1d", num_tags=1, channels=8) for _ in range(3)]

    def save(model):
        for _ in range(5):
            models.save(model, tmp_path / "model.pt", tags=["a"])

    threads = [threading.Thread(target=save, args=(model,)) for model in saved]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fingerprints = [search.fingerprint(model) for model in saved]
    assert search.fingerprint(models.load(tmp_path / "model.pt")) in fingerprints
    assert os.listdir(tmp_path) == ["model.pt"]


# Where to


@pytest.mark.skipif(os.name != "posix", reason="POSIX's links")
def test_out_through_links_and_to_what_is_no_file(run, tmp_path, monkeypatch):
    etude = ("--dataset", "etude", *(f"--option={one}" for one in ("num_tracks=12", "clip_seconds=4")))
    torch.manual_seed(0)
    tags = datasets.load("etude", num_tracks=12, clip_seconds=4).tags
    models.save(models.create("cnn_1d", num_tags=len(tags), channels=8), tmp_path / "model.pt", tags=tags)
    target, link = tmp_path / "far" / "a.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    target.touch()
    target.chmod(0o604)
    link.symlink_to(target)

    def evaluate(out):
        return run("evaluate", *etude, "--part", "all", "--out", out, model=tmp_path / "model.pt")

    assert evaluate(link)[0] == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o604
    table = target.read_text()
    assert table.startswith("tag,")
    os.mkfifo(tmp_path / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert evaluate(tmp_path / "pipe")[0] == 0
    reader.join()
    assert heard == [table]
    (tmp_path / "gone.csv").symlink_to(tmp_path / "unplugged" / "a.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for out, reason in (
        ("gone.csv", "unplugged is not there"),
        ("loop.csv", "in a circle"),
        ("far", "is a folder; give the name of a file"),
    ):
        code, printed, errors = evaluate(tmp_path / out)
        assert (code, printed, errors.count("\n")) == (2, "", 1)
        assert reason in errors
    assert sorted(os.listdir(tmp_path)) == ["far", "gone.csv", "link.csv", "loop.csv", "model.pt", "pipe"]


# Names


@linux
def test_one_file_however_often_and_however_it_is_named(run, music, tmp_path, monkeypatch):
    monkeypatch.chdir(music)
    (tmp_path / "link").symlink_to("music")
    spellings = [
        "plain.wav",
        "./plain.wav",
        music / "plain.wav",
        "../link/plain.wav",
        "../music/../music/plain.wav",
    ]
    out = run("tag", *spellings, "--csv")[1]
    assert [row[0] for row in csv.reader(io.StringIO(out))][1:] == ["plain.wav"]
    index = tmp_path / "index.npz"
    assert run("embed", *spellings, "--out", index)[0] == 0
    assert search.Index.load(index).files == ["plain.wav"]
    assert "holds all of these files already" in run("embed", *spellings[::-1], "--out", index, "--add")[2]
    assert run("embed", "../link", "--out", index, "--add")[0] == 0
    assert len(search.Index.load(index).files) == 3
    lines = run("search", music / "plain.wav", "--index", index, model=None)[1].splitlines()
    assert len(lines) == 3  # itself, and not among its neighbours
    monkeypatch.chdir(tmp_path)  # from where plain.wav is another file, or none
    assert "holds all of these files already" in run("embed", "music", "--out", index, "--add")[2]
    assert len(run("search", music / "plain.wav", "--index", index, model=None)[1].splitlines()) == 3
    shutil.copy(music / EVIL, tmp_path / "plain.wav")
    assert run("embed", "plain.wav", "--out", index, "--add")[0] == 0
    assert search.Index.load(index).files[-1] == str(tmp_path / "plain.wav")


@linux
def test_names_are_shown_safely_and_written_exactly(run, music, tmp_path):
    names = {os.path.join(music, name) for name in ("plain.wav", EVIL, NOT_UTF8)}
    code, out, errors = run("tag", music, "--plot", tmp_path / "pictures", "--html", tmp_path / "page.html")
    assert (code, errors, acting(out)) == (0, "", set())
    assert r"a\x1b[31m\n\u202e3pm.wav" in out
    assert r"caf\udce9\udc9b.wav" in out
    assert len(list((tmp_path / "pictures").iterdir())) == 3
    assert not acting((tmp_path / "page.html").read_text(encoding="utf-8"))

    _, out, _ = run("tag", music, "--json")
    assert not acting(out)
    assert {json.loads(line)["file"] for line in out.splitlines()} == names
    assert all(set(json.loads(line)["scores"]) == set(TAGS) for line in out.splitlines())

    index = tmp_path / "index.npz"
    assert run("embed", music, "--out", index)[0] == 0
    assert set(search.Index.load(index).files) == names
    assert "holds all" in run("embed", music, "--out", index, "--add")[2]
    code, out, errors = run("search", music, "--index", index, model=None)
    assert (code, errors, acting(out)) == (0, "", set())
    _, out, _ = run("search", music, "--index", index, "--json", model=None)
    assert {json.loads(line)["query"] for line in out.splitlines()} == names

    for name in (EVIL, NOT_UTF8):
        (music / name).write_bytes(b"")
    shutil.copy(music / "plain.wav", music / "so plain.wav")
    code, out, errors = run("tag", music)
    assert (code, errors.count("the file is empty"), acting(errors), errors.count("\n")) == (0, 2, set(), 3)
    check = ("data", "check", "--root", music, "--pattern", "(?P<label>.)", "--csv", tmp_path / "faults.csv")
    code, out, errors = run(*check, model=None)
    assert (code, errors, acting(out)) == (1, "", set())
    clips = set(pd.read_csv(tmp_path / "faults.csv")["clip"].dropna())
    assert {EVIL, r"caf\udce9\udc9b.wav"} <= clips  # UTF-8 for every reader; the bytes as Python escapes them


@linux
def test_csv_of_names_is_exact(run, music):
    _, out, _ = run("tag", music / "plain.wav", music / EVIL, "--csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert [row[0] for row in rows] == ["file", str(music / "plain.wav"), str(music / EVIL)]
    assert rows[0][1:] == TAGS


@linux
def test_pictures_of_many_files_all_have_names(run, music, tmp_path):
    for name in ("a/b.wav", "a-b.wav", f"{'ä' * 100}/{'ö' * 100}.wav"):
        (tmp_path / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(music / "plain.wav", tmp_path / "more" / name)
    assert run("tag", tmp_path / "more", "--plot", tmp_path / "pictures")[0] == 0
    assert len(list((tmp_path / "pictures").iterdir())) == 3


@linux
@pytest.mark.filterwarnings("default::UserWarning")
def test_labels_and_names_that_are_not_utf8_through_training(music, tmp_path, capsys):
    root = tmp_path / "classes"
    for i, label in enumerate(("plain", os.fsdecode(b"caf\xe9"))):
        os.makedirs(os.fsencode(root / label))
        for take in range(3):
            noise = 0.2 * np.random.default_rng(6 * i + take).standard_normal(50_000)
            soundfile.write(os.fsencode(root / label / f"{take}-{NOT_UTF8}"), noise, 16_000)
    out = tmp_path / "run"
    options = ["--model", "cnn_1d", "--epochs", "1", "--batch-size", "4"]
    assert cli.main(["train", "--root", str(root), *options, "--out", str(out)]) == 0
    assert not acting(capsys.readouterr().out)
    scores = pd.read_csv(out / "test_scores.csv")
    assert list(scores.columns[2:]) == [r"caf\udce9", "plain"]
    assert scores["clip"].str.endswith(r"caf\udce9\udc9b.wav").all()
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["tags"] == ["caf\udce9", "plain"]
    assert cli.main(["evaluate", "--model", str(out), "--out", str(tmp_path / "tags.csv")]) == 0
    assert set(pd.read_csv(tmp_path / "tags.csv")["tag"]) == {r"caf\udce9", "plain"}
    for command in ("prepare", "shard"):
        assert cli.main(["data", command, "--root", str(root), "--out", str(tmp_path / command)]) == 0
    ready = datasets.load("prepared", root=tmp_path / "prepare")
    assert sorted(ready.tags) == ["caf\udce9", "plain"]


def test_options_do_not_act_on_the_terminal(run, capsys):
    for words in (["tag", "a.wav", "--x\x1b[31m"], ["\x1b[31m"], ["tag", "a.wav", "--top=\x1b[31m"]):
        with pytest.raises(SystemExit):
            run(*words, model=None)
        error = capsys.readouterr().err
        assert r"\x1b[31m" in error
        assert not acting(error)
