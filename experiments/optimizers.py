"""Optimizers, learning-rate schedules and regularisers on Etude: which make a difference?

    python -m experiments.optimizers [--seeds 5] [--workers 2] [--fresh]
    python -m experiments.optimizers --choose           # the learning rate of each optimizer

A narrow 2D-CNN, trained on the split by artist. Three comparisons:

* ``optimizer``: eight of them, each with the learning rate that suits it, a constant one, for few epochs;
* ``schedule``: Adam with eight schedules, for twice as many epochs;
* ``regulariser``: Adam on the clips of ten artists, for twice as many epochs: dropout between blocks, weight
  decay (in the gradient, and AdamW's own), label smoothing, and nothing.

Protocol: the learning rate of each optimizer is the best of five on the validation part of a seed that is not used
again (``--choose``); schedules start from Adam's (the one-cycle schedule peaks at it). A seed fixes the split, the
artists, the crops, their order and the first weights. The score is that of the last epoch on the test part, looked
at once; no epoch is chosen, since how fast one gets there is the question.

Writes in ``experiments/results``:

* ``optimizers.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``optimizers_summary.csv``: means and paired differences, with Student's 95 % intervals over seeds.
* ``optimizers_choice.csv``: validation scores of the learning rates tried.
"""

from __future__ import annotations

import pandas as pd
import torch

import mclass
from experiments import runs
from experiments.augmentation import few_artists, visited
from mclass import inference, metrics, models, training

CHANNELS = (8, 16, 32, 32)
CROPS = mclass.scale(smoke=32, cpu=640, gpu=9600)  # in an epoch
ARTISTS = 10  # where regularisers are compared
LEARNING_RATES = {
    "sgd": 1.0,
    "momentum": 0.3,
    "nesterov": 0.3,
    "rmsprop": 0.03,
    "adagrad": 0.03,
    "adam": 0.03,
    "adamw": 0.03,
    "nadam": 0.03,
}
TRIED = dict.fromkeys(("sgd", "momentum", "nesterov"), (0.03, 0.1, 0.3, 1.0, 3.0)) | dict.fromkeys(
    ("rmsprop", "adagrad", "adam", "adamw", "nadam"), (0.001, 0.003, 0.01, 0.03, 0.1)
)
SCHEDULES = {
    "constant": {},
    "step": {"every": 2, "factor": 0.3},
    "exponential": {"factor": 0.7},
    "inverse": {"decay": 0.5},
    "plateau": {"patience": 1, "factor": 0.3},
    "cosine": {},
    "cosine_restarts": {"period": 3},
    "one_cycle": {},
}
REGULARISERS = {
    "nothing": {},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.3": {"dropout": 0.3},
    "weight decay 1e-4": {"weight_decay": 1e-4},
    "AdamW, weight decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "label smoothing 0.1": {"label_smoothing": 0.1},
}
FIRST = {"optimizer": "sgd", "schedule": "constant", "regulariser": "nothing"}  # what others are compared with
CHOICE_SEED = 100


def options_of(comparison: str, name: str) -> dict:
    """Options of the model and the task for one row of the table."""
    if comparison == "optimizer":
        return {"optimizer": name, "learning_rate": LEARNING_RATES[name], "schedule": "constant"}
    common = {"optimizer": "adam", "learning_rate": LEARNING_RATES["adam"], "schedule": "constant"}
    if comparison == "schedule":
        return common | {"schedule": name, "schedule_options": SCHEDULES[name]}
    return common | REGULARISERS[name]


def fit(
    seed: int, epochs: int, num_tracks: int | None, artists: int | None = None, dropout: float = 0.0, **options
) -> tuple[training.Tagging, training.Run, tuple]:
    """Train once, with `options` of `mclass.training.Tagging`."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    train, valid, test = etude.splits(by="artist", seed=seed)
    train = few_artists(train, artists, seed)
    torch.manual_seed(seed)
    model = models.create("cnn_2d", num_tags=len(etude.tags), channels=CHANNELS, dropout=dropout)
    task = LastEpoch(model, **options)
    return task, training.fit(task, visited(train, CROPS), valid, epochs=epochs, seed=seed, progress=False), test


class LastEpoch(training.Tagging):
    """Keeps the weights of the last epoch, which `mclass.training.fit` takes for the best."""

    monitor = "epochs_done"

    def evaluate(self, scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        return super().evaluate(scores, labels) | {"epochs_done": float(self.current_epoch)}


def run(comparison: str, name: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    if comparison != "optimizer":
        epochs *= 2
    artists = ARTISTS if comparison == "regulariser" else None
    task, found, test = fit(seed, epochs, num_tracks, artists, **options_of(comparison, name))
    scores = inference.predict(task.model, test)
    last = found.history.iloc[-1]
    row = {"learning_rate": task.learning_rate, "train_loss": last["train_loss"], "valid_loss": last["valid_loss"]}
    row |= {"roc_auc": metrics.roc_auc(test.labels, scores), "pr_auc": metrics.pr_auc(test.labels, scores)}
    return ([row],)


def choose(optimizer: str, learning_rate: float, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """The validation score of an optimizer with one learning rate."""
    try:
        options = {"optimizer": optimizer, "learning_rate": learning_rate, "schedule": "constant"}
        _, found, _ = fit(CHOICE_SEED, epochs, num_tracks, **options)
    except mclass.errors.ModelError:  # the loss is not finite
        return ([{"valid_roc_auc": 0.5}],)
    return ([{"valid_roc_auc": found.history["valid_roc_auc"].iloc[-1]}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each name of each comparison."""
    rows = []
    for (comparison, name), found in table.groupby(["comparison", "name"], sort=False):
        part, first = table[table["comparison"] == comparison], FIRST[comparison]
        row = {"comparison": comparison, "name": name, "learning rate": found["learning_rate"].iloc[0]}
        row["training loss"] = f"{found['train_loss'].mean():.3f}"
        row["ROC-AUC"] = runs.interval(found["roc_auc"])
        row["PR-AUC"] = runs.interval(found["pr_auc"])
        gain = runs.interval(runs.gain(part, "name", name, first, "roc_auc"), "{:+.3f}")
        rows.append(row | {"Δ ROC-AUC": "–" if name == first else gain, "seeds": len(found)})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=3, gpu=10), help="of `optimizer`")
    parser.add_argument("--choose", action="store_true", help="try learning rates on a validation part")
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    common = {
        "size": {"epochs": options.epochs, "num_tracks": options.num_tracks},
        "workers": options.workers,
        "fresh": options.fresh,
    }
    if options.choose:
        plan = [{"optimizer": name, "learning_rate": rate} for name, rates in TRIED.items() for rate in rates]
        (table,) = runs.collect(choose, plan, [options.out / "optimizers_choice.csv"], tuple(plan[0]), **common)
        print(table.loc[table.groupby("optimizer", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    names = {"optimizer": LEARNING_RATES, "schedule": SCHEDULES, "regulariser": REGULARISERS}
    plan = [
        {"comparison": comparison, "name": name, "seed": seed}
        for seed in range(options.seeds)
        for comparison, members in names.items()
        for name in members
    ]
    plan.sort(key=lambda one: list(names).index(one["comparison"]))
    (table,) = runs.collect(run, plan, [options.out / "optimizers.csv"], tuple(plan[0]), **common)
    result = summary(table)
    runs.write(result, options.out / "optimizers_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
