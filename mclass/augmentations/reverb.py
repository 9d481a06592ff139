"""Rooms: reverberation from synthetic impulse responses, or from given ones.

Taught in: 05_augmentation.
"""

from __future__ import annotations

import math

import torch
from scipy.fft import next_fast_len

from mclass.augmentations.base import Transform, check_finite, check_interval, check_sample_rate, column, uniform
from mclass.augmentations.noise import POOL_SAMPLES, noise_pool
from mclass.frontends import check_waveform

ROWS = 8


class Reverb(Transform):
    """Put the music into a room.

    The room is its impulse response: noise that decays by 60 dB within the reverberation time RT60, which is what
    remains of a hall's echoes once there are too many to tell apart (Moorer 1979, *About this reverberation
    business*). Sox, and with it torchaudio-augmentations, takes "room size", "reverberance" and "damping" from 0
    to 100 instead; the default range of RT60 is ours, not a translation of these.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    min_rt60, max_rt60 : float
        In seconds: a living room 0.4, a concert hall 2.
    min_wet, max_wet : float
        Share of the room in what comes out, between 0 (dry) and 1.

    Raises
    ------
    ValueError
        If an option is outside its range.

    Examples
    --------
    >>> Reverb(16000)(torch.ones(2, 16000)).shape
    torch.Size([2, 16000])
    """

    def __init__(
        self,
        sample_rate: int,
        min_rt60: float = 0.1,
        max_rt60: float = 1.0,
        min_wet: float = 0.1,
        max_wet: float = 0.5,
    ):
        super().__init__()
        check_sample_rate(sample_rate)
        check_interval("RT60", min_rt60, max_rt60, 0.01, 10, "seconds")
        check_interval("the share of the room", min_wet, max_wet, 0, 1)
        self.sample_rate, self.min_rt60, self.max_rt60 = sample_rate, min_rt60, max_rt60
        self.min_wet, self.max_wet = min_wet, max_wet
        self.pools: dict[str, torch.Tensor] = {}  # made when needed: device -> (POOL_SAMPLES,)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw for each example a reverberation time, a share, and where in the pool its echoes start."""
        longest = min(POOL_SAMPLES - 1, int(10 * self.sample_rate))
        return {
            "rt60": uniform(self.min_rt60, self.max_rt60, batch, generator),
            "wet": uniform(self.min_wet, self.max_wet, batch, generator),
            "start": torch.randint(POOL_SAMPLES - longest, (batch,), generator=generator),
        }

    def change(
        self, waveforms: torch.Tensor, rt60: torch.Tensor, wet: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        """Mix each waveform with what its room answers."""
        result = torch.empty_like(waveforms)
        # On a CPU a few at a time: all would leave the cache, and one by one each transform has to be prepared.
        rows = ROWS if waveforms.device.type == "cpu" else len(waveforms)
        for first in range(0, len(waveforms), rows):
            block = slice(first, first + rows)
            rooms = self.impulse_responses(rt60[block], start[block], waveforms.device).to(waveforms.dtype)
            share = column(wet[block], waveforms)
            rooms = share * rooms[:, : waveforms.shape[1]]
            rooms[:, :1] += 1 - share
            result[block] = convolve(waveforms[block], rooms)
        return result

    def impulse_responses(self, rt60: torch.Tensor, start: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Rooms for each reverberation time: noise that decays and stops at −60 dB.

        Parameters
        ----------
        rt60, start : torch.Tensor, shape (batch,)
            Seconds, and samples.
        device : torch.device

        Returns
        -------
        torch.Tensor, shape (batch, samples of the longest)
            Each with an energy of 1.
        """
        key = str(device)
        if key not in self.pools:
            self.pools[key] = noise_pool("white").to(device)
        pool = self.pools[key]
        length = max(1, math.ceil(rt60.max().item() * self.sample_rate))
        noise = torch.stack([pool[first : first + length] for first in start.tolist()])
        # In units of RT60; 2^-9.97 = 10^-3 is -60 dB.
        time = torch.arange(length, device=device) / (column(rt60, noise) * self.sample_rate)
        noise *= torch.exp2(-3 * math.log2(10) * time)
        if len(noise) > 1:
            noise *= time < 1
        return noise / torch.linalg.vector_norm(noise, dim=1, keepdim=True)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"pools": {}}


class ImpulseResponse(Transform):
    """Convolve each waveform with one of the given impulse responses: measured rooms, loudspeakers, telephones.

    Parameters
    ----------
    responses : torch.Tensor, shape (num_responses, samples)
        At the sample rate of the waveforms; zeros at the end do no harm.
    normalize : bool
        Give each response an energy of 1, so that noise keeps its level.

    Raises
    ------
    ValueError
        If `responses` is not such a tensor, or one of them is silent.

    Examples
    --------
    >>> echo = ImpulseResponse(torch.tensor([[1.0, 0, 0.5]]), normalize=False)
    >>> echo(torch.tensor([[1.0, 2, 3, 4]]))
    tensor([[1.0000, 2.0000, 3.5000, 5.0000]])
    """

    def __init__(self, responses: torch.Tensor, normalize: bool = True):
        super().__init__()
        check_waveform(responses)
        check_finite(responses.float())
        energy = responses.double().square().sum(1, keepdim=True)
        if (energy == 0).any():
            raise ValueError(
                f"response {int((energy == 0).nonzero()[0, 0])} is silent: it would make music so, too"
            )
        responses = (responses / energy.sqrt() if normalize else responses).to(responses.dtype)
        self.normalize = normalize
        self.register_buffer("responses", responses.detach().clone(), persistent=False)

    def draw(self, batch, generator=None, labels=None) -> dict:
        """Draw which response each example gets."""
        return {"which": torch.randint(len(self.responses), (batch,), generator=generator)}

    def change(self, waveforms: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Convolve each waveform with its response."""
        responses = self.responses.to(waveforms.device, waveforms.dtype)[:, : waveforms.shape[1]]
        return convolve(waveforms, responses[which.to(waveforms.device)])


def convolve(waveforms: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
    """The beginning, as long as the waveform, of each waveform's convolution with its own response.

    Parameters
    ----------
    waveforms : torch.Tensor, shape (batch, samples)
    responses : torch.Tensor, shape (batch, length)

    Examples
    --------
    >>> convolve(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([[1., 3., 5.]])
    """
    samples = waveforms.shape[1]
    # With room for the tail, so that it does not come around to the beginning.
    n_fft = next_fast_len(samples + responses.shape[1] - 1, real=True)
    spectrum = torch.fft.rfft(waveforms, n=n_fft) * torch.fft.rfft(responses, n=n_fft)
    return torch.fft.irfft(spectrum, n=n_fft)[:, :samples].contiguous()
