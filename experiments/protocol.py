"""How the experiments are run, so that they can show something: data, dose, scores, verdicts.

*Test set.* A thousand tracks by 250 artists that occur nowhere else, the middle clip of each, the same for every
experiment and seed, scored with the oracle: what was composed, and not what an annotator remembered to tick. A
validation set of 300 such tracks makes all choices; it has the annotators' labels, as a practitioner has them.

*Collections* nest: the first 60 tracks are among the first 240, these among the first 960, and so on, with three
clips each. Label budgets are whole tracks inside them. The unlabelled pool is 4,000 tracks by other artists.

*Dose* is the number of crops (or pairs) that a network has learned from. Every learner is shown over its dose,
with a schedule that ends where the run ends, so that stopping early is not stopping unfinished.

*Seeds* change first weights, order, crops, augmentation and which tracks have labels, never the test set.
Differences are paired by seed. Their intervals hold the spread over seeds (Student's) and that over the artists of
the test set (bootstrap, the same resamples for all runs).

*Verdicts* compare an interval with the smallest difference that would matter, fixed before the runs: 0.01 ROC-AUC,
0.02 PR-AUC, 0.02 recall.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

import mclass
from experiments import runs
from mclass import datasets, inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.datasets.etude.composer import TRACKS_PER_ARTIST
from mclass.datasets.unlabelled.budgets import label_budget
from mclass.metrics import UndefinedTagsWarning
from mclass.models import WaveformModel

VERSION = 2  # of Etude
SIZES = mclass.scale(smoke=(16, 32), cpu=(60, 240, 960, 4000), gpu=(60, 240, 960, 4000, 16_000))
POOL = mclass.scale(smoke=16, cpu=4000, gpu=16_000)
TEST = mclass.scale(smoke=24, cpu=1000, gpu=1000)
VALIDATION = mclass.scale(smoke=24, cpu=300, gpu=300)
FIRST_OF_TEST, FIRST_OF_VALIDATION = 20_000_000, 30_000_000  # the pool of unlabelled tracks begins at 10,000,000
LABELLED = mclass.scale(smoke=32, cpu=960, gpu=960)  # tracks of which a budget has labels
BUDGETS = mclass.scale(smoke=(0.25, 1.0), cpu=(0.01, 0.05, 0.24, 1.0), gpu=(0.01, 0.05, 0.24, 1.0))
NUM_TAGS = 50
BATCH = 32
LEARNING_RATE = 0.01  # of the 1D-CNN with labels; `experiments.data_curve` --choose
JUDGED = mclass.scale(smoke=1, cpu=10, gpu=10)  # times on the validation set in the course of a run, at most
RESAMPLES = 100
SMALLEST = {"roc_auc": 0.01, "pr_auc": 0.02, "recall@1": 0.02}


@lru_cache
def etude(num_tracks: int, first_track: int = 0) -> MusicDataset:
    """Tracks of version 2, three clips of ten seconds each."""
    return datasets.load(
        "etude",
        num_tracks=num_tracks,
        first_track=first_track,
        clips_per_track=3,
        clip_seconds=10,
        version=VERSION,
    )


def compose() -> None:
    """Render what is not in the cache yet, before several workers ask for it."""
    collection(max(SIZES)), pool(), validation(), test()


def collection(num_tracks: int) -> MusicDataset:
    """The first tracks of the training collection."""
    whole = etude(max(SIZES))
    return whole.subset(np.arange(3 * num_tracks))


def labelled(budget: float, seed: int) -> MusicDataset:
    """The share of 960 tracks whose labels a method may look at; the budgets of a seed contain each other."""
    return label_budget(collection(LABELLED), budget, seed=seed)[0]


def pool(num_tracks: int | None = None) -> MusicDataset:
    """Tracks whose labels no method looks at."""
    whole = etude(max(SIZES)).unlabelled(POOL)
    return whole.subset(np.arange(3 * (num_tracks or POOL)))


def validation() -> MusicDataset:
    """The middle clips of 300 tracks; makes all choices."""
    return _middle(etude(VALIDATION, FIRST_OF_VALIDATION))


def test() -> MusicDataset:
    """The middle clips of 1,000 tracks; each run is scored on it once."""
    return _middle(gallery())


def gallery() -> MusicDataset:
    """All 3,000 clips of the test tracks, for retrieval."""
    return etude(TEST, FIRST_OF_TEST)


def _middle(dataset: MusicDataset) -> MusicDataset:
    return dataset.subset(np.arange(1, len(dataset), 3))


def oracle(dataset: MusicDataset) -> np.ndarray:
    """What was composed, shape ``(n, num_tags)``; of a view, its own clips."""
    return dataset.parent.oracle[dataset.indices] if hasattr(dataset, "parent") else dataset.oracle


def network(seed: int, name: str = "cnn_1d", **options) -> WaveformModel:
    """A network with the first weights of a seed; the 1D-CNN with 64 channels if not told otherwise."""
    torch.manual_seed(seed)
    given = {"channels": 64} if name == "cnn_1d" else {}
    return models.create(name, num_tags=NUM_TAGS, **(given | options))


def fit(
    task: training.Task,
    dataset: MusicDataset,
    crops: int,
    seed: int,
    *,
    batch_size: int = BATCH,
    valid: MusicDataset | None = None,
    folder: Path | None = None,
) -> training.Run:
    """Train on about so many crops with a one-cycle schedule; the weights that the validation set likes best stay.

    An epoch is a pass over the clips, or over several copies of them, so that there are at most ten epochs; a dose
    of less than one pass is a pass over some of the clips.
    """
    order = np.random.default_rng(seed).permutation(len(dataset))
    epochs = max(1, min(JUDGED, crops // len(dataset)))
    task.schedule = training.Schedule("one_cycle")
    return training.fit(
        task,
        dataset.subset(np.resize(order, max(batch_size, crops // epochs))),
        validation() if valid is None else valid,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        folder=folder,
        resume=folder is not None,
        progress=False,
    )


def scores(probabilities: np.ndarray, part: MusicDataset | None = None) -> dict[str, float]:
    """ROC-AUC and PR-AUC on the test set with the oracle, and ROC-AUC with the annotators' labels."""
    part = test() if part is None else part
    truth = oracle(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)
        return {
            "roc_auc": metrics.roc_auc(truth, probabilities, tags=part.tags),
            "pr_auc": metrics.pr_auc(truth, probabilities, tags=part.tags),
            "weak_roc_auc": metrics.roc_auc(part.labels, probabilities, tags=part.tags),
        } | replicates(probabilities, part)


def replicates(probabilities: np.ndarray, part: MusicDataset) -> dict[str, str]:
    """Both areas in resamples of the test artists, as one text each; the resamples are the same for all runs."""
    truth, tracks_of = oracle(part).astype(bool), part.track_ids // TRACKS_PER_ARTIST
    _, artist = np.unique(tracks_of, return_inverse=True)
    drawn = np.random.default_rng(0).integers(artist.max() + 1, size=(RESAMPLES, artist.max() + 1))
    counts = np.stack([np.bincount(one, minlength=artist.max() + 1) for one in drawn]).astype(np.int32)
    found = {}
    for kind in ("roc", "pr"):
        values = metrics.areas.areas_of_weighted(
            kind, truth, probabilities, lambda rows: counts[rows][:, artist], RESAMPLES
        )
        found[f"{kind}_auc_resamples"] = " ".join(f"{value:.4f}" for value in values)
    return found


def neighbours(embeddings: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Of each query's tags, the share that its `k` nearest clips (by cosine) have; NaN without tags.

    >>> neighbours(np.array([[1, 0], [1, 0.1], [0, 1]]), np.array([[1, 1], [0, 1], [1, 0]])).tolist()
    [0.5, 1.0, 0.0]
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    hits = labels[nearest].any(axis=1) & (labels > 0)
    with np.errstate(invalid="ignore"):
        return hits.sum(1) / labels.sum(1)


def retrieval_scores(embeddings: np.ndarray, part: MusicDataset | None = None) -> dict[str, float | str]:
    """Recall of tags among the clips of the test tracks.

    ``recall@K`` with the oracle, one clip of each track (the mean over first, middle and last clips), so that
    recognising a recording does not help; ``weak_recall@1``, the same with the annotators' labels;
    ``everywhere@1``, with these, among all clips, those of the query's own track too.
    """
    part = gallery() if part is None else part
    places = [np.arange(first, len(part), 3) for first in range(3)]
    found, truth = {}, oracle(part)
    for k in (1, 2, 4, 8):
        queries = np.mean([neighbours(embeddings[place], truth[place], k) for place in places], axis=0)
        found[f"recall@{k}"] = np.nanmean(queries)
        if k == 1:
            artists = part.track_ids[places[0]] // TRACKS_PER_ARTIST
            _, artist = np.unique(artists, return_inverse=True)
            drawn = np.random.default_rng(0).integers(artist.max() + 1, size=(RESAMPLES, artist.max() + 1))
            known = ~np.isnan(queries)
            weights = np.stack([np.bincount(one, minlength=artist.max() + 1)[artist] for one in drawn])[:, known]
            means = weights @ queries[known] / weights.sum(1)
            found["recall@1_resamples"] = " ".join(f"{value:.4f}" for value in means)
    weak = [neighbours(embeddings[place], part.labels[place]) for place in places]
    found["weak_recall@1"] = np.nanmean(weak)
    return found | {"everywhere@1": np.nanmean(neighbours(embeddings, part.labels))}


def judge(model: WaveformModel) -> dict[str, float]:
    """`scores` of a model on the test set."""
    return scores(inference.predict(model, test()))


def difference(
    table: pd.DataFrame, column: str, one: str, other: str, score: str = "roc_auc", **where: object
) -> tuple[float, float, float, int]:
    """Mean difference between the runs of two conditions, paired by seed, its 95 % interval, and how many seeds.

    The interval's half-width is ``sqrt(a² + b²)``: ``a`` is Student's over seeds, ``b`` that of resampled test
    artists (1.96 standard deviations of the mean difference in them).
    """
    for name, value in where.items():
        table = table[table[name].astype(str) == str(value)]
    first, second = (table[table[column].astype(str) == str(name)].set_index("seed") for name in (one, other))
    seeds = first.index.intersection(second.index)
    if not len(seeds):
        return np.nan, np.nan, np.nan, 0
    first, second = first.loc[seeds], second.loc[seeds]
    values = (first[score] - second[score]).to_numpy(float)
    half = 0.0
    if f"{score}_resamples" in table:
        resampled = [
            np.subtract(*(np.array(text.split(), float) for text in pair))
            for pair in zip(first[f"{score}_resamples"], second[f"{score}_resamples"], strict=True)
        ]
        half = 1.96 * np.std(np.mean(resampled, axis=0), ddof=1)
    if len(values) < 2:
        return values.mean(), np.nan, np.nan, len(values)
    spread = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    half = np.hypot(half, spread)
    return values.mean(), values.mean() - half, values.mean() + half, len(values)


def compared(
    table: pd.DataFrame, column: str, one: str, other: str, scores: Sequence[str] = ("roc_auc", "pr_auc")
) -> dict[str, float | int | str]:
    """A row of differences: each score's mean and interval, how many seeds, and the verdict on the first score."""
    row: dict[str, float | int | str] = {}
    for score in scores:
        mean, low, high, seeds = difference(table, column, one, other, score)
        row |= {score: mean, f"{score}_low": low, f"{score}_high": high, "seeds": seeds}
    first = scores[0]
    return row | {"verdict": verdict(row[f"{first}_low"], row[f"{first}_high"], SMALLEST[first])}


def verdict(low: float, high: float, smallest: float, published: str = "better") -> str:
    """What an interval says about a claim, given the smallest difference that would matter.

    ``reproduced`` and ``refuted`` need an interval on one side of zero that reaches beyond `smallest`; one that
    lies within ± `smallest` is ``too small to matter``; of any other, nobody knows: ``undecided``. Of a claim that
    there is no gain (`published` is ``"no gain"``), an interval below `smallest` is what was claimed.

    >>> verdict(0.02, 0.05, 0.01), verdict(-0.04, -0.02, 0.01), verdict(0.001, 0.006, 0.01)
    ('reproduced', 'refuted', 'too small to matter')
    >>> verdict(-0.02, 0.03, 0.01), verdict(-0.02, 0.004, 0.01, "no gain")
    ('undecided', 'reproduced')
    """
    if np.isnan(low) or np.isnan(high):
        return "undecided"
    if published == "no gain":
        return "reproduced" if high < smallest else "refuted" if low > 0 else "undecided"
    if -smallest < low and high < smallest:
        return "too small to matter"
    return "reproduced" if low > 0 else "refuted" if high < 0 else "undecided"


def curve(table: pd.DataFrame, by: list[str], scores: Sequence[str] = ("roc_auc", "pr_auc")) -> pd.DataFrame:
    """Means over seeds and their 95 % intervals (Student's): columns `by`, ``roc_auc``, ``roc_auc_low``, …."""
    rows = []
    for key, found in table.groupby(by, sort=False):
        row = dict(zip(by, key, strict=True)) | {"seeds": found["seed"].nunique()}
        for score in scores:
            mean, low, high = runs.paired(found[score])
            row |= {score: mean, f"{score}_low": low, f"{score}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
