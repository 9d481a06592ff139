"""The Music Tagging Transformer.

Taught in: 04_supervised, 06_semi_supervised.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.attention import Encoder, PreNormLayer
from mclass.models.layers.blocks import ResidualBlock2d


class MusicTaggingTransformer(WaveformModel):
    """A small CNN, then four layers of self-attention over time. 3,378,852 parameters.

    Won et al. (2021), "Semi-supervised music tagging transformer". Three residual blocks leave one vector for each
    93 ms. A learned class token is put before them and a learned position is added to each; what attention has
    gathered at the class token is the embedding.

    Any length up to `max_moments` will do; of more, nothing was learned about the positions.

    Parameters
    ----------
    num_tags : int
    max_moments : int
        Number of positions beside the class token's; 512 are 47.6 s.
    layers : int
        Of the encoder.

    Raises
    ------
    ValueError
        If a waveform is longer than `max_samples`.

    Examples
    --------
    >>> model = MusicTaggingTransformer().eval()
    >>> model.attention(torch.zeros(1, 66150)).shape  # 32 moments and the class token, 8 heads
    torch.Size([1, 8, 33, 33])
    >>> model.max_samples / model.sample_rate
    47.624...
    """

    sample_rate = 22050
    num_samples = 220_500  # 10 s

    def __init__(self, num_tags: int = 50, max_moments: int = 512, layers: int = 4):
        super().__init__()
        if max_moments < 1 or layers < 1:
            raise ValueError(
                f"max_moments and layers must be at least 1, got max_moments={max_moments} and layers={layers}"
            )
        self.num_tags, self.max_moments = check_num_tags(num_tags), max_moments
        self.frontend = LogMel(sample_rate=22050, n_fft=1024, hop_length=512, n_mels=128, f_max=11025)
        self.min_samples = 3 * 512  # 4 frames, the product of the pools over time
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(  # 1 × 128 × 431 (bands, frames)
            ResidualBlock2d(1, 16, stride=1, pool=(2, 2)),  # 16 × 64 × 215
            ResidualBlock2d(16, 16, stride=1, pool=(2, 2)),  # 16 × 32 × 107
            ResidualBlock2d(16, 16, stride=1, pool=(2, 1)),  # 16 × 16 × 107
        )
        self.project = nn.Linear(16 * 16, 256)
        self.class_token = nn.Parameter(torch.randn(256))
        self.positions = nn.Parameter(torch.randn(1, 1 + max_moments, 256))
        self.dropout = nn.Dropout(0.1)
        self.encoder = Encoder(*(PreNormLayer(256, heads=8, hidden=1024, dropout=0.1) for _ in range(layers)))
        self.norm = nn.LayerNorm(256)
        self.head = nn.Linear(256, num_tags)

    @property
    def max_samples(self) -> int:
        """Length of the longest waveform whose moments all have a position."""
        return (4 * self.max_moments + 3) * self.frontend.hop_length - 1

    def check(self, waveform: torch.Tensor) -> None:
        """Refuse what `embed` cannot use, and what has more moments than positions."""
        super().check(waveform)
        if waveform.shape[1] > self.max_samples:
            given, allowed = waveform.shape[1], self.max_samples
            raise ValueError(
                f"waveforms of {given} samples ({given / self.sample_rate:.1f} s) are too long: this model has "
                f"{self.max_moments} positions, for {allowed} samples ({allowed / self.sample_rate:.1f} s). "
                "Cut the waveform into chunks, as mclass.inference.tag does, or raise max_moments before training"
            )

    def tokens(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the encoder reads, the class token first: shape ``(batch, 1 + time, 256)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 128, frames)
        x = self.blocks(x)  # (batch, 16, 16, time)
        moments = self.project(x.permute(0, 3, 1, 2).flatten(2))  # (batch, time, 256)
        token = self.class_token.expand(x.shape[0], 1, -1)  # (batch, 1, 256)
        x = torch.cat([token, moments], dim=1)  # (batch, 1 + time, 256)
        return self.dropout(x + self.positions[:, : x.shape[1]])  # (batch, 1 + time, 256)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the encoder makes of each moment, shape ``(batch, 256, time)``."""
        x = self.encoder(self.tokens(waveform))  # (batch, 1 + time, 256)
        return x[:, 1:].transpose(1, 2)  # (batch, 256, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.encoder(self.tokens(waveform))  # (batch, 1 + time, 256)
        return self.norm(x[:, 0])  # (batch, 256)

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
