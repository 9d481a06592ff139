"""Tensors from whatever arrays people have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def as_tensor(values: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Make a tensor from any array of numbers, also one that is read backwards or has another byte order.

    Examples
    --------
    >>> as_tensor(np.arange(3)[::-1]), as_tensor(np.arange(2, dtype=">i4"))
    (tensor([2, 1, 0]), tensor([0, 1], dtype=torch.int32))
    """
    if isinstance(values, np.ndarray):
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return torch.as_tensor(values, dtype=dtype)
