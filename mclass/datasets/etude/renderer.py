"""Turns a score into sound: every part through a General MIDI soundfont, as a stem of its own.

The synthesiser is `symusic`'s; the soundfont is ``TimGM6mb.sf2``, which ships inside the ``pretty_midi`` wheel.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import symusic

from mclass.datasets.etude.composer import Part

SAMPLE_RATE = 16_000
_QUALITY = 4  # symusic's best interpolation between samples of the soundfont


@lru_cache(maxsize=1)
def soundfont() -> Path:
    """Path of the soundfont.

    Raises
    ------
    FileNotFoundError
        If the installed ``pretty_midi`` does not carry it.
    """
    spec = importlib.util.find_spec("pretty_midi")  # found, not imported: the import is slow and not needed
    path = Path(spec.origin).with_name("TimGM6mb.sf2") if spec else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            "the soundfont TimGM6mb.sf2, which the pretty_midi wheel carries, was not found; "
            "reinstall it: pip install --force-reinstall --no-deps pretty_midi"
        )
    return path


def _synthesizer() -> object:
    """A new one for every part: what a used one plays depends on what it has played before."""
    return symusic.Synthesizer(sf_path=str(soundfont()), sample_rate=SAMPLE_RATE, quality=_QUALITY)


def render(part: Part, num_samples: int) -> np.ndarray:
    """Render one part.

    Returns
    -------
    np.ndarray, shape (num_samples,), float32
    """
    track = symusic.Track(part.instrument, part.program, part.is_drum, ttype="Second")
    track.notes = symusic.Note.from_numpy(
        time=part.onset, duration=part.duration, pitch=part.pitch, velocity=part.velocity, ttype="Second"
    )
    score = symusic.Score(480, ttype="Second")
    score.tracks.append(track)
    sound = np.asarray(_synthesizer().render(score, stereo=False))[0]
    stem = np.zeros(num_samples, dtype=np.float32)
    stem[: len(sound)] = sound[:num_samples]
    return stem
