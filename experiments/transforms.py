"""What does each augmentation do? One transform at a time and the chain, few tracks and many, clean and degraded.

    python -m experiments.transforms [--seeds 3] [--workers 2]

The 1D-CNN with 64 channels learns from 60, 240 and 960 tracks (protocol: `experiments.protocol`), from 20,000
crops each, with

* ``nothing``;
* each transform of `mclass.augmentations.gtzan_supervised` alone, on every second crop;
* ``chain``: all of them, with the published probabilities; ``chain, half``: with half of these;
* ``SpecAugment`` and ``mixup``.

On 60 and 960 tracks ``nothing``, ``chain``, ``SpecAugment`` and ``mixup`` alone. Scored on the test clips as they
are and *degraded*: a small loudspeaker (nothing below 500 Hz) heard over a noisy line (noise 10 dB below the
music).

What was fixed before the test set was looked at: all of this; nothing was tuned.

Writes in ``experiments/results``: ``transforms.csv``, every run (what is in it is not repeated);
``transforms_summary.csv``; ``transforms_gains.csv``, differences to ``nothing``, paired by seed, with 95 %
intervals over seeds and test artists; ``transforms_by_tag.csv`` and ``transforms_tags.csv``, what the chain does
to each tag.
"""

from __future__ import annotations

import time

import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from mclass import augmentations, inference, metrics, training
from mclass.augmentations import Compose, HighPass, Mixup, Noise, SpecAugment
from mclass.augmentations.presets import GTZAN
from mclass.datasets import MusicDataset

CROPS = mclass.scale(smoke=32, cpu=20_000, gpu=300_000)
FEW, MIDDLE, MANY = (protocol.SIZES[i] for i in ((0, 1, 1) if len(protocol.SIZES) < 3 else (0, 1, 2)))
EVERYWHERE = ("nothing", "chain", "SpecAugment", "mixup")
CONDITIONS = (*EVERYWHERE, "chain, half", *GTZAN)


def augmentation(condition: str, sample_rate: int) -> object:
    """What a condition does to a training batch (see `mclass.training.Tagging`)."""
    if condition in ("SpecAugment", "mixup"):
        return SpecAugment() if condition == "SpecAugment" else Mixup(alpha=0.4)
    if condition == "nothing":
        return None
    probabilities = {
        "chain": dict(GTZAN),
        "chain, half": {name: p / 2 for name, p in GTZAN.items()},
    }.get(condition, {name: 0.5 * (name == condition) for name in GTZAN})
    return augmentations.gtzan_supervised(sample_rate, probabilities=probabilities)


class Degraded(MusicDataset):
    """The clips of a data set, each heard from a small loudspeaker over a noisy line."""

    def __init__(self, dataset: MusicDataset):
        self.dataset = dataset
        for name in ("name", "tags", "sample_rate", "labels", "multilabel", "track_ids", "artist_ids"):
            setattr(self, name, getattr(dataset, name))
        self.chain = Compose([HighPass(self.sample_rate, 500, 500), Noise(10, 10)])

    def num_samples(self, index: int) -> int:
        return self.dataset.num_samples(index)

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        whole = self.chain(self.dataset.waveform(index)[None], torch.Generator().manual_seed(index))[0]
        return whole[start : None if num_samples is None else start + num_samples]


def run(condition: str, tracks: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Train and score once; a row of the table, and rows of that of the tags."""
    train, test, started = protocol.collection(tracks), protocol.test(), time.perf_counter()
    task = training.Tagging(
        protocol.network(seed),
        augment=augmentation(condition, train.sample_rate),
        learning_rate=protocol.LEARNING_RATE,
    )
    fitted = protocol.fit(task, train, CROPS, seed)
    row = {
        "valid_roc_auc": fitted.history["valid_roc_auc"].max(),
        "train_loss": fitted.history["train_loss"].iloc[-1],
        "minutes": (time.perf_counter() - started) / 60,
    }
    found = inference.predict(task.model, test)
    degraded = protocol.scores(inference.predict(task.model, Degraded(test)), test)
    row |= protocol.scores(found) | {f"degraded_{name}": value for name, value in degraded.items()}
    tags = []
    if condition in ("nothing", "chain"):
        each = metrics.tagwise(protocol.oracle(test), found, test.tags)
        tags = each[["tag", "roc_auc"]].to_dict("records")
    return [row], tags


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences between each condition and nothing."""
    rows = []
    for (tracks, condition), _ in table.groupby(["tracks", "condition"], sort=False):
        if condition == "nothing":
            continue
        row, same = {"tracks": tracks, "condition": condition}, table[table["tracks"] == tracks]
        scores = ("roc_auc", "pr_auc", "degraded_roc_auc")
        row |= protocol.compared(same, "condition", condition, "nothing", scores)
        ends = (row["degraded_roc_auc_low"], row["degraded_roc_auc_high"])
        rows.append(row | {"verdict, degraded": protocol.verdict(*ends, protocol.SMALLEST["roc_auc"])})
    return pd.DataFrame(rows)


def by_tag(tags: pd.DataFrame) -> pd.DataFrame:
    """What the chain adds to each tag's ROC-AUC, the mean over seeds."""
    mean = tags.groupby(["tracks", "tag", "condition"], sort=False)["roc_auc"].mean().unstack("condition")
    found = (mean["chain"] - mean["nothing"]).unstack("tracks")
    return found.sort_values(found.columns[0], ascending=False).reset_index()


def plan(seeds: int) -> list[dict]:
    """All runs, the most telling first."""
    found = []
    for seed in range(seeds):
        found += [{"condition": name, "tracks": MIDDLE, "seed": seed} for name in CONDITIONS]
        for tracks in dict.fromkeys((FEW, MANY)):
            found += [{"condition": name, "tracks": tracks, "seed": seed} for name in EVERYWHERE]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def main(arguments: list[str] | None = None) -> None:
    options = runs.arguments(__doc__, seeds=3).parse_args(arguments)
    protocol.compose()
    wanted = plan(options.seeds)
    paths = [options.out / f"transforms{name}.csv" for name in ("", "_by_tag")]
    table, tags = runs.collect(run, wanted, paths, tuple(wanted[0]), workers=options.workers, fresh=options.fresh)
    scores = ("roc_auc", "pr_auc", "degraded_roc_auc")
    results = {
        "summary": protocol.curve(table, ["condition", "tracks"], scores),
        "gains": gains(table),
        "tags": by_tag(tags),
    }
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"transforms_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
