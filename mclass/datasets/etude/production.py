"""The studio: effects on stems, the mix, and the signature every artist's recordings share.

The signature (room, tone, bandwidth, noise floor, loudness) is what makes an artist-leaky split flatter a model:
it is easy to hear and says nothing about the music.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal

from mclass.datasets.etude.composer import Score, stream
from mclass.datasets.etude.instruments import INSTRUMENTS
from mclass.datasets.etude.synthesis.renderer import SAMPLE_RATE, render

_QUIETEST, _LOUDEST = -35.0, -15.0  # dB relative to full scale: level (RMS) of pianissimo and fortissimo tracks


@dataclass(frozen=True)
class Studio:
    """How an artist's recordings sound.

    Attributes
    ----------
    reverb_time : float
        RT60 in seconds.
    wet : float
        Level of the reverberation relative to the direct sound.
    tilt, presence : float
        Tone: dB per octave around 1 kHz, and dB at 2.5 kHz.
    low_cut, high_cut : float
        Bandwidth in Hz; some artists own old microphones.
    noise : float
        Noise floor in dB relative to full scale.
    drive : float
        Saturation of the mix, 0 to 1.
    loudness : float
        dB added to what the dynamics ask for.
    """

    seed: int
    artist: int
    reverb_time: float = field(init=False)
    wet: float = field(init=False)
    tilt: float = field(init=False)
    presence: float = field(init=False)
    low_cut: float = field(init=False)
    high_cut: float = field(init=False)
    noise: float = field(init=False)
    drive: float = field(init=False)
    loudness: float = field(init=False)

    def __post_init__(self):
        rng = stream(self.seed, "studio", self.artist)
        old = rng.random() < 0.12
        values = {
            "reverb_time": rng.uniform(0.2, 1.3),
            "wet": rng.uniform(0.05, 0.45),
            "tilt": rng.gauss(-0.8, 1.6),
            "presence": rng.gauss(0.0, 5.0),
            "low_cut": rng.uniform(25, 130),
            "high_cut": rng.uniform(2800, 4200) if old else rng.uniform(4500, 8000),
            "noise": rng.uniform(-58, -46) if old else rng.uniform(-78, -50),
            "drive": rng.random(),
            "loudness": rng.gauss(0.0, 2.5),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


def produce(score: Score) -> np.ndarray:
    """Render and mix a score as its artist would.

    Returns
    -------
    np.ndarray, shape (samples,), float32
        ``score.seconds`` long at 16 kHz, inside [-1, 1].
    """
    num_samples = round(score.seconds * SAMPLE_RATE)
    studio = Studio(score.artist.seed, score.artist.number)
    mix = np.zeros(num_samples, dtype=np.float32)
    stems = render(score.parts, num_samples)
    for number, (part, stem) in enumerate(zip(score.parts, stems, strict=True)):
        rng = stream(score.artist.seed, "track", score.index, "effect", number)
        effect = _EFFECTS.get(INSTRUMENTS[part.instrument].effect)
        if effect:
            stem = effect(stem, rng)
        mix += stem * np.float32(10 ** (part.gain / 20))
    mix = _master(mix, score, studio)
    return mix


def _master(mix: np.ndarray, score: Score, studio: Studio) -> np.ndarray:
    style = score.style
    rms = float(np.sqrt(np.mean(mix**2))) or 1.0
    level = _QUIETEST + (_LOUDEST - _QUIETEST) * score.dynamics + studio.loudness
    mix *= np.float32(10 ** (level / 20) / rms)
    drive = 1 + 3 * studio.drive * style.effects * score.dynamics
    mix = np.tanh(mix * np.float32(drive)) / np.float32(drive**0.7)

    reverb_time = min(studio.reverb_time * style.room, 3.5)
    size = scipy.fft.next_fast_len(len(mix) + round(reverb_time * SAMPLE_RATE), real=True)
    mix += _noise(studio, len(mix))
    spectrum = scipy.fft.rfft(mix, size)
    spectrum *= _response(studio, reverb_time, min(studio.wet * style.room, 0.9), size)
    mix = scipy.fft.irfft(spectrum, size)[: len(mix)]
    return _soft_limit(mix)


def _soft_limit(waveform: np.ndarray, knee: float = 0.8) -> np.ndarray:
    """Leave everything below `knee` alone and bend the rest smoothly into [-1, 1]."""
    over = np.abs(waveform) > knee
    if over.any():
        peaks = waveform[over]
        excess = (np.abs(peaks) - knee) / (1 - knee)
        waveform[over] = np.sign(peaks) * (knee + (1 - knee) * np.tanh(excess))
    return waveform


@lru_cache(maxsize=4)
def _response(studio: Studio, reverb_time: float, wet: float, size: int) -> np.ndarray:
    """Frequency response of tone, bandwidth and room together, shape (size // 2 + 1,)."""
    frequency = np.maximum(scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0)
    octaves = np.log2(frequency / 1000)
    tone = studio.tilt * np.clip(octaves, -4, 3) + studio.presence * np.exp(-((octaves - 1.3) ** 2))
    tone += -10 * np.log10(1 + (studio.low_cut / frequency) ** 4)
    tone += -10 * np.log10(1 + (frequency / studio.high_cut) ** 12)
    rng = np.random.default_rng([studio.seed, studio.artist])
    length = round(reverb_time * SAMPLE_RATE)
    decay = np.exp(-6.908 * np.arange(length) / length)  # -60 dB at the end
    impulse = scipy.signal.lfilter([0.5], [1, -0.5], rng.standard_normal(length) * decay)
    impulse *= wet / np.sqrt(np.sum(impulse**2))
    room = 1 + scipy.fft.rfft(impulse, size)
    return (room * 10 ** (tone / 20)).astype(np.complex64)


@lru_cache(maxsize=1)
def _noise_table() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)


def _noise(studio: Studio, num_samples: int) -> np.ndarray:
    level = np.float32(10 ** (studio.noise / 20))
    start = studio.artist * 104_729 % len(_noise_table())
    return level * np.take(_noise_table(), np.arange(start, start + num_samples), mode="wrap")


# --- effects on stems -------------------------------------------------------------------------------------


def _voice(stem: np.ndarray, rng) -> np.ndarray:
    """Vibrato, by a delay that swings: pitch goes up while the delay shrinks."""
    rate, cents = rng.uniform(4.8, 6.4), rng.uniform(15, 60)
    depth = (2 ** (cents / 1200) - 1) / (2 * np.pi * rate) * SAMPLE_RATE
    time = np.arange(len(stem), dtype=np.float32)
    delay = np.float32(depth) * (1 + np.sin(time * np.float32(2 * np.pi * rate / SAMPLE_RATE)))
    return np.interp(time - delay, time, stem).astype(np.float32)


def _drive(amount: float):
    def effect(stem: np.ndarray, rng) -> np.ndarray:
        """A distorting amplifier and its loudspeaker, which lets little through above 4 kHz."""
        peak = float(np.abs(stem).max()) or 1.0
        distorted = np.tanh(stem * np.float32(amount / peak)) * np.float32(peak)
        return scipy.signal.sosfilt(_cabinet(), distorted).astype(np.float32)

    return effect


@lru_cache(maxsize=1)
def _cabinet() -> np.ndarray:
    return scipy.signal.butter(2, [90, 4200], "bandpass", fs=SAMPLE_RATE, output="sos").astype(np.float32)


def _sweep(stem: np.ndarray, rng) -> np.ndarray:
    """A synthesiser's filter, opening and closing over some bars."""
    cutoff, period, phase = rng.uniform(300, 1500), rng.uniform(4, 20), rng.uniform(0, 6.28)
    sos = scipy.signal.butter(2, cutoff, fs=SAMPLE_RATE, output="sos").astype(np.float32)
    closed = scipy.signal.sosfilt(sos, stem).astype(np.float32)
    time = np.arange(len(stem), dtype=np.float32)
    openness = 0.5 + 0.5 * np.sin(time * np.float32(2 * np.pi / period / SAMPLE_RATE) + np.float32(phase))
    return closed + openness * (stem - closed)


def _ring(stem: np.ndarray, rng) -> np.ndarray:
    """A ring modulator: sums and differences of its frequency and the partials', in no key."""
    time = np.arange(len(stem), dtype=np.float32) / SAMPLE_RATE
    carrier, wobble = rng.uniform(60, 900), rng.uniform(0.1, 0.7)
    return (
        stem
        * np.float32(1.5)
        * np.sin(np.float32(2 * np.pi * carrier) * time + 3 * np.sin(np.float32(2 * np.pi * wobble) * time))
    )


def _warp(stem: np.ndarray, rng) -> np.ndarray:
    """A tape that runs unsteadily, by a delay that swings by a tenth of a second."""
    time = np.arange(len(stem), dtype=np.float32)
    delay = 1600 * (1 + np.sin(time * np.float32(2 * np.pi * rng.uniform(0.2, 0.9) / SAMPLE_RATE)))
    return np.interp(time - delay, time, stem).astype(np.float32)


_EFFECTS = {
    "voice": _voice, "drive": _drive(6.0), "overdrive": _drive(2.5), "sweep": _sweep, "ring": _ring, "warp": _warp,
}  # fmt: skip
