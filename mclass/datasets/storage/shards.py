"""Tar shards: a few large files instead of a million small ones, and the index that says what they hold.

Shards follow the WebDataset convention: the members of an example follow each other and share a name, ::

    000000017.json   {"index": 17, "tags": ["guitar", "slow"], "track": …, "artist": …, "samples": …, "crc32": …}
    000000017.flac   the sound

(where some labels are unknown, ``"known"`` lists the tags whose label is not)

and ``index.json`` beside them says what they hold together. Nothing is ever unpacked to disk.

Taught in: 02_datasets.
"""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mclass._utils.files import user_path
from mclass._utils.schemas import ShardIndex, read_json
from mclass.errors import DatasetError, unknown_name

FORMAT = "mclass shards, version 1"
PARTS = ("train", "valid", "test")


class Shards:
    """Shards of one part of a data set, as their index describes them; holds no clips and no labels.

    `mclass.training.fit` trains on them (with `ShardStream`).

    Parameters
    ----------
    where : str, path, or a sequence of them
        The folder of the shards; or the shards, as in ``"data/train-{0000..0127}.tar"`` or
        ``"data/train-*.tar"``. ``index.json`` is looked for beside them. Addresses (``https://…``, ``s3://…``) are
        read through ``fsspec``.
    part : {"train", "valid", "test"}, optional
        Of a folder's; "train" if not given.

    Attributes
    ----------
    paths : list of str
    counts : np.ndarray, shape (num_shards,)
        Clips in each shard.
    tag_counts : np.ndarray, shape (num_tags,)
        Clips with each tag.
    partly_labelled : bool
        Whether some labels are unknown.
    shortest, longest : int
        Samples of the shortest and of the longest clip.
    fingerprint : str
        Names exactly this data.

    Raises
    ------
    DatasetError
        If there is no index, or it does not know a shard that was asked for.
    """

    def __init__(self, where: str | os.PathLike | Sequence, part: str | None = None):
        if part is not None and part not in PARTS:
            raise ValueError(unknown_name("part", part, PARTS))
        patterns = [where] if isinstance(where, str | os.PathLike) else list(where)
        patterns = [str(pattern).rstrip("/") for pattern in patterns]
        if not patterns:
            raise DatasetError("no shards were named")
        is_folder = not any(pattern.endswith(".tar") for pattern in patterns)
        self.root = patterns[0] if is_folder else os.path.dirname(patterns[0]) or "."
        index = read_index(self.root)
        known = {record["name"]: record for record in index["shards"]}
        if is_folder:
            records = [record for record in index["shards"] if record["part"] == (part or "train")]
        else:
            records = [known[name] for pattern in patterns for name in _matching(pattern, self.root, known)]
        names = [record["name"] for record in records]
        if not records or len(set(names)) != len(names):
            what = "a shard is named twice" if records else f"there are no {part or 'train'} shards"
            raise DatasetError(f"{', '.join(patterns)}: {what}. The index knows {_listed(known)}.")
        if len({record["part"] for record in records}) > 1:
            raise DatasetError(f"{', '.join(patterns)}: shards of different parts are not to be mixed")
        self.name, self.tags, self.part = index["name"], list(index["tags"]), records[0]["part"]
        self.sample_rate, self.multilabel = index["sample_rate"], index["multilabel"]
        self.partly_labelled = has_unknown(index, self.root)
        self.fingerprint, self.encoding = index["fingerprint"], index["encoding"]
        self.paths = [f"{self.root}/{name}" for name in names]
        self.counts = np.array([record["clips"] for record in records])
        if not self.counts.sum():
            raise DatasetError(f"{', '.join(patterns)}: these shards hold no clips")
        self.tag_counts = np.sum([record["tag_counts"] for record in records], axis=0)
        self.shortest = min(record["shortest"] for record in records if record["clips"])
        self.longest = max(record["longest"] for record in records)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __repr__(self) -> str:
        return (
            f"Shards({self.name!r}, {self.part}: {len(self)} clips in {len(self.paths)} shards, "
            f"{len(self.tags)} tags, {self.sample_rate} Hz)"
        )


def read_index(root: str | os.PathLike) -> dict:
    """The ``index.json`` of a folder of shards.

    Raises
    ------
    DatasetError
        If there is none.
    """
    where = f"{root}/index.json"
    try:
        with open_anywhere(where) as file:
            index = read_json(ShardIndex, file.read(), FORMAT)
        if any(len(record["tag_counts"]) != len(index["tags"]) for record in index["shards"]):
            raise ValueError("a shard counts other tags than the index has")
        return index
    except (OSError, ImportError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
    raise DatasetError(
        f"{where}: {found}. Give the folder that `mclass data shard` wrote, or shards in it: "
        "'shards/train-{0000..0127}.tar'."
    ) from None


def has_unknown(index: dict, root: str | os.PathLike) -> bool:
    """Whether shards have unknown labels, by their index.

    Warns
    -----
    UserWarning
        If they are OpenMIC's and of a version of this package that did not write which labels are known.
    """
    if "partly_labelled" not in index and index["name"] == "openmic":
        warnings.warn(
            f"{root}: these shards do not say which labels of OpenMIC are known, so every unknown one counts as "
            '"no". Write them again (mclass data shard).',
            stacklevel=3,
        )
    return bool(index.get("partly_labelled"))


def open_anywhere(where: str) -> Any:
    """A file to read bytes from: a path, or an address that fsspec knows."""
    if "://" not in where:
        return open(user_path(where), "rb")
    import fsspec

    return fsspec.open(where, "rb").open()


def expand_braces(pattern: str) -> list[str]:
    """What a shell makes of numbers in braces.

    >>> expand_braces("train-{08..10}.tar")
    ['train-08.tar', 'train-09.tar', 'train-10.tar']
    """
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        return [pattern]
    first, last = found[1], found[2]
    if int(last) < int(first):
        raise DatasetError(f"{pattern!r}: {found[0]} counts down; write {{{last}..{first}}}")
    names = [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return [
        one for name in names for one in expand_braces(pattern[: found.start()] + name + pattern[found.end() :])
    ]


def _matching(pattern: str, root: str, known: dict[str, dict]) -> list[str]:
    folder, name = os.path.split(pattern)
    if (folder or ".") != root:
        raise DatasetError(f"{pattern!r}: shards are to lie in one folder, and the first lie in {root!r}")
    names = []
    for one in expand_braces(name):
        found = [other for other in known if fnmatch.fnmatchcase(other, one)]
        if not found:
            near = {other: known[other] for other in known if other.split("-")[0] == one.split("-")[0]}
            raise DatasetError(
                f"{folder or '.'}/{one}: the index does not know this shard. It knows {_listed(near or known)}."
            )
        names += sorted(found)
    return names


def _listed(known: dict[str, dict]) -> str:
    names = sorted(known)
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)} shards)"
