"""Audio players for notebooks and for the book: plain HTML that needs no kernel, no script and no network.

``IPython.display.Audio`` stores a clip as WAV (five seconds at 22 kHz are 294 kB of notebook) and gives a
screen reader nothing to say. These players store MP3 (about 20 kB, and the same bytes each time, so a rebuilt
page is the same page) and carry a label.

Taught in: 04_supervised.
"""

from __future__ import annotations

import base64
import html
import io
import operator
from collections.abc import Iterable

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
    caption = f'<div style="margin-bottom:.15em">{html.escape(label)}</div>' if label else ""
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
