"""The compressed mel spectrogram of the original Musicnn.

Taught in: 04_supervised.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import pad

from mclass.frontends.raw import check_waveform
from mclass.frontends.stft import check_frames

COMPRESSION = 10_000.0


class CompressedMel(nn.Module):
    """Mel power spectrogram ``x`` on Slaney's scale, compressed to ``log10(10000 x + 1)``.

    Silence is 0, where decibels would have no end. Frames are centered, with zeros before the beginning and after
    the end; the mel power equals ``librosa.feature.melspectrogram(pad_mode="constant")``. (J. Pons, X. Serra,
    *musicnn*, 2019. Their package rounds the mel power to float16 first, in which loud music overflows.)

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_fft : int
        Length of a frame, of its Hann window and of its Fourier transform, in samples.
    hop_length : int
        Distance between frames, in samples.
    n_mels : int
        Number of mel bands, from 0 Hz to half the sample rate.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats.

    Examples
    --------
    >>> CompressedMel()(torch.zeros(2, 47_872)).shape
    torch.Size([2, 1, 96, 188])
    """

    min_samples = 1

    def __init__(self, sample_rate: int = 16000, n_fft: int = 512, hop_length: int = 256, n_mels: int = 96):
        super().__init__()
        check_frames(n_fft, hop_length, n_fft)
        if n_mels < 1:
            raise ValueError(f"n_mels must be at least 1, got {n_mels}")
        self.sample_rate, self.n_fft, self.hop_length, self.n_mels = sample_rate, n_fft, hop_length, n_mels
        # Not persistent: they follow from the options.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("bands", slaney_bands(sample_rate, n_fft, n_mels), persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"{self.n_mels} mel bands, log10(10000 x + 1)"

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"n_mels={self.n_mels}"
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to shape ``(batch, 1, n_mels, frames)``."""
        check_waveform(waveform)
        with torch.autocast(waveform.device.type, enabled=False):  # float16 ends at 65,504
            x = pad(waveform.to(self.window.dtype), (self.n_fft // 2, self.n_fft // 2))  # (batch, samples + n_fft)
            x = x.unfold(1, self.n_fft, self.hop_length)  # (batch, frames, n_fft)
            x = torch.view_as_real(torch.fft.rfft(x * self.window))  # (batch, frames, 1 + n_fft // 2, 2)
            power = x.square().sum(-1) @ self.bands  # (batch, frames, n_mels)
            return (COMPRESSION * power + 1).log10().transpose(1, 2)[:, None].contiguous()


def slaney_bands(sample_rate: int, n_fft: int, n_mels: int) -> torch.Tensor:
    """Triangles of area 1 on Slaney's mel scale, which is linear up to 1 kHz and logarithmic above.

    Returns
    -------
    torch.Tensor, shape (1 + n_fft // 2, n_mels)
        Weight of each frequency in each band; equal to ``librosa.filters.mel(…).T``.

    Examples
    --------
    >>> slaney_bands(16000, 512, 96).shape
    torch.Size([257, 96])
    """
    linear, step = 200 / 3, math.log(6.4) / 27  # Hz per mel below 1 kHz (15 mel), logarithm per mel above
    highest = sample_rate / 2
    top = highest / linear if highest < 1000 else 15 + math.log(highest / 1000) / step
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    corners = torch.where(mels < 15, mels * linear, 1000 * torch.exp(step * (mels - 15)))  # (n_mels + 2,) in Hz
    frequencies = torch.linspace(0, highest, 1 + n_fft // 2, dtype=torch.float64)
    distances, widths = corners[None, :] - frequencies[:, None], corners.diff()
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    heights = 2 / (corners[2:] - corners[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * heights).float()
