"""Turns a score into sound: every part through a General MIDI soundfont, as a stem of its own.

The synthesiser is `symusic`'s; the soundfont is ``TimGM6mb.sf2``, which ships inside the ``pretty_midi`` wheel.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import symusic

from mclass.datasets.etude.composer import Part
from mclass.datasets.etude.instruments import INSTRUMENTS
from mclass.datasets.etude.synthesis.bowed import BOWS, bow
from mclass.datasets.etude.synthesis.plucked import STRINGS, pluck
from mclass.datasets.etude.synthesis.singer import VOICES, sing

SAMPLE_RATE = 16_000
_QUALITY = 3  # symusic's interpolation between samples; 4, its best, takes three times as long to load a sound


_PLAYERS = ((sing, VOICES), (bow, BOWS), (pluck, STRINGS))  # of what the soundfont does not play


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


@lru_cache(maxsize=1)
def synthesizer_key() -> str:
    """A short digest of synthesizer and soundfont, which decide the sound as much as the version does."""
    digest = hashlib.sha256(f"symusic {version('symusic')} ".encode())
    digest.update(soundfont().read_bytes())
    return digest.hexdigest()[:10]


def render(parts: Sequence[Part], num_samples: int) -> Iterator[np.ndarray]:
    """Render the parts of one track, one after the other.

    Parameters
    ----------
    parts : sequence of Part
    num_samples : int

    Yields
    ------
    np.ndarray, shape (num_samples,), float32
        The stem of each part.
    """
    # A synthesiser remembers what it has played, and plays the next part a little differently for it. A new one
    # for every track keeps tracks independent of each other; one for every part would be four times slower.
    synthesizer = symusic.Synthesizer(sf_path=str(soundfont()), sample_rate=SAMPLE_RATE, quality=_QUALITY)
    for part in parts:
        known = INSTRUMENTS.get(part.instrument)  # of a single note the program is all that is known
        if known and (kind := known.synthesis):
            play, manner = next((play, known[kind]) for play, known in _PLAYERS if kind in known)
            yield play(part, manner, num_samples)
            continue
        track = symusic.Track(part.instrument, part.program, part.is_drum, ttype="Second")
        track.notes = symusic.Note.from_numpy(
            time=part.onset, duration=part.duration, pitch=part.pitch, velocity=part.velocity, ttype="Second"
        )
        score = symusic.Score(480, ttype="Second")
        score.tracks.append(track)
        sound = np.asarray(synthesizer.render(score, stereo=False))[0]
        stem = np.zeros(num_samples, dtype=np.float32)
        stem[: len(sound)] = sound[:num_samples]
        yield stem
