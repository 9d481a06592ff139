"""Write waveforms.

Taught in: 01_representations.
"""

from __future__ import annotations

import os

import numpy as np
import soundfile
import torch

from mclass._utils.files import replacing, user_path
from mclass.audio.resampling import check_rate, check_waveform
from mclass.errors import AudioError

_BLOCK = 1 << 16  # samples at once: a minute of them overflows the stack of libvorbis, which ends the process


def save(path: str | os.PathLike, waveform: torch.Tensor | np.ndarray, sample_rate: int) -> None:
    """Write a mono waveform; the suffix of `path` chooses the format (wav, flac, ogg, opus, mp3).

    wav and flac are written with 16 bits: what lies outside [-1, 1] is clipped. The file appears complete or not
    at all.

    Parameters
    ----------
    path : path
    waveform : torch.Tensor or np.ndarray, shape (samples,)
    sample_rate : int
        In Hz.

    Raises
    ------
    AudioError
        If the waveform is empty, not one-dimensional or not finite, the suffix is unknown, the format does not
        know the rate (opus: 8, 12, 16, 24 or 48 kHz), or the folder cannot be written.

    Examples
    --------
    >>> save("tone.xyz", torch.zeros(100), sample_rate=16_000)
    Traceback (most recent call last):
    mclass.errors.AudioError: tone.xyz: cannot write .xyz; use .wav, .flac, .ogg, .opus, .mp3
    """
    path = user_path(path)
    check_rate("sample_rate", sample_rate)
    samples = check_waveform(waveform)
    formats = {
        ".wav": ("WAV", "PCM_16"),
        ".flac": ("FLAC", "PCM_16"),
        ".ogg": ("OGG", "VORBIS"),
        ".opus": ("OGG", "OPUS"),
        ".mp3": ("MP3", "MPEG_LAYER_III"),
    }
    if path.suffix.lower() not in formats:
        raise AudioError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(formats)}"
        )
    container, subtype = formats[path.suffix.lower()]
    try:
        with replacing(path) as temporary:
            temporary.touch()  # says why it cannot be written, which libsndfile does not
            with soundfile.SoundFile(temporary, "w", sample_rate, 1, subtype, format=container) as file:
                for start in range(0, samples.size, _BLOCK):
                    file.write(samples[start : start + _BLOCK].clip(-1, 1))
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be written: {error.strerror}. Choose a folder you can write to."
        ) from None
    except (soundfile.LibsndfileError, ValueError):
        raise AudioError(
            f"{path}: {container} ({subtype}) cannot hold a rate of {sample_rate} Hz, or the disk is full. "
            "Resample first (48000, 44100 or 16000 Hz), or use .wav."
        ) from None
