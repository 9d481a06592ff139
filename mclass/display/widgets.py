"""Figures that compute while you move them, for a running notebook (Jupyter, Colab, VS Code), with ipywidgets.

The figures of `mclass.interactive`, `mclass.listen` and `mclass.report` carry their numbers with them and need no
kernel. What is here asks the kernel each time: any draw of a transform, any recording, any colouring. On a page of
the book it would be an empty box, so notebooks tag the cell ``skip-execution`` and ``remove-output``.

Taught in: 04_supervised, 05_augmentation, 07_clmr.
"""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mclass.display import listen
from mclass.errors import ModelError

if TYPE_CHECKING:
    import torch

    from mclass.models import WaveformModel

SEEDS = 1000  # draws to choose from


def augmentation(
    transforms: Mapping[str, Callable[..., torch.Tensor]], clips: Mapping[str, torch.Tensor], sample_rate: int
) -> Any:
    """Choose a transform, a clip and a seed: hear and see the clip before and after.

    Parameters
    ----------
    transforms : mapping of str to transform
        Called as ``transform(waveforms, generator)``, as those of `mclass.augmentations`.
    clips : mapping of str to tensor, shape (samples,)
        Mono waveforms.
    sample_rate : int
        In Hz.

    Returns
    -------
    ipywidgets.VBox
        The last value of a notebook cell shows it.

    Raises
    ------
    ValueError
        If there is nothing to choose from.
    ImportError
        If ipywidgets is not installed.

    Examples
    --------
    >>> import torch
    >>> from mclass.augmentations import Gain
    >>> panel = augmentation({"softer": Gain(-12, -6)}, {"noise": 0.1 * torch.randn(8000)}, 16_000)
    >>> [control.description for control in panel.children[:-1]]
    ['transform', 'clip', 'seed']
    """
    import torch

    from mclass.display import plot
    from mclass.frontends import LogMel

    frontend = LogMel(sample_rate=sample_rate, f_max=None)

    def show(transform: str, clip: str, seed: int) -> list[Any]:
        before = clips[clip]
        after = transforms[transform](before[None].clone(), torch.Generator().manual_seed(seed))[0]
        versions = [(clip, before), (f"{clip}, {transform}, seed {seed}", after)]
        shown = [listen.players(versions, sample_rate)]
        for name, waveform in versions:
            figure = plot.spectrogram(frontend(waveform[None]), sample_rate, frontend.hop_length)
            figure.axes[0].images[0].set_clim(-60, 30)  # the same colours before and after
            shown.append(_picture(figure, f"Log-mel spectrogram of {name}"))
        return shown

    controls = {
        "transform": _choice("transform", transforms),
        "clip": _choice("clip", clips),
        "seed": _widgets().IntSlider(0, 0, SEEDS - 1, description="seed", continuous_update=False),
    }
    return _panel(show, controls)


def taggram(
    model: WaveformModel, recordings: Mapping[str, Any], sample_rate: int | None = None, top: int = 10
) -> Any:
    """Choose a recording and a distance between chunks: the model tags it, and the tags move while it plays.

    Parameters
    ----------
    model : WaveformModel
        With its `tags`.
    recordings : mapping of str to path or tensor, shape (samples,)
        Files, or mono waveforms.
    sample_rate : int, optional
        Of the waveforms, in Hz. Files know their own.
    top : int
        Tags to show.

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        If there are no recordings, or (`mclass.errors.ModelError`) the model does not know its tags.
    ImportError
        If ipywidgets is not installed.

    Examples
    --------
    >>> import torch
    >>> from mclass import models
    >>> model = models.create("musicnn", num_tags=2)
    >>> model.tags = ["harp", "drums"]
    >>> panel = taggram(model, {"noise": 0.1 * torch.randn(5 * 16_000)}, 16_000)
    >>> panel.children[0].options
    ('noise',)
    """
    from mclass import inference

    if not getattr(model, "tags", None):
        raise ModelError(
            "the model does not know its tags: set model.tags to their names, in the order of its outputs"
        )

    def show(recording: str, seconds: float) -> list[Any]:
        sound = recordings[recording]
        hop = round(seconds * model.sample_rate)
        result = inference.tag(sound, model, None if _is_file(sound) else sample_rate, hop, progress=False)
        return [result.player(top=top) if _is_file(sound) else result.player(sound, sample_rate, top=top)]

    longest = model.num_samples / model.sample_rate
    hops = sorted({step for step in (0.25, 0.5, 1.0, 2.0) if step < longest} | {round(longest, 2)}, reverse=True)
    controls = {
        "recording": _choice("recording", recordings),
        "seconds": _widgets().SelectionSlider(options=hops, description="chunk every (s)", **_WIDE),
    }
    return _panel(show, controls)


def embedding_map(
    points: Mapping[str, Any],
    clips: Iterable[tuple[str, Any]],
    sample_rate: int,
    groupings: Mapping[str, Sequence[str]],
) -> Any:
    """Choose a projection, and what colours the points; each point is a clip to be heard.

    Parameters
    ----------
    points : mapping of str to array, shape (n, 2)
        Projections of the same clips, ``{"PCA": …, "t-SNE": …}`` say.
    clips : iterable of (label, waveform)
        As for `mclass.listen.embedding_map`.
    sample_rate : int
        In Hz.
    groupings : mapping of str to sequence of str
        What each clip belongs to, ``{"genre": …, "artist": …}`` say. Of many groups the seven largest have a
        colour; the others are "other".

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        If there is nothing to choose from, or as in `mclass.listen.embedding_map`.
    ImportError
        If ipywidgets is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> points = {"PCA": [[0, 0], [1, 2]], "its mirror": [[0, 0], [1, -2]]}
    >>> panel = embedding_map(points, [("one", tone), ("two", tone)], 16_000, {"artist": ["a", "b"]})
    >>> [control.options for control in panel.children[:-1]]
    [('PCA', 'its mirror'), ('artist',)]
    """
    clips = list(clips)
    for name, one in [*points.items(), *groupings.items()]:
        if len(one) != len(clips):
            raise ValueError(f"{name!r} has {len(one)} entries for {len(clips)} clips; it needs one for each")

    def show(projection: str, colour: str) -> list[Any]:
        groups = _largest(groupings[colour], len(listen.COLOURS))
        label = f"{projection}, coloured by {colour}: click a point to hear the clip"
        return [listen.embedding_map(points[projection], clips, sample_rate, groups, label)]

    return _panel(show, {"projection": _choice("projection", points), "colour": _choice("colour", groupings)})


_WIDE = {"style": {"description_width": "initial"}}


def _widgets() -> Any:
    try:
        import ipywidgets
    except ModuleNotFoundError:
        raise ImportError("figures that compute need ipywidgets: %pip install ipywidgets") from None
    return ipywidgets


def _choice(what: str, options: Iterable[str]) -> Any:
    options = list(options)
    if not options:
        raise ValueError(f"there is no {what} to choose from; give a mapping with at least one")
    return _widgets().Dropdown(options=options, description=what)


def _panel(show: Callable[..., list[Any]], controls: Mapping[str, Any]) -> Any:
    """The controls, and below them whatever `show` returns for their values, each time one is moved."""
    from IPython import get_ipython
    from IPython.display import clear_output, display

    output = _widgets().Output()

    def chosen() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    def moved(change: Any) -> None:
        with output:  # errors are shown there, too
            shown = show(**chosen())
            clear_output(wait=True)
            display(*shown)

    first = show(**chosen())  # outside of the output: a mistake in the call is an error of the call
    if get_ipython() is not None:
        with output:
            display(*first)
    for control in controls.values():
        control.observe(moved, "value")
    return _widgets().VBox([*controls.values(), output])


def _picture(figure: Any, alt: str) -> Any:
    from IPython.display import HTML  # its Image knows no alternative text in the IPython of Colab

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return HTML(f'<img src="{source}" alt="{html.escape(alt)}" style="max-width:100%">')


def _largest(groups: Sequence[str], count: int) -> list[str]:
    """The names of all groups if they are at most `count`; else of the largest, and "other".

    Examples
    --------
    >>> _largest(["a", "b", "a", "c"], 2)
    ['a', 'other', 'a', 'other']
    """
    groups = [str(group) for group in groups]
    sizes = Counter(groups)
    if len(sizes) <= count:
        return groups
    kept = {name for name, _ in sizes.most_common(count - 1)}
    return [group if group in kept else "other" for group in groups]


def _is_file(sound: Any) -> bool:
    return not hasattr(sound, "shape")
