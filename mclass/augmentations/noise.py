"""Noise of several colours, and other people's recordings, at a given signal-to-noise ratio.

Taught in: 05_augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mclass.augmentations.base import Transform, check_finite, check_interval, uniform
from mclass.errors import unknown_name
from mclass.frontends import check_waveform

# Exponents of the power spectrum's decay, f^-exponent: pink loses 3 dB in an octave, brown 6, violet gains 6.
COLORS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
POOL_SAMPLES = 1_048_576  # 24 s at 44.1 kHz


class Noise(Transform):
    """Add noise at a random signal-to-noise ratio.

    Drawing millions of normal numbers costs more than anything else that is done with them, so noise is drawn
    once, 24 to 65 seconds of it, and every example gets a random stretch. Two examples may get stretches that
    overlap; that they are the same has a chance of one in a million.

    torchaudio-augmentations' ``Noise(min_snr, max_snr)`` means something else by the same words: the standard
    deviation of the noise divided by the signal's, so that a higher "SNR" is *noisier*. Its 0.3 is 10.5 dB here
    (−20 log10 0.3), its 0.01 is 40 dB.

    Parameters
    ----------
    min_snr, max_snr : float
        In decibels: at 0 dB the noise is as loud as the music, at 40 dB it can just be heard in a pause.
    color : {"white", "pink", "brown", "blue", "violet"}, or a sequence of them
        A sequence: each example gets one of them.

    Raises
    ------
    ValueError
        If the range is empty or beyond ±200 dB, or a colour is unknown.

    Examples
    --------
    >>> music = torch.ones(2, 1000)
    >>> noise = Noise(20, 20, color="pink")(music, torch.Generator().manual_seed(0)) - music
    >>> (10 * (music.square().sum(1) / noise.square().sum(1)).log10()).round(decimals=3)
    tensor([20., 20.])
    """

    overwrites = True

    def __init__(self, min_snr: float = 40.0, max_snr: float = 80.0, color: str | Sequence[str] = "white"):
        super().__init__()
        check_interval("the signal-to-noise ratio", min_snr, max_snr, -200, 200, "dB")
        names = (color,) if isinstance(color, str) else tuple(color)
        for name in names or ("",):
            if name not in COLORS:
                raise ValueError(unknown_name("colour of noise", name, COLORS))
        self.min_snr, self.max_snr, self.color = min_snr, max_snr, color
        self.names = names
        self.pools: dict[tuple, torch.Tensor] = {}  # made when needed: color and device -> (2 * POOL_SAMPLES,)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw for each example an SNR, a colour, and where in the pool its noise starts."""
        return {
            "snr": uniform(self.min_snr, self.max_snr, batch, generator),
            "start": torch.randint(POOL_SAMPLES, (batch,), generator=generator),
            "which": torch.randint(len(self.names), (batch,), generator=generator),
        }

    def change(
        self, waveforms: torch.Tensor, snr: torch.Tensor, start: torch.Tensor, which: torch.Tensor
    ) -> torch.Tensor:
        """Add each example's stretch of its pool."""
        samples = waveforms.shape[1]
        noise = [
            self._pool(self.names[color], waveforms.device, samples)[first : first + samples]
            for first, color in zip(start.tolist(), which.tolist(), strict=True)
        ]
        return add_at_snr(waveforms, noise, snr)

    def _pool(self, color: str, device: torch.device, samples: int) -> torch.Tensor:
        key = color, str(device)
        if key not in self.pools:
            # The period is repeated once: a stretch may start anywhere.
            self.pools[key] = noise_pool(color).repeat(2).to(device)
        pool = self.pools[key]
        # A recording longer than the pool hears it again.
        return pool if samples <= POOL_SAMPLES else pool[:POOL_SAMPLES].repeat(2 + samples // POOL_SAMPLES)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"pools": {}}  # data loaders' workers make their own


class ColoredNoise(Noise):
    """`Noise` of a random colour: white, pink, brown, blue or violet.

    Examples
    --------
    >>> ColoredNoise(10, 30)(torch.ones(2, 8)).shape
    torch.Size([2, 8])
    """

    def __init__(self, min_snr: float = 40.0, max_snr: float = 80.0):
        super().__init__(min_snr, max_snr, color=tuple(COLORS))


class BackgroundMix(Transform):
    """Mix with a random part of a random background (street, crowd, another song) at a random ratio.

    Parameters
    ----------
    backgrounds : torch.Tensor, shape (num_backgrounds, samples)
        At the sample rate of the waveforms. One that is shorter than them is repeated.
    min_snr, max_snr : float
        Level of the waveform above the background's, in decibels.

    Raises
    ------
    ValueError
        If the range is empty, or `backgrounds` is not a tensor like that.

    Examples
    --------
    >>> mix = BackgroundMix(torch.tensor([[1.0, -1.0]]), min_snr=20, max_snr=20)
    >>> mix(torch.ones(1, 4), torch.Generator().manual_seed(0))
    tensor([[1.1000, 0.9000, 1.1000, 0.9000]])
    """

    overwrites = True

    def __init__(self, backgrounds: torch.Tensor, min_snr: float = 3.0, max_snr: float = 30.0):
        super().__init__()
        check_interval("the signal-to-noise ratio", min_snr, max_snr, -200, 200, "dB")
        check_waveform(backgrounds)
        check_finite(backgrounds.float())
        self.min_snr, self.max_snr = min_snr, max_snr
        self.register_buffer("backgrounds", backgrounds.detach().clone(), persistent=False)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw for each example an SNR, a background, and where in it to start."""
        return {
            "snr": uniform(self.min_snr, self.max_snr, batch, generator),
            "which": torch.randint(len(self.backgrounds), (batch,), generator=generator),
            "place": torch.rand(batch, generator=generator),
        }

    def change(
        self, waveforms: torch.Tensor, snr: torch.Tensor, which: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """Add each example's part of its background."""
        samples, available = waveforms.shape[1], self.backgrounds.shape[1]
        if available < samples:  # from anywhere, going around
            starts = (place * available).long()[:, None]
            index = (starts + torch.arange(samples)) % available
        else:
            starts = (place * (available - samples + 1)).long().clamp(max=available - samples)[:, None]
            index = starts + torch.arange(samples)
        chosen = self.backgrounds.to(waveforms.device, waveforms.dtype)
        noise = chosen[which.to(waveforms.device)[:, None], index.to(waveforms.device)]
        return add_at_snr(waveforms, noise, snr)


def add_at_snr(
    waveforms: torch.Tensor, noise: torch.Tensor | Sequence[torch.Tensor], snr: torch.Tensor
) -> torch.Tensor:
    """Add noise to waveforms, in place, at a signal-to-noise ratio of powers that are averaged over each example.

    Parameters
    ----------
    waveforms : torch.Tensor, shape (batch, samples)
    noise : torch.Tensor, shape (batch, samples), or that many of shape (samples,)
    snr : torch.Tensor, shape (batch,)
        In decibels. Silence stays silent, as noise in this relation to it is silent too.
    """
    ratios = 10 ** (-snr.to(waveforms.device, waveforms.dtype) / 20)
    for i in range(len(waveforms)):  # one after the other: what was just measured is still in the cache
        row = noise[i].to(waveforms.dtype)
        signal, other = torch.linalg.vector_norm(waveforms[i].detach()), torch.linalg.vector_norm(row)
        scale = torch.where(other > 0, ratios[i] * signal / other, 0)
        waveforms[i].addcmul_(row, scale)
    return waveforms


def noise_pool(color: str) -> torch.Tensor:
    """The noise that stretches are taken from: `POOL_SAMPLES` samples, the same in every run, unit variance.

    The spectrum is shaped over the whole pool, which makes it periodic: its end leads on to its beginning.
    """
    white = torch.randn(POOL_SAMPLES, generator=torch.Generator().manual_seed(2005))
    if COLORS[color] == 0:
        return white
    spectrum = torch.fft.rfft(white)
    bins = torch.arange(len(spectrum)).clamp(min=POOL_SAMPLES // 2048)  # flat below 1/2048 of the sample rate
    shaped = torch.fft.irfft(spectrum * bins.double().pow(-COLORS[color] / 2).float(), n=POOL_SAMPLES)
    return shaped / shaped.std()
