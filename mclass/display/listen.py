"""Audio players for notebooks and for the book: plain HTML that needs no kernel and no network.

``IPython.display.Audio`` stores a clip as WAV (five seconds at 22 kHz are 294 kB of notebook) and gives a
screen reader nothing to say. These players store MP3 (about 20 kB, and the same bytes each time, so a rebuilt
page is the same page) and carry a label. In `embedding_map` each point of a picture is a clip to be heard.

Taught in: 01_representations, 04_supervised, 07_clmr.
"""

from __future__ import annotations

import base64
import html
import io
import json
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from mclass.errors import AudioError, unknown_name

# What a browser plays and soundfile writes: (soundfile's format and subtype, media type).
FORMATS = {
    "mp3": ("MP3", "MPEG_LAYER_III", "audio/mpeg"),
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "wav": ("WAV", "PCM_16", "audio/wav"),
}
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Colours that colour-blind readers tell apart, and as many shapes: SVG paths around (0, 0).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#a6761d")
SHAPES = (
    "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0Z",  # circle
    "M-5.5,-5.5H5.5V5.5H-5.5Z",  # square
    "M0,-7L6.5,5H-6.5Z",  # triangle
    "M0,-7.5L7.5,0L0,7.5L-7.5,0Z",  # diamond
    "M-2.5,-7H2.5V-2.5H7V2.5H2.5V7H-2.5V2.5H-7V-2.5H-2.5Z",  # cross
    "M0,7L6.5,-5H-6.5Z",  # triangle, point down
    "M-6,-3.5L0,-7L6,-3.5V3.5L0,7L-6,3.5Z",  # hexagon
    "M-6.5,-6.5L6.5,6.5V-6.5L-6.5,6.5Z",  # bow tie
)
_MAP = Path(__file__).with_name("templates") / "map.html"
LOUDEST = 0.9  # peak of a normalised clip: below full scale, where MP3 would overshoot


class Player:
    """HTML that a notebook shows as a player.

    Attributes
    ----------
    data : bytes
        The encoded clip (empty for a table of players).
    """

    def __init__(self, markup: str, data: bytes = b""):
        self._markup, self.data = markup, data

    def _repr_html_(self) -> str:
        return self._markup

    def __repr__(self) -> str:
        return f"<Player: {self._markup.count('<audio')} clips, {len(self._markup):,} characters of HTML>"


def encode(waveform, sample_rate: int, format: str = "mp3", normalize: bool = False) -> bytes:
    """Encode a mono waveform as the bytes of an audio file.

    Parameters
    ----------
    waveform : torch.Tensor, np.ndarray or sequence, shape (samples,) or (1, samples)
        Between -1 and 1. A louder one is scaled down to fit, never clipped.
    sample_rate : int
        In Hz.
    format : {"mp3", "flac", "wav"}
    normalize : bool
        Scale the peak to 0.9, so that clips of different levels can be compared. Silence stays silence.

    Returns
    -------
    bytes
        The same for the same input.

    Raises
    ------
    AudioError
        If the waveform is empty, not mono, or holds NaN or infinity; if the format cannot hold the sample rate.
    ValueError
        If the format is unknown.

    Examples
    --------
    >>> data = encode(np.zeros(8000), 8000, format="wav")
    >>> soundfile.info(io.BytesIO(data)).duration
    1.0
    """
    if format not in FORMATS:
        raise ValueError(unknown_name("audio format", format, FORMATS))
    sample_rate = _check_rate(sample_rate, format)
    samples = _check_waveform(waveform)
    peak = float(np.abs(samples).max())
    if peak > 0 and (normalize or peak > 1):
        samples = samples * ((LOUDEST if normalize else 1.0) / peak)
    container, subtype, _ = FORMATS[format]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def player(waveform, sample_rate: int, label: str = "", format: str = "mp3", normalize: bool = False) -> Player:
    """An audio player for one clip; the last expression of a notebook cell shows it.

    Parameters
    ----------
    waveform : torch.Tensor, np.ndarray or sequence, shape (samples,)
        See `encode`, also for what is raised.
    sample_rate : int
        In Hz.
    label : str
        Shown beside the player and read out by screen readers. Any text; it is escaped.
    format : {"mp3", "flac", "wav"}
    normalize : bool
        Scale the peak to 0.9.

    Examples
    --------
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> "1.0 s" in player(tone, 16_000, "A4, 440 Hz")._repr_html_()
    True
    """
    samples = _check_waveform(waveform)
    data = encode(samples, sample_rate, format, normalize)
    seconds = samples.size / sample_rate
    source = f"data:{FORMATS[format][2]};base64,{base64.b64encode(data).decode()}"
    name = html.escape(label or "audio clip")
    caption = (
        f'<div style="margin-bottom:.15em;overflow-wrap:anywhere">{html.escape(label)}</div>' if label else ""
    )
    markup = (
        f'<div style="margin:.4em 0;min-width:0;color:inherit">{caption}'
        f'<audio controls preload="metadata" aria-label="{name}, {seconds:.1f} s" src="{source}" '
        'style="width:100%;max-width:22em;height:2.4em"></audio></div>'
    )
    return Player(markup, data)


def players(
    clips: Iterable[tuple[str, object]], sample_rate: int, format: str = "mp3", normalize: bool = False
) -> Player:
    """Several players in a grid that folds to one column on a phone.

    Parameters
    ----------
    clips : iterable of (label, waveform)
    sample_rate, format, normalize
        As in `player`, for all clips.

    Raises
    ------
    AudioError
        As in `encode`; the message names the clip. Also if there are no clips.

    Examples
    --------
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> players([("quiet", 0.1 * tone), ("loud", 5 * tone)], 16_000)._repr_html_().count("<audio")
    2
    """
    shown = []
    for label, waveform in clips:
        try:
            shown.append(player(waveform, sample_rate, label, format, normalize)._repr_html_())
        except AudioError as error:
            raise AudioError(f"clip {len(shown)} ({label!r}): {error}") from None
    if not shown:
        raise AudioError("there are no clips to play; give a list of (label, waveform) pairs")
    columns = "repeat(auto-fill,minmax(min(16em,100%),1fr))"
    grid = f'<div style="display:grid;grid-template-columns:{columns};gap:.2em 1.2em">{"".join(shown)}</div>'
    return Player(grid)


def embedding_map(
    points,
    clips: Iterable[tuple[str, object]],
    sample_rate: int,
    groups: Sequence[str] | None = None,
    label: str = "Click a point to hear the clip",
    format: str = "mp3",
    normalize: bool = True,
) -> Player:
    """A picture of embeddings in which each point is a clip: click it, or walk with the arrow keys, and hear it.

    Parameters
    ----------
    points : array, shape (n, 2)
        Where the clips are; what t-SNE or PCA made of their embeddings, say.
    clips : iterable of (label, waveform)
        As for `players`. Each second adds about 4 kB to the page.
    sample_rate : int
        In Hz.
    groups : sequence of str, optional
        What each point is coloured by: at most 8 different names.
    label : str
        Heading, and name of the map for screen readers. All texts are escaped.
    format, normalize
        As for `player`.

    Raises
    ------
    ValueError
        If `points` are not ``(n, 2)`` finite numbers, one per clip, or there are too many groups.
    AudioError
        As in `players`.

    Examples
    --------
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> page = embedding_map([[0, 0], [1, 2]], [("quiet", 0.1 * tone), ("loud", tone)], 16_000, ["a", "b"])
    >>> page._repr_html_().count('class="clip"')
    2
    """
    clips = list(clips)
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (len(clips), 2) or not np.isfinite(points).all():
        raise ValueError(
            f"points must be finite numbers of shape ({len(clips)}, 2), one row per clip, got {points.shape}"
        )
    if not clips:
        raise AudioError("there are no clips to play; give a list of (label, waveform) pairs")
    groups = [""] * len(clips) if groups is None else [str(group) for group in groups]
    names = list(dict.fromkeys(groups))
    if len(groups) != len(clips) or len(names) > len(COLOURS):
        raise ValueError(
            f"groups are at most {len(COLOURS)} names, one per clip: got {len(groups)} for {len(clips)} clips, "
            f"{len(names)} of them different"
        )
    span = np.where(np.ptp(points, axis=0) > 0, np.ptp(points, axis=0), 1.0)
    places = 20 + (points - points.min(axis=0)) / span * (600, 380)
    places[:, 1] = 420 - places[:, 1]  # up is more
    drawn, data = [], []
    for (name, waveform), (x, y), group in zip(clips, places, groups, strict=True):
        try:
            source = base64.b64encode(encode(waveform, sample_rate, format, normalize)).decode()
        except AudioError as error:
            raise AudioError(f"clip {len(data)} ({name!r}): {error}") from None
        told = f"{group}: {name}" if group else str(name)
        shape = _shape(names.index(group), f'transform="translate({x:.1f},{y:.1f})" class="clip" role="button"')
        drawn.append(shape.replace("/>", f' tabindex="-1" aria-label="{html.escape(told)}"/>'))
        source = f"data:{FORMATS[format][2]};base64,{source}"
        data.append({"name": told, "x": round(x, 1), "y": round(y, 1), "source": source})
    entries = "".join(
        f'<li><svg viewBox="-8 -8 16 16" aria-hidden="true">{_shape(i)}</svg>{html.escape(name)}</li>'
        for i, name in enumerate(names)
    )
    values = {
        "label": html.escape(label),
        "count": str(len(clips)),
        "points": "".join(drawn),
        "legend": f"<ul>{entries}</ul>" if any(names) else "",
        "first": html.escape(data[0]["name"]),
        "source": data[0]["source"],
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    page = _MAP.read_text(encoding="utf-8")
    head, *parts = page.split("{{")  # once through, so that a text cannot stand for another value
    filled = [values[name] + rest for name, _, rest in (part.partition("}}") for part in parts)]
    return Player(head + "".join(filled))


def _shape(group: int, attributes: str = "") -> str:
    return f'<path d="{SHAPES[group]}" fill="{COLOURS[group]}" {attributes}/>'


def _check_rate(sample_rate: int, format: str) -> int:
    try:
        sample_rate = operator.index(sample_rate)
    except TypeError:
        raise AudioError(f"sample_rate must be a whole number of Hz, got {sample_rate!r}") from None
    if format == "mp3" and sample_rate not in MP3_RATES:
        raise AudioError(
            f"MP3 cannot hold {sample_rate} Hz; it knows {', '.join(map(str, MP3_RATES))}. "
            "Resample the waveform or use format='wav'."
        )
    if not 1000 <= sample_rate <= 384_000:
        raise AudioError(f"sample_rate must be between 1000 and 384000 Hz, got {sample_rate}")
    return sample_rate


def _check_waveform(waveform) -> np.ndarray:
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu().numpy()
    try:
        samples = np.asarray(waveform, dtype=np.float64)
    except (TypeError, ValueError):
        raise AudioError(f"a waveform of numbers is needed, got {type(waveform).__name__}") from None
    if samples.ndim == 2 and samples.shape[0] == 1:
        samples = samples[0]
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError(
            f"a mono waveform of shape (samples,) is needed, got shape {samples.shape}. "
            "(Is this a batch or stereo? Play one row of it.)"
        )
    if not np.isfinite(samples).all():
        raise AudioError(
            f"{np.count_nonzero(~np.isfinite(samples))} of {samples.size} samples are NaN or infinite"
        )
    return samples
