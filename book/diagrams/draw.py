"""What all diagrams are made of: a page, texts, boxes, arrows, curves.

Sizes are in pixels of a drawing 560 wide, so that its text can be read on a phone. Colours are classes that have
a light and a dark value: a drawing follows the page that shows it. Every text states its width in Helvetica, so it
takes the same room in whatever font the reader has.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib
from fontTools.afmLib import AFM
from fontTools.agl import UV2AGL
from fontTools.ttLib import TTFont

WIDTH = 560
COLOURS = {  # name: on a light page, on a dark page
    "page": ("#ffffff", "#14181e"),
    "ink": ("#1f2933", "#e8edf2"),
    "muted": ("#52606d", "#b4bfca"),
    "line": ("#9aa5b1", "#66727f"),
    "plain": ("#ffffff", "#1d232b"),
    "blue": ("#d9e8f2", "#1f3d52"),
    "yellow": ("#fff0cc", "#4d3d12"),
    "green": ("#dcefdc", "#21432f"),
    "red": ("#fbe0dc", "#552822"),
    "sea": ("#1b4965", "#8cc4e6"),  # strong ones, for lines and small areas
    "amber": ("#a86a10", "#e6b856"),
    "leaf": ("#2f855a", "#78c997"),
    "brick": ("#b83227", "#f0877c"),
}


def style() -> str:
    """The colours as classes: `.ink` fills, `.s-ink` strokes."""

    def rules(index: int) -> str:
        return "".join(
            f".{name}{{fill:{both[index]}}}.s-{name}{{stroke:{both[index]}}}" for name, both in COLOURS.items()
        )

    return f"<style>{rules(0)}@media (prefers-color-scheme: dark){{{rules(1)}}}</style>"


def svg(height: float, title: str, *parts: str) -> str:
    """A drawing on a page of its own colour."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="16">'
        f"<title>{escape(title)}</title>{style()}"
        f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


@functools.cache
def _metrics(bold: bool) -> tuple[AFM, TTFont]:
    """Helvetica's widths, and DejaVu Sans for the characters that Helvetica lacks."""
    fonts = Path(matplotlib.get_data_path()) / "fonts"
    helvetica = AFM(str(fonts / "afm" / f"phv{'b' if bold else 'r'}8a.afm"))
    return helvetica, TTFont(fonts / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf")


def text_width(words: str, size: int, bold: bool = False) -> float:
    """How wide a text is in Helvetica.

    Examples
    --------
    >>> text_width("mel", 16), text_width("mel →", 16)
    (25.78, 42.29)
    """
    helvetica, dejavu = _metrics(bold)
    names, widths = dejavu.getBestCmap(), dejavu["hmtx"]
    total = 0.0
    for one in words:
        glyph = UV2AGL.get(ord(one))
        if helvetica.has_char(glyph):
            total += helvetica[glyph][1] / 1000
        else:  # DejaVu Sans is about a tenth wider
            total += 0.9 * widths[names[ord(one)]][0] / dejavu["head"].unitsPerEm
    return round(size * total, 2)


def text(
    x: float, y: float, words: str, size: int = 16, colour: str = "ink", anchor: str = "middle", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    room = f'textLength="{text_width(words, size, bold):g}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text class="{colour}" x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight} {room}>'
        f"{escape(words)}</text>"
    )


def rect(x: float, y: float, width: float, height: float, fill: str, stroke: str = "", more: str = "") -> str:
    """An area; `more` are further attributes, such as ``rx="8"``."""
    classes = f"{fill} s-{stroke}" if stroke else fill
    return (
        f'<rect class="{classes}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{more and " " + more}/>'
    )


def box(x: float, y: float, width: float, height: float, fill: str = "plain") -> str:
    return rect(x, y, width, height, fill, "line", 'rx="8"')


def path(d: str, colour: str = "muted", width: float = 2, fill: str = "none", more: str = "") -> str:
    fill = 'fill="none"' if fill == "none" else ""
    return f'<path class="s-{colour}" d="{d}" stroke-width="{width:g}" {fill}{more and " " + more}/>'


def curve(points: Iterable[tuple[float, float]], colour: str = "sea", width: float = 2, more: str = "") -> str:
    return path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), colour, width, more=more)


def circle(x: float, y: float, radius: float, fill: str, stroke: str = "") -> str:
    classes = f"{fill} s-{stroke}" if stroke else fill
    return f'<circle class="{classes}" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>'


def arrow(x: float, y: float, length: float, colour: str = "muted") -> str:
    """To the right."""
    tip = x + length
    return path(f"M{x:g} {y:g}H{tip - 6:g}", colour) + f'<path class="{colour}" d="M{tip:g} {y:g}l-9 -5v10z"/>'


def down(x: float, y: float, length: float, colour: str = "muted") -> str:
    """An arrow downwards."""
    tip = y + length
    return path(f"M{x:g} {y:g}V{tip - 6:g}", colour) + f'<path class="{colour}" d="M{x:g} {tip:g}l-5 -9h10z"/>'


def axes(x: float, y: float, width: float, height: float, across: str, up: str = "") -> list[str]:
    """Two axes with their origin at the lower left corner (x, y), and what they mean."""
    parts = [path(f"M{x:g} {y - height:g}V{y:g}H{x + width:g}", "line", 1.5)]
    parts.append(text(x + width, y + 22, across, 16, "muted", "end"))
    if up:
        parts.append(text(x, y - height - 8, up, 16, "muted", "start"))
    return parts
