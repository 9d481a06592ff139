"""Training paradigms as Lightning modules, and one function that runs them.

>>> from mclass import models, training
>>> task = training.Tagging(models.create("cnn_2d"), optimizer="adam")
>>> # training.fit(task, train, valid, epochs=10) trains it

Taught in: 04_supervised.
"""

from mclass.memory import keep_freed_memory
from mclass.training.fit import Run, fit
from mclass.training.optimizers import OPTIMIZERS, SCHEDULES, Schedule, create_optimizer, layerwise
from mclass.training.regression import Regression
from mclass.training.semi_supervised import (
    Consistency,
    Distillation,
    EntropyMinimisation,
    MeanTeacher,
    NoisyStudent,
    SemiSupervised,
)
from mclass.training.tagging import Tagging
from mclass.training.task import Task

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Consistency",
    "Distillation",
    "EntropyMinimisation",
    "MeanTeacher",
    "NoisyStudent",
    "Regression",
    "Run",
    "Schedule",
    "SemiSupervised",
    "Tagging",
    "Task",
    "create_optimizer",
    "fit",
    "keep_freed_memory",
    "layerwise",
]
