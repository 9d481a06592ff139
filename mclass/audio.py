"""Audio files in, mono float32 waveforms out: decode, mix down, resample, read a part, save.

`read` decodes only the part that is asked for, plus a margin that makes the part equal the same samples of the
whole file; `blocks` decodes a file of any length in pieces. wav, flac, ogg, opus, mp3 and aiff are decoded by
libsndfile; m4a and aac need an ffmpeg program.

Conventions: ``start`` and ``num_samples`` count samples at the rate that is *asked for*, never at the file's.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch

from mclass._decoding import MAX_RATE, decode_in_pieces, open_file, read_mono
from mclass._decoding import SUFFIXES as SUFFIXES
from mclass._files import replacing, user_path
from mclass.errors import AudioError

_MARGIN = 256  # samples at the lower of two rates: more than half the length of soxr's HQ filter


class AudioInfo(NamedTuple):
    """What the header of a file says: rate in Hz, length in samples at that rate, channels, format, encoding."""

    sample_rate: int
    num_samples: int
    channels: int
    format: str
    encoding: str

    @property
    def seconds(self) -> float:
        return self.num_samples / self.sample_rate


def target_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Length after resampling: ``ceil(num_samples * to_rate / from_rate)``, so that nothing is cut off.

    Examples
    --------
    >>> target_length(44_100, 44_100, 16_000), target_length(1, 192_000, 16_000)
    (16000, 1)
    """
    return -(-num_samples * to_rate // from_rate)


def info(path: str | os.PathLike) -> AudioInfo:
    """Rate, length, channels and format of a file, without decoding more than its last sample.

    Parameters
    ----------
    path : path

    Returns
    -------
    AudioInfo

    Raises
    ------
    AudioError
        If the file is missing, a folder, empty, truncated, without samples or not audio.
        An mp3 without a Xing header does not say how long it should be, so a cut one is only shorter.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "silence.wav")
    >>> save(path, torch.zeros(8000), sample_rate=16_000)
    >>> info(path)
    AudioInfo(sample_rate=16000, num_samples=8000, channels=1, format='WAV', encoding='PCM_16')
    >>> info(path).seconds
    0.5
    """
    with open_file(path) as file:
        read_mono(path, file, file.frames - 1, 1)
        decoded_by_ffmpeg = file.format == "WAV" and isinstance(file.name, io.BytesIO)
        kind = "MPEG4" if decoded_by_ffmpeg else file.format
        return AudioInfo(file.samplerate, file.frames, file.channels, kind, file.subtype)


def read(
    path: str | os.PathLike, sample_rate: int, start: int = 0, num_samples: int | None = None
) -> torch.Tensor:
    """Read a file, or a part of it, as a mono waveform at `sample_rate`.

    Channels are averaged. A part equals the same samples of the whole, whatever the file's own rate.

    Parameters
    ----------
    path : path
    sample_rate : int
        The rate wanted, in Hz. The file may have any other.
    start : int
        First sample, at `sample_rate`.
    num_samples : int, optional
        How many, at `sample_rate`; to the end of the file if not given.

    Returns
    -------
    torch.Tensor, shape (num_samples,), float32
        In [-1, 1] for integer formats. Digital silence is legal audio and comes back as zeros.

    Raises
    ------
    AudioError
        As `info`; also if the part asked for is not inside the file, or holds NaN or infinite samples.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "noise.flac")
    >>> save(path, torch.rand(44_100), sample_rate=44_100)
    >>> whole = read(path, 16_000)
    >>> part = read(path, 16_000, start=4000, num_samples=8000)
    >>> whole.shape, bool(torch.allclose(part, whole[4000:12_000], atol=1e-4))
    (torch.Size([16000]), True)
    """
    _check_rate("sample_rate", sample_rate)
    for name, value in (("start", start), ("num_samples", num_samples)):
        if value is not None and not isinstance(value, int | np.integer):
            raise AudioError(f"{name} is a whole number of samples, got {value!r} (seconds? multiply by the rate)")
    with open_file(path) as file:
        total = target_length(file.frames, file.samplerate, sample_rate)
        if num_samples is None:
            num_samples = total - start
        if start < 0 or num_samples < 1 or start + num_samples > total:
            raise AudioError(
                f"{path}: samples {start} to {start + num_samples} asked for, but the file has {total} samples "
                f"({total / sample_rate:.2f} s) at {sample_rate} Hz. Ask for less. "
                "(Were seconds given where samples are expected?)"
            )
        first, last, offset = _source_range(file.samplerate, sample_rate, start, num_samples)
        waveform = read_mono(path, file, first, min(last, file.frames) - first)
        bad = waveform.size - np.isfinite(waveform).sum()
        if bad:
            raise AudioError(
                f"{path}: {bad} of {waveform.size} samples are NaN or infinite. "
                "The program that wrote it failed: render it again, or leave the file out."
            )
        waveform = _resample(waveform, file.samplerate, sample_rate)[offset : offset + num_samples]
    return torch.from_numpy(np.ascontiguousarray(waveform))


def blocks(path: str | os.PathLike, sample_rate: int) -> Iterator[torch.Tensor]:
    """Read a file from its beginning to its end in pieces: joined, they equal what `read` returns.

    The memory it takes does not grow with the length of the file.

    Parameters
    ----------
    path : path
    sample_rate : int
        The rate wanted, in Hz. The file may have any other.

    Returns
    -------
    iterator of torch.Tensor, shape (samples,), float32
        Some seconds each, of no fixed length.

    Raises
    ------
    AudioError
        As `read`. What the header gives away, and a file that was cut off, before the first piece; samples that
        are not finite when they are reached.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "noise.flac")
    >>> save(path, torch.rand(882_000), sample_rate=44_100)
    >>> pieces = [*blocks(path, 16_000)]
    >>> len(pieces) > 1, torch.equal(torch.cat(pieces), read(path, 16_000))
    (True, True)
    """
    _check_rate("sample_rate", sample_rate)
    from_rate, pieces = decode_in_pieces(path)
    return _resample_pieces(path, pieces, from_rate, sample_rate)


def resample(waveform: torch.Tensor | np.ndarray, from_rate: int, to_rate: int) -> torch.Tensor:
    """Band-limited resampling (soxr, high quality).

    Parameters
    ----------
    waveform : torch.Tensor or np.ndarray, shape (samples,)
    from_rate, to_rate : int
        In Hz.

    Returns
    -------
    torch.Tensor, shape (target_length(samples, from_rate, to_rate),), float32

    Raises
    ------
    AudioError
        If `waveform` is empty, not one-dimensional or not finite, or a rate is not a positive whole number.

    Examples
    --------
    >>> resample(torch.zeros(44_100), 44_100, 16_000).shape
    torch.Size([16000])
    """
    _check_rate("from_rate", from_rate)
    _check_rate("to_rate", to_rate)
    return torch.from_numpy(_resample(_check_waveform(waveform), from_rate, to_rate))


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
    _check_rate("sample_rate", sample_rate)
    samples = _check_waveform(waveform)
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
            soundfile.write(temporary, samples.clip(-1, 1), sample_rate, format=container, subtype=subtype)
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be written: {error.strerror}. Choose a folder you can write to."
        ) from None
    except (soundfile.LibsndfileError, ValueError):
        raise AudioError(
            f"{path}: {container} ({subtype}) cannot hold a rate of {sample_rate} Hz, or the disk is full. "
            "Resample first (48000, 44100 or 16000 Hz), or use .wav."
        ) from None


def _check_rate(name: str, rate: int) -> None:
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or not 1 <= rate <= MAX_RATE:
        raise AudioError(f"{name} must be a whole number of Hz from 1 to {MAX_RATE}, got {rate!r}")


def _check_waveform(waveform: torch.Tensor | np.ndarray) -> np.ndarray:
    samples = np.asarray(waveform.detach().cpu() if isinstance(waveform, torch.Tensor) else waveform, np.float32)
    if samples.ndim != 1 or not samples.size:
        raise AudioError(f"a waveform has the shape (samples,), one or more of them; got {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"{(~np.isfinite(samples)).sum()} of {samples.size} samples are NaN or infinite")
    return samples


def _source_range(from_rate: int, to_rate: int, start: int, num_samples: int) -> tuple[int, int, int]:
    """The source samples ``first`` to ``last`` needed, and where the part begins after resampling them.

    ``first`` falls where both rates have a sample, else the resampled part would be shifted by a fraction of one.
    """
    if from_rate == to_rate:
        return start, start + num_samples, 0
    common = math.gcd(from_rate, to_rate)
    from_period, to_period = from_rate // common, to_rate // common
    margin = math.ceil(_MARGIN * max(1, from_rate / to_rate))
    periods = max(start * from_rate // to_rate - margin, 0) // from_period
    last = target_length(start + num_samples, to_rate, from_rate) + margin
    return periods * from_period, last, start - periods * to_period


def _resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    if from_rate == to_rate:
        return samples
    # soxr rounds the length to the nearest; zeros at the end let it deliver one more.
    padded = np.pad(samples, (0, math.ceil(from_rate / to_rate)))
    return soxr.resample(padded, from_rate, to_rate, quality="HQ")[
        : target_length(samples.size, from_rate, to_rate)
    ]


def _resample_pieces(
    path: str | os.PathLike, pieces: Iterator[np.ndarray], from_rate: int, to_rate: int
) -> Iterator[torch.Tensor]:
    stream = None if from_rate == to_rate else soxr.ResampleStream(from_rate, to_rate, 1, quality="HQ")
    received = delivered = 0
    for piece in pieces:
        if not np.isfinite(piece).all():
            bad = np.flatnonzero(~np.isfinite(piece))
            raise AudioError(
                f"{path}: {bad.size} samples from {(received + bad[0]) / from_rate:.2f} s on are NaN or infinite. "
                "The program that wrote it failed: render it again, or leave the file out."
            )
        received += piece.size
        if stream:
            piece = stream.resample_chunk(piece)
            delivered += piece.size
        if piece.size:
            yield torch.from_numpy(piece)
    if not received:
        raise AudioError(f"{path}: has no samples. Export the recording again.")
    if stream:  # the end as in `_resample`
        rest = stream.resample_chunk(np.zeros(math.ceil(from_rate / to_rate), np.float32), last=True)
        yield torch.from_numpy(rest[: target_length(received, from_rate, to_rate) - delivered])
