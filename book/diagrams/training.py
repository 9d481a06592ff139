"""Curves of the chapter on training, computed by the formulas that they explain."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from diagrams.draw import arrow, axes, box, circle, curve, down, path, rect, svg, text

EPOCHS = 30
CHOICE = Path(__file__).resolve().parents[2] / "experiments" / "results" / "optimizers_choice.csv"


def one_cycle(progress: float, rise: float = 0.3) -> float:
    """From a 25th up to 1 along half a cosine, then down to almost 0 along another."""
    first, last = 1 / 25, 1 / 250_000
    if progress < rise:
        return first + (1 - first) * (1 - math.cos(math.pi * progress / rise)) / 2
    return last + (1 - last) * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


# The learning rate of epoch e as a share of the one given, with the options of `mclass.training.Schedule`.
SCHEDULES = {
    "constant": lambda e: 1.0,
    "step": lambda e: 0.1 ** (e // 10),
    "exponential": lambda e: 0.95**e,
    "inverse": lambda e: 1 / (1 + 0.1 * e),
    "cosine": lambda e: (1 + math.cos(math.pi * e / EPOCHS)) / 2,
    "cosine_restarts": lambda e: (1 + math.cos(math.pi * (e % 10) / 10)) / 2,
}


def schedules() -> str:
    """Eight learning-rate schedules, small multiples."""
    parts, width, height = [], 118, 78
    drawn = {name: [rate(e) for e in range(EPOCHS + 1)] for name, rate in SCHEDULES.items()}
    drawn["plateau"] = [0.2 ** sum(e >= at for at in (9, 19, 25)) for e in range(EPOCHS + 1)]
    drawn["one_cycle"] = [one_cycle(e / EPOCHS) for e in range(EPOCHS + 1)]
    order = ["constant", "step", "exponential", "inverse", "plateau", "cosine", "cosine_restarts", "one_cycle"]
    jumps = {"step", "plateau"}
    drawn["cosine_restarts"].pop()  # it would begin again
    for index, name in enumerate(order):
        x, y = 16 + (index % 4) * 136, 152 + (index // 4) * 140
        parts += [text(x, y - height - 14, name.replace("_", " "), 16, anchor="start", bold=True)]
        parts.append(path(f"M{x} {y - height - 4}V{y}H{x + width}", "line", 1.5))
        points = []
        for epoch, rate in enumerate(drawn[name]):
            at = x + width * epoch / EPOCHS, y - height * rate
            if name in jumps and points:
                points.append((at[0], points[-1][1]))  # a step is upright
            points.append(at)
        parts.append(curve(points, "sea", 2.5))
    parts.append(text(16, 24, "learning rate, from epoch 0 to 30", 16, "muted", "start"))
    return svg(308, "Eight learning-rate schedules", *parts)


# Each activation and its slope.
ACTIVATIONS = {
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "ReLU": (lambda x: max(0.0, x), lambda x: float(x > 0)),
    "leaky ReLU": (lambda x: max(0.1 * x, x), lambda x: 1.0 if x > 0 else 0.1),
    "ELU": (lambda x: x if x > 0 else math.exp(x) - 1, lambda x: 1.0 if x > 0 else math.exp(x)),
    "GELU": (
        lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
        lambda x: (1 + math.erf(x / math.sqrt(2))) / 2 + x * math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
    ),
}


def activations() -> str:
    """Six activations from -4 to 4, each with its slope."""
    parts, half, unit = [], 80, 20
    for index, (name, (value, slope)) in enumerate(ACTIVATIONS.items()):
        x, y = 100 + (index % 3) * 180, 122 + (index // 3) * 160
        parts.append(text(x, y - 92, name, 16, bold=True))
        parts.append(path(f"M{x - half} {y}h{2 * half}M{x} {y - 82}V{y + 34}", "line", 1.2))
        dashed = 'stroke-dasharray="5 4"'
        for function, colour, width, more in ((slope, "amber", 2, dashed), (value, "sea", 2.5, "")):
            points = [(i / 50, function(i / 50)) for i in range(-200, 201)]
            parts.append(curve([(x + unit * a, y - unit * b) for a, b in points], colour, width, more))
    parts += [path("M150 336h28", "sea", 2.5), text(186, 341, "output", 16, anchor="start")]
    parts += [path("M300 336h28", "amber", 2, more='stroke-dasharray="5 4"')]
    parts += [text(336, 341, "slope", 16, anchor="start")]
    return svg(354, "Six activations and their slopes", *parts)


INITIAL = {  # deviation of the weights of a layer with n inputs
    "0.2": lambda n: 0.2,
    "He, √(2/n)": lambda n: math.sqrt(2 / n),
    "Xavier, √(1/n)": lambda n: math.sqrt(1 / n),
    "0.05": lambda n: 0.05,
}
UNITS, DEPTH = 256, 20


def deviations(deviation: float) -> list[float]:
    """How far activations spread after each of twenty ReLU layers of 256 units, from inputs of deviation 1."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(64, UNITS))
    found = [float(signal.std())]
    for _ in range(DEPTH):
        signal = np.maximum(0, signal @ rng.normal(0, deviation, size=(UNITS, UNITS)))
        found.append(float(signal.std()))
    return found


def initial_weights() -> str:
    """The spread of activations from layer to layer, for four initial weights; a logarithmic axis."""
    x, y, width, low, high = 70, 282, 330, -6, 8
    scale = 250 / (high - low)
    parts = axes(x, y, width, 250, "")
    parts.append(text(x + width, y + 42, "layer", 16, "muted", "end"))
    parts.append(text(16, 20, "standard deviation of the activations", 16, "muted", "start"))
    for layer in (0, 5, 10, 15, 20):
        parts.append(text(x + width * layer / DEPTH, y + 20, str(layer), 15, "muted"))
    for power, label in ((-6, "10⁻⁶"), (-3, "10⁻³"), (0, "1"), (3, "10³"), (6, "10⁶")):
        parts.append(text(x - 10, y - scale * (power - low) + 5, label, 15, "muted", "end"))
    parts.append(path(f"M{x} {y - scale * -low:g}h{width}", "line", 1, more='stroke-dasharray="4 4"'))
    for (name, deviation), colour in zip(INITIAL.items(), ("brick", "leaf", "amber", "sea"), strict=True):
        spread = [max(low, math.log10(value)) for value in deviations(deviation(UNITS))]
        points = [(x + width * k / DEPTH, y - scale * (value - low)) for k, value in enumerate(spread)]
        parts.append(curve(points, colour, 2.5))
        parts.append(text(x + width + 10, points[-1][1] + 5, name, 16, anchor="start"))
    return svg(334, "What four choices of initial weights do to twenty layers", *parts)


def losses() -> str:
    """What a decision costs, by the probability that it gives to the truth."""
    x, y, width, height, top = 52, 262, 330, 226, 4.0
    parts = axes(x, y, width, height, "", "loss")
    parts.append(text(x + width, y + 42, "probability given to the truth", 16, "muted", "end"))
    for mark in (0, 0.5, 1):
        parts.append(text(x + width * mark, y + 20, f"{mark:g}", 15, "muted"))
    for value in (1, 2, 3):
        parts.append(text(x - 10, y - height * value / top + 5, str(value), 15, "muted", "end"))
    for gamma, colour, name in (
        (0, "sea", "cross-entropy"),
        (1, "leaf", "focal, γ = 1"),
        (2, "amber", "focal, γ = 2"),
        (5, "brick", "focal, γ = 5"),
    ):
        points = []
        for i in range(1, 200):
            p = i / 200
            loss = -((1 - p) ** gamma) * math.log(p)
            if loss <= top:
                points.append((x + width * p, y - height * loss / top))
        parts.append(curve(points, colour, 2.5))
        row = 60 + 30 * (0, 1, 2, 5).index(gamma)
        parts += [path(f"M400 {row}h24", colour, 3), text(432, row + 6, name, 16, anchor="start")]
    parts.append(text(400, 200, "right answers", 16, "muted", "start"))
    parts.append(text(400, 220, "hardly count any more", 15, "muted", "start"))
    parts.append(path(f"M396 206L{x + width * 0.88:g} {y - 8}", "muted", 1.2))
    return svg(316, "Cross-entropy and focal loss", *parts)


def rates() -> str:
    """Gradient descent in a bowl, w ← w - η w, with four learning rates."""
    parts, steps = [], 12
    cases = [(0.1, "too low"), (0.7, "good"), (1.8, "nearly too high"), (2.1, "too high")]
    for index, (rate, name) in enumerate(cases):
        x, y, width, half = 16 + index * 136, 118, 118, 62
        parts += [
            text(x, 28, name, 16, anchor="start", bold=True),
            text(x, 48, f"η = {rate:g}", 16, "muted", "start"),
        ]
        parts.append(rect(x, y - half, width, 2 * half, "plain", "line"))
        parts.append(path(f"M{x} {y}h{width}", "line", 1, more='stroke-dasharray="4 4"'))
        points, w = [], 1.0 if rate < 2 else 0.3
        for step in range(steps + 1):
            points.append((x + 6 + (width - 12) * step / steps, y - 0.8 * half * w))
            w -= rate * w
        parts.append(curve(points, "brick" if rate > 2 else "sea", 2))
        parts += [circle(px, py, 2.6, "brick" if rate > 2 else "sea") for px, py in points]
    parts.append(
        text(16, 204, "the weight after each of twelve steps; dashed: the best one", 16, "muted", "start")
    )
    return svg(218, "Four learning rates in a bowl", *parts)


def chosen_rates() -> str:
    """Validation score against learning rate for each optimizer, from the table of the experiment."""
    with CHOICE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = [
        ("one rate for all weights", {"sgd": "sea", "momentum": "leaf", "nesterov": "brick"}),
        ("a rate for each weight", {"adagrad": "sea", "rmsprop": "leaf", "adam": "brick", "nadam": "amber"}),
    ]
    parts, width, height, bottom = (
        [text(8, 24, "validation ROC-AUC after 3 epochs", 16, "muted", "start")],
        214,
        180,
        252,
    )
    low, high = 0.55, 0.87
    for panel, (title, optimizers) in enumerate(groups):
        x = 50 + panel * 272
        parts.append(text(x, 56, title, 17, anchor="start", bold=True))
        parts.append(path(f"M{x} {bottom - height}V{bottom}H{x + width}", "line", 1.5))
        rates = sorted({float(row["learning_rate"]) for row in rows if row["optimizer"] in optimizers})
        at = {rate: x + 14 + (width - 28) * i / (len(rates) - 1) for i, rate in enumerate(rates)}
        for rate in rates:
            parts.append(text(at[rate], bottom + 20, f"{rate:g}", 15, "muted"))
        for score in (0.6, 0.7, 0.8):
            y = bottom - height * (score - low) / (high - low)
            parts.append(path(f"M{x} {y:.1f}h{width}", "line", 0.7, more='stroke-dasharray="3 4"'))
            if panel == 0:
                parts.append(text(x - 8, y + 5, f"{score:g}", 15, "muted", "end"))
        for index, (name, colour) in enumerate(optimizers.items()):
            points = [
                (
                    at[float(row["learning_rate"])],
                    bottom - height * (float(row["valid_roc_auc"]) - low) / (high - low),
                )
                for row in sorted(rows, key=lambda row: float(row["learning_rate"]))
                if row["optimizer"] == name
            ]
            parts.append(curve(points, colour, 2.5))
            parts += [circle(*(round(value, 1) for value in point), 3.5, colour) for point in points]
            left, y = x + (index % 2) * 110, bottom + 48 + 24 * (index // 2)
            parts += [path(f"M{left} {y - 5}h20", colour, 3), text(left + 26, y, name, 16, anchor="start")]
    parts.append(text(544, 24, "across: learning rate", 16, "muted", "end"))
    return svg(338, "Learning rates of seven optimizers, measured", *parts)


def early_stopping() -> str:
    """Training and validation loss, and where to stop. Drawn, not measured."""
    x, y, width, height = 40, 232, 400, 196
    parts = axes(x, y, width, height, "epochs", "loss")

    def train(t: float) -> float:
        return 0.12 + 0.75 * math.exp(-3.4 * t)

    def valid(t: float) -> float:
        return 0.27 + 0.62 * math.exp(-5 * t) + 0.3 * t**2

    grid = [i / 100 for i in range(101)]
    best = min(grid, key=valid)
    stop = best + 0.22
    for loss, colour, name in ((train, "sea", "training"), (valid, "brick", "validation")):
        parts.append(curve(((x + width * t, y - height * loss(t)) for t in grid), colour, 2.5))
        parts.append(text(x + width + 8, y - height * loss(1) + 6, name, 16, colour, "start"))
    at = x + width * best, y - height * valid(best)
    end = x + width * stop
    parts += [
        path(f"M{at[0]:g} {y}V{at[1] - 50:.1f}", "leaf", 1.5, more='stroke-dasharray="4 4"'),
        circle(*at, 6, "leaf"),
        text(at[0], at[1] - 58, "best: these weights are kept", 16, "leaf"),
        path(f"M{end:g} {y}V{at[1] - 20:.1f}", "muted", 1.5, more='stroke-dasharray="4 4"'),
        text(end + 6, y - 10, "stop", 16, "muted", "start"),
        arrow(at[0] + 4, y - 16, end - at[0] - 6),
        text((at[0] + end) / 2, y - 24, "patience", 16, "muted"),
    ]
    return svg(266, "Early stopping", *parts)


def batch_norm() -> str:
    """Batch norm takes its mean from the batch in training, from an average of old batches in use."""
    parts = []
    for x, mode, source, colour, more in (
        (12, "model.train()", "this batch", "yellow", "and updates the average"),
        (288, "model.eval()", "running average", "green", "and changes nothing"),
    ):
        middle = x + 130
        parts += [box(x, 10, 260, 222), text(middle, 40, mode, 18, bold=True)]
        parts += [box(middle - 100, 56, 200, 36, "blue"), text(middle, 80, "values of a channel", 16)]
        parts.append(down(middle, 92, 22))
        parts += [box(middle - 118, 114, 236, 60, colour), text(middle, 138, "minus mean, by deviation:", 16)]
        parts.append(text(middle, 160, f"of {source}", 16, bold=True))
        parts.append(down(middle, 174, 20))
        parts.append(text(middle, 216, more, 16, "muted"))
    return svg(242, "Batch norm in training and in use", *parts)


FIGURES = {
    "schedules.svg": schedules,
    "activations.svg": activations,
    "initial_weights.svg": initial_weights,
    "losses.svg": losses,
    "learning_rates.svg": rates,
    "chosen_rates.svg": chosen_rates,
    "early_stopping.svg": early_stopping,
    "batch_norm.svg": batch_norm,
}
