"""From what is said of each file to the labels of a data set: which tags there are, and which file has which.

Taught in: 02_datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mclass.datasets.folder._cells import clean, look_alikes
from mclass.datasets.folder._labelling import Entry, warn
from mclass.errors import DatasetError, unknown_name


class Encoded(NamedTuple):
    """What a data set has of it: `tags`, `multilabel`, multi-hot `labels`, and `known` (None if all are)."""

    tags: list[str]
    multilabel: bool
    labels: np.ndarray
    known: np.ndarray | None


def encode(root: Path, entries: list[Entry], multilabel: bool | None, tags: Sequence[str] | None) -> Encoded:
    """Give each tag a column.

    Parameters
    ----------
    root : Path
        For messages.
    entries : list of Entry
    multilabel : bool, optional
        Whether a file may have several tags; by default, whether any does.
    tags : sequence of str, optional
        The tags and their order; by default all that occur, sorted.
    """
    counts = [len(entry.tags) for entry in entries]
    unknown = any(entry.unknown for entry in entries)
    if multilabel is None:  # a row of zeros among columns of tags has none of them
        by_column = entries[0].unknown is not None
        multilabel = unknown or max(counts) > 1 or (by_column and min(counts) < 1)
    if unknown and not multilabel:
        raise DatasetError(
            f"{root}: some labels are unknown, which single-label data cannot have. Leave these files "
            "out of the table, or pass multilabel=True."
        )
    if not multilabel and set(counts) != {1}:
        wrong = next(entry for entry in entries if len(entry.tags) != 1)
        raise DatasetError(
            f"{root / wrong.path} has {len(wrong.tags)} tags ({', '.join(wrong.tags) or 'none'}); a "
            "single-label data set has one for each file. Pass multilabel=True to allow several or none."
        )
    found = sorted({tag for entry in entries for tag in entry.tags})
    names = found if tags is None else [clean(tag) for tag in tags]
    strange = [tag for tag in found if tag not in names]
    if strange:
        raise DatasetError(f"{root}: {unknown_name('tag', strange[0], names)}")
    if tags is None and (alike := look_alikes(found)):
        named = "; ".join(" and ".join(map(repr, group)) for group in alike)
        warn(
            f"{root}: {named} may be the same label, and count as different ones. Rename one of them; if "
            "they differ, list all labels in tags=."
        )
    absent = [tag for tag in names if tag not in found]
    if absent or len(set(names)) != len(names):
        what = f"no file has {', '.join(map(repr, absent))}" if absent else "a tag is given twice"
        raise DatasetError(
            f"{root}: {what}, of the tags asked for. Nothing can be learned about it: leave it out."
        )
    if len(names) < (1 if multilabel else 2):
        raise DatasetError(
            f"{root}: all {len(entries)} files have the label {', '.join(names) or 'nothing'}; "
            f"a classifier needs at least two. {_nearer_root(root, entries)}"
            if names
            else f"{root}: no file has a tag"
        )
    column = {tag: i for i, tag in enumerate(names)}
    labels = np.zeros((len(entries), len(names)), np.uint8)
    for row, entry in enumerate(entries):
        labels[row, [column[tag] for tag in entry.tags]] = 1
    known = None
    if unknown:
        known = np.ones(labels.shape, bool)
        for row, entry in enumerate(entries):
            known[row, [column[tag] for tag in entry.unknown or () if tag in column]] = False
    return Encoded(names, multilabel, labels, known)


def _nearer_root(root: Path, entries: list[Entry]) -> str:
    """A guess at the root that was meant, where all files are in one folder."""
    tops = {entry.path.split("/")[0] for entry in entries}
    below = {entry.path.split("/")[1] for entry in entries if entry.path.count("/") > 1}
    if len(tops) == 1 and len(below) > 1:
        return f"Did you mean root={str(root / tops.pop())!r}?"
    return "(Is root one level too deep?)"
