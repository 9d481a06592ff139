"""Let PyTorch write faster code for a model while it is trained.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mclass.models import WaveformModel

METHODS = ("forward", "embed", "features")  # by which tasks call a model


@contextmanager
def compiled(model: WaveformModel, really: bool = True) -> Iterator[None]:
    """Inside this context, a model runs compiled; afterwards it is what it was.

    The first batch of each shape takes a minute or so, in which code is written for it. Each step agrees with
    that of the model as it is, up to rounding.

    Parameters
    ----------
    model : WaveformModel
    really : bool
        If false, nothing happens.

    Examples
    --------
    >>> from mclass import models
    >>> model = models.create("cnn_1d")
    >>> with compiled(model):  # doctest: +SKIP
    ...     model(torch.zeros(2, 48_000))
    """
    if not really:
        yield
        return
    for name in METHODS:  # each by itself: a task calls one, and that one the others
        setattr(model, name, torch.compile(getattr(model, name), dynamic=False))
    try:
        yield
    finally:
        for name in METHODS:
            delattr(model, name)
