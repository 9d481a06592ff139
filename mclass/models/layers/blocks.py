"""Layers that several models share.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import nn

from mclass.errors import unknown_name

ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU}


def check_widths(channels: Sequence[int], count: int) -> None:
    """Refuse widths that are not one for each of `count` layers.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_widths(64, 7)
    Traceback (most recent call last):
    ValueError: channels are the widths of 7 layers, such as (64, 64, 64, 64, 64, 64, 64); got 64
    """
    whole = isinstance(channels, Sequence) and all(isinstance(width, Integral) and width > 0 for width in channels)
    if not whole or len(channels) != count:
        example = (channels if isinstance(channels, Integral) and channels > 0 else 64,) * count
        raise ValueError(f"channels are the widths of {count} layers, such as {example}; got {channels!r}")


class ConvBlock1d(nn.Module):
    """Convolution over time, batch norm, ReLU, max-pooling.

    Shapes: ``(batch, in_channels, time)`` to ``(batch, out_channels, steps // pool)``, where
    ``steps = (time + 2 * padding - kernel) // stride + 1``.

    Examples
    --------
    >>> ConvBlock1d(96, 32, pool=3, padding=3)(torch.zeros(2, 96, 188)).shape
    torch.Size([2, 32, 64])
    """

    def __init__(
        self, in_channels: int, out_channels: int, pool: int, kernel: int = 3, padding: int = 1, stride: int = 1
    ):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=padding)
        self.norm = nn.BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(pool) if pool > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))  # (batch, out_channels, steps)
        return self.pool(torch.relu(x))  # (batch, out_channels, steps // pool)


class ConvBlock2d(nn.Module):
    """Convolution (3 × 3, same size) over frequency and time, batch norm, activation, max-pooling, dropout.

    Shapes: ``(batch, in_channels, frequency, time)`` to
    ``(batch, out_channels, frequency // pool[0], time // pool[1])``.

    Parameters
    ----------
    in_channels, out_channels : int
    pool : (int, int)
        Frequency and time.
    activation : {"relu", "elu", "gelu"}
    dropout : float

    Examples
    --------
    >>> ConvBlock2d(1, 64, pool=(4, 4))(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 64, 24, 47])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        pool: tuple[int, int],
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(unknown_name("activation", activation, ACTIVATIONS))
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = ACTIVATIONS[activation]()
        self.pool = nn.MaxPool2d(pool)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))  # (batch, out_channels, frequency, time)
        x = self.pool(self.activation(x))  # (batch, out_channels, frequency // pool[0], time // pool[1])
        return self.dropout(x)  # the same shape


class ResidualBlock2d(nn.Module):
    """Two 3 × 3 convolutions, and a third that takes the input past them; the first and the third have a stride.

    Shapes: ``(batch, in_channels, frequency, time)`` to ``(batch, out_channels, …)``, where each of frequency and
    time is divided by its stride and rounded up.

    Where neither size nor channels change, the input passes as it is and there is no third convolution.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int or (int, int)
        Frequency and time.
    pool : int or (int, int)
        Max-pooling of the sum, over frequency and time; it rounds down.

    Examples
    --------
    >>> ResidualBlock2d(1, 64, stride=2)(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 64, 48, 94])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int | tuple[int, int] = 2,
        pool: int | tuple[int, int] = 1,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv3 = None
        if self.conv1.stride != (1, 1) or in_channels != out_channels:
            self.conv3 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
            self.norm3 = nn.BatchNorm2d(out_channels)
        self.pool = nn.MaxPool2d(pool) if pool not in (1, (1, 1)) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = torch.relu(self.norm1(self.conv1(x)))  # (batch, out_channels, frequency / stride, time / stride)
        change = self.norm2(self.conv2(change))  # the same shape
        if self.conv3 is not None:
            x = self.norm3(self.conv3(x))  # the same shape
        return self.pool(torch.relu(x + change))  # (batch, out_channels, frequency / stride / pool, …)


def conv_blocks_2d(
    channels: Sequence[int], pools: Sequence[tuple[int, int]], activation: str = "relu", dropout: float = 0.0
) -> nn.Sequential:
    """Blocks one after the other on one input channel, with dropout between them.

    Parameters
    ----------
    channels : sequence of int
        Width of each block.
    pools : sequence of (int, int)
        Max-pooling of each block, over frequency and time.
    activation, dropout
        See `ConvBlock2d`. After the last block there is no dropout; heads have their own.

    Raises
    ------
    ValueError
        If there is not one pool for each block.

    Examples
    --------
    >>> conv_blocks_2d((64, 128), pools=((4, 4), (3, 3)))(torch.zeros(2, 1, 96, 188)).shape
    torch.Size([2, 128, 8, 15])
    """
    check_widths(channels, len(pools))
    blocks, inputs, last = nn.Sequential(), 1, len(channels) - 1
    for i, (outputs, pool) in enumerate(zip(channels, pools, strict=True)):
        blocks.append(ConvBlock2d(inputs, outputs, pool, activation, dropout if i < last else 0.0))
        inputs = outputs
    return blocks
