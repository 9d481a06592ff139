"""Metric learning: clips that are alike come close to each other, others go away.

What is learned is `model.embed`; the last layer, `head`, is left alone. What is alike is said by tags, tracks or
artists, and by how triplets are chosen.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from mclass import losses, mining, vocabulary
from mclass.augmentations import Transform
from mclass.datasets import MusicDataset
from mclass.datasets.triplets import SAMPLINGS as DRAWN
from mclass.errors import DatasetError, ModelError
from mclass.losses.base import unit
from mclass.models import WaveformModel
from mclass.training.engine import distributed
from mclass.training.tasks.metric.comparison import Comparison
from mclass.training.tasks.metric.drawn import Drawn, Errors
from mclass.training.tasks.metric.judge import Judge
from mclass.training.tasks.metric.labelled import Labelled
from mclass.training.tasks.metric.mined import Mined
from mclass.training.tasks.metric.strategy import Strategy
from mclass.training.tasks.metric_options import LABEL_LOSSES, check_options, described
from mclass.training.tasks.self_supervised import output_shape
from mclass.training.tasks.task import Task, describe_unknown


class MetricLearning(Task):
    """Learn an embedding in which nearest neighbours share tags.

    Parameters
    ----------
    model : WaveformModel
        Such as ``"linear_embedding"``, ``"cnn_embedding"``, ``"musicnn_embedding"``; any model has `embed`.
    loss : mclass.losses.Loss, optional
        One of triplets (`TripletLoss`, the default, `DisentangledTripletLoss`, `TrackRegularizedLoss`), of pairs
        (`ContrastiveLoss`; `NTXentLoss`, for which the other pairs of the batch are the negatives), or one that
        finds its own pairs in a batch (`SupConLoss`, `MultiSimilarityLoss`, `ProxyAnchorLoss`).
    sampling : str, optional
        Triplets drawn before the model is asked (see `mclass.datasets.triplets.TripletCrops`):

        * ``"tags"``: anchor and positive share a random tag; the default for losses of triplets and pairs;
        * ``"track"``, ``"artist"``: they are of one track, or artist;
        * ``"errors"``: what a tagger confuses, see `scores`.

        Triplets found in a batch, with the distances that the model gives now (see `mclass.mining.mine`):

        * ``"easy"``, ``"semi-hard"``, ``"hard"``: how near the negative is.

        No triplets:

        * ``"balanced"``: the loss sees the batch and its labels; the default, and the only choice, for losses that
          find their own pairs.

        For the last four, batches are made of a few tags and `clips_per_tag` clips of each (see
        `mclass.mining.TagBalancedBatches`).
    normalise : bool
        Scale embeddings to length 1 before the loss compares them. Cosines stay what they are; Euclidean distances
        then lie between 0 and 2.
    num_triplets : int, optional
        Drawn in an epoch; as many as clips if not given.
    clips_per_tag : int
        In batches that are mined. Must divide the batch size.
    scores, threshold
        For ``"errors"``: a trained tagger's probabilities for the training clips, and what makes them a yes.
    notions : mapping of str to sequence of str, optional
        For the disentangled losses: the notions of similarity, in the order of their blocks, and the tags of each.
        `mclass.tags.NOTIONS` unless given. A triplet's tag decides its block.
    augment : Transform, optional
        What happens to each crop.
    among : {"clips", "tracks"}
        Who may be a neighbour in validation: all other clips, or one clip of each track (see
        `mclass.metrics.recall_among_tracks`). Where tracks have several clips, the first is already high for a
        network that recognises recordings.
    **optimization
        `optimizer`, `learning_rate`, `schedule`, …: see `mclass.training.Task`.

    Raises
    ------
    ValueError
        If an option is unknown, or options do not go together.

    Warns
    -----
    mclass.mining.MiningWarning
        Names tags that no triplet is made of; in training, says that a batch has none of the wanted kind.
    mclass.losses.EmptyLossWarning
        In training: nothing in a batch can be compared.

    Notes
    -----
    Judged on clips, whose embedding is the mean over chunks. Logs ``valid_recall@1``, ``@2``, ``@4`` and ``@8``
    (`mclass.metrics.multilabel_recall_at_k`, by cosine, as `mclass search` ranks) and ``valid_loss``, the triplet
    loss of validation triplets that stay the same. While training, of the triplets drawn (in mined batches: of all
    that the batch holds): ``hard``, ``semi_hard`` and ``easy``, their shares.

    Over several processes, mined and balanced batches are put together first: `batch_size` clips in all.

    Examples
    --------
    >>> from mclass import models
    >>> task = MetricLearning(models.create("cnn_embedding", dim=64), losses.TripletLoss(margin=0.2))
    >>> waveforms, tags = torch.randn(2, 3, 48000), torch.tensor([0, 7])
    >>> task.batch_loss((waveforms, tags)).shape
    torch.Size([])
    """

    monitor = "valid_recall@1"
    larger_is_better = True
    unused_parameters = True  # those of the last layer

    def __init__(
        self,
        model: WaveformModel,
        loss: losses.Loss | None = None,
        *,
        sampling: str | None = None,
        normalise: bool = False,
        num_triplets: int | None = None,
        clips_per_tag: int = 4,
        scores: np.ndarray | None = None,
        threshold: float | np.ndarray = 0.5,
        notions: Mapping[str, Sequence[str]] = vocabulary.NOTIONS,
        augment: Transform | None = None,
        among: str = "clips",
        **optimization,
    ):
        super().__init__(model, **optimization)
        self.loss = losses.TripletLoss() if loss is None else loss
        finds_pairs = isinstance(self.loss, LABEL_LOSSES)
        self.sampling = sampling or ("balanced" if finds_pairs else "tags")
        self.normalise, self.num_triplets, self.clips_per_tag = normalise, num_triplets, clips_per_tag
        self.scores, self.threshold, self.notions, self.augment = scores, threshold, dict(notions), augment
        self.among = among
        self.comparison = Comparison(self.loss, self.notions)
        check_options(self)
        self.strategy = self._strategy_of(self.sampling)
        self.judge = Judge(self.comparison, among)

    def _strategy_of(self, sampling: str) -> Strategy:
        if sampling == "errors":
            return Errors(self.comparison, self.num_triplets, self.scores, self.threshold)
        if sampling in DRAWN:
            return Drawn(self.comparison, sampling, self.num_triplets)
        if sampling == "balanced":
            return Labelled(self.comparison, self.clips_per_tag)
        return Mined(self.comparison, sampling, self.clips_per_tag)

    @property
    def triplet_loss(self) -> losses.Loss:
        """The part of the loss that compares triplets by tags."""
        return self.comparison.triplet_loss

    @property
    def num_notions(self) -> int:
        """Blocks of the embedding, each for a notion of similarity; 1 for a loss that knows no notions."""
        return self.comparison.notions.num

    @property
    def margin(self) -> float:
        """What makes a triplet easy; the loss's own, if it has one."""
        return self.comparison.margin

    @property
    def distance(self) -> str:
        """How triplets are compared; the loss's own distance, if it has one."""
        return self.comparison.distance

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        own = ("sampling", "normalise", "num_triplets", "clips_per_tag", "num_notions", "among")
        return super().options | {name: getattr(self, name) for name in own} | {
            "loss": described(self.loss),
            "threshold": np.asarray(self.threshold).tolist(),
            "augment": " ".join(str(self.augment).split()),
        }  # fmt: skip

    # ---- data

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse data without triplets, or with tags that belong to no block."""
        super().check_data(train, valid)
        if unknown := describe_unknown(train, valid):
            raise DatasetError(
                f"metric learning compares clips by the tags that they share and needs all labels, but {unknown}: "
                "such a tag is neither shared nor not shared. Leave these clips out of the table of labels (in "
                "Python: dataset.subset(dataset.known.all(1))), or learn the tags that are known (task Tagging)"
            )
        if list(train.tags) != list(valid.tags) or len(train.tags) != self.model.num_tags:
            raise DatasetError(
                f"training clips have {len(train.tags)} tags, validation clips {len(valid.tags)} and the model "
                f"{self.model.num_tags} outputs; all must be the same tags (create the model with num_tags=)"
            )
        (dim,) = output_shape(self.model)
        if dim % self.num_notions:
            raise ModelError(
                f"an embedding of {dim} dimensions has no {self.num_notions} equal blocks; create the model with "
                f"a dim that {self.num_notions} divides, or change the loss's num_notions"
            )
        self.comparison.notions.check_data(train)
        self.judge.check_data(valid)

    def prepare(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Know the notion of each tag, and the triplets that the model is judged by."""
        super().prepare(train, valid)
        self.model.multilabel = train.multilabel
        self.comparison.notions.prepare(train)
        self.judge.prepare(valid)

    def training_set(self, train: MusicDataset, seed: int, pad: bool) -> Dataset:
        """Triplets of crops, or crops with labels where the batch is searched for triplets or pairs."""
        return self.strategy.training_set(train, self.model.num_samples, seed, pad)

    def sampler(self, examples: Dataset, batch_size: int, seed: int, rank: int, processes: int) -> Sampler:
        """This process's part of each batch; batches of a few tags where they are searched."""
        return self.strategy.sampler(examples, batch_size, seed, rank, processes)

    # ---- learning

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """The loss of triplets of crops, or of what a batch of crops with labels holds."""
        waveforms, about = batch
        flat = waveforms.flatten(0, -2)
        if self.augment is not None:
            flat = distributed.transformed(self.augment, flat)
        z = self.model.embed(flat).view(*waveforms.shape[:-1], -1).float()
        z = unit(z) if self.normalise else z
        if not z.isfinite().all():
            return z.sum()  # not finite either: `Task` stops, and keeps the batch
        loss, counts = self.strategy.batch_loss(z, about)
        if counts is not None and self.attached:
            shares = {name.replace("-", "_"): share for name, share in counts.shares.items()}
            self.log_dict(shares, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        return loss

    def compare(self, z: Sequence[torch.Tensor], notion: torch.Tensor) -> torch.Tensor:
        """The loss of triplets, see `mclass.training.tasks.metric.comparison.Comparison.loss_of`."""
        return self.comparison.loss_of(z, notion)

    def difficulty(self, z: Sequence[torch.Tensor], notion: torch.Tensor) -> mining.Difficulty:
        """How many of the triplets are hard, semi-hard and easy, each compared in the block of its notion."""
        return self.comparison.difficulty(z, notion)

    def mined(
        self, z: torch.Tensor, labels: torch.Tensor
    ) -> tuple[mining.Triplets, torch.Tensor, mining.Difficulty]:
        """The triplets in a batch, see `mclass.training.tasks.metric.mined.Mined.triplets`."""
        return Mined(self.comparison, self.sampling, self.clips_per_tag).triplets(z, labels)

    # ---- judging

    def clip_outputs(self, chunks: torch.Tensor) -> torch.Tensor:
        """Embeddings of chunks: ``(n, samples)`` to ``(n, dim)``."""
        return self.judged.embed(chunks).float()

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Recall at K, and the loss of validation triplets; from clips' embeddings ``(clips, dim)`` and labels."""
        recall = self.judge.recall(outputs, labels)
        loss = self.judge.loss(unit(outputs) if self.normalise else outputs)
        return {"valid_loss": loss, **{f"valid_recall@{k}": value for k, value in recall.items()}}
