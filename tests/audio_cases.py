"""Hundreds of small audio files, whole and mutated, and how libsndfile and ffmpeg read them without our help.

``python tests/audio_cases.py FOLDER`` makes and reads them; it prints a line of JSON before and after each file,
so that one knows which file ended the process; a file that never ends, ends it, too.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

FORMATS = {  # suffix -> how soundfile writes it, rate, seconds: enough for several pages of an ogg
    "wav": ({"subtype": "PCM_16"}, 16_000, 0.6),
    "flac": ({}, 16_000, 0.9),
    "mp3": ({"bitrate_mode": "CONSTANT", "compression_level": 0.7}, 22_050, 0.9),
    "vbr.mp3": ({"bitrate_mode": "VARIABLE", "compression_level": 0.4}, 44_100, 0.9),
    "ogg": ({}, 16_000, 2.5),
    "opus": ({"format": "OGG", "subtype": "OPUS"}, 16_000, 2.5),
    "aiff": ({}, 16_000, 0.6),
    "au": ({}, 16_000, 0.6),
}
# Seconds by which decoders differ on whole files: an mp3 without LAME's tag begins with the silence of encoder
# and decoder, of which libsndfile cuts 529 samples off if it is told the number of frames; the last block of ogg.
SLACK = {"mp3": 1152 / 22_050, "ogg": 512 / 16_000}
STALLED = 100  # seconds for a file of one or two
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
ID3V2 = b"ID3\x03\0\0\0\0\x02\x00" + bytes(256)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0x80000000) + bytes(8)
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.0.1 xx\0"


def sound(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """Tone and noise, shape (samples, channels): never silent, so that a shift is seen."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=t.size)
    mono = 0.3 * np.sin(2 * np.pi * (200 + 50 * seed % 400) * t) + 0.1 * noise
    return np.stack([mono * (1 - 0.2 * channel) for channel in range(channels)], axis=1)


def write(path: Path, suffix: str, samples: np.ndarray) -> bytes:
    options, rate, _ = FORMATS[suffix]
    soundfile.write(path, samples, rate, **options)
    return path.read_bytes()


def mutations(suffix: str, data: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Kind -> contents. The first is the file as it is."""
    yield "whole", data
    size = len(data)
    for share in (0.3, 0.6, 0.9):
        yield f"cut {share}", data[: int(size * share)]
    yield "without its last byte", data[:-1]
    junk = rng.bytes(500)
    for name, extra in (("ID3v1", ID3V1), ("zeros", bytes(700)), ("junk", junk), ("APE", APE), ("itself", data)):
        yield f"{name} behind", data + extra
    for name, extra in (("ID3v2", ID3V2), ("zeros", bytes(417)), ("junk", junk[:100])):
        yield f"{name} in front", extra + data
    middle = size // 2
    for name, extra in (("ID3v1", ID3V1), ("zeros", bytes(300)), ("junk", junk[:70])):
        yield f"{name} in the middle", data[:middle] + extra + data[middle:]
    yield "a hole", data[:middle] + data[middle + 200 :]
    yield "200 bytes changed", data[:middle] + rng.bytes(200) + data[middle + 200 :]
    for number in range(4):
        at = int(rng.integers(12, size))
        yield f"a byte changed ({number})", data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
    for number in range(4):  # in the header
        at = int(rng.integers(4, 60))
        yield f"a byte of the header changed ({number})", data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
    for name, change in _OF[suffix.rpartition(".")[2]].items():
        yield name, change(data)


def _put(layout: str, at: int, value: int) -> Callable[[bytes], bytes]:
    """Write one number over another."""
    return lambda data: data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]


def _chunk(name: bytes, layout: str, value: int, offset: int = 4) -> Callable[[bytes], bytes]:
    """`_put`, at a distance from a name."""
    return lambda data: _put(layout, data.index(name) + offset, value)(data)


def _xing(data: bytes) -> int:
    return max(data.find(b"Xing"), data.find(b"Info"))


def _frames(more: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = _xing(data) + 8
        return _put(">I", at, max(struct.unpack(">I", data[at : at + 4])[0] + more, 0) % 2**32)(data)

    return change


def _bare(data: bytes) -> bytes:
    return data[data.index(data[:2], 4) :]


def _flac_total(value: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        packed = struct.unpack(">Q", data[18:26])[0] >> 36 << 36 | value
        return data[:18] + struct.pack(">Q", packed) + data[26:]

    return change


def _pages(data: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(data):
        segments = data[position + 26]
        end = position + 27 + segments + sum(data[position + 27 : position + 27 + segments])
        found.append(data[position:end])
        position = end
    return found


def _signed(page: bytes) -> bytes:
    """A page of ogg with its checksum (CRC-32 without reflection, as a table of one line)."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = crc << 8 & 0xFFFFFFFF ^ _CRC[crc >> 24 ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def _crc_row(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = (value << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if value >> 31 else value << 1
    return value


_CRC = [_crc_row(value) for value in range(256)]


def _last_granule(value: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        *pages, last = _pages(data)
        return b"".join(pages) + _signed(last[:6] + struct.pack("<q", value) + last[14:])

    return change


def _chained(data: bytes) -> bytes:
    other = [_signed(page[:14] + struct.pack("<I", zlib.crc32(b"other")) + page[18:]) for page in _pages(data)]
    return data + b"".join(other)


def _without_end(data: bytes) -> bytes:
    *pages, last = _pages(data)
    return b"".join(pages) + _signed(last[:5] + bytes([last[5] & ~4]) + last[6:])


_WAV = {
    **{f"data of {n} bytes": _put("<I", 40, n) for n in (0, 1, 999, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)},
    **{f"RIFF of {n} bytes": _put("<I", 4, n) for n in (0, 0xFFFFFFFF)},
    "from a pipe": lambda data: _put("<I", 4, 0xFFFFFFFF)(_put("<I", 40, 0xFFFFFFFF)(data)),
    "never finished": lambda data: _put("<I", 4, 0)(_put("<I", 40, 0)(data)),
    "LIST before fmt": lambda data: data[:12] + LIST + data[12:],
    "odd chunk before data": lambda data: data[:36] + b"abcd" + struct.pack("<I", 3) + b"xyz\0" + data[36:],
    "chunks behind": lambda data: data + LIST,
    **{f"block align {n}": _put("<H", 32, n) for n in (0, 1, 100)},
    "byte rate 0": _put("<I", 28, 0),
    **{f"{n} bits": _put("<H", 34, n) for n in (0, 15, 24)},
    **{f"{n} channels": _put("<H", 22, n) for n in (0, 3, 65535)},
}
_MP3 = {
    **{f"{n:+} frames": _frames(n) for n in (-10, -1, 1, 2, 1000)},
    "0 frames": _frames(-(2**31)),
    "no number of frames": lambda data: data[: _xing(data) + 4] + bytes(8) + data[_xing(data) + 12 :],
    "bare": _bare,
    "bare, twice": lambda data: _bare(data) * 2,
    "bare, ID3v1, bare": lambda data: _bare(data) + ID3V1 + _bare(data),
    "bare, ID3v2, bare": lambda data: _bare(data) + ID3V2 + _bare(data),
    "bare, APE, bare": lambda data: _bare(data) + APE + _bare(data),
    "begins inside a frame": lambda data: _bare(data)[100:],
    "bare, zeros in front": lambda data: bytes(417) + _bare(data),
    "bare, many zeros between": lambda data: _bare(data) + bytes(5000) + _bare(data),
}
_OGG = {
    **{f"last granule {n}": _last_granule(n) for n in (-1, 0, 100, 10**6, 2**40)},
    "chained": _chained,
    "no last page": lambda data: b"".join(_pages(data)[:-1]),
    "no end": _without_end,
    "first page of sound missing": lambda data: b"".join(_pages(data)[:2] + _pages(data)[3:]),
}
_OF = {
    "wav": _WAV,
    "mp3": _MP3,
    "ogg": _OGG,
    "opus": _OGG,
    "flac": {
        **{f"{n} samples": _flac_total(n) for n in (0, 1, 4000, 20_000, 2**36 - 1)},
        "no MD5": lambda data: data[:26] + bytes(16) + data[42:],
    },
    "aiff": {
        **{f"SSND of {n} bytes": _chunk(b"SSND", ">I", n) for n in (0, 8, 1000, 0xFFFFFFFF)},
        **{f"{n} frames": _chunk(b"COMM", ">I", n, 10) for n in (0, 100, 10**6, 0xFFFFFFFF)},
        **{f"FORM of {n} bytes": _put(">I", 4, n) for n in (0, 0xFFFFFFFF)},
    },
    "au": {f"data of {n} bytes": _put(">I", 8, n) for n in (0, 1000, 10**6, 0x7FFFFFFF, 0xFFFFFFFF)},
}


def by_libsndfile(path: Path) -> tuple[np.ndarray, int] | None:
    """Mono samples and rate; None where it refuses the file."""
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(min(file.frames, 10**6), dtype="float32", always_2d=True)
            return samples.mean(axis=1), file.samplerate
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError, MemoryError):
        return None


def by_ffmpeg(path: Path) -> tuple[np.ndarray, int] | None:
    """The same, of what can be decoded, as the program ffmpeg does."""
    pieces, rate = [], 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                try:
                    for frame in packet.decode():
                        resampled = av.AudioResampler("fltp", frame.layout, frame.sample_rate).resample(frame)
                        pieces += [one.to_ndarray().mean(axis=0) for one in resampled]
                        rate = rate or frame.sample_rate
                except av.FFmpegError:
                    continue
    except (av.FFmpegError, IndexError, ValueError):
        pass
    except AttributeError:  # no decoder
        return None
    return (np.concatenate(pieces), rate) if pieces else None


def by_us(path: Path) -> tuple[np.ndarray | None, int, str, str]:
    """Samples, rate, the warning and the error."""
    from mclass import audio
    from mclass.errors import AudioError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rate = audio.info(path).sample_rate
            samples = audio.read(path, rate).numpy()
        except AudioError as error:
            return None, 0, "", str(error)
    return samples, rate, "; ".join(str(one.message) for one in caught), ""


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two waveforms, one of which may be some frames late."""
    n = min(len(one), len(other), 1 << 15)
    product = np.fft.irfft(np.fft.rfft(one[:n], 2 * n) * np.fft.rfft(other[:n], 2 * n).conj(), 2 * n)
    late = int((np.argmax(product) + n) % (2 * n)) - n
    a, b = one[max(late, 0) : n + min(late, 0)], other[max(-late, 0) : n + min(-late, 0)]
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9)) if abs(late) < n // 2 else 0.0


def part_equals(path: Path, whole: np.ndarray, rate: int) -> bool:
    """Whether a part, read on its own, equals the same samples of the whole."""
    from mclass import audio

    start = len(whole) * 2 // 5
    count = max(len(whole) // 5, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = audio.read(path, rate, start, count).numpy()
    return np.allclose(part, whole[start : start + count], atol=1e-4)


def cases(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Format, kind and path of each file, which is there until the next one is asked for."""
    rng = np.random.default_rng(16)
    for suffix, channels in itertools.product(FORMATS, (1, 2)):
        _, rate, seconds = FORMATS[suffix]
        data = write(folder / f"sound.{suffix}", suffix, sound(seconds, rate, channels, channels))
        for number, (kind, content) in enumerate(mutations(suffix, data, rng)):
            path = folder / f"{channels}-{number}.{suffix.rpartition('.')[2]}"
            path.write_bytes(content)
            yield suffix, f"{kind}, {channels} channels", path
            path.unlink()


def compare(suffix: str, kind: str, path: Path) -> dict:
    """What the three make of a file."""
    theirs = [by_libsndfile(path), by_ffmpeg(path)]
    lengths = [len(one[0]) / one[1] if one and one[1] and len(one[0]) else 0.0 for one in theirs]
    ours, rate, warning, error = by_us(path)
    row = {"format": suffix, "kind": kind, "libsndfile": lengths[0], "ffmpeg": lengths[1]}
    row |= {"ours": 0.0 if ours is None else len(ours) / rate, "warning": warning, "error": error}
    row["part"] = ours is None or part_equals(path, ours, rate)
    row["finite"] = ours is None or bool(np.isfinite(ours).all())
    if ours is not None and all(lengths) and theirs[0][1] == theirs[1][1] == rate:
        row["they agree"], row["we agree"] = alike(theirs[0][0], theirs[1][0]), alike(ours, theirs[0][0])
    return row


if __name__ == "__main__":
    for suffix, kind, path in cases(Path(sys.argv[1])):
        faulthandler.dump_traceback_later(STALLED, exit=True)  # whatever holds the interpreter
        print(json.dumps({"begins": f"{suffix}: {kind}"}), flush=True)
        print(json.dumps(compare(suffix, kind, path)), flush=True)
