"""The fully convolutional network of Choi et al. (2016), in the paper's size and in that of the published weights.

Blocks of 3 × 3 convolutions shrink a 29-second log-mel spectrogram to a single point, on which one linear layer
(a 1 × 1 convolution, if you like) decides about the tags.

========= ===================== ======================================= ======================== ==========
name      log-mel input         channels, frequency × time after blocks pools                    parameters
========= ===================== ======================================= ======================== ==========
`fcn`     16 kHz, 96 × 1813     64: 48 × 453, 128: 24 × 113,            (2,4) (2,4) (2,4) (3,5)  447,732
                                128: 12 × 28, 128: 4 × 5, 64: 1 × 1     (4,4)
`fcn_4`   12 kHz, 96 × 1366     128: 48 × 341, 384: 12 × 68,            (2,4) (4,5) (3,8) (4,8)  17,365,940
                                768: 4 × 8, 2048: 1 × 1
========= ===================== ======================================= ======================== ==========

Source: K. Choi, G. Fazekas, M. Sandler, *Automatic tagging using deep convolutional neural networks*, ISMIR 2016,
Table 1 (FCN-4); the five-layer form is that of M. Won et al., *Evaluation of CNN-based automatic music tagging
models*, SMC 2020.

Taught in: 04_supervised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import conv_blocks_2d


class FCN(WaveformModel):
    """Fully convolutional network: blocks of 3 × 3 convolutions down to 1 × 1, then one linear layer.

    Of a waveform longer than `num_samples` something is left after the last block; it is averaged.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Width of each block.
    pools : sequence of (int, int)
        Max-pooling after each block, over frequency and time. Together they must leave one band of the 96.
    sample_rate : int
        In Hz.
    num_samples : int
        Length of a training chunk.
    block_dropout : float
        Dropout between the blocks; after the last, the head has its own (0.5).

    Raises
    ------
    ValueError
        If there is not one pool for each block, or the pools do not leave exactly one band.

    Examples
    --------
    >>> model = FCN()
    >>> model.features(torch.zeros(1, model.min_samples)).shape
    torch.Size([1, 64, 1, 1])
    >>> FCN(channels=(64, 64), pools=((2, 4), (4, 4)))
    Traceback (most recent call last):
    ValueError: pools over frequency (2, 4) leave 12 of 96 mel bands, and must leave 1
    """

    def __init__(
        self,
        num_tags: int = 50,
        channels: Sequence[int] = (64, 128, 128, 128, 64),
        pools: Sequence[tuple[int, int]] = ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4)),
        sample_rate: int = 16000,
        num_samples: int = 464_000,  # 29 s
        block_dropout: float = 0.0,
    ):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.sample_rate, self.num_samples = sample_rate, num_samples
        self.frontend = LogMel(sample_rate, f_max=sample_rate / 2)
        left = self.frontend.n_mels
        for pool, _ in pools:
            left //= pool
        if left != 1:
            over_frequency = tuple(pool for pool, _ in pools)
            raise ValueError(
                f"pools over frequency {over_frequency} leave {left} of {self.frontend.n_mels} mel bands, "
                "and must leave 1"
            )
        self.min_samples = (math.prod(pool for _, pool in pools) - 1) * self.frontend.hop_length
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = conv_blocks_2d(channels, pools, dropout=block_dropout)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(channels[-1], num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels[-1], 1, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)
        return self.blocks(x)  # (batch, channels[-1], 1, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=(2, 3))  # (batch, channels[-1])
