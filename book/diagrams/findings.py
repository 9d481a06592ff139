"""The figure of the chapter on findings: all effects with their intervals, from the table of the experiment."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

from diagrams.draw import WIDTH, circle, path, rect, svg, text

FINDINGS = Path(__file__).resolve().parents[2] / "experiments" / "results" / "findings.csv"
SHORT = {  # a finding (and what it is measured by, where it has two rows), in the words that there is room for
    "Adam beats SGD in few epochs": "Adam beats SGD",
    "NAdam beats SGD in few epochs": "NAdam beats SGD",
    "The focal loss is better on rare tags than cross-entropy": "Focal loss helps rare tags",
    "GELU is better than ReLU": "GELU beats ReLU",
    "A deeper short-chunk CNN beats a CNN of four layers": "Deeper CNN beats four layers",
    "Augmenting waveforms helps": "Augmentation helps",
    "… above all with few clips": "Augmentation helps, few clips",
    "Mel spectrograms of several resolutions help": "Several resolutions help",
    "Musical filters (Musicnn) help with little data": "Musical filters help, few clips",
    "Learning from raw waveforms (SampleCNN) needs more data": "Raw waveforms need more data",
    "The mean over a clip's chunks is better than its chunks": "Mean over chunks helps",
    "A split by track flatters (artists leak)": "Split by track flatters",
    "A split by clip flatters (tracks leak)": "Split by clip flatters",
    "A noisy student beats its teacher, 5 %": "Noisy student wins, 5 % labels",
    "A noisy student beats its teacher, 24 %": "Noisy student wins, 24 %",
    "A small network learns better from a large one": "Distillation helps",
    "CLMR and a line beat the supervised network when labels are few, 1 %": "CLMR wins, 1 % of labels",
    "CLMR and a line beat the supervised network when labels are few, 5 %": "CLMR wins, 5 % of labels",
    "Track regularisation finds more": "Track regularisation helps",
    "Disentanglement helps non-linear encoders": "Disentangling helps CNNs",
    "… more than a linear one": "Disentangling: CNNs gain more",
    "Random triplets are better than easy ones": "Random triplets beat easy",
    "Triplets of a tagger's errors do not help": "Error triplets help",  # what the effect of this row speaks for
}
VERDICTS = {  # in the order of the page: verdict -> heading, colour, mark
    "reproduced": ("reproduced", "leaf", "dot"),
    "not reproduced": ("not reproduced", "brick", "square"),
    "no difference, as published": ("no difference, as published", "sea", "diamond"),
    "no difference": ("no difference: zero is inside", "muted", "ring"),
    "open": ("open: too few seeds", "amber", "ring"),
}
SCORES = {"PR-AUC": " †", "recall@1": " *"}  # how a score other than ROC-AUC is marked
LEFT, RIGHT = 278, WIDTH - 12  # where the axis lies
ROW = 29


def findings() -> list[dict]:
    """The rows of the table: ``name``, ``verdict``, ``mean``, ``low`` and ``high``."""
    with FINDINGS.open(encoding="utf-8") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: dict) -> dict:
    budget = re.search(r"\d+ %", row["measured by"])
    name = SHORT.get(row["finding"]) or SHORT.get(f"{row['finding']}, {budget and budget[0]}")
    if name is None:
        raise KeyError(f"{row['finding']!r} has no short name: give it one in SHORT, of 30 letters at most")
    name += "".join(mark for score, mark in SCORES.items() if row["measured by"].startswith(score))
    mean, low, high = map(float, re.findall(r"[+-]\d\.\d+", row["effect"]))
    return {"name": name, "verdict": row["here"], "mean": mean, "low": low, "high": high}


def mark(shape: str, x: float, y: float, colour: str) -> str:
    """What stands for a mean: its shape tells the verdict where its colour does not."""
    if shape == "dot":
        return circle(x, y, 6, colour)
    if shape == "square":
        return rect(x - 6, y - 6, 12, 12, colour)
    if shape == "diamond":
        return f'<path class="page s-{colour}" d="M{x:g} {y - 7:g}l7 7l-7 7l-7 -7z" stroke-width="2"/>'
    return f'<circle class="page s-{colour}" cx="{x:g}" cy="{y:g}" r="4.5" stroke-width="2"/>'


def forest() -> str:
    """A row for each finding, by verdict; below each heading from the narrowest interval to the widest."""
    rows = findings()
    low, high = min(row["low"] for row in rows) - 0.005, max(row["high"] for row in rows) + 0.005

    def at(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - low) / (high - low), 1)

    drawn, y, top = [], 66, 50
    for verdict, (heading, colour, shape) in VERDICTS.items():
        group = sorted(
            (row for row in rows if row["verdict"] == verdict), key=lambda row: row["high"] - row["low"]
        )
        if not group:
            continue
        drawn += [
            mark(shape, 20, y + 12, colour),
            text(36, y + 18, f"{len(group)} {heading}", 17, colour, "start", bold=True),
        ]
        y += 34
        for row in group:
            drawn.append(text(36, y + 14, row["name"], 16, anchor="start"))
            width = 2 if row["low"] <= 0 <= row["high"] else 3.5
            drawn.append(path(f"M{at(row['low']):g} {y + 9}H{at(row['high']):g}", colour, width))
            drawn.append(mark(shape, at(row["mean"]), y + 9, colour))
            y += ROW
        y += 8
    parts = [
        text(at(0) - 8, 22, "← against", 16, "muted", "end"),
        text(at(0) + 8, 22, "for the sentence →", 16, "muted", "start"),
    ]
    for step in range(math.ceil(20 * low), math.floor(20 * high) + 1):
        x, label = at(step / 20), f"{step / 20:+.2f}".replace("-", "−") if step else "0"
        parts.append(text(x, 46, label, 15, "muted"))
        parts.append(
            path(f"M{x:g} {top + 4}V{y}", "ink", 1.5)
            if step == 0
            else path(f"M{x:g} {top + 4}V{y}", "line", 0.8, more='stroke-dasharray="3 4"')
        )
    parts += drawn
    parts.append(
        text(12, y + 24, "* recall@1 · † PR-AUC of rare tags · all others: ROC-AUC", 15, "muted", "start")
    )
    return svg(y + 36, "What Etude says to each finding, with 95 % intervals", *parts)


FIGURES = {"findings.svg": forest}
