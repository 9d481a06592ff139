"""What is a network worth that learned something else? Pretexts probed by notion, and how much to train again.

    python -m experiments.transfer [--seeds 5] [--workers 2] [--fresh]

A narrow 2D-CNN learns a *pretext* from a pool of tracks by artists that are in no other part, without their tags:

* ``artists``: who made it, one class per artist;
* ``artist groups``: which of ten groups of artists with similar mean MFCCs;
* ``listeners``: sixteen factors of what simulated listeners play (`mclass.datasets.unlabelled.listeners`);
* ``random``: nothing, for comparison; and ``tags``: the pool's tags, which nobody would have, as an upper bound.

**Probe.** A linear classifier on the frozen embedding learns the tags of 5 %, 24 % and 100 % of the training
clips.
Scores are means over the tags of a notion: genre, instrument, and over all tags.

**Fine-tuning.** The network of the ``artists`` gets a new last layer and learns the tags of 5 % and 24 %:
``from scratch`` (first weights instead), ``frozen`` (the last layer alone), ``partial`` (the two upper blocks and
the last layer), ``full``, and ``full, layer-wise``: learning rates that halve with each block downwards.

Protocol, settled before the test part was looked at: split by artist, Adam at 0.003, the same number of steps for
all of a kind. A seed fixes the split, the labelled tracks, the crops and the first weights. The best epoch and the
probe's regularisation are chosen on validation parts; the test part is scored once.

Writes in ``experiments/results``:

* ``transfer.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``transfer_summary.csv``: means and paired differences, with Student's 95 % intervals over seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import runs
from experiments.augmentation import visited
from experiments.semi_supervised import percent
from experiments.supervised import mean_mfcc
from mclass import inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.datasets.unlabelled.budgets import label_budget
from mclass.datasets.unlabelled.listeners import simulate_plays
from mclass.datasets.unlabelled.pretexts import by_artist, by_artist_cluster, by_listeners, split_tracks
from mclass.models import WaveformModel
from mclass.tags import NOTIONS

PRETEXTS = ("random", "artists", "artist groups", "listeners", "tags")
BUDGETS = (0.05, 0.24, 1.0)
FINE_TUNED = (0.05, 0.24)
WAYS = ("from scratch", "frozen", "partial", "full", "full, layer-wise")
CHANNELS = (8, 16, 32, 64)
LEARNING_RATE = 0.003
CROPS = mclass.scale(smoke=32, cpu=800, gpu=8000)  # in an epoch
FIRST = {"probe": "random", "fine-tuning": "from scratch"}  # what others are compared with
SCORES = {"genre": "genre", "instrument": "instrument", "roc_auc": "all tags"}


def network(seed: int, num_tags: int) -> WaveformModel:
    torch.manual_seed(seed)
    return models.create("cnn_2d", num_tags=num_tags, channels=CHANNELS)


def fit(task: training.Task, train: MusicDataset, valid: MusicDataset, seed: int, epochs: int) -> WaveformModel:
    training.fit(task, visited(train, CROPS), valid, epochs=epochs, seed=seed, progress=False)
    return task.model


def pretrained(pretext: str, pool: MusicDataset, seed: int, epochs: int) -> WaveformModel:
    """A network that learned the pretext from the pool."""
    if pretext == "random":
        return network(seed, len(pool.tags))
    relabelled = {
        "artists": lambda: by_artist(pool),
        "artist groups": lambda: by_artist_cluster(pool, mean_mfcc(pool), 10, seed),
        "listeners": lambda: by_listeners(pool, simulate_plays(pool, seed=seed), seed=seed),
        "tags": lambda: pool,
    }[pretext]()
    parts = split_tracks(relabelled, seed=seed)
    model = network(seed, len(relabelled.tags))
    options = {"learning_rate": LEARNING_RATE}
    if pretext == "listeners":
        return fit(training.Regression(model, **options), *parts, seed, epochs)
    return fit(training.Tagging(model, multilabel=relabelled.multilabel, **options), *parts, seed, epochs)


def fine_tuned(
    way: str, encoder: WaveformModel, parts: tuple[MusicDataset, MusicDataset], seed: int, epochs: int
) -> WaveformModel:
    """The tagger that a way makes of an encoder."""
    num_tags = len(parts[0].tags)
    if way == "from scratch":
        model = network(seed, num_tags)
    else:
        torch.manual_seed(seed)
        model = models.with_new_head(encoder, num_tags)
    if way in ("frozen", "partial"):
        models.freeze(model, **({} if way == "frozen" else {"until": "blocks.1"}))
    decay = 0.5 if way == "full, layer-wise" else 1.0
    return fit(training.Tagging(model, learning_rate=LEARNING_RATE, layer_decay=decay), *parts, seed, epochs)


def scores(test: MusicDataset, probabilities: np.ndarray) -> dict[str, float]:
    """Mean ROC-AUC over all tags, and over those of two notions."""
    found = metrics.tagwise(test.labels, probabilities, test.tags).set_index("tag")["roc_auc"]
    notions = {name: found[list(NOTIONS[name])].mean() for name in ("genre", "instrument")}
    return {"roc_auc": metrics.roc_auc(test.labels, probabilities), **notions}


def run(seed: int, epochs: int, num_tracks: int | None, pool_tracks: int) -> tuple[list[dict]]:
    """Learn every pretext, probe it, fine-tune that of the artists; rows of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    pool = etude.unlabelled(pool_tracks)
    train, valid, test = etude.splits(by="artist", seed=seed)
    labelled = {budget: label_budget(train, budget, seed=seed)[0] for budget in BUDGETS}
    rows, encoders = [], {}
    for pretext in PRETEXTS:
        encoders[pretext] = pretrained(pretext, pool, seed, epochs)
        known = [(training.embeddings(encoders[pretext], part), part) for part in (train, valid, test)]
        for budget, part in labelled.items():
            few = known[0][0][part.indices], part
            found = training.probe_embeddings(few, *known[1:], seed=seed)
            row = {"part": "probe", "way": pretext, "budget": budget, "clips": len(part)}
            rows.append(row | scores(test, found.probabilities))
    for way in WAYS:
        for budget in FINE_TUNED:
            parts = labelled[budget], valid
            model = fine_tuned(way, encoders["artists"], parts, seed, epochs)
            row = {"part": "fine-tuning", "way": way, "budget": budget, "clips": len(parts[0])}
            rows.append(row | scores(test, inference.predict(model, test)))
    return (rows,)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each way; differences are to nothing learned before."""
    rows = []
    for (part, way, budget), found in table.groupby(["part", "way", "budget"], sort=False):
        same = table[(table["part"] == part) & (table["budget"] == budget)]
        row = {"part": part, "way": way, "labels": percent(budget)}
        for column, title in SCORES.items():
            row[title] = f"{found[column].mean():.3f}"
            gain = runs.interval(runs.gain(same, "way", way, FIRST[part], column), "{:+.3f}")
            row[f"Δ {title}"] = "–" if way == FIRST[part] else gain
        rows.append(row | {"seeds": len(found)})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=6, gpu=60))
    parser.add_argument("--pool-tracks", type=int, default=mclass.scale(smoke=48, cpu=480, gpu=10_000))
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks).unlabelled(options.pool_tracks)  # rendered now
    (table,) = runs.collect(
        run,
        [{"seed": seed} for seed in range(options.seeds)],
        [options.out / "transfer.csv"],
        ("seed",),
        size={name: getattr(options, name) for name in ("epochs", "num_tracks", "pool_tracks")},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "transfer_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
