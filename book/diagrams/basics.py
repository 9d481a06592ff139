"""Diagrams of the first chapters: the pipeline, kinds of labels, moods, a tree of genres."""

from __future__ import annotations

import math

from diagrams.draw import arrow, box, circle, path, rect, svg, text


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
        parts += [box(x, 40, 123, 112, fill), text(x + 61, 28, name, 18), text(x + 61, 174, shape, 15, "muted")]
        if index:
            parts.append(arrow(x - 16, 96, 16))
    # Inside the boxes: a wave, a spectrogram, layers, bars.
    wave = "L".join(
        f"{16 + t:g} {96 - 38 * math.sin(t / 3.4) * math.sin(math.pi * t / 111) * math.cos(t / 26):.1f}"
        for t in range(0, 112, 2)
    )
    parts.append(path("M" + wave, "sea"))
    for row in range(6):
        for column in range(7):
            energy = 0.15 + 0.85 * abs(math.sin(1.7 * column + row * row)) * (row + 1) / 6
            x, y = 154 + column * 16, round(48 + row * 16.5, 1)
            parts.append(rect(x, y, 15, 15, "sea", more=f'fill-opacity="{energy:.2f}"'))
    for layer, size in enumerate((90, 66, 44, 24)):
        opacity = f'rx="3" fill-opacity="{0.45 + 0.15 * layer:.2f}"'
        parts.append(rect(302 + layer * 27, 96 - size / 2, 17, size, "amber", more=opacity))
    for index, (tag, share) in enumerate([("guitar", 0.9), ("slow", 0.7), ("female", 0.25), ("techno", 0.06)]):
        y = 50 + index * 25
        parts.append(text(484, y + 13, tag, 15, anchor="end"))
        parts.append(rect(489, y, 56 * share, 16, "leaf", more='rx="2"'))
    return svg(188, "From three seconds of audio to tag probabilities", *parts)


def label_types() -> str:
    """One clip, labelled in the two ways there are."""
    parts = []
    one = ("One label", "classes exclude each other", ["rock", "classical", "techno", "indian"], [0, 1, 0, 0])
    many = ("Many labels", "each tag is its own question", ["strings", "slow", "vocal", "techno"], [1, 1, 0, 0])
    for x, (title, subtitle, names, values), output in [(10, one, "softmax"), (286, many, "sigmoid")]:
        middle = x + 132
        parts += [box(x, 10, 264, 212), text(middle, 38, title, 18), text(middle, 60, subtitle, 16, "muted")]
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            y = 76 + index * 28
            parts.append(text(middle - 16, y + 15, name, 17, anchor="end"))
            fill = "sea" if value else "plain"
            if output == "softmax":
                parts.append(circle(middle + 12, y + 9, 9, fill, "sea"))
            else:
                parts.append(rect(middle + 3, y, 18, 18, fill, "sea", 'rx="3"'))
            parts.append(text(middle + 36, y + 15, str(value), 17, "muted", "start"))
        parts.append(text(middle, 208, f"last layer: {output}", 16, "muted"))
    return svg(232, "Single-label and multi-label classification", *parts)


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
        path(f"M{x - half - 24} {y}H{x + half + 18}M{x} {y + half + 14}V{y - half - 14}"),
        f'<path class="muted" d="M{x + half + 26} {y}l-9 -5v10z"/>',
        f'<path class="muted" d="M{x} {y - half - 22}l-5 9h10z"/>',
        text(x + 12, y - half - 8, "arousal: excited", 16, "muted", "start"),
        text(x + half + 32, y - 8, "valence:", 16, "muted", "start"),
        text(x + half + 32, y + 12, "pleasant", 16, "muted", "start"),
    ]
    for dx, dy in ((-86, 92), (-44, 74), (-112, 66), (-66, 124), (34, 98)):
        parts.append(circle(x + dx, y + dy, 6, "sea"))
    parts.append(text(x - half - 14, y + 88, "five listeners", 16, anchor="end"))
    parts.append(text(x - half - 14, y + 108, "to one clip", 16, anchor="end"))
    return svg(366, "The plane of valence and arousal", *parts)


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
        colour, width = ("sea", 3) if true else ("line", 1.5)
        parts.append(path(f"M{x1} {y1 + 20}L{x2} {y2 - 20}", colour, width))
    for name, (x, y, true) in nodes.items():
        parts += [box(x - 52, y - 20, 104, 40, "green" if true else "plain"), text(x, y + 6, name, 17)]
    return svg(236, "A tree of genres", *parts)


FIGURES = {
    "pipeline.svg": pipeline,
    "label_types.svg": label_types,
    "mood_plane.svg": mood_plane,
    "hierarchy.svg": hierarchy,
}
