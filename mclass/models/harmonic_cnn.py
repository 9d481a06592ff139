"""The Harmonic CNN: learned harmonic filters, then a short-chunk CNN.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.frontends import Harmonic
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ConvBlock2d, ResidualBlock2d


class HarmonicCNN(WaveformModel):
    """Seven blocks on a harmonic spectrogram, then max-pooling over time. 3,631,551 parameters.

    Won et al. (2020), "Data-driven harmonic filters for audio representation learning". Of a longer waveform, each
    channel's maximum over all of it counts.

    Parameters
    ----------
    num_tags : int
    learn_q : bool
        Whether training changes the width of the filters (see `mclass.frontends.Harmonic`).

    Examples
    --------
    >>> model = HarmonicCNN().eval()
    >>> model.embed(torch.zeros(1, 80000)).shape
    torch.Size([1, 256])
    >>> sum(p.numel() for p in model.parameters())
    3631551
    """

    num_samples = 80_000  # 5 s
    min_samples = 73_472  # 288 frames, the product of the pools over time

    def __init__(self, num_tags: int = 50, learn_q: bool = True):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = Harmonic(learn_q=learn_q)
        self.input_norm = nn.BatchNorm2d(self.frontend.num_harmonics)
        self.blocks = nn.Sequential(  # 6 × 128 × 313 (harmonics, bands, frames)
            ConvBlock2d(6, 128, pool=(2, 2)),  # 128 × 64 × 156
            ResidualBlock2d(128, 128, stride=1, pool=2),  # 128 × 32 × 78
            ResidualBlock2d(128, 128, stride=1, pool=2),  # 128 × 16 × 39
            ResidualBlock2d(128, 128, stride=1, pool=2),  # 128 × 8 × 19
            ConvBlock2d(128, 256, pool=(2, 2)),  # 256 × 4 × 9
            ResidualBlock2d(256, 256, stride=1, pool=(2, 3)),  # 256 × 2 × 3
            ResidualBlock2d(256, 256, stride=1, pool=(2, 3)),  # 256 × 1 × 1
        )
        self.dense = nn.Sequential(nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, 256, 1, time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 6, 128, frames)
        return self.blocks(x)  # (batch, 256, 1, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.features(waveform).amax(dim=(2, 3))  # (batch, 256)
        return self.dense(x)  # (batch, 256)
