"""Short-chunk CNNs: small filters, small pools, short inputs.

A chunk of 3.7 s gets the label of its whole song: what is missing in context is made up for by many more examples.
Seven layers of 3 × 3 convolutions halve frequency and time seven times; the largest value over whatever time is
left says whether a pattern occurred at all.

======================= ================================================= ====================== ==========
name                    blocks                                            last map, 3.7 s        parameters
======================= ================================================= ====================== ==========
`short_chunk_cnn`       convolution, batch norm, ReLU, 2 × 2 max-pooling  512 × 1 × 1            3,687,348
`short_chunk_cnn_res`   two convolutions, the first with stride 2, and    512 × 1 × 2            12,104,244
                        a third past them
======================= ================================================= ====================== ==========

Source: M. Won, A. Ferraro, D. Bogdanov, X. Serra, *Evaluation of CNN-based automatic music tagging models*,
SMC 2020, section 2.8.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ResidualBlock2d, check_widths, conv_blocks_2d

CHANNELS = (128, 128, 256, 256, 256, 256, 512)


class ShortChunkCNN(WaveformModel):
    """Seven blocks with 2 × 2 pools on 128 mel bands, maximum over time, one hidden layer.

    The 231 frames of a chunk become 115, 57, 28, 14, 7, 3 and 1. Any longer waveform works: `features` then has
    more than one moment, and `embed` takes the maximum over them.

    Parameters
    ----------
    num_tags : int
    channels : sequence of 7 int
        Width of each block; the hidden layer is as wide as the last.

    Examples
    --------
    >>> model = ShortChunkCNN(channels=(8, 8, 8, 8, 8, 8, 16))
    >>> model.features(torch.zeros(1, 59049)).shape
    torch.Size([1, 16, 1, 1])
    """

    num_samples = 59_049  # 3.69 s

    def __init__(self, num_tags: int = 50, channels: Sequence[int] = CHANNELS):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel(n_mels=128)
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = self._blocks(channels)
        width = channels[-1]
        self.dense = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(width, num_tags))

    def _blocks(self, channels: Sequence[int]) -> nn.Sequential:
        self.min_samples = (2 ** len(CHANNELS) - 1) * self.frontend.hop_length
        return conv_blocks_2d(channels, pools=[(2, 2)] * len(CHANNELS))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, channels[-1], 1, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 128, frames)
        return self.blocks(x)  # (batch, channels[-1], 1, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.features(waveform).amax(dim=(2, 3))  # (batch, channels[-1])
        return self.dense(x)  # (batch, channels[-1])


class ShortChunkCNNRes(ShortChunkCNN):
    """Short-chunk CNN of residual blocks.

    Strides round up where pools round down: 231 frames become 116, 58, 29, 15, 8, 4 and 2, and even a waveform of
    one frame can be used.

    Parameters
    ----------
    num_tags : int
    channels : sequence of 7 int
        Width of each block; the hidden layer is as wide as the last.

    Examples
    --------
    >>> model = ShortChunkCNNRes(channels=(8, 8, 8, 8, 8, 8, 16))
    >>> model.features(torch.zeros(1, 59049)).shape
    torch.Size([1, 16, 1, 2])
    """

    def _blocks(self, channels: Sequence[int]) -> nn.Sequential:
        check_widths(channels, len(CHANNELS))
        self.min_samples = self.frontend.min_samples
        inputs = (1, *channels[:-1])
        return nn.Sequential(*(ResidualBlock2d(i, o, stride=2) for i, o in zip(inputs, channels, strict=True)))
