"""How hard is Etude? The homework's 2D-CNN against a simple baseline, and what leaky splits pretend.

    python -m experiments.supervised [--seeds 3] [--epochs 5]

For every seed, at the size of the profile in force (``MCLASS_PROFILE``):

* the 2D-CNN on splits by artist, by track and by clip; clip-level scores are means over three-second chunks;
* mean MFCCs and logistic regression on the split by artist.

A seed fixes the split, the crops and the first weights. The best epoch is chosen on the validation part; the test
part is scored once. Writes ``supervised.csv`` (every run) and ``supervised_summary.csv`` (mean ± standard
deviation) in ``experiments/results``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
import warnings
from pathlib import Path

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
from mclass import inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.metrics import UndefinedTagsWarning

RESULTS = Path(__file__).with_name("results")


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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=5, gpu=60))
    parser.add_argument("--num-tracks", type=int, default=None)
    parser.add_argument("--splits", nargs="+", default=["artist", "track", "clip"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", UndefinedTagsWarning)

    etude = mclass.datasets.load("etude", num_tracks=options.num_tracks)
    features = mean_mfcc(etude)
    rows = []
    for seed in range(options.seeds):
        for by in options.splits:
            train, valid, test = etude.splits(by=by, seed=seed)
            start = time.perf_counter()
            scores = cnn_2d(train, valid, test, seed, options.epochs)
            seconds = time.perf_counter() - start
            rows.append(
                {"model": "cnn_2d", "split": by, "seed": seed, **evaluate(test, scores), "seconds": seconds}
            )
            print(rows[-1], flush=True)
            if by == "artist":
                scores = logistic_regression(features[train.indices], train.labels, features[test.indices])
                rows.append({"model": "mean MFCC + LR", "split": by, "seed": seed, **evaluate(test, scores)})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    measures = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "oracle_roc_auc": "ROC-AUC, oracle"}
    groups = table.groupby(["model", "split"])[list(measures)]
    summary = groups.mean().map("{:.3f}".format) + " ± " + groups.std().map("{:.3f}".format)
    summary = summary.rename(columns=measures).reset_index()
    print(summary.to_string(index=False))
    table["clips"], table["epochs"] = len(etude), options.epochs
    table["versions"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "symusic"))
    options.out.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(options.out / "supervised.csv", index=False)
    summary.to_csv(options.out / "supervised_summary.csv", index=False)


if __name__ == "__main__":
    main()
