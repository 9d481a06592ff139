"""Text from elsewhere, to be shown to people: names of files, tags, what submissions say."""

from __future__ import annotations

import json
import unicodedata

# Cc: control; Cf: invisible, among them those that turn the direction; Cs: half a surrogate, as in names that are
# not UTF-8; Zl, Zp: line breaks of Unicode. Joiners are part of words (ZWNJ) and of emoji (ZWJ).
_HIDDEN, _JOINERS = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\u200c\u200d"


def visible(text: object, keep: str = "") -> str:
    r"""Text in which nothing acts on a terminal or hides: control characters and the like are written out.

    For people only; files for machines keep the characters themselves.

    Parameters
    ----------
    text : object
    keep : str
        Characters to leave alone, such as line breaks.

    Examples
    --------
    >>> print(visible("so\x1b[31mng\n\u202e3pm.wav"))
    so\x1b[31mng\n\u202e3pm.wav
    """
    return "".join(
        one.encode("unicode_escape").decode() if _acts(one) and one not in keep else one for one in str(text)
    )


def line(text: str) -> str:
    r"""The same in one line, whatever lines and spaces there were.

    Examples
    --------
    >>> line("a\n  b\tc")
    'a b c'
    """
    return visible(" ".join(text.split()))


def one_line(content: object) -> str:
    r"""JSON in one line of Unicode that a terminal may be shown, too: what `visible` writes out is escaped.

    A name that is not UTF-8 keeps its bytes, as Python writes them: ``os.fsencode`` gives them back.

    Examples
    --------
    >>> print(one_line({"file": "caf\udce9 \x1b[31m ♪"}))
    {"file": "caf\udce9 \u001b[31m ♪"}
    """
    return "".join(json.dumps(one)[1:-1] if _acts(one) else one for one in json.dumps(content, ensure_ascii=False))


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS
