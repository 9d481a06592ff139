"""Pitch without tempo, tempo without pitch: the phase vocoder.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import torch
from torch.nn.functional import pad

from mclass.augmentations.base import Transform, check_interval, check_sample_rate, uniform
from mclass.augmentations.simple import VOICES

HOP_SECONDS = 512 / 22050  # between frames; each is four times as long


class PitchShift(Transform):
    """Transpose the music; its length stays the same.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    min_semitones, max_semitones : float
        Twelve to the octave; any number in between is drawn.

    Raises
    ------
    ValueError
        If the range is empty or beyond two octaves.

    Notes
    -----
    Frequencies are right to within 3 cents (see `hops`). What would rise above half the sample rate is left out.

    Examples
    --------
    >>> PitchShift(16000)(torch.ones(2, 16000)).shape
    torch.Size([2, 16000])
    """

    changes_labels = VOICES

    def __init__(self, sample_rate: int, min_semitones: float = -7.0, max_semitones: float = 7.0):
        super().__init__()
        check_sample_rate(sample_rate)
        check_interval("the shift", min_semitones, max_semitones, -24, 24, "semitones")
        self.sample_rate, self.min_semitones, self.max_semitones = sample_rate, min_semitones, max_semitones

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a number of semitones for each example."""
        return {"semitones": uniform(self.min_semitones, self.max_semitones, batch, generator)}

    def change(self, waveforms: torch.Tensor, semitones: torch.Tensor) -> torch.Tensor:
        """Transpose each waveform."""
        result = torch.empty_like(waveforms)
        hop = max(8, round(HOP_SECONDS * self.sample_rate))
        for row, shift in enumerate(semitones.tolist()):
            if shift == 0:
                result[row] = waveforms[row]
                continue
            hop_in, hop_out = hops(2 ** (shift / 12), hop)
            # As many seconds in as out.
            result[row] = phase_vocoder(waveforms[row], hop_in, hop_out, hop_out / hop_in, waveforms.shape[1])
        return result


class TimeStretch(Transform):
    """Play faster or slower at the same pitch.

    The result has as many samples as before: a slower piece is cut, a faster one ends in silence.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    min_rate, max_rate : float
        Tempo of the result relative to the original's; above 1 is faster. Drawn evenly in octaves of tempo.

    Raises
    ------
    ValueError
        If the range is empty or beyond ¼ to 4.

    Examples
    --------
    >>> TimeStretch(16000, 2.0, 2.0)(torch.ones(1, 16000))[0, 12000:].abs().max()
    tensor(0.)
    """

    changes_labels = ("slow", "fast")

    def __init__(self, sample_rate: int, min_rate: float = 0.8, max_rate: float = 1.25):
        super().__init__()
        check_sample_rate(sample_rate)
        check_interval("the rate", min_rate, max_rate, 0.25, 4)
        self.sample_rate, self.min_rate, self.max_rate = sample_rate, min_rate, max_rate

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a rate for each example."""
        return {"rate": torch.exp2(uniform(math.log2(self.min_rate), math.log2(self.max_rate), batch, generator))}

    def change(self, waveforms: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Stretch each waveform."""
        result = torch.zeros_like(waveforms)
        hop = hops(1.0, max(8, round(HOP_SECONDS * self.sample_rate)))[0]
        for row, factor in enumerate(rate.tolist()):
            if factor == 1:
                result[row] = waveforms[row]
                continue
            length = min(waveforms.shape[1], round(waveforms.shape[1] / factor))
            result[row, :length] = phase_vocoder(waveforms[row], hop, hop, factor, length)
        return result


def phase_vocoder(
    waveform: torch.Tensor, hop_in: int, hop_out: int, step: float, num_samples: int
) -> torch.Tensor:
    """Rebuild a waveform from its frames, placed elsewhere in time and played at another speed.

    The waveform is cut into overlapping frames, `hop_in` apart. Output frame ``m`` shows the original at frame ``m
    * step``: its magnitudes are interpolated between the two nearest frames. Its phases are those of the output
    frame before it, plus what a phase advances by from one original frame to the next. So each partial goes on
    where it left off, whatever happens to the time between frames (Flanagan & Golden 1966; Dolson 1986, *The phase
    vocoder: A tutorial*).

    That much is a time stretch. For a pitch shift, each output frame is also made shorter or longer, ``4 *
    hop_out`` instead of ``4 * hop_in`` samples, by giving its spectrum fewer or more bins: it is resampled on the
    way back to a waveform, and exactly.

    No angle is ever computed: a phase is a complex number of magnitude 1, to add phases is to multiply, and the
    sum over all frames so far is a cumulative product.

    Parameters
    ----------
    waveform : torch.Tensor, shape (samples,)
    hop_in, hop_out : int
        Distance between frames in samples, before and after. Frequencies are multiplied by ``hop_in / hop_out``.
    step : float
        Original frames per output frame.
    num_samples : int
        Length of the result.

    Returns
    -------
    torch.Tensor, shape (num_samples,)
    """
    n_in, n_out = 4 * hop_in, 4 * hop_out
    # One frame more than needed at both ends, so that each sample lies in four frames.
    num_in, num_out = -(-len(waveform) // hop_in) + 3, -(-num_samples // hop_out) + 2
    before, after = 3 * hop_in, (num_in + 3) * hop_in - 3 * hop_in - len(waveform)
    mirror = min(before, len(waveform) - 1), min(after, len(waveform) - 1)
    padded = pad(waveform[None], mirror, mode="reflect")[0]
    padded = pad(padded, (before - mirror[0], after - mirror[1]))  # zeros beyond the mirror image of a short clip
    frames = padded.unfold(0, n_in, hop_in) * _window(n_in, waveform.dtype, waveform.device)
    # (num_in, bins): a shorter frame has no room for the highest frequencies.
    spectrum = torch.fft.rfft(frames)[:, : min(n_in, n_out) // 2 + 1]

    # The tiny number gives silence a phase, too: with a 0 in it, a product of phases would stay 0.
    spectrum = spectrum.add_(1e-12)
    inverse = (spectrum * spectrum.conj()).real.rsqrt()
    magnitude, phase = inverse.reciprocal(), spectrum * inverse  # |X| and X / |X|
    advance = phase[1:] * phase[:-1].conj()

    # Where output frames lie among the original ones; frame 1 is centred on the beginning in both.
    position = (1 + step * torch.arange(-1, num_out - 1, dtype=torch.float64)).clamp(0, num_in - 1.001)
    index = position.long()
    fraction = (position - index).to(waveform.device, waveform.dtype)[:, None]
    # A tone that is mirrored at the edge stumbles there: start with the phases of the first frame without an edge,
    # and let time pass in the others as it does next to them.
    first = min(3, num_in - 2)
    last = max(first, len(waveform) // hop_in - 2)
    moving = index[:-1].clamp(first, last)
    index = index.to(waveform.device)
    before = 1 + round((first - 1) / step)  # output frames until then
    phases = running_product(phase[first] * advance[first].conj() ** before, advance, moving)
    magnitudes = torch.lerp(magnitude.index_select(0, index), magnitude.index_select(0, index + 1), fraction)

    window = _window(n_out, waveform.dtype, waveform.device) * (n_out / n_in / 1.5)  # four Hann² add up to 1.5
    frames = (torch.fft.irfft(phases * magnitudes, n=n_out).mul_(window)).view(num_out, 4, hop_out)
    result = frames.new_zeros(num_out + 3, hop_out)
    for quarter in range(4):
        result[quarter : quarter + num_out] += frames[:, quarter]
    return result.flatten()[3 * hop_out : 3 * hop_out + num_samples]


def running_product(start: torch.Tensor, factors: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Start, and what it becomes when multiplied with one chosen row of factors after the other.

    Parameters
    ----------
    start : torch.Tensor, shape (bins,)
    factors : torch.Tensor, shape (rows, bins)
    index : torch.Tensor of int, shape (steps,)
        Which row is next; on the CPU.

    Returns
    -------
    torch.Tensor, shape (1 + steps, bins)

    Examples
    --------
    >>> running_product(torch.tensor([1.0]), torch.tensor([[2.0], [10.0]]), torch.tensor([0, 0, 1])).flatten()
    tensor([ 1.,  2.,  4., 40.])
    """
    if factors.device.type != "cpu" or factors.requires_grad:
        return torch.cat([start[None], factors.index_select(0, index.to(factors.device))]).cumprod(0)
    # The same row by row: on a CPU, cumprod goes down one column after the other, which takes longer.
    result = torch.empty((1 + len(index), len(start)), dtype=factors.dtype)
    rows, chosen = result.unbind(0), factors.unbind(0)
    rows[0].copy_(start)
    for previous, row, factor in zip(rows, rows[1:], index.tolist(), strict=False):
        torch.mul(previous, chosen[factor], out=row)
    return result


@lru_cache(maxsize=4096)
def hops(ratio: float, hop: int) -> tuple[int, int]:
    """Two hops whose ratio is nearly `ratio`, the first near `hop`, and both quick to transform.

    Fourier transforms are fast for lengths without large prime factors. Among such numbers, some pair comes
    within 3 cents (hundredths of a semitone) of any interval. Of the pairs within 2 cents, the quickest is taken.

    Returns
    -------
    tuple of int
        The hop before and after.

    Examples
    --------
    An octave, and a semitone, which is 1.0595:

    >>> hops(2.0, 512), hops(2 ** (1 / 12), 512)
    ((512, 256), (525, 495))
    """
    best = (math.inf, 0, 0), hop, max(1, round(hop / ratio))
    for before in range(math.ceil(0.86 * hop), math.floor(1.14 * hop) + 1):
        if _largest_prime_factor(before) > 13:
            continue
        nearest = round(before / ratio)
        for after in range(max(1, nearest - 1), nearest + 2):
            slowness = max(_largest_prime_factor(before), _largest_prime_factor(after))
            cents = abs(1200 * math.log2(before / after / ratio))
            if slowness <= 13:
                best = min(best, ((max(cents, 2.0), slowness, abs(before - hop)), before, after))
    return best[1:]


@cache
def _largest_prime_factor(number: int) -> int:
    factor, largest = 2, 1
    while number > 1:
        if number % factor == 0:
            number, largest = number // factor, factor
        else:
            factor += 1
    return largest


@lru_cache(maxsize=256)
def _window(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.hann_window(length, dtype=dtype, device=device)
