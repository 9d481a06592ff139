"""Convolutions, then a recurrent network that reads what they find from left to right.

Source: K. Choi, G. Fazekas, M. Sandler, K. Cho, *Convolutional recurrent neural networks for music
classification*, ICASSP 2017; sizes of M. Won et al., *Evaluation of CNN-based automatic music tagging
models*, SMC 2020.

Taught in: 04_supervised.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import conv_blocks_2d

# (frequency, time); together they reduce 96 × 1813 to 1 × 18.
POOLS = ((2, 2), (3, 3), (4, 4), (4, 4))


class CRNN(WaveformModel):
    """Four convolution blocks, two GRU layers, and the last state decides. 394,100 parameters with 50 tags.

    =========== ========================== =====================
    after       shape, one 29-s chunk      one step is
    =========== ========================== =====================
    log-mel     1 × 96 × 1813              16 ms
    `blocks`    64 × 48 × 906              32 ms
    ..          128 × 16 × 302             96 ms
    ..          128 × 4 × 75               384 ms
    ..          128 × 1 × 18               1.5 s
    `rnn`       32 × 18, its last: 32      1.5 s
    =========== ========================== =====================

    A longer waveform is a longer sequence; the last state then tells more about its end than about its start.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each of the four blocks.
    hidden : int
        Width of each GRU layer.

    Examples
    --------
    >>> model = CRNN()
    >>> model.features(torch.zeros(1, 48000)).shape, model.embed(torch.zeros(1, 48000)).shape
    (torch.Size([1, 32, 1]), torch.Size([1, 32]))
    """

    num_samples = 464_000  # 29 s

    def __init__(
        self, num_tags: int = 50, channels: tuple[int, int, int, int] = (64, 128, 128, 128), hidden: int = 32
    ):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = (math.prod(time for _, time in POOLS) - 1) * self.frontend.hop_length
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = conv_blocks_2d(channels, POOLS)
        self.rnn = nn.GRU(channels[-1], hidden, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to the states of the second GRU layer, shape ``(batch, hidden, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        x = self.blocks(x)  # (batch, channels[-1], 1, time)
        sequence = x[:, :, 0].transpose(1, 2)  # (batch, time, channels[-1])
        states, _ = self.rnn(sequence)  # (batch, time, hidden)
        return states.transpose(1, 2)  # (batch, hidden, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform)[:, :, -1]  # (batch, hidden)
