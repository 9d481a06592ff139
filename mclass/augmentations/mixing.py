"""Mixup: two songs at once, and the labels of both.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.augmentations.base import check_finite
from mclass.frontends import check_waveform


class Mixup(nn.Module):
    """Mix each example with another one of the batch, and their labels in the same proportion.

    Zhang et al. 2018, *mixup: Beyond empirical risk minimization*: ``λ x_i + (1 − λ) x_j`` and
    ``λ y_i + (1 − λ) y_j`` with λ from a Beta(α, α) distribution.

    Parameters
    ----------
    alpha : float
        Small: nearly always one of the two alone. 1: any proportion alike.

    Raises
    ------
    ValueError
        If `alpha` is not positive, or waveforms and labels do not fit together.

    Examples
    --------
    >>> waveforms, labels = torch.eye(2), torch.eye(2)
    >>> mixed, targets = Mixup(alpha=1.0)(waveforms, labels, torch.Generator().manual_seed(0))
    >>> torch.equal(mixed, targets), targets.sum(1)
    (True, tensor([1., 1.]))
    """

    def __init__(self, alpha: float = 0.2):
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha is the parameter of a Beta distribution and must be positive, got {alpha}")
        self.alpha = alpha

    def draw(self, batch: int, generator: torch.Generator | None = None) -> dict:
        """Draw for each example a partner and its own share of the mixture, at least one half."""
        # A Beta variable from two Gamma variables, which torch draws from a generator.
        gammas = torch._standard_gamma(torch.full((2, batch), float(self.alpha)).double(), generator=generator)
        share = (gammas[0] / gammas.sum(0)).nan_to_num(1.0)
        # A pair is the same pair in either order, so each may keep the larger share: labels stay with their rows.
        return {
            "partner": torch.randperm(batch, generator=generator),
            "share": torch.maximum(share, 1 - share).float(),
        }

    def forward(
        self, waveforms: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix.

        Parameters
        ----------
        waveforms : torch.Tensor, shape (batch, samples)
        labels : torch.Tensor, shape (batch, num_tags)
            Multi-hot or one-hot. Class indices become one-hot with ``torch.nn.functional.one_hot``. An unknown
            label is NaN, and makes that of the mixture unknown.
        generator : torch.Generator, optional
            On the CPU.

        Returns
        -------
        tuple of torch.Tensor
            Waveforms and labels, of the same shapes; labels are float32 between 0 and 1.
        """
        check_waveform(waveforms)
        check_finite(waveforms.float())
        if labels.ndim != 2 or len(labels) != len(waveforms):
            raise ValueError(
                f"labels must have shape (batch, num_tags) with batch={len(waveforms)}, got {tuple(labels.shape)}"
                ". Class indices become one-hot with torch.nn.functional.one_hot(indices, num_classes)"
            )
        drawn = self.draw(len(waveforms), generator)
        mixed = []
        for tensor in (waveforms, labels.float()):
            share = drawn["share"].to(tensor.device)[:, None]
            partner = tensor[drawn["partner"].to(tensor.device)]
            mixed.append(torch.lerp(partner.to(share.dtype), tensor.to(share.dtype), share).to(tensor.dtype))
        return mixed[0], mixed[1]

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"
