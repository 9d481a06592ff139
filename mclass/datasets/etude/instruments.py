"""The General MIDI sounds Etude plays, and the tags a listener would give each."""

from __future__ import annotations

from dataclasses import dataclass

VOCAL = ("vocal", "vocals", "voice", "singing")
NO_VOCAL = ("no vocals", "no vocal", "no voice")
FEMALE = ("female", "woman", "female vocal", "female voice")
MALE = ("male", "man", "male vocal", "male voice")


# Programs 44 (tremolo strings), 48 (string ensemble 1) and 56 (trumpet) are left out: at the end of their loops
# symusic 0.5 reads past the sample, so that the sound holds clicks that differ from run to run.


@dataclass(frozen=True)
class Instrument:
    """A sound: General MIDI programs (0-based; one is picked per artist), tags, range and level.

    Attributes
    ----------
    programs : tuple of int
    tags : tuple of str
        MagnaTagATune tags that hold when it is heard.
    low, high : int
        Playable range in MIDI pitches. The upper end is also a safety limit: symusic 0.5 never returns from a
        note whose sample loop is shorter than its step, which happens some semitones above these ranges.
    gain : float
        Level in dB that makes a part sit in a mix at equal velocities.
    effect : str
        What happens to its stem before the mix: "", "voice", "drive", "overdrive", "sweep", "ring",
        "warp" (see `production`).
    synthesis : str
        What plays it if not the soundfont: one of `singer.VOICES`, `bowed.BOWS` or `plucked.STRINGS`. The programs
        of voices and bowed strings are the numbers of the people to choose from.
    """

    programs: tuple[int, ...]
    tags: tuple[str, ...] = ()
    low: int = 36
    high: int = 96
    gain: float = 0.0
    effect: str = ""
    synthesis: str = ""


_PEOPLE = tuple(range(64))

INSTRUMENTS = {
    "piano": Instrument((0, 1, 0), ("piano",), 28, 103),
    "electric piano": Instrument((4, 5), (), 36, 90),
    "harpsichord": Instrument((6,), ("harpsichord",), 36, 86),
    "organ": Instrument((16, 17, 18), (), 40, 90, -3),
    "church organ": Instrument((19,), (), 36, 84, -3),
    "bells": Instrument((14, 9, 98), (), 60, 96, -4),
    "nylon guitar": Instrument((24,), ("guitar",), 40, 83),
    "steel guitar": Instrument((25,), ("guitar",), 40, 83),
    "clean guitar": Instrument((27, 26), ("guitar",), 40, 83),
    "muted guitar": Instrument((28,), ("guitar",), 40, 76),
    "overdriven guitar": Instrument((29,), ("guitar",), 40, 86, -4, "overdrive"),
    "distorted guitar": Instrument((30,), ("guitar",), 33, 86, -3, "drive"),
    "acoustic bass": Instrument((32,), (), 28, 55, 2),
    "electric bass": Instrument((33, 34), (), 28, 55, 2),
    "synth bass": Instrument((38, 39), ("synth",), 28, 55, 2, "sweep"),
    "violin": Instrument((40,), ("violin", "strings"), 55, 94),
    "fiddle": Instrument((110,), ("violin", "strings"), 55, 88),
    "cello": Instrument((42,), ("cello", "strings"), 36, 76),
    "viola": Instrument((41,), ("strings",), 48, 88),
    "string section": Instrument((49,), ("strings",), 36, 96),
    "pizzicato": Instrument((45,), ("strings",), 36, 86),
    "harp": Instrument((46,), ("harp",), 31, 100),
    "brass": Instrument((61,), (), 40, 82),
    "horn": Instrument((60,), (), 41, 77),
    "oboe": Instrument((68,), (), 58, 88),
    "flute": Instrument((73,), ("flute",), 60, 96),
    "wooden flute": Instrument((75, 77), ("flute",), 58, 88),
    "recorder": Instrument((74,), ("flute",), 62, 91),
    "banjo": Instrument((105,), (), 48, 84),
    "sitar": Instrument((104,), ("sitar",), 43, 84, 1),
    "tambura": Instrument((104,), (), 31, 60, -5),
    "saw lead": Instrument((81, 90), ("synth",), 36, 96, -5, "sweep"),
    "square lead": Instrument((80,), ("synth",), 36, 88, -6, "sweep"),
    "synth pluck": Instrument((84, 87, 80), ("synth",), 36, 88, -5, "sweep"),
    "warm pad": Instrument((89, 88, 94), ("synth",), 36, 90, -3, "sweep"),
    "string pad": Instrument((50, 51), ("synth",), 36, 90, -3),
    "glass pad": Instrument((92, 93, 95), ("synth",), 36, 90, -3),
    "strange synth": Instrument((96, 99, 101, 102, 103), ("synth",), 30, 91, -3, "sweep"),
    "female voice": Instrument((53, 52), VOCAL + FEMALE, 57, 84, 3, "voice"),
    "male voice": Instrument((53, 52), VOCAL + MALE, 40, 67, 4, "voice"),
    "soprano": Instrument((52, 53), (*VOCAL, *FEMALE, "opera"), 60, 86, 4, "voice"),
    "tenor": Instrument((52, 53), (*VOCAL, *MALE, "opera"), 45, 70, 4, "voice"),
    "choir": Instrument((52,), (*VOCAL, "choir", "choral"), 40, 82, 2),
    "synth voice": Instrument((54,), ("synth",), 48, 84, -2),
    # Version 2: what is strange,
    "ring pad": Instrument((92, 93, 95), ("synth",), 36, 90, -2, "ring"),
    "ring organ": Instrument((19,), (), 36, 84, -3, "ring"),
    "warped synth": Instrument((96, 99, 101, 102, 103), ("synth",), 30, 91, -3, "warp"),
    # and what is not left to the soundfont.
    "grand piano": Instrument((0,), ("piano",), 28, 103, 4, synthesis="piano"),
    "cembalo": Instrument((0,), ("harpsichord",), 36, 86, 8, synthesis="harpsichord"),
    "concert guitar": Instrument((0,), ("guitar",), 40, 83, 12, synthesis="guitar"),
    "folk guitar": Instrument((0,), ("guitar",), 40, 83, 7, synthesis="steel guitar"),
    "concert harp": Instrument((0,), ("harp",), 31, 100, 15, synthesis="harp"),
    "solo violin": Instrument(_PEOPLE, ("violin", "strings"), 55, 94, synthesis="violin"),
    "solo viola": Instrument(_PEOPLE, ("strings",), 48, 88, synthesis="viola"),
    "solo cello": Instrument(_PEOPLE, ("cello", "strings"), 36, 76, synthesis="cello"),
    "bowed section": Instrument(_PEOPLE, ("strings",), 36, 96, -2, synthesis="section"),
    "woman": Instrument(_PEOPLE, VOCAL + FEMALE, 53, 81, 4.5, synthesis="woman"),
    "man": Instrument(_PEOPLE, VOCAL + MALE, 40, 67, 6, synthesis="man"),
    "shouter": Instrument(_PEOPLE, VOCAL + MALE, 40, 62, 6, synthesis="shout"),
    "opera soprano": Instrument(_PEOPLE, (*VOCAL, *FEMALE, "opera"), 60, 86, 0, synthesis="soprano"),
    "opera tenor": Instrument(_PEOPLE, (*VOCAL, *MALE, "opera"), 45, 70, 0, synthesis="tenor"),
    "mixed choir": Instrument(_PEOPLE, (*VOCAL, "choir", "choral"), 40, 82, 0, synthesis="choir"),
    "backing singers": Instrument(_PEOPLE, VOCAL, 48, 79, 0, synthesis="backing"),
    # Drums: the program is the kit on the percussion channel.
    "drum kit": Instrument((0, 8, 16), ("drums",)),
    "electronic kit": Instrument((24, 25), ("drums", "beat", "beats")),
    "brush kit": Instrument((40,), ("drums",), gain=2.0),
    "hand drums": Instrument((0,), ("drums",), gain=-2.0),
    "orchestral percussion": Instrument((48,), (), gain=-2.0),
}

KITS = ("drum kit", "electronic kit", "brush kit", "hand drums", "orchestral percussion")
VOICES = ("female voice", "male voice", "soprano", "tenor", "choir")
VOICES += tuple(
    name for name, instrument in INSTRUMENTS.items() if set(VOCAL) <= set(instrument.tags) and name not in VOICES
)
