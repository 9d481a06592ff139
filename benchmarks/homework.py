"""What the open questions of the homework are worth: baselines and the solutions, on held-out music of five seeds.

``python -m benchmarks.homework`` writes ``benchmarks/results/homework.csv``, every score, and
``homework_summary.csv``: lowest, mean and highest score of each, and the points that the scale gives for them. The
scales stand in the masters' hidden tests; these tables are what they were chosen by. Set ``MCLASS_PROFILE=cpu``.
``--points`` measures nothing: after a scale was changed, it computes the points of the stored scores again.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mclass import models
from mclass.models import shallow
from mclass_grading import held_out
from mclass_grading.notebooks import Homework

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("results") / "homework.csv"
SEEDS = (987_654, 424_242, 31_337, 20_250_117, 8_675_309)


def solved(homework: Homework) -> dict:
    """The names that a master's cells define, tests left out."""
    space: dict = {"__name__": "homework"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in homework.cells:
            if cell.kind == "code" and not cell.is_test:
                exec(compile(cell.source, cell.grade_id or "cell", "exec"), space)
    return space


def scored(homework: Homework, test: str, name: str, function: Callable, seed: int) -> tuple[float, float]:
    """Run a test with `function` in the place of the student's: the score and its points."""
    tree = ast.parse(homework.by_id()[test].source)
    last, found = tree.body.pop(), []
    real = held_out.points

    def points(score, scale):
        found.append(float(score))
        return real(score, scale)

    space = {"__name__": "test", name: function}
    with (
        mock.patch.dict(os.environ, {held_out.VARIABLE: str(seed)}),
        mock.patch.object(held_out, "points", points),
    ):
        exec(compile(tree, test, "exec"), space)
        worth = eval(compile(ast.Expression(last.value), test, "eval"), space)
    return found[0], float(worth)


def scale_of(homework: Homework, test: str) -> dict[float, float]:
    """The scale that a test has in the cpu profile: what its text assigns to `scale`."""
    for statement in ast.parse(homework.by_id()[test].source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "scale":
            by_profile = {keyword.arg: keyword.value for keyword in statement.value.keywords}
            return ast.literal_eval(by_profile["cpu"])
    raise ValueError(f"{homework.name}: {test} assigns nothing to `scale`")


def three_numbers(waveforms: np.ndarray) -> np.ndarray:
    """Centroid, zero crossings and level of whole notes."""
    magnitude = np.abs(np.fft.rfft(waveforms, axis=1))
    centre = (magnitude * np.arange(magnitude.shape[1])).sum(1) / np.maximum(magnitude.sum(1), 1e-9)
    crossings = (np.diff(np.sign(waveforms), axis=1) != 0).mean(1)
    return np.stack([centre, crossings, np.sqrt((waveforms**2).mean(1))], axis=1)


def instruments(space: dict) -> dict[str, Callable]:
    """Recognisers for question 5 of the first homework."""
    notes = space["train"]
    heard, families = space["sounds"](notes), notes.labels.argmax(axis=1)
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(three_numbers(heard), families)
    logistic = shallow.create("mfcc_logistic").fit(heard, families)
    machine = shallow.create("mfcc_svm", C=10).fit(heard, families)
    return {
        "three numbers, nearest neighbours": lambda x: nearest.predict_proba(three_numbers(x)),
        "MFCC statistics, logistic regression": lambda x: shallow.scores(logistic, x),
        "MFCC statistics, support vector machine": lambda x: shallow.scores(machine, x),
        "the solution": space["recognise"],
    }


def taggers(space: dict) -> dict[str, Callable]:
    """For question 2 of the second homework."""
    baseline, network = space["train_baseline"]().cpu(), space["network"]
    heard, labels = space["clips_of"](space["train"]), space["train"].labels
    logistic = shallow.create("mfcc_logistic").fit(heard, labels)
    machine = shallow.create("mfcc_svm").fit(heard, labels)
    return {
        "the baseline of the notebook": lambda x: space["chunk_means"](baseline, x),
        "MFCC statistics, logistic regression": lambda x: shallow.scores(logistic, x),
        "MFCC statistics, support vector machine": lambda x: shallow.scores(machine, x),
        "1D-CNN, 25 epochs": lambda x: space["chunk_means"](network, x),
        "the solution": space["tag_clips"],
    }


def embeddings(space: dict) -> dict[str, Callable]:
    """For question 4 of the second homework."""
    torch.manual_seed(0)
    untrained = models.create("cnn_embedding", num_tags=50, dim=64).eval()
    triplets, network = space["train_embedding"]().cpu(), space["network"]
    statistics = space["statistics"]  # fitted on the training part, as a student's are
    known = statistics.transform(space["clips_of"](space["train"]))
    return {
        "a network that has learned nothing": lambda x: space["chunk_means"](untrained.embed, x),
        "the baseline of the notebook: triplets": lambda x: space["chunk_means"](triplets.embed, x),
        "MFCC statistics": lambda x: (statistics.transform(x) - known.mean(0)) / known.std(0),
        "what the 1D-CNN of question 2 sees": lambda x: space["chunk_means"](network.embed, x),
        "the solution": space["embed_clips"],
    }


def few_labels(space: dict) -> dict[str, Callable]:
    """For question 4 of the third homework."""
    (_, merged), (_, plain), _ = space["learners"]
    machine = shallow.create("mfcc_svm").fit(space["clips_of"](space["labelled"]), space["merged"])
    return {
        "the baseline of the notebook": lambda x: shallow.scores(space["baseline"], x),
        "merged synonyms, support vector machine": lambda x: shallow.scores(machine, x),
        "typical sounds of all clips": plain,
        "and merged synonyms": merged,
        "the solution": space["tag_clips"],
    }


OPEN = (
    ("hw1", "q5-tests", "recognise", "accuracy", instruments),
    ("hw2", "q2-tests", "tag_clips", "ROC-AUC", taggers),
    ("hw2", "q4-tests", "embed_clips", "recall@4 above the reference", embeddings),
    ("hw3", "q4-tests", "tag_clips", "ROC-AUC above the baseline", few_labels),
)


def label(name: str, test: str) -> str:
    """What a question is called in the tables.

    >>> label("hw2", "q4-tests")
    'HW2, q4'
    """
    return f"{name.upper()}, {test.partition('-')[0]}"


def measured() -> pd.DataFrame:
    """Every way on the held-out music of every seed: a row for each."""
    rows, spaces = [], {}
    for name, test, function, metric, ways in OPEN:
        homework = Homework.read(ROOT / "homework" / f"{name}.ipynb")
        if name not in spaces:
            spaces[name] = solved(homework)
        for way, one in ways(spaces[name]).items():
            for seed in SEEDS:
                score, points = scored(homework, test, function, one, seed)
                rows.append((label(name, test), metric, way, seed, round(score, 4), points))
            print(*rows[-1], flush=True)
    return pd.DataFrame(rows, columns=["question", "metric", "way", "seed", "score", "points"])


def with_points(table: pd.DataFrame) -> pd.DataFrame:
    """The stored scores with the points that the scales give today."""
    scales = {
        label(name, test): scale_of(Homework.read(ROOT / "homework" / f"{name}.ipynb"), test)
        for name, test, *_ in OPEN
    }
    worth = [float(held_out.points(s, scales[q])) for q, s in zip(table.question, table.score, strict=True)]
    return table.assign(points=worth)


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Lowest, mean and highest score of each way, and the range of its points."""
    groups = table.groupby(["question", "metric", "way"], sort=False)
    summary = groups.agg(
        lowest=("score", "min"), mean=("score", "mean"), highest=("score", "max"), low=("points", "min"),
        high=("points", "max"),
    ).reset_index()  # fmt: skip
    summary["points"] = [
        f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b in zip(summary.low, summary.high, strict=True)
    ]
    return summary.drop(columns=["low", "high"]).round(3)


def main(arguments: list[str] | None = None) -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", action="store_true", help="only the points again, from the stored scores")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    table = with_points(pd.read_csv(TABLE)) if options.points else measured()
    table.to_csv(TABLE, index=False)
    summary = summarised(table)
    summary.to_csv(TABLE.with_name("homework_summary.csv"), index=False)
    print(summary.to_string(index=False))


if __name__ == "__main__":
    main()
