"""Models by name: create one, save it, load it.

>>> from mclass import models
>>> "musicnn" in models.list()
True
>>> model = models.create("cnn_2d", num_tags=10)
>>> model.num_samples, model.sample_rate
(48000, 16000)

Taught in: 04_supervised.
"""

from mclass.models.base import WaveformModel
from mclass.models.checkpoints import load, load_weights, save
from mclass.models.registry import create, list, measured
from mclass.models.transfer import freeze, unfreeze, with_new_head

__all__ = [
    "WaveformModel",
    "create",
    "freeze",
    "list",
    "load",
    "load_weights",
    "measured",
    "save",
    "unfreeze",
    "with_new_head",
]
