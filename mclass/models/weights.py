"""The weights of a model out of what training code wraps around it: compiled models, DDP, Lightning, checkpoints.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

COMPILED = "_orig_mod."  # what torch.compile puts before the names of a module's parameters
# Where training code keeps the weights in a checkpoint, beside its optimizer's state.
ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "encoder", "module", "weights")


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``, however nested.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> unwrapped(nn.DataParallel(torch.compile(layer, backend="eager"))) is layer
    True
    """
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, parallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def plain_names(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the marks of ``torch.compile``, which may have compiled any part of the model.

    Examples
    --------
    >>> part = torch.compile(nn.Linear(2, 1), backend="eager")
    >>> [*plain_names(nn.Sequential(part).state_dict())]
    ['0.weight', '0.bias']
    """
    return {name.replace(COMPILED, ""): value for name, value in state_dict.items()}


def find_weights(content: Any) -> dict[str, torch.Tensor] | None:
    """The state dict in what ``torch.load`` returned: the content itself, or one of its `ENTRIES`.

    Returns
    -------
    dict or None
        Under `plain_names`; None if there are no weights.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> [*find_weights({"epoch": 3, "model_state_dict": layer.state_dict()})]
    ['weight', 'bias']
    >>> find_weights({"epoch": 3}) is None
    True
    """
    if not isinstance(content, Mapping):
        return None
    if content and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        return plain_names(content)
    inside = (find_weights(content[entry]) for entry in ENTRIES if entry in content)
    return next((weights for weights in inside if weights is not None), None)


def prefixes(state_dict: Iterable[str]) -> list[str]:
    """All that names may begin with (``""``, ``"model."``, ``"model.encoder."``), the shortest first.

    Examples
    --------
    >>> prefixes(["net.0.weight", "step"])
    ['', 'net.', 'net.0.']
    """
    found = {""}
    for name in state_dict:
        parts = name.split(".")
        found |= {".".join(parts[:depth]) + "." for depth in range(1, len(parts))}
    return sorted(found, key=lambda prefix: (prefix.count("."), prefix))


def below(state_dict: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The entries whose name begins with `prefix`, without it.

    Examples
    --------
    >>> below({"model.weight": torch.zeros(1), "step": torch.zeros(1)}, "model.")
    {'weight': tensor([0.])}
    """
    return {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}


def choose(state_dict: Mapping[str, torch.Tensor], fits: Callable[[dict[str, torch.Tensor]], bool]) -> list[str]:
    """The shortest `prefixes` whose entries fit: one if it is clear where the model is, several for copies."""
    fitting = [prefix for prefix in prefixes(state_dict) if fits(below(state_dict, prefix))]
    return [prefix for prefix in fitting if prefix.count(".") == fitting[0].count(".")]
