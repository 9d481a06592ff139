"""Figures that a reader moves, in notebooks and in the book: HTML, SVG and a few lines of plain JavaScript.

Widgets of Jupyter need a kernel; on a page of the book they stand still. These figures carry their numbers with
them. They need no kernel, no network and no library, work by mouse, finger and keyboard, take their text colour
from the page (light or dark), and may stand on one page as often as wanted: nothing in them has an id.

Everything is counted or drawn in Python, and Python also writes the first state, so a reader without JavaScript
sees a figure, too. JavaScript looks counts up and divides them, or shows another picture.

Taught in: 01_representations, 03_evaluation.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mclass.metrics import pr_auc, pr_curve, roc_auc, roc_curve, undefined_tags, validate
from mclass.metrics.checks import check_count

_TEMPLATE = Path(__file__).with_name("templates") / "interactive.html"
_PICTURES = Path(__file__).with_name("templates") / "pictures.html"
_BARS = 25
_DPI = 110


class Interactive:
    """HTML that a notebook shows as a figure with controls."""

    def __init__(self, markup: str):
        self._markup = markup

    def _repr_html_(self) -> str:
        return self._markup

    def __repr__(self) -> str:
        return f"<Interactive: {len(self._markup):,} characters of HTML>"


def threshold_slider(
    labels: np.ndarray,
    scores: np.ndarray,
    tags: Sequence[str] | None = None,
    threshold: float = 0.5,
    steps: int = 100,
    label: str = "Move the threshold",
) -> Interactive:
    """A slider for the threshold, beside the scores, the four counts, and the point on the ROC and the PR curve.

    With several tags there is also a list to choose one from.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
        A clip is given a tag if its score is at least the threshold, as everywhere in `mclass.metrics`.
    tags : sequence of str, optional
        Names of the columns. Any text; it is escaped.
    threshold : float
        Where the slider stands at first; the nearest position is taken.
    steps : int
        How many steps the slider has at most: from 0 to 1 if the scores are probabilities, else over their range.
    label : str
        Heading, and name of the figure for screen readers.

    Returns
    -------
    Interactive
        The last value of a notebook cell shows it.

    Raises
    ------
    ValueError
        If labels and scores are not valid (see `mclass.metrics.validate`), a tag has no positive or no negative
        example, `steps` is not an integer from 2 to 1000, or `threshold` is not finite.

    Examples
    --------
    >>> labels, scores = [[1], [0], [1], [0]], [[0.9], [0.4], [0.3], [0.1]]
    >>> figure = threshold_slider(labels, scores, ["harp"], threshold=0.35)
    >>> "precision" in figure._repr_html_()
    True
    """
    labels, scores, names = validate(labels, scores, tags)
    steps = check_count(steps, "steps", 2, 1000)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    missing = undefined_tags(labels, names)
    if missing:
        raise ValueError(
            f"{', '.join(missing)}: no positive or no negative example, so there are no curves to move along. "
            "Leave these tags out."
        )
    grid, decimals = _grid(scores, steps)
    data = {
        "thresholds": [f"{value:.{decimals}f}" for value in grid],
        "tags": [_one_tag(labels[:, [k]], scores[:, [k]], name, grid) for k, name in enumerate(names)],
    }
    position = int(np.abs(grid - threshold).argmin())
    return Interactive(_markup(data, position, label))


def picture_slider(
    pictures: Mapping[str, Any],
    alts: Sequence[str],
    texts: Sequence[str] | None = None,
    position: int = 0,
    label: str = "Move the slider",
    control: str = "Picture",
    colours: int = 64,
) -> Interactive:
    """A slider that shows one of several figures, drawn before: what a setting does, without a kernel.

    Parameters
    ----------
    pictures : mapping of str to matplotlib.figure.Figure
        Name of each position of the slider, and the figure shown there; all of the same size.
    alts : sequence of str
        What a reader who cannot see it should know of each picture.
    texts : sequence of str, optional
        A line below each picture.
    position : int
        Where the slider stands at first.
    label : str
        Heading, and name of the figure for screen readers.
    control : str
        What the slider changes.
    colours : int
        How many different ones a picture keeps, at most 256: fewer make a smaller page.

    Returns
    -------
    Interactive
        The last value of a notebook cell shows it.

    Raises
    ------
    ValueError
        If there are fewer than two pictures, their sizes differ, a text is missing, or `position` or `colours` is
        outside its range.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = picture_slider({"8 ms": Figure((2, 1)), "64 ms": Figure((2, 1))}, ["clicks", "lines"])
    >>> figure._repr_html_().count("data:image/png")
    3
    """
    count = len(pictures)
    if count < 2:
        raise ValueError(f"a slider needs at least 2 pictures to choose from, got {count}")
    texts = [""] * count if texts is None else list(texts)
    for what, given in {"alts": alts, "texts": texts}.items():
        if len(given) != count or isinstance(given, str):
            raise ValueError(f"{what} has one text for each of the {count} pictures, got {len(given)}: {given!r}")
    if not all(alt.strip() for alt in alts):
        raise ValueError("an alternative text is empty: say what is to be seen, for readers who cannot see it")
    position = check_count(position, "position", 0, count - 1)
    colours = check_count(colours, "colours", 2, 256)
    images = [_png(figure, colours) for figure in pictures.values()]
    sizes = {size for _, size in images}
    if len(sizes) > 1:
        raise ValueError(f"the pictures differ in size: {sorted(sizes)} pixels. Give all figures one figsize")
    states = [
        {"name": str(name), "alt": alt, "text": text, "source": source}
        for name, alt, text, (source, _) in zip(pictures, alts, texts, images, strict=True)
    ]
    (width, height) = sizes.pop()
    values = {name: _escape(text) for name, text in states[position].items()}
    values |= {"label": _escape(label), "control": _escape(control), "data": _json(states)}
    values |= {"position": str(position), "last": str(count - 1), "width": str(width), "height": str(height)}
    values["widest"] = str(max(len(state["name"]) for state in states))
    return Interactive(_filled(_PICTURES, values))


def _png(figure: Any, colours: int) -> tuple[str, tuple[int, int]]:
    """A figure as the address of a PNG, and its width and height in pixels.

    Few colours, each pixel the nearest: the same bytes each time, and a fifth of them.
    """
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    image = Image.open(buffer).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.size


def _grid(scores: np.ndarray, steps: int) -> tuple[np.ndarray, int]:
    """Thresholds that read well (steps of 1, 2 or 5 times a power of ten), and their decimals.

    The lowest gives the tag to every clip, and the highest to none, unless it is a probability of 1.
    """
    low, high = float(scores.min()), float(scores.max())
    probabilities = low >= 0 and high <= 1
    if probabilities:
        low, high = 0.0, 1.0
    largest = max(abs(low), abs(high))
    span = high - low if high - low > 1e-6 * largest else largest or 1.0  # all scores are (nearly) the same
    power = 10.0 ** math.floor(math.log10(span / steps))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * steps >= span * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if probabilities:
        first, last = 0, math.ceil(1 / step - 1e-9)
    else:  # one step beyond the scores where rounding needs it
        first, last = low // step, high // step + 1
        first -= np.round(first * step, decimals) > low
        last += np.round(last * step, decimals) <= high
    return np.round(np.arange(first, last + 1) * step, decimals), decimals


def _one_tag(truth: np.ndarray, score: np.ndarray, name: str, grid: np.ndarray) -> dict:
    """Everything that JavaScript looks up for one tag; `truth` and `score` are columns ``(n, 1)``."""
    positives, negatives = np.sort(score[truth]), np.sort(score[~truth])
    roc, pr = roc_curve(truth, score), pr_curve(truth, score)
    roc_area, pr_area = _decimals(roc_auc(truth, score)), _decimals(pr_auc(truth, score))
    share = _y(len(positives) / len(truth))
    return {
        "tag": name,
        "positives": len(positives),
        "negatives": len(negatives),
        # How many scores are at least the threshold.
        "tp": (len(positives) - np.searchsorted(positives, grid)).tolist(),
        "fp": (len(negatives) - np.searchsorted(negatives, grid)).tolist(),
        "rocAuc": roc_area,
        "prAuc": pr_area,
        "roc": _path(roc["false_positive_rate"], roc["recall"], steps=False),
        "pr": _path(pr["recall"], pr["precision"], steps=True),  # the area is a sum of rectangles
        "prChance": f"M{_x(0)} {share}H{_x(1)}",
        "with": _bars(positives, grid, 1),
        "without": _bars(negatives, grid, -1),
        "scoresTitle": f"Histogram of the scores for {name}: upwards the {len(positives)} clips with the tag, "
        f"downwards the {len(negatives)} without it",
        "rocTitle": f"ROC curve of {name}, area {roc_area}",
        "prTitle": f"Precision-recall curve of {name}, area {pr_area}",
    }


def _bars(values: np.ndarray, grid: np.ndarray, direction: int) -> str:
    """A histogram as an SVG path, from the middle of the panel upwards or downwards; the highest bar fills it."""
    counts, edges = np.histogram(values, bins=min(_BARS, len(grid) - 1), range=(grid[0], grid[-1]))
    x = (edges - grid[0]) / (grid[-1] - grid[0])
    heights = direction * 0.48 * counts / counts.max()
    return "".join(
        f"M{_x(a)} {_y(0.5)}V{_y(0.5 + height)}H{_x(b)}V{_y(0.5)}Z"
        for a, b, height in zip(x[:-1], x[1:], heights, strict=True)
        if height
    )


def _path(x: Sequence[float], y: Sequence[float], steps: bool) -> str:
    """A curve as an SVG path, rounded to a tenth of a unit; what does not move the pen is left out."""
    points = [point for point, _ in groupby((_x(a), _y(b)) for a, b in zip(x, y, strict=True))]
    parts = [f"M{points[0][0]} {points[0][1]}"]
    parts += [f"V{b}H{a}" if steps else f"L{a} {b}" for a, b in points[1:]]
    return "".join(parts)


# A panel is 240 × 220 units; from 40 to 230 it is the horizontal axis, from 180 up to 12 the vertical one.
def _x(value: float) -> str:
    return f"{40 + 190 * value:.1f}"


def _y(value: float) -> str:
    return f"{180 - 168 * value:.1f}"


def _decimals(value: float) -> str:
    """Three decimals, rounded as JavaScript's ``toFixed`` does it: an exact half goes up."""
    return str(Decimal(float(value)).quantize(Decimal("0.001"), ROUND_HALF_UP))


def _ratio(part: int, whole: int) -> str:
    return _decimals(part / whole) if whole else "–"


def _first_state(data: dict, position: int) -> dict[str, str]:
    """What the page shows before the slider moves; the script in the template computes the same."""
    tag, thresholds = data["tags"][0], data["thresholds"]
    tp, fp = tag["tp"][position], tag["fp"][position]
    fn, tn = tag["positives"] - tp, tag["negatives"] - fp
    recall = tp / (tp + fn)
    return {
        **{name: str(value) for name, value in tag.items()},
        "position": str(position),
        "last": str(len(thresholds) - 1),
        "threshold": thresholds[position],
        "lowest": f"{float(thresholds[0]):g}",
        "highest": f"{float(thresholds[-1]):g}",
        "line": f"M{_x(position / (len(thresholds) - 1))} 12V180",
        **{"tp": str(tp), "fp": str(fp), "fn": str(fn), "tn": str(tn)},
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        **{"rocX": _x(fp / (fp + tn)), "rocY": _y(recall)},
        **{"prX": _x(recall), "prY": _y(tp / (tp + fp) if tp + fp else 1)},
    }


def _markup(data: dict, position: int, label: str) -> str:
    """The template, filled in; everything is escaped."""
    values = {name: _escape(text) for name, text in _first_state(data, position).items()}
    options = "".join(f'<option value="{k}">{_escape(tag["tag"])}</option>' for k, tag in enumerate(data["tags"]))
    ticks = "".join(
        f'<text x="{_x(at)}" y="193" text-anchor="{anchor}">{at:g}</text>'
        f'<text x="36" y="{184 - 168 * at:g}" text-anchor="end">{at:g}</text>'
        for at, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    values |= {
        "label": _escape(label),
        "choice": f'<label>Tag <select autocomplete="off">{options}</select></label>' if data["tags"][1:] else "",
        "ticks": ticks,
        "data": _json(data),
    }
    return _filled(_TEMPLATE, values)


def _filled(template: Path, values: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], template.read_text(encoding="utf-8"))


def _json(data: dict | list) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # "<" could end the element


def _escape(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
