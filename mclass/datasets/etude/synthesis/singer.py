"""A source–filter singer, who sings the voice parts of version 2.

The source has the spectrum of the LF model (Fant, Liljencrants and Lin, 1985) in the form of Doval, d'Alessandro
and Henrich (2006): a *glottal formant* near the pitch, and a spectral tilt that lessens with effort. The filter is
the vocal tract: five resonances in cascade that move from consonant to vowel and on to the next, at the
frequencies of Peterson and Barney (1952). Trained voices gather the upper three near 3 kHz (the *singer's
formant*); where the pitch is higher than the first resonance, that one follows the pitch (Sundberg, 1987).
Consonants come before the beat, as singers place them: hisses, bursts after a gap, hums and glides. The words mean
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal

from mclass.datasets.etude.synthesis.source_filter import (
    FFT,
    FREQUENCY,
    LEVEL,
    SAMPLE_RATE,
    STEP,
    Line,
    Manner,
    excite,
    perform,
    shape,
)

if TYPE_CHECKING:
    from mclass.datasets.etude.composer import Part

# Formants 1 to 3 in Hz of nine vowels: means of 33 men and of 28 women (Peterson and Barney, 1952, table II).
VOWELS = "iɪɛæɑɔʊuʌ"
FORMANTS = {
    "man": (
        (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
        (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390),
    ),
    "woman": (
        (310, 2790, 3310), (430, 2480, 3070), (610, 2330, 2990), (860, 2050, 2850), (850, 1220, 2810),
        (590, 920, 2710), (470, 1160, 2680), (370, 950, 2670), (760, 1400, 2780),
    ),
}  # fmt: skip
UPPER = {"man": (3400.0, 4300.0), "woman": (3900.0, 4900.0)}  # formants 4 and 5, much the same in all vowels
SINGERS_FORMANT = {"man": (2450.0, 2800.0, 3150.0), "woman": (2850.0, 3200.0, 3600.0)}  # formants 3 to 5, trained


@dataclass(frozen=True)
class Voice(Manner):
    """How a kind of voice sings.

    Attributes
    ----------
    tract : str
        "man" or "woman"; "" decides by the pitch of the line.
    words : float
        Share of notes that begin with a consonant that interrupts the voice.
    trained : bool
        Whether it has the singer's formant.
    vowels : str
        Those it sings.
    """

    tract: str = ""
    words: float = 0.65
    trained: bool = False
    vowels: str = VOWELS


_OPERA = {"vibrato": (55, 95), "delay": 0.1, "words": 0.4, "noise": (0.01, 0.04), "tilt": (2500, 5000)}
_OPERA |= {"trained": True, "vowels": "ɑɔɛiʌ", "attack": 0.09}
VOICES = {
    "woman": Voice(tract="woman"),
    "man": Voice(tract="man"),
    "soprano": Voice(tract="woman", **_OPERA),
    "tenor": Voice(tract="man", **_OPERA),
    "shout": Voice(vibrato=(0, 10), noise=(0.2, 0.6), tilt=(3000, 5000), rough=0.5, tract="man", words=0.8),
    "choir": Voice(5, (15, 50), 0.2, (0.03, 0.1), (1200, 2800), words=0.35, vowels="ɑɔuɛi"),
    "backing": Voice(3, (8, 25), 0.4, (0.08, 0.2), (1200, 2500), words=0.3, vowels="ɑuʌɔ"),
}


@dataclass(frozen=True)
class _Consonant:
    """Seconds it takes, share of voice that goes on, formants 1 to 3 (0: the vowel's), noise and its level."""

    length: float
    voiced: float
    formants: tuple[float, float, float]
    noise: str = ""
    level: float = 0.0


_GLIDES = (  # the voice goes on; the first is none at all, from vowel to vowel
    _Consonant(0.02, 1.0, (0, 0, 0)),
    _Consonant(0.08, 0.40, (250, 1000, 2200)),  # m
    _Consonant(0.07, 0.40, (250, 1500, 2500)),  # n
    _Consonant(0.07, 0.55, (350, 1100, 2600)),  # l
    _Consonant(0.07, 0.50, (400, 1200, 1600)),  # r
    _Consonant(0.06, 0.50, (300, 700, 2200)),  # w
    _Consonant(0.06, 0.50, (280, 2200, 3000)),  # y
)
_STOPS = (  # it is interrupted
    _Consonant(0.06, 0.08, (220, 900, 2300), "p", 0.30),  # b
    _Consonant(0.06, 0.08, (220, 1700, 2600), "t", 0.30),  # d
    _Consonant(0.09, 0.00, (300, 900, 2300), "p", 0.6),
    _Consonant(0.09, 0.00, (300, 1700, 2600), "t", 0.8),
    _Consonant(0.09, 0.00, (300, 2000, 2400), "k", 0.8),
    _Consonant(0.12, 0.00, (300, 1700, 2600), "s", 0.45),
    _Consonant(0.12, 0.00, (300, 1900, 2500), "ʃ", 0.55),
    _Consonant(0.10, 0.00, (300, 1100, 2300), "f", 0.25),
    _Consonant(0.08, 0.25, (300, 1700, 2600), "s", 0.2),  # z
    _Consonant(0.08, 0.00, (0, 0, 0), "h", 0.25),
)
_NOISES = {  # band in Hz
    "s": (4500, 7800), "ʃ": (2300, 6000), "f": (1500, 7800), "h": (700, 3500),
    "p": (400, 2000), "t": (3000, 7500), "k": (1500, 3500),
}  # fmt: skip
_BURSTS = "ptk"  # a gap, then a click


def sing(part: Part, voice: Voice, num_samples: int) -> np.ndarray:
    """Sing a part; chords in several lines. The part's `program` is the number of the singer.

    Returns
    -------
    np.ndarray, shape (num_samples,), float32
    """
    sound = sum(perform(part, num_samples, lambda *line: _sing_line(voice, *line)))[:num_samples]
    if voice.rough:
        sound = np.tanh(sound * np.float32(2 / LEVEL)) * np.float32(LEVEL / 1.5)
    return sound


def _sing_line(voice: Voice, line: Line, person, rng, size: int) -> np.ndarray:
    count = len(line.onset)
    draw = rng.random((count, 5))
    spoken = draw[:, 0] < voice.words
    consonants = [
        _STOPS[int(x * len(_STOPS))] if stop else _GLIDES[int(x**1.5 * len(_GLIDES))]
        for stop, x in zip(spoken, draw[:, 1], strict=True)
    ]
    vowel = [VOWELS.index(voice.vowels[int(x * len(voice.vowels))]) for x in draw[:, 2]]
    # a consonant takes its time from the note before
    before = np.diff(line.onset, prepend=line.onset[0] - 1.0)
    start = line.onset - np.minimum([consonant.length for consonant in consonants], 0.4 * before)
    rested = np.append(True, line.onset[1:] - line.offset[:-1] > 0.15)
    scoop = np.where(rested & (draw[:, 3] < 0.5), 1.0, 0.0)
    through = np.array([consonant.voiced for consonant in consonants])
    source = excite(line, start, through, scoop, voice, person, rng, size)

    tract = voice.tract or ("man" if np.median(line.pitch) < 59 else "woman")
    targets = np.array([(*FORMANTS[tract][v], *UPPER[tract]) for v in vowel])
    if voice.trained:
        targets[:, 2:] = SINGERS_FORMANT[tract]
    targets *= person.uniform(0.96, 1.05)  # a short tract has high formants
    begin = targets.copy()
    for row, consonant in zip(begin, consonants, strict=True):
        row[:3] = np.where(consonant.formants, consonant.formants, row[:3])
    formants = _track(source, line, start, begin, targets)
    formants[0] = np.maximum(formants[0], source.frequency[source.frames])
    index = np.clip(np.round(formants / 10).astype(int) - 1, 0, len(_resonances()) - 1)
    glottal = 1.2 * np.median(source.frequency[source.frames])
    pulse = (1j * FREQUENCY * glottal / (glottal + 1j * FREQUENCY) ** 2).astype(np.complex64)

    def response(rows):
        filters = pulse * _resonances()[index[0, rows]]
        for formant in index[1:]:
            filters *= _resonances()[formant[rows]]
        return filters

    sound = shape(source, response)
    for note, consonant in enumerate(consonants):
        if consonant.noise:
            _speak(sound, consonant, start[note], line.onset[note], line.loudness[note], draw[note, 4])
    return sound


def _track(source, line: Line, start, begin, targets) -> np.ndarray:
    """Formant frequencies in each frame, shape (5, frames): from the consonant's to the vowel's."""
    seconds = source.frames * (STEP / SAMPLE_RATE)
    nodes = np.stack([start, line.onset + 0.01, line.onset + 0.06, line.offset], axis=1)
    nodes = np.maximum.accumulate(nodes.ravel())
    values = np.stack([begin, 0.4 * begin + 0.6 * targets, targets, targets], axis=1).reshape(-1, 5)
    return np.stack([np.interp(seconds, nodes, value) for value in values.T])


@lru_cache(maxsize=1)
def _resonances() -> np.ndarray:
    """Frequency responses of single resonances at 10, 20, … 7,900 Hz, shape (790, FFT // 2 + 1), 1 at 0 Hz."""
    centre = 10.0 * np.arange(1, 791)[:, None]
    width = 50 + 20 * centre / 1000 + 4 * (centre / 1000) ** 3
    pole = np.exp(-np.pi * width / SAMPLE_RATE)
    delay = np.exp(-2j * np.pi * np.arange(FFT // 2 + 1) / FFT)
    a1, a2 = -2 * pole * np.cos(2 * np.pi * centre / SAMPLE_RATE), pole**2
    return ((1 + a1 + a2) / (1 + a1 * delay + a2 * delay**2)).astype(np.complex64)


@lru_cache(maxsize=1)
def _hisses() -> dict[str, np.ndarray]:
    """A second of each consonant's noise, of unit power."""
    noise = np.random.default_rng(2).standard_normal(SAMPLE_RATE)
    hisses = {}
    for name, band in _NOISES.items():
        sos = scipy.signal.butter(2, band, "bandpass", fs=SAMPLE_RATE, output="sos")
        hiss = scipy.signal.sosfilt(sos, noise)
        hisses[name] = (hiss / np.sqrt(np.mean(hiss**2))).astype(np.float32)
    return hisses


def _speak(
    sound: np.ndarray, consonant: _Consonant, start: float, onset: float, loudness: float, draw: float
) -> None:
    """Add the noise of a consonant that lasts from `start` to `onset`."""
    burst = consonant.noise in _BURSTS
    begin = max(start, onset - 0.03) if burst else start
    first, size = round(begin * SAMPLE_RATE), round((onset + 0.015 - begin) * SAMPLE_RATE)
    if first < 0 or first + size > len(sound):
        return
    envelope = 1.5 * np.exp(-5 * np.arange(size) / size) if burst else np.hanning(size)
    place = int(draw * SAMPLE_RATE / 2)
    hiss = _hisses()[consonant.noise][place : place + size]
    sound[first : first + size] += (LEVEL * consonant.level * loudness * envelope * hiss).astype(np.float32)
