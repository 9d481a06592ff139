"""The frames of an mp3, counted: no decoder says how many there are, and whether they follow without a gap.

ISO/IEC 11172-3 and 13818-3, layer III.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

_BITRATES = {  # kbit/s by index
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_FAR = 1 << 26  # bytes of zeros after which nothing is looked for
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class Header(NamedTuple):
    """What the four bytes of a frame's header say: length with and without padding, what stream it is of."""

    length: int
    unpadded: int
    side_info: int
    stream: tuple[int, int, bool]  # version, rate, mono: what may not change from frame to frame


class Frames(NamedTuple):
    """The frames of an mp3.

    `regular`: the same kind of frame from the first to the last, no gap, nothing but tags around them, and as
    many as the file says, if it does. `promised`: how many it says. `tag`: a frame to put in front of a file that
    does not say it; without, a decoder guesses the length from the first bit rate. `preroll`: how many samples
    before the target of a seek must be decoded for the target to come out right.
    """

    regular: bool
    promised: int
    count: int
    tag: bytes
    preroll: int
    samples: int  # in each frame


def is_mp3(head: bytes) -> bool:
    """Whether a file begins as an mp3 does: with a tag or a frame."""
    return head[:3] == b"ID3" or parse(head[:4]) is not None


def parse(header: bytes) -> Header | None:
    """The frame of layer III that begins with these four bytes, if one does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    first, mono = version == 3, header[3] >> 6 == 3
    length = (144 if first else 72) * 1000 * _BITRATES[first][bitrate] // _RATES[version][rate]
    side_info = (17 if mono else 32) if first else (9 if mono else 17)
    return Header(length + (header[2] >> 1 & 1), length, side_info, (version, rate, mono))


def find_frames(data: mmap.mmap) -> Frames | None:
    """Walk through an mp3 from its first frame; None if there is no frame where the tags in front end."""
    start = _after_id3(data, 0)
    first = parse(data[start : start + 4])
    if first is None:
        return None
    offset = start + 4 + first.side_info
    kind, promised, position = data[offset : offset + 4], 0, start
    if kind in (b"Xing", b"Info"):
        flags, number = struct.unpack(">II", data[offset + 4 : offset + 12].ljust(8, b"\0"))
        promised, position = number if flags & 1 else 0, start + first.length
    elif data[start + 36 : start + 40] == b"VBRI":
        promised, position = int.from_bytes(data[start + 50 : start + 54]), start + first.length
    told, count, smallest = position > start, 0, first.unpadded
    known: dict[bytes, int] = {}  # few headers differ
    while True:
        header = data[position : position + 4]
        length = known.get(header)
        if length is None:
            frame = parse(header)
            if frame is None or frame.stream != first.stream:
                break
            known[header] = length = frame.length
            smallest = frame.unpadded if not count else min(smallest, frame.unpadded)
        position += length
        count += 1
    complete = position <= len(data) and _only_tags(data, position)
    tag = bytearray(first.length)
    tag[:4] = data[start : start + 4]
    tag[1] |= 1  # no checksum
    at = 4 + first.side_info
    tag[at : at + 12] = b"Xing" + struct.pack(">II", 1, count)
    mpeg1 = first.stream[0] == 3
    samples = 1152 if mpeg1 else 576
    # A frame may use bits stored up to so many bytes earlier: each frame adds what its header does not take.
    own = smallest - 4 - first.side_info
    preroll = samples * ((511 if mpeg1 else 255) // max(own, 1) + 3)  # and the frames that overlap
    regular = complete and bool(count) and (not told or promised == count)
    return Frames(regular, promised, count, b"" if told else bytes(tag[: first.length]), preroll, samples)


def _after_id3(data: mmap.mmap, start: int) -> int:
    while data[start : start + 3] == b"ID3" and start + 10 <= len(data):  # four times seven bits of length
        size = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data[start + 6 : start + 10]))
        start += 10 + size + (10 if data[start + 5] & 0x10 else 0)
    return start


def _only_tags(data: mmap.mmap, position: int) -> bool:
    """Whether nothing but tags and zeros follows."""
    while position < len(data):
        if data[position : position + 3] == b"TAG" and position + 128 <= len(data):
            position += 128
        elif data[position : position + 8] == b"APETAGEX" and position + 32 <= len(data):
            size, _, flags = struct.unpack("<III", data[position + 12 : position + 24])
            position += size + (32 if flags >> 31 else 0)
        elif data[position : position + 11] == b"LYRICSBEGIN" and (end := data.find(b"LYRICS200", position)) > 0:
            position = end + 9
        elif (after := _after_id3(data, position)) > position:
            position = after
        else:
            steps = range(position, min(len(data), position + _FAR), 1 << 20)
            return not any(data[step : step + (1 << 20)].strip(b"\0") for step in steps)
    return True
