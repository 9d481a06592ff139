"""Filters in two musical shapes side by side, then residual blocks.

A square 3 × 3 filter sees neither a whole spectrum nor a whole beat. Vertical filters (many bands, few frames) can
learn timbre, horizontal ones (one band, many frames) rhythm; what both find is stacked as channels of the same
picture, and four residual blocks learn from the two together.

Source: J. Pons, T. Lidy, X. Serra, *Experimenting with musically motivated convolutional neural networks*, CBMI
2016, for the filters; K. He et al., *Deep residual learning for image recognition*, CVPR 2016, for the blocks. The
sizes are the course's own.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ResidualBlock2d, check_widths

TIMBRE = ((39, 3), (19, 3))  # bands, frames: 0.4 and 0.2 of the 96 bands
RHYTHM = ((1, 65), (1, 33))  # 1.0 and 0.5 seconds


class ParallelFilters(nn.Module):
    """Convolutions of several shapes on the same picture, their outputs stacked as channels; a 2 × 2 max-pooling.

    Shapes: ``(batch, 1, frequency, time)`` to ``(batch, len(shapes) * filters, frequency // 2, time // 2)``.

    Parameters
    ----------
    filters : int
        Of each shape.
    shapes : sequence of (int, int)
        Bands and frames of a filter; odd.

    Examples
    --------
    >>> ParallelFilters(16, shapes=[(39, 3), (1, 65)])(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 32, 48, 94])
    """

    def __init__(self, filters: int, shapes: Sequence[tuple[int, int]]):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(1, filters, shape, padding=(shape[0] // 2, shape[1] // 2)) for shape in shapes
        )
        self.norm = nn.BatchNorm2d(filters * len(shapes))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [conv(x) for conv in self.convs]  # len(shapes) × (batch, filters, frequency, time)
        x = torch.cat(found, dim=1)  # (batch, len(shapes) * filters, frequency, time)
        return self.pool(torch.relu(self.norm(x)))  # (batch, len(shapes) * filters, frequency // 2, time // 2)


class MusicalFeatureCNN(WaveformModel):
    """Vertical and horizontal filters in parallel, four residual blocks, mean. 2,050,100 parameters.

    A chunk of 96 × 188 becomes 48 × 94 by the pool, and 24 × 47, 12 × 24, 6 × 12 and 3 × 6 in the blocks.

    Parameters
    ----------
    num_tags : int
    filters : int
        Number of filters of each of the four shapes.
    channels : sequence of 4 int
        Width of each residual block.

    Examples
    --------
    >>> model = MusicalFeatureCNN()
    >>> model.features(torch.zeros(1, 48000)).shape
    torch.Size([1, 256, 3, 6])
    """

    def __init__(
        self, num_tags: int = 50, filters: int = 16, channels: tuple[int, int, int, int] = (64, 128, 128, 256)
    ):
        super().__init__()
        check_widths(channels, 4)
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = self.frontend.min_samples
        self.input_norm = nn.BatchNorm2d(1)
        self.filters = ParallelFilters(filters, TIMBRE + RHYTHM)
        inputs = (4 * filters, *channels[:-1])
        self.blocks = nn.Sequential(
            *(ResidualBlock2d(i, o, stride=2) for i, o in zip(inputs, channels, strict=True))
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(channels[-1], num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels[-1], 3, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        x = self.filters(x)  # (batch, 4 * filters, 48, frames // 2)
        return self.blocks(x)  # (batch, channels[-1], 3, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=(2, 3))  # (batch, channels[-1])
