"""What does a split that leaks pretend? By clip, by track and by artist, with clips a network can memorise.

    python -m experiments.leaks [--seeds 3] [--workers 2]

The 1D-CNN with 64 channels, and a nearest neighbour that tells nothing but recordings apart, learn from 240 and
960 tracks split by clip, by track and by artist (80, 10 and 10 %), from 30,000 crops. Each is scored on the test
part of its own split, as somebody who splits so would score it, and on the thousand tracks of the protocol
(`experiments.protocol`), which shows what it is worth. Both scores are with the annotators' labels, as leaks are
about these, too: a label that was forgotten on one clip of a track was often forgotten on another.

What a split pretends is the first score minus the second. They are means over other tracks, and a part of the
difference is chance; so it is compared, seed by seed, with that of the split by artist.

Writes in ``experiments/results``: ``leaks.csv``, every run (what is in it is not repeated); ``leaks_summary.csv``.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import mclass
from experiments import protocol, runs
from experiments.retrieval import mfcc
from mclass import inference, metrics, training
from mclass.datasets import MusicDataset
from mclass.datasets.base import split_by_group
from mclass.metrics import UndefinedTagsWarning

SPLITS = ("artist", "track", "clip")
LEARNERS = ("1D-CNN", "nearest neighbour")
CROPS = mclass.scale(smoke=32, cpu=30_000, gpu=300_000)
SIZES = protocol.SIZES[1:3]


def nearest(train: MusicDataset, parts: tuple[MusicDataset, ...]) -> list[np.ndarray]:
    """The labels of the most similar training clip, by mean and deviation of MFCCs; shape (clips, tags) each."""
    known = mfcc(train)
    return [train.labels[(mfcc(part) @ known.T).argmax(1)].astype(float) for part in parts]


def roc_auc(part: MusicDataset, probabilities: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)
        return metrics.roc_auc(part.labels, probabilities, tags=part.tags)


def run(learner: str, split: str, tracks: int, seed: int) -> tuple[list[dict]]:
    """Learn and score once; a row of the table."""
    whole = protocol.collection(tracks)
    groups = {"artist": whole.artist_ids, "track": whole.track_ids, "clip": np.arange(len(whole))}[split]
    train, valid, own = (whole.subset(part) for part in split_by_group(groups, (0.8, 0.1, 0.1), seed))
    parts = own, protocol.test()
    if learner == "1D-CNN":
        task = training.Tagging(protocol.network(seed), learning_rate=protocol.LEARNING_RATE)
        protocol.fit(task, train, CROPS, seed, valid=valid)
        found = [inference.predict(task.model, part) for part in parts]
    else:
        found = nearest(train, parts)
    own_score, true_score = (roc_auc(part, one) for part, one in zip(parts, found, strict=True))
    return ([{"own_roc_auc": own_score, "roc_auc": true_score, "pretended": own_score - true_score}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """What each split says, what is true, and what it pretends beyond the split by artist."""
    rows = []
    for (learner, tracks, split), found in table.groupby(["learner", "tracks", "split"], sort=False):
        same = table[(table["learner"] == learner) & (table["tracks"] == tracks)]
        row = {"learner": learner, "tracks": tracks, "split": split}
        row |= {name: found[name].mean() for name in ("own_roc_auc", "roc_auc", "pretended")}
        mean, low, high, seeds = protocol.difference(same, "split", split, "artist", "pretended")
        rows.append(row | {"beyond artist": mean, "low": low, "high": high, "seeds": seeds})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    options = runs.arguments(__doc__, seeds=10).parse_args(arguments)
    protocol.compose()
    plan = [
        {"learner": learner, "split": split, "tracks": tracks, "seed": seed}
        for seed in range(options.seeds)
        for learner in LEARNERS
        for tracks in SIZES
        for split in SPLITS
    ]
    path = options.out / "leaks.csv"
    (table,) = runs.collect(run, plan, [path], tuple(plan[0]), workers=options.workers, fresh=options.fresh)
    result = summary(table)
    runs.write(result.round(5), options.out / "leaks_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
