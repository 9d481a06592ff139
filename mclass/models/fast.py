"""Fast forms of layers: equal to the textbook forms, in less time.

A model's own file defines each layer as its paper draws it. For some of these layers this module has a subclass
with a faster `forward`: the same parameters under the same names, and the same numbers up to rounding. `FAST`
maps each textbook class to its fast form, and `accelerate` changes the class of the layers of a finished model.

Changing ``module.__class__`` is the simplest mechanism that keeps everything else. The textbook constructor
draws all weights, so seeds give the same model in both forms. No module or parameter is replaced, so state
dicts, hooks and optimizers do not notice. Copies and pickles keep the form, and ``isinstance`` still holds. Only
layers of exactly these classes change: a subclass of yours, which may compute something else, does not.

The module stands above the papers' files, not in `mclass.models.layers`: it imports them, they do not know it.

Taught in: 04_supervised.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from mclass.models.layers.blocks import ConvBlock1d, ConvBlock2d, ResidualBlock2d

Model = TypeVar("Model", bound=nn.Module)


def accelerate(model: Model) -> Model:
    """Switch a model's layers to their fast forms, in place.

    `mclass.models.create` and `mclass.models.load` do so by default. Call it for a model that you build from its
    class, or after you replace layers.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    nn.Module
        The same object, with the same parameters.

    Examples
    --------
    >>> from mclass.models.homework import CNN1d
    >>> model = accelerate(CNN1d())
    >>> type(model).__name__, type(model.blocks[0]).__name__
    ('CNN1d', 'FastConvBlock1d')
    """
    for module in model.modules():
        if type(module) in FAST:
            module.__class__ = FAST[type(module)]
            module.prepare()
    return model


def accelerated(model: nn.Module) -> bool:
    """Whether any layer of a model is a fast form.

    Examples
    --------
    >>> from mclass.models.homework import CNN1d
    >>> accelerated(CNN1d()), accelerated(accelerate(CNN1d()))
    (False, True)
    """
    return any(isinstance(module, Fast) for module in model.modules())


class Fast:
    """Base class of the fast forms."""

    def prepare(self) -> None:
        """Arrange the weights in memory; called once, when the class changes."""


class FastConvBlock1d(Fast, ConvBlock1d):
    """Max-pooling before ReLU.

    *Equal*: ReLU never decreases, so the largest value stays the largest. Where all values are negative, both
    orders give 0 and no gradient. *Faster*: ReLU and its gradient process one value in `pool`.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pool(self.norm(self.conv(x))))


class FastConvBlock2d(Fast, ConvBlock2d):
    """Max-pooling before the activation, and the channels of one time-frequency point side by side in memory.

    *Equal*: as in `FastConvBlock1d`, for the activations that never decrease, ReLU and ELU. GELU decreases
    before it increases (to -0.17 at -0.75), so the largest input need not give the largest output: it stays
    before the pool. The order in memory changes no number. *Faster*: there are fewer values to activate, and a
    convolution, which sums over channels, reads them from one stretch of memory (about 1.5 times as fast). Its
    output has the same layout, so a stack of blocks copies nothing.
    """

    def prepare(self) -> None:
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        if isinstance(self.activation, nn.GELU):
            x = self.pool(self.activation(x))
        else:
            x = self.activation(self.pool(x))
        return self.dropout(x)


class FastResidualBlock2d(Fast, ResidualBlock2d):
    """Max-pooling before the last ReLU, and channels side by side in memory: see `FastConvBlock2d`."""

    def prepare(self) -> None:
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = torch.relu(self.norm1(self.conv1(x)))
        change = self.norm2(self.conv2(change))
        if self.conv3 is not None:
            x = self.norm3(self.conv3(x))
        return torch.relu(self.pool(x + change))


# textbook form -> fast form
FAST: dict[type[nn.Module], type[Fast]] = {
    ConvBlock1d: FastConvBlock1d,
    ConvBlock2d: FastConvBlock2d,
    ResidualBlock2d: FastResidualBlock2d,
}
