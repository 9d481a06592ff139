"""The log-mel spectrogram.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mclass.frontends.raw import check_waveform


class LogMel(nn.Module):
    """Mel spectrogram in decibels.

    Frames are centred (reflect padding), so ``samples`` give ``1 + samples // hop_length`` frames. Mel scale and
    triangles are HTK's, not normalised: the values equal those of torchaudio's ``MelSpectrogram`` followed by
    ``AmplitudeToDB``, in about half the time on a CPU.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_fft : int
        Length of a frame and of its Fourier transform, in samples.
    hop_length : int
        Distance between frames, in samples.
    n_mels : int
        Number of mel bands.
    f_min, f_max : float
        Range of the mel bands in Hz; `f_max` is half the sample rate if not given.
    top_db : float, optional
        Raise everything that lies more than `top_db` below the maximum of its clip to that level.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Examples
    --------
    >>> LogMel()(torch.zeros(2, 48000)).shape
    torch.Size([2, 1, 96, 188])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 512,
        hop_length: int = 256,
        n_mels: int = 96,
        f_min: float = 0.0,
        f_max: float | None = 8000.0,
        top_db: float | None = None,
    ):
        super().__init__()
        f_max = sample_rate / 2 if f_max is None else f_max
        for name, value in {"n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise ValueError(
                f"the mel bands go from f_min={f_min} to f_max={f_max} Hz; they must rise and end at or below "
                f"half the sample rate ({sample_rate / 2} Hz)"
            )
        if top_db is not None and top_db < 0:
            raise ValueError(f"top_db is a distance from the maximum in dB and must not be negative, got {top_db}")
        self.sample_rate, self.n_fft, self.hop_length, self.n_mels = sample_rate, n_fft, hop_length, n_mels
        self.f_min, self.f_max, self.top_db = f_min, f_max, top_db

        # Each row twice, for the real and the imaginary part: the product with the bands also sums the squares.
        bands = mel_bands(sample_rate, n_fft, n_mels, f_min, f_max).repeat_interleave(2, dim=0)
        # Not persistent: they follow from the options and would only make checkpoints larger.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"log-mel, {self.n_mels} bands, hop {self.hop_length}"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return self.n_fft // 2 + 1

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"n_mels={self.n_mels}, f_min={self.f_min}, f_max={self.f_max}, top_db={self.top_db}"
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to decibels, shape ``(batch, 1, n_mels, frames)``."""
        check_waveform(waveform, self.min_samples)
        with torch.autocast(waveform.device.type, enabled=False):  # decibels need all of float32
            waveform = waveform.to(self.window.dtype)
            half = self.n_fft // 2
            waveform = nn.functional.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
            # Frame after frame: each frame is contiguous, which is what the transform and the product like best.
            spectrum = torch.fft.rfft(waveform.unfold(1, self.n_fft, self.hop_length) * self.window)
            power = torch.view_as_real(spectrum).square().flatten(-2) @ self.bands
            decibels = 10 * power.clamp(min=1e-10).log10()
            if self.top_db is not None:
                decibels = torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - self.top_db)
            return decibels.transpose(1, 2)[:, None].contiguous()


def mel_bands(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> torch.Tensor:
    """Triangles of height 1, evenly spaced on HTK's mel scale, ``2595 log10(1 + f / 700)``.

    Returns
    -------
    torch.Tensor, shape (1 + n_fft // 2, n_mels)
        Weight of each frequency in each band. Computed in float32 in the order torchaudio does, since networks
        were trained on those very numbers.

    Examples
    --------
    >>> mel_bands(16000, 512, 96, 0.0, 8000.0).shape
    torch.Size([257, 96])
    """
    frequencies = torch.linspace(0, sample_rate // 2, 1 + n_fft // 2)
    low, high = (2595 * math.log10(1 + f / 700) for f in (f_min, f_max))
    corners = 700 * (10 ** (torch.linspace(low, high, n_mels + 2) / 2595) - 1)
    widths = corners.diff()
    distances = corners[None, :] - frequencies[:, None]
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0)
