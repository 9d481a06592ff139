"""Sounds with a steady source and a filter: what voices and bowed strings of version 2 have in common.

The source is a train of pulses, one per period, placed between samples, with a little irregularity in time and
strength and some noise; the filter is changed once per frame of 16 ms and cross-faded. Pitch glides from note to
note and swings (vibrato) after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import scipy.signal

if TYPE_CHECKING:
    from mclass.datasets.etude.composer import Part

SAMPLE_RATE = 16_000
STEP = 64  # samples from one value of pitch and loudness to the next: 4 ms
HOP, FFT = 256, 1024  # of the filter: 16 ms, and room for the ringing of narrow resonances
LEVEL = 0.8  # RMS of a note at velocity 127: about that of the soundfont's louder instruments
FREQUENCY = np.arange(FFT // 2 + 1) * (SAMPLE_RATE / FFT)


@dataclass(frozen=True)
class Manner:
    """How a sustained part is played or sung.

    Attributes
    ----------
    players : int
        In unison on each line, each a little apart in pitch and time.
    vibrato : tuple of float
        Range of its extent: cents to either side.
    delay : float
        Seconds before it sets in.
    noise : tuple of float
        Range of the noise beside the pulses (breath, bow), relative to them.
    tilt : tuple of float
        Range of the frequency in Hz above which the source falls off faster.
    rough : float
        Irregularity of the pulses beyond what is usual.
    glide : float
        Seconds from one pitch to the next.
    attack : float
        Seconds to full loudness.
    """

    players: int = 1
    vibrato: tuple[float, float] = (18.0, 50.0)
    delay: float = 0.25
    noise: tuple[float, float] = (0.03, 0.15)
    tilt: tuple[float, float] = (2200.0, 5000.0)
    rough: float = 0.0
    glide: float = 0.09
    attack: float = 0.05


@dataclass(frozen=True)
class Line:
    """Notes of which no two sound at once: seconds, semitones (MIDI) and loudness (1 is velocity 127)."""

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    loudness: np.ndarray


@dataclass(frozen=True)
class Source:
    """What goes into the filter, and what it was made from, each value for a step of `STEP` samples.

    Attributes
    ----------
    sound : np.ndarray, shape (size,), float32
    frequency : np.ndarray, shape (size // STEP,)
        Hz, without vibrato.
    loudness : np.ndarray, shape (size // STEP,)
    tilt : float
        Hz, at full loudness 1.5 times that.
    """

    sound: np.ndarray
    frequency: np.ndarray
    loudness: np.ndarray
    tilt: float

    @property
    def frames(self) -> np.ndarray:
        """Middle of each of the filter's frames, in steps."""
        return np.arange(1, len(self.sound) // HOP - 2) * (HOP // STEP)


def lines(part: Part, overlap: float = 0.06) -> list[Line]:
    """Share the notes of a part among as many lines as sound at once, each keeping to its register."""
    offset = part.onset + part.duration
    ends: list[float] = []
    last: list[int] = []
    members: list[list[int]] = []
    for note in np.lexsort((-part.pitch.astype(int), part.onset.round(1))):
        pitch = int(part.pitch[note])
        free = [i for i, end in enumerate(ends) if end <= part.onset[note] + overlap]
        if free:
            i = min(free, key=lambda i: abs(last[i] - pitch))
        else:
            i = len(ends)
            ends.append(0.0)
            last.append(0)
            members.append([])
        ends[i], last[i] = float(offset[note]), pitch
        members[i].append(note)
    found = []
    for notes in members:
        notes = np.array(sorted(notes, key=lambda note: part.onset[note]))
        onset = part.onset[notes].astype(float)
        end = np.minimum(offset[notes], np.append(onset[1:], np.inf))
        loudness = (part.velocity[notes] / 127.0) ** 0.8
        found.append(Line(onset, end, part.pitch[notes].astype(float), loudness))
    return found


def excite(line: Line, start, through, scoop, manner: Manner, person, rng, size: int) -> Source:
    """The source of one line.

    Parameters
    ----------
    line : Line
    start : np.ndarray, shape (notes,)
        When each note is prepared (its consonant, the turn of the bow), in seconds.
    through : np.ndarray, shape (notes,)
        How much of the sound goes on meanwhile, 0 to 1.
    scoop : np.ndarray, shape (notes,)
        Semitones below its pitch at which a note begins.
    manner : Manner
    person, rng : np.random.Generator
        What belongs to the player, and what to the moment.
    size : int
        Samples, a multiple of `HOP`.
    """
    noise, tilt = person.uniform(*manner.noise), person.uniform(*manner.tilt)
    rate, extent = person.uniform(4.8, 6.3), person.uniform(*manner.vibrato)
    moments = np.arange(size // STEP) * (STEP / SAMPLE_RATE)
    loudness = _loudness(line, start, through * line.loudness, manner.attack, moments)

    note = np.clip(np.searchsorted(0.5 * (start + line.onset), moments) - 1, 0, None)
    width = max(round(manner.glide * SAMPLE_RATE / STEP), 2)
    smooth = np.hanning(width + 2)[1:-1]
    written = np.pad(line.pitch[note], (width // 2, width - 1 - width // 2), mode="edge")
    pitch = np.convolve(written, smooth / smooth.sum(), mode="valid")
    since = moments - line.onset[note]
    pitch -= scoop[note] * np.exp(-np.maximum(since, 0.0) / 0.05)
    swing = np.clip((since - manner.delay) / 0.3, 0.0, 1.0)

    apart = manner.players > 1
    pulses = np.zeros(size + 16)
    for _ in range(manner.players):
        drift = np.interp(
            moments, moments[::50], rng.normal(9.0 * apart * rng.standard_normal(), 5, len(moments[::50]))
        )
        phase = 2 * np.pi * rate * rng.uniform(0.93, 1.07) * moments + rng.uniform(0, 6.28)
        cents = drift + extent * swing * np.sin(phase + 0.5 * np.sin(phase / 7))
        frequency = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
        pulses += _pulses(frequency, loudness, 0.05 * apart * rng.random(), manner.rough, rng, size)
    sound = (pulses[8:-8] / np.sqrt(manner.players)).astype(np.float32)
    # the difference of white noise rises as the filters of pulses fall
    table = np.take(_noise_table(), np.arange(size + 1) + int(rng.integers(1 << 18)), mode="wrap")
    sound += np.float32(3 * noise) * np.repeat(loudness.astype(np.float32), STEP) * np.diff(table)
    return Source(sound, 440 * 2 ** ((pitch - 69) / 12), loudness, tilt)


def _loudness(line: Line, start, through, attack: float, moments) -> np.ndarray:
    offset = np.maximum(np.minimum(line.offset, np.append(start[1:], np.inf)), line.onset + 0.03)
    legato = np.append(start[1:] - offset[:-1] < 0.06, False)
    offset = np.where(legato, np.append(start[1:], 0.0), offset)
    attack = np.minimum(attack, 0.4 * (offset - line.onset))
    release = np.minimum(0.08, 0.4 * (offset - line.onset))
    ending = np.where(legato, np.append(through[1:], 0.0), 0.0)
    beginning = np.where(np.append(False, legato[:-1]), through, 0.0)
    times = np.stack([start, line.onset, line.onset + attack, offset - release, offset], axis=1)
    values = np.stack([beginning, through, line.loudness, 0.85 * line.loudness, ending], axis=1)
    times = np.maximum.accumulate(times.ravel())
    return np.interp(moments, times, values.ravel(), left=0.0, right=0.0)


def _pulses(frequency, loudness, late: float, rough: float, rng, size: int) -> np.ndarray:
    """Pulses of unit power at the given pitch, band-limited, at fractions of samples."""
    steps = np.arange(len(frequency))
    phase = np.cumsum(frequency) * (STEP / SAMPLE_RATE)
    moment = np.interp(np.arange(int(phase[0]) + 1, int(phase[-1])), phase, steps)
    level = np.interp(moment - late * SAMPLE_RATE / STEP, steps, loudness)
    voiced = level > 1e-3
    moment, level = moment[voiced], level[voiced]
    period = SAMPLE_RATE / np.interp(moment, steps, frequency)
    jitter = rng.standard_normal(len(moment)) * (0.004 + 0.06 * rough)
    shimmer = 1 + rng.standard_normal(len(moment)) * (0.03 + 0.25 * rough)
    sample = np.clip(moment * STEP + jitter * period, 0, size - 1)
    weights = _kernels()[((sample % 1) * 64).astype(int)] * (level * shimmer * np.sqrt(period))[:, None]
    index = sample.astype(int)[:, None] + np.arange(5, 13)
    return np.bincount(index.ravel(), weights.ravel(), minlength=size + 16)[: size + 16]


@lru_cache(maxsize=1)
def _kernels() -> np.ndarray:
    """Windowed sinc functions, shape (64, 8), that put a pulse between samples."""
    offset = np.arange(8) - 3 - np.arange(64)[:, None] / 64
    return np.sinc(offset) * np.cos(np.pi * offset / 9) ** 2


@lru_cache(maxsize=1)
def _noise_table() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(1 << 18, dtype=np.float32)


def shape(source: Source, response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filter a source, frame by frame; each frame's filter is brought to unit power.

    Parameters
    ----------
    source : Source
    response : callable
        From numbers of frames, shape (n,), to frequency responses, (n, FFT // 2 + 1), complex.
    """
    window = scipy.signal.windows.hann(2 * HOP, sym=False).astype(np.float32)
    blocks = np.lib.stride_tricks.sliding_window_view(source.sound, 2 * HOP)[::HOP][: len(source.frames)]
    active = np.flatnonzero(np.abs(blocks).max(axis=1) > 1e-4)
    sound = np.zeros(len(source.sound), dtype=np.float32)
    effort = source.loudness[source.frames]
    for first in range(0, len(active), 128):
        rows = active[first : first + 128]
        tilt = source.tilt * (0.5 + effort[rows, None])
        filters = response(rows) / (1 + 1j * (FREQUENCY / tilt)).astype(np.complex64)
        filters /= np.sqrt(np.mean(filters.real**2 + filters.imag**2, axis=1, keepdims=True))
        ringing = scipy.fft.irfft(scipy.fft.rfft(blocks[rows] * window, FFT) * filters, FFT)
        for row, samples in zip(rows * HOP, ringing, strict=True):
            sound[row : row + FFT] += samples
    return sound * np.float32(LEVEL)


def perform(part: Part, num_samples: int, play: Callable) -> Iterator:
    """``play(line, person, rng, size)`` for each line of a part, with at least `num_samples` in `size`.

    A part's `program` is the number of the person who plays it. All else that is left to chance follows from the
    part's first note.
    """
    rng = np.random.default_rng([part.program, int(part.pitch[0]), round(1000 * float(part.onset[0]))])
    size = -(-num_samples // HOP) * HOP + FFT
    for number, line in enumerate(lines(part)):
        yield play(line, np.random.default_rng([part.program, number]), rng, size)
