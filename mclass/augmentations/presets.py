"""Chains of augmentations as published.

Taught in: 05_augmentation, 07_clmr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mclass.augmentations.base import Compose, RandomApply, Transform
from mclass.augmentations.filters import HighLowPass
from mclass.augmentations.labels import label_aware
from mclass.augmentations.noise import Noise
from mclass.augmentations.pitch import PitchShift
from mclass.augmentations.reverb import Reverb
from mclass.augmentations.simple import Delay, Gain, PolarityInversion, RandomCrop
from mclass.errors import unknown_name

# How probable each transform is: in this course, and as the paper's code had it for its own training.
CLMR = {
    "polarity": 0.8, "noise": 0.3, "gain": 0.3, "filter": 0.8, "delay": 0.5, "pitch": 0.4, "reverb": 0.3,
}  # fmt: skip
CLMR_PAPER = {
    "polarity": 0.8, "noise": 0.01, "gain": 0.3, "filter": 0.8, "delay": 0.3, "pitch": 0.6, "reverb": 0.6,
}  # fmt: skip
GTZAN = CLMR | {"gain": 0.2}


def clmr(
    sample_rate: int,
    num_samples: int | None = None,
    probabilities: Mapping[str, float] | None = None,
    tags: Sequence[str] | None = None,
) -> Compose:
    """The chain that CLMR learns from.

    Spijkervet & Burgoyne 2021, *Contrastive learning of musical representations*.

    A random crop, polarity inversion, white noise (40 to 80 dB below the music), a gain of −20 to −1 dB, a
    low-pass (2,200 to 4,000 Hz) or high-pass filter (200 to 1,200 Hz), an echo after 200 to 450 ms, a shift by up
    to seven semitones, and a room. Orders and ranges are those of the authors' torchaudio-augmentations. Two
    things are our own: filters are Butterworth's instead of windowed sincs, and rooms are given by their RT60 (see
    `Reverb`).

    Parameters
    ----------
    sample_rate : int
        In Hz. The published one is 22,050.
    num_samples : int, optional
        Length of the crop, published 59,049; without it, waveforms are taken to be cropped already.
    probabilities : mapping of str to float, optional
        Other probabilities than `CLMR`'s, such as ``{"pitch": 0.0}`` or `CLMR_PAPER`.
    tags : sequence of str, optional
        Make the chain label-aware (see `mclass.augmentations.label_aware`): call it with ``labels=labels``.

    Raises
    ------
    ValueError
        If a probability has an unknown name, or is none; if `sample_rate` is below 8,001 Hz, which leaves no room
        for a low-pass at 4,000 Hz.

    Examples
    --------
    >>> import torch
    >>> chain = clmr(22050, num_samples=59049)
    >>> chain(torch.zeros(2, 66150)).shape
    torch.Size([2, 59049])
    """
    return _chain(sample_rate, num_samples, CLMR, probabilities, tags, Noise(40.0, 80.0))


def gtzan_supervised(
    sample_rate: int = 22050,
    num_samples: int | None = None,
    probabilities: Mapping[str, float] | None = None,
    tags: Sequence[str] | None = None,
) -> Compose:
    """The chain with which a genre classifier is trained in *Music classification: Beyond supervised learning*.

    That tutorial (Won, Spijkervet & Choi 2021, part 3) uses `clmr`'s transforms with more noise, 6 to 10.5 dB
    below the music (its standard deviation is 0.3 to 0.5 of the signal's), and a gain less often. Parameters as
    there.

    Examples
    --------
    >>> import torch
    >>> gtzan_supervised()(torch.zeros(2, 22050)).shape
    torch.Size([2, 22050])
    """
    return _chain(sample_rate, num_samples, GTZAN, probabilities, tags, Noise(6.02, 10.46))


def _chain(
    sample_rate: int,
    num_samples: int | None,
    published: Mapping[str, float],
    probabilities: Mapping[str, float] | None,
    tags: Sequence[str] | None,
    noise: Noise,
) -> Compose:
    for name in probabilities or ():
        if name not in published:
            raise ValueError(unknown_name("transform", name, published))
    transforms: dict[str, Transform] = {
        "polarity": PolarityInversion(),
        "noise": noise,
        "gain": Gain(-20.0, -1.0),
        "filter": HighLowPass(sample_rate),
        "delay": Delay(sample_rate),
        "pitch": PitchShift(sample_rate),
        "reverb": Reverb(sample_rate),
    }
    p = {**published, **(probabilities or {})}
    crop = [] if num_samples is None else [RandomCrop(num_samples)]
    chain = Compose(crop + [RandomApply(transform, p[name]) for name, transform in transforms.items()])
    return chain if tags is None else label_aware(chain, tags)
