"""Models whose embedding is the product: for metric learning and search.

Metric learning pulls examples that share tags together and pushes others apart. What is pulled and pushed is the
output of `embed`: any direction must be open to it, so that it ends in a linear layer without ReLU. The tags
themselves are decided by a linear classifier on the embedding, which classification losses train and metric losses
leave alone.

======================= ============================================ ========= ==========
name                    network                                      embedding parameters
======================= ============================================ ========= ==========
`linear_embedding`      none: a linear map of the log-mel            4096      3,354,676
`cnn_embedding`         the 2D-CNN of the homework                   256       326,132
`musicnn_embedding`     Musicnn                                      256       838,556
======================= ============================================ ========= ==========

Taught in: 04_supervised, 08_metric_learning.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mclass.frontends import LogMel
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.registry import create


class LinearEmbedding(WaveformModel):
    """Linear map of a coarse log-mel spectrogram: what a network must beat.

    The log-mel is averaged over `segments` equal stretches of time, whatever its length, and the 96 × `segments`
    values are projected at once. All of the 96 × 188 frames of a chunk would need 74 million weights.

    Parameters
    ----------
    num_tags : int
    dim : int
        Of the embedding.
    segments : int

    Examples
    --------
    >>> model = LinearEmbedding()
    >>> model.features(torch.zeros(1, 48000)).shape, model.embed(torch.zeros(1, 48000)).shape
    (torch.Size([1, 1, 96, 188]), torch.Size([1, 4096]))
    """

    def __init__(self, num_tags: int = 50, dim: int = 4096, segments: int = 8):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel()
        self.min_samples = max(self.frontend.min_samples, (segments - 1) * self.frontend.hop_length)
        self.input_norm = nn.BatchNorm2d(1)
        self.pool = nn.AdaptiveAvgPool2d((self.frontend.n_mels, segments))
        self.projection = nn.Linear(self.frontend.n_mels * segments, dim)
        self.head = nn.Linear(dim, num_tags)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to the normalised log-mel, shape ``(batch, 1, 96, frames)``."""
        self.check(waveform)
        return self.input_norm(self.frontend(waveform))  # (batch, 1, 96, frames)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.features(waveform))  # (batch, 1, 96, segments)
        return self.projection(x.flatten(1))  # (batch, dim)


class Embedding(WaveformModel):
    """Any model of `mclass.models` with its last layer replaced by a projection to an embedding.

    Parameters
    ----------
    num_tags : int
    backbone : str
        Name of the model.
    dim : int
        Of the embedding.
    backbone_options : dict, optional
        What the backbone takes, such as ``{"channels": 64}``.

    Examples
    --------
    >>> model = Embedding(backbone="cnn_1d", dim=128, backbone_options={"channels": 64})
    >>> model.embed(torch.zeros(2, 48000)).shape
    torch.Size([2, 128])
    """

    def __init__(
        self,
        num_tags: int = 50,
        backbone: str = "cnn_2d",
        dim: int = 256,
        backbone_options: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.backbone = create(backbone, num_tags=1, fast=False, **(backbone_options or {}))
        # What the last layer took in; as `forward` is not called, the layer itself can go.
        inputs = next(p.shape[1] for p in self.backbone.head.parameters() if p.ndim > 1)
        self.backbone.head = nn.Identity()
        self.projection = nn.Linear(inputs, dim)
        self.head = nn.Linear(dim, num_tags)
        for name in ("sample_rate", "num_samples", "min_samples"):
            setattr(self, name, getattr(self.backbone, name))

    @property
    def frontend(self) -> nn.Module:
        """The backbone's."""
        return self.backbone.frontend

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.backbone.features(waveform)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.backbone.embed(waveform)  # (batch, what the backbone's last layer took in)
        return self.projection(x)  # (batch, dim)
