"""Draw the book's diagrams as SVG. `python book/figures.py` writes them; a test compares them with this code.

Sizes are in pixels of a drawing 560 wide, so that its text can be read on a phone.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).resolve().parent / "images"
INK, MUTED, LINE = "#1f2933", "#52606d", "#9aa5b1"
FILLS = {"blue": "#d9e8f2", "yellow": "#fff0cc", "green": "#dcefdc", "plain": "#ffffff"}


def svg(width: int, height: int, title: str, *parts: str) -> str:
    """A drawing on white, so that it also reads on a dark page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="16" fill="{INK}">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, size: int = 16, colour: str = INK, anchor: str = "middle") -> str:
    style = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str = "plain") -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="{FILLS[fill]}" '
        f'stroke="{LINE}"/>'
    )


def arrow(x: float, y: float, length: float) -> str:
    tip = x + length
    return (
        f'<path d="M{x:g} {y:g}H{tip - 6:g}" stroke="{MUTED}" stroke-width="2" fill="none"/>'
        f'<path d="M{tip:g} {y:g}l-9 -5v10z" fill="{MUTED}"/>'
    )


def pipeline() -> str:
    """From a waveform to tags, with the shape of what is handed on below each step."""
    parts = []
    steps = [
        ("Waveform", "48 000 samples", "plain"),
        ("Front end", "96 × 188", "blue"),
        ("Model", "50 logits", "yellow"),
        ("Sigmoid", "50 probabilities", "green"),
    ]
    for index, (name, shape, fill) in enumerate(steps):
        x = 10 + index * 139
        parts += [box(x, 40, 123, 112, fill), text(x + 61, 28, name, 18), text(x + 61, 174, shape, 15, MUTED)]
        if index:
            parts.append(arrow(x - 16, 96, 16))
    # Inside the boxes: a wave, a spectrogram, layers, bars.
    wave = " ".join(
        f"{16 + t:g},{96 - 38 * math.sin(t / 3.4) * math.sin(math.pi * t / 111) * math.cos(t / 26):.1f}"
        for t in range(0, 112, 2)
    )
    parts.append(f'<polyline points="{wave}" fill="none" stroke="#1b4965" stroke-width="2"/>')
    for row in range(6):
        for column in range(7):
            energy = 0.15 + 0.85 * abs(math.sin(1.7 * column + row * row)) * (row + 1) / 6
            parts.append(
                f'<rect x="{154 + column * 16}" y="{48 + row * 16.5:.1f}" width="15" height="15" '
                f'fill="#1b4965" fill-opacity="{energy:.2f}"/>'
            )
    for layer, size in enumerate((90, 66, 44, 24)):
        parts.append(
            f'<rect x="{302 + layer * 27}" y="{96 - size / 2:g}" width="17" height="{size}" rx="3" '
            f'fill="#b7791f" fill-opacity="{0.45 + 0.15 * layer:.2f}"/>'
        )
    for index, (tag, share) in enumerate([("guitar", 0.9), ("slow", 0.7), ("female", 0.25), ("techno", 0.06)]):
        y = 50 + index * 25
        parts.append(text(484, y + 13, tag, 15, INK, "end"))
        parts.append(f'<rect x="489" y="{y}" width="{56 * share:g}" height="16" rx="2" fill="#2f855a"/>')
    return svg(560, 188, "From three seconds of audio to tag probabilities", *parts)


def label_types() -> str:
    """One clip, labelled in the two ways there are."""
    parts = []
    one = ("One label", "classes exclude each other", ["rock", "classical", "techno", "indian"], [0, 1, 0, 0])
    many = ("Many labels", "each tag is its own question", ["strings", "slow", "vocal", "techno"], [1, 1, 0, 0])
    for x, (title, subtitle, names, values), output in [(10, one, "softmax"), (286, many, "sigmoid")]:
        middle = x + 132
        parts += [box(x, 10, 264, 212), text(middle, 38, title, 18), text(middle, 60, subtitle, 16, MUTED)]
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            y = 76 + index * 28
            parts.append(text(middle - 16, y + 15, name, 17, INK, "end"))
            fill = "#1b4965" if value else "#ffffff"
            shape = (
                f'<circle cx="{middle + 12}" cy="{y + 9}" r="9"'
                if output == "softmax"
                else f'<rect x="{middle + 3}" y="{y}" width="18" height="18" rx="3"'
            )
            parts.append(f'{shape} fill="{fill}" stroke="#1b4965"/>')
            parts.append(text(middle + 36, y + 15, str(value), 17, MUTED, "start"))
        parts.append(text(middle, 208, f"last layer: {output}", 16, MUTED))
    return svg(560, 232, "Single-label and multi-label classification", *parts)


def mood_plane() -> str:
    """Moods as points of a plane instead of names in a list."""
    parts, (x, y, half) = [], (280, 190, 150)
    quadrants = [
        ("tense", "yellow", -1, -1),
        ("happy", "green", 0, -1),
        ("sad", "blue", -1, 0),
        ("calm", "plain", 0, 0),
    ]
    for name, fill, left, up in quadrants:
        corner = x + left * half, y + up * half
        parts += [box(*corner, half, half, fill), text(corner[0] + half / 2, corner[1] + 34, name, 18)]
    parts += [
        f'<path d="M{x - half - 24} {y}H{x + half + 18}M{x} {y + half + 14}V{y - half - 14}" stroke="{MUTED}" '
        'stroke-width="2" fill="none"/>',
        f'<path d="M{x + half + 26} {y}l-9 -5v10z" fill="{MUTED}"/>',
        f'<path d="M{x} {y - half - 22}l-5 9h10z" fill="{MUTED}"/>',
        text(x + 12, y - half - 8, "arousal: excited", 16, MUTED, "start"),
        text(x + half + 32, y - 8, "valence:", 16, MUTED, "start"),
        text(x + half + 32, y + 12, "pleasant", 16, MUTED, "start"),
    ]
    for dx, dy in ((-86, 92), (-44, 74), (-112, 66), (-66, 124), (34, 98)):
        parts.append(f'<circle cx="{x + dx}" cy="{y + dy}" r="6" fill="#1b4965"/>')
    parts.append(text(x - half - 14, y + 88, "five listeners", 16, INK, "end"))
    parts.append(text(x - half - 14, y + 108, "to one clip", 16, INK, "end"))
    return svg(560, 366, "The plane of valence and arousal", *parts)


def hierarchy() -> str:
    """A small tree of genres, with a clip's label and what follows from it."""
    parts = []
    nodes = {
        "music": (280, 40, 1),
        "rock": (130, 120, 1),
        "electronic": (430, 120, 0),
        "punk": (60, 200, 1),
        "metal": (200, 200, 0),
        "techno": (360, 200, 0),
        "ambient": (500, 200, 0),
    }
    edges = [("music", "rock"), ("music", "electronic"), ("rock", "punk"), ("rock", "metal")]
    edges += [("electronic", "techno"), ("electronic", "ambient")]
    for parent, child in edges:
        (x1, y1, _), (x2, y2, true) = nodes[parent], nodes[child]
        colour, width = ("#1b4965", 3) if true else (LINE, 1.5)
        parts.append(f'<path d="M{x1} {y1 + 20}L{x2} {y2 - 20}" stroke="{colour}" stroke-width="{width}"/>')
    for name, (x, y, true) in nodes.items():
        parts += [box(x - 52, y - 20, 104, 40, "green" if true else "plain"), text(x, y + 6, name, 17)]
    return svg(560, 236, "A tree of genres", *parts)


FIGURES = {
    "pipeline.svg": pipeline,
    "label_types.svg": label_types,
    "mood_plane.svg": mood_plane,
    "hierarchy.svg": hierarchy,
}

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
        print(f"drawn: book/images/{name}")
