"""Every model in numbers: size, input, receptive field, multiply-adds and speed on this CPU.

``python -m benchmarks.models`` measures, prints the table, and writes it to ``mclass/models/measured.csv``, which
``mclass models`` and the book show.

* *Receptive field*: how much of the waveform one moment of ``model.features`` depends on, from the gradient:
  random weights, noise as input, every gradient other than zero counts. "all" where that is everything given.
* *Multiply-adds* of one chunk: half of what PyTorch's ``FlopCounterMode`` counts in convolutions, products and
  attention. Fourier transforms, pooling and activations are not counted.
* *Chunks per second*: prediction in float32, batches of 8 of the model's own chunks, the median of a few.
  Chunks are of different length; "× real time" is what compares models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

import mclass.models
from mclass import models
from mclass.inference import evaluating

TABLE = Path(mclass.models.__file__).with_name("measured.csv")


def receptive_field(model: models.WaveformModel) -> float:
    """In seconds; infinite if one moment of the features depends on all of eight chunks."""
    model.eval()
    for length in (2, 4, 8):  # in chunks; a field may be longer than the chunk, with zeros around it
        num_samples = length * model.num_samples
        torch.manual_seed(0)
        waveform = (0.3 * torch.randn(4 if length == 2 else 1, num_samples)).requires_grad_()
        try:
            features = model.features(waveform)
        except ValueError:  # longer than the model's positions
            break
        moment = features[..., features.shape[-1] // 2]
        (moment * torch.randn_like(moment)).sum().backward()
        (touched,) = waveform.grad.abs().sum(0).nonzero(as_tuple=True)
        if touched.min() > 0 and touched.max() < num_samples - 1:  # not cut off
            return (int(touched.max() - touched.min()) + 1) / model.sample_rate
    return float("inf")


def multiply_adds(model: models.WaveformModel) -> int:
    """Of one chunk."""
    with FlopCounterMode(display=False) as counter, evaluating(model):
        model(torch.zeros(1, model.num_samples))
    return counter.get_total_flops() // 2


def seconds_per_chunk(model: models.WaveformModel, batch_size: int = 8, repeats: int = 5) -> float:
    """Median over a few batches, after one to warm up."""
    waveforms = 0.1 * torch.randn(batch_size, model.num_samples, generator=torch.Generator().manual_seed(0))
    times = []
    with evaluating(model):
        for _ in range(repeats + 1):
            start = time.perf_counter()
            model(waveforms)
            times.append((time.perf_counter() - start) / batch_size)
    return statistics.median(times[1:])


def measure(name: str) -> dict:
    """One row of the table."""
    torch.manual_seed(0)
    model = models.create(name)
    chunk = model.num_samples / model.sample_rate
    field = receptive_field(model)
    speed = seconds_per_chunk(model)
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input": f"{chunk:.2f} s, {model.sample_rate / 1000:g} kHz",
        "front end": model.frontend.summary,
        "field (s)": "all" if field == float("inf") else f"{field:.2f}",
        "multiply-adds (M)": round(multiply_adds(model) / 1e6),
        "chunks/s": float(f"{1 / speed:.3g}"),
        "× real time": round(chunk / speed),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure every model, or those that are named (and then write nothing)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    names = parser.parse_args(arguments).names
    rows = []
    for name in names or models.list():
        rows.append(measure(name))
        print(*rows[-1].values(), sep=" | ", flush=True)
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, torch {torch.__version__}")
    if not names:
        pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
