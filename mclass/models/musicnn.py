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

    The textbook form is a convolution from one channel, batch norm, ReLU and a maximum over frequency. With a
    single input channel it is slow. The same numbers, three times as fast: cut out the bands that the filter
    covers at each height and let them be the *channels* of a convolution over time alone, with the heights as one
    more dimension to go through.

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
        self.conv = nn.Conv2d(
            1, filters, (height, width), padding=(0, width // 2)
        )  # holds the weights, is not called
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.conv.weight.transpose(1, 2)  # (filters, height, 1, width): bands are the input channels now
        bands = x[:, 0].unfold(1, weight.shape[1], 1)  # (batch, positions, time, height)
        bands = bands.permute(0, 3, 1, 2)  # (batch, height, positions, time)
        if not self.training and not torch.is_grad_enabled():
            return self._without_gradient(bands, weight)
        bands = bands.contiguous(memory_format=torch.channels_last)
        found = self.norm(nn.functional.conv2d(bands, weight, self.conv.bias, padding=self.conv.padding))
        return torch.relu(_best_position(found))  # ReLU after the maximum: see ConvBlock1d

    def _without_gradient(self, bands: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """A few positions after the other: a running maximum, and no memory for what it replaces."""
        # In eval mode batch norm is a factor and an offset for each filter; the weights can carry them.
        norm = self.norm
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = (weight * factor[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        bias = (self.conv.bias - norm.running_mean) * factor + norm.bias
        best = None
        for few in bands.split(8, dim=2):  # one at a time would leave too little to share among threads
            few = few.contiguous(memory_format=torch.channels_last)
            found = _best_position(nn.functional.conv2d(few, weight, bias, padding=self.conv.padding))
            best = found if best is None else torch.maximum(best, found)
        return torch.relu(best)


def _best_position(found: torch.Tensor) -> torch.Tensor:
    """``(batch, filters, positions, time)`` to ``(batch, filters, time)``."""
    return nn.functional.max_pool2d(found, (found.shape[2], 1))[:, :, 0]  # faster here than amax


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
        return torch.relu(self.norm(self.conv(x.mean(dim=2))))


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
        x = self.input_norm(self.frontend(waveform))
        found = torch.cat([layer(x) for layer in (*self.vertical, *self.horizontal)], dim=1)
        first, second, third = self.backend
        a = first(found)
        b = second(a) + a
        c = third(b) + b
        return torch.cat([found, a, b, c], dim=1)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        features = self.features(waveform)
        return self.dense(torch.cat([features.amax(dim=2), features.mean(dim=2)], dim=1))
