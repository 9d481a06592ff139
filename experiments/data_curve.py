"""How much data does each learner need? From 60 tracks to 4,000, and from 1,000 crops to 100,000.

    python -m experiments.data_curve [--seeds 3] [--workers 2] [--only cnn_1d …]
    python -m experiments.data_curve --choose      # how the learning rates were chosen

Learners (protocol: `experiments.protocol`):

* ``mfcc_logistic``, ``mfcc_svm``, ``codebook``, ``dbn``: features made by hand, or learned in layers, and a
  shallow classifier;
* ``cnn_1d`` and ``cnn_1d, augmented``: the course's small network (64 channels), as it is and with the chain
  `mclass.augmentations.gtzan_supervised`, which changes every crop. Three seeds each, over data, and over dose
  with 60 and with 240 tracks;
* ``cnn_2d``, ``short_chunk``, ``musicnn``, ``sample_cnn``: narrow versions (33,000 to 102,000 parameters) of what
  the papers trained on GPUs; ``cnn_2d, augmented``.

What was fixed before the test set was looked at: narrow networks, batches of 32 crops, Adam, one cycle of the
learning rate. Its height was chosen on the validation set, four tries for each network at 240 tracks
(``data_curve_choice.csv``). The smallest differences that matter are those of the protocol.

Writes in ``experiments/results``:

* ``data_curve.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``data_curve_summary.csv``: means per learner, tracks and dose, with 95 % intervals over seeds.
"""

from __future__ import annotations

import inspect
import time

import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from experiments.networks import create as narrow
from mclass import augmentations, training
from mclass.models import WaveformModel, shallow

SHALLOW = ("mfcc_logistic", "mfcc_svm", "codebook", "dbn")
LEARNING_RATES = {
    "cnn_1d": protocol.LEARNING_RATE,
    "cnn_2d": 0.03,
    "short_chunk": 0.03,
    "musicnn": 0.03,
    "sample_cnn": 0.03,
}
TRIED = (0.001, 0.003, 0.01, 0.03)
NARROW = {"cnn_2d": "CNN", "short_chunk": "short-chunk", "musicnn": "Musicnn", "sample_cnn": "SampleCNN"}
CROPS = mclass.scale(smoke=64, cpu=30_000, gpu=1_000_000)
DOSES = mclass.scale(smoke=(64,), cpu=(1000, 3000, 10_000, 30_000, 100_000), gpu=(10_000, 100_000, 1_000_000))
LARGE = mclass.scale(smoke=64, cpu=15_000, gpu=1_000_000)  # crops for the slower networks
CHOICE_TRACKS = protocol.SIZES[min(1, len(protocol.SIZES) - 1)]


def network(learner: str, seed: int) -> WaveformModel:
    """A network with the first weights of a seed."""
    if learner in NARROW:
        torch.manual_seed(seed)
        return narrow(NARROW[learner], protocol.NUM_TAGS)
    return protocol.network(seed, learner)


def tagging(learner: str, seed: int, learning_rate: float | None = None) -> training.Tagging:
    """The task of a learner: "cnn_1d", "cnn_1d, augmented", …"""
    name, _, how = learner.partition(", ")
    augment = augmentations.gtzan_supervised(16_000) if how == "augmented" else None
    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    return training.Tagging(network(name, seed), augment=augment, learning_rate=rate)


def run(learner: str, tracks: int, crops: int, seed: int) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    train, started = protocol.collection(tracks), time.perf_counter()
    if learner in SHALLOW:
        options = {"sample_rate": train.sample_rate}
        if "random_state" in inspect.signature(getattr(shallow.pipelines, learner)).parameters:
            options["random_state"] = seed
        pipeline = shallow.create(learner, **options).fit(shallow.Waveforms(train), train.labels)
        found = protocol.scores(shallow.scores(pipeline, shallow.Waveforms(protocol.test())))
        return ([{"minutes": (time.perf_counter() - started) / 60} | found],)
    task = tagging(learner, seed)
    fitted = protocol.fit(task, train, crops, seed)
    about = {
        "valid_roc_auc": fitted.history["valid_roc_auc"].max(),
        "train_loss": fitted.history["train_loss"].iloc[-1],
        "best_epoch": f"{fitted.best_epoch + 1} of {len(fitted.history)}",
        "minutes": (time.perf_counter() - started) / 60,
    }
    return ([about | protocol.judge(task.model)],)


def choose(learner: str, learning_rate: float, crops: int) -> tuple[list[dict]]:
    """The validation score of a network with one learning rate."""
    task = tagging(learner, seed=100, learning_rate=learning_rate)
    fitted = protocol.fit(task, protocol.collection(CHOICE_TRACKS), crops, seed=100)
    return ([{"valid_roc_auc": fitted.history["valid_roc_auc"].max()}],)


def plan(seeds: int) -> list[dict]:
    """All runs, the most telling first."""
    few, many = min(protocol.SIZES), max(protocol.SIZES)
    found = []
    for seed in range(seeds):
        for tracks in protocol.SIZES:
            for learner in ("cnn_1d", "cnn_1d, augmented"):
                found.append({"learner": learner, "tracks": tracks, "crops": CROPS, "seed": seed})
    for learner in SHALLOW:
        found += [{"learner": learner, "tracks": tracks, "crops": 0, "seed": 0} for tracks in protocol.SIZES]
    for seed in range(seeds):
        for tracks in (few, CHOICE_TRACKS):
            for crops in DOSES:
                for learner in ("cnn_1d", "cnn_1d, augmented"):
                    found.append({"learner": learner, "tracks": tracks, "crops": crops, "seed": seed})
    for learner in (*NARROW, "cnn_2d, augmented"):
        for tracks in sorted({few, CHOICE_TRACKS, many}):
            found.append({"learner": learner, "tracks": tracks, "crops": LARGE, "seed": 0})
    return [one for number, one in enumerate(found) if one not in found[:number]]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means and 95 % intervals over seeds."""
    return protocol.curve(table, ["learner", "tracks", "crops"])


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__, seeds=3)
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="those alone")
    parser.add_argument("--choose", action="store_true", help="try learning rates on the validation set")
    options = parser.parse_args(arguments)
    protocol.compose()
    common = {"workers": options.workers, "fresh": options.fresh}
    if options.choose:
        tries = [
            {"learner": learner, "learning_rate": rate}
            for learner in options.only or LEARNING_RATES
            for rate in TRIED
        ]
        path = options.out / "data_curve_choice.csv"
        (table,) = runs.collect(choose, tries, [path], tuple(tries[0]), size={"crops": LARGE // 2}, **common)
        print(table.loc[table.groupby("learner", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    wanted = [one for one in plan(options.seeds) if not options.only or one["learner"] in options.only]
    (table,) = runs.collect(run, wanted, [options.out / "data_curve.csv"], tuple(wanted[0]), **common)
    result = summary(table)
    runs.write(result.round(5), options.out / "data_curve_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
