"""The data sets of the chapter on choosing one: how many clips, how long, and with what labels."""

from __future__ import annotations

import math

from diagrams.draw import WIDTH, arrow, circle, path, svg, text

# length: (name of the card, title, clips, labels). A test looks the numbers up in the cards.
SIZES = {
    "a note of 4 s": [("nsynth", "NSynth", (305_979,), "one")],
    "10 seconds": [
        ("etude", "Etude, here", (1_440,), "many"),
        ("openmic", "OpenMIC", (20_000,), "some"),
        ("audioset", "AudioSet", (22_160, 2_000_000), "many"),
    ],
    "half a minute": [
        ("gtzan", "GTZAN", (1_000,), "one"),
        ("fma", "FMA", (8_000, 25_000, 106_574), "one"),
        ("magnatagatune", "MagnaTagATune", (25_863,), "many"),
        ("million_song", "Million Song", (163_504 + 34_730 + 34_913,), "many"),
    ],
    "whole tracks": [
        ("mtg_jamendo", "MTG-Jamendo", (55_525,), "many"),
        ("fma", "FMA, full", (106_574,), "one"),
    ],
}
BY_HAND = {"gtzan", "million_song", "audioset"}  # drawn as outlines
LABELS = {"one": "one label", "many": "many labels", "some": "many, partly known"}
LEFT, RIGHT = 168, WIDTH - 34  # a thousand and two millions


def at(clips: float) -> float:
    """Where a number of clips lies on the axis."""
    return round(LEFT + (RIGHT - LEFT) * math.log10(clips / 1000) / math.log10(2000), 1)


def mark(labels: str, x: float, y: float, by_hand: bool) -> str:
    """The shape tells the kind of labels; an outline, that the audio is not there to be downloaded."""
    colour = "page s-brick" if by_hand else "sea s-sea"
    shapes = {"many": "M{l} {t}h12v12h-12z", "some": "M{x} {u}l8 8l-8 8l-8 -8z"}
    if labels == "one":
        return circle(x, y, 6.5, colour).replace("/>", ' stroke-width="2.5"/>')
    d = shapes[labels].format(x=f"{x:g}", l=f"{x - 6:g}", t=f"{y - 6:g}", u=f"{y - 8:g}")
    return f'<path class="{colour}" d="{d}" stroke-width="2.5"/>'


def sizes() -> str:
    """A row for each data set, by the length of what is labelled."""
    rows, y = [], 52
    for length, group in SIZES.items():
        rows.append(text(14, y + 22, length, 17, anchor="start", bold=True))
        y += 32
        for name, title, clips, labels in group:
            by_hand = name in BY_HAND
            rows.append(text(14, y + 20, title, 16, anchor="start"))
            if len(clips) > 1:
                rows.append(path(f"M{at(clips[0]):g} {y + 15}H{at(clips[-1]):g}", "brick" if by_hand else "sea"))
            if name == "etude":
                rows += [
                    arrow(at(clips[0]), y + 15, 56, "sea"),
                    text(at(clips[0]) + 64, y + 20, "as large as asked for", 15, "muted", "start"),
                ]
            rows += [mark(labels, at(one), y + 15, by_hand) for one in clips]
            y += 30
        y += 6
    parts = [text(14, 24, "clips or tracks", 16, "muted", "start")]
    for clips, name in ((1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000"), (1e6, "1 million")):
        parts.append(text(at(clips), 24, name, 15, "muted"))
        parts.append(path(f"M{at(clips):g} 32V{y}", "line", 0.8, more='stroke-dasharray="3 4"'))
    parts += rows
    for x, (labels, words) in zip((22, 150, 296), LABELS.items(), strict=True):
        parts += [mark(labels, x, y + 24, False), text(x + 16, y + 29, words, 16, anchor="start")]
    parts += [
        mark("one", 22, y + 54, True),
        text(38, y + 59, "outline: the audio is not there to download", 16, anchor="start"),
    ]
    return svg(y + 74, "Nine data sets by number and length of clips", *parts)


FIGURES = {"data_sets.svg": sizes}
