"""The check of a data set: every kind of fault is found, and nothing else."""

import io
import os
import shutil
import sys

import bad_audio
import miniatures
import numpy as np
import pandas as pd
import pytest
import soundfile

from mclass import datasets
from mclass.datasets import workers
from mclass.datasets.quality import checks
from mclass.datasets.quality.fingerprint import Fingerprint, find_copies, fingerprint
from mclass.errors import DatasetError

RATE = 16_000


@pytest.fixture(scope="module")
def tracks():
    """Tracks of Etude, none like another."""
    etude = datasets.load("etude", num_tracks=24, clips_per_track=1, clip_seconds=16)
    return [etude.waveform(index).numpy() for index in range(len(etude))]


@pytest.fixture
def music(tmp_path, tracks):
    """Six artists with two labels, two clips each."""
    root = tmp_path / "music"
    root.mkdir()
    for artist in range(6):
        for take in range(2):
            name = f"{'low' if artist < 3 else 'high'}{artist}-{take}.wav"
            soundfile.write(root / name, tracks[2 * artist + take][: 8 * RATE], RATE)
    return root


def load(root, **options):
    return datasets.load("folder", root=root, labels=r"(?P<artist>(?P<label>low|high)\d)-", **options)


def check(dataset, **options):
    return datasets.check(dataset, workers=1, progress=False, **options)


def kinds(report):
    """(kind, severity) -> the clips."""
    return report.table().groupby(["kind", "severity"])["clip"].apply(list).to_dict()


def mp3(samples, level):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


# Copies


@pytest.mark.parametrize("level", [0.3, 0.9])
def test_copies_that_were_encoded_turned_down_and_cut(tracks, level):
    rng = np.random.default_rng(0)
    clips, truth = [track[: 11 * RATE] for track in tracks], {}
    for number in range(0, len(tracks), 3):
        first = int(rng.integers(5 * RATE))
        truth[number, len(clips)] = first / RATE
        clips.append(mp3(tracks[number][first:][: 11 * RATE] * 0.2, level))
    matches = find_copies([fingerprint(clip, RATE) for clip in clips])
    assert {(match.first, match.second) for match in matches} == set(truth)
    for match in matches:
        assert match.offset == pytest.approx(truth[match.first, match.second], abs=0.1)
        assert match.seconds == pytest.approx(11 - match.offset, abs=0.3)


def test_a_copy_that_begins_earlier_and_one_at_another_rate(tracks):
    from mclass import audio

    track = tracks[3]
    prints = [
        fingerprint(track[4 * RATE : 12 * RATE], RATE),
        fingerprint(audio.resample(track[: 10 * RATE], RATE, 44_100).numpy(), 44_100),
    ]
    [match] = find_copies(prints)
    assert match.offset == pytest.approx(-4, abs=0.05)


def test_too_little_in_common_is_no_match(tracks):
    prints = [fingerprint(tracks[0][: 8 * RATE], RATE), fingerprint(tracks[0][6 * RATE : 14 * RATE], RATE)]
    assert find_copies(prints) == []
    assert len(find_copies(prints, min_seconds=1)) == 1


def test_nothing_to_compare():
    silent = fingerprint(np.zeros(RATE * 5, np.float32), RATE)
    short = fingerprint(np.ones(100, np.float32), RATE)
    assert find_copies([silent, short, silent]) == []
    assert find_copies([]) == []


def test_candidates_are_those_of_a_comparison_of_all_pairs():
    rng = np.random.default_rng(0)
    prints = []
    for number in range(8):  # few hashes, so that many are shared by chance
        marks = np.stack([rng.integers(0, 100, 80), np.sort(rng.integers(0, 200, 80))], axis=1)
        if number % 3 == 1:  # shares half with the one before, 17 frames later
            marks[::2] = prints[-1].landmarks[::2] + np.array([0, 17])
        prints.append(Fingerprint(marks.astype(np.uint32), np.zeros(500, np.uint32)))
    found = {(match.first, match.second) for match in find_copies(prints, min_landmarks=20)}
    expected = set()
    for i in range(8):
        for j in range(i + 1, 8):
            votes = {}
            for a, t in prints[i].landmarks.astype(int):
                for b, u in prints[j].landmarks.astype(int):
                    if a == b:
                        votes[t - u] = votes.get(t - u, 0) + 1
            if max(votes[k] + votes.get(k + 1, 0) for k in votes) >= 20:
                expected.add((i, j))
    assert found == expected
    assert (0, 1) in found


# Files


def test_a_clean_folder(music):
    report = check(load(music))
    assert report.ok
    assert report.rows == []
    assert str(report).endswith("no problems")
    assert report.counts["clips"] == 12
    assert report.counts["artists"] == 6


def test_every_kind_of_file(music, tmp_path, tracks):
    (music / "low0-7.wav").write_bytes(b"")
    bad_audio.cut(music / "low1-0.wav", 0.6).rename(music / "low1-8.wav")
    (music / "low1-9.mp3").write_text("<html>not found</html>")
    soundfile.write(music / "low2-7.wav", np.zeros(8 * RATE), RATE)
    soundfile.write(music / "low2-8.wav", tracks[20][: 3 * RATE], RATE)
    bad_audio.with_nan(tmp_path).rename(music / "low2-9.wav")
    os.symlink(music, music / "again")  # a loop, which must not be walked for ever
    with pytest.warns(UserWarning, match="4 of 18 files cannot be used"):
        dataset = load(music, on_error="skip")
    report = check(dataset)
    found = kinds(report)
    assert found.pop(("empty", "problem")) == ["low0-7.wav"]
    assert sorted(found.pop(("undecodable", "problem"))) == ["low1-8.wav", "low1-9.mp3", "low2-9.wav"]
    assert found.pop(("silent", "note")) == ["low2-7.wav"]
    assert found.pop(("short", "note")) == ["low2-8.wav"]
    assert found == {}
    assert not report.ok
    report.to_csv(tmp_path / "faults.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "faults.csv", keep_default_na=False), report.table())
    assert "problem: 1 empty (files of 0 bytes)\n    low0-7.wav: the file is empty" in str(report)


def test_a_file_that_breaks_after_loading(music):
    dataset = load(music)
    bad_audio.cut(music / "low0-0.wav", 0.5).replace(music / "low0-0.wav")
    (music / "low1-1.wav").unlink()
    found = kinds(check(dataset))
    assert found == {("undecodable", "problem"): ["low0-0.wav"], ("missing", "problem"): ["low1-1.wav"]}


def test_files_that_a_table_does_not_name(music, tmp_path):
    rows = [f"{path.name},{path.name[:3]}" for path in sorted(music.iterdir())[:10]]
    (tmp_path / "labels.csv").write_text("\n".join(["path,tags", *rows]))
    report = check(datasets.load("folder", root=music, labels=tmp_path / "labels.csv"), near=False)
    assert kinds(report)["extra", "note"] == ["low2-0.wav", "low2-1.wav"]
    assert report.ok


def test_copies_in_one_part_and_across_parts(music, tracks):
    split = load(music).splits()
    train, test, other = (
        load(music).paths[part.indices[at]].stem for part, at in ((split[0], 0), (split[2], 0), (split[0], -1))
    )
    beside_train, beside_test = (music / f"{name.split('-')[0]}-" for name in (train, test))
    shutil.copy(music / f"{train}.wav", f"{beside_train}8.wav")  # of the same artist, so in the same part
    samples, _ = soundfile.read(music / f"{train}.wav", dtype="int16")
    soundfile.write(f"{beside_test}8.flac", samples, RATE)  # another file, the same samples
    soundfile.write(f"{beside_test}7.mp3", mp3(soundfile.read(music / f"{other}.wav")[0] * 0.3, 0.6), RATE)
    report = check(load(music))
    table = report.table()
    exact = table[table["kind"] == "duplicate"]
    assert len(exact) == 2
    assert sorted(exact["severity"]) == ["note", "problem"]
    involved = {f"{train}.wav", f"{beside_train.name}8.wav", f"{beside_test.name}8.flac"}
    assert {*exact["clip"], *exact["other"]} == involved
    near = table[table["kind"] == "near duplicate"]
    assert len(near) == 1
    assert {near.iloc[0]["clip"], near.iloc[0]["other"]} == {f"{other}.wav", f"{beside_test.name}7.mp3"}
    assert near.iloc[0]["severity"] == "problem"
    assert "one is in" in near.iloc[0]["detail"]
    assert not report.ok
    assert check(load(music), near=False).table()["kind"].tolist().count("near duplicate") == 0


def test_leaks(music):
    etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    assert check(etude, near=False).ok
    leaks = kinds(check(etude, by="track", near=False))
    assert set(leaks) == {("artist leak", "problem")}
    train, valid, test = (part.track_ids for part in etude.splits("clip"))
    shared = (set(train) & set(valid)) | (set(train) & set(test)) | (set(valid) & set(test))
    found = kinds(check(etude, by="clip", near=False))
    assert set(found["track leak", "problem"]) == {str(track) for track in shared}
    view = check(etude.splits()[0], near=False)  # a view has no split of its own
    assert view.ok
    assert "in train" not in view.counts


def test_the_outcome_does_not_depend_on_processes(music, monkeypatch):
    monkeypatch.setattr(workers, "_FEW", 0)
    monkeypatch.setattr(workers.chunked, "__defaults__", (4,))
    (music / "low0-7.wav").write_bytes((music / "low0-0.wav").read_bytes())
    one = datasets.check(load(music), workers=1, progress=False)
    two = datasets.check(load(music), workers=2, progress=False)
    assert one.table().equals(two.table())
    assert len(one.rows) == 1


def test_prepared_data_that_were_changed(music, tmp_path):
    ready = datasets.prepare(load(music), tmp_path / "ready", progress=False)
    with (tmp_path / "ready" / "waveforms.i2").open("rb+") as file:
        file.seek(1000)
        file.write(b"\1\2\3\4\5")
    assert kinds(check(ready, near=False)) == {("damaged", "problem"): ["high3-0.wav"]}


# What is known of published data sets


@pytest.fixture(scope="module")
def magnatagatune(tmp_path_factory):
    return miniatures.build("magnatagatune", tmp_path_factory.mktemp("mtat"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_known_faults_are_told_apart(magnatagatune):
    dataset = datasets.load("magnatagatune", root=magnatagatune, on_error="skip")
    found = kinds(check(dataset, near=False))
    assert sorted(found["empty", "known"]) == sorted(miniatures.MTAT_EMPTY)
    assert ("empty", "problem") not in found
    assert "clips" in found["count", "problem"]  # the miniature has not 25,863


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_partial_copy_with_something_else_in_it(magnatagatune, tmp_path, tracks):
    root = shutil.copytree(magnatagatune, tmp_path / "copy")
    dataset = datasets.load("magnatagatune", root=root, on_error="skip")
    gone, known = dataset.paths[5], miniatures.MTAT_EMPTY[0]
    gone.unlink()
    soundfile.write(dataset.root / known, tracks[0][: 2 * RATE], RATE, format="MP3")
    soundfile.write(dataset.root / "0" / "mine.wav", tracks[1][: 2 * RATE], RATE)
    dataset = datasets.load("magnatagatune", root=root, on_error="skip", missing="skip")
    found = kinds(check(dataset, near=False))
    assert [os.path.splitext(path)[0] for path in found["missing", "problem"]] == [
        os.path.splitext(gone.relative_to(dataset.root).as_posix())[0]
    ]
    assert "0/mine.wav" in found["extra", "note"]  # beside clips without a frequent tag
    assert not {path.relative_to(dataset.root).as_posix() for path in dataset.paths} & {*found["extra", "note"]}
    assert found["mended", "note"] == [known]
    assert len(found["empty", "known"]) == 2


def test_a_wrong_root(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        datasets.load("magnatagatune", root=tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_links_that_lead_round_in_circles(music):
    os.symlink(music, music / "a")
    os.symlink(music / "a", music / "b")
    os.symlink(music / "nowhere", music / "low9-0.wav")
    with pytest.warns(UserWarning, match="no such file"):
        report = check(load(music, on_error="skip"), near=False)
    assert kinds(report) == {("missing", "problem"): ["low9-0.wav"]}
    assert report.counts["clips"] == 12


def test_a_clip_is_heard_in_pieces_as_it_is_in_one(music, monkeypatch):
    """Long recordings never are in memory whole; what is found of them does not depend on it."""
    dataset = load(music)
    whole = checks._look(dataset, ([*range(len(dataset))], True))
    monkeypatch.setattr(checks, "LONGEST", 0.3)
    pieces = checks._look(dataset, ([*range(len(dataset))], True))
    assert max(clip.samples for clip in whole) > 2 * 0.3 * dataset.sample_rate
    for one, other in zip(whole, pieces, strict=True):
        assert (one.samples, one.digest, one.silent, one.error) == (
            other.samples,
            other.digest,
            other.silent,
            other.error,
        )
