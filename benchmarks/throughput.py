"""Clips per second of whole training steps on a GPU, and how much of the time it waits for data.

    python -m benchmarks.throughput [--device cuda] [--workers 8]     # some minutes on a GPU
    python -m benchmarks.throughput --device cpu --batch-size 4 --steps 3 --warm-up 1    # does it run at all?

Two runs of the course at full size, on Etude, each in four ways:

* **CLMR**: SampleCNN on waveforms, 256 pairs of views, the chain of augmentations, NT-Xent;
* **Short-chunk CNN + Res**: 128 clips, tags.

Ways:

* *naive*: the loop by hand of notebook 04, in float32: one process reads, cuts and (for CLMR) augments, clip by
  clip, on the CPU; NT-Xent as six lines (`mclass.losses.naive_nt_xent`);
* *fit*: `mclass.training.fit` with worker processes; the whole batch is augmented on the device, where log-mel and
  loss are computed, too;
* *bf16*: the same with ``precision="bf16"``;
* *compiled*: that with ``compile=True``, which takes a minute or so before the first step.

A step is timed from the end of the one before it, when the device has finished, to its own. *waiting* is the share
of that in which there was no batch on the device yet: reading, cutting and copying that did not happen at the same
time as computing. The first steps are left out. Ways are measured in turns; the table has medians.

Writes ``benchmarks/results/throughput.csv``, unless the device is a CPU or sizes were changed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import mclass
from mclass import augmentations, losses, models, training
from mclass.datasets import EpochSampler, MusicDataset, RandomCrops
from mclass.datasets.views import Views
from mclass.metrics import UndefinedTagsWarning
from mclass.training.tasks.contrastive import projector

TABLE = Path(__file__).with_name("results") / "throughput.csv"
VALIDATION = 64  # clips: a run needs some, and they are not timed
WAYS = {  # what is not naive: options of `fit`
    "fit": {},
    "bf16": {"precision": "bf16"},
    "compiled": {"precision": "bf16", "compile": True},
}


@dataclass
class Clock:
    """Times of steps, and of waiting for their batches, in seconds."""

    device: torch.device
    steps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    _ended: float | None = None

    def begin(self) -> None:
        """The batch is there; the device has nothing else to do."""
        self._arrived = self._now()

    def end(self) -> None:
        """The step is done."""
        now = self._now()
        if self._ended is not None:
            self.steps.append(now - self._ended)
            self.waits.append(self._arrived - self._ended)
        self._ended = now

    def _now(self) -> float:
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()
        return time.perf_counter()

    def result(self, batch_size: int, warm_up: int) -> dict[str, float]:
        """Clips per second, and the share of time spent waiting."""
        steps, waits = sum(self.steps[warm_up:]), sum(self.waits[warm_up:])
        return {"rate": batch_size * len(self.steps[warm_up:]) / steps, "waiting": waits / steps}


@dataclass
class Job:
    """A run at full size."""

    model: str
    options: dict
    batch_size: int
    task: Callable[[models.WaveformModel], training.Task]
    examples: Callable[[MusicDataset, int, int], torch.utils.data.Dataset]
    naive_loss: Callable[[torch.nn.Module, torch.nn.Module, tuple], torch.Tensor]

    def network(self, num_tags: int) -> models.WaveformModel:
        torch.manual_seed(0)
        return models.create(self.model, num_tags=num_tags, **self.options)


def views(clips: MusicDataset, num_samples: int, rate: int) -> Views:
    """Two views of each clip, augmented one by one."""
    return Views(clips, num_samples, augment=augmentations.clmr(rate))


def naive_contrast(model: torch.nn.Module, head: torch.nn.Module, batch: tuple) -> torch.Tensor:
    z_i, z_j = (head(model.embed(batch[0][:, view])) for view in (0, 1))
    return losses.naive_nt_xent(z_i, z_j, 0.5).mean()


def naive_tagging(model: torch.nn.Module, head: torch.nn.Module, batch: tuple) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


JOBS = {
    "CLMR, SampleCNN": Job(
        "clmr_sample_cnn", {"sample_rate": 16_000}, 256, training.Contrastive, views, naive_contrast
    ),
    "Short-chunk CNN + Res": Job(
        "short_chunk_cnn_res",
        {},
        128,
        training.Tagging,
        lambda clips, num, _: RandomCrops(clips, num),
        naive_tagging,
    ),
}


def naive(job: Job, clips: MusicDataset, batch_size: int, clock: Clock) -> None:
    """The loop of notebook 04."""
    model = job.network(len(clips.tags)).to(clock.device).train()
    width = model.embed(torch.zeros(2, model.num_samples, device=clock.device)).shape[1]
    head = projector(width, 128).to(clock.device)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3)
    examples = job.examples(clips, model.num_samples, clips.sample_rate)
    for batch in DataLoader(examples, batch_size, sampler=EpochSampler(len(examples))):
        batch = tuple(part.to(clock.device) for part in batch)
        clock.begin()
        loss = job.naive_loss(model, head, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.end()


def fitted(
    job: Job, clips: MusicDataset, valid: MusicDataset, batch_size: int, clock: Clock, workers: int, **options
) -> None:
    """The same number of steps by `fit`."""
    task = job.task(job.network(len(clips.tags)))
    before, after = task.on_train_batch_start, task.on_train_batch_end

    def start(*arguments) -> None:
        before(*arguments)
        clock.begin()

    def end(*arguments) -> None:
        after(*arguments)
        clock.end()

    task.on_train_batch_start, task.on_train_batch_end = start, end
    options |= {"num_workers": workers, "accelerator": clock.device.type, "progress": False}
    training.fit(task, clips, valid, epochs=1, batch_size=batch_size, **options)


def measure(name: str, options: argparse.Namespace) -> list[dict]:
    """Rows of the table for one job."""
    job, device = JOBS[name], torch.device(options.device)
    batch_size = options.batch_size or job.batch_size
    train, valid, _ = mclass.datasets.load("etude").splits(by="artist")
    often = np.resize(np.arange(len(train)), batch_size * (1 + options.warm_up + options.steps))
    clips, valid = train.subset(often), valid.subset(np.arange(VALIDATION))
    found: dict[str, list[dict]] = {way: [] for way in ("naive", *WAYS) if way in options.ways}
    for _ in range(options.repeats):
        for way in found:
            clock = Clock(device)
            if way == "naive":
                naive(job, clips, batch_size, clock)
            else:
                fitted(job, clips, valid, batch_size, clock, options.workers, **WAYS[way])
            found[way].append(clock.result(batch_size, options.warm_up))
    rows = []
    for way, results in found.items():
        rate = statistics.median(one["rate"] for one in results)
        waiting = statistics.median(one["waiting"] for one in results)
        first = rows[0]["clips per second"] if rows else rate
        row = {"run": name, "batch": batch_size, "way": way, "clips per second": round(rate, 1)}
        rows.append(row | {"× naive": round(rate / first, 2), "waiting (%)": round(100 * waiting, 1)})
        print(" | ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure both runs; on a GPU and at full size, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="RUN", help=f"of {', '.join(JOBS)}; both unless given")
    parser.add_argument("--device", default=mclass.device(), choices=("cuda", "mps", "cpu"))
    parser.add_argument("--batch-size", type=int, help="256 and 128 unless given")
    parser.add_argument("--steps", type=int, default=30, help="that are timed (30)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before (5)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8, help="processes that read, for `fit` (8)")
    parser.add_argument("--ways", nargs="+", default=["naive", *WAYS], choices=["naive", *WAYS])
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in JOBS:
            parser.error(f"there is no run {name!r}; choose of {', '.join(JOBS)}")
    if options.device != mclass.device() and options.device != "cpu":
        parser.error(f"this machine has no {options.device}; torch can use {mclass.device()}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)
        table = pd.DataFrame([row for name in options.names or JOBS for row in measure(name, options)])
    table["device"] = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    table["made with"] = f"torch {torch.__version__}, {options.workers} workers"
    if options.device != "cpu" and not (options.names or options.batch_size or len(options.ways) < 1 + len(WAYS)):
        table.to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
