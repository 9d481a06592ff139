"""Tagged recordings to look at and listen to: a player, the top tags, and a cursor that moves over the taggram.

`write` makes a page of them, `player` shows one in a notebook. A page is one file that needs no network.
Recordings of up to five minutes in all are stored in it, as mono MP3; longer ones are played from the original
files, which the page finds relative to its own place: move them together.

Taught in: 04_supervised.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from mclass import audio
from mclass._utils.files import replacing, user_path
from mclass._utils.text import visible
from mclass.display import listen

if TYPE_CHECKING:
    from mclass.inference import TagResult

EMBEDDED_SECONDS = 300  # about 2.4 MB of base64
_RATE = 22_050
_PAGE = Path(__file__).with_name("templates") / "report.html"
_COMPONENT = Path(__file__).with_name("templates") / "taggram.html"  # how a recording looks, and what it does


def write(
    path: str | os.PathLike,
    results: Sequence[TagResult],
    waveforms: Sequence[tuple[Any, int] | None] | None = None,
    *,
    model: str = "",
    top: int = 15,
) -> Path:
    """Write one page for one or more recordings.

    Parameters
    ----------
    path : path
        Of the page. It appears complete or not at all.
    results : sequence of TagResult
    waveforms : sequence of (waveform, sample_rate) or None, optional
        What to play for recordings that are no files; without, their taggrams have no sound.
    model : str
        Its name, to be shown.
    top : int
        Tags to show for each recording.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there are no results, or a waveform cannot be played (`mclass.errors.AudioError`).
    OSError
        If the page cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mclass.inference import TagResult
    >>> chunks = np.array([[0.9, 0.2], [0.7, 0.4]])
    >>> result = TagResult(["slow", "harp"], chunks.mean(axis=0), chunks, hop_seconds=3.0, file="<lento>.mp3")
    >>> page = write(Path(tempfile.mkdtemp(), "report.html"), [result], [(np.zeros(8000), 8000)])
    >>> "&lt;lento&gt;.mp3" in page.read_text(encoding="utf-8")
    True
    """
    if not results:
        raise ValueError("there are no results to show")
    path = user_path(path)
    names = _names(results)
    embedded = sum(result.duration for result in results) <= EMBEDDED_SECONDS
    sections = []
    for i, (result, name) in enumerate(zip(results, names, strict=True)):
        shown = result.top(top)
        section = _section(
            result, name, shown, _source(result, waveforms[i] if waveforms else None, embedded, path)
        )
        if len(results) > 1:
            tags = ", ".join(tag for tag, _ in shown[:3])
            section = (
                f"<details{' open' if i == 0 else ''}><summary><strong>{_text(name)}</strong> "
                f'<span class="faint">{_text(tags)}</span></summary>{section}</details>'
            )
        sections.append(section)
    first = results[0]
    about = (
        f"{len(first.tags)} tags" + (f" by {model}" if model else "") + f"; scores: {_SCORES[first.aggregate]}."
    )
    if not embedded and any(result.file for result in results):
        about += " The page plays the original files; keep it where it is in relation to them."
    parts = {
        "title": _text(names[0] if len(names) == 1 else f"{len(names)} recordings"),
        "about": _text(about),
        "recordings": "\n".join(sections),
        "component": _COMPONENT.read_text(encoding="utf-8"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _PAGE.read_text(encoding="utf-8"))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def player(
    result: TagResult, waveform: Any = None, sample_rate: int | None = None, top: int = 10
) -> listen.Player:
    """Show a tagged recording in a notebook: what its tags are while it plays; click into the map to listen there.

    Parameters
    ----------
    result : TagResult
    waveform : array, shape (samples,), optional
        What to play; the result's file unless given. At most five minutes: the sound becomes part of the notebook.
    sample_rate : int, optional
        Of the waveform, in Hz.
    top : int
        Tags to show.

    Returns
    -------
    mclass.listen.Player

    Raises
    ------
    ValueError
        If the recording is too long to be stored in a notebook.
    mclass.errors.AudioError
        If it cannot be played.

    Examples
    --------
    >>> from mclass.inference import TagResult
    >>> chunks = np.array([[0.9, 0.2], [0.7, 0.4]])
    >>> result = TagResult(["slow", "harp"], chunks.mean(axis=0), chunks, hop_seconds=3.0)
    >>> player(result, np.zeros(48_000), 16_000)._repr_html_().count("<audio")
    1
    """
    if result.duration > EMBEDDED_SECONDS:
        raise ValueError(
            f"{result.duration:.0f} s are too long for a notebook, at most {EMBEDDED_SECONDS}: tag a part of the "
            "recording, or write a page with result.to_html(path)"
        )
    source = _source(result, None if waveform is None else (waveform, sample_rate), True, Path())
    section = _section(result, _names([result])[0], result.top(top), source)
    return listen.Player(section + _COMPONENT.read_text(encoding="utf-8"))


_SCORES = {
    "mean": "mean probability of the chunks",
    "max": "highest probability of any chunk",
    "majority": "share of chunks in which the tag is above 0.5",
}


def _text(words: str) -> str:
    """Any string as HTML; names of files may hold what turns the text around, and need not be valid Unicode."""
    return html.escape(visible(words))


def _names(results: Sequence[TagResult]) -> list[str]:
    """Names of files as short as they can be told apart."""
    files = [result.file for result in results]
    names = [os.path.basename(file) if file else f"recording {i + 1}" for i, file in enumerate(files)]
    if len(set(names)) < len(names):
        names = [file or name for file, name in zip(files, names, strict=True)]
    return names


def _source(result: TagResult, waveform: tuple[Any, int] | None, embedded: bool, page: Path) -> str | None:
    """What the player plays: a data URL, the original file seen from the page, or nothing."""
    if waveform is None and result.file is None:
        return None
    if embedded:
        samples, rate = waveform or (audio.read(result.file, _RATE), _RATE)
        if rate not in listen.MP3_RATES:
            samples, rate = audio.resample(samples, rate, _RATE), _RATE
        return "data:audio/mpeg;base64," + base64.b64encode(listen.encode(samples, rate)).decode()
    if result.file is None:
        return None
    file = user_path(result.file).resolve()
    try:
        return quote(
            Path(os.path.relpath(file, page.parent.resolve())).as_posix().encode("utf-8", "surrogateescape")
        )
    except ValueError:  # another drive of Windows
        return file.as_uri()


def _section(result: TagResult, name: str, shown: list[tuple[str, float]], source: str | None) -> str:
    columns = [result.tags.index(tag) for tag, _ in shown]
    data = {
        "hop": result.hop_seconds,
        "chunk": result.chunk_seconds,
        "duration": max(result.duration, result.chunk_seconds),
        "tags": [tag for tag, _ in shown],
        "rows": np.rint(100 * result.taggram[:, columns].T).astype(int).tolist(),
    }
    # "<" would let a tag named "</script>" end the script.
    stored = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    minutes, seconds = divmod(int(result.duration), 60)
    facts = (
        f"{minutes}:{seconds:02} min, {len(result.taggram)} chunks of {result.chunk_seconds:.3g} s, "
        f"one every {result.hop_seconds:.3g} s"
    )
    left = result.duration - (result.times[-1] + result.chunk_seconds)
    if left > 0.05:
        facts += f"; the last {left:.1f} s do not fill a chunk and are not tagged"
    if result.padded:
        facts += f"; only {result.duration:.2f} s long, padded with silence"
    player = ""
    if source:
        player = f'<audio controls preload="metadata" aria-label="{_text(name)}" src="{source}"></audio>'
    slider = (
        f'<td class="gram" rowspan="{len(shown)}"><div class="track" role="slider" tabindex="0" '
        f'aria-label="Position in {_text(name)}" aria-valuemin="0" aria-valuemax="{result.duration:.1f}" '
        'aria-valuenow="0"><canvas aria-hidden="true"></canvas><div class="cursor"></div></div></td>'
    )
    rows = "\n".join(
        f'<tr><th scope="row">{_text(tag)}</th><td class="score">{score:.2f}</td>{slider if r == 0 else ""}</tr>'
        for r, (tag, score) in enumerate(shown)
    )
    return f"""<section class="mclass-taggram" aria-label="{_text(name)}">
<p class="facts">{facts}</p>
{player}
<table>
<thead><tr><th scope="col">Tag</th><th scope="col" class="score">Score</th>
<th scope="col">Over time</th></tr></thead>
<tbody>
{rows}
</tbody>
<tfoot><tr><td colspan="2"></td><td class="axis"></td></tr></tfoot>
</table>
<p class="now"></p>
<script type="application/json">{stored}</script>
</section>"""
