"""Contrastive learning: two views of a clip find each other among the views of other clips.

* `Contrastive`: the others are in the batch (SimCLR; for music, CLMR);
* `MoCo`: the others are in a queue of what earlier batches looked like to a slowly following copy of the model.

Taught in: 07_clmr.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from mclass import augmentations, losses
from mclass.augmentations import Transform
from mclass.datasets import MusicDataset
from mclass.errors import DatasetError
from mclass.losses import momentum_update
from mclass.models import WaveformModel
from mclass.training.tasks.self_supervised import SelfSupervised, compared, output_shape


class Contrastive(SelfSupervised):
    """SimCLR (Chen et al. 2020), with CLMR's augmentations for music (Spijkervet & Burgoyne 2021).

    Two random crops of a clip are augmented, each in its own way. The model's embeddings go through a small
    network, the *projector*, and NT-Xent asks that the two views of a clip be nearest to each other in what comes
    out. What is kept is the model without the projector.

    Parameters
    ----------
    model : WaveformModel
        On waveforms (``"clmr_sample_cnn"``) or spectrograms. `embed` is trained, `head` is not.
    augment : Transform, "clmr" or None
        What makes two views differ; `mclass.augmentations.clmr` unless given. ``None``: nothing but their place.
    projection_dim : int or None
        Outputs of the projector, linear → ReLU → linear; without projector, the loss sees the embedding itself.
    temperature : float
        See `mclass.losses.NTXentLoss`.
    same_crop : bool
        Both views from one place, as for images of which crops do not wander; only `augment` tells them apart.
    **optimization
        As for `mclass.training.Task`.

    Raises
    ------
    ValueError
        If an option is outside its range, or nothing would tell the two views apart. In training, if a batch has a
        single pair.

    Notes
    -----
    Logs ``train_loss``, ``valid_loss`` and ``valid_accuracy``: the share of views whose nearest other view, among
    those of up to 128 validation clips, is their partner. Both are of fixed crops and augmentations.

    Over several processes, views are compared across all of them: `batch_size` pairs in all.

    Examples
    --------
    >>> from mclass import models
    >>> task = Contrastive(models.create("cnn_1d"), temperature=0.1)
    >>> views, labels = torch.randn(4, 2, 48000), torch.zeros(4, 50)
    >>> task.batch_loss((views, labels)).shape
    torch.Size([])
    """

    def __init__(
        self,
        model: WaveformModel,
        *,
        augment: Transform | str | None = "clmr",
        projection_dim: int | None = 128,
        temperature: float = 0.5,
        same_crop: bool = False,
        **optimization,
    ):
        if isinstance(augment, str):
            if augment != "clmr":
                raise ValueError(f'augment is a transform, "clmr" or None, got {augment!r}')
            augment = augmentations.clmr(model.sample_rate)
        if augment is None and same_crop:
            raise ValueError("the same crop twice without augmentation: the two views would be equal")
        super().__init__(model, augment=augment, same_crop=same_crop, **optimization)
        self.projection_dim = projection_dim
        (width,) = output_shape(model)
        self.projector = projector(width, projection_dim)
        self.loss = losses.NTXentLoss(temperature)
        self.loss.check_values = False  # `Task` looks at the loss, and keeps a batch that spoilt it
        self.judge = losses.NTXentLoss(temperature, gather=False)

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        own = {"projection_dim": self.projection_dim, "temperature": self.loss.temperature}
        return super().options | own

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse clips of which no two different views can be made, besides what `SelfSupervised` refuses."""
        super().check_data(train, valid)
        if self.augment is None:
            longest = max(train.num_samples(i) for i in range(len(train)))
            if longest <= self.model.num_samples:
                raise DatasetError(
                    f"no clip is longer than a crop ({self.model.num_samples} samples), and there is no "
                    "augmentation: the two views of a clip would be equal. Give augment=, or use longer clips"
                )

    def project(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to what is compared, shape ``(batch, projection_dim)``."""
        return self.projector(self.model.embed(waveform))

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """NT-Xent of two altered views of each clip."""
        views, _ = batch
        z = self.project(self.altered(views).flatten(0, 1)).unflatten(0, (len(views), 2))
        return self.loss(z[:, 0], z[:, 1])

    def clip_outputs(self, views: torch.Tensor) -> torch.Tensor:
        """Map views, shape ``(n, 2, samples)``, to projections, shape ``(n, 2, projection_dim)``."""
        return self.project(views.flatten(0, 1)).unflatten(0, (len(views), 2)).float()

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """NT-Xent, and how many views find their partner, of projections ``(clips, 2, projection_dim)``."""
        scores = []
        for z in compared(outputs):
            scores.append((len(z), self.judge(z[:, 0], z[:, 1]), partners_found(z)))
        count = sum(n for n, _, _ in scores)
        return {
            "valid_loss": sum(n * loss for n, loss, _ in scores) / count,
            "valid_accuracy": sum(n * found for n, _, found in scores) / count,
        }


class MoCo(Contrastive):
    """Momentum contrast: the views of other clips come from a queue, so that batches may be small.

    One view is embedded by the model (the *query*), the other by a copy that follows it slowly (the *key*). Keys
    of past batches wait in a queue and serve as negatives; since the copy changes slowly, old keys are still
    comparable (He et al. 2020).

    Parameters
    ----------
    model : WaveformModel
    queue_size : int
        Keys to be told apart from. The queue must be shorter than an epoch: else it holds keys of the very clip
        that looks for its partner, and pushes them away.
    momentum_of_keys : float
        Share of the copy's weights that stays at each step. Published: 0.999, for runs of a million steps.
    temperature : float
    **contrastive
        As for `Contrastive`.

    Notes
    -----
    The copy is in eval mode and uses the running statistics of the model's batch normalisation. In training mode a
    query could find its key by what the statistics of their common batch betray; the original shuffles examples
    between GPUs against that, Cai et al. (2021, *Exponential moving average normalization for self-supervised and
    semi-supervised learning*) average statistics as here.

    All processes of a run put the same keys into their queue. The queue and the copy are part of ``last.ckpt``.

    Examples
    --------
    >>> from mclass import models
    >>> task = MoCo(models.create("cnn_1d"), queue_size=64)
    >>> loss = task.batch_loss((torch.randn(4, 2, 48000), torch.zeros(4, 50)))
    >>> task.loss.queue.shape, int(task.loss.oldest)
    (torch.Size([64, 128]), 4)
    """

    def __init__(
        self,
        model: WaveformModel,
        *,
        queue_size: int = 512,
        momentum_of_keys: float = 0.99,
        temperature: float = 0.1,
        **contrastive,
    ):
        if not 0 <= momentum_of_keys < 1:
            raise ValueError(f"momentum_of_keys must be in [0, 1), got {momentum_of_keys}")
        super().__init__(model, temperature=temperature, **contrastive)
        (width,) = output_shape(model)
        self.loss = losses.MoCoLoss(self.projection_dim or width, queue_size, temperature)
        self.loss.check_values = False
        self.momentum_of_keys = momentum_of_keys
        self.key_model = copy.deepcopy(model).requires_grad_(False).eval()
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False).eval()

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        own = {"queue_size": len(self.loss.queue), "momentum_of_keys": self.momentum_of_keys}
        return super().options | own

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse fewer clips than the queue has places, besides what `Contrastive` refuses."""
        super().check_data(train, valid)
        if len(self.loss.queue) >= len(train):
            raise DatasetError(
                f"the queue has {len(self.loss.queue)} places and there are {len(train)} training clips: a clip "
                "would be pushed away from its own views of the last epoch. Make queue_size smaller than that"
            )

    def train(self, mode: bool = True) -> MoCo:
        """Switch the model's mode; the copy that makes the keys stays in eval mode."""
        super().train(mode)
        self.key_model.eval()
        self.key_projector.eval()
        return self

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Cross-entropy of finding each query's key among the queue's."""
        views = self.altered(batch[0])
        query = self.project(views[:, 0])
        with torch.no_grad():
            key = self.key_projector(self.key_model.embed(views[:, 1]))
        return self.loss(query, key)

    def on_train_batch_end(self, *_) -> None:
        """Move the copy towards the model, after each of its steps."""
        if self.stepped:
            momentum_update(self.key_model, self.model, self.momentum_of_keys)
            momentum_update(self.key_projector, self.projector, self.momentum_of_keys)


def projector(width: int, dim: int | None) -> nn.Module:
    """SimCLR's projector of embeddings of `width` numbers: one hidden layer of their width; nothing for ``None``.

    Raises
    ------
    ValueError
        If `dim` is not a positive whole number.

    Examples
    --------
    >>> projector(512, 128)(torch.zeros(2, 512)).shape, projector(512, None)
    (torch.Size([2, 128]), Identity())
    """
    if dim is None:
        return nn.Identity()
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise ValueError(f"projection_dim must be a whole number of at least 1, or None, got {dim!r}")
    # The paper's equation has no biases. With them, an embedding of zeros (silence, say) still has a direction.
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))


def partners_found(z: torch.Tensor) -> torch.Tensor:
    """Share of views whose most similar other view is their partner.

    Parameters
    ----------
    z : torch.Tensor, shape (clips, 2, dim)

    Examples
    --------
    >>> angles = torch.tensor([[0.0, 9.0], [20.0, 90.0], [200.0, 210.0]]).deg2rad()
    >>> partners_found(torch.stack([angles.cos(), angles.sin()], dim=-1))  # all but 20°, which is nearest to 9°
    tensor(0.8333)
    """
    views = nn.functional.normalize(z.transpose(0, 1).flatten(0, 1), dim=1)  # all first ones, then all second
    similarity = (views @ views.T).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(views), device=z.device).roll(len(z))
    return (similarity.argmax(1) == partner).float().mean()
