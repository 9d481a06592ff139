"""Two ways to say what is in a file without a table: its folder, its name. Each gives a list of `Entry`.

A file that cannot be labelled is returned beside the entries, with the reason, for the data set to refuse or skip.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

from mclass.datasets.folder._cells import clean, split_tags
from mclass.errors import DatasetError

Problems = list[tuple[str, str]]  # (path, reason)

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "validate", "val", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
# Words in the name of a folder that do not change what it is.
_BESIDE_PART = {"set", "data", "dataset", "audio", "split", "part", "subset", "files", "clips", "songs", "wav"}


@dataclass
class Entry:
    """One clip: its path below the root (with ``/``) and what is known about it."""

    path: str
    tags: list[str] = field(default_factory=list)
    track: str = ""
    artist: str = ""
    split: str = ""
    unknown: list[str] | None = None  # where each tag has a column: those of which nobody knows
    row: int = 0  # of a table, counted from 1


def warn(message: str) -> None:
    """Warn, from anywhere, as if the caller of `mclass.datasets.load` had done it."""
    warnings.warn(message, stacklevel=6)


def part_of(folder: str) -> tuple[str, str]:
    """The part of a split that a folder is named after ("" if it is not), and what else its name says.

    >>> part_of("Training_set"), part_of("piano-val"), part_of("trains")
    (('train', ''), ('valid', 'piano'), ('', 'trains'))
    """
    words = [word for word in re.split(r"[\W\d_]+", folder.lower()) if word and word not in _BESIDE_PART]
    parts = {SPLITS[word] for word in words if word in SPLITS}
    rest = " ".join(word for word in words if word not in SPLITS)
    return (parts.pop() if len(parts) == 1 else "", rest)


def parts_of(folders: Iterable[str]) -> dict[str, str]:
    """The part of a split that each folder is, where two or more are, of one name otherwise; or nothing."""
    named = {folder: part_of(folder) for folder in folders}
    found = {folder: part for folder, (part, _) in named.items() if part}
    alike = len({named[folder][1] for folder in found}) == 1
    return found if alike and len(set(found.values())) > 1 else {}


def from_folders(paths: list[str]) -> tuple[list[Entry], Problems]:
    """The top folder of each path is its label, or the one below where the top folders are parts of a split.

    Raises
    ------
    DatasetError
        If some of the top folders are parts of a split and others are not.
    """
    problems = [(path, "lies beside the label folders, not in one") for path in paths if "/" not in path]
    inside = [path.split("/") for path in paths if "/" in path]
    tops = sorted({one[0] for one in inside})
    parts = parts_of(tops)
    if not parts:
        if len(tops) > 1 and all(re.fullmatch(r"folds?[-_ ]?\d+|\d+[-_ ]?folds?", top.lower()) for top in tops):
            raise DatasetError(
                f"the folders {', '.join(tops[:3])}, … are folds of a cross-validation, not labels. Say in a "
                "table, or by a pattern, what is in each file (labels=)."
            )
        if len(tops) > 1 and all(re.fullmatch(r"\d\d+", top) for top in tops) and len({*map(len, tops)}) == 1:
            warn(
                f"the folders {', '.join(tops[:3])}, … are taken for labels. If they only keep files apart, say "
                "in a table, or by a pattern, what is in each file (labels=)."
            )
        below = parts_of({one[1] for one in inside}) if all(len(one) > 2 for one in inside) else {}
        in_parts = below and all(one[1] in below for one in inside)  # rock/train/1.wav
        entries = [
            Entry("/".join(one), [clean(one[0])], split=below[one[1]] if in_parts else "") for one in inside
        ]
        return entries, problems
    if others := [top for top in tops if top not in parts]:
        raise DatasetError(
            f"the folders {', '.join(map(repr, parts))} are parts of a split, and beside them is "
            f"{', '.join(map(repr, others[:3]))}. Move one of the two elsewhere, or say in a table what is in "
            "each file (labels=)."
        )
    if all(len(one) < 3 for one in inside):
        raise DatasetError(
            f"the folders {', '.join(map(repr, parts))} are parts of a split, and there are no label folders in "
            "them. Say in a table what is in each file (labels=)."
        )
    entries = [Entry("/".join(one), [clean(one[1])], split=parts[one[0]]) for one in inside if len(one) > 2]
    problems += [
        ("/".join(one), f"lies in {one[0]!r}, a part of the split, but in no label folder in it")
        for one in inside
        if len(one) < 3
    ]
    return entries, problems


def compile_pattern(option: str, pattern: str, groups: tuple[str, ...]) -> re.Pattern:
    """A regular expression that has at least one of the named `groups` and no others."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"{option}={pattern!r} is not a regular expression: {error}") from None
    wrong = set(compiled.groupindex) - set(groups)
    if wrong or not compiled.groupindex:
        found = f"the group {sorted(wrong)[0]!r}" if wrong else "no named group"
        raise DatasetError(
            f"{option}={pattern!r} has {found}; name what it matches, as in (?P<{groups[0]}>[a-z]+). "
            f"Names: {', '.join(groups)}."
        )
    return compiled


def match(pattern: re.Pattern, path: str) -> dict[str, str] | None:
    """The named groups, searched for in the file name, or in the whole path if the pattern has a ``/``."""
    found = pattern.search(path if "/" in pattern.pattern else path.rpartition("/")[2])
    return {name: clean(text or "") for name, text in found.groupdict().items()} if found else None


def from_pattern(paths: list[str], pattern: str) -> tuple[list[Entry], Problems]:
    """Named groups of a regular expression: label (or tags), and perhaps track and artist."""
    compiled = compile_pattern("labels", pattern, ("label", "tags", "track", "artist"))
    if not {"label", "tags"} & set(compiled.groupindex):
        raise DatasetError(f"labels={pattern!r} has no group for the label; add one, as in (?P<label>[a-z]+)")
    entries, problems = [], []
    for path in paths:
        found = match(compiled, path)
        if found is None:
            problems.append((path, "its name does not match the pattern"))
        else:
            try:
                tags = split_tags(found["tags"]) if "tags" in found else [found["label"]]
            except ValueError as error:
                problems.append((path, f"what the pattern finds in its name {error}"))
                continue
            entries.append(Entry(path, tags, found.get("track", ""), found.get("artist", "")))
    if paths and not entries:
        raise DatasetError(
            f"labels={pattern!r} matches none of {len(paths)} file names, the first is {paths[0]!r}. "
            "(It is a regular expression, not a wildcard: `.*` rather than `*`.)"
        )
    return entries, problems
