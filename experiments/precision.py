"""Does bf16 learn as well as float32? Training curves of both, over several seeds.

    python -m experiments.precision [--models cnn_2d short_chunk_cnn …] [--seeds 3] [--epochs 8]

On a part of Etude small enough to train every model on a CPU: it compares two ways to train one model, it does not
compare models. A seed fixes the split, the crops and the first weights; the two precisions see the same. Writes
``precision.csv`` (one row per epoch) and ``precision_summary.csv`` in ``experiments/results``: the last epoch's
training loss and the best validation ROC-AUC, mean ± standard deviation, and the mean difference between the two
precisions of one seed.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from mclass import datasets, models, training
from mclass.metrics import UndefinedTagsWarning

RESULTS = Path(__file__).with_name("results")
MODELS = ("cnn_2d", "short_chunk_cnn", "musicnn")


def curve(name: str, precision: str, seed: int, epochs: int) -> pd.DataFrame:
    """Train one model; returns its history, one row per epoch."""
    etude = datasets.load("etude", num_tracks=150, clips_per_track=2, clip_seconds=10)
    train, valid, _ = etude.splits(by="artist", seed=seed)
    torch.manual_seed(seed)
    task = training.Tagging(models.create(name, num_tags=len(etude.tags)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)  # few clips: some tags have no example
        run = training.fit(task, train, valid, epochs=epochs, seed=seed, precision=precision, progress=False)
    columns = ["epoch", "train_loss", "valid_loss", "valid_roc_auc"]
    return run.history[columns].assign(model=name, precision=precision, seed=seed)


def summary(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per model and precision."""
    runs = (
        curves.groupby(["model", "precision", "seed"])
        .agg(train_loss=("train_loss", "last"), best_roc_auc=("valid_roc_auc", "max"))
        .unstack("precision")
    )
    rows = []
    for model, table in runs.groupby(level="model", sort=False):
        row = {"model": model, "seeds": len(table)}
        for score, digits in (("train_loss", 4), ("best_roc_auc", 3)):
            for precision in ("float32", "bf16"):
                values = table[score][precision]
                row[f"{score} {precision}"] = f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"
            row[f"{score} difference"] = f"{(table[score]['bf16'] - table[score]['float32']).mean():+.{digits}f}"
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Train everything, print the summary, write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    plan = [
        (name, precision, seed)
        for name in options.models
        for seed in range(options.seeds)
        for precision in ("float32", "bf16")
    ]
    table = pd.read_csv(RESULTS / "precision.csv") if (RESULTS / "precision.csv").exists() else pd.DataFrame()
    curves = [table[~table["model"].isin(options.models)]] if len(table) else []  # other models' rows stay
    for name, precision, seed in tqdm(plan, unit="run"):
        curves.append(curve(name, precision, seed, options.epochs))
        table = pd.concat(curves, ignore_index=True)
        RESULTS.mkdir(exist_ok=True)
        table.to_csv(
            RESULTS / "precision.csv", index=False, float_format="%.5f"
        )  # after each run: a kill costs one
    result = summary(table)
    result.to_csv(RESULTS / "precision_summary.csv", index=False)
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
