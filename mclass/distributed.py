"""Where a process stands among those of its run, and tensors joined over all of them.

Losses that compare all examples of a batch need them, and so does training.

Taught in: 07_clmr.
"""

from __future__ import annotations

import torch
from torch import distributed
from torch.autograd.function import once_differentiable


class Gather(torch.autograd.Function):
    """Join the rows of all processes. The gradient of a process's rows is summed over all that used them."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor) -> torch.Tensor:
        """Map rows ``(n, dim)`` to ``(processes * n, dim)``, in the order of the processes."""
        ctx.rows = len(rows)
        return gathered(rows, dim=0)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: torch.Tensor) -> torch.Tensor:
        """Sum over the processes and keep the own rows."""
        upstream = upstream.clone(memory_format=torch.contiguous_format)  # others may be given the same tensor
        distributed.all_reduce(upstream)
        return upstream[distributed.get_rank() * ctx.rows :][: ctx.rows]


def place() -> tuple[int, int]:
    """Rank of this process and number of processes: (0, 1) outside of a distributed run.

    Examples
    --------
    >>> place()
    (0, 1)
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gathered(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Join the tensors of all processes, without gradient."""
    parts = [
        torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(distributed.get_world_size())
    ]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts, dim)
