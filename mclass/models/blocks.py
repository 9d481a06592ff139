"""Layers that several models share.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn


class ConvBlock1d(nn.Module):
    """Convolution over time, batch norm, ReLU, max-pooling.

    Shapes: ``(batch, in_channels, time)`` to ``(batch, out_channels, (time + 2 * padding - kernel + 1) // pool)``.

    Examples
    --------
    >>> ConvBlock1d(96, 32, pool=3, padding=3)(torch.zeros(2, 96, 188)).shape
    torch.Size([2, 32, 64])
    """

    def __init__(self, in_channels: int, out_channels: int, pool: int, kernel: int = 3, padding: int = 1):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, padding=padding)
        self.norm = nn.BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # ReLU never changes which value is the largest, so pooling first gives the same result
        # and leaves ReLU a fraction of the values.
        return torch.relu(self.pool(self.norm(self.conv(x))))


class ConvBlock2d(nn.Module):
    """Convolution (3 × 3, same size) over frequency and time, batch norm, ReLU, max-pooling.

    Shapes: ``(batch, in_channels, frequency, time)`` to
    ``(batch, out_channels, frequency // pool[0], time // pool[1])``.

    Examples
    --------
    >>> ConvBlock2d(1, 64, pool=(4, 4))(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 64, 24, 47])
    """

    def __init__(self, in_channels: int, out_channels: int, pool: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pool(self.norm(self.conv(x))))  # ReLU last: see ConvBlock1d
