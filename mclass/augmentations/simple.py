"""Polarity, level, crops and shifts in time.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len

from mclass.augmentations.base import Transform, check_interval, check_sample_rate, column, uniform

# Tags of MagnaTagATune and the Million Song Dataset that a change of pitch may make wrong.
VOICES = (
    "male", "female", "man", "woman", "male vocal", "female vocal", "male voice", "female voice",
    "male vocalists", "female vocalists", "female vocalist",
)  # fmt: skip


class PolarityInversion(Transform):
    """Turn the waveform upside down. Nobody hears it; added to the original it gives silence.

    Examples
    --------
    >>> PolarityInversion()(torch.tensor([[0.1, -0.2]]))
    tensor([[-0.1000,  0.2000]])
    """

    neutral = {"sign": 1.0}  # noqa: RUF012

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Nothing is random here: the sign is −1."""
        return {"sign": torch.full((batch,), -1.0)}

    def change(self, waveforms: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        """Multiply each waveform by its sign."""
        return waveforms * column(sign, waveforms)


class Gain(Transform):
    """Change the level.

    Parameters
    ----------
    min_gain_db, max_gain_db : float
        In decibels: −6 halves the amplitude. Positive gains can exceed ±1; nothing is clipped.

    Raises
    ------
    ValueError
        If the range is empty or beyond ±120 dB.

    Examples
    --------
    >>> Gain(-20, -20)(torch.tensor([[1.0, -0.5]]))
    tensor([[ 0.1000, -0.0500]])
    """

    changes_labels = ("loud", "quiet", "soft")
    neutral = {"gain_db": 0.0}  # noqa: RUF012

    def __init__(self, min_gain_db: float = -20.0, max_gain_db: float = -1.0):
        super().__init__()
        check_interval("the gain", min_gain_db, max_gain_db, -120, 120, "dB")
        self.min_gain_db, self.max_gain_db = min_gain_db, max_gain_db

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a gain in decibels for each example."""
        return {"gain_db": uniform(self.min_gain_db, self.max_gain_db, batch, generator)}

    def change(self, waveforms: torch.Tensor, gain_db: torch.Tensor) -> torch.Tensor:
        """Multiply each waveform by its gain."""
        return waveforms * column(10 ** (gain_db / 20), waveforms)


class RandomCrop(Transform):
    """Cut `num_samples` samples out of each waveform, at a random place.

    torchaudio-augmentations calls this ``RandomResizedCrop``, although nothing is resized; what is, is
    `mclass.augmentations.RandomResizedCrop`.

    Parameters
    ----------
    num_samples : int

    Raises
    ------
    ValueError
        If waveforms are shorter.

    Examples
    --------
    >>> RandomCrop(3)(torch.arange(10.0)[None], torch.Generator().manual_seed(0))
    tensor([[3., 4., 5.]])
    """

    def __init__(self, num_samples: int):
        super().__init__()
        if num_samples != int(num_samples) or num_samples < 1:
            raise ValueError(
                f"num_samples must be an integer of at least 1, got {num_samples}. (Were seconds given?)"
            )
        self.num_samples = int(num_samples)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw where each crop lies: 0 at the beginning, 1 at the end."""
        return {"place": torch.rand(batch, generator=generator)}

    def change(self, waveforms: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Cut; shape ``(batch, num_samples)``."""
        room = waveforms.shape[1] - self.num_samples
        if room < 0:
            raise ValueError(
                f"cannot crop {self.num_samples} samples out of {waveforms.shape[1]}. "
                "Pad the waveforms or ask for less"
            )
        starts = (place * (room + 1)).long().clamp(max=room).tolist()
        rows = [row[start : start + self.num_samples] for row, start in zip(waveforms, starts, strict=True)]
        return torch.stack(rows)

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse waveforms shorter than the crop."""
        super().check(waveforms)
        if waveforms.shape[1] < self.num_samples:
            self.change(waveforms, torch.zeros(len(waveforms)))


class RandomResizedCrop(Transform):
    """Cut out a part of random length and play it as `num_samples` samples, like a record at the wrong speed.

    Pitch and tempo change together. The part is resampled in the frequency domain: its spectrum gets fewer or more
    bins.

    Parameters
    ----------
    num_samples : int
    min_scale, max_scale : float
        Length of the part in units of `num_samples`; above 1 it sounds faster and higher.

    Raises
    ------
    ValueError
        If an option is outside its range, or waveforms are shorter than ``max_scale * num_samples``.

    Examples
    --------
    >>> RandomResizedCrop(8000, 0.5, 1.0)(torch.ones(2, 16000)).shape
    torch.Size([2, 8000])
    """

    changes_labels = ("slow", "fast", *VOICES)

    def __init__(self, num_samples: int, min_scale: float = 0.8, max_scale: float = 1.25):
        super().__init__()
        self.num_samples = RandomCrop(num_samples).num_samples
        check_interval("the scale", min_scale, max_scale, 0.1, 10)
        self.min_scale, self.max_scale = min_scale, max_scale

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw where each part lies, and how long it is."""
        place = torch.rand(batch, generator=generator)
        return {"place": place, "scale": uniform(self.min_scale, self.max_scale, batch, generator)}

    def change(self, waveforms: torch.Tensor, place: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Cut and resample; shape ``(batch, num_samples)``."""
        result = waveforms.new_empty(len(waveforms), self.num_samples)
        for i, (where, factor) in enumerate(zip(place.tolist(), scale.tolist(), strict=True)):
            # A length that is quick to transform; at most as long as there is.
            length = min(next_fast_len(round(factor * self.num_samples), real=True), waveforms.shape[1])
            start = int(where * (waveforms.shape[1] - length))
            spectrum = torch.fft.rfft(waveforms[i, start : start + length])
            spectrum = spectrum[: min(length, self.num_samples) // 2]
            result[i] = torch.fft.irfft(spectrum, n=self.num_samples) * (self.num_samples / length)
        return result

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse waveforms shorter than the longest part."""
        super().check(waveforms)
        longest = round(self.max_scale * self.num_samples)
        if waveforms.shape[1] < longest:
            raise ValueError(
                f"parts have up to {longest} samples, {self.max_scale:g} times {self.num_samples}, and the "
                f"waveforms only {waveforms.shape[1]}. Take longer waveforms or a smaller max_scale"
            )


class TimeShift(Transform):
    """Move the waveform in time.

    Parameters
    ----------
    max_shift : float
        Largest shift to either side, as a share of the length.
    wrap : bool
        Whether what is pushed out at one end comes back at the other, or zeros do.

    Raises
    ------
    ValueError
        If `max_shift` is not between 0 and 1.

    Examples
    --------
    >>> TimeShift(0.5)(torch.arange(6.0)[None], torch.Generator().manual_seed(1))
    tensor([[4., 5., 0., 1., 2., 3.]])
    """

    def __init__(self, max_shift: float = 0.5, wrap: bool = True):
        super().__init__()
        if not 0 <= max_shift <= 1:
            raise ValueError(
                f"max_shift is a share of the length, between 0 and 1, got {max_shift}. (Not seconds)"
            )
        self.max_shift, self.wrap = max_shift, wrap

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw each shift as a share of the length; positive ones delay."""
        return {"shift": uniform(-self.max_shift, self.max_shift, batch, generator)}

    def change(self, waveforms: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Move each waveform by whole samples."""
        samples = waveforms.shape[1]
        silence = waveforms.new_zeros(samples)
        parts = []
        for row, by in zip(waveforms, (shift * samples).round().long().tolist(), strict=True):
            later, earlier = max(by, 0), max(-by, 0)
            comes_in = row if self.wrap else silence
            parts += [comes_in[samples - later :], row[earlier : samples - later], comes_in[:earlier]]
        return torch.cat(parts).view_as(waveforms)


class Delay(Transform):
    """Add one quieter echo (a comb filter): ``(x(t) + volume · x(t − delay)) / 2``.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    min_delay, max_delay : float
        In milliseconds.
    interval : float
        Delays are `min_delay` plus a multiple of this many milliseconds; 0 for any delay.
    volume : float
        Amplitude of the echo, between 0 and 1; the division by two keeps it within the old range.

    Raises
    ------
    ValueError
        If an option is outside its range.

    Examples
    --------
    >>> Delay(1000, min_delay=2, max_delay=2)(torch.tensor([[1.0, 0, 0, 0]]))
    tensor([[0.5000, 0.0000, 0.2500, 0.0000]])
    """

    def __init__(
        self,
        sample_rate: int,
        min_delay: float = 200.0,
        max_delay: float = 450.0,
        interval: float = 50.0,
        volume: float = 0.5,
    ):
        super().__init__()
        check_sample_rate(sample_rate)
        check_interval("the delay", min_delay, max_delay, 0, 10_000, "milliseconds")
        if interval < 0 or not 0 <= volume <= 1:
            raise ValueError(
                "interval must not be negative and volume must be between 0 and 1, "
                f"got interval={interval}, volume={volume}"
            )
        self.sample_rate, self.min_delay, self.max_delay = sample_rate, min_delay, max_delay
        self.interval, self.volume = interval, volume

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a delay in milliseconds for each example."""
        if self.interval == 0:
            return {"delay": uniform(self.min_delay, self.max_delay, batch, generator)}
        steps = 1 + int((self.max_delay - self.min_delay) / self.interval + 1e-6)
        drawn = torch.randint(steps, (batch,), generator=generator)
        return {"delay": self.min_delay + self.interval * drawn}

    def change(self, waveforms: torch.Tensor, delay: torch.Tensor) -> torch.Tensor:
        """Add each waveform's echo."""
        offsets = (delay * self.sample_rate / 1000).long().tolist()
        result = waveforms / 2
        for i, offset in enumerate(offsets):
            echo = waveforms[i, : max(0, waveforms.shape[1] - offset)]
            result[i, offset:].add_(echo, alpha=self.volume / 2)
        return result
