"""What every augmentation looks like, and how augmentations are put together.

A transform works in two steps. `Transform.draw` decides, for each example, what will happen to it: small tensors
on the CPU, so that a seed gives the same decisions on every device. `Transform.change` then does it, with no
further randomness.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import nn

from mclass.errors import AudioError
from mclass.frontends import check_waveform


class Transform(nn.Module):
    """Base class: waveforms ``(batch, samples)`` to waveforms of the same shape, at random.

    Call it as ``transform(waveforms, generator=None)``. Sub-classes implement `draw` and `change`.

    Attributes
    ----------
    changes_labels : tuple of str
        Tags that may no longer be true of what comes out (see `mclass.augmentations.label_aware`).
    overwrites : bool
        Whether `change` writes into the waveforms it is given; if so, it must be given a copy.
    neutral : dict of str to float, or None
        Parameters of `change` that leave a waveform as it is. Only for transforms so cheap that it costs less to
        do nothing to an example than to pick the others out (see `RandomApply`).
    """

    changes_labels: tuple[str, ...] = ()
    overwrites: bool = False
    neutral: dict[str, float] | None = None

    def draw(
        self, batch: int, generator: torch.Generator | None = None, labels: torch.Tensor | None = None
    ) -> dict:
        """Draw the parameters of `change`: tensors of shape ``(batch,)`` on the CPU, or nested dicts of them."""
        return {}

    def change(self, waveforms: torch.Tensor, **parameters) -> torch.Tensor:
        """Do what was drawn to `waveforms`, which are float32 or float64."""
        raise NotImplementedError

    def forward(
        self,
        waveforms: torch.Tensor,
        generator: torch.Generator | None = None,
        labels: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Transform; `waveforms` stay as they are.

        Parameters
        ----------
        waveforms : torch.Tensor, shape (batch, samples)
            Floats on any device. Half precision is computed in float32 and comes back as it was.
        generator : torch.Generator, optional
            On the CPU; torch's global one if not given. The same state gives the same result.
        labels : torch.Tensor, shape (batch, num_tags), optional
            For chains made by `mclass.augmentations.label_aware`; all others ignore them.

        Returns
        -------
        torch.Tensor
            Same shape, type and device; ``(batch, num_samples)`` after a crop.

        Raises
        ------
        ValueError
            If `waveforms` are not ``(batch, samples)`` of floats, or the generator lives on another device.
        AudioError
            If a waveform holds NaN or infinity.
        """
        self.check(waveforms)
        if generator is not None and generator.device.type != "cpu":
            raise ValueError(
                f"the generator must be on the CPU, so that every device draws the same, got {generator.device}. "
                "Use torch.Generator().manual_seed(seed)"
            )
        return self.enact(waveforms, self.draw(len(waveforms), generator, labels))

    def enact(self, waveforms: torch.Tensor, parameters: dict) -> torch.Tensor:
        """Do what `draw` drew to `waveforms`, which stay as they are; the second half of `forward`."""
        with torch.autocast(waveforms.device.type, enabled=False):
            precise = waveforms.to(torch.promote_types(waveforms.dtype, torch.float32))
            check_finite(precise)
            if self.overwrites and precise is waveforms:
                precise = waveforms.clone()
            return self.change(precise, **parameters).to(waveforms.dtype)

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse what cannot be transformed."""
        check_waveform(waveforms)

    def extra_repr(self) -> str:
        """The options the transform was made with."""
        names = [name for name in inspect.signature(type(self)).parameters if hasattr(self, name)]
        options = {name: getattr(self, name) for name in names}
        return ", ".join(
            f"{name}={value!r}"
            for name, value in options.items()
            if not isinstance(value, nn.Module | torch.Tensor)
        )


class Compose(Transform):
    """One transform after another. The order matters: noise in a reverberant room is not a noisy recording of it.

    Examples
    --------
    >>> from mclass.augmentations import Gain, PolarityInversion
    >>> chain = Compose([PolarityInversion(), Gain(-6, -6)])
    >>> chain(torch.ones(1, 3))
    tensor([[-0.5012, -0.5012, -0.5012]])
    """

    def __init__(self, transforms: Sequence[Transform]):
        super().__init__()
        self.transforms = nn.ModuleList(check_transforms(transforms))

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw for each transform in turn."""
        return {"each": [transform.draw(batch, generator, labels) for transform in self.transforms]}

    def change(self, waveforms: torch.Tensor, each: list[dict]) -> torch.Tensor:
        """Apply each transform to what the one before it returned."""
        given = waveforms
        for transform, parameters in zip(self.transforms, each, strict=True):
            if transform.overwrites and waveforms is given:
                waveforms = given.clone()
            waveforms = transform.change(waveforms, **parameters)
        return waveforms

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse what the first transform refuses."""
        self.transforms[0].check(waveforms)


class ComposeMany(Transform):
    """Several differently transformed views of the same waveforms, as contrastive learning compares them.

    Parameters
    ----------
    transforms : sequence of Transform
    num_views : int

    Examples
    --------
    The result has shape ``(num_views, batch, samples)``:

    >>> from mclass.augmentations import Noise
    >>> view_i, view_j = ComposeMany([Noise()], num_views=2)(torch.ones(4, 100))
    >>> view_i.shape, bool((view_i == view_j).any())
    (torch.Size([4, 100]), False)
    """

    def __init__(self, transforms: Sequence[Transform], num_views: int = 2):
        super().__init__()
        if num_views != int(num_views) or num_views < 1:
            raise ValueError(f"num_views must be an integer of at least 1, got {num_views}")
        self.chain, self.num_views = Compose(transforms), int(num_views)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw anew for each view."""
        return {"views": [self.chain.draw(batch, generator, labels) for _ in range(self.num_views)]}

    def change(self, waveforms: torch.Tensor, views: list[dict]) -> torch.Tensor:
        """Transform for each view; shape ``(num_views, batch, samples)``."""
        return torch.stack([self.chain.change(waveforms, **parameters) for parameters in views])

    def check(self, waveforms: torch.Tensor) -> None:
        """Refuse what the first transform refuses."""
        self.chain.check(waveforms)


class RandomApply(Transform):
    """Apply a transform to each example with probability `p`, independently of the others in the batch.

    The transform sees only the examples that were drawn, so a transform with ``p=0.4`` costs 40 %.

    Parameters
    ----------
    transform : Transform, or sequence of them
        A sequence is applied as a whole or not at all.
    p : float
        Between 0 (identity) and 1.

    Examples
    --------
    >>> from mclass.augmentations import PolarityInversion
    >>> flip = RandomApply(PolarityInversion(), p=0.5)
    >>> flip(torch.ones(6, 1), torch.Generator().manual_seed(0)).flatten()
    tensor([-1.,  1., -1., -1., -1.,  1.])
    """

    def __init__(self, transform: Transform | Sequence[Transform], p: float = 0.5):
        super().__init__()
        if not isinstance(transform, Transform):
            transform = Compose(transform)
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability between 0 and 1, got {p}. (Was a percentage given?)")
        self.transform, self.p = transform, p
        self.overwrites = transform.neutral is None

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw which examples are transformed, and the transform's parameters for all of them."""
        chosen = torch.rand(batch, generator=generator) < self.p
        return {"chosen": chosen, "parameters": self.transform.draw(batch, generator, labels)}

    def change(self, waveforms: torch.Tensor, chosen: torch.Tensor, parameters: dict) -> torch.Tensor:
        """Transform the examples that were chosen."""
        return change_some(self.transform, waveforms, chosen, parameters)


class OneOf(Transform):
    """Apply one of several transforms to each example.

    Parameters
    ----------
    transforms : sequence of Transform
    weights : sequence of float, optional
        How often each is chosen, up to a factor; all equally often if not given.

    Examples
    --------
    >>> from mclass.augmentations import Gain
    >>> loud_or_soft = OneOf([Gain(0, 0), Gain(-20, -20)])
    >>> loud_or_soft(torch.ones(5, 1), torch.Generator().manual_seed(0)).flatten()
    tensor([0.1000, 0.1000, 1.0000, 0.1000, 0.1000])
    """

    overwrites = True

    def __init__(self, transforms: Sequence[Transform], weights: Sequence[float] | None = None):
        super().__init__()
        self.transforms = nn.ModuleList(check_transforms(transforms))
        self.weights = [1.0] * len(self.transforms) if weights is None else [float(weight) for weight in weights]
        if len(self.weights) != len(self.transforms) or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(
                f"each of the {len(self.transforms)} transforms needs a weight of at least 0, and one of them "
                f"more than 0, got weights={weights}"
            )

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw which transform each example gets, and every transform's parameters."""
        weights = torch.tensor(self.weights)
        return {
            "choice": torch.multinomial(weights, batch, replacement=True, generator=generator),
            "each": [transform.draw(batch, generator, labels) for transform in self.transforms],
        }

    def change(self, waveforms: torch.Tensor, choice: torch.Tensor, each: list[dict]) -> torch.Tensor:
        """Apply to each example the transform chosen for it."""
        for index, (transform, parameters) in enumerate(zip(self.transforms, each, strict=True)):
            waveforms = change_some(transform, waveforms, choice == index, parameters)
        return waveforms


def change_some(
    transform: Transform, waveforms: torch.Tensor, chosen: torch.Tensor, parameters: dict
) -> torch.Tensor:
    """Let a transform change the `chosen` rows of `waveforms`: in place, unless it has `neutral` parameters.

    Parameters
    ----------
    transform : Transform
    waveforms : torch.Tensor, shape (batch, samples)
    chosen : torch.Tensor of bool, shape (batch,)
    parameters : dict
        What the transform drew, for all rows.
    """
    if transform.neutral is not None:
        masked = {name: torch.where(chosen, parameters[name], value) for name, value in transform.neutral.items()}
        return transform.change(waveforms, **{**parameters, **masked})
    rows = chosen.nonzero().flatten()
    if len(rows) == 0:
        return waveforms
    places = rows.to(waveforms.device)
    changed = transform.change(waveforms.index_select(0, places), **take(parameters, rows))
    if changed.shape[1:] != waveforms.shape[1:]:
        raise ValueError(
            f"{type(transform).__name__} changes the length from {waveforms.shape[1]} to {changed.shape[1]} "
            "samples and so cannot be applied to some of the examples only. Give RandomCrop to Compose directly"
        )
    return waveforms.index_copy_(0, places, changed)


def take(parameters, rows: torch.Tensor):
    """The given rows of drawn parameters, however deep they are nested.

    Examples
    --------
    >>> take({"each": [{"gain_db": torch.tensor([1.0, 2.0, 3.0])}]}, torch.tensor([0, 2]))
    {'each': [{'gain_db': tensor([1., 3.])}]}
    """
    if isinstance(parameters, dict):
        return {name: take(value, rows) for name, value in parameters.items()}
    if isinstance(parameters, list):
        return [take(value, rows) for value in parameters]
    return parameters[rows]


def uniform(low: float, high: float, batch: int, generator: torch.Generator | None) -> torch.Tensor:
    """Draw numbers between `low` and `high`, shape ``(batch,)``, on the CPU."""
    return low + (high - low) * torch.rand(batch, generator=generator)


def column(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One value per example, ``(batch,)``, as a column ``(batch, 1)`` that multiplies the waveforms `like`."""
    return values.to(like.device, like.dtype)[:, None]


def check_finite(waveforms: torch.Tensor) -> None:
    """Refuse NaN and infinity.

    A sum is finite unless one of its terms is not, and is the cheapest thing to compute.

    Raises
    ------
    AudioError
        Naming the first row that is not finite.
    """
    if not waveforms.detach().sum().isfinite():
        bad = (~waveforms.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if bad:  # otherwise only the sum was too large
            raise AudioError(
                f"waveforms must be finite, found NaN or infinity in row {bad[0]} ({len(bad)} such rows)"
            )


def check_interval(name: str, low: float, high: float, smallest: float, largest: float, unit: str = "") -> None:
    """Refuse a range that is empty or reaches beyond what is possible.

    Raises
    ------
    ValueError
        Saying what was given and what is allowed.

    Examples
    --------
    >>> check_interval("cutoff", 4000, 2000, 0, 8000, "Hz")
    Traceback (most recent call last):
    ValueError: cutoff is drawn between 4000 and 2000 Hz; the first must not be larger than the second, and both
    must lie between 0 and 8000 Hz
    """
    if not smallest <= low <= high <= largest:
        raise ValueError(
            f"{name} is drawn between {low:g} and {high:g} {unit}; the first must not be larger than the second, "
            f"and both must lie between {smallest:g} and {largest:g} {unit}".replace(" ;", ";").rstrip()
        )


def check_sample_rate(sample_rate: int) -> int:
    """Refuse a sample rate that is not a positive number.

    Raises
    ------
    ValueError
        With a guess if it looks like kilohertz.
    """
    if not sample_rate > 0:
        raise ValueError(f"the sample rate is in Hz and must be positive, got {sample_rate}")
    if sample_rate < 1000:
        raise ValueError(f"the sample rate is in Hz, got {sample_rate}. Were kilohertz meant?")
    return sample_rate


def check_transforms(transforms: Sequence[Transform]) -> list[Transform]:
    """Refuse an empty list, or anything in it that is not a transform."""
    transforms = list(transforms)
    if not transforms:
        raise ValueError("give at least one transform, got an empty list")
    for transform in transforms:
        if not isinstance(transform, Transform):
            raise ValueError(
                f"transforms are instances of mclass.augmentations.Transform, got {transform!r}. "
                "(Was the class given, without parentheses?)"
            )
    return transforms
