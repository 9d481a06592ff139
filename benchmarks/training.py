"""How fast the 2D-CNN trains and predicts on this CPU, and what each exact rewrite brings.

``python -m benchmarks.training`` prints a table: 3-second chunks per second, forward and backward, best of a few
interleaved runs. The first row is the network as published, in plain PyTorch.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch

from mclass import models
from mclass.inference import chunk_probabilities, evaluating
from mclass.memory import keep_freed_memory
from mclass.models.blocks import ConvBlock2d


class PublishedBlock(ConvBlock2d):
    """Convolution, batch norm, ReLU, max-pooling, in this order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(torch.relu(self.norm(self.conv(x))))


def cnn_2d(published: bool, channels_last: bool) -> torch.nn.Module:
    """The 2D-CNN with or without the rewrites of its blocks."""
    torch.manual_seed(0)
    model = models.create("cnn_2d")
    for block in model.blocks:
        block.__class__ = PublishedBlock if published else ConvBlock2d
    return model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def step_seconds(model: torch.nn.Module, waveforms: torch.Tensor, bf16: bool = False) -> float:
    """Seconds of one forward and backward pass, the faster of two after one to warm up."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(waveforms).square().mean()
        model.zero_grad()
        loss.backward()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main(batch_sizes: tuple[int, ...] = (16, 32, 64), repeats: int = 3) -> None:
    """Print the table."""
    # what is in force: (as published, channels last, freed memory kept, bf16)
    variants = {
        "as published": (True, False, False, False),
        "ReLU after pooling": (False, False, False, False),
        "+ channels last": (False, True, False, False),
        "+ freed memory kept (= fit)": (False, True, True, False),
        "+ bf16 (not exact)": (False, True, True, True),
    }
    print(f"2D-CNN, 3-s chunks per second, forward + backward, {torch.get_num_threads()} threads")
    print(f"{'batch':30s}" + "".join(f"{size:>8d}" for size in batch_sizes))
    best = dict.fromkeys(((name, size) for name in variants for size in batch_sizes), float("inf"))
    for size in batch_sizes:
        waveforms = 0.1 * torch.randn(size, 48000, generator=torch.Generator().manual_seed(0))
        for _ in range(repeats):
            for name, (published, channels_last, keep, bf16) in variants.items():
                with keep_freed_memory() if keep else nullcontext():
                    seconds = step_seconds(cnn_2d(published, channels_last), waveforms, bf16)
                best[name, size] = min(best[name, size], seconds)
    for name in variants:
        print(f"{name:30s}" + "".join(f"{size / best[name, size]:8.0f}" for size in batch_sizes))
    model, waveforms = models.create("cnn_2d"), 0.1 * torch.randn(64, 48000)
    with evaluating(model):
        for name, context in {"predict": nullcontext, "predict, freed memory kept": keep_freed_memory}.items():
            with context():
                chunk_probabilities(model, waveforms)
                start = time.perf_counter()
                chunk_probabilities(model, waveforms)
                print(f"{name:30s}{64 / (time.perf_counter() - start):8.0f}")


if __name__ == "__main__":
    main()
