"""Musicnn: filters in the shapes of what musicians listen for.

Tall filters see the spectrum of a sound (timbre), at whatever pitch; long filters see how loudness moves (rhythm).
A small stack of convolutions over time follows, and everything found on the way is summed up over the chunk.

============== ================================================= =====================
stage          what                                              shape, 3 s, MTAT size
============== ================================================= =====================
`frontend`     log-mel                                           1 × 96 × 188
`vertical`     204 filters 67 × 7, 204 filters 38 × 7, maximum   408 × 188
               over the heights they are applied at
`horizontal`   51 filters each of length 129, 65, 33 over the    153 × 188
               mean of the bands
`backend`      three convolutions of length 7, the second and    3 × (64 × 188)
               the third residual
`features`     all of the above                                  753 × 188
`dense`        of the maximum and the mean over time             200
============== ================================================= =====================

`musicnn` is the size for MagnaTagATune (784,300 parameters), `musicnn_msd` the one for the Million Song Dataset
(`backend_channels` 512, `dense_channels` 500; 7,972,000).

Source: J. Pons, O. Nieto, M. Prockup, E. Schmidt, A. Ehmann, X. Serra, *End-to-end learning for music audio
tagging at scale*, ISMIR 2018; J. Pons, X. Serra, *musicnn*, 2019.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ConvBlock1d

HEIGHTS = (67, 38)  # 0.7 and 0.4 of the 96 mel bands
LENGTHS = (129, 65, 33)  # 2.1, 1.0 and 0.5 seconds


class Vertical(nn.Module):
    """Tall filters applied at every height they fit in; the height where each responds most counts.

    Shapes: ``(batch, 1, frequency, time)`` to ``(batch, filters, time)``.

    Parameters
    ----------
    filters : int
    height, width : int
        Of a filter, in mel bands and frames.

    Examples
    --------
    >>> Vertical(204, height=67, width=7)(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 204, 188])
    """

    def __init__(self, filters: int, height: int, width: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (height, width), padding=(0, width // 2))
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)  # (batch, filters, frequency - height + 1, time)
        x = torch.relu(self.norm(x))  # the same shape
        return x.amax(dim=2)  # (batch, filters, time)


class Horizontal(nn.Module):
    """Long filters over the mean of all bands.

    Shapes: ``(batch, 1, frequency, time)`` to ``(batch, filters, time)``.

    Parameters
    ----------
    filters : int
    length : int
        Of a filter, in frames; odd.

    Examples
    --------
    >>> Horizontal(51, length=129)(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 51, 188])
    """

    def __init__(self, filters: int, length: int):
        super().__init__()
        self.conv = nn.Conv1d(1, filters, length, padding=length // 2)
        self.norm = nn.BatchNorm1d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean(dim=2)  # (batch, 1, time)
        x = self.conv(x)  # (batch, filters, time)
        return torch.relu(self.norm(x))  # the same shape


class Musicnn(WaveformModel):
    """Vertical and horizontal filters, three convolutions, maximum and mean over time, one hidden layer.

    Every layer keeps the number of frames, so any longer waveform works.

    Parameters
    ----------
    num_tags : int
    backend_channels : int
        Width of the three convolutions: 64 for MagnaTagATune, 512 for the Million Song Dataset.
    dense_channels : int
        Width of the hidden layer: 200 and 500.

    Examples
    --------
    >>> model = Musicnn()
    >>> model.features(torch.zeros(1, 48000)).shape
    torch.Size([1, 753, 188])
    >>> sum(p.numel() for p in model.parameters())
    784300
    """

    num_samples = 48_000  # 3 s

    def __init__(self, num_tags: int = 50, backend_channels: int = 64, dense_channels: int = 200):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = self.frontend.min_samples
        self.input_norm = nn.BatchNorm2d(1)
        self.vertical = nn.ModuleList(Vertical(204, height) for height in HEIGHTS)
        self.horizontal = nn.ModuleList(Horizontal(51, length) for length in LENGTHS)
        found = 204 * len(HEIGHTS) + 51 * len(LENGTHS)  # 561
        self.backend = nn.ModuleList(
            ConvBlock1d(channels, backend_channels, pool=1, kernel=7, padding=3)
            for channels in (found, backend_channels, backend_channels)
        )
        pooled = 2 * (found + 3 * backend_channels)
        self.dense = nn.Sequential(nn.Linear(pooled, dense_channels), nn.BatchNorm1d(dense_channels), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(dense_channels, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what all filters find, shape ``(batch, 561 + 3 * backend_channels, frames)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        vertical = [layer(x) for layer in self.vertical]  # 2 × (batch, 204, frames)
        horizontal = [layer(x) for layer in self.horizontal]  # 3 × (batch, 51, frames)
        found = torch.cat(vertical + horizontal, dim=1)  # (batch, 561, frames)
        first, second, third = self.backend
        a = first(found)  # (batch, backend_channels, frames)
        b = second(a) + a  # (batch, backend_channels, frames)
        c = third(b) + b  # (batch, backend_channels, frames)
        return torch.cat([found, a, b, c], dim=1)  # (batch, 561 + 3 * backend_channels, frames)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        features = self.features(waveform)  # (batch, 561 + 3 * backend_channels, frames)
        summary = torch.cat([features.amax(dim=2), features.mean(dim=2)], dim=1)  # twice as many numbers
        return self.dense(summary)  # (batch, dense_channels)
