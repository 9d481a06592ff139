"""Log-mel spectrograms at several resolutions, as the channels of one image.

Taught in: 01_representations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mclass.frontends.logmel import LogMel
from mclass.frontends.raw import check_waveform


class MultiResolutionLogMel(nn.Module):
    """What red, green and blue are to a picture, short, middle and long windows are to this one.

    A short window says exactly when, a long one says exactly which frequency; a network that sees both need not
    choose. As channels of an image they also fit a network that was trained on photographs (Palanisamy et al.
    2020, *Rethinking CNN models for audio classification*, with windows of 25, 50 and 100 ms and hops of 10, 25
    and 50 ms).

    All channels have the same bands, and the frames of the shortest hop: the frames of the others are interpolated
    linearly (in dB) at those moments. Palanisamy et al. resize each picture to one size instead, which moves what
    happens at one moment to slightly different columns.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    windows : sequence of float
        Lengths of the Hann windows in milliseconds, one for each channel.
    hops : sequence of float, optional
        Distances between frames in milliseconds. The same as `windows` if not given; a Hann window is quiet at its
        ends, so what lies between two frames is then nearly unheard. Half the windows hear everything.
    n_mels, f_min, f_max, top_db
        See `LogMel`.
    n_fft : int, optional
        Length of the transform that all windows are filled up to with zeros, so that the narrow low bands meet at
        least one of its frequencies. At least twice the longest window, a power of two, if not given.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Examples
    --------
    >>> MultiResolutionLogMel()(torch.zeros(2, 48000)).shape
    torch.Size([2, 3, 96, 301])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        windows: Sequence[float] = (10, 20, 30),
        hops: Sequence[float] | None = None,
        n_mels: int = 96,
        f_min: float = 0.0,
        f_max: float | None = None,
        top_db: float | None = None,
        n_fft: int | None = None,
    ):
        super().__init__()
        hops = windows if hops is None else hops
        if len(windows) == 0 or len(windows) != len(hops):
            raise ValueError(f"each channel has a window and a hop, got windows={windows} and hops={hops}")
        lengths = [_samples(window, sample_rate, "window") for window in windows]
        self.hop_lengths = [_samples(hop, sample_rate, "hop") for hop in hops]
        n_fft = 2 ** max(lengths).bit_length() * 2 if n_fft is None else n_fft
        self.windows, self.hops, self.n_mels = tuple(windows), tuple(hops), n_mels
        self.channels = nn.ModuleList(
            LogMel(sample_rate, n_fft, hop, n_mels, f_min, f_max, top_db, win_length=length)
            for length, hop in zip(lengths, self.hop_lengths, strict=True)
        )

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        windows = "/".join(f"{window:g}" for window in self.windows)
        return f"log-mel at {windows} ms, {self.n_mels} bands, hop {min(self.hop_lengths)}"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return max(channel.min_samples for channel in self.channels)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, ``(batch, samples)``, to decibels, ``(batch, len(windows), n_mels, frames)``."""
        check_waveform(waveform, self.min_samples)
        pictures = [channel(waveform) for channel in self.channels]
        shortest = min(self.hop_lengths)
        num_frames = max(picture.shape[-1] for picture in pictures)
        moments = torch.arange(num_frames, device=waveform.device) * shortest  # in samples
        pairs = zip(pictures, self.hop_lengths, strict=True)
        return torch.cat([at(picture, moments, hop) for picture, hop in pairs], dim=1)


def at(picture: torch.Tensor, moments: torch.Tensor, hop_length: int) -> torch.Tensor:
    """Interpolate linearly between frames; before the first and after the last, they stay.

    Parameters
    ----------
    picture : torch.Tensor, shape (…, frames)
        Frame ``k`` is centred at sample ``k * hop_length``.
    moments : torch.Tensor, shape (num_moments,)
        In samples.
    hop_length : int

    Returns
    -------
    torch.Tensor, shape (…, num_moments)

    Examples
    --------
    >>> at(torch.tensor([0.0, 10.0, 30.0]), torch.tensor([0, 50, 100, 150, 250]), hop_length=100)
    tensor([ 0.,  5., 10., 20., 30.])
    """
    before = (moments // hop_length).clamp(max=picture.shape[-1] - 1)
    after = (before + 1).clamp(max=picture.shape[-1] - 1)
    weight = (moments % hop_length) / hop_length
    return torch.lerp(picture.index_select(-1, before), picture.index_select(-1, after), weight.to(picture.dtype))


def _samples(milliseconds: float, sample_rate: int, name: str) -> int:
    samples = round(milliseconds * sample_rate / 1000)
    if samples < 1:
        guess = f". Windows and hops are in milliseconds: {1000 * milliseconds:g} instead of {milliseconds:g} s?"
        raise ValueError(
            f"a {name} of {milliseconds:g} ms has no sample at {sample_rate} Hz" + guess * (milliseconds > 0)
        )
    return samples
