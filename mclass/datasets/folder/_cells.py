"""What a cell of a table, or a folder's name, says of labels: one or several names, or nothing.

Names that cannot be told apart by looking at them are one label: their accents are composed (NFC), blanks of every
kind are one ordinary blank, and none is at either end.
"""

from __future__ import annotations

import ast
import html
import json
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable

SEPARATORS = "|;,\n\r"  # a spreadsheet's cell may have several lines
# What programs write where there is nothing (pandas reads these as missing, too).
MISSING = frozenset(("", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
_QUOTED = r"""(?:np\.str_\()?[ub]?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\)?"""
_ITEM = re.compile(rf"\s*(?:{_QUOTED}|(nan|NaN|None|null))\s*(?:,|(?=[\"'])|(?=np\.)|$)")
_ARRAY = re.compile(r"(?:[\w.]+\()?\s*\[(.*)\]\s*(?:,\s*dtype=[^)]*)?\)?", re.DOTALL)
_TUPLE_OR_SET = re.compile(r"(?:frozenset\()?[({](.*)[)}]\)?", re.DOTALL)


def clean(name: str) -> str:
    """A name as it is compared and shown.

    >>> clean(" hip\\u00a0 hop"), clean("cafe\\u0301") == "caf\\u00e9"
    ('hip hop', True)
    """
    return " ".join(unicodedata.normalize("NFC", name).translate(_INVISIBLE).split())


def split_tags(cell: str, separators: str = SEPARATORS) -> list[str]:
    """The tags in a cell, without doubles, in order.

    Parameters
    ----------
    cell : str
        Tags between `separators`, or a list as Python, pandas, numpy or JSON write it.
    separators : str
        Each of its characters is one.

    Raises
    ------
    ValueError
        If it begins like a list and is none, was abbreviated, or holds more than names.

    Examples
    --------
    >>> split_tags("guitar| slow;guitar, "), split_tags("['hip hop', 'pop']"), split_tags("['rock' 'pop']")
    (['guitar', 'slow'], ['hip hop', 'pop'], ['rock', 'pop'])
    >>> split_tags("Folk, World, & Country", separators="|")
    ['Folk, World, & Country']
    """
    cell = re.sub(r"&(?:amp|lt|gt|quot|apos|#\d+);", lambda entity: html.unescape(entity[0]), cell)
    found = listed(cell.strip())
    if found is None:
        found = re.split(f"[{re.escape(separators)}]", cell) if separators else [cell]
    names = (clean(name) for name in found)
    return list(dict.fromkeys(name for name in names if name))


def listed(cell: str) -> list[str] | None:
    """The items of a list; None if the cell is none."""
    if cell in ("()", "{}", "set()", "frozenset()"):
        return []
    match = _ARRAY.fullmatch(cell)
    if match is None:
        match = _TUPLE_OR_SET.fullmatch(cell)
        if match is not None and (items := _quoted(match[1])) is not None:
            return items
        if re.match(r"""\[\s*["']|\{\s*["'].*["']\s*:""", cell):
            raise ValueError("begins like a list of names and is none")
        return None  # a name, or several, between brackets of its own
    inner = match[1].strip()
    if (items := _quoted(inner)) is not None:
        return items
    if re.search(r"""[\[\]{}]|(^|,)\s*["']""", inner):
        raise ValueError("is a list of something else than names")
    items = inner.split(",") if "," in inner or not re.fullmatch(r"[\d.\s]+", inner) else inner.split()
    if "..." in map(str.strip, items):
        raise ValueError("was abbreviated")
    return [item for item in items if item.strip() not in MISSING]


def _quoted(inner: str) -> list[str] | None:
    """Names in quotes, between commas or (as numpy writes them) blanks; None if there is anything else."""
    items, place = [], 0
    inner = inner.strip()
    while place < len(inner):
        match = _ITEM.match(inner, place)
        if match is None:
            return None
        place = match.end()
        if match[1]:
            items.append(_unescaped(match[1]))
    return items


def _unescaped(quoted: str) -> str:
    try:
        return json.loads(quoted)
    except ValueError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return str(ast.literal_eval(quoted))


def is_vector(cell: str) -> bool:
    """Whether a cell holds zeros and ones for all tags, and not names.

    >>> is_vector("[0, 1, 0]"), is_vector("0|1"), is_vector("[1, 2]")
    (True, True, False)
    """
    return (
        re.fullmatch(r"(?:[\w.]+\()?[\[(]?\s*[01](\.0?)?([\s,;|]+[01](\.0?)?)+\s*[\])]*", cell.strip()) is not None
    )


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in case, width, hyphens, blanks, apostrophes, "and", or the way of writing a number alone.

    Examples
    --------
    >>> look_alikes(["Rock", "hip-hop", "rock", "Hip Hop", "1", "1.0", "C", "C#"])
    [['Rock', 'rock'], ['hip-hop', 'Hip Hop'], ['1', '1.0']]
    """
    groups = defaultdict(list)
    for name in names:
        groups[_essence(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _essence(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold().strip(" \"'")
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text):
        return f"{float(text):g}"
    text = re.sub(r"\s*([&/+])\s*", r"\1", re.sub(r"[\s_]and[\s_]", "&", re.sub("[‘’´`]", "'", text)))
    letter = r"[^\W\d_]"
    return re.sub(rf"(?<={letter})[\s_‐-―-]+(?={letter})", "", text)
