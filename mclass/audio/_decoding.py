"""The two decoders, behind one interface: mono samples at the file's own rate, some seconds at a time.

libsndfile reads wav, flac, ogg, mp3 and aiff and jumps to any sample; ffmpeg (PyAV) reads what libsndfile does not
know or not read to its end, from the beginning on.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from mclass.errors import AudioError

RATES = (1_000, 1_000_000)  # Hz that are read and written: seconds of soxr's work per sample lie beyond

_BLOCK = 1 << 18  # frames decoded at once: bounds the memory that a long file takes
# What ffmpeg may take a file for: containers of sound. Playlists and scripts, which lead to other files, are not.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,mp3,mpc,mpc8,mpeg,"
    "mpegts,ogg,rm,tak,tta,voc,w64,wav,wv,xwma"
)
# A step of the coarser encodings, of 16 bits and finer: what channels leave at most when they cancel.
_STEPS = {"PCM_U8": 2.0**-7, "PCM_S8": 2.0**-7, "ULAW": 2.0**-7, "ALAW": 2.0**-7}
_STEP = 2.0**-15
_CANCELLED = 1e-3  # of the channels' level, -60 dB: lossy formats and dither leave that much


class Mixer:
    """Averages channels, and notices if they cancel: the mean of loud channels may be mere rounding noise."""

    def __init__(self, encoding: str = ""):
        self.step = _STEPS.get(encoding, _STEP)
        self.samples = 0
        self.power = self.mixed = 0.0  # sums of squares, in one channel and in the mean

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Mono samples of a block of shape ``(samples, channels)``."""
        channels = block.shape[1]
        if channels == 1:
            self.power = np.inf
            return block[:, 0]
        mono = block @ np.full(channels, 1 / channels, np.float32)  # much faster than mean(axis=1)
        flat = block.ravel()
        self.samples += len(mono)
        self.power += float(flat @ flat) / channels
        self.mixed += float(mono @ mono)
        return mono

    @property
    def cancels(self) -> bool:
        """Whether the mean of the channels heard so far has nothing of what was in them."""
        if not 0 < self.power < np.inf:
            return False
        level, left = (self.power / self.samples) ** 0.5, (self.mixed / self.samples) ** 0.5
        return left < _CANCELLED * level or (left < self.step and left < level / 4)


class _Sequential(soundfile.SoundFile):
    """A file that is read on from where the last read ended.

    soundfile seeks after every read, to where the file stands anyway; that makes an mp3 decoder forget the bits it
    had stored, and spoils the next samples. It leaves files alone that say they cannot seek; `seek` still works.
    """

    def seekable(self) -> bool:
        return False


class _Prefixed(io.RawIOBase):
    """A file with some bytes in front of it."""

    def __init__(self, path: Path, prefix: bytes):
        self.prefix, self.file, self.position = prefix, open(path, "rb"), 0  # noqa: SIM115
        self.size = len(prefix) + os.fstat(self.file.fileno()).st_size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, size: int = -1) -> bytes:
        size = self.size if size < 0 else size
        found = self.prefix[self.position : self.position + size]
        if len(found) < size:
            self.file.seek(max(self.position - len(self.prefix), 0))
            found += self.file.read(size - len(found))
        self.position += len(found)
        return found

    def readinto(self, buffer: memoryview) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self.file.close()
        super().close()


class _Patient(io.FileIO):
    """A file that ends where nothing came of the last 256 MB: zeros and noise may go on for terabytes."""

    idle = 0  # bytes since something was decoded

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where the file stands now; -1, the C library's word for no, at an offset that no file has."""
        try:
            return super().seek(offset, whence)
        except OSError:
            return -1

    def read(self, size: int = -1) -> bytes:
        found = super().read(size) if self.idle < 1 << 28 else b""
        self.idle += len(found)
        return found


class Sndfile:
    """A file opened by libsndfile.

    Raises
    ------
    AudioError
        If libsndfile does not know it; without a message.
    """

    def __init__(self, path: Path, prefix: bytes = b""):
        self.source = _Prefixed(path, prefix) if prefix else None
        # Where names of files are bytes, they need not be valid text.
        plain = str(path) if os.name == "nt" else os.fsencode(path)
        try:
            self.file = _Sequential(self.source or plain)
        except (soundfile.LibsndfileError, TypeError):
            if self.source:
                self.source.close()
            raise AudioError from None
        self.sample_rate, self.channels, self.num_samples = (
            self.file.samplerate,
            self.file.channels,
            self.file.frames,
        )
        self.format, self.encoding = self.file.format, self.file.subtype
        self.failed = False  # with an error, and not because the file ended
        self.notes: list[str] = []

    def blocks(self, first: int = 0, count: int | None = None, mixer: Mixer | None = None) -> Iterator[np.ndarray]:
        """At most `count` samples from where a seek to `first` leads, until the file ends or fails."""
        mixer = mixer or Mixer()
        most = max(1, min(_BLOCK, 2 * _BLOCK // self.channels))
        count = self.num_samples if count is None else count
        try:
            if first or self.format == "MP3":  # whose decoder rounds differently at first if it did not seek
                self.file.seek(first)
            while count > 0:
                block = self.file.read(min(most, count), dtype="float32", always_2d=True)
                if not len(block):
                    break
                count -= len(block)
                yield mixer(block)
        except (soundfile.LibsndfileError, RuntimeError):
            self.failed = True

    def close(self) -> None:
        self.file.close()
        if self.source:
            self.source.close()


class Ffmpeg:
    """A file opened by ffmpeg's libraries, which never learn its name: a name can be no address and no script.

    Raises
    ------
    AudioError
        If there is no sound that they know; without a message.
    """

    def __init__(self, path: Path, kind: str | None = None):
        self.source = _Patient(path)
        try:
            self.container = av.open(
                self.source, format=kind, metadata_errors="ignore", options={"format_whitelist": _DEMUXERS}
            )
            self.stream = self.container.streams.best("audio")
            context = self.stream.codec_context
            self.encoding = context.codec.name.upper()
            context.thread_count = 1  # the work is spread over files
            self.sample_rate, self.channels = context.sample_rate, context.channels
        except (av.FFmpegError, AttributeError, ValueError, LookupError):
            self.close()
            raise AudioError from None
        except OSError:  # of the disk
            self.close()
            raise
        self.format = self.container.format.name
        # Seconds that the container promises; elsewhere its number is a guess from the bit rate.
        exact = self.format.startswith(("mov", "matroska", "asf", "wv", "tta", "ape", "flac", "caf"))
        self.promised = (self.container.duration or 0) / av.time_base if exact else 0.0
        self.notes: list[str] = []
        self.decoded = self.damaged = 0  # frames, packets
        # Formats that are nothing but frames: almost any bytes look like one somewhere.
        self.bare = self.format.partition(",")[0] in ("mp3", "aac", "ac3", "eac3", "dts", "loas", "mpeg")
        if not self.sample_rate:  # a decoder may know it only after the first frame
            frame = next(self._frames(), None)
            self.container.seek(0)
            self.sample_rate = frame.sample_rate if frame else 0

    def end(self, near: int) -> float:
        """Where the sound ends, in seconds, found by decoding from about sample `near` on; 0 if that fails."""
        begin, seconds = None, 0.0
        if near > _BLOCK:
            try:
                self.container.seek(int(near / self.sample_rate / self.stream.time_base), stream=self.stream)
            except av.FFmpegError:
                return 0.0
        for frame in self._frames():
            if frame.pts is None:
                return 0.0
            begin = frame.pts * self.stream.time_base if begin is None else begin
            seconds += frame.samples / frame.sample_rate
        return float(begin or 0) + seconds

    def blocks(self, first: int = 0, count: int | None = None, mixer: Mixer | None = None) -> Iterator[np.ndarray]:
        """The samples from `first` on, decoded from the beginning of the file."""
        mixer, waiting, length = mixer or Mixer(self.encoding), [], 0
        end = None if count is None else first + count
        position = 0
        for piece in self._mono(mixer):
            position += len(piece)
            piece = piece[max(first - position + len(piece), 0) :]
            if end is not None and position > end:
                piece = piece[: max(len(piece) - (position - end), 0)]
            if len(piece):
                waiting.append(piece)
                length += len(piece)
            if length >= _BLOCK:
                yield np.concatenate(waiting)
                waiting, length = [], 0
            if end is not None and position >= end:
                break
        if waiting:
            yield np.concatenate(waiting)

    @property
    def convincing(self) -> bool:
        """Whether what was decoded is sound, and not something else that was taken for it."""
        return self.decoded > 0 and not (self.bare and self.damaged > self.decoded)

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Frames that can be decoded; those that cannot are passed over, as the program ffmpeg does."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged += packet.size > 0
                continue
            if frames:
                self.decoded += len(frames)
                self.source.idle = 0
            yield from frames

    def _mono(self, mixer: Mixer) -> Iterator[np.ndarray]:
        resampler, rate = None, self.sample_rate
        for frame in self._frames():
            if frame.samples == 0 or not RATES[0] <= frame.sample_rate <= RATES[1]:
                continue
            mono = mixer(_as_float(frame))
            channels = frame.layout.nb_channels
            if channels != self.channels:
                self.note(f"the number of channels changes from {self.channels} to {channels}")
            if frame.sample_rate != rate:
                if resampler:
                    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                rate, resampler = frame.sample_rate, None
                if rate != self.sample_rate:
                    self.note(f"the sample rate changes from {self.sample_rate} to {rate} Hz")
                    resampler = soxr.ResampleStream(rate, self.sample_rate, 1, quality="HQ")
            yield resampler.resample_chunk(mono) if resampler else mono
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def close(self) -> None:
        if hasattr(self, "container"):
            self.container.close()
        self.source.close()


def _as_float(frame: av.AudioFrame) -> np.ndarray:
    """Samples between -1 and 1, shape ``(samples, channels)``."""
    values, channels = frame.to_ndarray(), frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    return values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
