"""Text of others, for people to read: nothing in it moves a cursor, turns a line, or breaks a file."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Text in which each character that cannot be seen is written out, so that different texts stay different.

    Parameters
    ----------
    text : str
    keep : str
        Characters to leave as they are, such as line breaks.

    Examples
    --------
    >>> printable("caf\\u00e9 \\x1b[2J \\u202e \\ud800")
    'café \\\\x1b[2J \\\\u202e \\\\ud800'
    """
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text
    )


def line(text: str) -> str:
    """The same in one line, whatever lines and spaces there were.

    Examples
    --------
    >>> line("a\\n  b\\tc")
    'a b c'
    """
    return printable(" ".join(text.split()))
