"""Three ways to say what is in a file: its folder, a table, its name. Each gives a list of `Entry`.

A file that cannot be labelled is returned beside the entries, with the reason, for the data set to refuse or skip.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from mclass.errors import DatasetError

Problems = list[tuple[str, str]]  # (path, reason)

_NEEDED, _OPTIONAL = ("path", "tags"), ("track", "artist", "split")
_SYNONYMS = {
    **dict.fromkeys(("file", "filename", "file_name", "filepath", "file_path", "audio", "clip", "name"), "path"),
    **dict.fromkeys(("tag", "label", "labels", "class", "genre", "category", "target"), "tags"),
}
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}


@dataclass
class Entry:
    """One clip: its path below the root (with ``/``) and what is known about it."""

    path: str
    tags: list[str] = field(default_factory=list)
    track: str = ""
    artist: str = ""
    split: str = ""


def split_tags(cell: str) -> list[str]:
    """Tags between ``|``, ``;`` or ``,``; without doubles, in order.

    >>> split_tags("guitar| slow;guitar, ")
    ['guitar', 'slow']
    """
    return list(dict.fromkeys(tag.strip() for tag in re.split(r"[|;,]", cell) if tag.strip()))


def from_folders(paths: list[str]) -> tuple[list[Entry], Problems]:
    """The top folder of each path is its label."""
    entries = [Entry(path, [path.split("/")[0]]) for path in paths if "/" in path]
    return entries, [(path, "lies beside the label folders, not in one") for path in paths if "/" not in path]


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
    return {name: text or "" for name, text in found.groupdict().items()} if found else None


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
            tags = split_tags(found["tags"]) if "tags" in found else [found["label"]]
            entries.append(Entry(path, tags, found.get("track", ""), found.get("artist", "")))
    if paths and not entries:
        raise DatasetError(
            f"labels={pattern!r} matches none of {len(paths)} file names, the first is {paths[0]!r}. "
            "(It is a regular expression, not a wildcard: `.*` rather than `*`.)"
        )
    return entries, problems


def from_table(table: Path) -> list[Entry]:
    """Rows of a CSV or TSV file with the columns path and tags, and perhaps track, artist and split."""
    rows = _rows(table)
    header = [name.strip().lower() for name in rows[0]] if rows else []
    _check_header(table, header)
    entries = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise DatasetError(
                f"{table}, row {number}: {len(row)} cells under {len(header)} column names. Put a cell that holds "
                'the delimiter between quotes: "guitar,slow".'
            )
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        split = cells.get("split", "").lower()
        if split and split not in _SPLITS:
            raise DatasetError(f"{table}, row {number}: split {split!r}; allowed: train, valid, test")
        entries.append(
            Entry(
                _relative_path(table, number, cells["path"]),
                split_tags(cells["tags"]),
                cells.get("track", ""),
                cells.get("artist", ""),
                _SPLITS.get(split, ""),
            )
        )
    if not entries:
        raise DatasetError(f"{table}: has no rows below its header. List one file per row.")
    _check_rows(table, entries)
    return entries


def _rows(table: Path) -> list[list[str]]:
    text, rows, line = _decode(table), [], 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(table, text))
    try:
        for row in reader:
            rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"{table}, line {line}: {error}. Is a quotation mark opened there and never closed?"
        ) from None
    return rows


def _decode(table: Path) -> str:
    try:
        content = table.read_bytes()
    except OSError as error:
        raise DatasetError(f"{table}: cannot be read: {error.strerror}.") from None
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")  # what spreadsheets call "Unicode text"
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DatasetError(f"{table}: is not text. Save the table as CSV in UTF-8.")


def _delimiter(table: Path, text: str) -> str:
    if table.suffix.lower() == ".tsv":
        return "\t"
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _check_header(table: Path, header: list[str]) -> None:
    doubles = sorted({name for name in header if name and header.count(name) > 1})
    if doubles:
        raise DatasetError(f"{table}: two columns are named {doubles[0]!r}")
    for wanted in _NEEDED:
        if wanted not in header:
            meant = next((name for name in header if _SYNONYMS.get(name) == wanted), None)
            meant = meant or next(iter(difflib.get_close_matches(wanted, header, n=1)), None)
            guess = f" Rename {meant!r} to {wanted!r}?" if meant else ""
            raise DatasetError(
                f"{table}: no column {wanted!r}. Found: {', '.join(header) or 'nothing'}; needed: "
                f"{', '.join(_NEEDED)}; optional: {', '.join(_OPTIONAL)}.{guess}"
            )
    for wanted in _OPTIONAL:  # other columns are welcome, a misspelt one would be lost in silence
        close = difflib.get_close_matches(wanted, set(header) - {*_NEEDED, *_OPTIONAL}, n=1, cutoff=0.75)
        if wanted not in header and close:
            raise DatasetError(
                f"{table}: column {close[0]!r}: did you mean {wanted!r}? If not, rename or remove it."
            )


def _relative_path(table: Path, number: int, cell: str) -> str:
    text = cell.replace("\\", "/")
    path = PurePosixPath(text)
    if not text or path.is_absolute() or PureWindowsPath(text).drive or ".." in path.parts:
        raise DatasetError(
            f"{table}, row {number}: path {cell!r}; paths are relative to the root folder, inside it: "
            "'guitar/song.wav'."
        )
    return path.as_posix()


def _check_rows(table: Path, entries: list[Entry]) -> None:
    seen: set[str] = set()
    doubles = [entry.path for entry in entries if entry.path in seen or seen.add(entry.path)]
    if doubles:
        raise DatasetError(
            f"{table}: {len(doubles)} rows repeat a path, first {doubles[0]!r}. Give each file one row, with all "
            "its tags in it: guitar|slow."
        )
    without = [entry.path for entry in entries if not entry.split]
    if 0 < len(without) < len(entries):
        raise DatasetError(
            f"{table}: {len(without)} of {len(entries)} rows have no split, first {without[0]!r}. Fill the column "
            "for all rows (train, valid, test), or remove it."
        )
