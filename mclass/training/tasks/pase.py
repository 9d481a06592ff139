"""Many small questions to one encoder: what it knows of the sound must be there to be read off (PASE).

Taught in: 07_clmr.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from mclass.datasets import MusicDataset
from mclass.datasets.views import Views
from mclass.errors import ModelError, unknown_name
from mclass.frontends import MFCC, STFT, LogMel
from mclass.models import WaveformModel
from mclass.training.engine import distributed
from mclass.training.tasks.cpc import moments
from mclass.training.tasks.self_supervised import SelfSupervised, output_shape

REGRESSORS = ("logmel", "mfcc", "chroma", "energy")
DISCRIMINATORS = ("local", "global")
SILENT = 1e-8  # power that is counted as silence: 80 dB below full scale


class PASE(SelfSupervised):
    """A problem-agnostic encoder, trained by several workers at once (Pascual et al. 2019).

    Each worker is a network of one hidden layer on the model's moments. *Regressors* tell a known description of
    the sound at that moment: log-mel spectrum, MFCCs, chroma, energy. *Discriminators* tell whether two things
    belong together: two moments of one crop against a moment of another clip (``"local"``), or the means of two
    crops of one clip against that of another clip (``"global"``). The sum of all losses is minimised; the workers
    are not kept.

    Parameters
    ----------
    model : WaveformModel
    workers : sequence of str
        Of ``"logmel"``, ``"mfcc"``, ``"chroma"``, ``"energy"``, ``"local"``, ``"global"``.
    hidden : int
        Width of each worker's layer. Small workers leave the work to the encoder.
    augment : Transform, optional
        What is done to the crops before the model hears them. The regressors still ask for the description of the
        clean crop (as Ravanelli et al. 2020, PASE+).
    **self_supervised
        `optimizer`, …: as for `mclass.training.Task`.

    Raises
    ------
    ValueError
        If a worker is unknown or there is none.
    ModelError
        If the ``"local"`` worker is to compare moments of a model that has one per chunk; in training, if the
        discriminators get a single clip.

    Notes
    -----
    Losses are standardised, so that none drowns the others: 1 is what a worker gets that knows nothing. A
    regressor's target is scaled to mean 0 and variance 1, a discriminator's cross-entropy divided by ln 2. Logs
    ``train_loss``, ``valid_loss`` (their sums), each worker's part (``train_mfcc``, ``valid_mfcc``), and
    ``valid_accuracy``, the discriminators' share of right answers, if there are any.

    Processes of a distributed run put their moments and targets together: means, variances and other clips are
    those of the whole batch.

    Examples
    --------
    >>> from mclass import models
    >>> task = PASE(models.create("cnn_1d"), workers=("logmel", "energy", "local"))
    >>> {name: tuple(loss.shape) for name, loss in task.worker_losses(torch.randn(4, 2, 48000)).items()}
    {'logmel': (), 'energy': (), 'local': ()}
    """

    def __init__(
        self,
        model: WaveformModel,
        *,
        workers: Sequence[str] = REGRESSORS + DISCRIMINATORS,
        hidden: int = 64,
        **self_supervised,
    ):
        known = REGRESSORS + DISCRIMINATORS
        for name in workers:
            if name not in known:
                raise ValueError(unknown_name("worker", name, known))
        if not workers or len(set(workers)) < len(workers):
            raise ValueError(f"workers must name at least one, and each once, got {list(workers)}")
        super().__init__(model, **self_supervised)
        *channels, time = output_shape(model, "features")
        if "local" in workers and time < 2:
            raise ModelError(
                f"{type(model).__name__} has 1 moment in a chunk of {model.num_samples} samples, and the worker "
                '"local" compares two. Use a model with less pooling, a longer chunk (model.num_samples), or '
                "leave the worker out"
            )
        self.workers, self.hidden = tuple(workers), hidden
        self.width = int(torch.tensor(channels).prod())
        self.regressors = [name for name in self.workers if name in REGRESSORS]
        self.discriminators = [name for name in self.workers if name in DISCRIMINATORS]
        self.targets = nn.ModuleDict({name: description(name, model.sample_rate) for name in self.regressors})
        silence = torch.zeros(1, model.num_samples)
        sizes = {name: target(silence).shape[1] for name, target in self.targets.items()}
        # They only remember the targets' means and variances: the average over all batches, right from the first.
        scales = {
            name: nn.BatchNorm1d(size, eps=1e-8, momentum=None, affine=False) for name, size in sizes.items()
        }
        self.scales = nn.ModuleDict(scales)
        heads = {name: _head(self.width, hidden, size) for name, size in sizes.items()}
        heads |= {name: _head(2 * self.width, hidden, 1) for name in self.discriminators}
        self.heads = nn.ModuleDict(heads)

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        return super().options | {"workers": list(self.workers), "hidden": self.hidden}

    def validation_set(self, valid: MusicDataset, pad: bool) -> Dataset:
        """Crops that are the same in every epoch, as they are: regressors are asked for the clean sound."""
        return Views(valid, self.model.num_samples, self.num_views, self.same_crop, 0, pad)

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Sum of the workers' standardised losses; each is logged."""
        views = batch[0]
        if self.discriminators and len(views) * distributed.place()[1] < 2:
            raise ModelError("discriminators tell clips from others: give batches of at least 2 clips")
        found = self.worker_losses(views)
        for name, loss in found.items():
            self.log(f"train_{name}", loss, on_step=False, on_epoch=True, batch_size=len(views), sync_dist=True)
        return torch.stack(list(found.values())).sum()

    def worker_losses(self, views: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each worker's standardised loss on views of shape ``(batch, 2, samples)``."""
        rows, z = self.regressions(views, self.altered(views))
        found = dict(zip(self.regressors, rows.mean(0), strict=True))
        if self.discriminators:
            # Two different moments each, drawn for every clip.
            order = torch.rand(z.shape[0], z.shape[2], device=z.device).argsort(1)
            for name, (anchor, other) in self.couples(z, order).items():
                found[name] = self.discriminate(name, anchor, other)[0]
        return found

    def regressions(self, views: torch.Tensor, heard: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The regressors' losses of each clip, ``(batch, regressors)``; moments ``(batch, 2, time, width)``.

        In training, of the clips of all processes; validation clips are put together later.
        """
        joined = distributed.joined if self.training else lambda rows: rows
        z = joined(moments(self.model, heard.flatten(0, 1)))  # (2 batch, time, width)
        losses = []
        for name in self.regressors:
            with torch.no_grad():
                target = self.targets[name](views.flatten(0, 1))
                # Frames into the model's fewer moments.
                target = self.scales[name](joined(F.adaptive_avg_pool1d(target, z.shape[1])))
            told = self.heads[name](z).transpose(1, 2)
            losses.append((told - target).square().mean((1, 2)).view(-1, 2).mean(1))
        rows = torch.stack(losses, 1) if losses else z.new_zeros(len(z) // 2, 0)
        return rows, z.unflatten(0, (-1, 2))

    def couples(self, z: torch.Tensor, order: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """What each discriminator is to recognise as belonging together, shape ``(batch, width)`` each."""
        found = {}
        for name in self.discriminators:
            if name == "local":
                clips = torch.arange(len(z), device=z.device)
                found[name] = z[clips, 0, order[:, 0]], z[clips, 0, order[:, 1]]
            else:
                found[name] = z[:, 0].mean(1), z[:, 1].mean(1)
        return found

    def discriminate(
        self, name: str, anchor: torch.Tensor, other: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss (in coin flips) and accuracy of telling each row's own other from the next row's."""
        head = self.heads[name]
        own = head(torch.cat([anchor, other], 1))
        strange = head(torch.cat([anchor, other.roll(1, 0)], 1))
        loss = (F.softplus(-own) + F.softplus(strange)).mean() / 2 / math.log(2)
        right = torch.cat([own > 0, strange < 0]).float().mean()
        return loss, right

    def clip_outputs(self, views: torch.Tensor) -> torch.Tensor:
        """Map views to one row per clip: the regressors' losses, then the discriminators' couples."""
        rows, z = self.regressions(views, views)
        last = torch.tensor([[0, z.shape[2] - 1]], device=z.device).expand(len(z), 2)  # first and last moment
        couples = [part for pair in self.couples(z, last).values() for part in pair]
        return torch.cat([rows, *couples], 1).float()

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Each worker's loss over all clips, their sum, and the discriminators' accuracy."""
        sizes = [len(self.regressors)] + [self.width] * 2 * len(self.discriminators)
        rows, *couples = outputs.split(sizes, 1)
        found = dict(zip(self.regressors, rows.mean(0), strict=True))
        right = []
        for number, name in enumerate(self.discriminators):
            found[name], share = self.discriminate(name, *couples[2 * number : 2 * number + 2])
            right.append(share)
        scores = {"valid_loss": sum(found.values()), **{f"valid_{name}": loss for name, loss in found.items()}}
        return scores | ({"valid_accuracy": sum(right) / len(right)} if right else {})


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def description(name: str, sample_rate: int) -> nn.Module:
    """What a regressor is to tell: a layer from waveforms to ``(batch, numbers, frames)``."""
    makers = {
        "logmel": lambda: _Flat(LogMel(sample_rate, n_mels=40, f_max=None, top_db=80.0)),
        "mfcc": lambda: _Flat(MFCC(sample_rate)),
        "chroma": lambda: Chroma(sample_rate),
        "energy": Energy,
    }
    return makers[name]()


class _Flat(nn.Sequential):
    """A front end without its dimension for channels."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return super().forward(waveform)[:, 0]


class Energy(nn.Module):
    """Level of the waveform in decibels, every `hop_length` samples.

    Shapes: ``(batch, samples)`` to ``(batch, 1, samples // hop_length)``.

    Examples
    --------
    >>> Energy(2)(torch.tensor([[1.0, -1.0, 0.1, 0.1]]))
    tensor([[[  0., -20.]]])
    """

    def __init__(self, hop_length: int = 256):
        super().__init__()
        self.hop_length = hop_length

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        power = F.avg_pool1d(waveform[:, None].square(), self.hop_length)
        return 10 * power.clamp(min=SILENT).log10()


class Chroma(nn.Module):
    """How the power is spread over the twelve pitch classes, from C to B: the harmony, whatever the octave.

    Shapes: ``(batch, samples)`` to ``(batch, 12, frames)``; each frame's entries sum to 1, or 0 in silence.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    f_min, f_max : float
        Range that is counted, in Hz: below, bins are wider than semitones; above, it is mostly overtones.

    Examples
    --------
    >>> a4 = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
    >>> Chroma(16000)(a4[None]).mean(2).argmax().item()  # 9 semitones above C
    9
    """

    def __init__(self, sample_rate: int, f_min: float = 110.0, f_max: float = 2000.0):
        super().__init__()
        self.stft = STFT(n_fft=4096, hop_length=1024, scale="power")
        frequencies = np.arange(1 + self.stft.n_fft // 2) * sample_rate / self.stft.n_fft
        counted = np.flatnonzero((frequencies >= f_min) & (frequencies <= f_max))
        pitch_classes = np.round(69 + 12 * np.log2(frequencies[counted] / 440)).astype(int) % 12
        bins = torch.zeros(12, len(frequencies))
        bins[pitch_classes, counted] = 1.0
        self.register_buffer("bins", bins, persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        chroma = self.bins @ self.stft(waveform)[:, 0]
        return chroma / chroma.sum(1, keepdim=True).clamp(min=SILENT)
