"""The constant-Q transform: frequencies as far apart as the keys of a piano.

Taught in: 01_representations.
"""

from __future__ import annotations

import math

import torch
from scipy.fft import next_fast_len
from torch import nn

from mclass.frontends.raw import check_waveform
from mclass.frontends.stft import check_scale, rescale


class CQT(nn.Module):
    """Spectrogram whose frequencies rise by the same ratio (Brown 1991).

    A window as long as Q periods of its frequency, ``Q = 1 / (2^(1 / bins_per_octave) - 1)``, just tells
    neighbours apart. So windows get longer towards the bass: sharp in frequency there, blurred in time. A melody
    that is transposed moves up in this picture and keeps its shape, which is what a convolution likes to see.

    From one octave to the next lower one, windows are twice as long. Instead, the waveform is made half as long,
    and the windows of the highest octave are used again (Schörkhuber & Klapuri 2010, *Constant-Q transform toolbox
    for music processing*).

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    hop_length : int
        Distance between frames in samples; each octave below the highest must be able to halve it.
    f_min : float
        Lowest frequency in Hz; the C three octaves below middle C, 32.7 Hz, if not given.
    n_bins : int
        Number of frequencies.
    bins_per_octave : int
    scale : {"db", "power", "magnitude"}
        As in `STFT`. A sine of amplitude 1 has the magnitude ½ at its frequency, whatever that is.
    top_db : float, optional
        As in `STFT`.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats.

    Examples
    --------
    >>> CQT()(torch.zeros(2, 48000)).shape
    torch.Size([2, 1, 84, 188])
    """

    min_samples = 1

    def __init__(
        self,
        sample_rate: int = 16000,
        hop_length: int = 256,
        f_min: float = 440 * 2 ** (-45 / 12),
        n_bins: int = 84,
        bins_per_octave: int = 12,
        scale: str = "db",
        top_db: float | None = None,
    ):
        super().__init__()
        check_scale(scale, top_db)
        for name, value in {
            "n_bins": n_bins,
            "bins_per_octave": bins_per_octave,
            "hop_length": hop_length,
        }.items():
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value}")
        octaves = math.ceil(n_bins / bins_per_octave)
        if hop_length % 2 ** (octaves - 1):
            raise ValueError(
                f"n_bins={n_bins} are {octaves} octaves; the hop is halved from one to the next, so it must be a "
                f"multiple of {2 ** (octaves - 1)} samples, got hop_length={hop_length}"
            )
        q = 1 / (2 ** (1 / bins_per_octave) - 1)
        frequencies = f_min * 2 ** (torch.arange(n_bins, dtype=torch.float64) / bins_per_octave)
        if not f_min > 0 or frequencies[-1] * (1 + 1 / q) > sample_rate / 2:
            raise ValueError(
                f"the frequencies go from f_min={f_min:g} Hz to {frequencies[-1]:.0f} Hz; they must be positive "
                f"and end a bin below half the sample rate ({sample_rate / 2:g} Hz). Give fewer n_bins or a lower "
                "f_min"
            )
        self.sample_rate, self.hop_length, self.f_min, self.n_bins = sample_rate, hop_length, f_min, n_bins
        self.bins_per_octave, self.scale, self.top_db, self.octaves = bins_per_octave, scale, top_db, octaves
        highest = frequencies[-bins_per_octave:]
        self.register_buffer("kernels", _kernels(highest, q, sample_rate), persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"CQT, {self.n_bins} bins, {self.bins_per_octave} per octave, hop {self.hop_length}"

    @property
    def frequencies(self) -> torch.Tensor:
        """Centre of each bin in Hz, shape ``(n_bins,)``."""
        return self.f_min * 2 ** (torch.arange(self.n_bins) / self.bins_per_octave)

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, f_min={self.f_min:g}, "
            f"n_bins={self.n_bins}, bins_per_octave={self.bins_per_octave}, scale={self.scale!r}, "
            f"top_db={self.top_db}"
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, ``(batch, samples)``, to ``(batch, 1, n_bins, 1 + samples // hop_length)``."""
        check_waveform(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            waveform = waveform.to(self.kernels.dtype)
            num_frames = 1 + waveform.shape[1] // self.hop_length
            # Room for half a window of the lowest octave around the first and the last frame; a length that can be
            # halved for each octave, and has no large prime factor, which the transform would be slow for.
            step = 2 ** (self.octaves - 1)
            half = len(self.kernels) // 2
            room = half * step
            length = step * next_fast_len(-(-(waveform.shape[1] + 2 * room) // step), real=True)
            waveform = nn.functional.pad(waveform, (room, length - room - waveform.shape[1]))
            spectrum = torch.fft.rfft(waveform)
            octaves = []
            for octave in range(self.octaves):
                if octave > 0:
                    waveform = _halve(spectrum, waveform.shape[1] // 2)
                # Frame 0 is centred where the waveform starts.
                start = half * (step // 2**octave - 1)
                frames = waveform[:, start:].unfold(1, len(self.kernels), self.hop_length // 2**octave)
                octaves.insert(0, frames[:, :num_frames] @ self.kernels)
            result = torch.view_as_complex(torch.cat(octaves, dim=2).unflatten(2, (-1, 2)))
            result = result[..., -self.n_bins :]  # the lowest octave may be incomplete
            return rescale(result, self.scale, self.top_db).transpose(1, 2)[:, None].contiguous()


def _kernels(frequencies: torch.Tensor, q: float, sample_rate: int) -> torch.Tensor:
    """Windowed cosines and sines around the middle of an even number of samples, shape ``(samples, 2 * bins)``."""
    lengths = q * sample_rate / frequencies
    half = math.ceil(lengths.max().item() / 2)
    time = torch.arange(-half, half, dtype=torch.float64)[:, None]
    inside = (time / lengths).abs() <= 0.5
    windows = torch.where(inside, 0.5 + 0.5 * torch.cos(2 * math.pi * time / lengths), 0)  # Hann
    kernels = windows / windows.sum(0) * torch.exp(-2j * math.pi * frequencies / sample_rate * time)
    return torch.view_as_real(kernels).flatten(1).float()  # each real part beside its imaginary part


def _halve(spectrum: torch.Tensor, num_samples: int) -> torch.Tensor:
    """The waveform with `num_samples` samples: its spectrum, cut off where the lower sample rate ends."""
    full = 2 * (spectrum.shape[1] - 1)
    return torch.fft.irfft(spectrum[:, : num_samples // 2 + 1], n=num_samples) * (num_samples / full)
