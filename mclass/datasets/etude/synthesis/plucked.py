"""Struck and plucked strings of version 2: each note is a sum of decaying partials.

A string's partials lie a little above the harmonics (Fletcher, 1964: ``n f √(1 + B n²)``), start as strongly as
the place of the hammer or finger lets them, and die away the faster the higher they are. Two or three strings to
a note, hardly out of tune, make it beat and decay first fast, then slowly. The body adds its own modes, the hammer
or nail its click.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mclass.datasets.etude.composer import Part

SAMPLE_RATE = 16_000
_BLOCK = 256
_LONGEST = 3.5  # seconds


@dataclass(frozen=True)
class Strings:
    """A kind of struck or plucked instrument.

    Attributes
    ----------
    place : float
        Where the string is set in motion, as a share of its length.
    fall : float
        dB per octave by which higher partials are weaker, on top of that.
    edge : float
        Frequency in Hz above which they fall by 12 dB more (soft hammer or finger), at velocity 80.
    stiffness : float
        B at middle C.
    decay, damping : float
        Seconds in which the partials at middle C fall by 60 dB; how much faster that goes at 1 kHz, relative.
    strings : tuple
        Of a note: ratio of pitch, level.
    click : float
        Level of the noise at the start.
    release : float
        Seconds in which a note that ends falls by 60 dB.
    body : int
        Number of the body, whose modes are drawn from it.
    level : float
        RMS of the start of a note at velocity 127.
    """

    place: float
    fall: float
    edge: float
    stiffness: float
    decay: float
    damping: float
    strings: tuple[tuple[float, float], ...]
    click: float
    release: float
    body: int
    level: float = 0.5


_PIANO = ((1.0, 1.0), (1.0004, 0.8), (0.9995, 0.6))
STRINGS = {
    "piano": Strings(0.12, 3.0, 1800.0, 4e-4, 9.0, 0.8, _PIANO, 0.10, 0.25, body=5),
    "harpsichord": Strings(
        0.08, 1.0, 7000.0, 1e-4, 5.0, 0.5, ((1.0, 1.0), (1.0006, 0.8), (2.001, 0.5)), 0.25, 0.12, 11
    ),
    "guitar": Strings(0.18, 4.0, 2500.0, 1e-4, 4.5, 1.0, ((1.0, 1.0), (1.0003, 0.4)), 0.12, 0.2, 6),
    "steel guitar": Strings(0.15, 3.5, 3000.0, 1e-4, 6.0, 0.8, ((1.0, 1.0), (1.0003, 0.4)), 0.12, 0.2, 7),
    "harp": Strings(0.4, 5.0, 2000.0, 5e-5, 5.0, 0.9, ((1.0, 1.0), (1.0002, 0.3)), 0.05, 1.2, 4),
}


def pluck(part: Part, strings: Strings, num_samples: int) -> np.ndarray:
    """Play a part on struck or plucked strings.

    Returns
    -------
    np.ndarray, shape (num_samples,), float32
    """
    sound = np.zeros(num_samples + SAMPLE_RATE * 5, dtype=np.float32)
    fade = round(strings.release * SAMPLE_RATE)
    damper = np.exp(-6.9 * np.arange(fade, dtype=np.float32) / fade)
    for onset, duration, pitch, velocity in zip(part.onset, part.duration, part.pitch, part.velocity, strict=True):
        layer = min(int(velocity) // 26, 4)
        note = _note(strings, int(pitch), layer)
        first, held = round(float(onset) * SAMPLE_RATE), round(float(duration) * SAMPLE_RATE)
        gain = np.float32((velocity / 127.0) ** 1.3)
        ringing = note[: held + fade] * gain
        ringing[held:] *= damper[: max(len(ringing) - held, 0)]
        sound[first : first + len(ringing)] += ringing
    return sound[:num_samples]


@lru_cache(maxsize=256)
def _note(made: Strings, pitch: int, layer: int) -> np.ndarray:
    """One note as loud as possible, shape (samples,), float32."""
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    register = (pitch - 60) / 12  # octaves above middle C
    number = np.arange(1, 81)
    stiffness = made.stiffness * 2.0 ** (1.3 * register)
    ratio = number * np.sqrt(1 + stiffness * number**2)
    edge = made.edge * 2 ** (0.5 * (layer - 2) + 0.3 * register)
    start = np.abs(np.sin(np.pi * number * made.place)) + 0.05
    frequencies, amplitudes, decays = [], [], []
    for count, (detune, level) in enumerate(made.strings):
        frequency = fundamental * detune * ratio
        amplitude = level * start * number ** (-made.fall / 6.02) / (1 + (frequency / edge) ** 2)
        sixty = made.decay * 2.0 ** (-0.6 * register) / (1 + made.damping * (frequency / 1000) ** 1.2)
        frequencies.append(frequency), amplitudes.append(amplitude)
        decays.append(sixty * (0.45 if count == 0 and len(made.strings) > 1 else 1.0))
    frequency, amplitude, sixty = map(np.concatenate, (frequencies, amplitudes, decays))
    inside = frequency < 7600
    frequency, amplitude, sixty = frequency[inside], amplitude[inside], sixty[inside]
    rng = np.random.default_rng([made.body, pitch])
    amplitude *= 10 ** (_modes(made.body, frequency) / 20)
    amplitude = amplitude / np.sqrt(np.sum(amplitude**2)) * made.level
    pole = (-6.91 / np.maximum(sixty, 0.03) + 2j * np.pi * frequency) / SAMPLE_RATE
    blocks = round(min(_LONGEST, 1.1 * sixty.max()) * SAMPLE_RATE) // _BLOCK
    coarse = np.exp(np.outer(np.arange(blocks) * _BLOCK, pole)) * (
        amplitude * np.exp(2j * np.pi * rng.random(len(pole)))
    )
    fine = np.exp(np.outer(pole, np.arange(_BLOCK)))
    note = (coarse @ fine).real.ravel()
    attack = 24  # samples
    note[:attack] *= np.linspace(0, 1, attack)
    note[-_BLOCK:] *= np.linspace(1, 0, _BLOCK)
    knock = rng.standard_normal(1200) * np.exp(-np.arange(1200) / 150)
    note[:1200] += made.click * made.level * np.convolve(knock, np.ones(6) / 6, mode="same")
    return note.astype(np.float32)


def _modes(body: int, frequency: np.ndarray) -> np.ndarray:
    """What the body adds, in dB."""
    rng = np.random.default_rng(body)
    level = np.zeros(len(frequency))
    for centre, height in zip(
        np.exp(rng.uniform(np.log(80), np.log(6000), 40)), rng.normal(0, 4, 40), strict=True
    ):
        level += height * np.exp(-((np.log2(frequency / centre) / 0.1) ** 2))
    return level - 10 * np.log10(1 + (90 / frequency) ** 4)
