"""Mel-frequency cepstral coefficients, the shape of the spectrum in a few numbers.

Taught in: 01_representations.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mclass.frontends.logmel import LogMel

DELTA_REACH = 4  # frames to each side: librosa's width of 9


class MFCC(nn.Module):
    """The first coefficients of the cosine transform of each log-mel frame (Davis & Mermelstein 1980).

    Coefficient 0 is the mean level, 1 the tilt from low to high, and so on to ever finer ripples. Cosines undo
    most of the correlation of neighbouring bands, which simple classifiers need and convolutions do not. The
    values equal those of torchaudio's ``MFCC`` and, for HTK's mel scale, of ``librosa.feature.mfcc``.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_mfcc : int
        Number of coefficients, at most `n_mels`.
    deltas : {0, 1, 2}
        Add the slope over time of the coefficients as a second channel, and the slope of the slope as a third.
    n_fft, hop_length, n_mels, f_min, f_max, top_db
        See `LogMel`.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Examples
    --------
    >>> MFCC(deltas=1)(torch.zeros(2, 48000)).shape
    torch.Size([2, 2, 20, 188])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mfcc: int = 20,
        deltas: int = 0,
        n_fft: int = 512,
        hop_length: int = 256,
        n_mels: int = 96,
        f_min: float = 0.0,
        f_max: float | None = None,
        top_db: float | None = 80.0,
    ):
        super().__init__()
        self.logmel = LogMel(sample_rate, n_fft, hop_length, n_mels, f_min, f_max, top_db)
        if not 1 <= n_mfcc <= n_mels:
            raise ValueError(f"n_mfcc={n_mfcc} coefficients of n_mels={n_mels} bands: give 1 to {n_mels}")
        if deltas not in (0, 1, 2):
            raise ValueError(f"deltas is how often to take the slope over time: 0, 1 or 2, got {deltas}")
        self.n_mfcc, self.deltas = n_mfcc, int(deltas)
        self.register_buffer("cosines", dct(n_mels)[:n_mfcc].float(), persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"MFCC, {self.n_mfcc} coefficients{' + deltas' * bool(self.deltas)}, hop {self.logmel.hop_length}"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return self.logmel.min_samples

    def extra_repr(self) -> str:
        return f"n_mfcc={self.n_mfcc}, deltas={self.deltas}"

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, ``(batch, samples)``, to coefficients, ``(batch, 1 + deltas, n_mfcc, frames)``."""
        logmel = self.logmel(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            channels = [self.cosines @ logmel]
            for _ in range(self.deltas):
                channels.append(delta(channels[-1]))
            return torch.cat(channels, dim=1)


def dct(size: int) -> torch.Tensor:
    """The orthonormal discrete cosine transform (type II) as a matrix: its rows are cosines of rising frequency.

    Returns
    -------
    torch.Tensor, shape (size, size), float64

    Examples
    --------
    >>> bool(torch.allclose(dct(8) @ dct(8).T, torch.eye(8, dtype=torch.float64)))
    True
    """
    frequency, place = torch.arange(size)[:, None], torch.arange(size, dtype=torch.float64)
    cosines = torch.cos(frequency * (place + 0.5) * (math.pi / size)) * math.sqrt(2 / size)
    cosines[0] /= math.sqrt(2)
    return cosines


def delta(x: torch.Tensor, reach: int = DELTA_REACH) -> torch.Tensor:
    """Slope over time: of the straight line that fits `reach` frames to each side best.

    Parameters
    ----------
    x : torch.Tensor, shape (…, frames)
        The first and the last frame count as going on for ever.
    reach : int

    Returns
    -------
    torch.Tensor, shape (…, frames)
        Change per frame.

    Examples
    --------
    >>> delta(torch.tensor([0.0, 3.0, 6.0, 9.0, 12.0]), reach=1)
    tensor([1.5000, 3.0000, 3.0000, 3.0000, 1.5000])
    """
    distances = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    first, last = x[..., :1], x[..., -1:]
    padded = torch.cat([first.expand(*x.shape[:-1], reach), x, last.expand(*x.shape[:-1], reach)], dim=-1)
    return padded.unfold(-1, 2 * reach + 1, 1) @ (distances / distances.square().sum())
