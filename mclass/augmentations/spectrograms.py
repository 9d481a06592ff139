"""SpecAugment: holes in the spectrogram.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import torch

from mclass.augmentations.base import Transform, column


class SpecAugment(Transform):
    """Hide random bands and random moments of spectrograms.

    The masking of Park et al. 2019, *SpecAugment: A simple data augmentation method for automatic speech
    recognition*, section 2; its time warping changes little and is left out there, too.

    Parameters
    ----------
    freq_masks, time_masks : int
        How many of each.
    max_freq, max_time : int
        Largest width of one, in bins and in frames; drawn evenly from 0 on.
    value : "mean" or float
        What is put in the holes: the mean of the example, or a number (such as −100 dB).

    Raises
    ------
    ValueError
        If an option is outside its range, or the input is not ``(batch, channels, frequency, time)``.

    Examples
    --------
    >>> masked = SpecAugment(max_freq=8, max_time=20, value=0.0)(torch.ones(2, 1, 96, 188))
    >>> masked.shape
    torch.Size([2, 1, 96, 188])
    """

    def __init__(
        self,
        freq_masks: int = 2,
        max_freq: int = 12,
        time_masks: int = 2,
        max_time: int = 30,
        value: float | str = "mean",
    ):
        super().__init__()
        given = {"freq_masks": freq_masks, "max_freq": max_freq, "time_masks": time_masks, "max_time": max_time}
        for name, number in given.items():
            if number != int(number) or number < 0:
                raise ValueError(f"{name} must be an integer of at least 0, got {number}")
            setattr(self, name, int(number))
        if isinstance(value, str) and value != "mean":
            raise ValueError(f"value must be 'mean' or a number, got {value!r}")
        self.value = value

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw widths and places of all masks, each of shape ``(batch, masks)``."""
        drawn = {}
        for name, count, widest in (
            ("freq", self.freq_masks, self.max_freq),
            ("time", self.time_masks, self.max_time),
        ):
            drawn[f"{name}_width"] = torch.randint(widest + 1, (batch, count), generator=generator)
            drawn[f"{name}_place"] = torch.rand(batch, count, generator=generator)
        return drawn

    def change(self, waveforms: torch.Tensor, freq_width, freq_place, time_width, time_place) -> torch.Tensor:
        """Fill the holes of spectrograms, shape ``(batch, channels, frequency, time)``."""
        spectrograms = waveforms
        bands = masked(freq_width, freq_place, spectrograms.shape[2])[:, None, :, None]
        moments = masked(time_width, time_place, spectrograms.shape[3])[:, None, None, :]
        value = spectrograms.mean((1, 2, 3)) if self.value == "mean" else torch.full((len(waveforms),), self.value)
        hidden = (bands | moments).to(spectrograms.device)
        return torch.where(hidden, column(value, spectrograms)[:, :, None, None], spectrograms)

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse what is not a batch of spectrograms."""
        shape = tuple(getattr(waveforms, "shape", ()))
        if len(shape) != 4 or 0 in shape or not waveforms.is_floating_point():
            raise ValueError(
                f"SpecAugment takes floats of shape (batch, channels, frequency, time), got {shape}. "
                "It comes after the front end: mclass.frontends.LogMel()(waveforms)"
            )


def masked(widths: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
    """Which of `size` positions any mask covers.

    Parameters
    ----------
    widths : torch.Tensor of int, shape (batch, masks)
    places : torch.Tensor, shape (batch, masks)
        0: as far to the left as possible; 1: to the right.
    size : int

    Returns
    -------
    torch.Tensor of bool, shape (batch, size)

    Examples
    --------
    >>> masked(torch.tensor([[2, 1]]), torch.tensor([[0.0, 0.999]]), 5).int()
    tensor([[1, 1, 0, 0, 1]], dtype=torch.int32)
    """
    widths = widths.clamp(max=size)[:, :, None]
    starts = (places[:, :, None] * (size - widths + 1)).long()
    positions = torch.arange(size)
    return ((positions >= starts) & (positions < starts + widths)).any(1)
