"""Filters with random cutoff frequencies.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import cmath
import math

import torch
from torch.nn.functional import pad

from mclass.augmentations.base import Transform, check_interval, check_sample_rate, uniform

ROWS = 8  # examples filtered at a time on a CPU: what lies between in- and output stays in the cache
DECAY = 1e-7  # of its beginning: where an impulse response counts as over; float32 rounds no finer


class _Butterworth(Transform):
    """What the filters have in common: draw a cutoff, filter."""

    def __init__(self, sample_rate: int, order: int):
        super().__init__()
        check_sample_rate(sample_rate)
        if order not in range(1, 13):
            raise ValueError(f"the order of a filter is an integer from 1 to 12, got {order}")
        self.sample_rate, self.order = sample_rate, order

    def _check_cutoffs(self, low: float, high: float) -> None:
        check_interval("the cutoff", low, high, 1, 0.499 * self.sample_rate, "Hz")

    def change(self, waveforms: torch.Tensor, cutoff: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Filter each waveform."""
        return butterworth(waveforms, cutoff / self.sample_rate, high, self.order)


class LowPass(_Butterworth):
    """Butterworth low-pass: nothing but the bass from the neighbours' flat.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    min_cutoff, max_cutoff : float
        Where the level is 3 dB down, in Hz; drawn evenly.
    order : int
        Each adds 6 dB per octave to the slope.

    Raises
    ------
    ValueError
        If an option is outside its range, or a cutoff is not below half the sample rate.

    Examples
    --------
    >>> LowPass(16000)(torch.ones(2, 16000)).shape
    torch.Size([2, 16000])
    """

    def __init__(self, sample_rate: int, min_cutoff: float = 2200.0, max_cutoff: float = 4000.0, order: int = 2):
        super().__init__(sample_rate, order)
        self._check_cutoffs(min_cutoff, max_cutoff)
        self.min_cutoff, self.max_cutoff = min_cutoff, max_cutoff

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a cutoff in Hz for each example."""
        cutoff = uniform(self.min_cutoff, self.max_cutoff, batch, generator)
        return {"cutoff": cutoff, "high": torch.zeros(batch, dtype=torch.bool)}


class HighPass(_Butterworth):
    """Butterworth high-pass: a small loudspeaker. Parameters as in `LowPass`.

    Examples
    --------
    A constant does not pass:

    >>> HighPass(16000)(torch.ones(1, 16000))[0, -1].abs() < 1e-5
    tensor(True)
    """

    def __init__(self, sample_rate: int, min_cutoff: float = 200.0, max_cutoff: float = 1200.0, order: int = 2):
        super().__init__(sample_rate, order)
        self._check_cutoffs(min_cutoff, max_cutoff)
        self.min_cutoff, self.max_cutoff = min_cutoff, max_cutoff

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw a cutoff in Hz for each example."""
        cutoff = uniform(self.min_cutoff, self.max_cutoff, batch, generator)
        return {"cutoff": cutoff, "high": torch.ones(batch, dtype=torch.bool)}


class HighLowPass(_Butterworth):
    """A high-pass or a low-pass filter, each for half of the examples.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    lowpass_min, lowpass_max, highpass_min, highpass_max : float
        Cutoffs in Hz, as in `LowPass` and `HighPass`.
    order : int
        As in `LowPass`.

    Raises
    ------
    ValueError
        If an option is outside its range, or a cutoff is not below half the sample rate.

    Examples
    --------
    >>> HighLowPass(22050)(torch.ones(2, 59049)).shape
    torch.Size([2, 59049])
    """

    def __init__(
        self,
        sample_rate: int,
        lowpass_min: float = 2200.0,
        lowpass_max: float = 4000.0,
        highpass_min: float = 200.0,
        highpass_max: float = 1200.0,
        order: int = 2,
    ):
        super().__init__(sample_rate, order)
        self._check_cutoffs(lowpass_min, lowpass_max)
        self._check_cutoffs(highpass_min, highpass_max)
        self.lowpass_min, self.lowpass_max = lowpass_min, lowpass_max
        self.highpass_min, self.highpass_max = highpass_min, highpass_max

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw which filter each example gets, and its cutoff in Hz."""
        high = torch.rand(batch, generator=generator) < 0.5
        below = uniform(self.lowpass_min, self.lowpass_max, batch, generator)
        above = uniform(self.highpass_min, self.highpass_max, batch, generator)
        return {"cutoff": torch.where(high, above, below), "high": high}


def butterworth(waveforms: torch.Tensor, cutoff: torch.Tensor, high: torch.Tensor, order: int = 2) -> torch.Tensor:
    """Filter each waveform with a Butterworth filter of its own, starting from silence.

    The same as ``scipy.signal.sosfilt``, computed as a convolution: an impulse response has faded to 1e-7 after
    `decay` samples, so overlapping frames of the waveform are multiplied with the filter in the frequency domain,
    and of each frame the first `decay` samples, which miss what came before, are thrown away (overlap-save).

    Parameters
    ----------
    waveforms : torch.Tensor, shape (batch, samples)
    cutoff : torch.Tensor, shape (batch,)
        Relative to the sample rate, between 0 and ½.
    high : torch.Tensor of bool, shape (batch,)
        High-pass or low-pass.
    order : int

    Returns
    -------
    torch.Tensor, shape (batch, samples)
        Differs from `sosfilt` by rounding: at most about 1e-6 of the loudest sample, also at the ends.
    """
    samples = waveforms.shape[1]
    decay = max(decay_samples(extreme.item(), order) for extreme in cutoff.aminmax())
    # Long frames waste little on the overlap; short ones stay in the cache. No frame needs more than everything.
    n_fft = min(max(4096, 2 ** math.ceil(math.log2(8 * decay))), 2 ** math.ceil(math.log2(samples + decay)))
    hop = n_fft - decay
    num_frames = -(-samples // hop)
    response = frequency_response(cutoff, high, order, n_fft, waveforms.dtype).to(waveforms.device)
    rows = ROWS if waveforms.device.type == "cpu" else len(waveforms)
    result = torch.empty_like(waveforms)
    for start in range(0, len(waveforms), rows):
        block = slice(start, start + rows)
        frames = pad(waveforms[block], (decay, num_frames * hop - samples)).unfold(1, n_fft, hop)
        spectrum = torch.fft.rfft(frames).mul_(response[block, None])  # (rows, frames, bins)
        result[block] = torch.fft.irfft(spectrum, n=n_fft)[..., decay:].flatten(1)[:, :samples]
    return result


def decay_samples(cutoff: float, order: int) -> int:
    """Samples until the slowest part of a Butterworth filter's response has decayed to `DECAY`.

    Each pole's part decays by the pole's magnitude from sample to sample. Poles come near to 1 for low cutoffs and
    near to −1 for cutoffs close to half the sample rate. The high-pass has the low-pass's poles.

    Examples
    --------
    >>> decay_samples(200 / 22050, order=2)
    404
    """
    angles = [math.pi * (2 * k + 1 + order) / (2 * order) for k in range(order)]
    analogue = [math.tan(math.pi * cutoff) * cmath.exp(1j * angle) for angle in angles]
    slowest = max(abs((1 + s) / (1 - s)) for s in analogue)
    return math.ceil(math.log(DECAY) / math.log(slowest)) + 2 * order if slowest > 0 else 2 * order


def frequency_response(
    cutoff: torch.Tensor, high: torch.Tensor, order: int, n_fft: int, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Response of digital Butterworth filters, as from ``scipy.signal.butter``.

    The analogue low-pass with cutoff 1 is ``1 / ∏ (s² + 2 sin(θ) s + 1)``, one factor for each pair of poles, and
    one ``s + 1`` if the order is odd. The high-pass has ``1/s`` in place of ``s``; the bilinear transform puts
    ``j tan(ω/2) / tan(ω_c/2)`` there. Written as ``j b / a``, nothing becomes infinite at half the sample rate.

    Parameters
    ----------
    cutoff, high : torch.Tensor, shape (batch,)
        As in `butterworth`.
    order, n_fft : int
    dtype : torch.dtype
        Of the real and the imaginary part.

    Returns
    -------
    torch.Tensor, complex, shape (batch, 1 + n_fft // 2)

    Examples
    --------
    >>> low_and_high = torch.tensor([False, True])
    >>> frequency_response(torch.tensor([0.25, 0.25]), low_and_high, order=2, n_fft=4).abs()
    tensor([[1.0000, 0.7071, 0.0000],
            [0.0000, 0.7071, 1.0000]], dtype=torch.float64)
    """
    half = math.pi * torch.arange(1 + n_fft // 2, dtype=torch.float64) / n_fft  # ω / 2
    a = half.cos()
    if n_fft % 2 == 0:
        a[-1] = 0  # at half the sample rate, exactly
    b = half.sin() / torch.tan(math.pi * cutoff.double())[:, None]
    a, b = a.to(dtype), b.to(dtype)
    above = torch.where(high[:, None], b, a)  # numerator for each pole; a high-pass has a j beside it
    result = None
    for k in range(order // 2):
        damping = 2 * math.sin(math.pi * (2 * k + 1) / (2 * order))
        numerator = above.square().mul_(torch.where(high, -1, 1)[:, None])
        pair = numerator / torch.complex(a.square() - b.square(), damping * a * b)
        result = pair if result is None else result.mul_(pair)
    if order % 2:
        single = above * torch.where(high, 1j, 1)[:, None] / torch.complex(a.expand_as(b), b)
        result = single if result is None else result.mul_(single)
    return result
