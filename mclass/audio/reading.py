"""Read audio files: what they hold, all of it, a part of it, or one piece after another.

Taught in: 01_representations, 04_supervised.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from mclass.audio._decoding import Mixer
from mclass.audio._source import Source, check_length, describe_length, find_source, measure
from mclass.audio.resampling import check_rate, resample_array, resample_pieces, source_range, target_length
from mclass.errors import AudioError


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


def info(path: str | os.PathLike) -> AudioInfo:
    """Rate, length, channels and format of a file: how much `read` finds in it, whatever its header says.

    Where header and contents agree no more is decoded than the last sample; else the file is decoded once, and
    remembered for as long as the process runs. Damage in the middle of an ogg is noticed when it is read.
    `problem` looks at all of a file and says what is missing.

    Parameters
    ----------
    path : path

    Returns
    -------
    AudioInfo

    Raises
    ------
    AudioError
        If the file is missing, a folder, a pipe or a device, empty, without samples, not audio, or its rate is not
        between 1 kHz and 1 MHz.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass.audio import save
    >>> path = Path(tempfile.mkdtemp(), "silence.wav")
    >>> save(path, torch.zeros(8000), sample_rate=16_000)
    >>> info(path)
    AudioInfo(sample_rate=16000, num_samples=8000, channels=1, format='WAV', encoding='PCM_16')
    >>> info(path).seconds
    0.5
    """
    source = find_source(path, "end")
    kind = "MPEG4" if source.format.startswith("mov") else source.format.partition(",")[0].upper()
    return AudioInfo(source.sample_rate, source.num_samples, source.channels, kind, source.encoding)


def problem(path: str | os.PathLike) -> str:
    """What is missing from a file or wrong with it, in words; empty if nothing is.

    `read` and `blocks` say it as a warning; data sets leave such files out.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass.audio import save
    >>> path = Path(tempfile.mkdtemp(), "cut.wav")
    >>> save(path, torch.zeros(8000), sample_rate=16_000)
    >>> _ = path.write_bytes(path.read_bytes()[:8044])
    >>> problem(path)
    'is truncated or damaged: its header promises 0.50 s, 0.25 s of them can be read'
    """
    return find_source(path).problem


def too_long(info: AudioInfo) -> str:
    """Why a recording of this length is not read at once, in words; empty if it is.

    Examples
    --------
    >>> too_long(AudioInfo(16_000, 16_000 * 3600 * 100, 1, "FLAC", "PCM_16"))[:49]
    'has 100.0 hours, more than the 4 that are read at'
    """
    return describe_length(info.num_samples, info.sample_rate)


def read(
    path: str | os.PathLike, sample_rate: int, start: int = 0, num_samples: int | None = None
) -> torch.Tensor:
    """Read a file, or a part of it, as a mono waveform at `sample_rate`.

    Channels are averaged. A part equals the same samples of the whole, whatever the file's own rate. If some of
    what the header promises is not there, what is there is read, with a warning that says how much.

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
        As `info`, and for a flac that was cut off; also if the part asked for is not inside the file, is longer
        than the hours that the environment variable ``MCLASS_MAX_HOURS`` allows (4), holds
        samples that are NaN, infinite or above 2**31, or if the
        channels of the whole file cancel each other (of a part: a warning).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass.audio import save
    >>> path = Path(tempfile.mkdtemp(), "noise.flac")
    >>> save(path, torch.rand(44_100), sample_rate=44_100)
    >>> whole = read(path, 16_000)
    >>> part = read(path, 16_000, start=4000, num_samples=8000)
    >>> whole.shape, bool(torch.allclose(part, whole[4000:12_000], atol=1e-4))
    (torch.Size([16000]), True)
    """
    check_rate("sample_rate", sample_rate)
    for name, value in (("start", start), ("num_samples", num_samples)):
        if value is not None and not isinstance(value, int | np.integer):
            raise AudioError(f"{name} is a whole number of samples, got {value!r} (seconds? multiply by the rate)")
    asked = num_samples
    source = find_source(path, "everything" if asked is None else "header")
    total = target_length(source.num_samples, source.sample_rate, sample_rate)
    if num_samples is not None and start + num_samples > total:
        source = find_source(path)  # a header may promise less than there is
        total = target_length(source.num_samples, source.sample_rate, sample_rate)
    if num_samples is None:
        num_samples = total - start
    if start < 0 or num_samples < 1 or start + num_samples > total:
        lost = f" The file {source.problem}." if source.problem else ""
        raise AudioError(
            f"{path}: samples {start} to {start + num_samples} asked for, but the file has {total} samples "
            f"({total / sample_rate:.2f} s) at {sample_rate} Hz. Ask for less.{lost} "
            "(Were seconds given where samples are expected?)"
        )
    check_length(path, num_samples, sample_rate)
    mixer = Mixer(source.encoding)
    whole = num_samples == total
    try:
        if whole:
            pieces = [
                *resample_pieces(
                    _checked(source, _complete(source, 0, None, mixer)), source.sample_rate, sample_rate
                )
            ]
        else:
            pieces = [_part(source, sample_rate, start, num_samples, mixer)]
        waveform = torch.from_numpy(pieces[0] if len(pieces) == 1 else np.concatenate(pieces))
    except _ShortError:
        if measure(source) == source:
            raise AudioError(
                f"{path}: is damaged: it reads differently each time. Copy or download it again."
            ) from None
        return read(path, sample_rate, start, asked)
    except MemoryError:
        raise AudioError(
            f"{path}: {num_samples / sample_rate / 3600:.1f} hours do not fit into the memory that is left. "
            "Read a part of it."
        ) from None
    _warn(source, 3)
    if mixer.cancels:
        if whole:
            raise _cancelled(path)
        warnings.warn(f"{path}: {_CANCEL} in the part that was read", UserWarning, stacklevel=2)
    return waveform


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
        As `read`. What the header gives away before the first piece; samples that are not finite when they are
        reached; channels that cancel at the end.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass.audio import save
    >>> path = Path(tempfile.mkdtemp(), "noise.flac")
    >>> save(path, torch.rand(882_000), sample_rate=44_100)
    >>> pieces = [*blocks(path, 16_000)]
    >>> len(pieces) > 1, torch.equal(torch.cat(pieces), read(path, 16_000))
    (True, True)
    """
    check_rate("sample_rate", sample_rate)
    source = find_source(path)
    check_length(path, source.num_samples, source.sample_rate)
    _warn(source, 3)
    mixer = Mixer(source.encoding)

    def pieces() -> Iterator[torch.Tensor]:
        samples = _checked(source, _to_the_end(source, mixer), at_once=True)
        yield from map(torch.from_numpy, resample_pieces(samples, source.sample_rate, sample_rate))
        if mixer.cancels:
            raise _cancelled(path)
        if not source.problem and (found := find_source(path)).problem:
            _warn(found, 3)

    return pieces()


_LOUDEST = 2.0**31  # floats that hold integers of 32 bits as they are; beyond, a model computes with infinity
_CANCEL = (
    "the channels cancel each other (one is the negative of the other, a cable or a plug-in turned its phase): "
    "their mean is silence and rounding noise"
)


class _ShortError(Exception):
    """A file has less than it says."""


def _complete(source: Source, first: int, count: int | None, mixer: Mixer) -> Iterator[np.ndarray]:
    """`count` samples from `first` on, or an error if there are less."""
    missing = source.num_samples - first if count is None else count
    for piece in source.blocks(first, count, mixer):
        missing -= len(piece)
        yield piece
    if missing > 0:
        raise _ShortError


def _to_the_end(source: Source, mixer: Mixer) -> Iterator[np.ndarray]:
    """All samples of a file; where its decoder gives up, the other one goes on."""
    received = 0
    for piece in source.blocks(mixer=mixer):
        received += len(piece)
        yield piece
    if received < source.num_samples:
        found = measure(source)
        if found.sample_rate == source.sample_rate and found.num_samples > received:
            yield from found.blocks(received, mixer=mixer)


def _part(source: Source, sample_rate: int, start: int, num_samples: int, mixer: Mixer) -> np.ndarray:
    """A part at `sample_rate`, out of a little more at the file's own rate."""
    first, last, offset = source_range(source.sample_rate, sample_rate, start, num_samples)
    pieces = [*_complete(source, first, min(last, source.num_samples) - first, mixer)]
    samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    [samples] = _checked(source, iter([samples]))
    if source.damaged(first, last):  # what comes behind a page that is left out moves up
        raise _ShortError
    part = resample_array(samples, source.sample_rate, sample_rate)[offset : offset + num_samples]
    return np.ascontiguousarray(part)


def _checked(source: Source, pieces: Iterator[np.ndarray], at_once: bool = False) -> Iterator[np.ndarray]:
    """The pieces, none of them with samples that are NaN, infinite or absurd; `at_once`: without counting on."""
    received = 0
    for piece in pieces:
        if not _peak(piece) <= _LOUDEST:
            if at_once:
                where = f"from {(received + np.argmax(_unusable(piece))) / source.sample_rate:.2f} s on"
                raise _bad_samples(source.path, piece, f"samples {where}")
            received += len(piece)
            bad = [piece[_unusable(piece)]]
            for one in pieces:
                received += len(one)
                bad.append(one[_unusable(one)])
            raise _bad_samples(source.path, np.concatenate(bad), f"of {received} samples")
        received += len(piece)
        yield piece


def _peak(samples: np.ndarray) -> float:
    """The largest absolute value; NaN if there is one."""
    return max(abs(samples.max()), abs(samples.min())) if samples.size else 0.0


def _unusable(samples: np.ndarray) -> np.ndarray:
    return ~(np.abs(samples) <= _LOUDEST)


def _bad_samples(path: str | os.PathLike, samples: np.ndarray, of: str) -> AudioError:
    bad = samples[_unusable(samples)]
    what = (
        "NaN or infinite"
        if not np.isfinite(bad).all()
        else f"as large as {np.abs(bad).max():.0e}, 1 is full scale"
    )
    return AudioError(
        f"{path}: {bad.size} {of} are {what}. "
        "The program that wrote it failed: render it again, or leave the file out."
    )


def _cancelled(path: str | os.PathLike) -> AudioError:
    return AudioError(f"{path}: {_CANCEL}. Invert one channel, or keep only one.")


def _warn(source: Source, level: int) -> None:
    if source.problem:
        warnings.warn(f"{source.path}: {source.problem}", UserWarning, stacklevel=level)
