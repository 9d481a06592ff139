"""Open and decode audio files at their own rate: libsndfile, and ffmpeg for what it does not know."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from mclass import _containers
from mclass._files import user_path
from mclass.errors import AudioError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".m4a", ".aac")
MAX_RATE = 1_000_000

_BLOCK = 1 << 18  # frames decoded at once: bounds the memory that a long file, or one of many channels, takes
_FFMPEG_FAILED = "{}: ffmpeg cannot decode it; it is damaged or holds no audio. Export it again."


class Sequential(soundfile.SoundFile):
    """A file that is read on from where the last read ended.

    soundfile seeks after every read, to where the file stands anyway; that makes an mp3 decoder forget the bits it
    had stored, and spoils the next samples. It leaves files alone that say they cannot seek; `seek` still works.
    """

    constant_frame: int | None = None  # bytes of each frame of an mp3 of constant bit rate

    def seekable(self) -> bool:
        return False


def open_file(path: str | os.PathLike) -> Sequential:
    """Open a file for reading, or raise the one error that says what is wrong with it."""
    path = user_path(path)
    head, size = _read_head(path)
    _containers.check_complete(path, head)
    guess = _containers.looks_like(head)
    not_audio = (
        f"{path}: is not audio that can be decoded{guess}, or its header is damaged. "
        "Allowed: wav, flac, ogg, opus, mp3, aiff, m4a."
    )
    if guess:
        raise AudioError(not_audio)
    try:
        if _containers.needs_ffmpeg(head):
            return Sequential(io.BytesIO(_decode_with_ffmpeg(path, size, os.stat(path).st_mtime_ns)))
        counted, frame = _containers.read_mp3(path, head)
        file = Sequential(io.BytesIO(counted) if counted else _plain(path))
        file.constant_frame = frame
    except (soundfile.LibsndfileError, TypeError):
        raise AudioError(not_audio) from None
    if file.frames < 1 or file.frames > 1 << 48:
        problem = "has no samples" if file.frames < 1 else "does not say how long it is: its writing was cut off"
        file.close()
        raise AudioError(f"{path}: {problem}. Export the recording again.")
    if not 1 <= file.samplerate <= MAX_RATE:
        rate = file.samplerate
        file.close()
        raise AudioError(f"{path}: its header gives a sample rate of {rate} Hz. Export the recording again.")
    return file


def _plain(path: Path) -> str | bytes:
    """A path as soundfile takes it: where names of files are bytes, they need not be valid text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _read_head(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file and its size."""
    try:
        with open(path, "rb") as file:
            head, size = file.read(64), os.fstat(file.fileno()).st_size
    except IsADirectoryError:
        raise AudioError(
            f"{path}: is a folder. Give a file in it, or load it with mclass.datasets.load('folder', root=…)."
        ) from None
    except FileNotFoundError:
        if path.is_symlink():
            raise AudioError(
                f"{path}: is a link to {os.readlink(path)}, no such file. Is its disk connected?"
            ) from None
        raise AudioError(f"{path}: no such file{_guess(path)}. Check the path.") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}.") from None
    if not size:
        raise AudioError(f"{path}: the file is empty (0 bytes). Copy or download it again.") from None
    return head, size


def _guess(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (its folder {path.parent} does not exist either; the current folder is {Path.cwd()})"
    try:
        names = [name for name in os.listdir(path.parent) if name.lower().endswith(SUFFIXES)]
    except OSError:  # a folder may be entered and yet not be listed
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def read_mono(path: str | os.PathLike, file: Sequential, first: int, count: int) -> np.ndarray:
    """`count` samples from `first` at the file's own rate, channels averaged."""
    preroll = 0
    if file.format == "MP3":
        preroll = min(first, _mp3_preroll(file.samplerate, file.channels, file.constant_frame))
    elif file.subtype == "VORBIS" and first:
        preroll = first - min(first, max(_containers.vorbis_last_page(user_path(path)) - 1, 0))
    mono = np.empty(preroll + count, np.float32)
    done = 0
    for block in _decode(path, file, first - preroll, mono.size):
        mono[done : done + block.size] = block
        done += block.size
    return mono[preroll:]


def _mp3_preroll(rate: int, channels: int, frame: int | None = None) -> int:
    """How many samples before a seek's target must be decoded for the target to come out right.

    A frame may use bits stored up to 511 bytes earlier (255 at rates below 32 kHz). If the bit rate varies, that
    is many frames where the music is quiet and each has the lowest rate (ISO/IEC 11172-3 and 13818-3); if it is
    constant, `frame` says how many bytes each has.
    """
    if rate >= 32_000:
        store, samples, lowest, side_info = 511, 1152, 32_000, 17 if channels == 1 else 32
    else:
        store, samples, lowest, side_info = 255, 576, 8_000, 9 if channels == 1 else 17
    own = (frame or samples // 8 * lowest // rate) - 4 - side_info  # bytes that a frame adds to the store
    return samples * (store // max(own, 1) + 3)  # and the frames that overlap


def _decode(path: str | os.PathLike, file: Sequential, first: int, count: int) -> Iterator[np.ndarray]:
    """`count` samples from where a seek to `first` leads, channels averaged, in blocks."""
    weights = np.full(file.channels, 1 / file.channels, np.float32)  # much faster than mean(axis=1)
    with contextlib.suppress(soundfile.LibsndfileError):
        file.seek(first)
        while count:
            block = file.read(min(_BLOCK, count), dtype="float32", always_2d=True)
            if not len(block):
                break
            count -= len(block)
            yield block @ weights if file.channels > 1 else block[:, 0]
    if count:
        raise AudioError(
            f"{path}: is truncated or damaged: its header promises {file.frames} samples "
            f"({file.frames / file.samplerate:.2f} s), but they cannot all be read. Copy or download it again."
        )


def decode_in_pieces(path: str | os.PathLike) -> tuple[int, Iterator[np.ndarray]]:
    """The rate of a file, and all of its samples, channels averaged, some seconds at a time."""
    path = user_path(path)
    if _containers.needs_ffmpeg(_read_head(path)[0]):
        return _decode_while_ffmpeg_runs(path)
    file = open_file(path)
    try:
        read_mono(path, file, file.frames - 1, 1)  # a file that was cut off is refused before the work begins
    except AudioError:
        file.close()
        raise

    def pieces() -> Iterator[np.ndarray]:
        with file:
            yield from _decode(path, file, 0, file.frames)

    return file.samplerate, pieces()


@functools.lru_cache(maxsize=2)
def _decode_with_ffmpeg(path: Path, size: int, modified: int) -> bytes:
    """A file that libsndfile does not know, as the bytes of a wav. `size` and `modified` key the cache."""
    result = subprocess.run(_ffmpeg(path), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode or not result.stdout:
        raise AudioError(_FFMPEG_FAILED.format(path))
    return result.stdout


def _decode_while_ffmpeg_runs(path: Path) -> tuple[int, Iterator[np.ndarray]]:
    """`decode_in_pieces` for a file that libsndfile does not know."""
    process = subprocess.Popen(
        _ffmpeg(path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    rate, channels = _wav_header(process.stdout)

    def pieces() -> Iterator[np.ndarray]:
        weights = np.full(channels, 1 / channels, np.float32)
        with process:
            try:
                while data := process.stdout.read(_BLOCK * channels * 4):
                    samples = np.frombuffer(data, "<f4", count=len(data) // (4 * channels) * channels)
                    yield samples.astype(np.float32).reshape(-1, channels) @ weights
            finally:
                process.stdout.close()  # if nobody reads on, ffmpeg stops
            if process.wait():
                raise AudioError(_FFMPEG_FAILED.format(path))

    if not channels:
        process.communicate()
        raise AudioError(_FFMPEG_FAILED.format(path))
    return rate, pieces()


def _wav_header(stream: io.BufferedReader) -> tuple[int, int]:
    """Rate and channels of the wav in a pipe, which then stands at its first sample; zeros if it is no wav."""
    rate = channels = 0
    stream.read(12)  # RIFF, size, WAVE
    while len(head := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return rate, channels
        content = stream.read(length + length % 2)
        if name == b"fmt " and len(content) >= 8:
            channels, rate = struct.unpack_from("<HI", content, 2)
    return 0, 0


def _ffmpeg(path: Path) -> list[str]:
    """The command that prints a file as a wav of 32-bit floats."""
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
    return [program, "-v", "error", "-nostdin", "-i", str(path), "-vn", "-f", "wav", "-c:a", "pcm_f32le", "-"]
