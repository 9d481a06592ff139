"""Shards: each example exactly once per epoch, the same crops as without shards, and what damage does."""

import collections
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclass import datasets
from mclass.datasets import workers
from mclass.datasets.storage import sharding, streaming
from mclass.datasets.storage.sharded import Sharded
from mclass.datasets.storage.shards import expand_braces, read_index
from mclass.datasets.storage.tars import DamagedShard, list_members
from mclass.errors import DatasetError

CROP = 8000


@pytest.fixture(scope="module")
def etude():
    return datasets.load("etude", num_tracks=41, clips_per_track=2, clip_seconds=1)


@pytest.fixture(scope="module")
def folder(etude, tmp_path_factory):
    """Shards of 7 clips, of which the last has fewer."""
    out = tmp_path_factory.mktemp("shards") / "etude"
    datasets.shard(etude, out, clips_per_shard=7, by="track", workers=1, progress=False)
    return out


@pytest.fixture
def damaged(folder, tmp_path):
    """A copy to damage."""
    return shutil.copytree(folder, tmp_path / "copy")


def stream(where, **options):
    return datasets.ShardStream(datasets.Shards(where), CROP, return_index=True, **options)


def in_worker(number, count, monkeypatch):
    info = SimpleNamespace(id=number, num_workers=count) if count else None
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: info)


def batches_of(source):
    return [batch[2].tolist() for batch in source]


def clips_of(source):
    return [index for batch in batches_of(source) for index in batch]


# Who reads what


@given(
    total=st.integers(1, 2000),
    world_size=st.integers(1, 9),
    num_workers=st.integers(1, 5),
    batch_size=st.integers(1, 40),
)
@settings(max_examples=300, deadline=None)
def test_stretches_cover_the_row_once_in_the_same_number_of_steps(total, world_size, num_workers, batch_size):
    if total < world_size:
        with pytest.raises(DatasetError, match="use fewer"):
            streaming.stretch(total, 0, world_size, batch_size)
        return
    read, steps = [], set()
    for rank in range(world_size):
        first, sizes = streaming.stretch(total, rank, world_size, batch_size)
        steps.add(len(sizes))
        assert max(sizes) <= max(batch_size, 2)
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
        made = []
        for worker in range(num_workers):
            before, mine = streaming.worker_stretch(sizes, worker, num_workers)
            read += range(first + before, first + before + sum(mine))
            made.append(mine)
        # A data loader takes a batch from each worker in turn.
        assert [made[step % num_workers][step // num_workers] for step in range(len(sizes))] == sizes
    assert sorted(read) == list(range(total))
    assert len(steps) == 1
    assert batch_size == 1 or steps.pop() == -(-total // (world_size * batch_size))


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("num_workers", [0, 1, 2, 4])
def test_each_example_exactly_once(folder, world_size, num_workers, monkeypatch):
    total = len(datasets.Shards(folder))
    seen = collections.Counter()
    for rank in range(world_size):
        source = stream(folder, batch_size=4, rank=rank, world_size=world_size)
        source.set_epoch(3)
        for worker in range(max(num_workers, 1)):
            in_worker(worker, num_workers, monkeypatch)
            for batch in batches_of(source):
                seen.update(batch)
    assert seen == dict.fromkeys(range(total), 1)


def test_workers_that_outlive_an_epoch_hear_of_the_next(folder):
    source = stream(folder, batch_size=4, shuffle_buffer=8)
    loader = torch.utils.data.DataLoader(source, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1):
        source.set_epoch(epoch)
        orders.append(batches_of(loader))
        assert len(orders[-1]) == len(loader) == len(source)
        assert sorted([i for batch in orders[-1] for i in batch]) == list(range(len(source.shards)))
    assert orders[0] != orders[1]


def test_crops_are_those_of_random_crops(etude, folder):
    train = etude.splits("track")[0]
    source = stream(folder, batch_size=5, seed=7)
    crops = datasets.RandomCrops(train, CROP, seed=7)
    for epoch in (0, 2):
        source.set_epoch(epoch)
        for waveforms, labels, indices in source:
            for waveform, row, index in zip(waveforms, labels, indices.tolist(), strict=True):
                expected, tags = crops[(epoch, index)]
                torch.testing.assert_close(waveform, expected, atol=1 / 32768, rtol=0)
                assert torch.equal(row, tags)


def test_order_depends_on_seed_and_epoch_alone(folder):
    def order(seed, epoch):
        source = stream(folder, batch_size=100, seed=seed)
        source.set_epoch(epoch)
        return batches_of(source)

    assert order(1, 4) == order(1, 4)
    assert len({tuple(order(seed, epoch)[0]) for seed in (1, 2) for epoch in (4, 5)}) == 4


def test_a_small_buffer_still_mixes_and_memory_does_not_grow(etude, tmp_path):
    peaks = []
    for copies in (1, 4):
        many = etude.subset(np.tile(np.arange(30), copies))
        datasets.shard(many, tmp_path / str(copies), clips_per_shard=10, encoding="npy", progress=False)
        source = stream(tmp_path / str(copies), batch_size=4, shuffle_buffer=8)
        tracemalloc.start()
        for batch in source:
            del batch
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 40 * 4 * CROP


TWO_PROCESSES = """
    import json, os, sys, torch
    import torch.distributed as dist
    from mclass import datasets
    dist.init_process_group("gloo")
    source = datasets.ShardStream(datasets.Shards(sys.argv[1]), 8000, batch_size=4, return_index=True)
    loader = torch.utils.data.DataLoader(source, batch_size=None, num_workers=2)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8000, 50))
    for step, (waveforms, labels, indices) in enumerate(loader):
        model(waveforms).square().mean().backward()  # waits for the other process: hangs if that has fewer steps
        sys.stdout.write(json.dumps([dist.get_rank(), step, indices.tolist()]) + "\\n")
    dist.destroy_process_group()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over loopback")
def test_two_processes_share_an_epoch(folder, tmp_path):
    (tmp_path / "train.py").write_text(textwrap.dedent(TWO_PROCESSES))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run(
        [*command, tmp_path / "train.py", folder],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    total = len(datasets.Shards(folder))
    assert total % 2 or total % 8  # it does not divide evenly
    assert sorted(i for _, _, indices in rows for i in indices) == list(range(total))
    steps = collections.Counter(rank for rank, _, _ in rows)
    assert steps[0] == steps[1] > 1


# What is in them


@pytest.mark.parametrize("encoding", ["flac", "wav", "npy"])
def test_the_same_data_set(etude, tmp_path, encoding):
    shards = datasets.shard(etude, tmp_path / "out", encoding=encoding, clips_per_shard=20, progress=False)
    back = datasets.load("shards", root=tmp_path / "out")
    assert (back.name, back.tags, back.sample_rate, back.multilabel) == ("etude", etude.tags, 16_000, True)
    for mine, theirs in zip(back.splits(), etude.splits(), strict=True):
        np.testing.assert_array_equal(mine.labels, theirs.labels)
        np.testing.assert_array_equal(mine.track_ids, theirs.track_ids.astype(str))
        np.testing.assert_array_equal(mine.artist_ids, theirs.artist_ids.astype(str))
        for i in range(0, len(mine), 7):
            assert torch.equal(mine.waveform(i, 100, 900), theirs.waveform(i, 100, 900))
    np.testing.assert_array_equal(shards.tag_counts, etude.splits()[0].labels.sum(0))
    assert len(Sharded(tmp_path / "out", part="valid")) == len(etude.splits()[1])
    with pytest.raises(ValueError, match="were split when they were written"):
        back.splits("artist")


def test_size_of_shards(etude, tmp_path):
    shards = datasets.shard(etude, tmp_path / "out", encoding="wav", megabytes=0.2, progress=False)
    sizes = [os.path.getsize(path) for path in shards.paths]
    assert max(sizes) < 0.25e6
    assert min(sizes) > 0.5 * max(sizes)


def test_bytes_depend_on_data_options_and_seed_alone(etude, tmp_path, monkeypatch):
    def digests(name, **options):
        out = tmp_path / name
        datasets.shard(etude, out, clips_per_shard=30, progress=False, **options)
        return [record["sha256"] for record in json.loads((out / "index.json").read_text())["shards"]]

    first = digests("a", workers=1)
    monkeypatch.setattr(workers, "_FEW", 0)
    assert digests("b", workers=2) == first
    assert not set(digests("c", workers=1, seed=1)) & set(first)


def test_webdataset_reads_them(folder):
    webdataset = pytest.importorskip("webdataset")
    shards = datasets.Shards(folder)
    examples = list(webdataset.WebDataset(shards.paths, shardshuffle=False))
    assert sorted(json.loads(one["json"])["index"] for one in examples) == list(range(len(shards)))
    assert all(one["flac"].startswith(b"fLaC") for one in examples)


def test_a_view_becomes_training_shards(etude, tmp_path):
    part = etude.subset(range(5))
    assert len(datasets.shard(part, tmp_path / "out", progress=False)) == 5
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["index.json", "train-0000.tar"]


# Which shards


def test_names(folder, tmp_path, monkeypatch):
    everything = datasets.Shards(folder).paths
    assert datasets.Shards(f"{folder}/train-{{0000..0002}}.tar").paths == everything[:3]
    assert datasets.Shards(f"{folder}/train-*.tar").paths == everything
    assert datasets.Shards(everything[1:3]).paths == everything[1:3]
    monkeypatch.chdir(folder)
    assert len(datasets.Shards("train-{0000..0002}.tar")) == 21
    assert datasets.Shards(folder, part="test").part == "test"
    assert expand_braces("a{1..2}b{08..09}") == ["a1b08", "a1b09", "a2b08", "a2b09"]
    address = datasets.Shards(f"file://{folder}")
    source = datasets.ShardStream(address, CROP, batch_size=100, return_index=True)
    assert sorted(clips_of(source)) == list(range(len(address)))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "train-{0000..0099}.tar",
            "train-0009.tar: the index does not know this shard. It knows train-0000.tar to train-0008.tar",
        ),
        ("train-{2..1}.tar", r"write {1\.\.2}"),
        ("*.tar", "different parts"),
        ("train-x.tar", "does not know this shard"),
        ("nothing/train-0000.tar", r"nothing/index.json: No such file"),
    ],
)
def test_names_that_are_refused(folder, pattern, message):
    with pytest.raises(DatasetError, match=message):
        datasets.Shards(f"{folder}/{pattern}")


def test_other_refusals(etude, folder, tmp_path):
    with pytest.raises(DatasetError, match="is named twice"):
        datasets.Shards([f"{folder}/train-0000.tar"] * 2)
    with pytest.raises(DatasetError, match="in one folder"):
        datasets.Shards([f"{folder}/train-0000.tar", f"{tmp_path}/train-0001.tar"])
    with pytest.raises(ValueError, match="did you mean 'train'"):
        datasets.Shards(folder, part="training")
    with pytest.raises(DatasetError, match="shortest clip has 16000 samples, less than the 20000"):
        datasets.ShardStream(datasets.Shards(folder), 20_000)
    padded = datasets.ShardStream(datasets.Shards(folder), 20_000, pad=True)
    assert next(iter(padded))[0].shape == (15, 20_000)
    (tmp_path / "index.json").write_text('{"format": "other"}')
    with pytest.raises(DatasetError, match="its format is 'other'"):
        datasets.Shards(tmp_path)
    with pytest.raises(DatasetError, match="not empty"):
        datasets.shard(etude, tmp_path, progress=False) if (tmp_path / "index.json").rename(
            tmp_path / "x"
        ) else None
    with pytest.raises(DatasetError, match="already holds shards"):
        datasets.shard(etude, folder, clips_per_shard=8, progress=False)
    assert len(datasets.shard(etude, folder, clips_per_shard=7, by="track", progress=False)) == 58


# Damage


def damage(path, kind):
    """Spoil one shard; returns what must be said about it."""
    place = list_members(path)[2][1][1]  # where the third sound begins
    data = bytearray(path.read_bytes())
    if kind == "gone":
        path.unlink()
        return "no such shard"
    if kind == "cut":
        data = data[: place + 700]
    elif kind == "sound":
        data[place + 700] ^= 0xFF
    elif kind == "header":
        data[place - 512 : place - 400] = bytes(112 * [7])
    elif kind == "json":
        place -= 1024
        data[place : place + 4] = b"}}}}"
    elif kind == "empty":
        data = b""
    elif kind == "text":
        data = b"this is not a tar file\n" * 500
    path.write_bytes(data)
    return {
        "cut": "(cut off|unexpected end)", "sound": r"\d+.flac' is damaged: its checksum differs",
        "header": "ends after 2 of 7 clips, at member", "json": r"the json of member '\d+.flac' is damaged",
        "empty": "(empty|cut off)", "text": "damaged",
    }[kind]  # fmt: skip


KINDS = ["gone", "cut", "sound", "header", "json", "empty", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_shard_is_named(damaged, kind):
    message = damage(damaged / "train-0003.tar", kind)
    with pytest.raises(DamagedShard, match=f"train-0003.tar.*{message}"):
        batches_of(stream(damaged))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_shard_is_passed_over_and_counted(damaged, kind):
    damage(damaged / "train-0003.tar", kind)
    whole = stream(damaged).sizes
    source = stream(damaged, on_error="skip")
    with pytest.warns(UserWarning, match=r"train-0003.tar.*skipped\)"):
        read = batches_of(source)
    assert [len(batch) for batch in read] == whole  # as many steps as the other processes
    lost = {"gone": 7, "empty": 7, "text": 7, "cut": 5, "header": 5}.get(kind, 1)
    assert source.skipped == lost
    assert len({i for batch in read for i in batch}) == len(source.shards) - lost


def test_nothing_readable_at_all(damaged):
    for path in damaged.glob("*.tar"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(DatasetError, match="not one of"):
        batches_of(stream(damaged, on_error="skip"))


def rewrite(path, change):
    """Pack a shard again with members changed by ``change(name, content)``, which gives name, content and size."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with open(path, "wb") as file:
        for name, content in members:
            name, content, size = change(name, content)
            member = tarfile.TarInfo(name)
            member.size = size
            file.write(member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
        file.write(bytes(1024))


def test_paths_that_lead_elsewhere_are_only_names(damaged, tmp_path):
    rewrite(damaged / "train-0001.tar", lambda name, content: (f"../../{name}", content, len(content)))
    rewrite(damaged / "train-0002.tar", lambda name, content: (f"/tmp/mclass/{name}", content, len(content)))
    before = sorted(tmp_path.rglob("*"))
    assert sorted(clips_of(stream(damaged))) == list(range(58))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_of_absurd_size(damaged):
    rewrite(damaged / "train-0001.tar", lambda name, content: (name, content, 1 << 50))
    with pytest.raises(DamagedShard, match=r"train-0001.tar: member '\d+.json' claims \d+ bytes, which is absurd"):
        batches_of(stream(damaged))


def test_links_and_folders_among_the_members_are_passed_over(damaged):
    path = damaged / "train-0001.tar"
    content = path.read_bytes()
    extra = io.BytesIO()
    with tarfile.open(fileobj=extra, mode="w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "x.json"), (tarfile.DIRTYPE, "folder"), (tarfile.LNKTYPE, "y.flac")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    path.write_bytes(extra.getvalue()[: 3 * 512] + content)
    assert len(clips_of(stream(damaged))) == 58


def test_labels_that_the_index_does_not_know(damaged):
    def change(name, content):
        if name.endswith(".json"):
            content = json.dumps(json.loads(content) | {"tags": ["polka"]}).encode()
        return name, content, len(content)

    rewrite(damaged / "train-0001.tar", change)
    with pytest.raises(DamagedShard, match=r"train-0001.tar: \d+.json: KeyError 'polka'"):
        batches_of(stream(damaged))


# Killed, full, at once


KILLED = """
    import time
    from mclass import datasets
    from mclass.datasets.storage import sharding
    encode = sharding._encode
    sharding._encode = lambda *arguments: time.sleep(0.05) or encode(*arguments)
    etude = datasets.load("etude", num_tracks=41, clips_per_track=2, clip_seconds=1)
    datasets.shard(etude, {out!r}, clips_per_shard=7, by="track", workers=1, progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_killed_and_resumed_equals_never_killed(etude, folder, tmp_path, monkeypatch):
    out, journal = tmp_path / "out", tmp_path / ".out.unfinished" / "finished.jsonl"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED.format(out=str(out)))])
    while not journal.exists() or len(journal.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(DatasetError, match=f"is being written by process {process.pid} of this machine since 2"):
        datasets.shard(etude, out, clips_per_shard=7, by="track", progress=False)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (journal.parent / "train-0001.tar").write_bytes(b"spoiled by a power failure")
    made, write = [], sharding._write_shard
    monkeypatch.setattr(sharding, "_write_shard", lambda *a: made.append(a) or write(*a))
    datasets.shard(etude, out, clips_per_shard=7, by="track", workers=1, progress=False)
    assert len(made) < len(list(out.glob("*.tar"))) - 1
    for path in folder.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert len(list(out.iterdir())) == len(list(folder.iterdir()))


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_named_and_nothing_is_lost(etude, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(DatasetError, match=r"the disk is full .* goes on from there"):
            datasets.shard(etude, tmp_path / "out", clips_per_shard=30, workers=1, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / ".out.unfinished").glob("*.tar"))
    assert len(datasets.shard(etude, tmp_path / "out", clips_per_shard=30, progress=False)) > 0


def test_clips_that_cannot_be_decoded(etude, tmp_path):
    class Broken(datasets.Subset):
        def waveform(self, index, *arguments):
            if index == 3:
                raise DatasetError("it is broken.")
            return super().waveform(index, *arguments)

    part = Broken(etude, range(6))
    with pytest.raises(DatasetError, match=r"clip 1 .* cannot be decoded: it is broken"):
        datasets.shard(part, tmp_path / "out", progress=False)
    shutil.rmtree(tmp_path / ".out.unfinished")
    shards = datasets.shard(part, tmp_path / "out", on_error="skip", progress=False)
    assert len(shards) == 5
    assert [clip["reason"] for clip in read_index(tmp_path / "out")["left_out"]] == ["it is broken."]
    assert sorted(clips_of(stream(tmp_path / "out"))) == [0, 1, 2, 4, 5]
