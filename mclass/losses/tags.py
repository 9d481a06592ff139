"""Losses of metric learning that find their own pairs in a batch, by its tags.

Labels are class indices ``(batch,)`` or multi-hot ``(batch, num_tags)``; two examples are alike if they share a
tag.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.losses.base import Loss, check_indices, check_labels, count, in_float32, number, overlap, unit


class SupConLoss(Loss):
    """Supervised contrastive loss: like NT-Xent, with everything of the same label as the partners.

    ``-1/|P(i)| Σ_{p ∈ P(i)} log( exp(z_i·z_p / T) / Σ_{a ≠ i} exp(z_i·z_a / T) )`` (Khosla et al., 2020,
    equation 2). With several tags a partner counts by its share of common tags (Jaccard); for classes that is 1.

    Parameters
    ----------
    temperature : float
    reduction : {"mean", "sum", "none"}
        The mean is over examples that have a partner; ``"none"`` gives shape ``(batch,)``, 0 without a partner.

    Attributes
    ----------
    statistics : dict
        ``valid``: share of examples that have a partner.

    Raises
    ------
    ValueError
        If the embeddings are not floats ``(batch, dim)`` of at least two rows, have norm 0 or are not finite,
        or the labels are not one row each, or not 0 or 1.

    Warns
    -----
    EmptyLossWarning
        No two examples share a label.

    References
    ----------
    P. Khosla et al., "Supervised contrastive learning", NeurIPS 2020.

    Examples
    --------
    >>> SupConLoss(temperature=1.0)(torch.eye(3), torch.tensor([0, 0, 1]))  # two others, both at cosine 0: log 2
    tensor(0.6931)
    """

    def __init__(self, temperature: float = 0.1, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = number("temperature", temperature, low=0.0, open_low=True)

    @in_float32
    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compare all embeddings, shape ``(batch, dim)``, by their labels."""
        labels = check_labels(embeddings, labels, self.check_values)
        z = unit(embeddings)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        similarity = (z @ z.T / self.temperature).masked_fill(itself, -torch.inf)
        log_share = similarity.log_softmax(1).masked_fill(itself, 0)  # (batch, batch)
        partners = overlap(labels, z.dtype)
        total = partners.sum(1)
        valid = total > 0
        values = -(partners * log_share).sum(1) / total.where(valid, 1)
        self.statistics = {"valid": valid.float().mean()}
        return self.reduce(values, {"embeddings": embeddings}, valid, "no two examples of the batch share a label")


class MultiSimilarityLoss(Loss):
    """Pairs of a batch weighed by how hard they are, against their own anchor and against its other pairs.

    ``1/α log(1 + Σ_p exp(-α (s_ip - λ))) + 1/β log(1 + Σ_n exp(β (s_in - λ)))`` over the positives p and
    negatives n of each anchor i, with cosines s (Wang et al., 2019, equation 15, without its selection of
    pairs).

    Parameters
    ----------
    alpha, beta : float
        Sharpness for positives and for negatives.
    base : float
        λ: positives should be above it, negatives below.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch,)``.

    Attributes
    ----------
    statistics : dict
        ``positives`` and ``negatives``: share of anchors that have any.

    Raises
    ------
    ValueError
        As `SupConLoss`.

    Warns
    -----
    EmptyLossWarning
        No two examples share a label: nothing attracts. (The loss of the negatives remains.)

    References
    ----------
    X. Wang et al., "Multi-similarity loss with general pair weighting for deep metric learning", CVPR 2019.

    Examples
    --------
    >>> MultiSimilarityLoss()(torch.eye(3), torch.tensor([0, 0, 1]))
    tensor(0.4378)
    """

    def __init__(self, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, reduction: str = "mean"):
        super().__init__(reduction)
        self.alpha = number("alpha", alpha, low=0.0, open_low=True)
        self.beta = number("beta", beta, low=0.0, open_low=True)
        self.base = number("base", base, low=-1.0, high=1.0)

    @in_float32
    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compare all embeddings, shape ``(batch, dim)``, by their labels."""
        labels = check_labels(embeddings, labels, self.check_values)
        z = unit(embeddings)
        similarity = z @ z.T - self.base
        positive = overlap(labels, z.dtype) > 0
        negative = ~positive.clone().fill_diagonal_(True)
        values = (
            log_one_plus_sum(-self.alpha * similarity, positive, 1) / self.alpha
            + log_one_plus_sum(self.beta * similarity, negative, 1) / self.beta
        )
        self.statistics = {
            "positives": positive.any(1).float().mean(),
            "negatives": negative.any(1).float().mean(),
        }
        self.warn_if_empty(positive, "no two examples of the batch share a label, so that nothing attracts")
        return self.reduce(values, {"embeddings": embeddings})


class ProxyAnchorLoss(Loss):
    """Every tag has a learned point, its proxy: examples with the tag come to it, the others keep away.

    ``1/|P⁺| Σ_{p ∈ P⁺} log(1 + Σ_{x ∈ X⁺} exp(-α (s_xp - δ))) + 1/|P| Σ_p log(1 + Σ_{x ∈ X⁻} exp(α (s_xp +
    δ)))`` with cosines s, all proxies P, and those P⁺ that the batch has examples of (Kim et al., 2020,
    equation 4). An example may have several tags. The proxies are parameters: give them to the optimiser, at a
    higher learning rate.

    Parameters
    ----------
    num_tags, dim : int
        Number of tags, and size of the embedding.
    alpha : float
    margin : float
        δ.
    seed : int
        Of the proxies' first places.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(num_tags,)``, scaled so that its mean is the loss above.

    Attributes
    ----------
    statistics : dict
        ``tags``: share of the tags that the batch has examples of.

    Raises
    ------
    ValueError
        If the embeddings are not floats ``(batch, dim)``, have norm 0 or are not finite, or the labels are not
        indices below `num_tags` or multi-hot ``(batch, num_tags)``.

    Warns
    -----
    EmptyLossWarning
        No example has a tag: nothing attracts.

    References
    ----------
    S. Kim et al., "Proxy anchor loss for deep metric learning", CVPR 2020.

    Examples
    --------
    >>> loss = ProxyAnchorLoss(num_tags=2, dim=3)
    >>> loss(torch.eye(3), torch.tensor([[1, 0], [1, 1], [0, 1]])).shape, loss.proxies.shape
    (torch.Size([]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        num_tags: int,
        dim: int,
        alpha: float = 32.0,
        margin: float = 0.1,
        seed: int = 0,
        reduction: str = "mean",
    ):
        super().__init__(reduction)
        self.alpha = number("alpha", alpha, low=0.0, open_low=True)
        self.margin = number("margin", margin, low=0.0)
        shape = count("num_tags", num_tags), count("dim", dim)
        self.proxies = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))

    @in_float32
    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compare embeddings, shape ``(batch, dim)``, with the proxies, by their labels."""
        labels = check_labels(embeddings, labels, self.check_values, least=1)
        num_tags, dim = self.proxies.shape
        if embeddings.shape[1] != dim:
            raise ValueError(f"the proxies have {dim} dimensions, the embeddings {embeddings.shape[1]}")
        if labels.ndim == 1:
            check_indices("labels", labels, embeddings, num_tags, self.check_values)
            has = labels[:, None] == torch.arange(num_tags, device=labels.device)
        elif labels.shape[1] != num_tags:
            raise ValueError(f"there are proxies of {num_tags} tags, and labels of {labels.shape[1]}")
        else:
            has = labels.bool()  # (batch, num_tags)
        similarity = unit(embeddings) @ unit(self.proxies.to(embeddings.dtype)).T
        attract = log_one_plus_sum(
            -self.alpha * (similarity - self.margin), has, 0
        )  # (num_tags,), 0 without examples
        repel = log_one_plus_sum(self.alpha * (similarity + self.margin), ~has, 0)
        present = has.any(0)
        self.statistics = {"tags": present.float().mean()}
        self.warn_if_empty(present, "no example of the batch has a tag, so that nothing attracts")
        values = attract * (num_tags / present.sum().clamp(min=1)) + repel
        return self.reduce(values, {"embeddings": embeddings, "proxies": self.proxies})


def log_one_plus_sum(x: torch.Tensor, mask: torch.Tensor, dim: int) -> torch.Tensor:
    """``log(1 + Σ exp(x))`` over the places in `mask`; 0 where there is none, and no overflow.

    Examples
    --------
    >>> log_one_plus_sum(torch.tensor([[0.0, 200.0], [0.0, 0.0]]), torch.tensor([[True, True], [False, False]]), 1)
    tensor([200.,   0.])
    """
    hidden = x.masked_fill(~mask, -torch.inf)
    one = torch.zeros_like(x.select(dim, 0)).unsqueeze(dim)  # exp(0)
    return torch.cat([hidden, one], dim).logsumexp(dim)
