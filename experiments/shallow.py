"""How good are the baselines without deep learning? Every pipeline of `mclass.models.shallow` on Etude.

    python -m experiments.shallow [--seeds 3]

At the size of the profile in force (``MCLASS_PROFILE``), split by artist. A seed fixes the split and whatever a
pipeline draws. Pipelines are fitted to the training part and scored once on the test part. Their few options were
chosen on the validation parts of other splits (seeds 10 to 12), which share clips with the test parts here: a
little too good, then, beside a network without such a choice. "guessing" gives all clips one score. Writes
``shallow.csv`` (every run) and ``shallow_summary.csv`` (mean ± standard deviation) in ``experiments/results``, and
prints the seconds of CPU time besides, features included.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mclass
from experiments.supervised import RESULTS, evaluate
from mclass.datasets import MusicDataset
from mclass.metrics import UndefinedTagsWarning
from mclass.models import shallow


def guessing(train: MusicDataset, test: MusicDataset, seed: int) -> np.ndarray:
    """The same score for every clip: ROC-AUC 0.5, and the share of clips with a tag as PR-AUC."""
    return np.zeros(test.labels.shape)


def fitted_scores(name: str, train: MusicDataset, test: MusicDataset, seed: int) -> np.ndarray:
    """Fit a baseline and return its test scores, shape (clips, tags)."""
    options = {"sample_rate": train.sample_rate}
    if "random_state" in inspect.signature(getattr(shallow.pipelines, name)).parameters:
        options["random_state"] = seed
    pipeline = shallow.create(name, **options).fit(shallow.Waveforms(train), train.labels)
    return shallow.scores(pipeline, shallow.Waveforms(test))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-tracks", type=int, default=None)
    parser.add_argument("--models", nargs="+", choices=shallow.list(), default=shallow.list())
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", UndefinedTagsWarning)

    etude = mclass.datasets.load("etude", num_tracks=options.num_tracks)
    rows = []
    for seed in range(options.seeds):
        train, _, test = etude.splits(by="artist", seed=seed)
        for name in ["guessing", *options.models]:
            start = time.process_time()
            scores = guessing(train, test, seed) if name == "guessing" else fitted_scores(name, train, test, seed)
            seconds = time.process_time() - start
            rows.append({"model": name, "split": "artist", "seed": seed, **evaluate(test, scores)})
            print(rows[-1], f"{seconds:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    measures = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "oracle_roc_auc": "ROC-AUC, oracle"}
    groups = table.groupby("model")[list(measures)]
    summary = groups.mean().map("{:.3f}".format) + " ± " + groups.std().map("{:.3f}".format)
    summary = summary.rename(columns=measures).reset_index()
    print(summary.to_string(index=False))
    table["clips"] = len(etude)
    packages = ("scikit-learn", "torch", "symusic")
    table["versions"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    options.out.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(options.out / "shallow.csv", index=False)
    summary.to_csv(options.out / "shallow_summary.csv", index=False)


if __name__ == "__main__":
    main()
