"""The fully convolutional network of Choi et al. (2016).

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.blocks import ConvBlock2d


class FCN(WaveformModel):
    """Five blocks of 3 × 3 convolutions that shrink a 29-second log-mel spectrogram to a single point."""

    num_samples = 464_000  # 29 s

    def __init__(self, num_tags: int = 50):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(
            ConvBlock2d(1, 64, pool=(2, 4)),
            ConvBlock2d(64, 128, pool=(2, 4)),
            ConvBlock2d(128, 128, pool=(2, 4)),
            ConvBlock2d(128, 128, pool=(3, 5)),
            ConvBlock2d(128, 64, pool=(4, 4)),
        ).to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        self.check(waveform)
        return self.blocks(self.input_norm(self.frontend(waveform)))

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=(2, 3))
