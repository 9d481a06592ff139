"""Files that would end a batch, or never end it: one of each kind, none larger than some megabytes on disk."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import numpy as np
import soundfile
from audio_cases import _last_granule


def wav(rate: int, channels: int, data: bytes, claim: int | None = None) -> bytes:
    """A wav of 16 bits, whatever its numbers."""
    size = len(data) if claim is None else claim
    head = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 2**16, 16)
    return b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + head + b"data" + struct.pack("<I", size) + data


def long_flac(hours: float, rate: int = 16_000) -> bytes:
    """Hours of one and the same value: fourteen bytes for each four seconds."""
    block, frames = 65_535, int(hours * 3600 * rate) // 65_535
    info = struct.pack(">HH", block, block) + bytes(6) + struct.pack(">Q", rate << 44 | 15 << 36 | frames * block)
    start = bytearray(b"fLaC\x80\0\0\x22" + info + bytes(16))
    code = {16_000: 5, 8000: 4, 44_100: 9}[rate]
    for number in range(frames):
        head = bytes([0xFF, 0xF8, 0x70 | code, 0x08]) + _utf8(number) + struct.pack(">H", block - 1)
        head += bytes([_crc(head, 8, 0x07)])
        head += bytes([0]) + struct.pack(">h", 1000)  # a constant
        start += head + struct.pack(">H", _crc(head, 16, 0x8005))
    return bytes(start)


def _utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, width: int, polynomial: int) -> int:
    table, crc, mask = _TABLES[width], 0, (1 << width) - 1
    for byte in data:
        crc = (crc << 8 & mask) ^ table[crc >> width - 8 ^ byte]
    return crc


def _table(width: int, polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        value <<= width - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> width - 1 else 0)
            value &= (1 << width) - 1
        table.append(value)
    return table


_TABLES = {8: _table(8, 0x07), 16: _table(16, 0x8005)}


def write_hostile(folder: Path) -> dict[str, str]:
    """Name of each file -> a word that must be said about it."""
    rng = np.random.default_rng(0)
    tone = 0.5 * np.sin(np.arange(64_000) / 5)
    noise = rng.integers(-9999, 9999, 50_000).astype("<i2").tobytes()
    said = {}

    def add(name: str, content: bytes, word: str) -> None:
        (folder / name).write_bytes(content)
        said[name] = word

    soundfile.write(folder / "claims.ogg", np.stack([tone, 0.2 * tone], 1), 16_000)
    add("claims.ogg", _last_granule(2**40)((folder / "claims.ogg").read_bytes()), "truncated or damaged")
    add("hours.flac", long_flac(100), "MCLASS_MAX_HOURS")
    add("slow.wav", wav(1, 1, noise), "sample rate of 1 Hz")
    add("fast.wav", wav(2**31, 1, noise), "is not audio")
    add("channels.wav", wav(16_000, 65_535, noise), "not audio")
    add("text.mp3", b"hello " * 100, "looks like text")
    add("empty.wav", b"", "empty")
    add("silence.wav", wav(16_000, 1, b"", claim=10 * 3600 * 32_000), "MCLASS_MAX_HOURS")
    os.truncate(folder / "silence.wav", 44 + 10 * 3600 * 32_000)  # takes no room on the disk
    for name, value in (("huge.wav", 1e30), ("nan.wav", np.nan)):
        loud = tone.copy()
        loud[5000] = value
        soundfile.write(folder / name, loud, 16_000, subtype="FLOAT")
        said[name] = "1e+30" if value == 1e30 else "NaN"
    soundfile.write(folder / "cancels.wav", np.stack([tone, -tone], 1), 16_000)
    said["cancels.wav"] = "channels cancel"
    os.mkfifo(folder / "pipe.wav")
    said["pipe.wav"] = "named pipe"
    os.symlink("/dev/zero", folder / "device.wav")
    said["device.wav"] = "is a device"
    os.symlink("loop.wav", folder / "loop.wav")
    said["loop.wav"] = "leads back to itself"
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # its path may be too long for a socket
        one.bind("socket.wav")
        os.chdir(here)
    said["socket.wav"] = "is a socket"
    return said
