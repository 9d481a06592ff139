"""From a trained model to tags: cut into chunks, predict each, average.

A model hears a few seconds at a time. What it says about a whole clip is the mean of the probabilities of the
clip's chunks; the table of all chunks, the *taggram*, shows how the tags change over time.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mclass.audio import read, resample
from mclass.datasets import Chunks, MusicDataset
from mclass.errors import AudioError, ModelError
from mclass.memory import keep_freed_memory
from mclass.models import WaveformModel


@dataclass
class TagResult:
    """What a model hears in one recording.

    Attributes
    ----------
    tags : list of str
    scores : np.ndarray, shape (num_tags,)
        Probabilities for the whole recording: the mean of the taggram.
    taggram : np.ndarray, shape (chunks, num_tags)
        Probabilities for each chunk.
    hop_seconds : float
        Distance between the starts of two chunks.

    Examples
    --------
    >>> chunks = np.array([[0.9, 0.2], [0.7, 0.4]])
    >>> result = TagResult(["slow", "harp"], chunks.mean(axis=0), chunks, hop_seconds=3.0)
    >>> result.top(1), result.times.tolist()
    ([('slow', 0.8)], [0.0, 3.0])
    """

    tags: list[str]
    scores: np.ndarray = field(repr=False)
    taggram: np.ndarray = field(repr=False)
    hop_seconds: float

    @property
    def times(self) -> np.ndarray:
        """Start of each chunk in seconds, shape ``(chunks,)``."""
        return np.arange(len(self.taggram)) * self.hop_seconds

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` most probable tags with their scores, best first."""
        if k < 1:
            raise ValueError(f"k is the number of tags to list and must be at least 1, got {k}")
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.tags[i], float(self.scores[i])) for i in order]

    def plot(self, k: int = 10) -> Any:
        """Draw the `k` most probable tags over time; returns a matplotlib figure (see `mclass.plot.taggram`)."""
        from mclass.plot import taggram

        return taggram(self.taggram, self.tags, self.hop_seconds, k)


def predict(
    model: WaveformModel,
    dataset: MusicDataset,
    *,
    hop: int | None = None,
    batch_size: int = 32,
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
    batch_size : int
        Chunks per forward pass; bounds the memory.
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
    batch_size: int = 32,
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
    check_sample_rate(model, dataset)
    chunks = Chunks(dataset, model.num_samples, hop=_check_hop(hop), pad=True)
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


def tag(
    audio: str | os.PathLike | np.ndarray | torch.Tensor,
    model: WaveformModel,
    sample_rate: int | None = None,
    hop: int | None = None,
) -> TagResult:
    """Tag one recording.

    Parameters
    ----------
    audio : path, or array of shape (samples,)
        A file of any sample rate and number of channels, or a mono waveform between -1 and 1.
    model : WaveformModel
        With its `tags`, as `mclass.models.load` or training leaves it.
    sample_rate : int, optional
        Of the array, in Hz; it is resampled where the model expects another. A file knows its own.
    hop : int, optional
        Distance between chunk starts in samples at the model's rate; the length of a chunk if not given.

    Returns
    -------
    TagResult

    Raises
    ------
    AudioError
        If the recording cannot be read, is empty, or is not finite; if a file is silent.
    ModelError
        If the model does not know its tags.

    Examples
    --------
    >>> from mclass import models
    >>> model = models.create("cnn_1d", num_tags=2)
    >>> model.tags = ["guitar", "sitar"]
    >>> result = tag(np.zeros(22050 * 7), model, sample_rate=22050)
    >>> result.taggram.shape, result.times.tolist()
    ((2, 2), [0.0, 3.0])
    """
    if model.tags is None:
        raise ModelError("the model has no tags; train it, load it with mclass.models.load, or set model.tags")
    hop = _check_hop(hop) or model.num_samples
    if isinstance(audio, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError("sample_rate is for arrays; a file knows its own")
        waveform = read(audio, model.sample_rate)
        if not waveform.any():
            raise AudioError(f"{audio}: the file is silent, every sample is zero; there is nothing to tag")
    else:
        waveform = _from_array(audio, sample_rate, model.sample_rate)
    if len(waveform) < model.num_samples:
        waveform = torch.nn.functional.pad(waveform, (0, model.num_samples - len(waveform)))
    chunks = waveform.unfold(0, model.num_samples, hop)
    with evaluating(model), keep_freed_memory():
        taggram = chunk_probabilities(model, chunks).cpu().numpy()
    return TagResult(list(model.tags), taggram.mean(axis=0), taggram, hop / model.sample_rate)


def chunk_probabilities(model: WaveformModel, chunks: torch.Tensor, batch_size: int = 32) -> torch.Tensor:
    """Map chunks, shape ``(n, samples)``, to probabilities, shape ``(n, num_tags)``, `batch_size` at a time."""
    device = next(model.parameters()).device
    logits = [model(part.to(device)) for part in chunks.split(batch_size)]
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


def check_sample_rate(model: WaveformModel, dataset: MusicDataset) -> None:
    """Refuse a data set whose sample rate is not the model's."""
    if dataset.sample_rate != model.sample_rate:
        raise ModelError(
            f"the model expects {model.sample_rate} Hz and {dataset.name!r} has {dataset.sample_rate} Hz; "
            f"load the data set with sample_rate={model.sample_rate} where it takes that option"
        )


def _check_hop(hop: int | None) -> int | None:
    if hop is not None and (not isinstance(hop, (int, np.integer)) or hop < 1):
        raise ValueError(
            f"hop is a distance in samples and must be an integer of at least 1, got {hop!r} (seconds?)"
        )
    return hop


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


def _from_array(audio: np.ndarray | torch.Tensor, sample_rate: int | None, wanted: int) -> torch.Tensor:
    if sample_rate is None:
        raise ValueError("an array does not say its sample rate; give sample_rate= in Hz")
    if isinstance(sample_rate, bool) or not sample_rate > 0:
        raise ValueError(f"sample_rate must be positive, in Hz, got {sample_rate!r}")
    array = np.asarray(audio.detach().cpu() if isinstance(audio, torch.Tensor) else audio)
    if array.ndim != 1:
        raise AudioError(f"one mono recording has shape (samples,), got {array.shape}; average the channels first")
    if array.dtype.kind != "f":
        raise AudioError(f"samples must be floats between -1 and 1, got {array.dtype}; divide 16-bit by 32768")
    if len(array) == 0:
        raise AudioError("the recording is empty")
    if not np.isfinite(array).all():
        raise AudioError(f"the recording has {np.count_nonzero(~np.isfinite(array))} samples that are not finite")
    return resample(array, sample_rate, wanted)
