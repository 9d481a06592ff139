"""Training paradigms as Lightning modules, and one function that runs them.

>>> from mclass import models, training
>>> task = training.Tagging(models.create("cnn_2d"), optimizer="adam")
>>> # training.fit(task, train, valid, epochs=10) trains it

Taught in: 04_supervised.
"""

from mclass._utils.memory import keep_freed_memory
from mclass.training.engine.optimizers import OPTIMIZERS, SCHEDULES, Schedule, create_optimizer, layerwise
from mclass.training.fit import Run, fit
from mclass.training.probing import Probe, embeddings, probe, probe_embeddings
from mclass.training.tasks.contrastive import Contrastive, MoCo, partners_found
from mclass.training.tasks.cpc import CPC, moments
from mclass.training.tasks.distillation import Distillation
from mclass.training.tasks.metric_learning import MetricLearning
from mclass.training.tasks.pase import PASE
from mclass.training.tasks.regression import Regression
from mclass.training.tasks.self_supervised import SelfSupervised
from mclass.training.tasks.semi_supervised import (
    Consistency,
    EntropyMinimisation,
    MeanTeacher,
    NoisyStudent,
    SemiSupervised,
)
from mclass.training.tasks.tagging import Tagging
from mclass.training.tasks.task import Task

__all__ = [
    "CPC",
    "OPTIMIZERS",
    "PASE",
    "SCHEDULES",
    "Consistency",
    "Contrastive",
    "Distillation",
    "EntropyMinimisation",
    "MeanTeacher",
    "MetricLearning",
    "MoCo",
    "NoisyStudent",
    "Probe",
    "Regression",
    "Run",
    "Schedule",
    "SelfSupervised",
    "SemiSupervised",
    "Tagging",
    "Task",
    "create_optimizer",
    "embeddings",
    "fit",
    "keep_freed_memory",
    "layerwise",
    "moments",
    "partners_found",
    "probe",
    "probe_embeddings",
]
