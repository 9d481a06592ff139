"""The harmonic filter bank: for each note, what sounds at the note and at its multiples.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mclass.frontends.raw import check_waveform
from mclass.frontends.stft import check_frames, decibels, frame_padding, rescale, short_time_spectrum

LOWEST = 24  # MIDI number of C1, 32.7 Hz


class Harmonic(nn.Module):
    """Harmonic spectrogram in decibels, with filters whose width is learned.

    Channel ``h`` holds, for each note of frequency ``f``, the power around ``(h + 1) * f``. A sound with harmonics
    so shows up at one height in all channels, where a 3 × 3 convolution sees it whole; in a mel spectrogram it is
    spread over the picture. (Won et al. 2020, "Data-driven harmonic filters for audio representation learning",
    equations 2 to 5.)

    The filters are triangles of height 1. Their width grows with frequency like that of the ear's filters,
    ``(0.1079 * f + 24.7) / q`` Hz at the base, and one number ``q`` is learned with the rest of the network.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_fft : int
        Length of a frame and of its Fourier transform, in samples.
    hop_length : int
        Distance between frames, in samples.
    num_harmonics : int
        Number of channels; the first is the fundamental.
    bands_per_semitone : int
        Two are a quarter tone apart.
    q : float
        Larger is narrower; the value at the start of training.
    learn_q : bool
        Whether `q` is a parameter.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Examples
    --------
    >>> frontend = Harmonic()
    >>> frontend(torch.zeros(2, 80000)).shape
    torch.Size([2, 6, 128, 313])
    >>> [round(hz, 1) for hz in frontend.centres[1, :3].tolist()]  # C1, and a quarter tone and a semitone higher
    [65.4, 67.3, 69.3]
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 512,
        hop_length: int = 256,
        num_harmonics: int = 6,
        bands_per_semitone: int = 2,
        q: float = 1.0,
        learn_q: bool = True,
    ):
        super().__init__()
        check_frames(n_fft, hop_length, n_fft)
        for name, value in {"num_harmonics": num_harmonics, "bands_per_semitone": bands_per_semitone}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if q <= 0:
            raise ValueError(f"q must be positive, got {q}; 1 is the width of the ear's filters, 2 is half of it")
        # The last harmonic of the highest note stays about below half the sample rate.
        highest = round(69 + 12 * math.log2(sample_rate / (2 * num_harmonics) / 440))
        if highest <= LOWEST:
            raise ValueError(
                f"{num_harmonics} harmonics of C1 (32.7 Hz) and of the next note do not fit below "
                f"{sample_rate / 2} Hz, half the sample rate"
            )
        self.sample_rate, self.n_fft, self.hop_length = sample_rate, n_fft, hop_length
        self.num_harmonics, self.num_bands = num_harmonics, (highest - LOWEST) * bands_per_semitone

        midi = LOWEST + torch.arange(self.num_bands, dtype=torch.float64) / bands_per_semitone
        fundamentals = 440 * 2 ** ((midi - 69) / 12)
        multiples = torch.arange(1, num_harmonics + 1)
        # Not persistent: they follow from the options.
        self.register_buffer("centres", (multiples[:, None] * fundamentals).float(), persistent=False)
        self.register_buffer("frequencies", torch.linspace(0, sample_rate // 2, 1 + n_fft // 2), persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        if learn_q:
            self.q = nn.Parameter(torch.tensor([float(q)]))
        else:
            self.register_buffer("q", torch.tensor([float(q)]))

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"{self.num_harmonics} harmonics × {self.num_bands} bands, hop {self.hop_length}"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return 1 + max(frame_padding(self.n_fft, self.n_fft))

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"num_harmonics={self.num_harmonics}, num_bands={self.num_bands}"
        )

    def filters(self) -> torch.Tensor:
        """Weight of each frequency in each band, shape ``(1 + n_fft // 2, num_harmonics, num_bands)``.

        Below about 100 Hz the triangles are narrower than the distance between two frequencies of a short Fourier
        transform, and some bands are empty.
        """
        width = (0.1079 * self.centres + 24.7) / self.q  # (harmonics, bands), in Hz
        distance = (self.frequencies[:, None, None] - self.centres).abs()
        return (1 - 2 * distance / width).clamp(min=0)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to ``(batch, num_harmonics, num_bands, frames)`` in dB."""
        check_waveform(waveform, self.min_samples)
        with torch.autocast(waveform.device.type, enabled=False):  # decibels need all of float32
            spectrum = short_time_spectrum(waveform, self.window, self.n_fft, self.hop_length)
            power = rescale(spectrum, "power") @ self.filters().flatten(1)  # (batch, frames, harmonics × bands)
            power = power.unflatten(2, (self.num_harmonics, self.num_bands))
            return decibels(power).permute(0, 2, 3, 1).contiguous()
