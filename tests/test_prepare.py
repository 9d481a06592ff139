"""Prepared data: equal to what it was made from, whole after any kill, one process at a time."""

import errno
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from types import SimpleNamespace

import bad_audio
import numpy as np
import pytest
import soundfile
import torch

from mclass import audio, datasets
from mclass.datasets import workers
from mclass.datasets.storage import _unfinished, preparing
from mclass.datasets.storage.prepared import Prepared
from mclass.errors import DatasetError


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Two labels, three artists each; flac and mp3, 44.1 and 16 kHz, one stereo, clips of different lengths."""
    root = tmp_path_factory.mktemp("music")
    for number, label in enumerate(("low", "high")):
        for artist in range(3):
            for take in range(2):
                rate = (44_100, 16_000)[take]
                sound = bad_audio.sweep(1.0 + 0.1 * artist, rate, channels=1 + take, seed=number)
                name = root / f"{label}{artist}-{take}"
                suffix = ("flac", "mp3")[artist == 1]
                bad_audio.write(root, suffix, sound * (1 + number), rate).rename(f"{name}.{suffix}")
    return root


def load(root, **options):
    return datasets.load("folder", root=root, labels=r"(?P<artist>(?P<label>low|high)\d)-", **options)


def contents(folder):
    """Every file below a folder, except what is written in another order of bytes by zip."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".npz"
    }


@pytest.mark.parametrize("encoding", preparing.ENCODINGS)
def test_the_same_interface_and_the_same_sound(music, tmp_path, encoding):
    source = load(music)
    ready = datasets.prepare(source, tmp_path / "out", encoding, progress=False)
    again = datasets.load("prepared", root=tmp_path / "out")
    assert (again.name, again.tags, again.sample_rate) == (source.name, source.tags, source.sample_rate)
    assert again.multilabel == source.multilabel
    assert again.fingerprint == ready.fingerprint
    for name in ("labels", "track_ids", "artist_ids"):
        np.testing.assert_array_equal(getattr(again, name), getattr(source, name))
    for by in ("artist", "track", "clip"):
        for mine, theirs in zip(again.splits(by), source.splits(by), strict=True):
            np.testing.assert_array_equal(mine.indices, theirs.indices)
    assert [len(part) for part in again.splits()] == [len(part) for part in source.splits()]
    absolute, relative = {"float32": (0, 0), "float16": (1e-7, 2**-11)}.get(encoding, (1 / 32768, 0))
    for i in range(len(source)):
        assert again.num_samples(i) == source.num_samples(i)
        for start, count in ((0, None), (1234, 4321), (again.num_samples(i) - 1, 1)):
            last = None if count is None else start + count
            expected = source.waveform(i)[start:last]
            expected = expected if encoding.startswith("float") else expected.clamp(-1, 1)
            part = again.waveform(i, start, count)
            torch.testing.assert_close(part, expected, atol=absolute, rtol=relative)
    assert again.verify() == []


def test_a_view_keeps_no_split_and_etude_keeps_its_oracle(tmp_path):
    etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    ready = datasets.prepare(etude, tmp_path / "whole", progress=False)
    np.testing.assert_array_equal(ready.oracle, etude.oracle)
    np.testing.assert_array_equal(ready.styles, etude.styles)
    part = datasets.prepare(etude.splits()[0], tmp_path / "part", progress=False)
    np.testing.assert_array_equal(part.labels, etude.splits()[0].labels)
    with pytest.raises(DatasetError, match="prepared from a part"):
        part.splits()
    with pytest.raises(ValueError, match="did you mean 'artist'"):
        ready.splits("artists")


def test_outcome_depends_neither_on_processes_nor_on_order(music, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_FEW", 0)
    monkeypatch.setattr(workers.chunked, "__defaults__", (2,))
    datasets.prepare(load(music), tmp_path / "one", workers=1, progress=False)
    datasets.prepare(load(music), tmp_path / "two", workers=2, progress=False)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_memory_mapped_data_set_is_handed_over_by_name(tmp_path):
    etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    file = io.BytesIO()
    workers._Pickler(file).dump(etude)
    assert len(file.getvalue()) < 100_000  # the sound has 3 MB
    copy = workers.cloudpickle.loads(file.getvalue())
    assert torch.equal(copy.waveform(7), etude.waveform(7))
    ready = datasets.prepare(etude, tmp_path / "out", progress=False)
    ready.waveform(0)
    assert len(pickle.dumps(ready)) < 100_000


def test_manifest_names_sources_versions_and_data(music, tmp_path):
    first = datasets.prepare(load(music), tmp_path / "a", progress=False)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["versions"].keys() >= {"mclass", "numpy", "soundfile", "soxr", "libsndfile"}
    assert manifest["sample_rate"] == 16_000
    assert manifest["clipped_samples"] > 0  # the loud half is twice too loud
    rows = first._rows()
    assert rows[0]["name"] == "high0-0.flac"
    assert rows[0]["source_sha256"] == preparing.file_sha256(music / "high0-0.flac")
    assert (
        str(music)
        not in (tmp_path / "a" / "manifest.json").read_text() + (tmp_path / "a" / "clips.csv").read_text()
    )

    changed = load(music)
    changed.labels = changed.labels[:, ::-1].copy()
    prints = {first.fingerprint}
    prints.add(datasets.prepare(changed, tmp_path / "b", progress=False).fingerprint)
    prints.add(datasets.prepare(load(music, sample_rate=8000), tmp_path / "c", progress=False).fingerprint)
    prints.add(datasets.prepare(load(music, seed=5), tmp_path / "d", progress=False).fingerprint)
    assert len(prints) == 4


def test_what_is_there_is_not_made_again_and_nothing_is_overwritten(music, tmp_path, monkeypatch):
    first = datasets.prepare(load(music), tmp_path / "out", progress=False)
    monkeypatch.setattr(preparing, "map_clips", None)
    assert datasets.prepare(load(music), tmp_path / "out", progress=False).fingerprint == first.fingerprint
    with pytest.raises(DatasetError, match=r"already holds .* other options"):
        datasets.prepare(load(music), tmp_path / "out", "flac", progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(DatasetError, match="not empty"):
        datasets.prepare(load(music), tmp_path / "mine", progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="is a file"):
        datasets.prepare(load(music), tmp_path / "file" / "out", progress=False)


@pytest.mark.parametrize("encoding", ["int16", "flac"])
@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_16")])
def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path, encoding, suffix, subtype):
    peaks, rate = [], 22_050  # resampled on the way
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate).astype(np.float32)
    for minutes in (2, 8):
        root = tmp_path / str(minutes)
        root.mkdir()
        for name, seconds in (("high1-short", 1), ("low1-long", 60 * minutes)):
            soundfile.write(root / f"{name}.{suffix}", np.tile(noise, seconds), rate, subtype)
        tracemalloc.start()
        ready = datasets.prepare(load(root), tmp_path / f"out{minutes}", encoding, workers=1, progress=False)
        assert ready.verify() == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 480 * 16_000  # bytes: a quarter of its samples as they are decoded
    torch.testing.assert_close(ready.waveform(1), load(root).waveform(1), atol=0.51 / 32768, rtol=0)


def test_a_data_set_that_changes_waveform_alone_is_prepared_as_it_is(music, tmp_path):
    class Quiet(type(load(music))):
        def waveform(self, *arguments):
            return super().waveform(*arguments) / 2

    quiet = Quiet(music, labels=r"(?P<artist>(?P<label>low|high)\d)-")
    ready = datasets.prepare(quiet.subset([2, 0]), tmp_path / "out", "float32", progress=False)
    assert torch.equal(ready.waveform(1), load(music).waveform(0) / 2)


def test_a_clip_longer_than_was_said_never_ends_up_in_the_next(music, tmp_path):
    source = load(music)
    lengths, source.num_samples = source.num_samples, lambda i: lengths(i) - (i == 0)
    for encoding in ("int16", "flac"):
        with pytest.raises(
            DatasetError, match=rf"has {lengths(0)} samples, but its data set says {lengths(0) - 1}"
        ):
            datasets.prepare(source, tmp_path / encoding, encoding, on_error="skip", workers=1, progress=False)
    raw = tmp_path / ".int16.unfinished" / "waveforms.i2"
    assert not np.fromfile(raw, np.int16, offset=2 * (lengths(0) - 1)).any()


SLOW = """
    import sys, time
    from mclass import datasets
    from mclass.datasets import workers
    workers.chunked.__defaults__ = (1,)
    workers._FEW = {few}
    class Slow(datasets.load("folder", root={root!r}, labels="(?P<artist>(?P<label>low|high)[0-9])-").__class__):
        def waveform(self, *arguments):
            time.sleep(0.1)
            return super().waveform(*arguments)
    slow = Slow({root!r}, labels="(?P<artist>(?P<label>low|high)[0-9])-")
    print("ready", flush=True)
    datasets.prepare(slow, {out!r}, {encoding!r}, workers={workers}, progress=False)
"""


def start(root, out, encoding, workers=1):
    code = textwrap.dedent(
        SLOW.format(root=str(root), out=str(out), encoding=encoding, workers=workers, few=0 if workers > 1 else 99)
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def finished(out):
    journal = out.with_name(f".{out.name}.unfinished") / "finished.jsonl"
    return len(journal.read_text().splitlines()) - 1 if journal.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_killed_and_resumed_equals_never_killed(music, tmp_path):
    out, encoding = tmp_path / "out", "int16"
    process = start(music, out, encoding)
    while finished(out) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(DatasetError, match=f"is being written by process {process.pid} of this machine since 2"):
        datasets.prepare(load(music), out, encoding, progress=False)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not out.exists()
    with pytest.raises(DatasetError, match="is not finished"):
        Prepared(out)
    done = finished(out)
    assert 4 <= done < 12
    with (tmp_path / ".out.unfinished" / "finished.jsonl").open("a") as file:
        file.write('[11, {"samp')  # cut off in the middle of a line

    decoded = []
    source = load(music)
    read, source.pieces = source.pieces, lambda i: decoded.append(i) or read(i)
    datasets.prepare(source, out, encoding, progress=False)
    assert len(decoded) == 12 - done
    datasets.prepare(load(music), tmp_path / "whole", encoding, progress=False)
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_a_power_failure_spoiled_is_made_again(music, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(preparing, "_write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasets.prepare(load(music), out, progress=False)
    monkeypatch.undo()
    raw = tmp_path / ".out.unfinished" / "waveforms.i2"
    with raw.open("rb+") as file:
        file.seek(raw.stat().st_size // 2)
        file.write(b"\0\1\0\1\0")
    ready = datasets.prepare(load(music), out, progress=False)
    assert ready.verify() == []
    assert torch.equal(ready.waveform(6), load(music).waveform(6).mul(32768).round().clamp(-32768, 32767) / 32768)


def test_options_of_a_folder_begun_are_not_mixed(music, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "_write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasets.prepare(load(music), tmp_path / "out", progress=False)
    monkeypatch.undo()
    with pytest.raises(DatasetError, match="other data, or with other options"):
        datasets.prepare(load(music), tmp_path / "out", "float32", progress=False)


@pytest.mark.parametrize("encoding", ["int16", "flac"])
def test_a_full_disk_loses_nothing(music, tmp_path, monkeypatch, encoding):
    out, write, written = tmp_path / "out", preparing._Target.write, []

    def fails(self, position, *arguments):
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(position)
        return write(self, position, *arguments)

    monkeypatch.setattr(workers.chunked, "__defaults__", (1,))
    monkeypatch.setattr(preparing._Target, "write", fails)
    with pytest.raises(DatasetError, match=r"the disk is full .* goes on from there"):
        datasets.prepare(load(music), out, encoding, progress=False)
    assert not out.exists()
    assert finished(out) == 5
    monkeypatch.setattr(preparing._Target, "write", lambda self, *a: written.append(0) or write(self, *a))
    datasets.prepare(load(music), out, encoding, progress=False)
    assert len(written) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
@pytest.mark.parametrize("encoding", ["int16", "flac"])
def test_a_real_failed_write_is_named(music, tmp_path, encoding):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DatasetError, match="the disk is full"):
            datasets.prepare(load(music), tmp_path / "out", encoding, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()


def test_free_space_is_compared_before_anything_is_written(music, tmp_path, monkeypatch):
    monkeypatch.setattr(_unfinished.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DatasetError, match=r"about 0\.? ?.*MB are needed and 0 MB are free"):
        datasets.prepare(load(music), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_clips_that_cannot_be_decoded(music, tmp_path):
    shutil.copytree(music, tmp_path / "music")
    source = load(tmp_path / "music")
    bad_audio.cut(tmp_path / "music" / "low0-0.flac", 0.6).replace(tmp_path / "music" / "low0-0.flac")
    with pytest.raises(DatasetError, match=r"low0-0.flac cannot be decoded: .* --skip-bad"):
        datasets.prepare(source, tmp_path / "out", progress=False)
    shutil.rmtree(tmp_path / ".out.unfinished")
    ready = datasets.prepare(source, tmp_path / "out", on_error="skip", progress=False)
    assert len(ready) == 11
    assert [left["name"] for left in ready.manifest["left_out"]] == ["low0-0.flac"]
    assert "low0-0.flac" not in "".join(row["name"] for row in ready._rows())
    last = len(source) - 1
    torch.testing.assert_close(ready.waveform(10), source.waveform(last), atol=1 / 32768, rtol=0)
    assert ready.describe(10).startswith("low2-1.flac ")
    parts = [set(part.indices) for part in ready.splits()]
    assert set.union(*parts) == set(range(11))


def test_wrong_roots_and_damaged_copies(music, tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        Prepared(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="no manifest"):
        Prepared(music)
    datasets.prepare(load(music), tmp_path / "out", progress=False)
    with pytest.raises(DatasetError, match=r"did you mean .*out"):
        Prepared(tmp_path)
    raw = tmp_path / "out" / "waveforms.i2"
    os.truncate(raw, raw.stat().st_size - 2)
    with pytest.raises(DatasetError, match="cut off"):
        Prepared(tmp_path / "out")
    with raw.open("ab") as file:
        file.write(b"xy")
    assert len(Prepared(tmp_path / "out").verify()) == 1
    (tmp_path / "out" / "arrays.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="missing or damaged"):
        Prepared(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(DatasetError, match="not the manifest"):
        Prepared(tmp_path / "out")
    with pytest.raises(ValueError, match="did you mean 'flac'"):
        datasets.prepare(load(music), tmp_path / "x", "flak")


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_crops_of_an_mp3_at_every_rate_equal_the_whole(tmp_path, rate, channels, mode):
    """What is decoded before a crop must be long enough at each rate's frame length and lowest bit rate."""
    rng = np.random.default_rng(0)
    sound = bad_audio.sweep(9.0, rate, channels)
    sound[rate * 3 : rate * 7] *= 0.001  # quiet: few bits, many frames in the store
    soundfile.write(tmp_path / "a.mp3", sound, rate, format="MP3", bitrate_mode=mode, compression_level=0.8)
    whole = audio.read(tmp_path / "a.mp3", 16_000)
    for start in rng.integers(0, len(whole) - 16_000, 12):
        part = audio.read(tmp_path / "a.mp3", 16_000, int(start), 16_000)
        torch.testing.assert_close(part, whole[start : start + 16_000], atol=1e-4, rtol=0)
