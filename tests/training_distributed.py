"""Runs of `fit` as a script, for one process or for several under torchrun: ``FOLDER PROCESSES PARADIGM …``.

What it is told to suffer in the variable ``MISHAP``, ``SIGKILL`` or ``SIGSTOP``, happens to the second process in
the middle of the third epoch. ``LOST_AFTER`` are the seconds that the others wait for it.
"""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from tones import Tones

from mclass import augmentations, losses, models, training
from mclass.frontends import LogMel
from mclass.training.engine import distributed

EPOCHS = 3


class Plain(models.WaveformModel):
    """Without dropout and batch normalisation, whose results depend on who computes what."""

    num_samples, num_tags = 4000, 3

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.frontend = LogMel(16000, n_mels=24)
        self.layer, self.head = torch.nn.Linear(24, 16), torch.nn.Linear(16, 3)

    def features(self, waveform):
        moments = torch.nn.functional.adaptive_avg_pool1d(self.frontend(waveform)[:, 0], 4)
        return self.layer(moments.transpose(1, 2) / 40 + 1).relu().transpose(1, 2)

    def embed(self, waveform):
        return self.layer(self.frontend(waveform).mean(-1).flatten(1) / 40 + 1).relu()


CHAIN = augmentations.Compose([augmentations.RandomApply(augmentations.Noise(0, 20)), augmentations.Gain()])
POOL = Tones(40, seed=2)
FAST = {"augment": CHAIN, "learning_rate": 0.01}
# SGD: distances do not change if all embeddings move together, so that the gradient of a bias is a rounding error,
# of which Adam would make a whole step.
STEADY = {"augment": CHAIN, "optimizer": "sgd"}
PARADIGMS = {
    "tagging": lambda model: training.Tagging(model, **FAST),
    "regression": lambda model: training.Regression(model, **FAST),
    "distillation": lambda model: training.Distillation(model, Plain(1), **FAST),
    "noisy student": lambda model: training.NoisyStudent(model, Plain(1), POOL, **FAST),
    "consistency": lambda model: training.Consistency(model, POOL, per_example=2, ramp_up=1, **FAST),
    "mean teacher": lambda model: training.MeanTeacher(model, POOL, momentum_of_teacher=0.8, **FAST),
    "entropy": lambda model: training.EntropyMinimisation(model, POOL, weight=0.1, **FAST),
    "triplets": lambda model: training.MetricLearning(
        model, losses.TripletLoss(0.4, "euclidean"), learning_rate=0.1, num_triplets=28, **STEADY
    ),
    "mined triplets": lambda model: training.MetricLearning(
        model, losses.TripletLoss(0.4, "euclidean"), sampling="semi-hard", learning_rate=0.1, **STEADY
    ),
    "proxies": lambda model: training.MetricLearning(
        model, losses.ProxyAnchorLoss(3, 16, alpha=8.0), learning_rate=0.5, **STEADY
    ),
    "contrastive": lambda model: training.Contrastive(
        model, temperature=0.2, projection_dim=16, augment=CHAIN, learning_rate=0.003
    ),
    "moco": lambda model: training.MoCo(model, temperature=0.2, queue_size=16, projection_dim=16, **FAST),
    "cpc": lambda model: training.CPC(model, steps=2, context_dim=16, **FAST),
    "cpc, other clips": lambda model: training.CPC(model, steps=2, context_dim=16, negatives="clips", **FAST),
    "pase": lambda model: training.PASE(model, hidden=16, **FAST),
}


def run(folder, paradigm, processes, resume=False):
    """One run, from the same first weights; returns its task."""
    task = PARADIGMS[paradigm](Plain())
    if "MISHAP" in os.environ:
        suffer(task, getattr(signal, os.environ["MISHAP"]))
    training.fit(
        task,
        Tones(28),  # three batches of 8, and one of 4
        Tones(9, seed=1),
        epochs=EPOCHS,
        batch_size=8,
        folder=folder,
        devices=processes,
        accelerator="cpu",
        progress=False,
        resume=resume,
    )
    return task


def suffer(task, mishap):
    """Let the second process end, or stop, in the middle of the third epoch."""
    learn = task.batch_loss
    seen = []

    def batch_loss(batch):
        seen.append(batch)
        if len(seen) == 10 and distributed.place()[0] == 1:
            os.kill(os.getpid(), mishap)
        return learn(batch)

    task.batch_loss = batch_loss


def main(folder, processes, *paradigms):
    torch.set_num_threads(1)
    if "LOST_AFTER" in os.environ:
        distributed.LOST_AFTER = timedelta(seconds=float(os.environ["LOST_AFTER"]))
    for paradigm in paradigms:
        path = Path(folder) / paradigm
        task = run(path, paradigm, int(processes), resume=path.exists())
        if hasattr(task, "teacher"):
            torch.save(task.teacher.state_dict(), path / f"teacher{distributed.place()[0]}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
