"""What no decoder says about a file: how much audio its header promises, and whether pages are missing.

Each function looks at a few bytes of the container and decodes nothing. libsndfile and ffmpeg read a file that was
cut off without a word, and what neither of them promises cannot be missed.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe put a number about this large, or larger
_FAR = 1 << 26  # bytes behind a page in which another is looked for


class Samples(NamedTuple):
    """Where the uncompressed samples of a file begin, how many bytes the header promises (0: it does not say), and
    how many follow that are no part of the container."""

    start: int
    promised: int
    stray: int

    def missing(self, size: int) -> int:
        return max(self.start + self.promised - size, 0) if self.promised else 0


def find_samples(data: mmap.mmap) -> Samples | None:
    """The samples of a wav (RIFF, RF64, W64), aiff, au or caf; None if it is none of these."""
    magic = data[:4]
    if magic in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return _chunks(data, 12, "<4sI", b"data")
    if magic == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _chunks(data, 12, ">4sI", b"SSND")
    if magic == b"riff" and len(data) > 40:
        return _chunks(data, 40, "<4s12xQ", b"data")
    if magic == b"caff":
        return _chunks(data, 8, ">4sQ", b"data")
    if magic == b".snd" and len(data) >= 12:
        start, promised = struct.unpack(">II", data[4:12])
        promised = 0 if promised >= _UNKNOWN_SIZE else promised
        return Samples(start, promised, max(len(data) - start - promised, 0) if promised else 0)
    return None


def _chunks(data: mmap.mmap, position: int, layout: str, wanted: bytes) -> Samples | None:
    """Walk over the chunks of a file to the one with the samples, and to the one behind it."""
    width = struct.calcsize(layout)
    inside = width if layout.endswith("xQ") else 0  # W64 counts the head of a chunk, too
    even = 8 if inside else 2 if layout.endswith("I") else 1
    long_size = 0
    while position + width <= len(data):
        name, length = struct.unpack(layout, data[position : position + width])
        begin, length = position + width, length - inside
        if name == b"ds64":  # of RF64, whose own sizes have too few bits
            long_size = int.from_bytes(data[begin + 8 : begin + 16], "little")
        if name == wanted:
            if length == 0xFFFFFFFF and long_size:
                length = long_size
            elif length <= 0 or length >= (_UNKNOWN_SIZE if even == 2 else 1 << 62):
                return Samples(begin, 0, 0)
            return Samples(begin, length, _stray(data, begin + length, even))
        position = begin + length + -length % even
        if length < 0:
            break
    return None


def _stray(data: mmap.mmap, end: int, even: int) -> int:
    """How many bytes follow the samples, if what follows is no chunk and not zeros."""
    for position in {end, end + -end % even}:
        name = data[position : position + 4]
        if len(name) < 4 or not any(name) or all(32 <= byte < 127 for byte in name):
            return 0
    return max(len(data) - end, 0)


def holds(path: Path, wanted: bytes, start: int) -> bool:
    """Whether some bytes occur in a file, from `start` on. What is read and not mapped takes no memory."""
    with open(path, "rb") as file:
        file.seek(start)
        tail = b""
        while block := file.read(1 << 20):
            if wanted in tail + block:
                return True
            tail = block[1 - len(wanted) :]
    return False


class Pages(NamedTuple):
    """The pages of an ogg: whether they are one whole stream, what is wrong if not, and the number of the first
    sample in the last page."""

    problem: str
    single: bool
    last_page: int


def find_pages(data: mmap.mmap, checksums: bool = False) -> Pages:
    """Walk over the pages of an ogg file; `checksums`: also look whether each is what was written.

    A seek straight into the last page of ogg/vorbis ends up in the wrong place: libvorbis counts back from the end
    of the page, which is not the end of the sound. A seek to an earlier sample is exact, and so is reading on.
    """
    position, expected, granule, highest, last_page = 0, None, 0, 0, 0
    begins, serials, ended, gap, backwards = 0, set(), False, False, False
    while data[position : position + 4] == b"OggS" and position + 27 <= len(data):
        last_page = max(granule, 0)
        flags, granule, serial, number, segments = struct.unpack("<BqII4xB", data[position + 5 : position + 27])
        size = 27 + segments + sum(data[position + 27 : position + 27 + segments])
        if position + size > len(data):
            ended = False
            break
        begins, ended = begins + (flags >> 1 & 1), bool(flags & 4)
        serials.add(serial)
        gap |= expected is not None and number != expected and not flags & 2
        expected = number + 1
        if granule >= 0:  # -1: no packet ends on this page
            backwards |= granule < highest
            highest = granule
        position += size
    stray = data.find(b"OggS", position + 1, position + _FAR) >= 0
    problem = (
        "pages are missing or damaged"
        if gap or (checksums and has_damage(data))
        else ""
        if ended or stray
        else "the stream has no last page"
    )
    single = begins == 1 and len(serials) == 1 and granule >= 0 and not (stray or backwards)
    return Pages(problem, single, last_page)


def has_damage(data: mmap.mmap, first: int = 0, last: int | None = None) -> bool:
    """Whether a page of an ogg is not what was written: of all, or of those with the samples `first` to `last`.

    A decoder leaves such a page out without a word, and goes on with the next.
    """
    position, low, high = 0, 0, len(data)
    while first and high - low > _NEAR:  # pages tell the number of a sample, not where in the file it is
        middle = (low + high) // 2
        page = data.find(b"OggS", middle, high)
        if page < 0 or _granule(data, page) >= first:
            high = middle
        else:
            position = low = page
    while data[position : position + 4] == b"OggS" and position + 27 <= len(data):
        segments = data[position + 26]
        size = 27 + segments + sum(data[position + 27 : position + 27 + segments])
        if position + size > len(data):
            break
        if _checksum(data[position : position + size]) != data[position + 22 : position + 26]:
            return True
        if last is not None and _granule(data, position) > last:
            break
        position += size
    return False


_NEAR = 1 << 15  # bytes that are checked rather than halved


def _granule(data: mmap.mmap, page: int) -> int:
    """The number of the first sample behind a page."""
    return int.from_bytes(data[page + 6 : page + 14], "little", signed=True)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> bytes:
    """The CRC-32 of an ogg page: zlib's, but for the order of bits, the start and the end."""
    page = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)
