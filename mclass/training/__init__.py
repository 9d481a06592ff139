"""Training paradigms as Lightning modules, and one function that runs them.

>>> from mclass import models, training
>>> task = training.Tagging(models.create("cnn_2d"), optimizer="adam")
>>> # training.fit(task, train, valid, epochs=10) trains it

Taught in: 04_supervised.
"""

from mclass._utils.memory import keep_freed_memory
from mclass.training.contrastive import Contrastive, MoCo
from mclass.training.distillation import Distillation
from mclass.training.fit import Run, fit
from mclass.training.metric_learning import MetricLearning
from mclass.training.optimizers import OPTIMIZERS, SCHEDULES, Schedule, create_optimizer, layerwise
from mclass.training.predictive import CPC
from mclass.training.probing import Probe, embeddings, probe, probe_embeddings
from mclass.training.regression import Regression
from mclass.training.self_supervised import SelfSupervised
from mclass.training.semi_supervised import (
    Consistency,
    EntropyMinimisation,
    MeanTeacher,
    NoisyStudent,
    SemiSupervised,
)
from mclass.training.tagging import Tagging
from mclass.training.task import Task
from mclass.training.workers import PASE

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
    "probe",
    "probe_embeddings",
]
