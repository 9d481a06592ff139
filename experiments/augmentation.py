"""Does augmentation help a tagger on Etude? Five ways to treat a training batch, many seeds, few clips and all.

    python -m experiments.augmentation [--seeds 5] [--workers 2] [--fresh]     # 20 minutes on two cores
    python -m experiments.augmentation --longer                                # and 10 more

Every run trains a slim 2D-CNN for the same number of steps on the split by artist, on all training artists or on a
few of them. A seed fixes the split, the chosen artists, the crops, their order and the first weights; the five
conditions of one seed differ in nothing but the augmentation, so differences are paired. The best epoch is chosen
on the validation part; the test part is scored once as it is and once degraded (a small loudspeaker and a noisy
line, the same for all). ``--longer`` adds all artists with three times the steps, for the chain and for nothing.

Writes in ``experiments/results``:

* ``augmentation.csv``: every run with the ROC-AUC of every tag. A run that is in it is not repeated, so a killed
  experiment goes on.
* ``augmentation_summary.csv``: mean score, and mean paired difference to no augmentation with its 95 % interval.
* ``augmentation_tags.csv``: the same difference for each tag.

Intervals are Student's over seeds: they cover another split, other artists and other first weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import runs
from experiments.runs import paired
from mclass import augmentations, inference, metrics, models, training
from mclass.augmentations import Compose, Gain, HighPass, Mixup, Noise, PolarityInversion, RandomApply, SpecAugment
from mclass.datasets import MusicDataset

SIZES = {"few": 10, "all": None, "all, longer": None}  # training artists; None: as many as there are
LONGER = 3  # times as many epochs
SCORES = ("roc_auc", "pr_auc", "oracle_roc_auc", "degraded_roc_auc")
CHANNELS = (16, 32, 64, 64)  # a quarter to a half of the homework's: a fifth of its time
CROPS = 1000  # per epoch, about, however many clips there are: all runs make as many steps


def conditions(sample_rate: int) -> dict[str, object]:
    """What each condition does to a training batch (see `mclass.training.Tagging`)."""
    return {
        "none": None,
        # A control: the level moves a log-mel spectrogram up and down as a whole, the polarity does not move it.
        "gain + polarity": Compose([Gain(-20, -1), RandomApply(PolarityInversion(), p=0.5)]),
        "chain": augmentations.gtzan_supervised(sample_rate),
        "SpecAugment": SpecAugment(),
        "mixup": Mixup(alpha=0.4),
    }


def few_artists(train: MusicDataset, count: int | None, seed: int) -> MusicDataset:
    """The clips of `count` artists of the training part, chosen by the seed."""
    artists = np.unique(train.artist_ids)
    chosen = np.random.default_rng(seed).permutation(artists)[:count]
    return train.subset(np.isin(train.artist_ids, chosen))


def visited(train: MusicDataset, crops: int) -> MusicDataset:
    """A view in which each clip comes so often that there are about `crops`; each time it is cropped anew."""
    return train.subset(np.tile(np.arange(len(train)), max(1, round(crops / len(train)))))


def degrade(waveforms: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """A small loudspeaker (nothing below 500 Hz) heard over a noisy line (noise 10 dB below the music)."""
    chain = Compose([HighPass(sample_rate, 500, 500), Noise(10, 10)])
    return chain(waveforms, torch.Generator().manual_seed(0))


class Degraded(MusicDataset):
    """The clips of a data set, each degraded."""

    def __init__(self, dataset: MusicDataset):
        self.dataset = dataset
        for name in ("name", "tags", "sample_rate", "labels", "multilabel", "track_ids", "artist_ids"):
            setattr(self, name, getattr(dataset, name))

    def num_samples(self, index: int) -> int:
        return self.dataset.num_samples(index)

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        whole = degrade(self.dataset.waveform(index)[None], self.sample_rate)[0]
        return whole[start : None if num_samples is None else start + num_samples]


def run(size: str, condition: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    train, valid, test = etude.splits(by="artist", seed=seed)
    part = few_artists(train, SIZES[size], seed)
    torch.manual_seed(seed)
    model = models.create("cnn_2d", num_tags=len(etude.tags), channels=CHANNELS)
    task = training.Tagging(model, augment=conditions(etude.sample_rate)[condition])
    longer = LONGER if size == "all, longer" else 1
    fitted = training.fit(task, visited(part, CROPS), valid, epochs=longer * epochs, seed=seed, progress=False)
    scores = inference.predict(task.model, test)
    degraded = inference.predict(task.model, Degraded(test))
    row = {
        "clips": len(part),
        "roc_auc": metrics.roc_auc(test.labels, scores),
        "pr_auc": metrics.pr_auc(test.labels, scores),
        "oracle_roc_auc": metrics.roc_auc(etude.oracle[test.indices], scores),
        "degraded_roc_auc": metrics.roc_auc(test.labels, degraded),
        "train_loss": fitted.history["train_loss"].iloc[-1],
        "best_epoch": fitted.best_epoch,
    }
    tags = metrics.tagwise(test.labels, scores, test.tags).set_index("tag")["roc_auc"]
    return ([row | {f"tag {tag}": tags[tag] for tag in etude.tags}],)


def differences(table: pd.DataFrame, score: str) -> Iterator[tuple[str, str, pd.Series]]:
    """For every size and condition: its score minus that of no augmentation, seed by seed."""
    for size, found in table.groupby("size", sort=False):
        wide = found.pivot(index="seed", columns="condition", values=score).dropna()
        for condition in found["condition"].unique():
            if condition != "none":
                yield size, condition, wide[condition] - wide["none"]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per size and condition, in the words of the book; without augmentation, where the scores start."""
    gains = {
        (size, condition, score): runs.interval(values, "{:+.3f}")
        for score in SCORES
        for size, condition, values in differences(table, score)
    }
    rows = []
    for (size, condition), found in table.groupby(["size", "condition"], sort=False):
        row = {"clips": f"{size} ({found['clips'].mean():.0f})", "augmentation": condition, "seeds": len(found)}
        row["train loss"] = round(found["train_loss"].mean(), 3)
        row["ROC-AUC"] = f"{found['roc_auc'].mean():.3f} ± {found['roc_auc'].std():.3f}"
        names = ("Δ ROC-AUC", "Δ PR-AUC", "Δ ROC-AUC, oracle", "Δ ROC-AUC, degraded")
        for name, score in zip(names, SCORES, strict=True):
            row[name] = gains.get((size, condition, score), f"at {found[score].mean():.3f}")
        rows.append(row)
    return pd.DataFrame(rows)


def by_tag(table: pd.DataFrame) -> pd.DataFrame:
    """For each tag: the mean paired difference over the seeds in which it could be scored, and its interval."""
    rows = []
    for tag in [name.removeprefix("tag ") for name in table.columns if name.startswith("tag ")]:
        for size, condition, values in differences(table, f"tag {tag}"):
            if len(values) > 2:
                mean, low, high = paired(values.to_numpy())
                rows.append(
                    {"size": size, "condition": condition, "tag": tag, "seeds": len(values)}
                    | {"difference": mean, "sd": values.std(), "low": low, "high": high}
                )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=6, gpu=60))
    parser.add_argument("--longer", action="store_true", help="also train the chain for longer")
    options = parser.parse_args(arguments)
    etude = mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    plan = [
        {"size": size, "condition": condition, "seed": seed}
        for size in SIZES
        for condition in conditions(etude.sample_rate)
        for seed in range(options.seeds)
        if size != "all, longer" or (options.longer and condition in ("none", "chain"))
    ]
    (table,) = runs.collect(
        run,
        plan,
        [options.out / "augmentation.csv"],
        ("size", "condition", "seed"),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "augmentation_summary.csv")
    runs.write(by_tag(table).round(4), options.out / "augmentation_tags.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
