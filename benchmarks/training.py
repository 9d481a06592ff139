"""How fast models train on this CPU: as published, with our exact rewrites, and in bf16.

``python -m benchmarks.training`` prints a table and writes it to ``benchmarks/results/training.csv``: the time of
one training step (forward, backward; batches of 16 of the model's own chunks), interleaved, the median of a few.

* *as published*: ``create(…, fast=False)``, every layer as the model's file has it, and memory as PyTorch lays it
  out by default. Only the log-mel front end is ours.
* *ours*: ``create(…)``: the same weights and numbers, up to rounding, with the fast forms of `mclass.models.fast`,
  and freed memory kept for the next step (see `mclass._utils.memory`), as `fit` does.
* *bf16*: ours with ``precision="bf16"``; other numbers. ``python -m experiments.precision`` shows what that costs.

``python -m benchmarks.training musicnn --batch-size 4 --repeats 7`` measures the named models and writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from mclass import models
from mclass.training import keep_freed_memory

TABLE = Path(__file__).with_name("results") / "training.csv"
MODELS = (
    "cnn_2d",
    "fcn",
    "crnn",
    "short_chunk_cnn",
    "short_chunk_cnn_res",
    "harmonic_cnn",
    "musicnn",
    "sample_cnn",
)


def step(model: nn.Module, waveforms: torch.Tensor, bf16: bool, keep: bool) -> float:
    """Seconds of one forward and backward pass."""
    with keep_freed_memory() if keep else nullcontext():
        if keep:  # the blocks of the step before are at hand, as in training
            _forward_backward(model, waveforms, bf16)
        start = time.perf_counter()
        _forward_backward(model, waveforms, bf16)
        return time.perf_counter() - start


def _forward_backward(model: nn.Module, waveforms: torch.Tensor, bf16: bool) -> None:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(waveforms).square().mean()
    loss.backward()


def measure(name: str, batch_size: int, repeats: int) -> dict:
    """One row of the table."""
    torch.manual_seed(0)
    model = models.create(name).train()
    original = models.create(name, fast=False).train()
    original.load_state_dict(model.state_dict())  # fills each in its own order of memory
    waveforms = 0.1 * torch.randn(batch_size, model.num_samples, generator=torch.Generator().manual_seed(0))
    variants = {
        "as published": (original, False, False),
        "ours": (model, False, True),
        "bf16": (model, True, True),
    }
    times = {variant: [] for variant in variants}
    _forward_backward(original, waveforms, False)  # warm up
    for _ in range(repeats):
        for variant, (network, bf16, keep) in variants.items():
            times[variant].append(step(network, waveforms, bf16, keep))
    median = {variant: statistics.median(values) for variant, values in times.items()}
    return {
        "model": name,
        **{f"{variant} (ms)": round(1000 * seconds) for variant, seconds in median.items()},
        "ours ×": round(median["as published"] / median["ours"], 2),
        "bf16 ×": round(median["as published"] / median["bf16"], 2),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure every model, or those that are named (and then write nothing)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    rows = []
    for name in options.names or MODELS:
        rows.append(measure(name, options.batch_size, options.repeats))
        print(" | ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if not options.names:
        pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
