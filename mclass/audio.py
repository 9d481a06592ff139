"""Audio files in, mono float32 waveforms out: decode, mix down, resample, read a part, save.

`read` decodes only the part that is asked for, plus a margin that makes the part equal the same samples of the
whole file. wav, flac, ogg, opus, mp3 and aiff are decoded by libsndfile; m4a and aac need an ffmpeg program.

Conventions: ``start`` and ``num_samples`` count samples at the rate that is *asked for*, never at the file's.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import difflib
import functools
import io
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch

from mclass import _containers
from mclass._files import replacing
from mclass.errors import AudioError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".m4a", ".aac")

_MARGIN = 256  # samples at the lower of two rates: more than half the length of soxr's HQ filter
# An mp3 frame may use bits stored up to 511 bytes earlier, which is many frames where the music is quiet.
_MP3_PREROLL = 16 * 1152
_BLOCK = 1 << 18  # frames decoded at once: bounds the memory that a file of many channels takes
_MAX_RATE = 1_000_000


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
    with _open(path) as file:
        _read_mono(path, file, file.frames - 1, 1)
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
    with _open(path) as file:
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
        waveform = _read_mono(path, file, first, min(last, file.frames) - first)
        bad = waveform.size - np.isfinite(waveform).sum()
        if bad:
            raise AudioError(
                f"{path}: {bad} of {waveform.size} samples are NaN or infinite. "
                "The program that wrote it failed: render it again, or leave the file out."
            )
        waveform = _resample(waveform, file.samplerate, sample_rate)[offset : offset + num_samples]
    return torch.from_numpy(np.ascontiguousarray(waveform))


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
    path = Path(path).expanduser()
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
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or not 1 <= rate <= _MAX_RATE:
        raise AudioError(f"{name} must be a whole number of Hz from 1 to {_MAX_RATE}, got {rate!r}")


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


def _open(path: str | os.PathLike) -> soundfile.SoundFile:
    """Open a file for reading, or raise the one error that says what is wrong with it."""
    path = Path(path).expanduser()
    try:
        with open(path, "rb") as file:
            head, size = file.read(64), os.fstat(file.fileno()).st_size
    except IsADirectoryError:
        raise AudioError(
            f"{path}: is a folder. Give a file in it, or load it with mclass.datasets.load('folder', root=…)."
        ) from None
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file{_guess(path)}. Check the path.") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}.") from None
    if not size:
        raise AudioError(f"{path}: the file is empty (0 bytes). Copy or download it again.") from None
    _containers.check_complete(path, head)
    not_audio = (
        f"{path}: is not audio that can be decoded{_containers.looks_like(head)}, or its header is damaged. "
        "Allowed: wav, flac, ogg, opus, mp3, aiff, m4a."
    )
    if _containers.looks_like(head):
        raise AudioError(not_audio)
    try:
        if _containers.needs_ffmpeg(head):
            return soundfile.SoundFile(io.BytesIO(_decode_with_ffmpeg(path, size, os.stat(path).st_mtime_ns)))
        counted = _containers.mp3_with_length(path, head)
        file = soundfile.SoundFile(io.BytesIO(counted) if counted else path)
    except (soundfile.LibsndfileError, TypeError):
        raise AudioError(not_audio) from None
    if file.frames < 1 or file.frames > 1 << 48:
        problem = "has no samples" if file.frames < 1 else "does not say how long it is: its writing was cut off"
        file.close()
        raise AudioError(f"{path}: {problem}. Export the recording again.")
    if not 1 <= file.samplerate <= _MAX_RATE:
        rate = file.samplerate
        file.close()
        raise AudioError(f"{path}: its header gives a sample rate of {rate} Hz. Export the recording again.")
    return file


def _guess(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (its folder {path.parent} does not exist either; the current folder is {Path.cwd()})"
    try:
        names = [name for name in os.listdir(path.parent) if name.lower().endswith(SUFFIXES)]
    except OSError:  # a folder may be entered and yet not be listed
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _read_mono(path: str | os.PathLike, file: soundfile.SoundFile, first: int, count: int) -> np.ndarray:
    """`count` samples from `first` at the file's own rate, channels averaged."""
    preroll = 0
    if file.format == "MP3":
        preroll = min(first, _MP3_PREROLL)
    elif file.subtype == "VORBIS" and first:
        preroll = first - min(first, max(_containers.vorbis_last_page(Path(path).expanduser()) - 1, 0))
    mono = np.empty(preroll + count, np.float32)
    # soundfile seeks after every read, and a seek makes an mp3 decoder forget stored bits: read mp3 in one go.
    size = mono.size if file.format == "MP3" else _BLOCK
    weights = np.full(file.channels, 1 / file.channels, np.float32)  # much faster than mean(axis=1)
    done = 0
    try:
        file.seek(first - preroll)
        while done < mono.size:
            block = file.read(min(size, mono.size - done), dtype="float32", always_2d=True)
            if not len(block):
                break
            mono[done : done + len(block)] = block @ weights
            done += len(block)
    except soundfile.LibsndfileError:
        pass
    if done < mono.size:
        raise AudioError(
            f"{path}: is truncated or damaged: its header promises {file.frames} samples "
            f"({file.frames / file.samplerate:.2f} s), but they cannot all be read. Copy or download it again."
        )
    return mono[preroll:]


@functools.lru_cache(maxsize=2)
def _decode_with_ffmpeg(path: Path, size: int, modified: int) -> bytes:
    """A file that libsndfile does not know, as the bytes of a wav. `size` and `modified` key the cache."""
    program = shutil.which("ffmpeg")
    if program is None:
        try:
            import imageio_ffmpeg

            program = imageio_ffmpeg.get_ffmpeg_exe()
        except (ImportError, RuntimeError):
            raise AudioError(
                f"{path}: m4a/aac needs the program ffmpeg, which was not found. Install it (with the system's "
                "package manager, or `pip install imageio-ffmpeg`), or convert the file to flac or mp3."
            ) from None
    command = [program, "-v", "error", "-nostdin", "-i", str(path), "-vn", "-f", "wav", "-c:a", "pcm_f32le", "-"]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode or not result.stdout:
        raise AudioError(f"{path}: ffmpeg cannot decode it; it is damaged or holds no audio. Export it again.")
    return result.stdout
