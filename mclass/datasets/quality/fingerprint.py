"""Find recordings that are copies of each other, though their files differ.

Two published methods, one after the other, in our own few lines:

* *Landmarks* find candidates (Wang, "An industrial-strength audio search algorithm", ISMIR 2003). Peaks of a
  spectrogram survive another encoding, another level and added noise. Two peaks near each other (their
  frequencies, and the time between them) make a landmark; copies share many, all at the same distance in time.
  Looking them up in one sorted table replaces the comparison of all pairs.
* *Bits* confirm them (Haitsma and Kalker, "A highly robust audio fingerprinting system", ISMIR 2002): the signs
  of how neighbouring bands change against each other. Pieces that only share a drum loop have landmarks in common,
  but not their bits.

A recording that was transposed, sped up or played again is not found.

Taught in: 02_datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

RATE = 8000  # Hz; what is above 4 kHz hardly survives strong compression
_N_FFT, _HOP = 1024, 256  # 128 ms and 32 ms
_AROUND = (11, 21)  # a peak is the largest of so many frames and bins
_PEAKS_PER_SECOND = 15
_FAN = 4  # landmarks that begin at a peak
_NEXT = 24  # following peaks among which those are looked for
# Edges of 33 bands from 300 to 3,000 Hz, each a little wider than the one below.
_BANDS = np.round(np.geomspace(300, 3000, 34) * _N_FFT / RATE).astype(int)
_MAX_DF, _MAX_DT = 127, 63  # bins and frames between the peaks of a landmark
_FLOOR = 1e-3  # a peak 60 dB below the recording's largest is noise
_HASH_SHIFT, _CLIP_SHIFT = 40, 16  # in a row of the table: 23 bits of landmark, 24 of clip, 16 of time
# Landmarks of more clips than this say little and cost much: ignored, as a search for texts ignores "the".
_COMMON_COUNT, _COMMON_SHARE = 50, 0.01
_MAX_FRAMES = 1 << _CLIP_SHIFT  # the rest of a longer recording is left out
LONGEST = _MAX_FRAMES * _HOP / RATE  # seconds: 35 minutes


class Match(NamedTuple):
    """Two clips, ``first < second``, that contain the same recording.

    Attributes
    ----------
    first, second : int
    offset : float
        Seconds into the first at which the second begins (negative: the second begins earlier).
    seconds : float
        Length of what both contain.
    landmarks : int
        How many they share.
    bit_errors : float
        Share of bits that differ: 0 for an exact copy, about 0.5 for unrelated music.
    """

    first: int
    second: int
    offset: float
    seconds: float
    landmarks: int
    bit_errors: float


class Fingerprint(NamedTuple):
    """What is kept of a recording: about 25 kB for 30 seconds.

    Attributes
    ----------
    landmarks : np.ndarray, shape (n, 2), uint32
        Hash (two frequencies and the time between them) and frame of each landmark; about 60 per second of music,
        none of silence.
    bits : np.ndarray, shape (frames,), uint32
        For each frame the signs of how the differences between 33 bands change.
    """

    landmarks: np.ndarray
    bits: np.ndarray


def fingerprint(waveform: np.ndarray, sample_rate: int) -> Fingerprint:
    """The fingerprint of a recording.

    Parameters
    ----------
    waveform : np.ndarray, shape (samples,)
    sample_rate : int

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(16_000 * 4).astype(np.float32)
    >>> found, louder = fingerprint(noise, 16_000), fingerprint(2 * noise, 16_000)
    >>> len(found.landmarks) > 100, np.array_equal(found.landmarks, louder.landmarks)
    (True, True)
    >>> len(fingerprint(0 * noise, 16_000).landmarks)
    0
    """
    waveform = np.asarray(waveform, np.float32)
    if sample_rate != RATE:
        waveform = soxr.resample(waveform, sample_rate, RATE, quality="HQ")
    waveform = waveform[: _MAX_FRAMES * _HOP]
    if waveform.size < 2 * _N_FFT or not waveform.any():
        return Fingerprint(np.zeros((0, 2), np.uint32), np.zeros(0, np.uint32))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, _N_FFT)[::_HOP]
    spectrum = np.abs(scipy.fft.rfft(frames * np.hanning(_N_FFT).astype(np.float32), axis=1)[:, : _N_FFT // 2])
    return Fingerprint(_landmarks(spectrum), _bits(spectrum))


def _landmarks(spectrum: np.ndarray) -> np.ndarray:
    """Pairs of peaks: each with the next few that are near in time and frequency."""
    times, bins = _peaks(spectrum)
    found = []
    used = np.zeros(len(times), int)
    for step in range(1, min(_NEXT, len(times) - 1) + 1):
        dt, df = times[step:] - times[:-step], bins[step:] - bins[:-step]
        fits = (dt >= 1) & (dt <= _MAX_DT) & (np.abs(df) <= _MAX_DF) & (used[:-step] < _FAN)
        used[:-step] += fits
        anchors = np.flatnonzero(fits)
        hashes = bins[anchors] << 14 | (df[anchors] + _MAX_DF) << 6 | dt[anchors]
        found.append(np.stack([hashes, times[anchors]], axis=1))
    return np.concatenate(found).astype(np.uint32) if found else np.zeros((0, 2), np.uint32)


def _peaks(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and bins of the strongest peaks of each second, in order of time."""
    is_peak = spectrum == scipy.ndimage.maximum_filter(spectrum, _AROUND, mode="constant")
    is_peak &= spectrum > _FLOOR * spectrum.max()
    is_peak[:, :4] = False  # below 30 Hz
    times, bins = np.nonzero(is_peak)
    second = times * _HOP // RATE
    order = np.lexsort((-spectrum[times, bins], second))
    rank = np.arange(len(order)) - np.searchsorted(second[order], second[order])
    kept = np.sort(order[rank < _PEAKS_PER_SECOND])
    return times[kept], bins[kept]


def _bits(spectrum: np.ndarray) -> np.ndarray:
    energies = np.add.reduceat(spectrum[:, : _BANDS[-1]] ** 2, _BANDS[:-1], axis=1)
    change = np.diff(np.diff(energies, axis=1), axis=0, prepend=0)
    return (change > 0).astype(np.uint32) @ (np.uint32(1) << np.arange(32, dtype=np.uint32))


def find_copies(
    fingerprints: Sequence[Fingerprint],
    *,
    min_landmarks: int = 20,
    max_bit_errors: float = 0.35,
    min_seconds: float = 3.0,
) -> list[Match]:
    """Pairs of recordings that have a part in common.

    Parameters
    ----------
    fingerprints : sequence of Fingerprint
    min_landmarks : int
        A pair is a candidate if it shares so many landmarks at one offset.
    max_bit_errors : float
        A candidate is reported if no more of its bits differ; 0.35 is the threshold of Haitsma and Kalker.
    min_seconds : float
        Parts shorter than this are passed over: too few bits to be sure (theirs is about 3 s).

    Returns
    -------
    list of Match
        The surest first.

    Notes
    -----
    The table takes 8 bytes a landmark, and the fingerprints 12: about 250 MB for 8,000 clips of 30 seconds.
    ``python -m benchmarks.fingerprints`` measures what is found, what is reported wrongly, and how long it takes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noises = [rng.standard_normal(16_000 * 6).astype(np.float32) for _ in range(3)]
    >>> noises.append(0.2 * noises[1][16_384:])  # quieter, and begins a second later
    >>> [match] = find_copies([fingerprint(noise, 16_000) for noise in noises])
    >>> match.first, match.second, round(match.offset), match.bit_errors < 0.1
    (1, 3, 1, True)
    """
    counts = [len(one.landmarks) for one in fingerprints]
    table = np.empty(sum(counts), np.uint64)
    for number, (one, end) in enumerate(zip(fingerprints, np.cumsum(counts), strict=True)):
        wide = one.landmarks.astype(np.uint64)
        rows = wide[:, 0] << np.uint64(_HASH_SHIFT) | np.uint64(number << _CLIP_SHIFT) | wide[:, 1]
        table[end - len(wide) : end] = rows
    table.sort()
    limit = max(_COMMON_COUNT, int(_COMMON_SHARE * len(fingerprints)))
    matches = []
    for number, one in enumerate(fingerprints):
        for other, offset, shared in _candidates(number, one.landmarks, table, limit, min_landmarks):
            length, errors, offset = _compare_bits(one.bits, fingerprints[other].bits, offset)
            if length * _HOP >= min_seconds * RATE and errors <= max_bit_errors:
                seconds = length * _HOP / RATE
                matches.append(Match(number, other, offset * _HOP / RATE, seconds, shared, round(errors, 3)))
    return sorted(matches, key=lambda match: (match.bit_errors, match.first, match.second))


def _candidates(
    number: int, mine: np.ndarray, table: np.ndarray, limit: int, min_landmarks: int
) -> list[tuple[int, int, int]]:
    """Clips after clip `number` that share landmarks with it: (clip, offset in frames, how many)."""
    mine = mine[np.argsort(mine[:, 0], kind="stable")]  # neighbours in the table are looked up one after another
    wide = mine[:, 0].astype(np.uint64) << np.uint64(_HASH_SHIFT)
    first = np.searchsorted(table, wide | np.uint64((number + 1) << _CLIP_SHIFT))
    last = np.searchsorted(table, wide + np.uint64(1 << _HASH_SHIFT))
    counts = last - first
    counts[counts > limit] = 0
    if not counts.sum():
        return []
    # The rows first[i] … last[i] of all i, one after another.
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    found = table[rows].astype(np.int64)
    others = found >> _CLIP_SHIFT & 0xFFFFFF
    offsets = np.repeat(mine[:, 1].astype(np.int64), counts) - (found & (_MAX_FRAMES - 1))
    keys, votes = np.unique(others << 20 | (offsets + _MAX_FRAMES), return_counts=True)
    # An offset of half a frame divides its votes between two neighbours.
    votes[:-1] += np.where(np.diff(keys) == 1, votes[1:], 0)
    best: dict[int, tuple[int, int, int]] = {}
    for key, shared in zip(keys[votes >= min_landmarks], votes[votes >= min_landmarks], strict=True):
        other = int(key >> 20)
        if other not in best or shared > best[other][2]:
            best[other] = (other, int(key & 0xFFFFF) - _MAX_FRAMES, int(shared))
    return list(best.values())


def _compare_bits(mine: np.ndarray, other: np.ndarray, offset: int) -> tuple[int, float, int]:
    """Frames that two clips have in common, share of bits that differ there, and the best offset near `offset`."""
    best = (0, 1.0, offset)
    for shift in (offset - 1, offset, offset + 1):
        first, last = max(0, shift), min(len(mine), len(other) + shift)
        if last > first:
            differ = np.unpackbits((mine[first:last] ^ other[first - shift : last - shift]).view(np.uint8)).mean()
            if differ < best[1]:
                best = (last - first, float(differ), shift)
    return best
