"""The three small networks of the homework: 1D-CNN, 2D-CNN and a fully convolutional network (FCN).

All three see three seconds at 16 kHz as a log-mel spectrogram of 96 bands × 188 frames. They differ in what their
convolutions slide over: time alone, or time and frequency.

====================== ============================================ ==========
model                  shape after each block, one 3-s chunk        parameters
====================== ============================================ ==========
`CNN1d`                32 × 64, 32 × 22, 32 × 8                     17,300
`CNN2d`                64 × 24 × 47, 128 × 8 × 15, 128 × 2 × 5, 64  299,892
`HomeworkFCN`          16 × 24 × 47, 32 × 8 × 15, 64 × 2 × 5, 128   104,184
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
from mclass.models.blocks import ConvBlock1d, conv_blocks_2d

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
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))
        return self.blocks(x[:, 0])

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=2)


class CNN2d(WaveformModel):
    """Convolutions over frequency and time. 299,892 parameters with 50 tags.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each of the four blocks.

    Examples
    --------
    >>> model = CNN2d()
    >>> model.embed(torch.zeros(1, 48000)).shape
    torch.Size([1, 64])
    >>> sum(p.numel() for p in model.parameters())
    299892
    """

    def __init__(self, num_tags: int = 50, channels: tuple[int, int, int, int] = (64, 128, 128, 64)):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = (math.prod(time for _, time in POOLS) - 1) * self.frontend.hop_length
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = conv_blocks_2d(channels, POOLS)
        self.head = nn.Linear(channels[-1], num_tags)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels[-1], 1, time)``."""
        self.check(waveform)
        return self.blocks(self.input_norm(self.frontend(waveform)))

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=(2, 3))


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
        features = self.features(waveform)
        if self.training and len(features) == 1:
            raise ValueError(
                "in training, HomeworkFCN needs at least 2 waveforms: its last batch norm compares them"
            )
        return self.head(features).mean(dim=(2, 3))
