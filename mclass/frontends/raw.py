"""The waveform itself as the input of a network.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn


class Raw(nn.Module):
    """The waveform as it is, with a channel axis, for networks that learn their own filters.

    Examples
    --------
    >>> Raw()(torch.zeros(2, 48000)).shape
    torch.Size([2, 1, 48000])
    """

    summary = "waveform"
    min_samples = 1

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to shape ``(batch, 1, samples)``."""
        check_waveform(waveform)
        return waveform[:, None]


def check_waveform(waveform: torch.Tensor, min_samples: int = 1) -> None:
    """Refuse what is not a batch of mono waveforms.

    Raises
    ------
    ValueError
        If `waveform` is not a floating-point tensor of shape ``(batch, samples)`` with at least one row and
        `min_samples` samples.

    Examples
    --------
    >>> check_waveform(torch.zeros(48000))
    Traceback (most recent call last):
    ValueError: waveforms have shape (batch, samples), got (48000,). One waveform is a batch of one: waveform[None]
    """
    shape = tuple(getattr(waveform, "shape", ()))
    if not isinstance(waveform, torch.Tensor):
        raise ValueError(
            f"waveforms must be a torch.Tensor, got {type(waveform).__name__}. "
            "A NumPy array becomes one with torch.from_numpy(array).float()"
        )
    if waveform.ndim != 2:
        guess = {
            1: "One waveform is a batch of one: waveform[None]",
            3: "Was a channel axis left in? waveform.mean(1) makes (batch, channels, samples) mono",
        }.get(waveform.ndim, "Was a spectrogram given? Models compute their own")
        raise ValueError(f"waveforms have shape (batch, samples), got {shape}. {guess}")
    if not waveform.is_floating_point():
        raise ValueError(
            f"waveforms must be floats between -1 and 1, got {waveform.dtype}. Divide 16-bit integers by 32768"
        )
    if shape[0] == 0 or shape[1] < min_samples:
        raise ValueError(
            f"waveforms need at least 1 row and {min_samples} samples, got {shape}. "
            "Pad the waveform or take a longer part. (Were (samples, batch) given, or seconds for samples?)"
        )
