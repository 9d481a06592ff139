"""What libsndfile does not say about a file: whether it was cut off, how long a bare mp3 is, what it is instead.

Each function looks at a few bytes of the container and decodes nothing.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from mclass.errors import AudioError

_UNKNOWN_SIZE = 0x7FFF0000  # programs that write wav to a pipe put a number about this large, or larger


def check_complete(path: Path, head: bytes) -> None:
    """Raise AudioError if a wav is shorter than its header promises, or an ogg has no last page.

    libsndfile reads such files without a word. Cut flac and mp3 files fail when their end is read.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        missing = _missing_in_wav(path)
        if missing:
            raise AudioError(
                f"{path}: is truncated: its header promises {missing} bytes more than there are. "
                "Copy or download it again."
            )
    elif head[:4] == b"OggS" and not _has_last_page(path):
        raise AudioError(f"{path}: is truncated: the stream has no last page. Copy or download it again.")


def _missing_in_wav(path: Path) -> int:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        position = 12
        while position + 8 <= size:
            file.seek(position)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                return max(position + 8 + length - size, 0) if length < _UNKNOWN_SIZE else 0
            position += 8 + length + length % 2
    return 0


def _tail(path: Path) -> bytes:
    """The last two pages of an ogg, and perhaps more."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        for length in (16_384, 2 * 65_536):  # usually enough; the longest page has 65,307 bytes
            file.seek(max(size - length, 0))
            tail = file.read()
            if tail.count(b"OggS") > 1:
                break
        return tail


def _has_last_page(path: Path) -> bool:
    tail = _tail(path)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    is_last = page[5] & 4
    return bool(is_last) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def vorbis_last_page(path: Path) -> int:
    """Number of the first sample in the last page of an ogg/vorbis file (0 if it is not found).

    A seek straight into that page ends up in the wrong place: libvorbis counts back from the end of the page,
    which is not the end of the sound. A seek to an earlier sample is exact, and so is reading on from there.
    """
    tail = _tail(path)
    before = tail.rfind(b"OggS", 0, max(tail.rfind(b"OggS"), 0))
    return max(struct.unpack_from("<q", tail, before + 6)[0], 0) if before >= 0 else 0


def needs_ffmpeg(head: bytes) -> bool:
    """Whether this is MPEG-4 (m4a, mp4, mov) or bare AAC, which libsndfile does not decode."""
    is_adts = len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0  # sync word, layer bits 00
    return head[4:8] == b"ftyp" or is_adts


def looks_like(head: bytes) -> str:
    """A guess at what a file is that is not audio, as words to put into a message."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return " (it looks like a web page: the download failed?)"
    if start.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: run `git lfs pull`)"
    if head.isascii() and not any(byte < 9 for byte in head):
        return " (it looks like text)"
    return ""


# Frame headers of MPEG audio, layer III (ISO/IEC 11172-3 and 13818-3): kbit/s and Hz by index.
_BITRATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame(header: bytes) -> tuple[int, int] | None:
    """Length in bytes of the layer III frame that begins with these four bytes, and where its data begins."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    first, mono = version == 3, header[3] >> 6 == 3
    length = (144 if first else 72) * 1000 * _BITRATES[first][bitrate] // _RATES[version][rate]
    side_info = (17 if mono else 32) if first else (9 if mono else 17)
    return length + (header[2] >> 1 & 1), 4 + side_info


def _first_frame(file: BinaryIO) -> int:
    """Where the first frame of an mp3 begins, after its tags; the file then stands there."""
    start, header = 0, file.read(10)
    while header[:3] == b"ID3" and len(header) == 10:  # its length is written in four times seven bits
        start += 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(header[6:]))
        file.seek(start)
        header = file.read(10)
    file.seek(start)
    return start


def read_mp3(path: Path, head: bytes) -> tuple[bytes | None, int | None]:
    """What must be known of an mp3 before it is opened.

    Returns
    -------
    counted : bytes, optional
        The file with a frame in front that says how many frames follow, if it lacks one (Xing's). Without it a
        decoder guesses the length from the first bit rate: libsndfile returned a third of a variable-rate file,
        and called that complete.
    frame : int, optional
        Bytes of each frame if the file says ("Info") that its bit rate is constant.
    """
    if head[:3] != b"ID3" and _frame(head[:4]) is None:
        return None, None
    with open(path, "rb") as file:
        start = _first_frame(file)
        first = _frame(file.read(4))
        if first is None:
            return None, None
        length, offset = first
        file.seek(start + offset)
        if (kind := file.read(4)) == b"Info":
            file.seek(start + length)
            header = file.read(4)
            second = _frame(header)
            # Without the byte that some frames have more.
            return None, None if second is None else second[0] - (header[2] >> 1 & 1)
        if kind == b"Xing":
            return None, None
        file.seek(start + 36)
        if file.read(4) == b"VBRI":
            return None, None
        file.seek(start)
        data = file.read()
    count = position = 0
    while (frame := _frame(data[position : position + 4])) and position + frame[0] <= len(data):
        count, position = count + 1, position + frame[0]
    tag = bytearray(length)
    tag[:4] = data[:4]
    tag[1] |= 1  # no checksum
    tag[offset : offset + 12] = b"Xing" + struct.pack(">II", 1, count)
    return b"".join((tag, memoryview(data)[:position])), None  # an hour may be 150 MB: one copy, not two
