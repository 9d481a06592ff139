"""How an embedding is judged: by its neighbours, and by triplets that stay the same.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from mclass import losses, metrics, mining
from mclass.datasets import MusicDataset
from mclass.errors import DatasetError
from mclass.training.tasks.metric.comparison import Comparison

NEIGHBOURS = (1, 2, 4, 8)


class Judge:
    """Recall at K among validation clips, and the triplet loss of ten triplets for each of them.

    Parameters
    ----------
    comparison : Comparison
    among : {"clips", "tracks"}
        Who may be a neighbour: all other clips, or one clip of each track.
    """

    def __init__(self, comparison: Comparison, among: str):
        self.comparison, self.among = comparison, among
        self._named = False  # queries without tags are named once

    def check_data(self, valid: MusicDataset) -> None:
        """Refuse clips without triplets."""
        try:
            self._draw(valid)
        except ValueError as error:
            raise DatasetError(f"the {len(valid)} validation clips cannot be judged: {error}") from None

    def prepare(self, valid: MusicDataset) -> None:
        """Know the clips' tracks, and draw the triplets."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mining.MiningWarning)  # `check_data` has warned
            self._triplets = self._draw(valid)
        self._tracks = valid.track_ids

    @staticmethod
    def _draw(valid: MusicDataset) -> mining.Triplets:
        return mining.tag_triplets(valid.labels, 10 * len(valid), tracks=valid.track_ids, tags=valid.tags)

    def recall(self, embeddings: torch.Tensor, labels: torch.Tensor) -> dict[int, float]:
        """Recall at each K for which there are enough neighbours; by cosine, as `mclass search` ranks."""
        z, truth = embeddings.cpu().numpy(), labels.cpu().numpy()
        candidates = len(np.unique(self._tracks)) if self.among == "tracks" else len(truth)
        ks = [k for k in NEIGHBOURS if k < candidates]
        with warnings.catch_warnings():
            if self._named:
                warnings.simplefilter("ignore", metrics.UndefinedQueriesWarning)
            if self.among == "tracks":
                found = metrics.recall_among_tracks(z, truth, self._tracks, ks)
            else:
                found = metrics.multilabel_recall_at_k(z, truth, ks)
        self._named = True
        return found

    def loss(self, z: torch.Tensor) -> torch.Tensor:
        """The triplet loss of embeddings ``(clips, dim)``; each counts in the block of its tag's notion."""
        notion = self.comparison.notions.of(self._triplets.tag).to(z.device)
        parts = [z[rows.to(z.device)] for rows in self._triplets]
        measure = losses.TripletLoss(self.comparison.margin, self.comparison.distance)
        return measure(*self.comparison.notions.cut(parts, notion))
