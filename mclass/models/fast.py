"""Fast forms of layers: equal to the textbook forms, in less time.

A model's own file defines each layer as its paper draws it. For some of these layers this module has a subclass
with a faster `forward`: the same parameters under the same names, and the same numbers up to rounding. `FAST`
maps each textbook class to its fast form, and `accelerate` changes the class of the layers of a finished model.

Changing ``module.__class__`` is the simplest mechanism that keeps everything else. The textbook constructor
draws all weights, so seeds give the same model in both forms. No module or parameter is replaced, so state
dicts, hooks and optimizers do not notice. Copies and pickles keep the form, and ``isinstance`` still holds. Only
layers of exactly these classes change: a subclass of yours, which may compute something else, does not.

How much it saves: ``python -m benchmarks.training`` times both forms of each model in one run.

The module stands above the papers' files, not in `mclass.models.layers`: it imports them, they do not know it.

Taught in: 04_supervised.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, scaled_dot_product_attention

from mclass.models.early import PlainBlock
from mclass.models.layers.attention import SelfAttention
from mclass.models.layers.blocks import ConvBlock1d, ConvBlock2d, ResidualBlock2d
from mclass.models.musical_feature import ParallelFilters
from mclass.models.musicnn import Vertical
from mclass.models.sample_cnn import SampleBlock, SqueezeExcitationBlock

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
    convolution, which sums over channels, reads them from one stretch of memory. Its
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


class FastSelfAttention(Fast, SelfAttention):
    """Scores, softmax and weighted sum in one function of PyTorch.

    *Equal*: it computes this very formula. The softmax of a row can be built up piece by piece, if the sum so
    far is scaled again whenever a larger score appears. *Faster*: where PyTorch has such a kernel, the weights
    of all pairs of time steps are never written to memory. (On a CPU, dropout in training still takes the direct
    way.)
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x)
        gathered = scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.output(gathered.transpose(1, 2).flatten(2))


class FastVertical(Fast, Vertical):
    """The bands under a filter as the channels of a convolution over time; without gradients, a running maximum.

    *Equal*: a filter at one height is a sum over its bands and a few frames. It does not matter whether the
    bands are called frequency or channels. So the bands that the filter covers at each height are cut out and
    become the channels of a convolution over time alone, with the heights as one more dimension. The maximum
    before ReLU: see `FastConvBlock1d`. *Faster*: a convolution from a single channel is slow, one from 67 is not.

    In eval mode without gradients, batch norm is a factor and an offset for each filter, which the weights can
    carry, and no value but the maximum is needed again: the heights follow each other, a few at a time, in
    little memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.conv.weight.transpose(1, 2)  # (filters, height, 1, width): bands are the input channels now
        bands = x[:, 0].unfold(1, weight.shape[1], 1)  # (batch, positions, time, height)
        bands = bands.permute(0, 3, 1, 2)  # (batch, height, positions, time)
        if not self.training and not torch.is_grad_enabled():
            return self._without_gradient(bands, weight)
        bands = bands.contiguous(memory_format=torch.channels_last)
        found = self.norm(conv2d(bands, weight, self.conv.bias, padding=self.conv.padding))
        return torch.relu(_best_position(found))

    def _without_gradient(self, bands: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        norm = self.norm
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = (weight * factor[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        bias = (self.conv.bias - norm.running_mean) * factor + norm.bias
        best = None
        for few in bands.split(8, dim=2):  # one at a time would leave too little to share among threads
            few = few.contiguous(memory_format=torch.channels_last)
            found = _best_position(conv2d(few, weight, bias, padding=self.conv.padding))
            best = found if best is None else torch.maximum(best, found)
        return torch.relu(best)


def _best_position(found: torch.Tensor) -> torch.Tensor:
    """``(batch, filters, positions, time)`` to ``(batch, filters, time)``."""
    return max_pool2d(found, (found.shape[2], 1))[:, :, 0]  # faster here than amax


class FastSampleBlock(Fast, SampleBlock):
    """The convolution over time as one over spectrogram-like tensors of height 1, and max-pooling before ReLU.

    *Equal*: with a height of 1 there is nothing else to slide over. The order of pool and ReLU: see
    `FastConvBlock1d`. *Faster*: PyTorch has a layout in which the channels of one time step are side by side
    (see `FastConvBlock2d`) for tensors of four dimensions alone. It matters most in bf16. From block to block
    only views are taken: a tensor without the height keeps the layout.
    """

    def prepare(self) -> None:
        self.norm.__class__ = nn.BatchNorm2d  # the same layer, which differs in the input that it refuses

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv = self.conv
        weight = conv.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        stride, padding = (1, *conv.stride), (0, *conv.padding)
        x = self.norm(conv2d(x.unsqueeze(2), weight, conv.bias, stride=stride, padding=padding))
        if isinstance(self.pool, nn.MaxPool1d):
            x = max_pool2d(x, (1, self.pool.kernel_size))
        return torch.relu(x).squeeze(2)


class FastSqueezeExcitationBlock(Fast, SqueezeExcitationBlock):
    """Max-pooling before the last ReLU: see `FastConvBlock1d`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = torch.relu(self.norm1(self.conv1(x)))
        change = self.norm2(self.conv2(change))
        change = change * self.excite(change)[:, :, None]
        if self.conv3 is not None:
            x = self.norm3(self.conv3(x))
        return torch.relu(self.pool(x + change))


class FastPlainBlock(Fast, PlainBlock):
    """Max-pooling before ReLU: see `FastConvBlock1d`. The incomplete last window has a maximum like any other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv, relu, pool = self
        return relu(pool(conv(x)))


class FastParallelFilters(Fast, ParallelFilters):
    """Max-pooling before ReLU: see `FastConvBlock1d`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.cat([conv(x) for conv in self.convs], dim=1)
        return torch.relu(self.pool(self.norm(found)))


# textbook form -> fast form
FAST: dict[type[nn.Module], type[Fast]] = {
    ConvBlock1d: FastConvBlock1d,
    ConvBlock2d: FastConvBlock2d,
    ResidualBlock2d: FastResidualBlock2d,
    SelfAttention: FastSelfAttention,
    Vertical: FastVertical,
    SampleBlock: FastSampleBlock,
    SqueezeExcitationBlock: FastSqueezeExcitationBlock,
    PlainBlock: FastPlainBlock,
    ParallelFilters: FastParallelFilters,
}
