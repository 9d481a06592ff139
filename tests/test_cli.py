"""The command line, run in this process on a folder of short tones."""

import json
import os
import re
import shutil
import subprocess
import sys

import bad_audio
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from mclass import cli, models
from mclass.cli.options import DEFAULT_MODELS
from mclass.models import pretrained
from mclass.training import fit  # noqa: F401  (imported before any test is timed)

PATTERN = r"(?P<artist>(?P<label>low|high)\d)-"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Low and high tones, three artists each, two takes."""
    root = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for label, pitch in (("low", 200), ("high", 2000)):
        for artist in range(3):
            for take in range(2):
                t = np.arange(52_000) / 16_000
                tone = 0.3 * np.sin(2 * np.pi * pitch * (1 + 0.05 * artist) * t) + 0.01 * rng.standard_normal(
                    t.size
                )
                soundfile.write(root / f"{label}{artist}-{take}.flac", tone, 16_000)
    return root


@pytest.fixture(scope="module")
def run(music, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "tones"
    assert cli.main(train_arguments(music, out, epochs=3)) == 0
    return out


def train_arguments(root, out, epochs=1, *more):
    options = ("--model", "cnn_1d", "--epochs", epochs, "--batch-size", 4, "--learning-rate", 0.01)
    return [*map(str, ("train", "--root", root, "--pattern", PATTERN, "--out", out, *options, *more))]


def fails(arguments, capsys, code=2):
    """Run, expect the exit code, return the one line of error."""
    assert cli.main([*map(str, arguments)]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("mclass: error: ")
    return error[0]


def test_train_leaves_model_report_scores_and_picture(run, music):
    assert {path.name for path in run.iterdir()} >= {"model.pt", "report.json", "test_scores.csv", "confusion.png"}
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
    report = json.loads((run / "report.json").read_text())
    assert report["clips"] == {"train": 4, "valid": 4, "test": 4}
    assert report["tags"] == ["high", "low"]
    assert report["options"]["root"] == str(music)
    scores = pd.read_csv(run / "test_scores.csv")
    guessed = scores[["high", "low"]].idxmax(axis=1)
    assert report["test"]["accuracy"] == pytest.approx((guessed == scores["true"]).mean())
    assert np.trace(report["confusion"]) == (guessed == scores["true"]).sum()
    np.testing.assert_allclose(scores[["high", "low"]].sum(axis=1), 1, atol=1e-4)
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert models.load(run / "model.pt").tags == ["high", "low"]


def test_tag_prints_scores_and_goes_on_after_a_bad_file(run, music, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no music\n" * 100)
    files = [
        str(music / "low0-0.flac"),
        str(tmp_path / "text.wav"),
        str(tmp_path / "no.wav"),
        str(music / "high0-0.flac"),
    ]
    assert cli.main(["tag", *files, "--model", str(run), "--top", "1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [lines[0], lines[2]] == [files[0], files[3]]
    assert all(line.split()[1] in ("low", "high") for line in lines[1::2])
    errors = captured.err.splitlines()
    assert "not audio" in errors[0]
    assert "no such file" in errors[1]
    assert errors[2:] == ["mclass: 2 of 4 files could not be tagged"]
    assert cli.main(["tag", *files, "--model", str(run), "--strict"]) == 1
    assert cli.main(["tag", *files[1:3], "--model", str(run)]) == 1  # nothing was tagged
    assert cli.main(["tag", files[0], "--model", str(run), "--strict"]) == 0


def test_tag_as_json(run, music, capsys):
    files = [str(music / "low0-0.flac"), str(music / "high0-0.flac")]
    assert cli.main(["tag", *files, "--model", str(run / "model.pt"), "--json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["file"] for result in results] == files
    assert all(sum(result["scores"].values()) == pytest.approx(1, abs=1e-4) for result in results)
    assert all(result["top"][0] == max(result["scores"], key=result["scores"].get) for result in results)


def test_evaluate_repeats_the_score_of_the_run(run, music, tmp_path, capsys):
    data = ["--root", music, "--pattern", PATTERN]
    assert cli.main([*map(str, ("evaluate", "--model", run, *data, "--out", tmp_path / "tags.csv"))]) == 0
    printed = capsys.readouterr().out
    report = json.loads((run / "report.json").read_text())
    assert f"accuracy      {report['test']['accuracy']:.3f}" in printed
    assert "on 4 clips by 2 artists" in printed
    stored = pd.read_csv(run / "test_scores.csv")
    table = pd.read_csv(tmp_path / "tags.csv").set_index("tag")
    for tag in ("high", "low"):
        expected = roc_auc_score(stored["true"] == tag, stored[tag])
        assert table.loc[tag, ["positives", "artists"]].tolist() == [2, 1]
        assert table.loc[tag, "roc_auc"] == pytest.approx(expected, abs=1e-5)
    assert f"macro ROC-AUC {table['roc_auc'].mean():.3f}" in printed


def test_evaluate_knows_what_the_run_was_trained_on(run, music, capsys):
    def evaluated(*more):
        assert cli.main([*map(str, ("evaluate", "--model", run, *more))]) == 0
        return capsys.readouterr()

    data = ["--root", music, "--pattern", PATTERN]
    alone, named = evaluated(), evaluated(*data)
    assert alone.out == named.out  # the run says which data and which split
    assert not alone.err + named.err
    assert "with another --seed:" in evaluated(*data, "--seed", 1).err
    assert "with another --split-by:" in evaluated(*data, "--split-by", "clip").err
    everything = evaluated(*data, "--part", "all")
    assert "too good" in everything.err
    assert "on 12 clips by 6 artists" in everything.out
    assert "leave one out" in fails(
        ["evaluate", "--model", run, *data, "--part", "all", "--split-by", "clip"], capsys
    )


@pytest.mark.filterwarnings("ignore::mclass.metrics.UndefinedTagsWarning")
def test_evaluate_finds_a_data_set_that_is_no_folder(tmp_path, capsys):
    small = ("--option", "num_tracks=24", "--option", "clips_per_track=1", "--option", "clip_seconds=4")
    data = ("--dataset", "etude", *small, "--split-by", "track")
    fast = ("--model", "cnn_1d", "--epochs", "1")
    assert cli.main([*map(str, ("train", *data, *fast, "--out", tmp_path / "run"))]) == 0
    trained = re.search(r"macro ROC-AUC (\S+),", capsys.readouterr().out)[1]
    assert cli.main(["evaluate", "--model", str(tmp_path / "run")]) == 0
    assert f"macro ROC-AUC {trained} [" in capsys.readouterr().out


def test_evaluate_where_little_is_known(run, music, tmp_path, capsys):
    rows = ["path,tags", *(f"{path.name},low;odd" for path in sorted(music.iterdir()) if "low" in path.name)]
    rows += [f"{path.name},odd" for path in sorted(music.iterdir()) if "high" in path.name]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    data = ["--root", music, "--labels", tmp_path / "labels.csv", "--part", "all", "--tag", "odd=high"]
    assert cli.main([*map(str, ("evaluate", "--model", run / "model.pt", *data))]) == 0
    printed = capsys.readouterr()
    assert "on 12 clips of unknown artists" in printed.out
    assert "intervals are too narrow" in printed.out
    assert "every clip has them: high" in printed.out
    assert "undefined" not in printed.err


def test_evaluate_matches_tags_by_name(run, music, tmp_path, capsys):
    rows = ["path,tags,artist"]
    for path in sorted(music.iterdir()):
        rows.append(
            f"{path.name},{'tief' if path.name.startswith('low') else 'hoch'};odd,{path.name.split('-')[0]}"
        )
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    copy = shutil.copy(run / "model.pt", tmp_path)  # without the report, the model of a stranger
    data = ["evaluate", "--model", copy, "--root", music, "--labels", tmp_path / "labels.csv", "--part", "all"]
    assert "share no tag" in fails(data, capsys)
    assert cli.main([*map(str, (*data, "--tag", "tief=low"))]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ *low +6 ", printed, re.M)  # one tag of the model, six recordings have it
    assert "tags of the data only: hoch, odd\ntags of the model only: high" in printed
    assert "accuracy" not in printed
    assert "unknown label of the data 'teif' (did you mean 'tief'?)" in fails([*data, "--tag", "teif=low"], capsys)
    assert "unknown tag of the model 'lo'" in fails([*data, "--tag", "tief=lo"], capsys)
    assert "LABEL=TAG" in fails([*data, "--tag", "tief"], capsys)
    pairs = ["--tag", "tief=low", "--tag", "hoch=low"]
    assert "'hoch' and 'tief' would both be the tag 'low'" in fails([*data, *pairs], capsys)
    assert "no tag can be scored" in fails([*data, "--tag", "odd=low"], capsys)


def test_a_folder_of_runs_names_them(run, music, capsys):
    message = fails(["tag", music / "low0-0.flac", "--model", run.parent], capsys)
    assert f"holds some: {run}" in message


def test_a_run_is_not_overwritten_and_can_be_resumed(music, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(train_arguments(music, out, 1)) == 0
    before = (out / "report.json").read_bytes()
    capsys.readouterr()
    assert "--resume" in fails(train_arguments(music, out, 2), capsys)
    assert (out / "report.json").read_bytes() == before
    assert cli.main(train_arguments(music, out, 2, "--resume")) == 0
    assert json.loads((out / "report.json").read_text())["epochs"] == 2
    whole = tmp_path / "whole"
    assert cli.main(train_arguments(music, whole, 2)) == 0
    assert (whole / "test_scores.csv").read_bytes() == (out / "test_scores.csv").read_bytes()


def test_several_tags_per_file(music, tmp_path, capsys):
    rows = ["path,tags,split"]
    for i, path in enumerate(sorted(music.iterdir())):
        tags = path.name[:3] + (";noisy" if i % 2 else "")
        rows.append(f"{path.name},{tags},{('train', 'valid', 'test')[i % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    options = f"train --root {music} --labels {tmp_path}/labels.csv --out {tmp_path}/run --model cnn_1d --epochs 1"
    assert cli.main(options.split()) == 0
    assert "macro ROC-AUC" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "run" / "report.json").read_text())["test"]) == {"roc_auc", "pr_auc"}
    assert not (tmp_path / "run" / "confusion.png").exists()


def test_tags_that_cannot_be_scored_are_refused_before_training(music, tmp_path, capsys):
    splits = ["test", "valid"] + ["train"] * 10
    rows = [
        f"{path.name},any;{path.name[:3]},{split}"
        for path, split in zip(sorted(music.iterdir()), splits, strict=True)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,tags,split", *rows]))
    arguments = ["train", "--root", music, "--labels", tmp_path / "labels.csv", "--out", tmp_path / "run"]
    assert "no tag can be scored on the 1 test clips" in fails(arguments, capsys)
    assert not (tmp_path / "run").exists()


def test_errors_are_one_line_and_leave_nothing(music, tmp_path, capsys):
    out = tmp_path / "run"
    assert "no such folder" in fails(train_arguments(tmp_path / "absent", out), capsys)
    assert "unknown model 'cnn2d'" in fails([*train_arguments(music, out), "--model", "cnn2d"], capsys)
    assert "unknown optimizer" in fails([*train_arguments(music, out), "--optimizer", "adamm"], capsys)
    assert "needs --root" in fails(["train", "--out", out], capsys)
    assert "for --dataset folder" in fails(["train", "--dataset", "etude", "--root", music, "--out", out], capsys)
    assert "unknown data set 'gtzna'" in fails(["train", "--dataset", "gtzna", "--out", out], capsys)
    assert not out.exists()
    (tmp_path / "file").touch()
    assert "cannot be written" in fails(train_arguments(music, tmp_path / "file" / "run"), capsys)
    assert "no such file" in fails(["tag", music / "low0-0.flac", "--model", tmp_path / "no.pt"], capsys)
    assert "no such file" in fails(["tag", music / "low0-0.flac", "--model", tmp_path], capsys)


@pytest.mark.parametrize(
    "option",
    ["--epochs=0", "--learning-rate=-1", "--learning-rate=nan", "--batch-size=x", "--seed=a", "--seed=-1"],
)
def test_options_out_of_range(music, tmp_path, option, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*train_arguments(music, tmp_path / "run"), option])
    assert stop.value.code == 2
    assert option.split("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_files_shorter_than_the_model_needs(tmp_path, capsys):
    for name in ("low0-0", "low1-0", "low2-0", "high0-0", "high1-0", "high2-0"):
        soundfile.write(tmp_path / f"{name}.wav", bad_audio.sweep(1.0, 16_000), 16_000)
    assert "shorter than the 48000 samples" in fails(train_arguments(tmp_path, tmp_path / "run"), capsys)
    assert cli.main(train_arguments(tmp_path, tmp_path / "run", 1, "--pad")) == 0


@pytest.mark.filterwarnings("default::UserWarning")
def test_bad_files_stop_the_run_or_are_skipped_and_counted(music, tmp_path, capsys):
    for path in music.iterdir():
        os.link(path, tmp_path / path.name)
    (tmp_path / "low9-0.wav").write_bytes(b"")
    assert "1 of 13 files cannot be used: low9-0.wav: the file is empty" in fails(
        train_arguments(tmp_path, tmp_path / "run"), capsys
    )
    assert cli.main(train_arguments(tmp_path, tmp_path / "run", 1, "--skip-bad")) == 0
    assert "mclass: warning:" in (error := capsys.readouterr().err)
    assert "1 of 13 files cannot be used and were skipped" in error


def test_data_check(music, tmp_path, capsys):
    os.link(music / "low0-0.flac", tmp_path / "low0-0.flac")
    soundfile.write(tmp_path / "high0-0.wav", np.zeros(1000), 16_000)
    arguments = ["data", "check", "--root", str(tmp_path), "--pattern", PATTERN, "--csv", str(tmp_path / "a.csv")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "note: 1 silent (clips of nothing but zeros)\n    high0-0.wav\n" in printed
    assert printed.endswith("no problems\n")
    (tmp_path / "low1-0.wav").write_bytes(b"")
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert "problem: 1 empty (files of 0 bytes)\n    low1-0.wav: the file is empty" in captured.out
    assert captured.out.endswith("1 problems\n")
    assert captured.err == ""
    table = pd.read_csv(tmp_path / "a.csv")
    assert set(table["kind"]) == {"silent", "empty", "split"}


def test_data_prepare_and_shard_then_train(music, tmp_path, capsys):
    data = ["--root", str(music), "--pattern", PATTERN]
    assert cli.main(["data", "prepare", *data, "--out", str(tmp_path / "ready")]) == 0
    assert "fingerprint " in capsys.readouterr().out
    shards = ["data", "shard", "prepared", "--root", str(tmp_path / "ready"), "--out", str(tmp_path / "shards")]
    assert cli.main([*shards, "--clips-per-shard", "3"]) == 0
    assert "train: 4 clips in 2 shards" in capsys.readouterr().out
    train = ["--model", "cnn_1d", "--epochs", "2", "--batch-size", "4", "--learning-rate", "0.01"]
    reports = {}
    for name, options in (
        ("a", ["--dataset", "prepared", "--root", str(tmp_path / "ready")]),
        ("b", ["--shards", f"{tmp_path}/shards/train-{{0000..0001}}.tar"]),
    ):
        assert cli.main(["train", *options, *train, "--out", str(tmp_path / name)]) == 0
        reports[name] = json.loads((tmp_path / name / "report.json").read_text())
    assert reports["a"]["clips"] == reports["b"]["clips"]
    assert len(reports["a"]["data"]) == len(reports["b"]["data"]) == 16
    # One batch has all clips: the same crops, the same step; the order within a batch alone differs.
    history = [pd.read_csv(tmp_path / name / "history.csv") for name in "ab"]
    np.testing.assert_allclose(history[0]["train_loss"], history[1]["train_loss"], rtol=1e-3)
    capsys.readouterr()  # progress
    again = ["train", "--shards", str(tmp_path / "shards"), "--root", str(music), *train]
    assert "leave out --root" in fails([*again, "--out", tmp_path / "c"], capsys)
    assert (
        "no such file" in fails(["train", "--shards", tmp_path, *train, "--out", tmp_path / "c"], capsys).lower()
    )


def test_data_info_and_options(tmp_path, capsys):
    assert cli.main(["data", "info", "gtzan"]) == 0
    assert "Tzanetakis" in capsys.readouterr().out
    assert "needs --root" in fails(["data", "check", "gtzan"], capsys)
    assert "unknown option of etude 'tracks'" in fails(["data", "check", "etude", "--option", "tracks=3"], capsys)
    assert "cannot be downloaded" in fails(["data", "download", "gtzan", "--root", tmp_path], capsys)
    few = ["--option", "num_tracks=12", "--option", "clips_per_track=2", "--option", "clip_seconds=4"]
    assert cli.main(["data", "check", "etude", *few, "--no-fingerprints"]) == 0
    assert "24 clips" in capsys.readouterr().out


def test_lists(capsys):
    assert cli.main(["models"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ *cnn_2d +299892 +3\.00 s, 16 kHz ", printed, re.MULTILINE)
    assert re.search(r"^ *pons/mtt_musicnn +MagnaTagATune +0\.907 +0\.383 +ISC$", printed, re.MULTILINE)
    assert re.search(r"^ *mtat/crnn +MagnaTagATune +0\.872 +0\.362 +MIT$", printed, re.MULTILINE)
    assert "Without --model: {}, or {} where".format(*DEFAULT_MODELS) in printed
    assert pretrained.DEFAULTS == DEFAULT_MODELS  # named in the help, without importing torch


def test_interrupt(monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mclass.cli.data.run_list", interrupt)
    assert cli.main(["data", "list"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_starts_without_torch():
    code = "import sys, mclass.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")
    assert "--pattern" in result.stdout


@pytest.mark.filterwarnings("default::UserWarning")
def test_train_on_etude(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MCLASS_PROFILE", "smoke")
    options = ["--dataset", "etude", "--model", "cnn_1d", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert cli.main(["train", *options]) == 0
    assert "macro ROC-AUC" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "run" / "test_scores.csv").columns) == 52


def test_silent_files_are_counted_and_left_out(run, music, tmp_path, capsys):
    for file in music.iterdir():
        os.link(file, tmp_path / file.name)
    for take in ("2", "3"):
        soundfile.write(tmp_path / f"low0-{take}.wav", np.zeros(52_000), 16_000)
    assert cli.main(train_arguments(tmp_path, tmp_path / "run")) == 0
    captured = capsys.readouterr()
    assert "2 of 14 files are silent and left out: " in captured.err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["clips"] == {"train": 4, "valid": 4, "test": 4}
    for part in ("train", "valid", "test"):
        assert cli.main(["evaluate", "--model", str(tmp_path / "run"), "--part", part]) == 0
        assert "on 4 clips by" in capsys.readouterr().out
    assert cli.main(["tag", str(tmp_path / "low0-2.wav"), "--model", str(run)]) == 1
    assert "low0-2.wav: is silent" in capsys.readouterr().err
