"""Tables that came with a data set: any encoding, Windows line ends, a byte-order mark; only the columns needed.

Taught in: 02_datasets.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mclass.audio.opening import looks_like
from mclass.errors import DatasetError, unknown_name

_LONGEST_CELL = 1 << 24  # FMA keeps whole biographies in a cell; the csv module stops at 128 kB


def read_rows(path: Path, delimiter: str = ",", quoted: bool = True) -> Iterator[list[str]]:
    """The rows of a table as lists of cells, blank lines left out.

    Parameters
    ----------
    path : Path
        In UTF-8 (with or without a byte-order mark), UTF-16 with one, or Windows-1252.
    delimiter : str
    quoted : bool
        Whether a cell may stand between double quotes. In a table that knows no quotes they are text.

    Raises
    ------
    DatasetError
        If the file is missing, cannot be read, or is not text.
    """
    for encoding in _encodings(path):
        try:
            yield from _rows(path, encoding, delimiter, quoted)
            return
        except UnicodeDecodeError:
            continue
    raise DatasetError(f"{path}: is not text. Copy or download it again.")


def _encodings(path: Path) -> tuple[str, ...]:
    """Which encodings to try. The whole file is looked at: rows that were given out cannot be taken back."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file{_near(path)}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ("utf-16",)
    if (
        not start
        or b"\0" in start
        or looks_like(start).startswith((" (it looks like a web page", " (it is a Git"))
    ):
        raise DatasetError(f"{path}: is not a table{looks_like(start) if start else ' but empty'}. Get it again.")
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return ("cp1252", "latin-1")
    return ("utf-8-sig",)


def _near(path: Path) -> str:
    with contextlib.suppress(OSError):
        return ". " + unknown_name("file", path.name, sorted(child.name for child in path.parent.iterdir())[:12])
    return ""


def _rows(path: Path, encoding: str, delimiter: str, quoted: bool) -> Iterator[list[str]]:
    options = {"skipinitialspace": True} if quoted else {"quoting": csv.QUOTE_NONE}
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding=encoding, newline="") as file:
            for row in csv.reader(file, delimiter=delimiter, **options):
                if any(row):
                    yield row
    except csv.Error as error:
        raise DatasetError(f"{path}: is not a table: {error}. Copy or download it again.") from None
    finally:
        csv.field_size_limit(limit)


def read_columns(
    path: Path, columns: Sequence[str], delimiter: str = ",", optional: Sequence[str] = (), quoted: bool = True
) -> dict[str, list[str]]:
    """Columns of a table by the names in its first row.

    Returns
    -------
    dict of str to list of str
        Of `columns`, and of those of `optional` that are there; cells without blanks around them.

    Raises
    ------
    DatasetError
        As `read_rows`; also if a column is missing or a row is shorter than its header (a copy that was cut off).
    """
    rows = read_rows(path, delimiter, quoted)
    header = [name.strip() for name in next(rows, [])]
    for name in columns:
        if name not in header:
            raise DatasetError(f"{path}: {unknown_name('column', name, header[:60])}. Is it the original table?")
    places = {name: header.index(name) for name in (*columns, *optional) if name in header}
    found: dict[str, list[str]] = {name: [] for name in places}
    for number, row in enumerate(rows, start=2):
        if len(row) < len(header):
            raise DatasetError(
                f"{path}, row {number}: {len(row)} cells under {len(header)} column names. Was the file cut off? "
                "Copy or download it again."
            )
        for name, place in places.items():
            found[name].append(row[place].strip())
    return found


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises
    ------
    DatasetError
        If it is missing, cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file{_near(path)}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # also a wrong encoding
        raise DatasetError(f"{path}: is not JSON ({error}). Copy or download it again.") from None
