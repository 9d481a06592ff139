"""Front ends: from the waveform to a time-frequency picture, as layers of a network.

A front end is an ``nn.Module``, so that it moves to the GPU with its model and a model takes plain waveforms.

Taught in: 01_representations, 04_supervised.
"""

from mclass.frontends.compressed_mel import CompressedMel
from mclass.frontends.cqt import CQT
from mclass.frontends.harmonic import Harmonic
from mclass.frontends.logmel import EmptyBandsWarning, LogMel, mel_bands
from mclass.frontends.mfcc import MFCC
from mclass.frontends.multiresolution import MultiResolutionLogMel
from mclass.frontends.raw import Raw, check_waveform
from mclass.frontends.stft import STFT

__all__ = [
    "CQT",
    "MFCC",
    "STFT",
    "CompressedMel",
    "EmptyBandsWarning",
    "Harmonic",
    "LogMel",
    "MultiResolutionLogMel",
    "Raw",
    "check_waveform",
    "mel_bands",
]
