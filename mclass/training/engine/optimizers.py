"""Optimizers and learning-rate schedules by name, and learning rates that fall with depth.

An optimizer decides how a gradient changes the weights, a schedule how the learning rate changes in the course of
training. Their options have the values that the course uses unless it says otherwise.

Taught in: 04_supervised.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator
from numbers import Real

import torch
from torch import nn
from torch.optim import lr_scheduler

from mclass.errors import unknown_name
from mclass.models.base import WaveformModel

# name: (class, options that make it what the name says); "momentum" is replaced by the one that was asked for
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
}


def create_optimizer(
    name: str,
    parameters: Iterable,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Make an optimizer by name.

    Parameters
    ----------
    name : str
        * ``"sgd"``: weights go a step against the gradient;
        * ``"momentum"``: steps add up, as if the weights were heavy; ``"nesterov"`` looks at the gradient where
          that would take them;
        * ``"adagrad"``: each weight's step is divided by the size of all its gradients so far; ``"rmsprop"``
          forgets the older ones;
        * ``"adam"``: both, momentum and division; ``"nadam"`` with Nesterov's look ahead, ``"adamw"`` with a
          weight decay that is not divided.
    parameters : iterable of torch.nn.Parameter, or of parameter groups
    learning_rate : float
    momentum : float
        Of ``"momentum"`` and ``"nesterov"``, from 0 to below 1.
    weight_decay : float

    Raises
    ------
    ValueError
        If the name is unknown or a number is outside its range.

    Examples
    --------
    >>> optimizer = create_optimizer("nesterov", [nn.Parameter(torch.zeros(1))], learning_rate=0.1)
    >>> type(optimizer).__name__, optimizer.defaults["nesterov"]
    ('SGD', True)
    >>> create_optimizer("adams", [])
    Traceback (most recent call last):
    ValueError: unknown optimizer 'adams' (did you mean 'adam'?); available: ...
    """
    check_optimizer(name, learning_rate, momentum, weight_decay)
    make, options = OPTIMIZERS[name]
    if "momentum" in options:
        options = options | {"momentum": momentum, "nesterov": options.get("nesterov", False) and momentum > 0}
    return make(parameters, lr=learning_rate, weight_decay=weight_decay, **options)


def check_optimizer(name: str, learning_rate: float, momentum: float, weight_decay: float) -> None:
    """Refuse what `create_optimizer` refuses.

    Raises
    ------
    ValueError
        Saying what was given and what is allowed.
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise ValueError(unknown_name("optimizer", name, OPTIMIZERS))
    numbers = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    for what, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"{what} must be a number, got {value!r}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")
    if not (0 <= momentum < 1 and 0 <= weight_decay < math.inf):
        raise ValueError(
            f"momentum must be in [0, 1) and weight_decay not negative, got {momentum} and {weight_decay}"
        )


class Schedule:
    """How the learning rate changes, by name.

    Parameters
    ----------
    name : str
        With their options and what these are if not given:

        * ``"constant"``;
        * ``"step"``: times `factor` (0.1) after every `every` (10) epochs;
        * ``"exponential"``: times `factor` (0.95) after every epoch;
        * ``"inverse"``: divided by 1 + `decay` (0.1) · epoch, the 1/t of stochastic approximation;
        * ``"plateau"``: times `factor` (0.2) after more than `patience` (5) epochs without a lower
          validation loss;
        * ``"cosine"``: down to 0 at the end of the run, along half a cosine;
        * ``"cosine_restarts"``: the same over `period` (10) epochs, and again, each time over `growth` (1) times
          as many (Loshchilov and Hutter 2017);
        * ``"one_cycle"``: up over the first `rise` (0.3) of all steps, then down to almost 0; the learning rate
          given is the highest one (Smith and Topin 2019). An optimizer's momentum goes the other way, from 0.95
          to 0.85 and back, whatever it was set to.
    **options
        As above.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option is outside its range.

    Examples
    --------
    >>> optimizer = create_optimizer("sgd", [nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    >>> schedule = Schedule("step", every=2, factor=0.5).create(optimizer, epochs=10, steps_per_epoch=1)
    >>> rates = []
    >>> for epoch in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    ...     schedule["scheduler"].step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    >>> Schedule("step", period=3)
    Traceback (most recent call last):
    ValueError: unknown option of the schedule 'step' 'period'; available: every, factor
    """

    def __init__(self, name: str = "plateau", **options: float):
        if not isinstance(name, str) or name not in SCHEDULES:
            raise ValueError(unknown_name("schedule", name, SCHEDULES))
        defaults = {key: p.default for key, p in inspect.signature(SCHEDULES[name]).parameters.items()}
        defaults = {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty}
        for key, value in options.items():
            if key not in defaults:
                raise ValueError(unknown_name(f"option of the schedule {name!r}", key, defaults))
            lowest, highest = _RANGES[key]
            whole = isinstance(defaults[key], int)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not lowest <= value < highest or (whole and value != int(value)):
                kind = "a whole number" if whole else "a number"
                raise ValueError(
                    f"{key} of the schedule {name!r} must be {kind} of at least {lowest:g} and below {highest:g}, "
                    f"got {value!r}"
                )
        whole = {key: int(value) for key, value in options.items() if isinstance(defaults[key], int)}
        self.name, self.options = name, defaults | options | whole

    @property
    def needs_length(self) -> bool:
        """Whether it depends on the number of epochs, so that a run cannot be prolonged when it is resumed."""
        return self.name in ("cosine", "one_cycle")

    def create(self, optimizer: torch.optim.Optimizer, epochs: int, steps_per_epoch: int) -> dict | None:
        """What a Lightning module returns as its ``lr_scheduler``; None for a constant learning rate.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
        epochs, steps_per_epoch : int
            Length of the run, in epochs and in steps of the optimizer.
        """
        made = SCHEDULES[self.name](optimizer, epochs, steps_per_epoch, **self.options)
        if made is None:
            return None
        config = {"scheduler": made, "interval": "step" if self.name == "one_cycle" else "epoch"}
        return config | ({"monitor": "valid_loss"} if self.name == "plateau" else {})

    def __repr__(self) -> str:
        return ", ".join([self.name, *(f"{key}={value:g}" for key, value in self.options.items())])


def _constant(optimizer, epochs, steps):
    return None


def _step(optimizer, epochs, steps, every=10, factor=0.1):
    return lr_scheduler.StepLR(optimizer, every, factor)


def _exponential(optimizer, epochs, steps, factor=0.95):
    return lr_scheduler.ExponentialLR(optimizer, factor)


def _inverse(optimizer, epochs, steps, decay=0.1):
    return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + decay * epoch))


def _plateau(optimizer, epochs, steps, patience=5, factor=0.2):
    return lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)


def _cosine(optimizer, epochs, steps):
    return lr_scheduler.CosineAnnealingLR(optimizer, epochs)


def _cosine_restarts(optimizer, epochs, steps, period=10, growth=1):
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, period, growth)


def _one_cycle(optimizer, epochs, steps, rise=0.3):
    highest = [group["lr"] for group in optimizer.param_groups]
    first = optimizer.param_groups[0]
    momentum = "betas" in first or first.get("momentum", 0) > 0  # torch would give plain SGD one
    return lr_scheduler.OneCycleLR(
        optimizer, highest, total_steps=epochs * steps, pct_start=rise, cycle_momentum=momentum
    )


SCHEDULES = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "inverse": _inverse,
    "plateau": _plateau,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "one_cycle": _one_cycle,
}
_RANGES = {
    "every": (1, math.inf),
    "factor": (1e-9, 1),
    "decay": (0, math.inf),
    "patience": (0, math.inf),
    "period": (1, math.inf),
    "growth": (1, math.inf),
    "rise": (0.01, 1),
}


def layerwise(model: nn.Module, learning_rate: float, decay: float) -> list[dict]:
    """Parameter groups whose learning rates fall from the last layer to the first.

    A pre-trained network's first layers are the most general ones and need to change least (Howard and Ruder 2018,
    *discriminative fine-tuning*). The layers are the model's direct children, in the order in which it defines
    them; of lists of layers, and of a model inside the model (the backbone of an embedding), their parts.

    Parameters
    ----------
    model : nn.Module
    learning_rate : float
        Of the last layer.
    decay : float
        What each layer's learning rate is multiplied by to give that of the layer before it; above 0, at most 1.

    Returns
    -------
    list of dict
        For `create_optimizer`; frozen parameters are left out. Parameters that the model has beside its layers
        count as the first.

    Raises
    ------
    ValueError
        If `decay` is not above 0 and at most 1.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [(group["lr"], len(group["params"])) for group in layerwise(model, learning_rate=0.1, decay=0.5)]
    [(0.05, 2), (0.1, 2)]
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1 (all layers alike), got {decay}")
    layers = list(_layers(model))
    parts = [[p for p in layer.parameters() if p.requires_grad] for layer in layers]
    inside = {id(p) for layer in layers for p in layer.parameters()}
    beside = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
    parts = [part for part in [beside, *parts] if part]
    return [
        {"params": part, "lr": learning_rate * decay ** (len(parts) - 1 - depth)}
        for depth, part in enumerate(parts)
    ]


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """A model's layers, from the first to the last."""
    for child in model.children():
        if isinstance(child, WaveformModel):
            yield from _layers(child)
        elif isinstance(child, nn.Sequential | nn.ModuleList):
            yield from child
        else:
            yield child
