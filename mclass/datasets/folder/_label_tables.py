"""Labels in a table, a row for each file: several tags in a cell, or a column of zeros and ones for each tag.

Taught in: 02_datasets.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from mclass.datasets.folder._cells import MISSING, SEPARATORS, clean, is_vector, listed, split_tags
from mclass.datasets.folder._labelling import SPLITS, Entry, warn
from mclass.errors import DatasetError

_NEEDED, _OPTIONAL = ("path", "tags"), ("track", "artist", "split")
_SYNONYMS = {
    **dict.fromkeys(("file", "filename", "file_name", "filepath", "file_path", "audio", "clip", "name"), "path"),
    **dict.fromkeys(("tag", "label", "labels", "class", "genre", "category", "target"), "tags"),
}
# What a cell below a tag's name may hold; what is unknown is neither.
_YES, _NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}
_UNKNOWN = {"?", "-1", "-1.0", *map(str.lower, MISSING)}
_INDEX = re.compile(r"|index|id|unnamed: \d+")  # columns that programs add


def from_table(table: Path, separator: str | None = None, multilabel: bool | None = None) -> list[Entry]:
    """Rows of a CSV or TSV file: path, tags (or a column for each), and perhaps track, artist and split.

    Parameters
    ----------
    table : Path
    separator : str, optional
        Between the tags of a cell; "" if a cell is one. By default what `_separators` says.
    multilabel : bool, optional
        If False, a comma does not separate tags.
    """
    rows, delimiter = _rows(table)
    names = [clean(name) for name in rows[0]] if rows else []
    header = [name.lower() for name in names]
    body = [(number, row) for number, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    _check_header(table, header, _indicators(header, body))
    for number, row in body:
        if len(row) != len(header):
            raise DatasetError(
                f"{table}, row {number}: {len(row)} cells under {len(header)} column names. Put a cell that holds "
                'the delimiter between quotes: "guitar,slow".'
            )
    if not body:
        raise DatasetError(f"{table}: has no rows below its header. List one file per row.")
    cells = [dict(zip(header, (cell.strip() for cell in row), strict=True)) for _, row in body]
    entries = [_entry(table, number, row) for (number, _), row in zip(body, cells, strict=True)]
    if "tags" in header:
        separators = _separators(delimiter, multilabel) if separator is None else separator
        _read_tags(table, entries, cells, separators, separator is None)
    else:
        _read_indicators(table, entries, cells, dict(zip(header, names, strict=True)))
    without = [entry.path for entry in entries if not entry.split]
    if 0 < len(without) < len(entries):
        raise DatasetError(
            f"{table}: {len(without)} of {len(entries)} rows have no split, first {without[0]!r}. Fill the column "
            "for all rows (train, valid, test), or remove it."
        )
    return entries


def check_repeats(table: Path, entries: list[Entry]) -> None:
    """Refuse a table with several rows of one file, which may contradict each other."""
    rows = defaultdict(list)
    for entry in entries:
        rows[entry.path].append(entry)
    repeated = {path: group for path, group in rows.items() if len(group) > 1}
    if repeated:
        path, group = next(iter(repeated.items()))
        said = " and ".join(f"row {entry.row} ({', '.join(entry.tags) or 'no tag'})" for entry in group[:3])
        raise DatasetError(
            f"{table}: {sum(map(len, repeated.values())) - len(repeated)} rows repeat a path, first {path!r}: "
            f"{said}. Give each file one row, with all its tags in it: guitar|slow."
        )


def spell_as_on_disk(root: Path, entries: list[Entry], list_paths: Callable[[Path], list[str]]) -> None:
    """Write the paths of a table as the disk has them: accents composed or not (a Mac's are not), case, blanks."""
    absent = [entry for entry in entries if not (root / entry.path).exists()]
    found: dict[str, list[str]] = defaultdict(list)
    for path in list_paths(root) if absent else ():
        found[clean(path).casefold()].append(path)
    for entry in absent:
        spellings = found.get(clean(entry.path).casefold(), ())
        if len(spellings) == 1:
            entry.path = spellings[0]


def _entry(table: Path, number: int, cells: dict[str, str]) -> Entry:
    given = {name: "" if cell in MISSING else clean(cell) for name, cell in cells.items() if name in _OPTIONAL}
    split = given.get("split", "").lower()
    if split and split not in SPLITS:
        raise DatasetError(f"{table}, row {number}: split {split!r}; allowed: train, valid, test")
    return Entry(
        _relative_path(table, number, cells["path"]),
        track=given.get("track", ""),
        artist=given.get("artist", ""),
        split=SPLITS.get(split, ""),
        row=number,
    )


def _separators(delimiter: str, multilabel: bool | None = None) -> str:
    """What separates tags: ``|`` and ``;``, and commas in a table that needs quotes around them, too.

    Where the cells of a table are not separated by commas, a comma is part of a name: "Folk, World, & Country".
    """
    return SEPARATORS if delimiter == "," and multilabel is not False else SEPARATORS.replace(",", "")


def _read_tags(
    table: Path, entries: list[Entry], cells: list[dict[str, str]], separators: str, by_default: bool
) -> None:
    vectors = [row["tags"] for row in cells if is_vector(row["tags"])]
    if (
        len(vectors) == len(cells)
        and len({len(re.findall("[01]", re.sub(r"\.0?", "", one))) for one in vectors}) == 1
    ):
        raise DatasetError(
            f"{table}: the cells of tags hold zeros and ones, {vectors[0][:40]!r}, and no names. Give each tag a "
            "column of its own, with its name above."
        )
    for entry, row in zip(entries, cells, strict=True):
        try:
            entry.tags = [] if row["tags"] in MISSING else split_tags(row["tags"], separators)
        except ValueError as error:
            raise DatasetError(
                f"{table}, row {entry.row}: {row['tags'][:60]!r} {error}. Write the tags between |: guitar|slow"
            ) from None
    missing = Counter(row["tags"] for row in cells if row["tags"] in MISSING - {""})
    if missing:
        told = ", ".join(f"{cell!r} ({count})" for cell, count in missing.items())
        warn(f"{table}: cells of tags that stand for nothing, and are taken for no tag: {told}")
    if by_default:
        _warn_of_commas(table, [row["tags"] for row in cells], "," in separators)


def _warn_of_commas(table: Path, cells: list[str], splits: bool) -> None:
    """Say where a comma may have been misunderstood: it separates tags, or belongs to a name."""
    pieces = {piece for cell in set(cells) if listed(cell) is None for piece in split_tags(cell, _separators(";"))}
    names = {piece: split_tags(piece, ",") for piece in sorted(pieces)}
    used = Counter(name for found in names.values() for name in found)
    for piece, found in names.items():
        apart = any(used[name] > 1 for name in found)
        joined = any(name.lower().startswith(("&", "and ", "+")) for name in found)
        if len(found) > 1 and splits and (not apart or joined):
            warn(
                f"{table}: {piece!r} is taken for {len(found)} tags, {', '.join(map(repr, found))}. If it is one, "
                "say what separates tags: separator='|', or '' for nothing; if not, separator=','."
            )
            return
        if len(found) > 1 and not splits and (apart or not joined):
            but = f", but {max(found, key=used.get)!r} is one of its own" if apart else ""
            warn(
                f"{table}: {piece!r} is taken for one tag{but}. If commas separate tags, say so: separator=','; "
                "if not, separator='|'."
            )
            return


def _indicators(header: list[str], body: list[tuple[int, list[str]]]) -> list[str]:
    """Columns of zeros and ones, a tag each, where there is no column of tags."""
    if any(name == "tags" or _SYNONYMS.get(name) == "tags" for name in header):
        return []
    found = []
    for place, name in enumerate(header):
        cells = {row[place].strip().lower() for _, row in body if place < len(row)}
        if name not in (*_NEEDED, *_OPTIONAL) and not _INDEX.fullmatch(name) and cells & (_YES | _NO):
            found.append(name)
    return found


def _read_indicators(
    table: Path, entries: list[Entry], cells: list[dict[str, str]], names: dict[str, str]
) -> None:
    columns = _indicators(list(names), [(0, list(row.values())) for row in cells])
    nowhere = True
    for entry, row in zip(entries, cells, strict=True):
        entry.unknown = []
        for column in columns:
            cell = row[column].lower()
            if cell in _YES:
                entry.tags.append(names[column])
            elif cell in _UNKNOWN:
                entry.unknown.append(names[column])
            elif cell in _NO:
                nowhere = False
            else:
                raise DatasetError(
                    f"{table}, row {entry.row}: {row[column]!r} below {names[column]!r}; a column for each tag "
                    "holds 1, 0, or nothing (also ? or -1) where nobody knows. Remove columns that are no tags."
                )
    has = {tag for entry in entries for tag in entry.tags}
    if never := [names[column] for column in columns if names[column] not in has]:
        warn(f"{table}: no row says yes to {', '.join(map(repr, never[:5]))}, so nothing can be learned of it")
    if nowhere:
        raise DatasetError(
            f"{table}: no cell below {', '.join(names[column] for column in columns[:5])} says no. Write 0 for "
            "no; -1 and empty cells stand for what nobody knows."
        )


def _rows(table: Path) -> tuple[list[list[str]], str]:
    """All rows, and the delimiter of their cells."""
    text, rows, line = _decode(table), [], 1
    first, *_ = re.split(r"[\r\n]", text, maxsplit=1)
    if told := re.fullmatch(r"sep=(.)", first):  # what spreadsheets write for each other
        text, delimiter = text[len(first) :].lstrip("\r\n"), told[1]
    else:
        delimiter = "\t" if table.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"{table}, line {line}: {error}. Is a quotation mark opened there and never closed?"
        ) from None
    return rows, delimiter


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


def _check_header(table: Path, header: list[str], indicators: list[str]) -> None:
    doubles = sorted({name for name in header if name and header.count(name) > 1})
    if doubles:
        raise DatasetError(f"{table}: two columns are named {doubles[0]!r}")
    for wanted in _NEEDED:
        if wanted not in header and not (wanted == "tags" and indicators):
            meant = next((name for name in header if _SYNONYMS.get(name) == wanted), None)
            meant = meant or next(iter(difflib.get_close_matches(wanted, header, n=1)), None)
            guess = f" Rename {meant!r} to {wanted!r}?" if meant else ""
            raise DatasetError(
                f"{table}: no column {wanted!r}. Found: {', '.join(header) or 'nothing'}; needed: "
                f"{', '.join(_NEEDED)}; optional: {', '.join(_OPTIONAL)}.{guess}"
            )
    for wanted in _OPTIONAL:  # other columns are welcome, a misspelt one would be lost in silence
        others = set(header) - {*_NEEDED, *_OPTIONAL, *indicators}
        close = difflib.get_close_matches(wanted, others, n=1, cutoff=0.75)
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
