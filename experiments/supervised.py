"""How hard is Etude? The homework's 2D-CNN against a simple baseline, and what leaky splits pretend.

    python -m experiments.supervised [--seeds 5] [--workers 2] [--fresh]

* The 2D-CNN on splits by artist, by track and by clip; clip-level scores are means over three-second chunks;
* mean MFCCs and logistic regression on the split by artist.

A seed fixes the split, the crops and the first weights. The best epoch is chosen on the validation part; the test
part is scored once. Writes in ``experiments/results``:

* ``supervised.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``supervised_summary.csv``: means, and differences to the split by artist, with Student's 95 % intervals over
  seeds.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

import mclass
from experiments import runs
from mclass import inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.metrics import UndefinedTagsWarning

NETWORK, BASELINE = "cnn_2d", "mean MFCC + LR"
SPLITS = ("artist", "track", "clip")
SCORES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "oracle_roc_auc": "ROC-AUC, oracle"}


def cnn_2d(
    train: MusicDataset, valid: MusicDataset, test: MusicDataset, seed: int, epochs: int, batch_size: int = 16
) -> np.ndarray:
    """Train the 2D-CNN and return its test scores, shape (clips, tags)."""
    torch.manual_seed(seed)
    task = training.Tagging(models.create("cnn_2d", num_tags=len(train.tags)))
    training.fit(task, train, valid, epochs=epochs, batch_size=batch_size, seed=seed, progress=False)
    return inference.predict(task.model, test)


def mean_mfcc(dataset: MusicDataset) -> np.ndarray:
    """The mean of 20 MFCCs over each clip, shape (clips, 20)."""

    def features(index: int) -> np.ndarray:
        mfcc = librosa.feature.mfcc(y=dataset.waveform(index).numpy(), sr=dataset.sample_rate, n_mfcc=20)
        return mfcc.mean(axis=1)

    return np.stack([features(i) for i in tqdm(range(len(dataset)), "MFCC", unit="clip")])


def logistic_regression(features: np.ndarray, labels: np.ndarray, test_features: np.ndarray) -> np.ndarray:
    """One-against-rest logistic regression; returns test probabilities, shape (clips, tags)."""
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")
        return model.fit(features, labels).predict_proba(test_features)


def evaluate(test: MusicDataset, scores: np.ndarray) -> dict[str, float]:
    oracle = test.parent.oracle[test.indices]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)
        return {
            "roc_auc": metrics.roc_auc(test.labels, scores, tags=test.tags),
            "pr_auc": metrics.pr_auc(test.labels, scores, tags=test.tags),
            "oracle_roc_auc": metrics.roc_auc(oracle, scores, tags=test.tags),
            "undefined_tags": len(metrics.undefined_tags(test.labels, test.tags)),
        }


def run(model: str, split: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    train, valid, test = etude.splits(by=split, seed=seed)
    if model == NETWORK:
        scores = cnn_2d(train, valid, test, seed, epochs)
    else:
        scores = logistic_regression(mean_mfcc(train), train.labels, mean_mfcc(test))
    return ([evaluate(test, scores) | {"clips": len(etude)}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each model and split; differences are between splits, for the network."""
    rows = []
    for (model, split), found in table.groupby(["model", "split"], sort=False):
        row = {"model": model, "split": split}
        row |= {name: runs.interval(found[score]) for score, name in SCORES.items()}
        leak = runs.gain(table[table["model"] == model], "split", split, "artist", "roc_auc")
        row["Δ ROC-AUC"] = "–" if split == "artist" else runs.interval(leak, "{:+.3f}")
        rows.append(row | {"seeds": len(found)})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=5, gpu=60))
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    conditions = [(NETWORK, split) for split in SPLITS] + [(BASELINE, "artist")]
    plan = [
        {"model": model, "split": split, "seed": seed}
        for seed in range(options.seeds)
        for model, split in conditions
    ]
    (table,) = runs.collect(
        run,
        plan,
        [options.out / "supervised.csv"],
        tuple(plan[0]),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "supervised_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
