"""What every model of the course looks like: waveforms in, logits out.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.frontends import check_waveform


class WaveformModel(nn.Module):
    """Base class: a network from waveforms ``(batch, samples)`` to logits ``(batch, num_tags)``.

    Sub-classes implement `features` and `embed`, and set `head`, which maps an embedding to logits.

    Attributes
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    num_samples : int
        Length of the chunks the model is trained on.
    min_samples : int
        Length of the shortest waveform that the model takes.
    frontend : nn.Module
        From the waveform to what the layers see (see `mclass.frontends`).
    num_tags : int
    tags : list of str or None
        Names of the logits; set by training and by `mclass.models.load`.
    multilabel : bool
        Whether several tags may hold at once. Decides between sigmoid and softmax.
    frozen : tuple of str
        Names of the layers that `mclass.models.freeze` keeps as they are.
    """

    sample_rate: int = 16000
    num_samples: int = 48000
    min_samples: int = 1
    num_tags: int
    frontend: nn.Module
    head: nn.Module
    # Class attributes, so that a model is complete before anything names its outputs.
    tags: list[str] | None = None
    multilabel: bool = True
    frozen: tuple[str, ...] = ()

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to what the layers find at each moment.

        Returns
        -------
        torch.Tensor, shape (batch, channels, time) or (batch, channels, frequency, time)
            Before time is summed up; it is always the last dimension.
        """
        raise NotImplementedError

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to what the last layer sees, shape ``(batch, dim)``."""
        raise NotImplementedError

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to logits, shape ``(batch, num_tags)``.

        Raises
        ------
        ValueError
            If `waveform` is not a floating-point tensor ``(batch, samples)`` of at least `min_samples` samples.
        """
        return self.head(self.embed(waveform))  # (batch, num_tags)

    def __call__(self, *inputs, **options):
        """Run the hooks and `forward`, as every ``nn.Module`` does.

        Raises
        ------
        ValueError
            Also if batch norm has a single clip to take means over, while training.
        """
        try:
            return super().__call__(*inputs, **options)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
        raise ValueError(
            "batch norm cannot learn from a batch of one clip: its mean is the clip itself. Train with a "
            "batch_size of at least 2 and leave out a last batch of one; to use the model on one clip, call "
            "model.eval() first"
        )

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Sigmoid of the logits if several tags may hold at once, softmax if exactly one does."""
        return logits.sigmoid() if self.multilabel else logits.softmax(dim=-1)

    def train(self, mode: bool = True) -> WaveformModel:
        """Switch between training and eval mode; frozen layers stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def check(self, waveform: torch.Tensor) -> None:
        """Refuse what `embed` cannot use (see `mclass.frontends.check_waveform`)."""
        check_waveform(waveform, self.min_samples)


def check_num_tags(num_tags: int) -> int:
    """Refuse a number of outputs that is not a positive integer."""
    if isinstance(num_tags, bool) or not isinstance(num_tags, int) or num_tags < 1:
        raise ValueError(
            f"num_tags is the number of outputs and must be an integer of at least 1, got {num_tags!r}"
        )
    return num_tags
