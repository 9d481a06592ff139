"""Augmentations: the same music, made to sound different.

A classifier that has heard a song loud, soft, muffled, transposed and in a large room has to find what these have
in common. Each transform takes waveforms ``(batch, samples)`` on any device and changes every example in its own
way:

>>> import torch
>>> from mclass import augmentations
>>> chain = augmentations.clmr(sample_rate=22050)
>>> chain(torch.zeros(4, 59049), generator=torch.Generator().manual_seed(0)).shape
torch.Size([4, 59049])

The same generator state gives the same result, on every device.

Taught in: 05_augmentation, 07_clmr.
"""

from mclass.augmentations.base import Compose, ComposeMany, OneOf, RandomApply, Transform
from mclass.augmentations.filters import HighLowPass, HighPass, LowPass
from mclass.augmentations.labels import LabelAware, label_aware
from mclass.augmentations.mixing import Mixup
from mclass.augmentations.noise import BackgroundMix, ColoredNoise, Noise
from mclass.augmentations.pitch import PitchShift, TimeStretch
from mclass.augmentations.presets import clmr, gtzan_supervised
from mclass.augmentations.reverb import ImpulseResponse, Reverb
from mclass.augmentations.simple import Delay, Gain, PolarityInversion, RandomCrop, RandomResizedCrop, TimeShift
from mclass.augmentations.spectrograms import SpecAugment

__all__ = [
    "BackgroundMix",
    "ColoredNoise",
    "Compose",
    "ComposeMany",
    "Delay",
    "Gain",
    "HighLowPass",
    "HighPass",
    "ImpulseResponse",
    "LabelAware",
    "LowPass",
    "Mixup",
    "Noise",
    "OneOf",
    "PitchShift",
    "PolarityInversion",
    "RandomApply",
    "RandomCrop",
    "RandomResizedCrop",
    "Reverb",
    "SpecAugment",
    "TimeShift",
    "TimeStretch",
    "Transform",
    "clmr",
    "gtzan_supervised",
    "label_aware",
]
