"""Composes the tracks of Etude: ``(version, seed, index)`` fixes the artist, the piece and every note.

A track is open-ended. Its sections are composed one after the other, each from a random stream of its own, so
asking for a longer track extends the shorter one and never changes it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mclass.datasets.etude.instruments import INSTRUMENTS, KITS
from mclass.datasets.etude.patterns import PATTERNS, Note, Section
from mclass.datasets.etude.styles import STYLES, Layer, Style
from mclass.datasets.etude.styles_2 import STYLES_2
from mclass.datasets.etude.theory import SCALES, triad

# What each version is composed in. A change that alters a score, a sound or a label of one of them goes into a new
# version: caches are named by the version, and a test guards each one.
VERSIONS: dict[int, dict[str, Style]] = {1: STYLES, 2: STYLES_2}
TRACKS_PER_ARTIST = 4
_FORMS = ("AABA", "AABB", "ABAC", "AAAB", "ABCB")
_VERSATILITY = 0.15  # share of an artist's tracks in another style
_LOYALTY = 0.75  # how often an artist plays the favourite among possible instruments


def stream(*key: object) -> random.Random:
    """A random stream fixed by `key` alone (seeding by string is stable across Python versions)."""
    return random.Random(
        "/".join(map(str, ("etude", 1, *key)))
    )  # 1 in all versions: artists and studios are the same


@dataclass(frozen=True)
class Artist:
    """Who made a track: a home style, favourite keys, tempi and instruments.

    The sound of the artist's recordings is in `production`.
    """

    seed: int
    number: int
    version: int = 1
    style: str = field(init=False)
    tonics: tuple[int, ...] = field(init=False)
    tempo: float = field(init=False)
    dynamics: float = field(init=False)

    def __post_init__(self):
        rng = stream(self.seed, "artist", self.number)
        styles = VERSIONS[self.version]
        weights = [style.weight for style in styles.values()]
        set_ = object.__setattr__
        set_(self, "style", rng.choices(list(styles), weights)[0])
        set_(self, "tonics", tuple(rng.sample(range(12), 3)))
        set_(self, "tempo", rng.random())
        set_(self, "dynamics", rng.random())

    def favourite(self, options: tuple) -> object:
        """The one of `options` this artist usually takes; always the same one."""
        return stream(self.seed, "artist", self.number, "favourite", *options).choice(options)


@dataclass(frozen=True)
class Part:
    """One player's notes, in seconds.

    Attributes
    ----------
    instrument : str
        See `instruments.INSTRUMENTS`.
    program : int
        General MIDI program, or the kit if the instrument is one of the drum kits.
    gain : float
        dB.
    onset, duration : np.ndarray, shape (notes,), float32
    pitch, velocity : np.ndarray, shape (notes,), int8
    """

    instrument: str
    program: int
    gain: float
    onset: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    @property
    def is_drum(self) -> bool:
        return self.instrument in KITS


@dataclass(frozen=True)
class Score:
    """A composed track: what it is and what every player plays, up to `seconds`."""

    index: int
    artist: Artist
    style: Style
    style_name: str
    bpm: float
    mode: str
    tonic: int
    dynamics: float
    seconds: float
    parts: tuple[Part, ...]


def compose(seed: int, index: int, seconds: float, version: int = 1) -> Score:
    """Compose track `index`.

    Parameters
    ----------
    seed : int
        Of the collection.
    index : int
        Of the track; ``index // TRACKS_PER_ARTIST`` is its artist.
    seconds : float
        Notes that start before this time are written.
    version : int
        See `VERSIONS`.

    Returns
    -------
    Score

    Examples
    --------
    >>> score = compose(seed=0, index=3, seconds=30)
    >>> score.artist.number, len(score.parts) > 0
    (0, True)
    """
    artist, styles = Artist(seed, index // TRACKS_PER_ARTIST, version), VERSIONS[version]
    rng = stream(seed, "track", index)
    name = artist.style if rng.random() >= _VERSATILITY else rng.choice(list(styles))
    style = styles[name]
    tonic = rng.choice(artist.tonics)
    mode = rng.choice(style.modes)
    bpm = _between(style.bpm, 0.6 * artist.tempo + 0.4 * rng.random())
    dynamics = _between(style.dynamics, 0.4 * artist.dynamics + 0.6 * rng.random())
    meter = rng.choice(style.meters)
    players = _players(rng, artist, style)
    plan = _Plan(seed, index, style, tonic, SCALES[mode], meter, rng.choice(_FORMS), players)

    beat = 60 / bpm
    written: list[list[tuple[float, float, int, float]]] = [[] for _ in players]
    for section, material, active in plan.sections():
        if section.start * beat >= seconds:
            break
        touch = stream(seed, "track", index, "touch", section.start)
        for number in active:
            level = 38 + 74 * dynamics * (0.8 + 0.2 * section.energy)
            for note in plan.play(number, section, material):
                onset = max(note.start * beat + touch.gauss(0, style.rubato), 0.0)
                velocity = level + 24 * note.accent + touch.gauss(0, 4)
                written[number].append((onset, note.length * beat, note.pitch, velocity))
    parts = (
        _part(player, [note for note in notes if note[0] < seconds])
        for player, notes in zip(players, written, strict=True)
    )
    parts = tuple(part for part in parts if len(part.onset))
    return Score(index, artist, style, name, bpm, mode, tonic, dynamics, seconds, parts)


@dataclass(frozen=True)
class _Player:
    layer: Layer
    instrument: str
    program: int
    low: int
    high: int
    options: dict


@dataclass(frozen=True)
class _Plan:
    """The form of one track: which material sounds when, played by whom."""

    seed: int
    index: int
    style: Style
    tonic: int
    scale: tuple[int, ...]
    meter: int
    form: str
    players: list[_Player]

    def sections(self) -> Iterator[tuple[Section, str, list[int]]]:
        """Endless ``(section, material, active players)``; equal material is equal music."""
        start, number = 0.0, 0
        while True:
            material = self.form[number % len(self.form)]
            harmony = stream(self.seed, "track", self.index, "harmony", material)
            progression = harmony.choice(self.style.progressions)
            size = 4 if harmony.random() < self.style.sevenths else 3
            chords = [triad(degree, self.tonic, self.scale, size) for degree in progression]
            bars = max(len(chords), 4)
            chords = tuple((chords * bars)[:bars])
            rng = stream(self.seed, "track", self.index, "section", number)
            energy = 0.4 if number == 0 and rng.random() < 0.5 else rng.uniform(0.5, 1.0)
            active = [i for i, player in enumerate(self.players) if rng.random() < player.layer.presence]
            yield Section(start, self.meter, chords, energy), material, active or [0]
            start += bars * self.meter
            number += 1

    def play(self, number: int, section: Section, material: str) -> list[Note]:
        player = self.players[number]
        rng = stream(self.seed, "track", self.index, "player", number, material)
        pattern = PATTERNS[player.layer.pattern]
        return pattern(rng, section, self.tonic, self.scale, player.low, player.high, **player.options)


def _between(bounds: tuple[float, float], position: float) -> float:
    low, high = bounds
    return low + (high - low) * position


def _players(rng: random.Random, artist: Artist, style: Style) -> list[_Player]:
    players = []
    for layer in style.layers:
        if rng.random() >= layer.chance:
            continue
        name = artist.favourite(layer.instruments) if rng.random() < _LOYALTY else rng.choice(layer.instruments)
        instrument = INSTRUMENTS[name]
        options = {
            option: rng.choice(value) if isinstance(value, tuple) else value
            for option, value in layer.options.items()
        }
        low, high = max(layer.low, instrument.low), min(layer.high, instrument.high)
        if high - low < 12:  # the layer lies outside this instrument's range: play in its own middle
            low, high = instrument.low, instrument.high
        players.append(_Player(layer, name, artist.favourite(instrument.programs), low, high, options))
    if not players:  # every player was optional and none came
        return _players(rng, artist, style)
    return players


def _part(player: _Player, notes: list[tuple[float, float, int, float]]) -> Part:
    notes = sorted(notes)
    onset, duration, pitch, velocity = np.array(notes, dtype=np.float64).reshape(-1, 4).T
    instrument = INSTRUMENTS[player.instrument]
    if player.instrument not in KITS:  # what lies outside the instrument's range is played octaves nearer
        pitch = pitch + 12 * np.ceil((instrument.low - pitch).clip(0) / 12)
        pitch = pitch - 12 * np.ceil((pitch - instrument.high).clip(0) / 12)
    return Part(
        instrument=player.instrument,
        program=player.program,
        gain=player.layer.gain + instrument.gain,
        onset=onset.astype(np.float32),
        duration=np.maximum(duration, 0.03).astype(np.float32),
        pitch=np.clip(pitch, 0, 127).astype(np.int8),
        velocity=np.clip(np.round(velocity), 15, 127).astype(np.int8),
    )
