"""Augmentations that know when they would make a label wrong.

Transposed by seven semitones, a man sounds like a woman; the label still says "male".

Taught in: 05_augmentation.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from mclass._utils.arrays import as_tensor
from mclass.augmentations.base import RandomApply, Transform, change_some
from mclass.errors import unknown_name


class LabelAware(Transform):
    """Leave examples alone that carry, or may carry, a tag which the transform may change.

    Called as ``transform(waveforms, generator, labels=labels)``, alone or inside a chain.

    Parameters
    ----------
    transform : Transform
    tags : sequence of str
        Names of the labels' columns.
    protect : sequence of str, optional
        Tags that protect an example; those of the transform's `changes_labels` that are in `tags` if not given.

    Raises
    ------
    ValueError
        If a tag to protect is not among `tags`, or labels are missing or not ``(batch, num_tags)``.

    Examples
    --------
    >>> from mclass.augmentations import Gain
    >>> quieter = LabelAware(Gain(-20, -20), tags=["guitar", "loud"])
    >>> quieter(torch.ones(2, 1), labels=torch.tensor([[1, 0], [1, 1]]))
    tensor([[0.1000],
            [1.0000]])
    """

    def __init__(self, transform: Transform, tags: Sequence[str], protect: Sequence[str] | None = None):
        super().__init__()
        tags = list(tags)
        if protect is None:
            protect = [tag for tag in tags if tag.lower() in transform.changes_labels]
        for tag in protect:
            if tag not in tags:
                raise ValueError(unknown_name("tag", tag, tags))
        self.transform, self.tags, self.protect = transform, tags, tuple(protect)
        self.overwrites = transform.neutral is None

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw for all examples; choose those without a protected tag."""
        if labels is None:
            raise ValueError(
                "this augmentation leaves some tags alone and must know them: give labels=labels, "
                f"of shape ({batch}, {len(self.tags)})"
            )
        labels = as_tensor(labels).cpu()
        if tuple(labels.shape) != (batch, len(self.tags)):
            raise ValueError(
                f"labels must have shape (batch, num_tags), ({batch}, {len(self.tags)}), got {tuple(labels.shape)}"
            )
        columns = [self.tags.index(tag) for tag in self.protect]
        chosen = (labels[:, columns] == 0).all(1)  # a tag that is unknown (NaN) may be there, and protects, too
        return {"chosen": chosen, "parameters": self.transform.draw(batch, generator, labels)}

    def change(self, waveforms: torch.Tensor, chosen: torch.Tensor, parameters: dict) -> torch.Tensor:
        """Transform the examples without a protected tag."""
        return change_some(self.transform, waveforms, chosen, parameters)


def label_aware(chain: Transform, tags: Sequence[str]) -> Transform:
    """A copy of a chain in which every transform that may change one of `tags` is made `LabelAware`.

    Parameters
    ----------
    chain : Transform
        One transform, or a chain of any depth.
    tags : sequence of str
        Names of the labels' columns.

    Examples
    --------
    >>> from mclass.augmentations import Compose, Noise, PitchShift, RandomApply
    >>> chain = Compose([Noise(), RandomApply(PitchShift(16000))])
    >>> aware = label_aware(chain, tags=["guitar", "female"])
    >>> aware.transforms[1].transform.protect
    ('female',)
    """
    if isinstance(chain, LabelAware):
        return chain
    if any(tag.lower() in chain.changes_labels for tag in tags):
        return LabelAware(chain, tags)
    chain = copy.copy(chain)
    chain._modules = dict(chain._modules)
    for name, child in chain._modules.items():
        if isinstance(child, Transform):
            chain._modules[name] = label_aware(child, tags)
            if isinstance(chain, RandomApply):
                chain = RandomApply(chain._modules[name], chain.p)
        elif isinstance(child, torch.nn.ModuleList):
            chain._modules[name] = torch.nn.ModuleList(label_aware(transform, tags) for transform in child)
    return chain
