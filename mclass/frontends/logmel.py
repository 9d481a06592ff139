"""The log-mel spectrogram.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn

from mclass.frontends.raw import check_waveform
from mclass.frontends.stft import check_frames, check_scale, decibels, frame_padding, short_time_spectrum

# Enough rows to keep both cores busy, few enough for what lies between waveform and bands to stay in the cache.
BLOCK_SAMPLES = 1 << 19
GROUP = 16  # bands of one product


class EmptyBandsWarning(UserWarning):
    """Mel bands into which no frequency of the Fourier transform falls."""


class LogMel(nn.Module):
    """Mel spectrogram in decibels.

    Frames are centred (reflect padding), so ``samples`` give ``1 + samples // hop_length`` frames. Mel scale and
    triangles are HTK's, not normalised: the values equal those of torchaudio's ``MelSpectrogram`` followed by
    ``AmplitudeToDB``, in half the time or less on a CPU (``python -m benchmarks.frontends``).

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
    win_length : int, optional
        Length of the Hann window in samples; `n_fft` if not given.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Warns
    -----
    EmptyBandsWarning
        If bands, beside a lowest one that begins at 0 Hz, are so narrow that no frequency of the Fourier transform
        falls into them: they are always at -100 dB.

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
        win_length: int | None = None,
    ):
        super().__init__()
        f_max = sample_rate / 2 if f_max is None else f_max
        win_length = n_fft if win_length is None else win_length
        check_frames(n_fft, hop_length, win_length)
        check_scale("db", top_db)
        if n_mels < 1:
            raise ValueError(f"n_mels must be at least 1, got {n_mels}")
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise ValueError(
                f"the mel bands go from f_min={f_min} to f_max={f_max} Hz; they must rise and end at or below "
                f"half the sample rate ({sample_rate / 2} Hz)"
            )
        self.sample_rate, self.n_fft, self.hop_length, self.n_mels = sample_rate, n_fft, hop_length, n_mels
        self.f_min, self.f_max, self.top_db, self.win_length = f_min, f_max, top_db, win_length

        # Each row twice, for the real and the imaginary part: the product with the bands also sums the squares.
        bands = mel_bands(sample_rate, n_fft, n_mels, f_min, f_max).repeat_interleave(2, dim=0)
        _warn_of_empty(bands, sample_rate / n_fft, from_zero=f_min == 0)
        self.groups = [_occupied(bands, start, start + GROUP) for start in range(0, n_mels, GROUP)]
        # Not persistent: they follow from the options and would only make checkpoints larger.
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"{self.n_mels} mel bands"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return 1 + max(frame_padding(self.n_fft, self.win_length))

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"n_mels={self.n_mels}, f_min={self.f_min}, f_max={self.f_max}, top_db={self.top_db}, "
            f"win_length={self.win_length}"
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to decibels, shape ``(batch, 1, n_mels, frames)``."""
        check_waveform(waveform, self.min_samples)
        with torch.autocast(waveform.device.type, enabled=False):  # decibels need all of float32
            # The number of blocks depends on the batch; a graph that is exported or traced must not.
            if waveform.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
                return self._decibels(waveform)
            rows = max(1, BLOCK_SAMPLES // waveform.shape[1])
            return torch.cat([self._decibels(block) for block in waveform.split(rows)])

    def _decibels(self, waveform: torch.Tensor) -> torch.Tensor:
        spectrum = short_time_spectrum(waveform, self.window, self.n_fft, self.hop_length)
        squares = torch.view_as_real(spectrum).square().flatten(-2)
        power = torch.cat(
            [squares[..., rows] @ self.bands[rows, columns] for rows, columns in self.groups], dim=-1
        )
        return decibels(power, self.top_db).transpose(1, 2)[:, None].contiguous()


def _warn_of_empty(bands: torch.Tensor, distance: float, from_zero: bool) -> None:
    """Name the bands, columns of ``(frequencies, n_mels)``, that are zero everywhere.

    As in librosa, not a lowest band that begins at 0 Hz: of the 128 bands of four published models it is empty.
    """
    empty = (~bands.any(dim=0)).nonzero().flatten().tolist()
    empty = empty[1:] if from_zero and empty[:1] == [0] else empty
    if empty:
        some = ", ".join(map(str, empty[:5])) + (", …" if empty[5:] else "")
        warnings.warn(
            f"{len(empty)} of {bands.shape[1]} mel bands are empty (counted from 0: {some}): they are narrower "
            f"than the distance of {distance:g} Hz between two frequencies of the Fourier transform. Give a "
            "larger n_fft, fewer n_mels or a higher f_min",
            EmptyBandsWarning,
            stacklevel=3,
        )


def _occupied(bands: torch.Tensor, start: int, stop: int) -> tuple[slice, slice]:
    """Where columns `start` to `stop` are not zero. Triangles are narrow: most of the whole matrix is zeros."""
    columns = slice(start, min(stop, bands.shape[1]))
    rows = bands[:, columns].any(dim=1).nonzero().flatten().tolist() or [0]
    return slice(rows[0], rows[-1] + 1), columns


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
