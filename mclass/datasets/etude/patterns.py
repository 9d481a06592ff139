"""What each player plays: melodies, accompaniments, bass lines and drums for one section of a piece.

A pattern is a function ``(rng, section, tonic, scale, low, high, **options) -> notes``. Times are in beats.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mclass.datasets.etude.theory import nearest, pitch_of, voicing


class Note(NamedTuple):
    """One note: start and length in beats, MIDI pitch, accent (0 is the part's level, 1 a strong accent)."""

    start: float
    length: float
    pitch: int
    accent: float = 0.0


@dataclass(frozen=True)
class Section:
    """A stretch of bars: where it starts (beats), its chords (pitch classes, one per bar) and its energy."""

    start: float
    beats_per_bar: int
    chords: tuple[tuple[int, ...], ...]
    energy: float

    @property
    def bars(self) -> list[tuple[float, tuple[int, ...]]]:
        """``(start beat, chord)`` of each bar."""
        return [(self.start + i * self.beats_per_bar, chord) for i, chord in enumerate(self.chords)]


Pattern = Callable[..., list[Note]]

# Ways to fill a beat or two, from calm to busy: lengths in beats.
_RHYTHMS = (
    ((2,), (3, 1), (4,), (2, 2)),
    ((1, 1), (2,), (1.5, 0.5), (3, 1)),
    ((1,), (0.5, 0.5), (1.5, 0.5), (1, 0.5, 0.5)),
    ((0.5, 0.5), (0.25, 0.25, 0.5), (0.5, 0.25, 0.25), (0.75, 0.25)),
    ((0.25, 0.25, 0.25, 0.25), (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)),
)


def _rhythm(rng: random.Random, beats: float, density: float) -> list[float]:
    lengths: list[float] = []
    while (left := beats - sum(lengths)) > 1e-6:
        level = min(max(round(density * (len(_RHYTHMS) - 1) + rng.gauss(0, 0.5)), 0), len(_RHYTHMS) - 1)
        cell = rng.choice(_RHYTHMS[level])
        lengths.extend(cell if sum(cell) <= left else (min(left, 1.0),))
    return lengths


def melody(
    rng: random.Random,
    section: Section,
    tonic: int,
    scale: Sequence[int],
    low: int,
    high: int,
    density: float = 0.5,
    legato: float = 0.95,
    leaps: float = 0.2,
    rests: float = 0.15,
    ornaments: float = 0.0,
) -> list[Note]:
    """A line in phrases: a motif, its answer, a cadence on a long chord tone, and a breath."""
    notes: list[Note] = []
    per_bar = section.beats_per_bar
    motif = _rhythm(rng, 2 * per_bar, density)
    contour = [
        rng.choice((-3, 3, 4, -4)) if rng.random() < leaps else rng.choice((-1, 1, 1, -1, 0)) for _ in motif
    ]
    centre = (low + high) / 2
    degree = next(d for d in range(-28, 64) if pitch_of(d, tonic, scale) >= centre - 2)
    bars = section.bars
    for first in range(0, len(bars), 2):
        start, _ = bars[first]
        answer = first % 4 == 2
        room = per_bar * min(2, len(bars) - first)
        rhythm = _rhythm(rng, 2 * per_bar, density) if rng.random() < 0.25 else motif
        beat = 0.0
        for i, length in enumerate(rhythm):
            if beat >= room:
                break
            length = min(length, room - beat)
            chord = bars[first + int(beat // per_bar)][1]
            step = contour[i % len(contour)]
            degree += -step if answer and rng.random() < 0.6 else step
            pitch = pitch_of(degree, tonic, scale)
            if not low <= pitch <= high:  # turn back towards the middle
                degree += 4 if pitch < centre else -4
                pitch = min(max(pitch_of(degree, tonic, scale), low), high)
            if beat % 1 == 0 and length >= 1:
                pitch = nearest(pitch, chord)
            final = answer and (beat + length >= room - 1e-6 or room - beat <= per_bar / 2)
            if final:
                length = room - beat
                notes.append(Note(start + beat, length * 0.75, nearest(pitch, chord), 0.1))
                break
            if not (rng.random() < rests and i > 0):
                accent = 0.35 * (beat % per_bar == 0) + 0.15 * (beat % 1 == 0)
                sounding = length * legato
                if ornaments and length >= 0.5 and rng.random() < ornaments:
                    grace = pitch_of(degree + rng.choice((-1, 1)), tonic, scale)
                    notes.append(Note(start + beat, 0.12, grace, accent - 0.2))
                    notes.append(Note(start + beat + 0.12, max(sounding - 0.12, 0.1), pitch, accent))
                else:
                    notes.append(Note(start + beat, sounding, pitch, accent))
            beat += length
    return notes


def _chordal(figure: Callable[[random.Random, float, list[int], int], list[Note]]) -> Pattern:
    """Turn a figure on one bar's chord into a pattern with voice leading from bar to bar."""

    def pattern(rng, section, tonic, scale, low, high, **options):
        notes: list[Note] = []
        pitches: list[int] = []
        for start, chord in section.bars:
            pitches = voicing(chord, low, high, pitches)
            notes.extend(figure(rng, start, pitches, section.beats_per_bar, **options))
        return notes

    pattern.__doc__ = figure.__doc__
    return pattern


@_chordal
def pad(rng, start, pitches, beats, legato=1.02):
    """Held chords."""
    return [Note(start, beats * legato, pitch) for pitch in pitches]


@_chordal
def block(rng, start, pitches, beats, every=1.0, length=0.8, skip_first=False):
    """Repeated chords, or offbeat stabs."""
    offset = every / 2 if skip_first else 0.0
    count = round(beats / every)
    return [
        Note(start + offset + i * every, every * length, pitch, 0.2 if i == 0 else 0.0)
        for i in range(count)
        for pitch in pitches
    ]


@_chordal
def arpeggio(rng, start, pitches, beats, step=0.5, ring=1.5, span=2):
    """Broken chords up and down over `span` octaves, each note ringing on."""
    ladder = [pitch + 12 * octave for octave in range(span) for pitch in pitches]
    cycle = ladder + ladder[-2:0:-1]
    return [
        Note(start + i * step, step * ring, cycle[i % len(cycle)], 0.2 if i % 4 == 0 else 0.0)
        for i in range(round(beats / step))
    ]


@_chordal
def alberti(rng, start, pitches, beats, step=0.5):
    """Low, high, middle, high: the left hand of the classical keyboard."""
    order = (pitches[0], pitches[-1], pitches[1], pitches[-1])
    return [
        Note(start + i * step, step * 0.9, order[i % 4], 0.1 * (i % 4 == 0)) for i in range(round(beats / step))
    ]


@_chordal
def strum(rng, start, pitches, beats, up=True):
    """Guitar strokes down on the beat and up between, a few milliseconds from string to string."""
    strings = [*pitches, *(pitch + 12 for pitch in pitches[:2])]
    hits = [0.0, 1.0, 1.5, 2.5, 3.0, 3.5] if up else [0.0, 1.0, 2.0, 3.0]
    notes = []
    for hit in (h for h in hits if h < beats):
        order = strings if hit % 1 == 0 else strings[::-1][:3]
        ring = 0.9 if hit % 1 == 0 else 0.5
        notes.extend(
            Note(start + hit + 0.025 * i, ring, pitch, 0.25 * (hit == 0)) for i, pitch in enumerate(order)
        )
    return notes


@_chordal
def fingerpick(rng, start, pitches, beats):
    """Travis picking: the thumb alternates below, the fingers answer above."""
    upper = (pitches[-1], pitches[1], pitches[-1] + 12, pitches[1])
    notes = []
    for i in range(round(beats)):
        thumb = pitches[0] - 12 if i % 2 == 0 else pitches[1] - 12
        notes += [Note(start + i, 1.2, thumb, 0.2), Note(start + i + 0.5, 1.0, upper[i % 4])]
    return notes


@_chordal
def power(rng, start, pitches, beats, step=0.5, gallop=False, length=0.9):
    """Root and fifth on a distorted guitar, straight or galloping."""
    root = pitches[0]
    offsets = [o for b in range(beats) for o in ((b, b + 0.5, b + 0.75) if gallop else (b, b + 0.5))]
    if step >= 1:
        offsets = [b for b in range(0, beats, round(step))]
    return [
        Note(start + offset, (0.22 if gallop and offset % 1 else step) * length, pitch, 0.2 * (offset % 1 == 0))
        for offset in offsets
        for pitch in (root, root + 7, root + 12)
    ]


@_chordal
def tremolo(rng, start, pitches, beats, step=0.25):
    """Fast repetition, for tension."""
    return [Note(start + i * step, step, pitch) for i in range(round(beats / step)) for pitch in pitches]


def sequence(rng, section, tonic, scale, low, high, step=0.25, legato=0.7, size=8) -> list[Note]:
    """A short loop of a sequencer, repeated through the section and moved with the chords."""
    rhythm = [rng.random() < 0.75 for _ in range(size)]
    steps = [rng.choice((0, 0, 0, 1, 2, 2, 3)) for _ in range(size)]
    jump = [12 * (rng.random() < 0.2) for _ in range(size)]
    notes = []
    for start, chord in section.bars:
        pitches = voicing(chord, low, high)
        for i in range(round(section.beats_per_bar / step)):
            j = i % size
            if rhythm[j]:
                pitch = [*pitches, pitches[0] + 12][steps[j] % (len(pitches) + 1)] + jump[j]
                notes.append(Note(start + i * step, step * legato, pitch, 0.3 * (i % 4 == 0)))
    return notes


def bass(rng, section, tonic, scale, low, high, style="root") -> list[Note]:
    """Bass lines: long roots, root and fifth, driving eighths, offbeats, octaves, a walk, a synthesiser's sixteenths."""
    notes = []
    beats = section.beats_per_bar
    bars = section.bars
    for number, (start, chord) in enumerate(bars):
        root = low + (chord[0] - low) % 12
        fifth = root + 7 if root + 7 <= high else root - 5
        following = bars[(number + 1) % len(bars)][1][0]
        if style == "root":
            notes.append(Note(start, beats * 0.98, root))
        elif style == "fifth":
            notes += [
                Note(start + b, 0.9, root if b % 2 == 0 else fifth, 0.1 * (b == 0)) for b in range(0, beats, 1)
            ]
        elif style == "eighths":
            notes += [Note(start + b / 2, 0.45, root, 0.2 * (b % 2 == 0)) for b in range(2 * beats)]
        elif style == "offbeat":
            notes += [Note(start + b + 0.5, 0.4, root) for b in range(beats)]
        elif style == "octaves":
            notes += [Note(start + b / 2, 0.4, root + 12 * (b % 2), 0.1 * (b % 2)) for b in range(2 * beats)]
        elif style == "sixteenths":
            notes += [
                Note(start + s / 4, 0.2, root + (12 if s % 8 == 6 else 0), 0.2 * (s % 4 == 2))
                for s in range(4 * beats)
                if s % 4
            ]
        elif style == "walk":
            steps = [pitch_of(degree, tonic, scale) % 12 for degree in range(len(scale))]
            goal = low + (following - low) % 12
            approach = nearest(goal + rng.choice((-2, 2)), [step for step in steps if step != following])
            middle = [nearest(root + rng.choice((3, 5, 7, 10)), steps) for _ in range(beats - 2)]
            line = [root, *middle, approach]
            notes += [Note(start + b, 0.9, pitch, 0.1 * (b % 2)) for b, pitch in enumerate(line[:beats])]
    return notes


def drone(rng, section, tonic, scale, low, high) -> list[Note]:
    """The tambura: fifth, tonic, tonic, low tonic, each string ringing into the next."""
    root = low + (tonic - low) % 12
    cycle = (root + 7, root + 12, root + 12, root)
    step = 1.0
    count = round(len(section.chords) * section.beats_per_bar / step)
    return [Note(section.start + i * step, 3.5, cycle[i % 4]) for i in range(count)]


def cluster(rng, section, tonic, scale, low, high, rate=0.6) -> list[Note]:
    """Sounds scattered without metre or key, for the strange corner of the collection."""
    beats = len(section.chords) * section.beats_per_bar
    notes = []
    beat = 0.0
    while (beat := beat + rng.expovariate(rate)) < beats:
        centre = rng.uniform(low, high - 12)
        for _ in range(rng.choice((1, 1, 2, 4))):
            pitch = int(centre + rng.choice((0, 1, 6, 11, 13)))
            notes.append(Note(section.start + beat, rng.choice((0.1, 0.3, 1, 3, 5)), pitch, rng.random() - 0.3))
    return notes


# One bar of four beats in sixteenths: strong hit X, hit x, ghost hit o. Keys of the General MIDI percussion map.
_KICK, _SNARE, _CLAP, _RIM, _CLOSED, _OPEN, _RIDE, _CRASH = 36, 38, 39, 37, 42, 46, 51, 49
_LOW_TOM, _MID_TOM, _HIGH_TOM, _SHAKER, _TAMBOURINE = 45, 47, 50, 70, 54
_LOW_CONGA, _OPEN_CONGA, _MUTE_CONGA, _HIGH_BONGO, _LOW_BONGO = 64, 63, 62, 60, 61
GROOVES = {
    "rock": {_KICK: "X.....x.X.......", _SNARE: "....X.......X...", _CLOSED: "x.x.x.x.x.x.x.x."},
    "rock ride": {_KICK: "X..x....X.x.....", _SNARE: "....X..o.o..X...", _RIDE: "X.x.X.x.X.x.X.x."},
    "metal": {_KICK: "xxxxxxxxxxxxxxxx", _SNARE: "....X.......X...", _CRASH: "X...x...X...x..."},
    "metal half": {_KICK: "X.xxX.xxX.xxX.xx", _SNARE: "........X.......", _RIDE: "X...X...X...X..."},
    "blast": {_KICK: "X.X.X.X.X.X.X.X.", _SNARE: ".X.X.X.X.X.X.X.X", _CRASH: "X...X...X...X..."},
    "pop": {_KICK: "X.....x.x.x.....", _SNARE: "....X.......X..o", _CLOSED: "x.xox.x.x.xox.x.", _TAMBOURINE: "....x.......x..."},
    "ballad": {_KICK: "X.......x.......", _RIM: "....x.......x...", _CLOSED: "x...x...x...x..."},
    "country": {_KICK: "X.......X.......", _SNARE: "..oox.oo..oox.oo", _CLOSED: "x...x...x...x..."},
    "techno": {_KICK: "X...X...X...X...", _CLAP: "....x.......x...", _OPEN: "..x...x...x...x.", _CLOSED: "xoxoxoxoxoxoxoxo"},
    "hard techno": {_KICK: "X...X...X...X..x", _OPEN: "..X...X...X...X.", _RIM: "...x..x....x..x."},
    "house": {_KICK: "X...X...X...X...", _CLAP: "....X.......X...", _OPEN: "..X...X...X...X.", _SHAKER: "xoxoxoxoxoxoxoxo"},
    "electro": {_KICK: "X.....X...X.....", _SNARE: "....X.......X...", _CLOSED: "x.xxx.x.x.xxx.xo"},
    "downtempo": {_KICK: "X.........x.....", _SNARE: "....x.......x..o", _CLOSED: "x.x.x.xox.x.x.xo"},
    "brushes": {_SNARE: "o.o.x.o.o.o.x.oo", _RIDE: "x...x..xx...x..x", _KICK: "o.......o......."},
    "tabla": {_LOW_CONGA: "X.....x.X.......", _OPEN_CONGA: "..x.x...o.x.x.x.", _MUTE_CONGA: ".o.o.o.x.o.o.o.x", _HIGH_BONGO: "....X.......X.x."},
    "tabla slow": {_LOW_CONGA: "X.......x.......", _OPEN_CONGA: "....x.o.....x.o.", _HIGH_BONGO: "..o...x...o...xo"},
    "hand": {_LOW_BONGO: "x...o.x...x.o...", _HIGH_BONGO: "..x...o.x...o.x.", _SHAKER: "o.x.o.x.o.x.o.x."},
    "timpani": {_KICK: "X...............", _CRASH: "x..............."},
}  # fmt: skip
_STRENGTH = {"X": 0.45, "x": 0.1, "o": -0.45}


_CRASHING = ("rock", "rock ride", "metal", "metal half", "blast", "pop", "house")  # a crash where a section starts
_STEADY = ("timpani", "techno", "tabla slow")  # no fill before it ends
_TOM_FILL = (_SNARE, _HIGH_TOM, _MID_TOM, _LOW_TOM)
_HAND_FILL = (_HIGH_BONGO, _OPEN_CONGA, _LOW_CONGA, _LOW_CONGA)


def drums(rng, section, tonic, scale, low, high, groove="rock", variation=0.06) -> list[Note]:
    """A groove with small changes from bar to bar, a fill before the section ends and a crash where it starts."""
    notes = []
    bars = section.bars
    for number, (start, _) in enumerate(bars):
        fill = number == len(bars) - 1 and len(bars) >= 4 and groove not in _STEADY
        for key, steps in GROOVES[groove].items():
            for i in range(4 * section.beats_per_bar):
                mark = steps[i % 16]
                if fill and i >= 4 * section.beats_per_bar - 4 and key != _KICK:
                    continue
                if rng.random() < variation:
                    mark = "o" if mark == "." else "." if mark == "o" else mark
                if mark != ".":
                    notes.append(Note(start + i / 4, 0.2, key, _STRENGTH[mark]))
        if fill:
            end = start + section.beats_per_bar
            keys = _HAND_FILL if groove in ("tabla", "hand") else _TOM_FILL
            notes += [Note(end - 1 + i / 4, 0.2, key, 0.2) for i, key in enumerate(keys)]
    if groove in _CRASHING:
        notes.append(Note(section.start, 1.0, _CRASH, 0.3))
    return notes


PATTERNS: dict[str, Pattern] = {
    "melody": melody, "pad": pad, "block": block, "arpeggio": arpeggio, "alberti": alberti, "strum": strum,
    "fingerpick": fingerpick, "power": power, "tremolo": tremolo, "sequence": sequence, "bass": bass,
    "drone": drone, "cluster": cluster, "drums": drums,
}  # fmt: skip
