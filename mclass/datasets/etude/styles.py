"""The styles Etude composes in: who plays what, how fast, how loud, in which modes and over which chords.

This is the musical knowledge of the data set, kept as one table. To add a style, add a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layer:
    """One player: the instruments it may be, the pattern it plays, where, how often and how loud.

    Attributes
    ----------
    instruments : tuple of str
        One is chosen per track (see `instruments.INSTRUMENTS`); an artist has favourites.
    pattern : str
        See `patterns.PATTERNS`; `options` go to it.
    low, high : int
        Register in MIDI pitches; the instrument's own range also holds.
    chance : float
        Probability that the track has this player at all.
    presence : float
        Probability that the player is heard in a section.
    gain : float
        dB in the mix.
    """

    instruments: tuple[str, ...]
    pattern: str
    low: int = 48
    high: int = 76
    chance: float = 1.0
    presence: float = 0.9
    gain: float = 0.0
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Style:
    """A way of making music, with the genre tags that hold by construction.

    Attributes
    ----------
    tags : tuple of str
    weight : float
        Share of artists.
    bpm, dynamics : tuple of float
        Ranges; dynamics from 0 (pianissimo) to 1 (fortissimo).
    rubato : float
        How freely time is kept: standard deviation of onsets in seconds.
    effects : float
        How much of the artist's studio (drive, loudness) is heard; acoustic styles are recorded plainly.
    room : float
        Multiplies the artist's reverberation.
    """

    tags: tuple[str, ...]
    weight: float
    bpm: tuple[float, float]
    dynamics: tuple[float, float]
    modes: tuple[str, ...]
    progressions: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    meters: tuple[int, ...] = (4,)
    sevenths: float = 0.0
    rubato: float = 0.008
    effects: float = 1.0
    room: float = 1.0


_CLASSICAL = (
    (0, 3, 4, 0),
    (0, 4, 5, 4),
    (0, 5, 3, 4),
    (0, 1, 4, 0),
    (0, 3, 6, 2, 5, 1, 4, 0),
    (0, 0, 4, 4, 4, 4, 0, 0),
)
_SONG = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 3, 0, 4), (0, 0, 3, 4))
_ROCK = ((0, 6, 3, 0), (0, 3, 4, 3), (0, 5, 6, 0), (0, 0, 6, 3), (0, 2, 3, 4))
_LOOP = ((0, 0, 0, 0), (0, 5, 0, 5), (0, 5, 3, 6), (0, 0, 3, 3), (0, 6, 5, 6))
_STILL = ((0,), (0, 0, 3, 3), (0, 3), (0, 0, 5, 5), (0, 4))
_MAJOR_MINOR = ("major", "major", "minor", "harmonic minor")


def _solo(instrument: str, low: int, high: int, **options) -> Layer:
    return Layer((instrument,), "melody", low, high, presence=1.0, gain=1.5, options=options)


# Rows are laid out by hand: one layer a line reads like a score.
STYLES: dict[str, Style] = {
    "solo piano": Style(
        ("classical", "classic"), 0.055, (52, 150), (0.1, 0.75), _MAJOR_MINOR, _CLASSICAL,
        (
            _solo("piano", 62, 90, density=0.55, leaps=0.3),
            Layer(("piano",), "alberti", 45, 64, 0.5, 1.0, -3),
            Layer(("piano",), "arpeggio", 40, 62, 0.5, 1.0, -3, {"ring": 2.5}),
        ),
        meters=(3, 4, 4), rubato=0.02, effects=0.2, room=1.2,
    ),
    "harpsichord": Style(
        ("classical", "classic"), 0.05, (84, 150), (0.4, 0.6), _MAJOR_MINOR, _CLASSICAL,
        (
            _solo("harpsichord", 62, 84, density=0.75, ornaments=0.2, leaps=0.15),
            Layer(("harpsichord",), "alberti", 45, 62, 0.6, 1.0, -2),
            Layer(("harpsichord",), "bass", 38, 55, 1.0, 1.0, -2, {"style": "walk"}),
            Layer(("recorder", "flute", "violin"), "melody", 67, 88, 0.22, 0.85, 1, {"density": 0.6, "ornaments": 0.2}),
        ),
        meters=(3, 4), rubato=0.012, effects=0.1, room=1.1,
    ),
    "string quartet": Style(
        ("classical", "classic"), 0.06, (54, 140), (0.15, 0.75), _MAJOR_MINOR, _CLASSICAL,
        (
            Layer(("violin",), "melody", 67, 91, 1.0, 0.95, 1.5, {"density": 0.5}),
            Layer(("violin", "string section"), "block", 58, 74, 0.7, 0.8, -3, {"every": 0.5}),
            Layer(("string section",), "pad", 50, 70, 0.6, 0.8, -2),
            Layer(("cello",), "bass", 36, 54, 1.0, 0.95, 0, {"style": "fifth"}),
        ),
        meters=(3, 4, 4), rubato=0.02, effects=0.1, room=1.3,
    ),
    "solo strings": Style(
        ("classical", "classic"), 0.05, (48, 130), (0.2, 0.7), ("minor", "harmonic minor", "major"), _CLASSICAL,
        (
            Layer(("violin", "violin", "cello"), "melody", 40, 88, 1.0, 1.0, 2, {"density": 0.5, "leaps": 0.35}),
            Layer(("harpsichord", "piano"), "block", 48, 67, 0.35, 0.9, -5),
        ),
        meters=(3, 4), rubato=0.03, effects=0.1, room=1.4,
    ),
    "orchestra": Style(
        ("classical",), 0.055, (58, 144), (0.25, 1.0), _MAJOR_MINOR, _CLASSICAL,
        (
            Layer(("string section",), "melody", 60, 86, 1.0, 0.9, 1, {"density": 0.45}),
            Layer(("string section",), "pad", 50, 72, 1.0, 0.95, 0),
            Layer(("violin", "viola"), "tremolo", 60, 79, 0.3, 0.5, -4),
            Layer(("brass", "horn"), "pad", 45, 67, 0.6, 0.5, -2),
            Layer(("flute", "oboe"), "melody", 70, 93, 0.6, 0.5, -1, {"density": 0.55}),
            Layer(("pizzicato", "cello"), "bass", 36, 53, 1.0, 0.9, 0, {"style": "fifth"}),
            Layer(("orchestral percussion",), "drums", 0, 127, 0.5, 0.5, 0, {"groove": "timpani"}),
        ),
        meters=(3, 4, 4), rubato=0.02, effects=0.1, room=1.6,
    ),
    "flute": Style(
        ("classical",), 0.04, (56, 126), (0.2, 0.55), _MAJOR_MINOR, _CLASSICAL,
        (
            _solo("flute", 69, 93, density=0.55, ornaments=0.1),
            Layer(("harp", "nylon guitar", "piano", "harpsichord"), "arpeggio", 48, 67, 0.7, 0.95, -3),
            Layer(("cello",), "bass", 36, 54, 0.4, 0.9, -2, {"style": "root"}),
        ),
        meters=(3, 4), rubato=0.02, effects=0.1, room=1.3,
    ),
    "classical guitar": Style(
        ("classical",), 0.055, (56, 132), (0.15, 0.55), ("minor", "harmonic minor", "major", "phrygian"), _CLASSICAL,
        (
            _solo("nylon guitar", 59, 79, density=0.6),
            Layer(("nylon guitar",), "arpeggio", 43, 60, 0.9, 1.0, -2, {"span": 1, "ring": 2}),
            Layer(("nylon guitar",), "bass", 40, 52, 0.7, 1.0, -2, {"style": "root"}),
        ),
        meters=(3, 4), rubato=0.02, effects=0.1, room=0.8,
    ),
    "harp": Style(
        ("classical", "new age"), 0.035, (50, 108), (0.1, 0.5), ("major", "major", "dorian", "lydian"), (*_STILL, *_CLASSICAL),
        (
            _solo("harp", 60, 91, density=0.5),
            Layer(("harp",), "arpeggio", 43, 64, 1.0, 1.0, -1, {"ring": 4, "span": 2}),
            Layer(("flute", "recorder"), "melody", 69, 90, 0.3, 0.8, -1, {"density": 0.4}),
        ),
        meters=(3, 4), rubato=0.025, effects=0.1, room=1.5,
    ),
    "choral": Style(
        ("classical",), 0.04, (48, 84), (0.15, 0.7), ("major", "minor", "dorian", "mixolydian"), _CLASSICAL,
        (
            Layer(("choir",), "pad", 48, 72, 1.0, 1.0, 1),
            Layer(("choir",), "melody", 64, 80, 0.9, 0.9, 0, {"density": 0.25, "leaps": 0.05}),
            Layer(("choir",), "bass", 41, 55, 0.9, 0.9, 0, {"style": "root"}),
            Layer(("church organ",), "pad", 40, 67, 0.3, 0.8, -5),
        ),
        meters=(3, 4), rubato=0.03, effects=0.0, room=2.2,
    ),
    "opera": Style(
        ("opera", "classical"), 0.07, (52, 126), (0.35, 0.9), ("major", "minor", "harmonic minor"), _CLASSICAL,
        (
            Layer(("soprano", "soprano", "tenor"), "melody", 46, 84, 1.0, 0.9, 4, {"density": 0.35, "leaps": 0.4, "rests": 0.1}),
            Layer(("string section",), "block", 52, 72, 0.6, 0.9, -2),
            Layer(("string section",), "pad", 50, 72, 0.7, 0.9, -2),
            Layer(("viola",), "tremolo", 52, 72, 0.3, 0.6, -4),
            Layer(("harpsichord",), "block", 50, 70, 0.25, 0.8, -4),
            Layer(("pizzicato", "cello"), "bass", 36, 53, 1.0, 0.9, -1, {"style": "fifth"}),
        ),
        meters=(3, 4, 4), rubato=0.025, effects=0.0, room=1.6,
    ),
    "techno": Style(
        ("techno", "electronic"), 0.19, (124, 150), (0.6, 1.0), ("minor", "phrygian", "dorian"), _LOOP,
        (
            Layer(("electronic kit",), "drums", 0, 127, 1.0, 0.95, 2, {"groove": ("techno", "hard techno", "techno")}),
            Layer(("synth bass",), "bass", 31, 48, 1.0, 0.9, 0, {"style": ("sixteenths", "offbeat", "eighths")}),
            Layer(("synth pluck", "saw lead", "square lead"), "sequence", 55, 79, 0.9, 0.8, -1),
            Layer(("saw lead", "strange synth"), "sequence", 43, 67, 0.5, 0.6, -3, {"size": 16}),
            Layer(("warm pad", "string pad"), "pad", 52, 72, 0.5, 0.5, -5),
        ),
        rubato=0.0, effects=1.3, room=0.7,
    ),
    "dance": Style(
        ("dance", "electronic"), 0.05, (116, 132), (0.6, 0.95), ("minor", "major", "dorian"), (*_LOOP, *_SONG),
        (
            Layer(("electronic kit",), "drums", 0, 127, 1.0, 0.97, 2, {"groove": ("house", "house", "electro")}),
            Layer(("synth bass",), "bass", 31, 48, 1.0, 0.9, 0, {"style": ("offbeat", "octaves")}),
            Layer(("piano", "organ", "string pad", "saw lead"), "block", 55, 74, 0.9, 0.8, -2, {"skip_first": True, "length": 0.4}),
            Layer(("synth pluck",), "arpeggio", 60, 79, 0.5, 0.6, -3, {"step": 0.25, "ring": 0.8}),
            Layer(("female voice", "female voice", "male voice"), "melody", 48, 77, 0.5, 0.55, 3, {"density": 0.5, "rests": 0.3}),
        ),
        sevenths=0.3, rubato=0.0, effects=1.3, room=0.6,
    ),
    "electro": Style(
        ("electronic",), 0.055, (84, 118), (0.4, 0.8), ("minor", "dorian"), (*_LOOP, *_SONG),
        (
            Layer(("electronic kit",), "drums", 0, 127, 1.0, 0.9, 1, {"groove": ("electro", "downtempo")}),
            Layer(("synth bass",), "bass", 31, 48, 1.0, 0.9, 0, {"style": ("eighths", "root", "sixteenths")}),
            Layer(("square lead", "synth pluck", "saw lead"), "melody", 60, 84, 0.8, 0.7, -1, {"density": 0.5}),
            Layer(("warm pad", "string pad", "glass pad"), "pad", 52, 74, 0.8, 0.8, -3),
            Layer(("electric piano",), "block", 52, 72, 0.3, 0.7, -3),
        ),
        sevenths=0.4, rubato=0.0, effects=1.1, room=0.9,
    ),
    "ambient": Style(
        ("ambient", "electronic"), 0.075, (46, 76), (0.05, 0.4), ("dorian", "lydian", "minor", "major"), _STILL,
        (
            Layer(("warm pad", "glass pad", "string pad"), "pad", 45, 74, 1.0, 1.0, 0),
            Layer(("glass pad", "synth voice", "warm pad"), "pad", 57, 84, 0.7, 0.7, -3),
            Layer(("bells", "synth pluck", "electric piano"), "melody", 67, 91, 0.45, 0.6, -5, {"density": 0.15, "rests": 0.4}),
            Layer(("synth bass",), "bass", 28, 43, 0.6, 0.7, -2, {"style": "root"}),
        ),
        sevenths=0.6, rubato=0.02, effects=1.0, room=2.5,
    ),
    "new age": Style(
        ("new age", "ambient"), 0.06, (52, 90), (0.1, 0.45), ("major", "lydian", "dorian", "minor"), (*_STILL, *_SONG),
        (
            Layer(("piano", "harp", "nylon guitar", "wooden flute"), "melody", 62, 86, 1.0, 0.9, 1, {"density": 0.35, "rests": 0.25}),
            Layer(("warm pad", "string pad", "glass pad"), "pad", 48, 72, 1.0, 0.95, -1),
            Layer(("piano", "harp"), "arpeggio", 48, 67, 0.6, 0.8, -3, {"ring": 3}),
            Layer(("choir",), "pad", 55, 74, 0.12, 0.6, -4),
        ),
        meters=(3, 4, 4), sevenths=0.4, rubato=0.02, effects=0.5, room=2.0,
    ),
    "rock": Style(
        ("rock",), 0.085, (96, 168), (0.65, 1.0), ("mixolydian", "minor", "major", "dorian"), (*_ROCK, *_SONG),
        (
            Layer(("drum kit",), "drums", 0, 127, 1.0, 0.97, 2, {"groove": ("rock", "rock", "rock ride")}),
            Layer(("electric bass",), "bass", 28, 45, 1.0, 0.97, 0, {"style": ("eighths", "eighths", "fifth")}),
            Layer(("overdriven guitar", "distorted guitar"), "power", 40, 57, 1.0, 0.95, 0),
            Layer(("clean guitar", "overdriven guitar"), "strum", 52, 70, 0.5, 0.7, -4),
            Layer(("male voice", "male voice", "female voice"), "melody", 47, 74, 0.65, 0.75, 3, {"density": 0.5, "rests": 0.25}),
            Layer(("overdriven guitar", "distorted guitar"), "melody", 57, 81, 0.45, 0.4, 0, {"density": 0.6}),
        ),
        effects=1.2, room=0.5,
    ),
    "metal": Style(
        ("metal", "rock"), 0.035, (110, 190), (0.85, 1.0), ("phrygian", "minor", "harmonic minor"), (*_ROCK, (0, 1, 0, 6), (0, 0, 1, 0)),
        (
            Layer(("drum kit",), "drums", 0, 127, 1.0, 1.0, 2, {"groove": ("metal", "metal half", "blast", "rock")}),
            Layer(("electric bass",), "bass", 28, 43, 1.0, 1.0, 0, {"style": "eighths"}),
            Layer(("distorted guitar",), "power", 33, 50, 1.0, 1.0, 2, {"gallop": (True, False)}),
            Layer(("distorted guitar",), "power", 38, 55, 0.7, 0.8, 0, {"step": (0.5, 2.0)}),
            Layer(("distorted guitar",), "melody", 57, 86, 0.5, 0.5, 0, {"density": 0.85}),
            Layer(("male voice",), "melody", 43, 62, 0.45, 0.6, 2, {"density": 0.5, "rests": 0.2}),
        ),
        effects=1.5, room=0.4,
    ),
    "pop": Style(
        ("pop",), 0.06, (80, 128), (0.45, 0.85), ("major", "major", "minor", "mixolydian"), _SONG,
        (
            Layer(("drum kit", "drum kit", "electronic kit"), "drums", 0, 127, 0.95, 0.9, 1, {"groove": ("pop", "ballad", "rock")}),
            Layer(("electric bass", "synth bass"), "bass", 31, 48, 0.95, 0.95, 0, {"style": ("root", "eighths", "fifth")}),
            Layer(("clean guitar", "steel guitar", "muted guitar"), "strum", 52, 69, 0.75, 0.85, -2),
            Layer(("piano", "electric piano", "string pad", "organ"), "block", 52, 72, 0.7, 0.8, -3),
            Layer(("female voice", "male voice"), "melody", 48, 76, 0.85, 0.8, 4, {"density": 0.5, "rests": 0.25}),
        ),
        sevenths=0.2, effects=1.0, room=0.8,
    ),
    "folk": Style(
        (), 0.055, (68, 128), (0.15, 0.55), ("major", "major", "dorian", "minor"), _SONG,
        (
            Layer(("steel guitar", "nylon guitar"), "fingerpick", 52, 69, 0.6, 1.0, 1),
            Layer(("steel guitar", "nylon guitar"), "strum", 50, 67, 0.6, 0.9, 0),
            Layer(("female voice", "male voice"), "melody", 48, 76, 0.7, 0.85, 4, {"density": 0.45, "rests": 0.25}),
            Layer(("acoustic bass", "cello"), "bass", 31, 50, 0.35, 0.9, -1, {"style": "root"}),
            Layer(("hand drums", "brush kit"), "drums", 0, 127, 0.25, 0.8, -3, {"groove": ("hand", "brushes")}),
        ),
        meters=(3, 4, 4), rubato=0.015, effects=0.3, room=0.7,
    ),
    "country": Style(
        ("country",), 0.035, (92, 150), (0.4, 0.75), ("major", "major", "mixolydian"), ((0, 0, 3, 0), (0, 3, 4, 0), (0, 0, 4, 0), (0, 3, 0, 4)),
        (
            Layer(("steel guitar",), "strum", 50, 67, 1.0, 0.95, 0),
            Layer(("acoustic bass", "electric bass"), "bass", 31, 48, 1.0, 0.95, 0, {"style": "fifth"}),
            Layer(("banjo", "fiddle", "steel guitar", "clean guitar"), "melody", 60, 84, 0.85, 0.7, 0, {"density": 0.7}),
            Layer(("brush kit", "drum kit"), "drums", 0, 127, 0.75, 0.9, -1, {"groove": "country"}),
            Layer(("male voice", "male voice", "female voice"), "melody", 47, 74, 0.7, 0.7, 4, {"density": 0.5, "rests": 0.25}),
        ),
        effects=0.5, room=0.5,
    ),
    "indian": Style(
        ("indian",), 0.075, (56, 120), (0.3, 0.65), ("bhairav", "bhairavi", "kafi", "kalyan", "purvi", "todi"), ((0,),),
        (
            Layer(("tambura",), "drone", 36, 52, 1.0, 1.0, 0),
            Layer(("sitar", "sitar", "sitar", "wooden flute"), "melody", 52, 76, 1.0, 0.9, 2, {"density": 0.6, "ornaments": 0.5, "leaps": 0.1}),
            Layer(("hand drums",), "drums", 0, 127, 0.75, 0.85, 2, {"groove": ("tabla", "tabla", "tabla slow")}),
            Layer(("female voice", "male voice"), "melody", 47, 72, 0.22, 0.7, 3, {"density": 0.4, "ornaments": 0.4}),
        ),
        rubato=0.015, effects=0.2, room=0.9,
    ),
    "experimental": Style(
        ("weird", "electronic"), 0.035, (50, 140), (0.1, 0.8), ("octatonic", "whole tone"), ((0, 1, 3, 2), (0, 3), (0,)),
        (
            Layer(("strange synth",), "cluster", 36, 90, 1.0, 0.95, 0),
            Layer(("strange synth", "square lead", "bells", "piano"), "cluster", 45, 96, 0.8, 0.8, -1, {"rate": 1.2}),
            Layer(("glass pad", "strange synth", "synth voice"), "pad", 36, 72, 0.7, 0.8, -3),
            Layer(("electronic kit", "hand drums"), "drums", 0, 127, 0.3, 0.6, -1, {"groove": ("electro", "hand"), "variation": 0.3}),
        ),
        rubato=0.03, effects=1.2, room=2.0,
    ),
}  # fmt: skip
