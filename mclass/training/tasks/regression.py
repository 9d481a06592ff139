"""Learning to predict numbers: latent factors of listeners' plays, or valence and arousal.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mclass.augmentations import Mixup
from mclass.datasets import MusicDataset
from mclass.errors import DatasetError, ModelError
from mclass.models import WaveformModel
from mclass.training.tasks.supervised import Supervised
from mclass.training.tasks.task import describe_unknown


class Regression(Supervised):
    """Mean squared error between the model's outputs and the labels, which are numbers.

    Parameters
    ----------
    model : WaveformModel
        With an output for each number.
    **options
        `augment` and all options of `mclass.training.Task`, as for `Tagging`.

    Raises
    ------
    TypeError
        If an option makes no sense here, as `multilabel` or `criterion`.

    Notes
    -----
    Logs ``train_loss``, ``valid_loss`` and ``valid_r2``: the share of the clips' variance that is explained,
    averaged over the outputs that vary among them (see `varying`); predicting the mean gives 0.

    Examples
    --------
    >>> from mclass import models
    >>> task = Regression(models.create("cnn_1d", num_tags=2))
    >>> task.batch_loss((torch.zeros(3, 48000), torch.randn(3, 2))).shape
    torch.Size([])
    """

    monitor = "valid_r2"

    def __init__(self, model: WaveformModel, **options):
        senseless = {"multilabel", "criterion", "label_smoothing"} & options.keys()
        if senseless:
            raise TypeError(f"Regression predicts numbers and takes no {', '.join(sorted(senseless))}")
        super().__init__(model, **options)
        self.multilabel = model.multilabel = True  # each output stands for itself, as each of several tags does
        self.spread = torch.zeros(model.num_tags)  # of the labels in training
        if any(isinstance(one, Mixup) for one in self.augment):
            raise TypeError("Regression takes no Mixup: half of two feelings is not a feeling")

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues; runs have always kept the two."""
        return super().options | {"multilabel": self.multilabel, "label_smoothing": 0.0}

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse labels that do not fit the model."""
        super().check_data(train, valid)
        for split in (train, valid):
            if split.labels.shape[1] != self.model.num_tags:
                raise ModelError(
                    f"the model has {self.model.num_tags} outputs and {split.name!r} {split.labels.shape[1]} "
                    f"numbers per clip; create it with num_tags={split.labels.shape[1]}"
                )
        if unknown := describe_unknown(train, valid):
            raise DatasetError(
                f"a regression needs all numbers of each clip, but {unknown}. Leave these clips out of the "
                "table of labels (in Python: dataset.subset(dataset.known.all(1))), or fill in what is missing"
            )
        if len(valid) < 2 or not varying(torch.from_numpy(valid.labels), spread(train)).any():
            raise DatasetError(
                f"the labels of the {len(valid)} validation clips are all alike: nothing to explain"
            )

    def prepare(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Know by how much the numbers vary in training."""
        super().prepare(train, valid)
        self.spread = spread(train)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean squared error, both ``(batch, num_tags)``."""
        return F.mse_loss(logits, labels)

    def clip_outputs(self, chunks: torch.Tensor) -> torch.Tensor:
        """Predictions for chunks: ``(n, samples)`` to ``(n, num_tags)``."""
        return self.judged(chunks)

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Mean squared error and explained variance of clips, both ``(clips, num_tags)``."""
        error, which = (outputs - labels).square().mean(0), varying(labels, self.spread.to(labels.device))
        explained = 1 - error[which] / labels[:, which].var(0, unbiased=False)
        return {"valid_loss": error.mean(), "valid_r2": explained.mean()}


def spread(dataset: MusicDataset) -> torch.Tensor:
    """Standard deviation of each number among the clips of a data set, shape ``(n,)``."""
    return torch.from_numpy(dataset.labels).float().std(0, unbiased=False)


def varying(labels: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Which columns vary by more than a thousandth of what they vary by in training.

    Of a few clips, a number can be the same but for rounding; there is nothing to explain in it.

    Parameters
    ----------
    labels : torch.Tensor, shape (clips, n)
    spread : torch.Tensor, shape (n,)
        Standard deviations in training.

    Examples
    --------
    >>> varying(torch.tensor([[1.0, 0.1, 1990.0], [2.0, 0.1 + 1e-7, 1991.0]]), torch.tensor([1.0, 1.0, 9.0]))
    tensor([ True, False,  True])
    """
    return labels.float().std(0, unbiased=False) > 1e-3 * spread
