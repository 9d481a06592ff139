"""Optimisers, schedules, regularisers, losses, activations, depth: which choices make a difference?

    python -m experiments.training_recipes [--seeds 3] [--workers 2] [--only optimizer schedule …]
    python -m experiments.training_recipes --choose      # the learning rate of each optimiser

Protocol: `experiments.protocol`. The 1D-CNN with 64 channels, if nothing else is said:

* ``optimizer, as given``: eight of them at a constant learning rate of 0.001, as homework has them, for 10 and for
  30 passes over the clips of 240 tracks; ``optimizer, at its best``: the same, each with the constant rate that
  suits it (five tries, on the validation set, 10 passes);
* ``schedule``: Adam with eight schedules from its best rate, 10 passes;
* ``regulariser``: Adam on 60 tracks, 60 passes, one cycle: weight decay (in the gradient, and AdamW's own), label
  smoothing, stopping at the best epoch, and nothing, which is judged after its last;
* ``loss``: focal loss against cross-entropy on 960 tracks, one cycle, 7 passes; also on the 15 rarest tags;
* ``network``: the narrow 2D-CNN on 240 tracks, 14 passes, one cycle: four blocks against six, ReLU
  against GELU, no dropout against 0.1 and 0.3.

All but ``stopping`` keep the weights of the last epoch, since how fast one gets there is the question.

What was fixed before the test set was looked at: all of this.

Writes in ``experiments/results``: ``training_recipes.csv``, every run (what is in it is not repeated);
``training_recipes_summary.csv``; ``training_recipes_gains.csv``, differences to the first of each comparison,
paired by seed, with 95 % intervals over seeds and test artists; ``training_recipes_choice.csv``.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from experiments.networks import means
from mclass import inference, losses, metrics, models, training
from mclass.errors import ModelError
from mclass.models import WaveformModel
from mclass.training import OPTIMIZERS

PASSES = mclass.scale(smoke=(1, 2), cpu=(10, 30), gpu=(10, 30))  # over the clips
GIVEN = 0.001
BEST = {
    "sgd": 1.0,
    "momentum": 0.3,
    "nesterov": 0.3,
    "rmsprop": 0.003,
    "adagrad": 0.03,
    "adam": 0.01,
    "adamw": 0.01,
    "nadam": 0.01,
}
TRIED = dict.fromkeys(("sgd", "momentum", "nesterov"), (0.03, 0.1, 0.3, 1.0, 3.0)) | dict.fromkeys(
    ("rmsprop", "adagrad", "adam", "adamw", "nadam"), (0.001, 0.003, 0.01, 0.03, 0.1)
)
SCHEDULES = {
    "constant": {},
    "step": {"every": 3, "factor": 0.3},
    "exponential": {"factor": 0.7},
    "inverse": {"decay": 0.5},
    "plateau": {"patience": 1, "factor": 0.3},
    "cosine": {},
    "cosine_restarts": {"period": 5},
    "one_cycle": {},
}
REGULARISERS = {
    "nothing": {},
    "weight decay 1e-4": {"weight_decay": 1e-4},
    "AdamW, weight decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "stopping": {},
}
NETWORKS = {
    "four blocks": {},
    "six blocks": {"channels": (16, 32, 64, 64, 64, 64)},
    "GELU": {"activation": "gelu"},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.3": {"dropout": 0.3},
}
COMPARISONS = {
    "optimizer, as given": tuple(OPTIMIZERS),
    "optimizer, at its best": tuple(OPTIMIZERS),
    "schedule": tuple(SCHEDULES),
    "regulariser": tuple(REGULARISERS),
    "loss": ("cross-entropy", "focal"),
    "network": tuple(NETWORKS),
}
TRACKS = {"regulariser": protocol.SIZES[0], "loss": protocol.LABELLED}  # others: MIDDLE
MIDDLE = protocol.SIZES[1]
RARE = 15


class LastEpoch(training.Tagging):
    """Keeps the weights of the last epoch, which `mclass.training.fit` takes for the best."""

    monitor = "epochs_done"

    def evaluate(self, scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        return super().evaluate(scores, labels) | {"epochs_done": float(self.current_epoch)}


def network(name: str, seed: int) -> WaveformModel:
    """The narrow 2D-CNN of a row: its first blocks are the homework's, more of them are the short-chunk CNN's."""
    options = {"channels": (16, 32, 64, 64)} | NETWORKS[name]
    torch.manual_seed(seed)
    if len(options["channels"]) == 6:
        return models.create(
            "homework_short_chunk", num_tags=protocol.NUM_TAGS, activation="relu", dropout=0.0, **options
        )
    return models.create("cnn_2d", num_tags=protocol.NUM_TAGS, **options)


def options_of(comparison: str, name: str) -> dict:
    """Options of `mclass.training.Tagging` for a row."""
    if comparison == "optimizer, as given":
        return {"optimizer": name, "learning_rate": GIVEN, "schedule": "constant"}
    if comparison == "optimizer, at its best":
        return {"optimizer": name, "learning_rate": BEST[name], "schedule": "constant"}
    common = {"optimizer": "adam", "learning_rate": BEST["adam"], "schedule": "one_cycle"}
    if comparison == "schedule":
        return common | {"schedule": name, "schedule_options": SCHEDULES[name]}
    if comparison == "regulariser":
        return common | REGULARISERS[name]
    return common | ({"criterion": losses.FocalLoss(gamma=2.0)} if name == "focal" else {})


def fit(
    comparison: str, name: str, passes: int, seed: int, **options: object
) -> tuple[WaveformModel, pd.DataFrame]:
    """Train once; `passes` over the clips are as many epochs, at most ten of several passes."""
    model = network(name, seed) if comparison == "network" else protocol.network(seed)
    kind = training.Tagging if name == "stopping" else LastEpoch
    task = kind(model, **(options_of(comparison, name) | options))
    train = protocol.collection(TRACKS.get(comparison, MIDDLE))
    epochs = min(passes, 10)
    found = training.fit(
        task,
        train.subset(np.tile(np.arange(len(train)), passes // epochs)),
        protocol.validation(),
        epochs=epochs,
        batch_size=protocol.BATCH,
        seed=seed,
        progress=False,
    )
    return task.model, found.history


def run(comparison: str, name: str, passes: int, seed: int) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    started = time.perf_counter()
    model, history = fit(comparison, name, passes, seed)
    row = {"train_loss": history["train_loss"].iloc[-1], "valid_roc_auc": history["valid_roc_auc"].iloc[-1]}
    test = protocol.test()
    chunks, owners = inference.predict_chunks(model, test)
    found, truth = means(chunks, owners), protocol.oracle(test)
    row["chunk_roc_auc"] = metrics.roc_auc(truth[owners], chunks)
    rare = np.argsort(truth.sum(0), kind="stable")[:RARE]
    rare = [tag for tag in rare if truth[:, tag].any()]
    row["rare_pr_auc"] = metrics.pr_auc(truth[:, rare], found[:, rare])
    row["minutes"] = (time.perf_counter() - started) / 60
    return ([row | protocol.scores(found)],)


def choose(optimizer: str, learning_rate: float, passes: int) -> tuple[list[dict]]:
    """The validation score of an optimiser with one learning rate."""
    try:
        _, history = fit("optimizer, at its best", optimizer, passes, 100, learning_rate=learning_rate)
    except ModelError:  # the loss is not finite
        return ([{"valid_roc_auc": 0.5}],)
    return ([{"valid_roc_auc": history["valid_roc_auc"].iloc[-1]}],)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences to the first of each comparison."""
    rows = []
    for (comparison, passes), found in table.groupby(["comparison", "passes"], sort=False):
        first = COMPARISONS[comparison][0]
        for name in COMPARISONS[comparison][1:]:
            row = {"comparison": comparison, "passes": passes, "name": name, "against": first}
            scores = ("roc_auc", "pr_auc", "rare_pr_auc")
            rows.append(row | protocol.compared(found, "name", name, first, scores))
    return pd.DataFrame(rows)


def plan(seeds: int, only: list[str] | None) -> list[dict]:
    """All runs."""
    few = PASSES[0]
    passes = {"regulariser": (6 * few,), "loss": (max(1, 7 * few // 10),), "network": (max(1, 14 * few // 10),)}
    return [
        {"comparison": comparison, "name": name, "passes": count, "seed": seed}
        for seed in range(seeds)
        for comparison in only or COMPARISONS
        for name in COMPARISONS[comparison]
        for count in passes.get(comparison, PASSES if comparison.startswith("optimizer") else (few,))
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__, seeds=3)
    parser.add_argument("--only", nargs="+", choices=tuple(COMPARISONS), help="those comparisons alone")
    parser.add_argument("--choose", action="store_true", help="try learning rates on the validation set")
    options = parser.parse_args(arguments)
    protocol.compose()
    common = {"workers": options.workers, "fresh": options.fresh}
    if options.choose:
        tries = [{"optimizer": name, "learning_rate": rate} for name, rates in TRIED.items() for rate in rates]
        path = options.out / "training_recipes_choice.csv"
        (table,) = runs.collect(choose, tries, [path], tuple(tries[0]), size={"passes": PASSES[0]}, **common)
        print(table.loc[table.groupby("optimizer", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    wanted = plan(options.seeds, options.only)
    path = options.out / "training_recipes.csv"
    (table,) = runs.collect(run, wanted, [path], tuple(wanted[0]), **common)
    scores = ("roc_auc", "pr_auc", "rare_pr_auc", "train_loss")
    results = {"summary": protocol.curve(table, ["comparison", "passes", "name"], scores), "gains": gains(table)}
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"training_recipes_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
