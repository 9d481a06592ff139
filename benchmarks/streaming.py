"""Two processes stream one epoch: which example went where; and the memory that streaming takes.

``python -m benchmarks.streaming`` starts two processes with ``torchrun`` (gloo, two workers each) on shards that
divide evenly by nothing, trains a linear model with ``DistributedDataParallel`` in step, and writes
``benchmarks/results/streaming.csv``: a row per example with its process, worker, step and shard. It says whether
each example came exactly once, and both processes did as many steps. Then it streams 1, 4 and 16 times as much
data and writes the peak memory of a process to ``benchmarks/results/streaming_memory.csv``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

RESULTS = Path(__file__).with_name("results")
CROP, WORKERS = 16_000, 2


def train(folder: str) -> None:
    """What each of the two processes does."""
    import torch
    from torch import distributed

    from mclass import datasets

    distributed.init_process_group("gloo")
    stream = datasets.ShardStream(datasets.Shards(folder), CROP, batch_size=5, return_index=True)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=WORKERS)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(CROP, len(stream.shards.tags)))
    for step, (waveforms, labels, indices) in enumerate(loader):
        (model(waveforms) - labels).square().mean().backward()  # gradients are averaged: in step, or for ever
        for clip in indices.tolist():
            # In one piece: the processes write to the same pipe.
            sys.stdout.write(json.dumps([distributed.get_rank(), step % WORKERS, step, clip]) + "\n")
    distributed.destroy_process_group()


def peak(folder: str) -> None:
    """Stream once; print the most memory that this process had, in MB."""
    import resource

    from mclass import datasets

    stream = datasets.ShardStream(datasets.Shards(folder), CROP, batch_size=8, shuffle_buffer=64)
    clips = sum(len(waveforms) for waveforms, _ in stream)
    print(json.dumps([clips, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3]))


def _run(*command: str) -> list[list]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, env=environment, check=False
    )
    if result.returncode:
        raise SystemExit(result.stderr)
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]


def main(arguments: list[str] | None = None) -> None:
    """Stream, look, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--peak", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train or options.peak:
        return train(options.train) if options.train else peak(options.peak)

    from mclass import datasets
    from mclass.datasets.storage.tars import list_members

    etude = datasets.load("etude", num_tracks=48, clips_per_track=3, clip_seconds=10)
    with tempfile.TemporaryDirectory() as home:
        part = etude.subset(np.arange(101))
        shards = datasets.shard(part, Path(home, "two"), clips_per_shard=9, progress=False)
        held = {about["index"]: Path(path).name for path in shards.paths for about, _ in list_members(path)}
        torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "benchmarks.streaming")
        rows = sorted(_run(*torchrun, "--train", shards.root), key=lambda row: (row[2], row[0]))
        log = pd.DataFrame(rows, columns=["process", "worker", "step", "clip"])
        log["shard"] = [held[clip] for clip in log["clip"]]
        log.to_csv(RESULTS / "streaming.csv", index=False)
        times = Counter(log["clip"])
        steps = log.groupby("process")["step"].nunique().tolist()
        once = sorted(times) == list(range(len(part))) and set(times.values()) == {1}
        print(f"{len(part)} clips in {len(shards.paths)} shards, 2 processes x {WORKERS} workers")
        print(f"each exactly once: {once}; steps of the processes: {steps}")
        print(f"clips of the processes: {log['process'].value_counts().sort_index().tolist()}")
        if not once or len(set(steps)) != 1:
            raise SystemExit("not as promised")

        memory = []
        for times_as_much in (1, 4, 16):
            many = etude.subset(np.tile(np.arange(len(etude)), times_as_much))
            folder = Path(home, f"x{times_as_much}")
            datasets.shard(many, folder, clips_per_shard=48, encoding="wav", progress=False)
            [[clips, most]] = _run("benchmarks.streaming", "--peak", str(folder))
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            memory.append({"clips": clips, "shards (MB)": round(size), "peak memory (MB)": round(most)})
            print(memory[-1], flush=True)
        pd.DataFrame(memory).to_csv(RESULTS / "streaming_memory.csv", index=False)


if __name__ == "__main__":
    main()
