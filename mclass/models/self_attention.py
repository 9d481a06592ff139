"""CNN and self-attention: a transformer encoder sums up time instead of a pool.

Taught in: 04_supervised.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.attention import Encoder, PostNormLayer
from mclass.models.layers.blocks import ResidualBlock2d


class SelfAttentionCNN(WaveformModel):
    """Seven residual blocks, then two layers of self-attention (BERT's) over time. 10,521,652 parameters.

    Won et al. (2019), "Toward interpretable music tagging with self-attention". The blocks leave one vector for
    each 0.13 s. A class token, a vector that stands for no moment, is put before them; what attention has gathered
    there is the embedding.

    Any length will do: the encoder has no positions, so that the order of moments counts only within the reach of
    the convolutions. Attention of all moments to all takes memory that grows with the square of the length.

    Parameters
    ----------
    num_tags : int

    Examples
    --------
    >>> model = SelfAttentionCNN(num_tags=10).eval()
    >>> model.attention(torch.zeros(1, 48000), layer=0).shape  # 24 moments and the class token, 8 heads
    torch.Size([1, 8, 25, 25])
    """

    num_samples = 240_000  # 15 s

    def __init__(self, num_tags: int = 50):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel(n_mels=128)
        self.min_samples = self.frontend.min_samples
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(  # 1 × 128 × 938 (bands, frames)
            ResidualBlock2d(1, 128, stride=2),  # 128 × 64 × 469
            ResidualBlock2d(128, 128, stride=2),  # 128 × 32 × 235
            ResidualBlock2d(128, 256, stride=2),  # 256 × 16 × 118
            *(ResidualBlock2d(256, 256, stride=(2, 1)) for _ in range(4)),  # 256 × 1 × 118
        )
        # Random, but not learned: the original draws it once with this seed, and its weights do not contain it.
        token = torch.from_numpy(np.random.RandomState(0).random_sample(256)).float()
        self.register_buffer("class_token", token, persistent=False)
        self.encoder = Encoder(
            *(PostNormLayer(256, heads=8, hidden=1024, dropout=0.4, attention_dropout=0.5) for _ in range(2))
        )
        self.pooler = nn.Sequential(nn.Linear(256, 256), nn.Tanh())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, num_tags))

    def tokens(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the encoder reads, the class token first: shape ``(batch, 1 + time, 256)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 128, frames)
        x = self.blocks(x)  # (batch, 256, 1, time)
        moments = x[:, :, 0].transpose(1, 2)  # (batch, time, 256)
        token = self.class_token.expand(x.shape[0], 1, -1)  # (batch, 1, 256)
        return torch.cat([token, moments], dim=1)  # (batch, 1 + time, 256)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the encoder makes of each moment, shape ``(batch, 256, time)``."""
        x = self.encoder(self.tokens(waveform))  # (batch, 1 + time, 256)
        return x[:, 1:].transpose(1, 2)  # (batch, 256, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.encoder(self.tokens(waveform))  # (batch, 1 + time, 256)
        return self.pooler(x[:, 0])  # (batch, 256)

    def attention(self, waveform: torch.Tensor, layer: int = -1) -> torch.Tensor:
        """How much each moment takes from each other, shape ``(batch, heads, 1 + time, 1 + time)``.

        Index 0 is the class token: ``attention(waveform)[:, :, 0, 1:]`` says which moments decided.

        Parameters
        ----------
        waveform : torch.Tensor, shape (batch, samples)
        layer : int
            Of the encoder; -1 is the last.
        """
        return self.encoder.attention(self.tokens(waveform), layer)
