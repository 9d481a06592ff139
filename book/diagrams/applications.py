"""Diagrams of the part on real applications: the loop around a model, pooling, how large models are trained."""

from __future__ import annotations

import math

from diagrams.draw import WIDTH, arrow, box, circle, curve, down, path, rect, svg, text

# A flute that plays in three of twelve chunks: what a model says of each.
CHUNKS = (0.04, 0.06, 0.05, 0.08, 0.72, 0.94, 0.81, 0.12, 0.05, 0.04, 0.06, 0.03)
POOLS = {  # name: what it makes of the chunks
    "mean": lambda p: sum(p) / len(p),
    "maximum": max,
    "share above 0.5": lambda p: sum(one > 0.5 for one in p) / len(p),
    "linear softmax": lambda p: sum(one * one for one in p) / sum(p),
}
STEPS = (
    ("1  collect", "music of the use; consent", "blue"),
    ("2  annotate", "several people per clip", "blue"),
    ("3  split, freeze", "by artist; a version", "green"),
    ("4  train", "baseline first", "green"),
    ("5  thresholds", "for this use, on validation", "yellow"),
    ("6  release", "model, version, decoder", "yellow"),
    ("7  monitor", "level, drift, complaints", "red"),
)


def lifecycle() -> str:
    """The steps downwards, and the way back from the last to the first."""
    parts, height, gap, left, width = [], 46, 18, 30, 400
    for index, (name, what, colour) in enumerate(STEPS):
        y = 24 + index * (height + gap)
        parts += [
            box(left, y, width, height, colour),
            text(left + 16, y + 29, name, 17, anchor="start", bold=True),
        ]
        parts.append(text(left + 172, y + 29, what, 16, anchor="start"))
        if index + 1 < len(STEPS):
            parts.append(down(left + width / 2, y + height + 1, gap - 2))
    top, bottom = 24 + height / 2, 24 + 6 * (height + gap) + height / 2
    right, edge = left + width, 496
    parts.append(path(f"M{right} {bottom}H{edge}V{top}H{right + 7}", "brick", 2.5))
    parts.append(f'<path class="brick" d="M{right + 1} {top}l9 -5v10z"/>')
    middle = (top + bottom) / 2
    parts += [text(WIDTH - 10, middle - 4, "what", 16, "brick", "end")]
    parts += [text(WIDTH - 10, middle + 16, "failed", 16, "brick", "end")]
    return svg(24 + 7 * (height + gap), "The loop around a model", *parts)


def pooling() -> str:
    """Probabilities of twelve chunks as bars; below, what four ways of pooling make of them."""
    left, base, height, step = 60, 190, 140, 40
    parts = [text(left, 26, "probability of “flute” in each chunk", 17, anchor="start", bold=True)]
    for value in (0.0, 0.5, 1.0):
        y = base - value * height
        parts += [
            path(f"M{left} {y:g}H{left + 12 * step}", "line", 1),
            text(left - 8, y + 5, f"{value:g}", 16, "muted", "end"),
        ]
    for index, value in enumerate(CHUNKS):
        parts.append(rect(left + index * step + 5, base - value * height, step - 10, value * height, "sea"))
    parts.append(text(left + 12 * step, base + 24, "time", 16, "muted", "end"))
    for index, (name, pool) in enumerate(POOLS.items()):
        y, value = base + 62 + index * 36, pool(CHUNKS)
        parts += [text(left + 120, y, name, 17, anchor="end"), rect(left + 134, y - 15, 280, 20, "plain", "line")]
        parts += [
            rect(left + 134, y - 15, 280 * value, 20, "amber"),
            text(left + 426, y, f"{value:.2f}", 17, anchor="start"),
        ]
    return svg(base + 62 + 4 * 36 - 10, "Four ways to pool the chunks of a recording", *parts)


def two_towers() -> str:
    """An encoder of sound and one of text; their vectors meet in a square of cosines."""
    parts = []
    for x, inside, name, colour in (
        (30, "three recordings", "audio encoder", "blue"),
        (310, "their three texts", "text encoder", "green"),
    ):
        parts += [text(x + 110, 32, inside, 17), down(x + 110, 42, 22), box(x, 66, 220, 48, colour)]
        parts += [text(x + 110, 96, name, 17, bold=True), down(x + 110, 116, 24)]
        parts += [text(x + 110, 162, "three unit vectors", 16, "muted")]
    cosines = ((0.8, 0.1, 0.2), (0.0, 0.7, 0.3), (0.2, 0.1, 0.9))
    cell, left, top = 62, 30, 184
    for row, values in enumerate(cosines):
        for column, value in enumerate(values):
            x, y = left + column * cell, top + row * cell
            parts += [
                rect(x, y, cell, cell, "yellow" if row == column else "plain", "line"),
                text(x + cell / 2, y + 38, f"{value:.1f}", 18, bold=row == column),
            ]
    for line, words in enumerate(
        (
            "cosines of all pairs: a row is a",
            "recording, a column is a text.",
            "Training raises the diagonal,",
            "and lowers all the rest.",
        )
    ):
        parts.append(text(240, top + 58 + line * 26, words, 17, anchor="start"))
    return svg(top + 3 * cell + 24, "Contrastive training of sound and text", *parts)


def masked() -> str:
    """Frames of a recording, some hidden; the network names the hidden ones as the teacher does."""
    left, step, hidden = 30, 50, (3, 4, 5)
    wave = [(left + i * 2.5, 60 + 22 * math.sin(i / 3.1) * math.sin(i / 17 + 1)) for i in range(201)]
    parts = [text(left, 24, "a recording, in moments", 17, anchor="start", bold=True), curve(wave, "sea", 2)]
    for index in hidden:
        parts += [
            rect(left + index * step, 34, step, 52, "plain", "line"),
            text(left + index * step + step / 2, 67, "?", 20, bold=True),
        ]
    parts += [
        down(150, 92, 22),
        box(left, 118, 240, 46, "blue"),
        text(150, 147, "transformer (student)", 17, bold=True),
    ]
    parts += [down(410, 92, 22), box(290, 118, 240, 46, "green"), text(410, 147, "teacher, fixed", 17, bold=True)]
    parts += [
        text(150, 190, "sees the rest,", 16, "muted"),
        text(150, 210, "guesses the hidden codes", 16, "muted"),
    ]
    parts += [
        text(410, 190, "sees everything,", 16, "muted"),
        text(410, 210, "gives each moment a code", 16, "muted"),
    ]
    codes = ("17", "4", "9")
    for index, code in enumerate(codes):
        for x in (90, 350):
            parts += [circle(x + index * 60, 244, 20, "yellow", "line"), text(x + index * 60, 250, code, 17)]
    parts += [arrow(240, 244, 78), text(280, 290, "loss: are they the same, where it was hidden?", 17)]
    return svg(310, "Masked prediction of a teacher's codes", *parts)


FIGURES = {
    "lifecycle.svg": lifecycle,
    "pooling.svg": pooling,
    "two_towers.svg": two_towers,
    "masked.svg": masked,
}
