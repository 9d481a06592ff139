"""A file or folder of ours for another command, a folder that is no run, half of torchrun's variables."""

import os
import shutil

import numpy as np
import pytest
import soundfile
import torch

from mclass import cli, datasets, models
from mclass.cli.kinds import KINDS, kind_of
from mclass.search import Index


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One of each kind."""
    root = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    for label in ("low", "high"):
        (root / "music" / label).mkdir(parents=True)
        for number in range(3):
            soundfile.write(root / "music" / label / f"{number}.wav", rng.uniform(-0.3, 0.3, 50_000), 16_000)
    (root / "run").mkdir()
    torch.manual_seed(0)
    models.save(models.create("cnn_1d", num_tags=2, channels=2), root / "run" / "model.pt", tags=["a", "b"])
    shutil.copy(root / "run" / "model.pt", root / "model.pt")
    torch.save({"format": "mclass run"}, root / "last.ckpt")
    Index(["a.wav"], np.ones((1, 2)), "mtat/musicnn", "0").save(root / "index.npz")
    folder = datasets.load("folder", root=root / "music")
    datasets.prepare(folder, root / "prepared", progress=False)
    datasets.shard(folder, root / "shards", progress=False)
    (root / "table.csv").write_text("path,tags\nlow/0.wav,a\n")
    (root / "recipe.yaml").write_text("data: {name: etude}\n")
    (root / "notebook.ipynb").write_text("{}")
    np.savez(root / "labels.npz", ids=["0"], tags=["a"], labels=[[1]])
    np.savez(root / "predictions.npz", ids=["0"], tags=["a"], scores=[[0.5]])
    return {
        "run": root / "run",
        "model": root / "model.pt",
        "state": root / "last.ckpt",
        "index": root / "index.npz",
        "prepared": root / "prepared",
        "shards": root / "shards",
        "shard": next((root / "shards").glob("*.tar")),
        "table": root / "table.csv",
        "recipe": root / "recipe.yaml",
        "notebook": root / "notebook.ipynb",
        "recording": root / "music" / "low" / "0.wav",
        "held-out labels": root / "labels.npz",
        "predictions": root / "predictions.npz",
    }


def error(arguments, capsys):
    assert cli.main([*map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line[:15] for line in lines] == ["mclass: error: "], lines
    assert "unexpected" not in lines[0]
    return lines[0]


def test_each_kind_is_known(made):
    assert {kind: kind_of(path) for kind, path in made.items()} == {kind: kind for kind in KINDS}
    assert kind_of(made["recording"].parent) is None
    assert kind_of(made["run"] / "no such file") is None


@pytest.mark.parametrize(
    ("option", "taken"),
    [
        ("tag FILE --model", ("run", "model")),
        ("evaluate --model", ("run", "model")),
        ("embed FILE --out x.npz --model", ("run", "model")),
        ("search FILE --index", ("index",)),
        ("train", ("recipe",)),
        ("train --shards", ("shards", "shard")),
        ("train --root", ("run",)),
        ("train --dataset prepared --root", ("prepared",)),
        ("train --dataset shards --root", ("shards",)),
        ("train --root music --labels", ("table",)),
        ("evaluate --model run --root", ("run",)),
        ("data check --root", ("run",)),
        ("data prepare --out x --root", ("run",)),
        ("submit --board b --name n --labels LABELS", ("predictions",)),
        ("submit PREDICTIONS --board b --name n --labels", ("held-out labels",)),
    ],
)
def test_what_it_is_and_what_takes_it(made, option, taken, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"FILE": "recording", "LABELS": "held-out labels", "PREDICTIONS": "predictions", "run": "run"}
    words = [str(made[places[word]]) if word in places else word for word in option.split()]
    words = [str(made["recording"].parents[1]) if word == "music" else word for word in words]
    for kind, path in made.items():
        if kind not in taken:
            line = error([*words, path], capsys)
            assert KINDS[kind].split(":")[0] in line, line
            assert "mclass " in line.split(KINDS[kind].split(":")[0])[1], line
    assert not [one.name for one in tmp_path.iterdir() if one.name != "runs"]


def test_shards_are_not_written_over(made, tmp_path, capsys):
    root, out = made["recording"].parents[1], tmp_path / "shards"
    arguments = ["data", "shard", "--root", root, "--out", out]
    assert cli.main([*map(str, arguments)]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert cli.main([*map(str, arguments)]) == 0  # the same again
    capsys.readouterr()
    for more in (
        ["--encoding", "wav"],
        ["--clips-per-shard", "1"],
        ["--megabytes", "1"],
        ["--seed", "1"],
        ["--by", "clip"],
        ["--skip-bad"],
        ["--sample-rate", "8000"],
        ["--pattern", "(?P<label>[0-9])"],
    ):
        assert "holds shards of other data, or made with other options" in error([*arguments, *more], capsys)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert "not empty" in error(["data", "prepare", "--root", root, "--out", out], capsys)


def test_resume_needs_a_run(made, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ["train", "--root", made["recording"].parents[1], "--out", tmp_path, "--resume"]
    assert f"{tmp_path} holds no run, but notes.txt" in error(arguments, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}, "MASTER_PORT is not set"),
        ({"RANK": "abc"}, "RANK is set by torchrun, and is a number, got 'abc'"),
        ({"RANK": "-1"}, "got '-1'"),
        ({"RANK": "٣"}, "got '٣'"),
        ({"RANK": "1"}, "do not fit together"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is set by torchrun"),
        ({"LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is set by torchrun"),
        ({"LOCAL_WORLD_SIZE": "2"}, "do not fit together"),
        ({"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2"}, "do not fit together"),
        ({"WORLD_SIZE": "9" * 30}, "is a number"),
        ({"WORLD_SIZE": "1.5"}, "is a number"),
    ],
)
def test_variables_of_torchrun(made, tmp_path, capsys, monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    arguments = ["train", "--root", made["recording"].parents[1], "--out", tmp_path / "run"]
    assert message in error(arguments, capsys)
    assert not (tmp_path / "run").exists()


def test_debug_before_and_after_the_command(capsys):
    for words in ("--debug data info no", "data info no --debug", "data --debug info no"):
        with pytest.raises(ValueError, match="unknown data set 'no'"):
            cli.main(words.split())
    assert "unknown data set 'no'" in error(["data", "info", "no"], capsys)


def test_what_nobody_expected_is_one_line(capsys, monkeypatch):
    def broken(name):
        raise KeyError("a\nb")

    monkeypatch.setattr(datasets, "info", broken)
    assert cli.main(["data", "info", "gtzan"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mclass: error: unexpected KeyError:")
    assert "--debug shows the traceback" in line
    with pytest.raises(KeyError):
        cli.main(["data", "info", "gtzan", "--debug"])


def test_devices_that_compute_nothing(made, capsys):
    for device in ("meta", "", "cpu:x", "fpga", "cuda:999", "hpu", "٣"):
        line = error(["tag", made["recording"], "--model", made["run"], "--device", device], capsys)
        assert "is not there" in line


def test_more_processes_than_a_machine_can_run(made, tmp_path, capsys):
    data = ["--root", made["recording"].parents[1], "--workers", 1_000_000]
    few = ["--model", "cnn_1d", "--epochs", 1]
    assert "here at most" in error(["train", *data, *few, "--out", tmp_path / "run"], capsys)
    assert "here at most" in error(["data", "check", *data], capsys)
    assert "here at most" in error(["data", "shard", *data, "--out", tmp_path / "shards"], capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(made, tmp_path, capsys):
    for name in ("model.pt", "index.npz"):
        os.mkfifo(tmp_path / name)
    recording, model, index = made["recording"], tmp_path / "model.pt", tmp_path / "index.npz"
    assert "pipe or device" in error(["tag", recording, "--model", model], capsys)
    assert "pipe or device" in error(["search", recording, "--index", index], capsys)
    assert "pipe or device" in error(["embed", recording, "--add", "--out", index, "--model", made["run"]], capsys)
