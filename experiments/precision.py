"""Does bf16 learn as well as float32? Training curves of both, over several seeds.

    python -m experiments.precision [--seeds 5] [--workers 2] [--fresh]

On a part of Etude small enough to train every model on a CPU: it compares two ways to train one model, it does not
compare models. A seed fixes the split, the crops and the first weights; the two precisions see the same. Writes in
``experiments/results``:

* ``precision.csv``: one row per epoch. Runs in it are not repeated, so a killed experiment goes on.
* ``precision_summary.csv``: the last epoch's training loss and the best validation ROC-AUC, and the differences
  of the two precisions, with Student's 95 % intervals over seeds.
"""

from __future__ import annotations

import pandas as pd
import torch

import mclass
from experiments import runs
from mclass import datasets, models, training

MODELS = ("cnn_2d", "short_chunk_cnn", "musicnn")
PRECISIONS = ("float32", "bf16")
COLUMNS = ["epoch", "train_loss", "valid_loss", "valid_roc_auc"]


def run(model: str, precision: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train one model; its history, one row per epoch."""
    etude = datasets.load("etude", num_tracks=num_tracks, clips_per_track=2, clip_seconds=10)
    train, valid, _ = etude.splits(by="artist", seed=seed)
    torch.manual_seed(seed)
    task = training.Tagging(models.create(model, num_tags=len(etude.tags)))
    found = training.fit(task, train, valid, epochs=epochs, seed=seed, precision=precision, progress=False)
    return (found.history[COLUMNS].to_dict("records"),)


def summary(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per model."""
    ends = curves.groupby(["model", "precision", "seed"], sort=False).agg(
        loss=("train_loss", "last"), roc_auc=("valid_roc_auc", "max")
    )
    rows = []
    for model, found in ends.reset_index().groupby("model", sort=False):
        row = {"model": model}
        for score, name in (("loss", "training loss"), ("roc_auc", "validation ROC-AUC")):
            for precision in PRECISIONS:
                row[f"{name}, {precision}"] = runs.interval(found.loc[found["precision"] == precision, score])
            row[f"Δ {name}"] = runs.interval(runs.gain(found, "precision", "bf16", "float32", score), "{:+.3f}")
        rows.append(row | {"seeds": found["seed"].nunique()})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.set_defaults(num_tracks=mclass.scale(smoke=30, cpu=150, gpu=150))
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=8, gpu=8))
    options = parser.parse_args(arguments)
    datasets.load("etude", num_tracks=options.num_tracks, clips_per_track=2, clip_seconds=10)  # rendered once
    plan = [
        {"model": model, "precision": precision, "seed": seed}
        for seed in range(options.seeds)
        for model in MODELS
        for precision in PRECISIONS
    ]
    (table,) = runs.collect(
        run,
        plan,
        [options.out / "precision.csv"],
        tuple(plan[0]),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "precision_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
