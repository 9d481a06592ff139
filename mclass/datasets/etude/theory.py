"""Scales, chords and voice leading: the little music theory the composer needs.

Pitches are MIDI numbers (60 is middle C), a *degree* counts scale steps from the tonic (0 is the tonic, 7 the
octave in a seven-note scale, negative degrees lie below).
"""

from __future__ import annotations

from collections.abc import Sequence

# Semitones above the tonic. The last six are thaats of Hindustani music, named as in North India.
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
    "octatonic": (0, 1, 3, 4, 6, 7, 9, 10),
    "bhairav": (0, 1, 4, 5, 7, 8, 11),
    "bhairavi": (0, 1, 3, 5, 7, 8, 10),
    "kafi": (0, 2, 3, 5, 7, 9, 10),
    "kalyan": (0, 2, 4, 6, 7, 9, 11),
    "purvi": (0, 1, 4, 6, 7, 8, 11),
    "todi": (0, 1, 3, 6, 7, 8, 11),
}


def pitch_of(degree: int, tonic: int, scale: Sequence[int]) -> int:
    """MIDI pitch of a scale degree.

    >>> [pitch_of(d, 60, SCALES["major"]) for d in (-1, 0, 2, 7)]
    [59, 60, 64, 72]
    """
    octave, step = divmod(degree, len(scale))
    return tonic + 12 * octave + scale[step]


def triad(degree: int, tonic: int, scale: Sequence[int], size: int = 3) -> tuple[int, ...]:
    """Pitch classes of the chord of stacked thirds on a degree; the first one is its root.

    >>> triad(4, 0, SCALES["major"], size=4)  # G7 in C major
    (7, 11, 2, 5)
    """
    return tuple(pitch_of(degree + 2 * i, tonic, scale) % 12 for i in range(size))


def voicing(chord: Sequence[int], low: int, high: int, previous: Sequence[int] = ()) -> list[int]:
    """Pitches of a chord between `low` and `high`, moving as little as possible from the previous chord.

    >>> voicing((5, 9, 0), 55, 72, previous=voicing((0, 4, 7), 55, 72))  # C to F keeps its C
    [60, 65, 69]
    """
    inversions = []
    for first in range(len(chord)):
        pitches, floor = [], low
        for pitch_class in (*chord[first:], *chord[:first]):
            pitch = floor + (pitch_class - floor) % 12
            pitches.append(pitch)
            floor = pitch + 1
        inversions.append(pitches)
        if pitches[-1] + 12 <= high:
            inversions.append([pitch + 12 for pitch in pitches])
    centre = sum(previous) / len(previous) if previous else (low + high) / 2
    return min(inversions, key=lambda pitches: (abs(sum(pitches) / len(pitches) - centre), pitches[-1] > high))


def nearest(pitch: float, pitch_classes: Sequence[int]) -> int:
    """The pitch nearest to `pitch` whose class is one of `pitch_classes` (the lower one of two).

    >>> nearest(61, (0, 4, 7))
    60
    """
    candidates = (pitch + d for d in (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6))
    return next(int(candidate) for candidate in candidates if candidate % 12 in pitch_classes)
