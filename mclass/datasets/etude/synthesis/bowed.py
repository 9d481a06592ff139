"""Bowed strings of version 2: a sawtooth through a body of wood.

A bowed string sticks and slips once per period (Helmholtz, 1863), so that the force at the bridge is a sawtooth.
The body answers with an air mode and two strong modes of wood, many narrow ones above, and the *bridge hill* near
2.5 kHz (Jansson, 1997); as vibrato moves the partials across the narrow modes, each flickers in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from mclass.datasets.etude.synthesis.source_filter import (
    FFT,
    FREQUENCY,
    Line,
    Manner,
    Source,
    excite,
    perform,
    shape,
)

if TYPE_CHECKING:
    from mclass.datasets.etude.composer import Part

VIOLIN, VIOLA, CELLO = 1.0, 0.75, 0.38  # frequencies of the body's modes, relative to a violin's


@dataclass(frozen=True)
class Bow(Manner):
    """How strings are bowed; `body` is one of the sizes above, or 0: by the pitch of the part."""

    body: float = VIOLIN


_SOLO = {"vibrato": (18, 35), "delay": 0.12, "noise": (0.02, 0.05), "tilt": (4000, 7000), "glide": 0.04}
BOWS = {
    "violin": Bow(**_SOLO, attack=0.06),
    "viola": Bow(**_SOLO, attack=0.07, body=VIOLA),
    "cello": Bow(1, (15, 30), 0.15, (0.02, 0.05), (3000, 5000), glide=0.05, attack=0.08, body=CELLO),
    "section": Bow(4, (12, 30), 0.1, (0.03, 0.06), (3500, 6000), glide=0.04, attack=0.09, body=0.0),
}


def bow(part: Part, manner: Bow, num_samples: int) -> np.ndarray:
    """Play a part on bowed strings; chords in several lines, all through the same body.

    Returns
    -------
    np.ndarray, shape (num_samples,), float32
    """
    sources = list(perform(part, num_samples, lambda *line: _bow_line(manner, *line)))
    source = replace(
        sources[0],
        sound=sum(source.sound for source in sources),
        loudness=np.max([source.loudness for source in sources], axis=0),
    )
    pitch = np.median(part.pitch)
    body = manner.body or (VIOLIN if pitch >= 62 else VIOLA if pitch >= 54 else CELLO)
    return shape(source, lambda rows: _body(body))[:num_samples]


def _bow_line(manner: Bow, line: Line, person, rng, size: int) -> Source:
    turn = np.minimum(0.02, 0.2 * np.diff(line.onset, prepend=line.onset[0] - 1.0))
    constant = np.ones(len(line.onset))
    return excite(line, line.onset - turn, 0.55 * constant, 0 * constant, manner, person, rng, size)


@lru_cache(maxsize=8)
def _body(size: float) -> np.ndarray:
    """Response of string and body, shape (FFT // 2 + 1,): a sawtooth's fall and the modes; minimum phase."""
    frequency = np.maximum(FREQUENCY, 20.0)
    relative = frequency / size
    level = -6 * np.log2(frequency / 1000) - 10 * np.log10(1 + (250 / relative) ** 8)
    named = ((275, 8, 0.12), (460, 7, 0.12), (550, 6, 0.12), (1000, 3, 0.3), (2500, 9, 0.45))
    rng = np.random.default_rng(round(1000 * size))
    narrow = zip(
        np.exp(rng.uniform(np.log(250), np.log(7000), 60)), rng.normal(0, 4.5, 60), [0.06] * 60, strict=True
    )
    for centre, height, width in (*named, *narrow):
        level += height * np.exp(-((np.log2(relative / centre) / width) ** 2))
    cepstrum = scipy.fft.irfft(level * np.log(10) / 20, FFT)
    cepstrum[1 : FFT // 2] *= 2
    cepstrum[FFT // 2 + 1 :] = 0
    return (np.exp(scipy.fft.rfft(cepstrum)) * (FREQUENCY > 0)).astype(np.complex64)
