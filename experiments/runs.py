"""What the experiments share: runs that can be killed and go on, paired differences, what made a number.

An experiment is a plan: a list of options, each a run that trains and scores once. `collect` does those that are
not in the table yet, several at a time, one thread each; `arguments` is the command line of all of them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm import tqdm

import mclass
from mclass.metrics import UndefinedQueriesWarning, UndefinedTagsWarning
from mclass.mining import MiningWarning

RESULTS = Path(__file__).with_name("results")


def arguments(documentation: str, seeds: int = 5) -> argparse.ArgumentParser:
    """The options that every experiment has."""
    parser = argparse.ArgumentParser(description=documentation.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=mclass.scale(smoke=2, cpu=seeds, gpu=seeds))
    parser.add_argument("--num-tracks", type=int, default=None, help="of Etude, None: all of them (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that train, one thread each")
    parser.add_argument("--fresh", action="store_true", help="repeat runs that are in the table already")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


def collect(
    run: Callable[..., Sequence[list[dict]]],
    plan: Sequence[dict],
    paths: Sequence[Path],
    keys: Sequence[str],
    *,
    size: Mapping[str, object] | None = None,
    workers: int = 2,
    fresh: bool = False,
) -> list[pd.DataFrame]:
    """Do the runs of a plan that are not in the first table yet; store each as soon as it is done.

    Parameters
    ----------
    run : callable
        Called with the options of a run; returns a list of rows for each of `paths`.
    plan : sequence of dict
        In the order in which runs are done, and rows are stored.
    paths : sequence of Path
        Tables. In the first, every run has a row.
    keys : sequence of str
        Options that tell one run from another. They are added to its rows.
    size : dict, optional
        Other options of `run`, the same for all runs and stored with them: epochs, tracks, ….
    workers : int
    fresh : bool
        Repeat what is there.

    Returns
    -------
    list of pandas.DataFrame
        As stored, so that what is made of them follows from the files to the last digit.

    Raises
    ------
    SystemExit
        If a table holds runs of another size.
    """
    size = dict(size or {})
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    tables = [pd.read_csv(path) if path.exists() and not fresh else pd.DataFrame() for path in paths]
    for name, value in size.items():
        if len(tables[0]) and not _same(tables[0][name], value):
            raise SystemExit(
                f"{paths[0]} holds runs with other {name} than {value}: {tables[0][name].unique().tolist()}. "
                "Give --fresh to repeat them, or another --out."
            )
    order = {_key(one, keys): place for place, one in enumerate(plan)}
    done = {_key(row, keys) for row in tables[0].to_dict("records")}
    todo = [one for one in plan if _key(one, keys) not in done]
    jobs = joblib.Parallel(workers, return_as="generator_unordered")(
        joblib.delayed(_alone)(run, one, keys, size) for one in todo
    )
    for found in tqdm(jobs, total=len(todo), unit="run"):
        for i, (rows, path) in enumerate(zip(found, paths, strict=True)):
            if rows:
                tables[i] = pd.concat([tables[i], pd.DataFrame(rows)], ignore_index=True)
                place = [order.get(_key(row, keys), len(order)) for row in tables[i].to_dict("records")]
                tables[i] = tables[i].iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
                write(tables[i].round(5), path)  # after each run: a kill costs one or two
    return [pd.read_csv(path) if path.exists() else pd.DataFrame() for path in paths]


def _alone(run: Callable, one: dict, keys: Sequence[str], size: dict) -> list[list[dict]]:
    """One run in a process of its own, with warnings that no reader of a table needs left out."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        for kind in (UndefinedTagsWarning, UndefinedQueriesWarning, MiningWarning):
            warnings.simplefilter("ignore", kind)
        found = run(**one, **size)
    about = {key: one[key] for key in keys}
    return [[about | row | size | {"made_with": made_with()} for row in rows] for rows in found]


def _key(row: Mapping, keys: Sequence[str]) -> tuple:
    return tuple(str(row[key]) for key in keys)


def _same(column: pd.Series, value: object) -> bool:
    return column.isna().all() if value is None else (column.astype(str) == str(value)).all()


def write(table: pd.DataFrame, path: Path) -> None:
    """Store a table under its name once it is complete."""
    part = path.with_suffix(f".{os.getpid()}.part")
    table.to_csv(part, index=False)
    part.replace(path)


def made_with() -> str:
    """Versions of what decides the numbers, and the commit, with a ``+`` where the package differs from it.

    Early runs did not note a commit; their rows name the one that stored them.
    """
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "symusic")]
    try:
        root = Path(__file__).parent.parent
        git = ["git", "-C", str(root)]
        commit = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        )
        dirty = subprocess.run([*git, "status", "--porcelain", "mclass"], capture_output=True, text=True).stdout
        versions.append(f"commit {commit.stdout.strip()}{'+' if dirty else ''}")
    except (OSError, subprocess.CalledProcessError):  # not a clone
        pass
    return " ".join(versions)


def paired(differences: Iterable[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of paired differences and Student's interval around it; no interval around a single one.

    >>> [round(float(value), 3) for value in paired([0.01, 0.02, 0.03])]
    [0.02, -0.005, 0.045]
    """
    values = np.asarray(list(differences), dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return float(values.mean()) if len(values) else np.nan, np.nan, np.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half


def interval(values: Iterable[float], pattern: str = "{:.3f}") -> str:
    """Mean and Student's 95 % interval, for a table.

    >>> interval([0.70, 0.71, 0.72])
    '0.710 [0.685, 0.735]'
    """
    mean, low, high = paired(values)
    return pattern.format(mean) if np.isnan(low) else f"{pattern} [{pattern}, {pattern}]".format(mean, low, high)


def gain(table: pd.DataFrame, column: str, one: str, other: str, score: str) -> np.ndarray:
    """Differences of a score between the runs of two conditions, seed by seed.

    >>> table = pd.DataFrame({"way": ["a", "b", "a"], "seed": [0, 0, 1], "roc_auc": [0.7, 0.6, 0.8]})
    >>> gain(table, "way", "a", "b", "roc_auc").round(2)
    array([0.1])
    """
    wide = table.pivot(index="seed", columns=column, values=score)
    if not {one, other} <= set(wide.columns):
        return np.empty(0)
    return (wide[one] - wide[other]).dropna().to_numpy()
