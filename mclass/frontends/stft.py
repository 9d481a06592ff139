"""The short-time Fourier transform: the spectrum of one short, windowed frame after another.

Taught in: 01_representations.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.errors import unknown_name
from mclass.frontends.raw import check_waveform

SCALES = ("magnitude", "power", "db")


class STFT(nn.Module):
    """Spectrogram with evenly spaced frequencies, 0 Hz to half the sample rate.

    Frames are centred (reflect padding), so ``samples`` give ``1 + samples // hop_length`` frames for an even
    `n_fft`; the values equal those of ``torch.stft`` and ``librosa.stft(pad_mode="reflect")``.

    Parameters
    ----------
    n_fft : int
        Length of the Fourier transform in samples.
    hop_length : int
        Distance between frames, in samples.
    win_length : int, optional
        Length of the Hann window; `n_fft` if not given. A shorter window sees a shorter moment, and less
        sharply in frequency; the rest of the transform is filled with zeros.
    scale : {"db", "power", "magnitude"}
        ``|S|``, ``|S|²`` or ``10 log10 |S|²``, which is not allowed to fall below −100 dB.
    top_db : float, optional
        With decibels: raise everything that lies more than `top_db` below the maximum of its clip to that level.

    Raises
    ------
    ValueError
        If an option is outside its range, or a waveform is not ``(batch, samples)`` of floats or is too short.

    Examples
    --------
    >>> STFT()(torch.zeros(2, 48000)).shape
    torch.Size([2, 1, 257, 188])
    """

    def __init__(
        self,
        n_fft: int = 512,
        hop_length: int = 256,
        win_length: int | None = None,
        scale: str = "db",
        top_db: float | None = None,
    ):
        super().__init__()
        win_length = n_fft if win_length is None else win_length
        check_frames(n_fft, hop_length, win_length)
        check_scale(scale, top_db)
        self.n_fft, self.hop_length, self.win_length, self.scale, self.top_db = (
            n_fft,
            hop_length,
            win_length,
            scale,
            top_db,
        )
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)

    @property
    def summary(self) -> str:
        """A few words for a table of models."""
        return f"STFT, {1 + self.n_fft // 2} bins, hop {self.hop_length}"

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that can be reflected at its ends."""
        return 1 + max(frame_padding(self.n_fft, self.win_length))

    def extra_repr(self) -> str:
        return (
            f"n_fft={self.n_fft}, hop_length={self.hop_length}, win_length={self.win_length}, "
            f"scale={self.scale!r}, top_db={self.top_db}"
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, ``(batch, samples)``, to spectrograms, ``(batch, 1, 1 + n_fft // 2, frames)``."""
        check_waveform(waveform, self.min_samples)
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = short_time_spectrum(waveform, self.window, self.n_fft, self.hop_length)
            return rescale(spectrum, self.scale, self.top_db).transpose(1, 2)[:, None].contiguous()


def short_time_spectrum(waveform: torch.Tensor, window: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Spectra of centred frames.

    Frame after frame: each frame is contiguous in memory, which is what the transform likes best (``torch.stft``
    is frequency after frequency).

    Parameters
    ----------
    waveform : torch.Tensor, shape (batch, samples)
    window : torch.Tensor, shape (win_length,)
        No longer than `n_fft`. Frames are cut at its length and filled up with zeros, which turns the phases of a
        window in the middle of `n_fft` samples and keeps their magnitudes.
    n_fft, hop_length : int
        In samples.

    Returns
    -------
    torch.Tensor, complex, shape (batch, frames, 1 + n_fft // 2)

    Examples
    --------
    >>> short_time_spectrum(torch.zeros(2, 16000), torch.hann_window(400), 512, 160).shape
    torch.Size([2, 101, 257])
    """
    before, after = frame_padding(n_fft, len(window))
    waveform = waveform.to(window.dtype)
    # The same as pad(…, mode="reflect"), and faster.
    mirrored = waveform[:, 1 : before + 1].flip(1), waveform, waveform[:, -after - 1 : -1].flip(1)
    waveform = torch.cat(mirrored, dim=1)
    return torch.fft.rfft(waveform.unfold(1, len(window), hop_length) * window, n=n_fft)


def frame_padding(n_fft: int, win_length: int) -> tuple[int, int]:
    """Samples to add before and after, so that windows sit where ``torch.stft(center=True)`` has them.

    Examples
    --------
    >>> frame_padding(512, 512), frame_padding(512, 399), frame_padding(511, 511)
    ((256, 256), (200, 199), (255, 255))
    """
    before = n_fft // 2 - (n_fft - win_length) // 2
    return before, win_length - n_fft % 2 - before


def rescale(spectrum: torch.Tensor, scale: str, top_db: float | None = None) -> torch.Tensor:
    """Magnitude, power or decibels of a complex spectrum (see `STFT`).

    Examples
    --------
    >>> [rescale(torch.tensor([3 + 4j]), scale).item() for scale in ("magnitude", "power")]
    [5.0, 25.0]
    """
    if scale == "magnitude":
        return spectrum.abs()  # its gradient at 0 is 0; that of a square root of the power would be infinite
    power = torch.view_as_real(spectrum).square().sum(-1)
    return power if scale == "power" else decibels(power, top_db)


def decibels(power: torch.Tensor, top_db: float | None = None) -> torch.Tensor:
    """``10 log10(power)``, at least −100 dB, and at least `top_db` below the maximum of its clip if asked.

    Parameters
    ----------
    power : torch.Tensor, shape (batch, …)
    top_db : float, optional

    Examples
    --------
    >>> decibels(torch.tensor([[1.0, 0.1, 0.0]]), top_db=30)
    tensor([[  0., -10., -30.]])
    """
    result = 10 * power.clamp(min=1e-10).log10()
    if top_db is None:
        return result
    loudest = result.amax(tuple(range(1, result.ndim)), keepdim=True)
    return torch.maximum(result, loudest - top_db)


def check_frames(n_fft: int, hop_length: int, win_length: int) -> None:
    """Refuse lengths that are not positive, and windows longer than their transform.

    Raises
    ------
    ValueError
        Saying which.
    """
    for name, value in {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length}.items():
        if value != int(value) or value < 1:
            raise ValueError(f"{name} is in samples and must be an integer of at least 1, got {value}")
    if win_length > n_fft:
        raise ValueError(f"the window (win_length={win_length}) does not fit into n_fft={n_fft} samples")


def check_scale(scale: str, top_db: float | None) -> None:
    """Refuse scales other than `SCALES`, and a `top_db` that is negative or without decibels.

    Raises
    ------
    ValueError
        Saying what is allowed.
    """
    if scale not in SCALES:
        raise ValueError(unknown_name("scale", scale, SCALES))
    if top_db is not None and (top_db < 0 or scale != "db"):
        raise ValueError(
            "top_db is a distance from the maximum in dB: it must not be negative and needs scale='db', "
            f"got top_db={top_db}, scale={scale!r}"
        )
