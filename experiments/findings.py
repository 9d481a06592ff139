"""What papers and lectures say, checked on Etude: one row per finding, with its effect and interval.

    python -m experiments.findings          # reads the tables of the other experiments; seconds

What each finding is measured by, and on which part of which table, was written down before these tables existed
(those of augmentation and of representations did); every score is that of a test part looked at once per run. The
effect is the mean difference between two runs of one seed that differ in nothing but what the finding is about,
with Student's 95 % interval over seeds.

* ``reproduced``: the interval lies on the side that was published;
* ``not reproduced``: it lies on the other side;
* ``no difference``: it contains zero. Either there is none here, or five seeds do not show it;
* ``open``: fewer than five seeds have been run, so there is no verdict yet.

Of twenty-three intervals of 95 %, one is expected to miss the truth.

Writes ``experiments/results/findings.csv``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments import runs

SEEDS = 5  # with fewer there is no verdict
Tables = Callable[[str], pd.DataFrame]


@dataclass
class Finding:
    """A published finding, and how its effect is read from the tables.

    Attributes
    ----------
    says : str
    source : str
        Paper, or "lecture" for rules of thumb.
    score : str
        What is compared; "%" of the labels where there is a budget.
    differences : callable
        From a function that reads a table to one difference per seed. Positive ones speak for the finding.
    published : {"better", "no gain"}
        For the latter, an interval that contains zero is what was published.
    """

    says: str
    source: str
    score: str
    differences: Callable[[Tables], np.ndarray]
    published: str = "better"

    def row(self, tables: Tables) -> dict:
        """A row of the table."""
        values = np.asarray(self.differences(tables))
        _, low, high = runs.paired(values)
        return {
            "finding": self.says,
            "source": self.source,
            "measured by": self.score,
            "effect": runs.interval(values, "{:+.3f}"),
            "seeds": len(values),
            "here": verdict(low, high, self.published) if len(values) >= SEEDS else "open",
        }


def verdict(low: float, high: float, published: str = "better") -> str:
    """What an interval says about a finding.

    >>> verdict(0.01, 0.03), verdict(-0.03, -0.01), verdict(-0.01, 0.03)
    ('reproduced', 'not reproduced', 'no difference')
    >>> verdict(-0.01, 0.03, "no gain"), verdict(0.01, 0.03, "no gain")
    ('no difference, as published', 'not reproduced')
    """
    if published == "no gain":
        return "not reproduced" if low > 0 else "reproduced" if high < 0 else "no difference, as published"
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "no difference"


def between(
    table: str, column: str, one: str, other: str, score: str = "roc_auc", **where: object
) -> Callable[[Tables], np.ndarray]:
    """Differences of a score between two conditions of a table, seed by seed, in the rows where columns say so."""

    def differences(tables: Tables) -> np.ndarray:
        found = tables(table)
        for name, value in where.items():
            found = found[found[name] == value]
        return runs.gain(found, column, one, other, score)

    return differences


def columns(table: str, one: str, other: str, **where: object) -> Callable[[Tables], np.ndarray]:
    """Differences between two scores of the same runs."""

    def differences(tables: Tables) -> np.ndarray:
        found = tables(table)
        for name, value in where.items():
            found = found[found[name] == value]
        return (found[one] - found[other]).to_numpy()

    return differences


def over_encoders(way: str, before: str, encoders: tuple[str, ...]) -> Callable[[Tables], np.ndarray]:
    """What a step of the retrieval ablation gains in recall@1: for each seed, the mean over encoders."""

    def differences(tables: Tables) -> np.ndarray:
        parts = [between("metric_learning", "way", way, before, "recall@1", encoder=e)(tables) for e in encoders]
        return np.mean(parts, axis=0)

    return differences


def interaction(tables: Tables) -> np.ndarray:
    """What disentanglement gains with non-linear encoders, minus what it gains with the linear one."""
    step = "+ notions", "+ track"
    return over_encoders(*step, ("CNN", "MusiCNN"))(tables) - over_encoders(*step, ("Linear",))(tables)


def clmr(budget: float) -> Callable[[Tables], np.ndarray]:
    """A linear probe on CLMR's embedding against the network trained with the labels."""

    def differences(tables: Tables) -> np.ndarray:
        found = tables("clmr")
        found = found[(found["budget"] == budget) & found["learner"].isin(["linear", "network"])]
        return runs.gain(found, "encoder", "clmr", "supervised", "roc_auc")

    return differences


def optimizer(one: str, other: str) -> Callable[[Tables], np.ndarray]:
    return between("optimizers", "name", one, other, comparison="optimizer")


def network(one: str, other: str, size: str, score: str = "roc_auc") -> Callable[[Tables], np.ndarray]:
    return between("networks", "network", one, other, score, size=size)


LECTURE, REPORT = "lecture", "homework report"
FINDINGS = [
    Finding(
        "Adam beats SGD in few epochs", "Kingma and Ba 2015", "ROC-AUC after 3 epochs", optimizer("adam", "sgd")
    ),
    Finding("NAdam beats SGD in few epochs", "Dozat 2016", "ROC-AUC after 3 epochs", optimizer("nadam", "sgd")),
    Finding(
        "The focal loss is better on rare tags than cross-entropy",
        "Lin et al. 2017",
        "PR-AUC of the 25 rarest tags",
        network("CNN, focal", "CNN", "all", "rare_pr_auc"),
    ),
    Finding("GELU is better than ReLU", LECTURE, "ROC-AUC", network("CNN, GELU", "CNN", "all")),
    Finding(
        "A deeper short-chunk CNN beats a CNN of four layers",
        "Won et al. 2020",
        "ROC-AUC",
        network("short-chunk", "CNN", "all"),
    ),
    Finding(
        "Augmenting waveforms helps",
        LECTURE,
        "ROC-AUC, all artists",
        between("augmentation", "condition", "chain", "none", size="all"),
    ),
    Finding(
        "… above all with few clips",
        LECTURE,
        "ROC-AUC, ten artists",
        between("augmentation", "condition", "chain", "none", size="few"),
    ),
    Finding(
        "Mel spectrograms of several resolutions help",
        LECTURE,
        "ROC-AUC",
        between("representations", "front_end", "multi-resolution log-mel", "log-mel"),
    ),
    Finding(
        "Musical filters (Musicnn) help with little data",
        "Pons et al. 2018",
        "ROC-AUC, ten artists, against the CNN",
        network("Musicnn", "CNN", "few"),
    ),
    Finding(
        "Learning from raw waveforms (SampleCNN) needs more data",
        "Pons et al. 2018",
        "ROC-AUC, ten artists, the CNN against it",
        network("CNN", "SampleCNN", "few"),
    ),
    Finding(
        "The mean over a clip's chunks is better than its chunks",
        LECTURE,
        "ROC-AUC of clips and of chunks",
        columns("networks", "roc_auc", "chunk_roc_auc", network="CNN", size="all"),
    ),
    Finding(
        "A split by track flatters (artists leak)",
        "Flexer 2007",
        "ROC-AUC, against the split by artist",
        network("CNN, split by track", "CNN", "all"),
    ),
    Finding(
        "A split by clip flatters (tracks leak)",
        LECTURE,
        "ROC-AUC, against the split by artist",
        network("CNN, split by clip", "CNN", "all"),
    ),
    *(
        Finding(
            "A noisy student beats its teacher",
            "Won et al. 2021",
            f"ROC-AUC, {100 * budget:.0f} % of the labels",
            between("semi_supervised", "way", "noisy student 1", "supervised, noise", budget=budget),
        )
        for budget in (0.05, 0.24)
    ),
    Finding(
        "A small network learns better from a large one",
        "Hinton et al. 2015",
        "ROC-AUC, all labels",
        between("semi_supervised", "way", "small, distilled", "small", budget=1.0),
    ),
    *(
        Finding(
            "CLMR and a line beat the supervised network when labels are few",
            "Spijkervet and Burgoyne 2021",
            f"ROC-AUC, {100 * budget:.0f} % of the labels",
            clmr(budget),
        )
        for budget in (0.01, 0.05)
    ),
    Finding(
        "Track regularisation finds more",
        REPORT,
        "recall@1, three encoders",
        over_encoders("+ track", "+ normalisation", ("Linear", "CNN", "MusiCNN")),
    ),
    Finding(
        "Disentanglement helps non-linear encoders",
        REPORT,
        "recall@1, CNN and MusiCNN",
        over_encoders("+ notions", "+ track", ("CNN", "MusiCNN")),
    ),
    Finding("… more than a linear one", REPORT, "recall@1, the two gains compared", interaction),
    Finding(
        "Random triplets are better than easy ones",
        REPORT,
        "recall@1, CNN",
        between("metric_learning", "way", "+ normalisation", "easy", "recall@1", encoder="CNN"),
    ),
    Finding(
        "Triplets of a tagger's errors do not help",
        REPORT,
        "recall@1, CNN, against random ones",
        between("metric_learning", "way", "errors", "+ normalisation", "recall@1", encoder="CNN"),
        published="no gain",
    ),
]


def check(folder: Path) -> pd.DataFrame:
    """The table of all findings, from the tables in a folder.

    Raises
    ------
    FileNotFoundError
        If an experiment has not been run.
    """
    return pd.DataFrame([finding.row(lambda name: pd.read_csv(folder / f"{name}.csv")) for finding in FINDINGS])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=runs.RESULTS)
    options = parser.parse_args(arguments)
    table = check(options.out)
    runs.write(table, options.out / "findings.csv")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
