"""Tags and embedding of one recording, of any length: a stream of samples, cut into chunks as it is read.

Taught in: 04_supervised.
"""

from __future__ import annotations

import collections
import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from mclass import audio as audio_files
from mclass._utils.text import visible
from mclass.errors import AudioError, ModelError
from mclass.inference.chunks import check_hop, check_model, chunks_per_batch, cut, evaluating
from mclass.inference.result import TagResult
from mclass.metrics.songs import aggregate
from mclass.models import WaveformModel

_SILENCE = 2.0**-16  # half of the smallest step of 16 bits: lossy formats do not keep zeros exactly zero
_CPU_SECONDS = 3  # in a batch, of which each core has one: as fast as larger ones, and least memory
_MOST_WORKERS = 4  # one core decodes about as fast as four tag, and each takes memory
_BLOCK = 1 << 18  # samples of an array that are handed on at once


def tag(
    audio: str | os.PathLike | np.ndarray | torch.Tensor,
    model: WaveformModel,
    sample_rate: int | None = None,
    hop: int | None = None,
    *,
    aggregate: str = "mean",
    batch_size: int | None = None,
    progress: bool | None = None,
) -> TagResult:
    """Tag one recording.

    A file is read in pieces: the memory it takes does not grow with its length. As in the published evaluations,
    only complete chunks count: what follows the last of them is not heard. A recording shorter than one chunk is
    padded with zeros, with a warning; `TagResult.padded` says so, too.

    Parameters
    ----------
    audio : path, or array of shape (samples,)
        A file of any sample rate and number of channels, or a mono waveform between -1 and 1.
    model : WaveformModel
        With its `tags`, as `mclass.pretrained.load`, `mclass.models.load` or training leaves it.
        Stays on its device.
    sample_rate : int, optional
        Of the array, in Hz; it is resampled where the model expects another. A file knows its own.
    hop : int, optional
        Distance between chunk starts in samples at the model's rate; the length of a chunk if not given.
    aggregate : {"mean", "max", "majority"}
        How the chunks make one score: the mean or the maximum of the probabilities, or the share of chunks in
        which the tag is above 0.5.
    batch_size : int, optional
        Chunks per forward pass; bounds the memory.
    progress : bool, optional
        Show a bar. By default only where standard error is a terminal, after two seconds.

    Returns
    -------
    TagResult

    Raises
    ------
    AudioError
        If the recording cannot be read, is empty, silent, or not finite.
    ModelError
        If the model does not know its tags.

    Examples
    --------
    >>> from mclass import models
    >>> model = models.create("cnn_1d", num_tags=2)
    >>> model.tags = ["guitar", "sitar"]
    >>> result = tag(np.random.default_rng(0).normal(size=22050 * 7), model, sample_rate=22050)
    >>> result.taggram.shape, result.times.tolist(), result.duration
    ((2, 2), [0.0, 3.0], 7.0)
    """
    check_model(model)
    if model.tags is None:
        raise ModelError("the model has no tags; train it, load it with mclass.models.load, or set model.tags")
    _sum_up(np.zeros((1, 1)), aggregate)  # a wrong name is refused before the work

    def probabilities(chunks: torch.Tensor) -> torch.Tensor:
        return model.probabilities(model(chunks).float())

    taggram, duration = _map_chunks(probabilities, audio, model, sample_rate, hop, batch_size, progress)
    return TagResult(
        list(model.tags),
        _sum_up(taggram, aggregate),
        taggram,
        hop_seconds=(hop or model.num_samples) / model.sample_rate,
        chunk_seconds=model.num_samples / model.sample_rate,
        duration=duration,
        file=os.fspath(audio) if isinstance(audio, (str, os.PathLike)) else None,
        aggregate=aggregate,
    )


_sum_up = aggregate  # `tag` has a parameter of that name


def embed(
    audio: str | os.PathLike | np.ndarray | torch.Tensor,
    model: WaveformModel,
    sample_rate: int | None = None,
    hop: int | None = None,
    *,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """The embedding of one recording: the mean of ``model.embed`` over its chunks.

    Parameters and errors are those of `tag`; the model need not know its tags.

    Returns
    -------
    np.ndarray, shape (dim,), float32

    Examples
    --------
    >>> from mclass import models
    >>> noise = np.random.default_rng(0).normal(size=16000 * 7)
    >>> embed(noise, models.create("cnn_1d", channels=32), sample_rate=16000).shape
    (32,)
    """
    check_model(model)
    return _map_chunks(model.embed, audio, model, sample_rate, hop, batch_size, progress)[0].mean(axis=0)


def _map_chunks(
    function: Callable[[torch.Tensor], torch.Tensor],
    audio: str | os.PathLike | np.ndarray | torch.Tensor,
    model: WaveformModel,
    sample_rate: int | None,
    hop: int | None,
    batch_size: int | None,
    progress: bool | None,
) -> tuple[np.ndarray, float]:
    """What `function` makes of each chunk, shape ``(chunks, …)``, and how many seconds the recording has."""
    hop = check_hop(hop) or model.num_samples
    batch_size = chunks_per_batch(model, batch_size, _CPU_SECONDS)
    if isinstance(audio, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError("sample_rate is for arrays; a file knows its own")
        name, blocks = str(audio), audio_files.blocks(audio, model.sample_rate)
    else:
        name, blocks = "the recording", iter(_from_array(audio, sample_rate, model.sample_rate).split(_BLOCK))
    meter, found = _Meter(model.sample_rate), []
    # Not with `keep_freed_memory`: the heap would break into ever more pieces, an hour took 250 MB more.
    with evaluating(model), _bar(audio, progress) as bar:
        batches = cut(meter.watch(blocks), model.num_samples, hop, batch_size)
        for values in _side_by_side(function, batches, next(model.parameters()).device):
            found.append(values)
            bar.update(meter.seconds - bar.n)
    if meter.peak < _SILENCE:
        raise AudioError(f"{name}: is silent, no sample is above -96 dB of full scale; there is nothing to tag")
    values = np.concatenate(found)
    if not np.isfinite(values).all():
        raise AudioError(
            f"{name}: the model returns NaN or infinite values for it. Look at its samples (the loudest is "
            f"{meter.peak:.3g}, where 1 is full scale) and at the weights of the model."
        )
    if meter.samples < model.num_samples:
        warnings.warn(
            f"{name}: {meter.seconds:.2f} s are shorter than the {model.num_samples / model.sample_rate:.2f} s "
            "that the model hears at once; padded with silence",
            UserWarning,
            stacklevel=3,
        )
    return values, meter.seconds


def _side_by_side(
    function: Callable[[torch.Tensor], torch.Tensor], batches: Iterator[torch.Tensor], device: torch.device
) -> Iterator[np.ndarray]:
    """What `function` makes of each batch, in order; on a CPU several batches at a time, one core for each.

    By itself torch splits each operation among the cores, which then wait for one another hundreds of times per
    batch, very long if another program holds one of them. Here they meet once per batch, and decoding goes on.
    """

    def work(batch: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():  # holds for one thread only
            return function(batch.to(device)).float().cpu().numpy()

    cores = torch.get_num_threads()
    if device.type != "cpu" or cores == 1:
        yield from map(work, batches)
        return
    workers, waiting = min(cores, _MOST_WORKERS), collections.deque()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(cores)


@dataclass
class _Meter:
    """Counts the samples that pass, and keeps the loudest."""

    sample_rate: int
    samples: int = 0
    peak: float = 0.0

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def watch(self, blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        for block in blocks:
            self.samples += len(block)
            self.peak = max(self.peak, float(block.abs().max()))
            yield block


def _bar(audio: str | os.PathLike | np.ndarray | torch.Tensor, progress: bool | None) -> tqdm:
    """A bar over the seconds of a recording: asked for, or long work at a terminal."""
    hidden, seconds = not progress, None
    if progress is None:
        hidden = None  # for tqdm: unless standard error is a terminal
    label = "recording"
    if isinstance(audio, (str, os.PathLike)):
        label = visible(os.path.basename(audio))
        if not hidden:
            with contextlib.suppress(ValueError):  # it will be refused in a moment
                seconds = audio_files.info(audio).seconds
    known = "{percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]"
    return tqdm(
        total=seconds,
        desc=label,
        delay=0 if progress else 2,
        disable=hidden,
        leave=bool(progress),
        bar_format="{desc} " + (known if seconds else "{n:.0f} s of audio [{elapsed}]"),
    )


def _from_array(audio: np.ndarray | torch.Tensor, sample_rate: int | None, wanted: int) -> torch.Tensor:
    if sample_rate is None:
        raise ValueError("an array does not say its sample rate; give sample_rate= in Hz")
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, (int, np.integer)) or sample_rate < 1:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, got {sample_rate!r}")
    array = np.asarray(audio.detach().cpu() if isinstance(audio, torch.Tensor) else audio)
    if array.ndim != 1:
        raise AudioError(f"one mono recording has shape (samples,), got {array.shape}; average the channels first")
    if array.dtype.kind != "f":
        raise AudioError(f"samples must be floats between -1 and 1, got {array.dtype}; divide 16-bit by 32768")
    if len(array) == 0:
        raise AudioError("the recording is empty")
    if not np.isfinite(array).all():
        raise AudioError(f"the recording has {np.count_nonzero(~np.isfinite(array))} samples that are not finite")
    return audio_files.resample(array, sample_rate, wanted)
