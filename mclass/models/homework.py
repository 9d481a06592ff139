"""The small networks of the homework: 1D-CNN, 2D-CNN, a fully convolutional network (FCN), and a deeper 2D-CNN.

All see three seconds at 16 kHz as a log-mel spectrogram of 96 bands × 188 frames. They differ in what their
convolutions slide over: time alone, or time and frequency.

====================== ============================================ ==========
model                  shape after each block, one 3-s chunk        parameters
====================== ============================================ ==========
`CNN1d`                32 × 64, 32 × 22, 32 × 8                     17,300
`CNN2d`                64 × 24 × 47, 128 × 8 × 15, 128 × 2 × 5, 64  299,892
`HomeworkFCN`          16 × 24 × 47, 32 × 8 × 15, 64 × 2 × 5, 128   104,184
`HomeworkShortChunk`   128 × 48 × 94, 256 × 24 × 47, 256 × 12 × 23, 1,485,236
                       128 × 6 × 11, 128 × 3 × 5, 128
====================== ============================================ ==========

Longer waveforms are welcome: whatever time is left after the last block is averaged.

Taught in: 04_supervised.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ConvBlock1d, conv_blocks_2d

# (frequency, time); together they reduce 96 × 188 to 1 × 1.
POOLS = ((4, 4), (3, 3), (3, 3), (2, 5))


class CNN1d(WaveformModel):
    """Convolutions over time; the mel bands are the input channels. 17,300 parameters with 50 tags.

    Parameters
    ----------
    num_tags : int
    channels : int
        Width of each of the three blocks.

    Examples
    --------
    >>> CNN1d()(torch.zeros(1, 48000)).shape
    torch.Size([1, 50])
    """

    def __init__(self, num_tags: int = 50, channels: int = 32):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = self.frontend.min_samples
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(
            ConvBlock1d(self.frontend.n_mels, channels, pool=3, padding=3),
            ConvBlock1d(channels, channels, pool=3, padding=3),
            ConvBlock1d(channels, channels, pool=3, padding=3),
        )
        self.head = nn.Linear(channels, num_tags)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        return self.blocks(x[:, 0])  # (batch, channels, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=2)  # (batch, channels)


class CNN2d(WaveformModel):
    """Convolutions over frequency and time. 299,892 parameters with 50 tags.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each of the four blocks.
    activation : {"relu", "elu", "gelu"}
    dropout : float
        Between the blocks.

    Examples
    --------
    >>> model = CNN2d()
    >>> model.embed(torch.zeros(1, 48000)).shape
    torch.Size([1, 64])
    >>> sum(p.numel() for p in model.parameters())
    299892
    """

    pools = POOLS

    def __init__(
        self,
        num_tags: int = 50,
        channels: tuple[int, int, int, int] = (64, 128, 128, 64),
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = (math.prod(time for _, time in self.pools) - 1) * self.frontend.hop_length
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = conv_blocks_2d(channels, self.pools, activation, dropout)
        self.head = nn.Linear(channels[-1], num_tags)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels[-1], 1, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        return self.blocks(x)  # (batch, channels[-1], 1, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=(2, 3))  # (batch, channels[-1])


class HomeworkFCN(CNN2d):
    """The 2D-CNN with a 1 × 1 convolution in place of the linear layer: fully convolutional. 104,184 parameters.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each of the four blocks.

    Notes
    -----
    Batch norm is the last layer, so training needs batches of at least two chunks.

    Examples
    --------
    >>> HomeworkFCN()(torch.zeros(2, 48000)).shape
    torch.Size([2, 50])
    """

    def __init__(self, num_tags: int = 50, channels: tuple[int, int, int, int] = (16, 32, 64, 128)):
        super().__init__(num_tags, channels)
        self.head = nn.Sequential(nn.Conv2d(channels[-1], num_tags, kernel_size=1), nn.BatchNorm2d(num_tags))

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        features = self.features(waveform)  # (batch, channels[-1], 1, time)
        if self.training and len(features) == 1:
            raise ValueError(
                "in training, HomeworkFCN needs at least 2 waveforms, whose means its last batch norm compares: "
                "give a batch_size of at least 2"
            )
        logits = self.head(features)  # (batch, num_tags, 1, time)
        return logits.mean(dim=(2, 3))  # (batch, num_tags)


class HomeworkShortChunk(CNN2d):
    """Six blocks with small pools, after the short-chunk CNN. 1,485,236 parameters with 50 tags.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each of the six blocks.
    activation : {"gelu", "relu", "elu"}
    dropout : float
        Between the blocks and before the linear layer.

    Examples
    --------
    >>> model = HomeworkShortChunk(activation="elu")
    >>> model.features(torch.zeros(1, 48000)).shape
    torch.Size([1, 128, 1, 1])
    >>> HomeworkShortChunk(activation="gelo")
    Traceback (most recent call last):
    ValueError: unknown activation 'gelo' (did you mean 'gelu'?); available: relu, elu, gelu
    """

    pools = (*[(2, 2)] * 5, (2, 3))

    def __init__(
        self,
        num_tags: int = 50,
        channels: tuple[int, int, int, int, int, int] = (128, 256, 256, 128, 128, 128),
        activation: str = "gelu",
        dropout: float = 0.1,
    ):
        super().__init__(num_tags, channels, activation, dropout)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels[-1], num_tags))
