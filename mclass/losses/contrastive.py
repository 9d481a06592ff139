"""Contrastive losses in which each query has one key to find among negatives: CPC's and MoCo's.

NT-Xent is in `mclass.losses.ntxent`, the supervised contrastive loss in `mclass.losses.tags`.

Taught in: 07_clmr.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from mclass.distributed import gathered, place
from mclass.losses.base import Loss, check_embeddings, check_floats, count, in_float32, number, unit
from mclass.losses.ntxent import check_same_pairs


class InfoNCELoss(Loss):
    """Each prediction finds what it predicts among what the other rows of the batch predict (CPC).

    ``-log( exp(f(c_i, x_i)) / Σ_j exp(f(c_i, x_j)) )`` with scores ``f(c, x) = c·x / T`` (van den Oord et al.,
    2018, equation 4; the prediction c is their ``W_k c_t``).

    Parameters
    ----------
    temperature : float
    normalize : bool
        Whether to score with cosines in place of products. CPC does not.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch,)`` or ``(batch, steps)``.

    Attributes
    ----------
    statistics : dict
        ``accuracy``: share of predictions whose own target scores highest.

    Raises
    ------
    ValueError
        If `predicted` and `actual` are not floats of one shape, ``(batch, dim)`` or ``(batch, steps, dim)``,
        there are no negatives, or the result is not finite.

    References
    ----------
    A. van den Oord, Y. Li and O. Vinyals, "Representation learning with contrastive predictive coding", 2018.

    Examples
    --------
    >>> loss = InfoNCELoss()
    >>> loss(torch.eye(4), torch.eye(4)), loss.statistics["accuracy"]
    (tensor(0.7437), tensor(1.))
    """

    def __init__(self, temperature: float = 1.0, normalize: bool = False, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = number("temperature", temperature, low=0.0, open_low=True)
        self.normalize = normalize

    @in_float32
    def forward(
        self, predicted: torch.Tensor, actual: torch.Tensor, negatives: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score each prediction against all actual embeddings of its step.

        Parameters
        ----------
        predicted, actual : torch.Tensor, shape (batch, dim) or (batch, steps, dim)
            Each of the steps ahead is contrasted over the batch, by itself.
        negatives : torch.Tensor, shape (n, dim), optional
            More that no prediction means.
        """
        check_floats((2, 3), "(batch, dim) or (batch, steps, dim)", predicted=predicted, actual=actual)
        if negatives is not None:
            check_floats((2,), "(n, dim)", negatives=negatives)
            check_embeddings(actual=actual.reshape(-1, actual.shape[-1])[:1], negatives=negatives[:1])
        elif len(predicted) == 1:
            raise ValueError("a batch of one has no negatives: give at least 2 rows, or negatives")
        inputs = {"predicted": predicted, "actual": actual}
        if negatives is not None:
            inputs["negatives"] = negatives
        scale = unit if self.normalize else lambda x: x
        c, x = (scale(each.unsqueeze(1) if each.ndim == 2 else each) for each in (predicted, actual))
        scores = torch.einsum("isd, jsd -> isj", c, x)  # (batch, steps, batch)
        if negatives is not None:
            scores = torch.cat([scores, c @ scale(negatives).T], dim=-1)  # (batch, steps, batch + n)
        own = torch.arange(len(c), device=c.device)[:, None].expand(-1, c.shape[1])
        values = F.cross_entropy((scores / self.temperature).movedim(-1, 1), own, reduction="none")
        self.statistics = {"accuracy": (scores.detach().argmax(-1) == own).float().mean()}
        return self.reduce(values.view(predicted.shape[:-1]), inputs)


class MoCoLoss(Loss):
    """Each query finds its key among a queue of keys of earlier batches.

    ``-log( exp(q·k / T) / (exp(q·k / T) + Σ_{n ∈ queue} exp(q·n / T)) )`` with embeddings of norm 1 (He et al.,
    2020, equation 1). Keys come from a second encoder that slowly follows the first (`momentum_update`); no
    gradient goes through them. The queue begins as random directions. In training mode each call puts its keys,
    of all processes of a distributed run, in place of the oldest.

    Parameters
    ----------
    dim : int
        Of the embeddings.
    queue_size : int
        Number of negatives.
    temperature : float
    seed : int
        Of the queue's first content.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch,)``.

    Attributes
    ----------
    queue : torch.Tensor, shape (queue_size, dim)
        Saved with the loss's state, like `oldest`, the row to be replaced next.
    statistics : dict
        ``accuracy``: share of queries nearer to their key than to all of the queue.

    Raises
    ------
    ValueError
        If query and key are not floats ``(batch, dim)`` of the queue's size, there are more keys than places,
        one is not finite or has norm 0.

    References
    ----------
    K. He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020.

    Examples
    --------
    >>> loss = MoCoLoss(dim=4, queue_size=8)
    >>> value = loss(torch.eye(4), torch.eye(4))
    >>> loss.oldest, loss.queue[:4].equal(torch.eye(4))
    (tensor(4), True)
    """

    def __init__(
        self,
        dim: int,
        queue_size: int = 4096,
        temperature: float = 0.07,
        seed: int = 0,
        reduction: str = "mean",
    ):
        super().__init__(reduction)
        self.temperature = number("temperature", temperature, low=0.0, open_low=True)
        shape = count("queue_size", queue_size), count("dim", dim)
        self.register_buffer("queue", unit(torch.randn(shape, generator=torch.Generator().manual_seed(seed))))
        self.register_buffer("oldest", torch.tensor(0))

    @in_float32
    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Compare queries with their keys, shape ``(batch, dim)`` each, and with the queue."""
        check_embeddings(query=query, key=key)
        if query.shape[1] != self.queue.shape[1]:
            raise ValueError(
                f"the queue is of {self.queue.shape[1]} dimensions, the embeddings of {query.shape[1]}"
            )
        q, k = unit(query), unit(key.detach())
        queue = self.queue.to(q, copy=True)  # the backward pass needs it as it is now
        scores = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1)  # (batch, 1 + queue_size)
        values = F.cross_entropy(
            scores / self.temperature, torch.zeros(len(q), dtype=torch.long, device=q.device), reduction="none"
        )
        self.statistics = {"accuracy": (scores.detach().argmax(1) == 0).float().mean()}
        result = self.reduce(values, {"query": query, "key": key})
        if self.training:
            self.enqueue(k)  # after the check: a NaN must not stay in the queue
        return result

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor) -> None:
        """Put keys ``(n, dim)``, of norm 1, in place of the oldest."""
        if place()[1] > 1:
            check_same_pairs(keys)
            keys = gathered(keys, dim=0)
        size = len(self.queue)
        if len(keys) > size:
            raise ValueError(
                f"{len(keys)} keys do not fit into a queue of {size}; make queue_size several batches"
            )
        rows = (self.oldest + torch.arange(len(keys), device=self.queue.device)) % size
        self.queue[rows] = keys.to(self.queue)
        self.oldest.copy_((self.oldest + len(keys)) % size)


@torch.no_grad()
def momentum_update(follower: nn.Module, leader: nn.Module, momentum: float = 0.999) -> None:
    """Move the follower's parameters towards the leader's: ``momentum * follower + (1 - momentum) * leader``.

    MoCo's key encoder follows its query encoder so (He et al., 2020, equation 2), a mean teacher its student.
    Buffers, such as running means, are copied.

    Raises
    ------
    ValueError
        If the two do not have the same parameters, or momentum is not between 0 and 1.

    Examples
    --------
    >>> teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.ones_(teacher.weight), nn.init.zeros_(student.weight)
    >>> momentum_update(teacher, student, 0.9)
    >>> teacher.weight.item()
    0.8999999761581421
    """
    number("momentum", momentum, low=0.0, high=1.0)
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = dict(getattr(follower, kind)()), dict(getattr(leader, kind)())
        shapes = [{name: tuple(x.shape) for name, x in each.items()} for each in (ours, theirs)]
        if shapes[0] != shapes[1]:
            unlike = sorted(name for name in {**ours, **theirs} if shapes[0].get(name) != shapes[1].get(name))
            raise ValueError(f"follower and leader must have one architecture; they differ in {', '.join(unlike)}")
        for name, x in ours.items():
            if kind == "named_parameters":
                x.lerp_(theirs[name].to(x), 1 - momentum)
            else:
                x.copy_(theirs[name])
