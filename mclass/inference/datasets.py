"""Probabilities of the clips of a data set.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from mclass._utils.memory import keep_freed_memory
from mclass.datasets import Chunks, MusicDataset
from mclass.errors import ModelError
from mclass.inference.chunks import check_hop, check_model, chunk_probabilities, chunks_per_batch, evaluating
from mclass.models import WaveformModel


def predict(
    model: WaveformModel,
    dataset: MusicDataset,
    *,
    hop: int | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Probabilities of each clip: the mean over its chunks.

    Parameters
    ----------
    model : WaveformModel
        Stays on its device; is in eval mode meanwhile.
    dataset : MusicDataset
        Clips shorter than one chunk are padded with zeros.
    hop : int, optional
        Distance between chunk starts in samples; the length of a chunk if not given.
    batch_size : int, optional
        Chunks per forward pass; bounds the memory. By default what is fast (see `chunks_per_batch`).
    progress : bool
        Show a bar.

    Returns
    -------
    np.ndarray, shape (n, num_tags), float32

    Raises
    ------
    ModelError
        If model and data set have different sample rates.

    Examples
    --------
    >>> from mclass import datasets, models
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> predict(models.create("cnn_1d"), etude).shape
    (24, 50)
    """
    scores, owners = predict_chunks(model, dataset, hop=hop, batch_size=batch_size, progress=progress)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))  # owners rise, and each clip has at least one chunk
    counts = np.diff(starts, append=len(owners))
    return np.add.reduceat(scores, starts, axis=0) / counts[:, None].astype(scores.dtype)


def predict_chunks(
    model: WaveformModel,
    dataset: MusicDataset,
    *,
    hop: int | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of each chunk, to compare chunk level with clip level.

    Parameters and errors are those of `predict`.

    Returns
    -------
    scores : np.ndarray, shape (num_chunks, num_tags), float32
    owners : np.ndarray, shape (num_chunks,)
        Index of the clip that each chunk was cut from, in rising order.
    """
    check_model(model)
    check_sample_rate(model, dataset)
    batch_size = chunks_per_batch(model, batch_size)
    chunks = Chunks(dataset, model.num_samples, hop=check_hop(hop), pad=True)
    clips = (chunks[i][0] for i in range(len(chunks)))
    if progress:
        from tqdm import tqdm

        clips = tqdm(clips, total=len(chunks), unit="clip", desc="predict")
    scores, owners = [], []
    with evaluating(model), keep_freed_memory():
        for first, group in _groups(clips, batch_size):
            scores.append(chunk_probabilities(model, torch.cat(group), batch_size).cpu())
            owners += [first + i for i, clip in enumerate(group) for _ in range(len(clip))]
    return torch.cat(scores).numpy(), np.array(owners)


def check_sample_rate(model: WaveformModel, dataset: MusicDataset) -> None:
    """Refuse a data set whose sample rate is not the model's."""
    if dataset.sample_rate != model.sample_rate:
        raise ModelError(
            f"the model expects {model.sample_rate} Hz and {dataset.name!r} has {dataset.sample_rate} Hz; "
            f"load the data set with sample_rate={model.sample_rate} where it takes that option"
        )


def _groups(clips: Iterator[torch.Tensor], num_chunks: int) -> Iterator[tuple[int, list[torch.Tensor]]]:
    """Gather clips until they make about `num_chunks` chunks; yields the first clip's index and the clips."""
    group, first, total = [], 0, 0
    for index, clip in enumerate(clips):
        group.append(clip)
        total += len(clip)
        if total >= num_chunks:
            yield first, group
            group, first, total = [], index + 1, 0
    if group:
        yield first, group
