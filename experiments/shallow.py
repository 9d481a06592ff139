"""How good are the baselines without deep learning? Every pipeline of `mclass.models.shallow` on Etude.

    python -m experiments.shallow [--seeds 5] [--workers 2] [--fresh]

Split by artist. A seed fixes the split and whatever a pipeline draws. Pipelines are fitted to the training part
and scored once on the test part. Their few options were chosen on the validation parts of other splits (seeds
10 to 12), which share clips with the test parts here: a little too good, then, beside a network without such a
choice. "guessing" gives all clips one score. Writes in ``experiments/results``:

* ``shallow.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``shallow_summary.csv``: means, and differences to statistics of MFCC with logistic regression, with Student's
  95 % intervals over seeds.
"""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd

import mclass
from experiments import runs
from experiments.supervised import SCORES, evaluate
from mclass.datasets import MusicDataset
from mclass.models import shallow

GUESSING = "guessing"
REFERENCE = "mfcc_logistic"  # the simplest


def fitted_scores(name: str, train: MusicDataset, test: MusicDataset, seed: int) -> np.ndarray:
    """Fit a baseline and return its test scores, shape (clips, tags)."""
    options = {"sample_rate": train.sample_rate}
    if "random_state" in inspect.signature(getattr(shallow.pipelines, name)).parameters:
        options["random_state"] = seed
    pipeline = shallow.create(name, **options).fit(shallow.Waveforms(train), train.labels)
    return shallow.scores(pipeline, shallow.Waveforms(test))


def run(model: str, seed: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Fit and score once; a row of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    train, _, test = etude.splits(by="artist", seed=seed)
    # One score for every clip: ROC-AUC 0.5, and the share of clips with a tag as PR-AUC.
    scores = np.zeros(test.labels.shape) if model == GUESSING else fitted_scores(model, train, test, seed)
    return ([evaluate(test, scores) | {"clips": len(etude)}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each pipeline."""
    rows = []
    for model, found in table.groupby("model", sort=False):
        row = {"model": model} | {name: runs.interval(found[score]) for score, name in SCORES.items()}
        gain = runs.interval(runs.gain(table, "model", model, REFERENCE, "roc_auc"), "{:+.3f}")
        rows.append(row | {"Δ ROC-AUC": "–" if model == REFERENCE else gain, "seeds": len(found)})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    options = runs.arguments(__doc__).parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    plan = [
        {"model": model, "seed": seed} for seed in range(options.seeds) for model in (GUESSING, *shallow.list())
    ]
    (table,) = runs.collect(
        run,
        plan,
        [options.out / "shallow.csv"],
        tuple(plan[0]),
        size={"num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "shallow_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
