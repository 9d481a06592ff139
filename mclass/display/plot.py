"""Matplotlib figures of the course. Each function returns a `matplotlib.figure.Figure`.

A notebook shows the figure where it is the last value of a cell, or with ``display(figure)``; a script saves it
with ``figure.savefig(path)``.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; maps of numbers go from
white to dark blue, readable in greyscale, too. Backgrounds are white: text stays readable on a page in dark mode.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mclass import vocabulary
from mclass._utils.text import visible
from mclass.errors import unknown_name

# matplotlib is imported inside the functions: it takes half a second, and a run on a server may never draw.

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
NOTION_COLOURS = dict(zip(("genre", "mood", "instrument", "tempo"), OKABE_ITO, strict=False))
_OTHER = "#767676"
_MAP = "Blues"


def confusion_matrix(matrix: np.ndarray, labels: Sequence[str]) -> Any:
    """Counts of true label (rows) against predicted label (columns); shades show the share of each row.

    Parameters
    ----------
    matrix : array, shape (n, n)
        Counts, as `mclass.metrics.confusion` gives them.
    labels : sequence of str
        n names.

    Examples
    --------
    >>> confusion_matrix(np.array([[8, 2], [1, 9]]), ["flute", "harp"]).axes[0].get_ylabel()
    'true label (clips)'
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(labels), len(labels)):
        raise ValueError(
            f"{len(labels)} labels need a matrix of {len(labels)} × {len(labels)}, got {matrix.shape}"
        )
    size = 2.5 + 0.5 * len(labels)
    figure, axes = _figure(size + 0.8, size)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap=_MAP, vmin=0, vmax=1)
    for row, column in np.argwhere(matrix > 0):
        axes.text(
            column, row, f"{matrix[row, column]:g}",
            ha="center", va="center", color="white" if share[row, column] > 0.5 else "black",
        )  # fmt: skip
    labels = [_plain(label) for label in labels]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(labels)), [f"{label} ({n:g})" for label, n in zip(labels, matrix.sum(1), strict=True)]
    )
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label (clips)")
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set_title(f"Accuracy {accuracy:.2f} on {matrix.sum():g} clips")
    figure.colorbar(image, label="share of the true label's clips", shrink=0.8)
    return figure


def learning_curves(history: Any) -> Any:
    """Loss and validation scores against the epoch; a line marks the best epoch.

    Parameters
    ----------
    history : pandas.DataFrame
        `mclass.training.Run.history`: ``train_loss``, ``valid_loss`` and other ``valid_…`` columns.

    Examples
    --------
    >>> import pandas as pd
    >>> history = pd.DataFrame({"train_loss": [2, 1.5], "valid_loss": [2, 1.8], "valid_accuracy": [0.3, 0.4]})
    >>> [axes.get_ylabel() for axes in learning_curves(history).axes]
    ['loss (nats)', 'validation score']
    """
    epochs = np.arange(len(history))  # from 0, as the history counts them
    scores = [name for name in history.columns if name.startswith("valid_") and name != "valid_loss"]
    figure, (left, right) = _figure(9, 3.4, columns=2)
    for name, colour, mark in (("train_loss", OKABE_ITO[0], "o"), ("valid_loss", OKABE_ITO[5], "s")):
        if name in history:
            left.plot(epochs, history[name], color=colour, marker=mark, markersize=4, label=_words(name))
    left.set_ylabel("loss (nats)")
    for name, colour, mark in zip(scores, OKABE_ITO[2:], "^Dvo", strict=False):
        right.plot(epochs, history[name], color=colour, marker=mark, markersize=4, label=_words(name))
    right.set_ylabel("validation score")
    if scores:
        keys = [name for name in (scores[0], "valid_loss") if name in history]  # as training chooses
        ranked = history.reset_index(drop=True).sort_values(
            keys, ascending=[False, True][: len(keys)], kind="stable"
        )
        best = int(ranked.index[0])
        for axes in (left, right):
            axes.axvline(epochs[best], color=_OTHER, linestyle="--", label=f"best epoch: {epochs[best]}")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    return figure


def curves(
    table: Any,
    x: str,
    by: str,
    score: str = "roc_auc",
    *,
    names: Mapping[str, str] | None = None,
    live: Mapping[str, tuple[float, float]] | None = None,
) -> Any:
    """What each learner scores over data or dose: means with 95 % intervals, and a point of one's own.

    Parameters
    ----------
    table : pandas.DataFrame
        A summary of an experiment (`mclass.results.table`): columns `x`, `by`, `score`, and its interval as
        ``<score>_low`` and ``<score>_high`` (empty where a single seed was run).
    x : str
        Number of tracks, crops, labels, …, drawn on a logarithmic axis.
    by : str
        The column that tells one curve from another.
    score : str
    names : mapping of str to str, optional
        Which curves are drawn, in their order, and what they are called.
    live : mapping of str to (x, score), optional
        Points that were measured here and now, drawn as stars in the colour of the curve of that name.

    Raises
    ------
    ValueError
        If a column or a curve is not in the table.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"tracks": [60, 240], "learner": "cnn_1d", "roc_auc": [0.67, 0.86]})
    >>> table = table.assign(roc_auc_low=[0.66, 0.85], roc_auc_high=[0.68, 0.87])
    >>> curves(table, "tracks", "learner", live={"cnn_1d": (60, 0.65)}).axes[0].get_xlabel()
    'tracks'
    """
    for column in (x, by, score):
        if column not in table:
            raise ValueError(unknown_name("column", column, list(table.columns)))
    present = [str(name) for name in table[by].unique()]
    names = dict(zip(present, present, strict=True)) if names is None else dict(names)
    for name in (*names, *(live or ())):
        if name not in present:
            raise ValueError(unknown_name(by, name, present))
    figure, axes = _figure(7, 3.6)
    marks = "osD^vPX*"
    for number, (name, title) in enumerate(names.items()):
        colour, mark = OKABE_ITO[number % len(OKABE_ITO)], marks[number % len(marks)]
        rows = table[table[by].astype(str) == name].sort_values(x)
        places = rows[x].to_numpy(float)
        axes.plot(places, rows[score], f"{mark}-", color=colour, label=_plain(title), markersize=5)
        if f"{score}_low" in rows:
            low, high = (rows[f"{score}_{end}"].to_numpy(float) for end in ("low", "high"))
            axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        if live and name in live:
            axes.plot(*live[name], "*", color=colour, markersize=16, markeredgecolor="black", zorder=5)
    if (table[x] > 0).all():
        axes.set_xscale("log")
    axes.set(xlabel=_words(x), ylabel=_words(score))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def tag_bars(table: Any, metric: str = "roc_auc") -> Any:
    """One bar per tag, sorted; the colour is the tag's notion (genre, mood, instrument, tempo).

    Parameters
    ----------
    table : pandas.DataFrame
        `mclass.metrics.tagwise`: columns ``tag`` and `metric`. Tags without a value are left out and counted.
    metric : {"roc_auc", "pr_auc"}

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"tag": ["harp", "slow"], "roc_auc": [0.9, 0.7]})
    >>> [label.get_text() for label in tag_bars(table).axes[0].get_yticklabels()]
    ['slow', 'harp']
    """
    if metric not in table:
        raise ValueError(f"the table has no column {metric!r}; it has {', '.join(table.columns)}")
    shown = table.dropna(subset=[metric]).sort_values(metric)
    kinds = [_notion(tag) for tag in shown["tag"]]
    figure, axes = _figure(6.5, 1.2 + 0.2 * len(shown))
    names = [_plain(tag) for tag in shown["tag"]]
    axes.barh(names, shown[metric], color=[NOTION_COLOURS.get(kind, _OTHER) for kind in kinds], height=0.75)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    mean = shown[metric].mean()
    axes.axvline(mean, color="black", linewidth=1)
    axes.annotate(f"mean {mean:.3f}", (mean, 1), (3, 3), ("data", "axes fraction"), "offset points", fontsize=9)
    if metric == "roc_auc":
        axes.axvline(0.5, color="black", linewidth=1, linestyle=":")
        axes.annotate("chance", (0.5, 1), (3, 3), ("data", "axes fraction"), "offset points", fontsize=9)
    missing = len(table) - len(shown)
    axes.set_xlabel(_words(metric) + (f" (tags without a value: {missing})" if missing else ""))
    axes.tick_params(axis="y", labelsize=9)
    handles = [
        _patch(colour, name) for name, colour in {**NOTION_COLOURS, "other": _OTHER}.items() if name in kinds
    ]
    if set(kinds) != {"other"}:
        axes.legend(handles=handles, loc="lower right", framealpha=0.9)
    return figure


def spectrogram(logmel: np.ndarray | torch.Tensor, sample_rate: int, hop_length: int) -> Any:
    """A log-mel spectrogram against time.

    Parameters
    ----------
    logmel : array or tensor, shape (n_mels, frames)
        In dB; leading dimensions of size 1 are dropped.
    sample_rate : int
        In Hz.
    hop_length : int
        Samples between frames.

    Examples
    --------
    >>> figure = spectrogram(np.zeros((96, 188)), sample_rate=16_000, hop_length=256)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['mel band', 'level (dB)']
    """
    logmel = _array(logmel)
    logmel = logmel.reshape(logmel.shape[-2:]) if logmel.size == np.prod(logmel.shape[-2:]) else logmel
    if logmel.ndim != 2:
        raise ValueError(
            f"one spectrogram has the shape (n_mels, frames), got {logmel.shape}; pick one of the batch"
        )
    figure, axes = _figure(8, 3)
    seconds = logmel.shape[1] * hop_length / sample_rate
    image = axes.imshow(
        logmel, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, -0.5, logmel.shape[0] - 0.5)
    )
    axes.set_xlabel("time (s)")
    axes.set_ylabel("mel band")
    figure.colorbar(image, label="level (dB)")
    return figure


def cooccurrence(labels: np.ndarray, tags: Sequence[str]) -> Any:
    """How often a clip with one tag (row) has another (column), as a share of the row's clips.

    Parameters
    ----------
    labels : array, shape (n, num_tags)
        Multi-hot.
    tags : sequence of str

    Examples
    --------
    >>> figure = cooccurrence(np.array([[1, 1], [1, 0]]), ["vocal", "male"])
    >>> figure.axes[0].get_xlabel()
    '… also have this tag'
    """
    labels = _array(labels).astype(np.int64)
    if labels.ndim != 2 or labels.shape[1] != len(tags):
        raise ValueError(f"{len(tags)} tags need labels of the shape (n, {len(tags)}), got {labels.shape}")
    together = labels.T @ labels
    share = together / np.maximum(np.diag(together)[:, None], 1)
    np.fill_diagonal(share, np.nan)  # always 1: says nothing, and is left grey
    size = 2.2 + 0.19 * len(tags)
    figure, axes = _figure(size + 0.6, size)
    axes.set_facecolor("0.8")
    image = axes.imshow(share, cmap=_MAP, vmin=0, vmax=1)
    fontsize = 8 if len(tags) > 20 else 10
    tags = [_plain(tag) for tag in tags]
    axes.set_xticks(range(len(tags)), tags, rotation=90, fontsize=fontsize)
    axes.set_yticks(range(len(tags)), tags, fontsize=fontsize)
    axes.set_xlabel("… also have this tag")
    axes.set_ylabel("of the clips with this tag …")
    figure.colorbar(image, label="share of the row's clips", shrink=0.7)
    return figure


def taggram(scores: np.ndarray, tags: Sequence[str], seconds_per_chunk: float, top: int = 15) -> Any:
    """Scores of the strongest tags over the time of one recording.

    Parameters
    ----------
    scores : array, shape (chunks, num_tags)
        Probabilities.
    tags : sequence of str
    seconds_per_chunk : float
        Distance between the starts of chunks.
    top : int
        How many tags, by their mean score.

    Examples
    --------
    >>> scores = np.random.default_rng(0).random((10, 3))
    >>> figure = taggram(scores, ["slow", "harp", "quiet"], seconds_per_chunk=3.0)
    >>> figure.axes[0].get_xlabel()
    'time (s)'
    """
    scores = _array(scores)
    if scores.ndim != 2 or scores.shape[1] != len(tags):
        raise ValueError(f"{len(tags)} tags need scores of the shape (chunks, {len(tags)}), got {scores.shape}")
    best = np.argsort(-scores.mean(axis=0), kind="stable")[:top]
    figure, axes = _figure(8, 1.3 + 0.27 * len(best))
    seconds = len(scores) * seconds_per_chunk
    image = axes.imshow(
        scores[:, best].T,
        aspect="auto",
        cmap=_MAP,
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, seconds, len(best) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(best)), [_plain(tags[i]) for i in best])
    axes.set_xlabel("time (s)")
    figure.colorbar(image, label="probability")
    return figure


def _figure(width: float, height: float, columns: int = 1) -> tuple:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", facecolor="white")
    # Else a notebook shows it twice, as the value of the cell and at its end, and pyplot keeps it in memory.
    plt.close(figure)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _plain(text: str) -> str:
    """Text as it is: matplotlib takes what is between dollar signs for mathematics and refuses half surrogates."""
    return visible(text).replace("$", r"\$")


def _notion(tag: str) -> str:
    return vocabulary.notion(tag) if tag in vocabulary.MAGNATAGATUNE else "other"


def _words(name: str) -> str:
    """A column's name as a reader's words: ``valid_roc_auc`` is "validation ROC-AUC"."""
    name = name.replace("valid_", "validation ").replace("train_", "training ")
    return name.replace("roc_auc", "ROC-AUC").replace("pr_auc", "PR-AUC").replace("_", " ")


def _array(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
