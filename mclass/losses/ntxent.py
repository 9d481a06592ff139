"""NT-Xent, the loss of SimCLR and CLMR, in two ways that agree: one to read, one to train with.

`naive_nt_xent` is the definition in six lines. For 4096 pairs it makes several matrices of 8192 × 8192 numbers,
keeps them until the backward pass and reads them again from memory: the arithmetic waits for memory.

`NTXentLoss` never holds a whole matrix. Three observations make it several times as fast:

1. The gradient is known as soon as the loss is. With ``E_ij = exp(z_i · z_j / T)``, zero for ``i = j``, and row
   sums ``s_i``, the loss is ``Σ_i log s_i - z_i · z_partner(i) / T``, and its gradient in ``z_i`` is
   ``Σ_j E_ij (1 / s_i + 1 / s_j) z_j / T - 2 z_partner(i) / T``. The forward pass computes both, block by block.
2. ``E`` is symmetric, so only its upper triangle is computed: a block serves its rows and its columns.
3. Cosines lie between -1 and 1, so ``E`` cannot overflow for any usual temperature, and no maximum is needed.

Processes share the blocks: each sums over its own, and two small sums over processes give the loss and the
gradient of the joined batch.

Taught in: 07_clmr.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import distributed
from torch.nn import functional as F

from mclass.distributed import Gather, gathered, place
from mclass.losses.base import Loss, check_embeddings, in_float32, number, unit

BLOCK_ROWS = {"cpu": 128}  # a block stays in the cache; elsewhere, enough of them to keep a GPU busy:
GPU_BLOCK_ROWS = 2048
KEPT_BYTES = 16 << 20  # a triangle of this size is kept; a larger one is computed twice


def naive_nt_xent(z_i: torch.Tensor, z_j: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """NT-Xent as it is defined (Chen et al., 2020, equation 1): each view finds its partner among all other views.

    Parameters
    ----------
    z_i, z_j : torch.Tensor, shape (pairs, dim)
        Two views of the same examples.
    temperature : float

    Returns
    -------
    torch.Tensor, shape (2 * pairs,)
        Of the first views, then of the second ones.

    Examples
    --------
    >>> z = torch.eye(3)
    >>> naive_nt_xent(z, z)  # every partner at cosine 1, four others at 0
    tensor([0.4327, 0.4327, 0.4327, 0.4327, 0.4327, 0.4327])
    """
    z = unit(torch.cat([z_i, z_j]))  # (2 pairs, dim)
    similarity = z @ z.T / temperature  # (2 pairs, 2 pairs)
    similarity = similarity.fill_diagonal_(-torch.inf)  # nobody is compared with itself
    partner = torch.arange(len(z), device=z.device).roll(len(z_i))
    return F.cross_entropy(similarity, partner, reduction="none")


class NTXentLoss(Loss):
    """Normalised temperature-scaled cross entropy: two views of an example find each other in the batch.

    In a distributed run the views of all processes are compared with each other. Every process returns the loss
    of the joined batch, and gradients that, averaged over the processes as ``DistributedDataParallel`` does,
    are those of the joined batch. Every process must give the same number of pairs.

    Parameters
    ----------
    temperature : float
        At least 0.002. Low: the most similar others matter most.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives one value per view, of `z_i` first, computed by `naive_nt_xent`; in a distributed run the
        views of this process.
    gather : bool
        Whether to compare with the views of the other processes of a distributed run.

    Raises
    ------
    ValueError
        If the embeddings are not two float tensors ``(pairs, dim)`` of one shape, dtype and device, there is
        only one pair, one has norm 0 or is not finite, or processes give different numbers of pairs.
    RuntimeError
        If the gradient itself is differentiated, except with ``reduction="none"``.

    References
    ----------
    T. Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    J. Spijkervet and J. A. Burgoyne, "Contrastive learning of musical representations", ISMIR 2021.

    Examples
    --------
    >>> z = torch.eye(3)
    >>> NTXentLoss(temperature=0.5)(z, z)
    tensor(0.4327)
    """

    def __init__(self, temperature: float = 0.5, reduction: str = "mean", gather: bool = True):
        super().__init__(reduction)
        self.temperature = number("temperature", temperature, low=0.002)
        self.gather = gather

    @in_float32
    def forward(self, z_i: torch.Tensor, z_j: torch.Tensor) -> torch.Tensor:
        """Compare two views, shape ``(pairs, dim)`` each."""
        check_embeddings(z_i=z_i, z_j=z_j)
        rank, processes = place() if self.gather else (0, 1)
        if processes > 1:
            check_same_pairs(z_i)
        elif len(z_i) == 1:
            raise ValueError("one pair has no others to be told apart from: give at least 2. (drop_last=True?)")
        inputs, dtype = {"z_i": z_i, "z_j": z_j}, z_i.dtype
        if self.temperature < 1 / 75:  # exp(1 / T), summed, would leave the range of float32
            z_i, z_j = z_i.double(), z_j.double()
        if self.reduction == "none":
            own = slice(rank * len(z_i), (rank + 1) * len(z_i))
            everyone = (z_i, z_j) if processes == 1 else (Gather.apply(z_i), Gather.apply(z_j))
            values = naive_nt_xent(*everyone, self.temperature).view(2, -1)[:, own].flatten()
            return self.finite(values.to(dtype), inputs)
        views = unit(torch.stack([z_i, z_j]))  # (2, pairs, dim)
        wanted = torch.is_grad_enabled() and views.requires_grad
        total = _NTXent.apply(views, self.temperature, rank, processes, wanted)
        if self.reduction == "mean":
            total = total / (2 * len(z_i) * processes)
        return self.finite(total.to(dtype), inputs)


class _NTXent(torch.autograd.Function):
    """Sum of `naive_nt_xent` over all views of all processes, with its gradient computed on the way."""

    @staticmethod
    def forward(ctx, views: torch.Tensor, temperature: float, rank: int, processes: int, wanted: bool):
        pairs = views.shape[1]
        everyone = views if processes == 1 else gathered(views, dim=1)
        z = everyone.flatten(0, 1)  # (n, dim): all first views, then all second ones
        scaled = z / temperature
        triangle = _Triangle(z, scaled, rank, processes)
        sums = z.new_zeros(len(z))
        for rows, block in triangle:
            sums[rows] += block.sum(1)
            sums[rows.stop :] += block[:, len(block) :].sum(0)  # the same numbers, below the diagonal
        if processes > 1:
            distributed.all_reduce(sums)
        partner = scaled.roll(len(z) // 2, 0)
        loss = (sums.log() - (z * partner).sum(1)).sum()
        if wanted:
            inverse = 1 / sums
            gradient = torch.zeros_like(z)
            for rows, block in triangle:
                block *= inverse[rows, None] + inverse[rows.start :]
                gradient[rows].addmm_(block, scaled[rows.start :])
                gradient[rows.stop :].addmm_(block[:, len(block) :].T, scaled[rows])
            if processes > 1:
                distributed.all_reduce(gradient)
            gradient -= 2 * partner
            # Every process returns this same loss, so together they would ask for as many times its gradient.
            own = gradient.view_as(everyone)[:, rank * pairs : (rank + 1) * pairs] * processes
            ctx.save_for_backward(own)
        return loss

    @staticmethod
    def backward(ctx, upstream: torch.Tensor):
        if torch.is_grad_enabled():  # create_graph=True: the stored gradient would pass for a constant
            raise RuntimeError(
                "NTXentLoss stores its gradient, which cannot be differentiated again (create_graph=True); "
                'NTXentLoss(reduction="none")(z_i, z_j).mean() can'
            )
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None, None


class _Triangle:
    """``exp(z z^T / T)`` with a zero diagonal: blocks of rows, each from the diagonal on; may be read twice."""

    def __init__(self, z: torch.Tensor, scaled: torch.Tensor, rank: int, processes: int):
        n, size = len(z), BLOCK_ROWS.get(z.device.type, GPU_BLOCK_ROWS)
        self.z, self.scaled = z, scaled
        # Later rows are shorter: dealt out in turn, every process has about the same to do.
        self.rows = [slice(start, min(start + size, n)) for start in range(0, n, size)][rank::processes]
        self.kept = [] if n * n // 2 * z.element_size() <= KEPT_BYTES * processes else None

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor]]:
        if self.kept:
            yield from self.kept
            return
        for rows in self.rows:
            block = torch.mm(self.z[rows], self.scaled[rows.start :].T).exp_()
            block.diagonal().zero_()
            if self.kept is not None:
                self.kept.append((rows, block))
            yield rows, block


def check_same_pairs(z: torch.Tensor) -> None:
    """Refuse, in every process alike, numbers of pairs that differ: joining them would hang."""
    numbers = gathered(torch.tensor([len(z)], device=z.device), dim=0).tolist()
    if len({*numbers}) > 1:
        raise ValueError(
            f"every process must give the same number of pairs, got {numbers}. (drop_last=True in the loader?)"
        )
