"""Which losses, samplings and notions go together in `mclass.training.MetricLearning`.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mclass import losses
from mclass.datasets import MusicDataset
from mclass.datasets.triplets import SAMPLINGS as DRAWN
from mclass.errors import DatasetError, unknown_name
from mclass.mining.triplets import KINDS as MINED

TRIPLET_LOSSES = (losses.TripletLoss, losses.TrackRegularizedLoss)  # the disentangled one is a TripletLoss
PAIR_LOSSES = (losses.ContrastiveLoss, losses.NTXentLoss)
LABEL_LOSSES = (losses.SupConLoss, losses.MultiSimilarityLoss, losses.ProxyAnchorLoss)
LOSSES = (*TRIPLET_LOSSES, *PAIR_LOSSES, *LABEL_LOSSES)
SAMPLINGS = (*DRAWN, *MINED, "balanced")


def notion_of_tags(dataset: MusicDataset, notions: Mapping[str, Sequence[str]]) -> torch.Tensor:
    """The number of each tag's notion, shape ``(num_tags,)``.

    Raises
    ------
    DatasetError
        If a tag has no notion or several, or no clip has a tag of a notion, whose block would never be trained.
    """
    numbers = []
    for tag in dataset.tags:
        found = [number for number, members in enumerate(notions.values()) if tag in members]
        if len(found) != 1:
            raise DatasetError(
                f"the tag {tag!r} belongs to {len(found)} of the notions {', '.join(notions)}, and must belong to "
                "one. Give notions= for your tags, from the name of each notion to its tags"
            )
        numbers += found
    present = dataset.labels.any(axis=0)
    for number, name in enumerate(notions):
        if not any(present[i] for i, found in enumerate(numbers) if found == number):
            raise DatasetError(
                f"no training clip has a tag of the notion {name!r}, so nothing would train its block of the "
                "embedding. Leave it out of notions=, or use more clips"
            )
    return torch.tensor(numbers)


def check_options(task) -> None:
    """Refuse options of a `mclass.training.MetricLearning` that do not go together."""
    loss, sampling = task.loss, task.sampling
    name = type(loss).__name__
    if not isinstance(loss, LOSSES):
        known = ", ".join(one.__name__ for one in LOSSES)
        raise ValueError(f"loss must be one of mclass.losses that compares embeddings ({known}), got {name}")
    if loss.reduction != "mean":
        raise ValueError(f'training needs one number per batch: {name} with reduction="mean"')
    if task.among not in ("clips", "tracks"):
        raise ValueError(unknown_name("kind of neighbour: among =", task.among, ("clips", "tracks")))
    if sampling not in SAMPLINGS:
        raise ValueError(unknown_name("sampling", sampling, SAMPLINGS))
    if (sampling == "balanced") != isinstance(loss, LABEL_LOSSES):
        fitting = '"balanced"' if isinstance(loss, LABEL_LOSSES) else 'anything but "balanced"'
        raise ValueError(f"{name} needs sampling to be {fitting}, got {sampling!r}")
    if sampling in MINED and isinstance(loss, (losses.TrackRegularizedLoss, losses.NTXentLoss)):
        raise ValueError(
            f"{name} does not learn from triplets that are found in a batch: it needs drawn ones "
            f"({', '.join(DRAWN)}), got sampling={sampling!r}"
        )
    if task.num_notions > 1 and sampling in ("track", "artist"):
        raise ValueError(f"{name} needs a tag that decides the block, and sampling={sampling!r} has none")
    if task.num_notions > 1 and len(task.notions) != task.num_notions:
        raise ValueError(
            f"the loss has num_notions={task.num_notions} blocks and notions= has {len(task.notions)}: "
            f"{', '.join(task.notions)}"
        )
    if (task.scores is not None) != (sampling == "errors"):
        raise ValueError(
            'sampling="errors" and scores= need one another: scores are what a trained tagger says of the '
            f"training clips; got sampling={sampling!r} and {'no ' if task.scores is None else ''}scores"
        )
    for what, value in (("num_triplets", task.num_triplets), ("clips_per_tag", task.clips_per_tag)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{what} must be an integer of at least 1, got {value!r}")
    if task.clips_per_tag < 2 and sampling not in DRAWN:
        raise ValueError("clips_per_tag must be at least 2: a clip alone has no positive")


def described(loss: losses.Loss) -> str:
    """A loss with its numbers: ``TripletLoss(margin=0.4, distance=cosine)``."""
    parts = [loss, *loss.children()]
    numbers = [
        f"{name}={value}"
        for part in parts
        for name, value in vars(part).items()
        if isinstance(value, int | float | str)
        and not name.startswith("_")
        and name not in ("training", "call_super_init")
    ]
    return f"{type(loss).__name__}({', '.join(dict.fromkeys(numbers))})"
