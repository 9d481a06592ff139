"""Contrastive predictive coding: what was heard so far tells what comes next from what comes elsewhere.

Taught in: 07_clmr.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass import losses
from mclass.errors import ModelError, unknown_name
from mclass.models import WaveformModel
from mclass.training.engine import distributed
from mclass.training.tasks.self_supervised import SelfSupervised, compared, output_shape

NEGATIVES = ("all", "clips")


class CPC(SelfSupervised):
    """Predict the features of the next moments from those before them (van den Oord et al. 2018).

    The model's `features` are a sequence of moments ``z_1, z_2, …``. A recurrent network (GRU) sums up what was
    heard until ``t`` in a context ``c_t``; for each step ``k`` a linear map of the context is to find ``z_{t+k}``
    among other moments (InfoNCE). The model is kept; the recurrent network and the maps are not.

    Parameters
    ----------
    model : WaveformModel
        Its `features` must have enough moments in a chunk, see below.
    steps : int
        How many moments ahead are predicted, each by a map of its own.
    gap : int
        Moments to skip before the first that is predicted. Neighbouring moments overlap where a model's receptive
        field is wider than their distance: what they have in common need not be predicted.
    context_dim : int
        Width of the recurrent network.
    negatives : {"all", "clips"}
        Find the moment among all moments of all clips of the batch, its own clip's others included, or among the
        moments at the same place of other clips. In a distributed run, of all processes' clips.
    augment : Transform, optional
        What is done to a clip before the model hears it; the original CPC does nothing.
    **self_supervised
        `optimizer`, …: as for `mclass.training.Task`.

    Raises
    ------
    ValueError
        If an option is outside its range.
    ModelError
        If the model has too few moments.

    Notes
    -----
    Logs ``train_loss``, ``valid_loss`` and ``valid_accuracy``: the share of predictions whose own moment scores
    highest among those of up to 128 validation clips.

    A model with little pooling, or a longer chunk (``model.num_samples = 96_000``), has more moments.

    Examples
    --------
    >>> from mclass import models
    >>> task = CPC(models.create("cnn_1d"), steps=3)  # 8 moments in 3 s
    >>> task.batch_loss((torch.randn(4, 1, 48000), torch.zeros(4, 50))).shape
    torch.Size([])
    >>> CPC(models.create("cnn_2d"))
    Traceback (most recent call last):
    mclass.errors.ModelError: CNN2d has 1 moment in a chunk of 48000 samples (3.00 s); ...
    """

    num_views = 1

    def __init__(
        self,
        model: WaveformModel,
        *,
        steps: int = 3,
        gap: int = 0,
        context_dim: int = 128,
        negatives: str = "all",
        **self_supervised,
    ):
        for name, value, least in (("steps", steps, 1), ("gap", gap, 0), ("context_dim", context_dim, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        if negatives not in NEGATIVES:
            raise ValueError(unknown_name("kind of negatives", negatives, NEGATIVES))
        super().__init__(model, **self_supervised)
        self.steps, self.gap, self.context_dim, self.negatives = steps, gap, context_dim, negatives
        *channels, moments = output_shape(model, "features")
        needed = 1 + gap + steps
        if moments < needed:
            seconds = model.num_samples / model.sample_rate
            raise ModelError(
                f"{type(model).__name__} has {moments} moment{'s' * (moments != 1)} in a chunk of "
                f"{model.num_samples} samples ({seconds:.2f} s); to predict {steps} steps after a gap of {gap} it "
                f"needs at least {needed}. Use a model with less pooling, a longer chunk (model.num_samples), or "
                "fewer steps"
            )
        width = int(torch.tensor(channels).prod())
        self.context = nn.GRU(width, context_dim, batch_first=True)
        self.predictors = nn.ModuleList(nn.Linear(context_dim, width, bias=False) for _ in range(steps))
        self.loss = losses.InfoNCELoss()
        self.loss.check_values = False  # `Task` looks at the loss, and keeps a batch that spoilt it

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        own = ("steps", "gap", "context_dim", "negatives")
        return super().options | {name: getattr(self, name) for name in own}

    def moments(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to features ``(batch, time, channels)``."""
        return moments(self.model, waveform)

    def contrasts(self, z: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What each step predicts and what it should have, of moments ``(batch, time, channels)``.

        Returns
        -------
        list of (predicted, actual)
            For each step, in the shapes that `mclass.losses.InfoNCELoss` compares: ``(batch · places, channels)``
            if all moments are negatives, ``(batch, places, channels)`` if other clips are.
        """
        context, _ = self.context(z)
        pairs = []
        for step, predict in enumerate(self.predictors, self.gap + 1):
            predicted, actual = predict(context[:, :-step]), z[:, step:]
            if self.negatives == "all":
                predicted, actual = predicted.flatten(0, 1), actual.flatten(0, 1)
            pairs.append((predicted, actual))
        return pairs

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Mean InfoNCE over the steps."""
        z = distributed.joined(self.moments(self.altered(batch[0])[:, 0]))
        return torch.stack([self.loss(*pair) for pair in self.contrasts(z)]).mean()

    def clip_outputs(self, views: torch.Tensor) -> torch.Tensor:
        """Map crops, shape ``(n, 1, samples)``, to their moments, shape ``(n, time, channels)``."""
        return self.moments(views[:, 0]).float()

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """InfoNCE and accuracy, over all steps, of moments ``(clips, time, channels)``."""
        loss = found = 0.0
        for z in compared(outputs):
            for pair in self.contrasts(z):
                share = len(z) / len(outputs) / self.steps
                loss += share * self.loss(*pair)
                found += share * self.loss.statistics["accuracy"]
        return {"valid_loss": loss, "valid_accuracy": found}


def moments(model: WaveformModel, waveform: torch.Tensor) -> torch.Tensor:
    """A model's `features` as a sequence; frequency, where there is one, is a part of each moment.

    Parameters
    ----------
    model : WaveformModel
    waveform : torch.Tensor, shape (batch, samples)

    Returns
    -------
    torch.Tensor, shape (batch, time, channels)

    Examples
    --------
    >>> from mclass import models
    >>> moments(models.create("cnn_1d"), torch.zeros(2, 48000)).shape
    torch.Size([2, 8, 32])
    """
    return model.features(waveform).flatten(1, -2).transpose(1, 2)
