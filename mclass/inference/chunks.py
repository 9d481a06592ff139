"""Chunks: cut from a stream of samples, and run through a model in batches.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mclass.models import WaveformModel

# Audio in one forward pass, in seconds at 16 kHz. On a CPU small batches are as fast as any (what one layer leaves
# is still in the cache when the next one reads it) and take little memory; a GPU wants work for all of its units.
_CPU_SECONDS, _GPU_SECONDS = 12, 200


def chunks_per_batch(model: WaveformModel, batch_size: int | None = None, cpu_seconds: int = _CPU_SECONDS) -> int:
    """How many chunks to run at once: `batch_size` if it is given, else by the model's chunk and its device.

    `cpu_seconds` is how much audio, at 16 kHz, a CPU is to take.

    Raises
    ------
    ValueError
        If `batch_size` is not a positive integer.

    Examples
    --------
    >>> from mclass import models
    >>> chunks_per_batch(models.create("cnn_1d")), chunks_per_batch(models.create("fcn"))
    (4, 1)
    """
    if batch_size is None:
        seconds = cpu_seconds if next(model.parameters()).device.type == "cpu" else _GPU_SECONDS
        return max(1, seconds * 16_000 // model.num_samples)
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(
            f"batch_size is a number of chunks and must be an integer of at least 1, got {batch_size!r}"
        )
    return int(batch_size)


def cut(blocks: Iterable[torch.Tensor], num_samples: int, hop: int, batch_size: int) -> Iterator[torch.Tensor]:
    """Cut a stream into chunks, `batch_size` at a time; only what these chunks need is in memory.

    The samples after the last complete chunk are dropped. A stream shorter than one chunk is padded with zeros.

    Parameters
    ----------
    blocks : iterable of torch.Tensor, shape (samples,)
        Consecutive pieces of one waveform, of any lengths.
    num_samples, hop : int
        Length of a chunk, and distance between the starts of two.
    batch_size : int

    Yields
    ------
    torch.Tensor, shape (chunks, num_samples)

    Examples
    --------
    >>> blocks = torch.arange(8).split(3)
    >>> [batch.tolist() for batch in cut(blocks, num_samples=3, hop=2, batch_size=2)]
    [[[0, 1, 2], [2, 3, 4]], [[4, 5, 6]]]
    """
    step = batch_size * hop  # from the start of a batch to the start of the next
    needed = max((batch_size - 1) * hop + num_samples, step)
    waiting, length, any_yet = [], 0, False
    for block in blocks:
        waiting.append(block)
        length += len(block)
        if length < needed:
            continue
        samples = torch.cat(waiting)
        while len(samples) >= needed:
            yield samples[:needed].unfold(0, num_samples, hop)[:batch_size]
            samples, any_yet = samples[step:], True
        waiting, length = [samples], len(samples)
    rest = torch.cat(waiting) if waiting else torch.zeros(0)
    if len(rest) >= num_samples:
        yield rest.unfold(0, num_samples, hop)
    elif not any_yet:
        yield torch.nn.functional.pad(rest, (0, num_samples - len(rest)))[None]


def chunk_probabilities(model: WaveformModel, chunks: torch.Tensor, batch_size: int | None = None) -> torch.Tensor:
    """Map chunks, shape ``(n, samples)``, to probabilities, shape ``(n, num_tags)``, `batch_size` at a time."""
    device = next(model.parameters()).device
    logits = [model(part.to(device)) for part in chunks.split(chunks_per_batch(model, batch_size))]
    return model.probabilities(torch.cat(logits).float())


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode, no gradients; afterwards every part of the model is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def check_hop(hop: int | None) -> int | None:
    """Refuse a hop that is not a positive number of samples."""
    if hop is not None and (isinstance(hop, bool) or not isinstance(hop, (int, np.integer)) or hop < 1):
        raise ValueError(
            f"hop is a distance in samples and must be an integer of at least 1, got {hop!r} (seconds?)"
        )
    return hop


def check_model(model: WaveformModel) -> None:
    """Refuse the name or the path of a model: only the command line takes these."""
    if isinstance(model, (str, os.PathLike)):
        raise TypeError(
            f"model must be a model, got {model!r}; load it first: mclass.pretrained.load('mtat/musicnn') or "
            "mclass.models.load('runs/mine/model.pt')"
        )
