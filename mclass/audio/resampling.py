"""Change the rate of a waveform, whole or in pieces.

Taught in: 01_representations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr
import torch

from mclass.audio._decoding import RATES
from mclass.errors import AudioError

_MARGIN = 256  # samples at the lower of two rates: more than half the length of soxr's HQ filter


def target_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Length after resampling: ``ceil(num_samples * to_rate / from_rate)``, so that nothing is cut off.

    Examples
    --------
    >>> target_length(44_100, 44_100, 16_000), target_length(1, 192_000, 16_000)
    (16000, 1)
    """
    return -(-num_samples * to_rate // from_rate)


def resample(waveform: torch.Tensor | np.ndarray, from_rate: int, to_rate: int) -> torch.Tensor:
    """Band-limited resampling (soxr, high quality).

    Parameters
    ----------
    waveform : torch.Tensor or np.ndarray, shape (samples,)
    from_rate, to_rate : int
        In Hz.

    Returns
    -------
    torch.Tensor, shape (target_length(samples, from_rate, to_rate),), float32

    Raises
    ------
    AudioError
        If `waveform` is empty, not one-dimensional or not finite, or a rate is not a positive whole number.

    Examples
    --------
    >>> resample(torch.zeros(44_100), 44_100, 16_000).shape
    torch.Size([16000])
    """
    check_rate("from_rate", from_rate)
    check_rate("to_rate", to_rate)
    return torch.from_numpy(resample_array(check_waveform(waveform), from_rate, to_rate))


def check_rate(name: str, rate: int) -> None:
    """Refuse what is no sample rate, or one that is not supported."""
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{name} must be a whole number of Hz from {RATES[0]} to {RATES[1]}, got {rate!r}")


def check_waveform(waveform: torch.Tensor | np.ndarray) -> np.ndarray:
    """The samples of a waveform as an array; refuses what is none."""
    given = waveform.detach().cpu() if isinstance(waveform, torch.Tensor) else waveform
    samples = np.ascontiguousarray(given, np.float32)  # torch takes no array that is read backwards
    if samples.ndim != 1 or not samples.size:
        raise AudioError(f"a waveform has the shape (samples,), one or more of them; got {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"{(~np.isfinite(samples)).sum()} of {samples.size} samples are NaN or infinite")
    return samples


def source_range(from_rate: int, to_rate: int, start: int, num_samples: int) -> tuple[int, int, int]:
    """The source samples ``first`` to ``last`` needed, and where the part begins after resampling them.

    ``first`` falls where both rates have a sample, else the resampled part would be shifted by a fraction of one.
    """
    if from_rate == to_rate:
        return start, start + num_samples, 0
    common = math.gcd(from_rate, to_rate)
    from_period, to_period = from_rate // common, to_rate // common
    margin = math.ceil(_MARGIN * max(1, from_rate / to_rate))
    periods = max(start * from_rate // to_rate - margin, 0) // from_period
    last = target_length(start + num_samples, to_rate, from_rate) + margin
    return periods * from_period, last, start - periods * to_period


def resample_array(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """`resample` without its checks."""
    if from_rate == to_rate:
        return samples
    # soxr rounds the length to the nearest; zeros at the end let it deliver one more.
    padded = np.pad(samples, (0, math.ceil(from_rate / to_rate)))
    return soxr.resample(padded, from_rate, to_rate, quality="HQ")[
        : target_length(samples.size, from_rate, to_rate)
    ]


def resample_pieces(pieces: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """`resample` for a waveform that comes in pieces; joined, they equal what it returns."""
    if from_rate == to_rate:
        yield from pieces
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, quality="HQ")
    received = delivered = 0
    for piece in pieces:
        received += piece.size
        done = stream.resample_chunk(piece)
        delivered += done.size
        if done.size:
            yield done
    if received:  # the end as in `resample_array`
        rest = stream.resample_chunk(np.zeros(math.ceil(from_rate / to_rate), np.float32), last=True)
        yield rest[: target_length(received, from_rate, to_rate) - delivered]
