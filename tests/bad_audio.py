"""Builds one file of every kind that is no good, and of every kind that looks odd and is fine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {  # suffix -> how soundfile is asked for it
    "16.wav": {"subtype": "PCM_16"},
    "24.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "flac": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"},
    "vbr.mp3": {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.3},
    "aiff": {},
}


def sweep(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A rising tone, a silence and noise, different in each channel: (samples, channels)."""
    t = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (100 * t + 300 * t**2 / seconds)) * (t < 0.5 * seconds)
    noise = 0.2 * np.random.default_rng(seed).standard_normal(t.size).clip(-3, 3) * (t > 0.7 * seconds)
    return np.stack([(tone + noise) * (1 - 0.15 * channel) for channel in range(channels)], axis=1)


def write(folder: Path, suffix: str, audio: np.ndarray, rate: int) -> Path:
    path = Path(folder, f"sound.{suffix}")
    soundfile.write(path, audio, rate, **FORMATS[suffix])
    return path


def cut(path: Path, share: float) -> Path:
    """The first `share` of the bytes of `path`, beside it."""
    data = path.read_bytes()
    shorter = path.with_name(f"cut-{share}-{path.name}")
    shorter.write_bytes(data[: int(len(data) * share)])
    return shorter


def without_xing(path: Path) -> Path:
    """The mp3 `path` without its first frame, which holds no sound but says how many frames follow."""
    data = path.read_bytes()
    bare = path.with_name(f"bare-{path.name}")
    bare.write_bytes(data[data.index(data[:2], 4) :])
    return bare


CUT = tuple(f"cut {suffix}" for suffix in ("16.wav", "float.wav", "ogg", "opus", "mp3"))


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Kind -> (a file that data sets refuse, a word of the message); all but `CUT` cannot be read at all."""
    folder = Path(folder)
    audio, rate = sweep(2.0, 16_000), 16_000
    files = {"missing": (folder / "missing.wav", "no such file"), "folder": (folder / "folder.wav", "folder")}
    (folder / "folder.wav").mkdir()

    def add(kind: str, name: str, content: bytes, word: str) -> None:
        (folder / name).write_bytes(content)
        files[kind] = (folder / name, word)

    add("empty", "empty.wav", b"", "empty")
    for suffix in ("wav", "mp3", "flac", "ogg"):
        add(f"text as {suffix}", f"text.{suffix}", b"This is not a recording.\n" * 200, "not audio")
    add("web page", "page.mp3", b"<!DOCTYPE html><html><body>404</body></html>", "web page")
    add("random bytes", "random.mp3", np.random.default_rng(0).bytes(20_000), "not audio")
    add("no suffix known", "random.raw", np.random.default_rng(0).bytes(20_000), "not audio")
    for kind in (*CUT, "cut flac"):  # of a cut flac libsndfile reads nothing
        files[kind] = (cut(write(folder, kind.removeprefix("cut "), audio, rate), 0.6), "truncated")
    files["cut in the header"] = (cut(folder / "sound.16.wav", 0.0005), "damaged")
    files["header alone"] = (folder / "header.wav", "truncated")
    (folder / "header.wav").write_bytes((folder / "sound.16.wav").read_bytes()[:44])
    for path in folder.glob("sound.*"):
        os.unlink(path)
    soundfile.write(folder / "zero.wav", np.zeros(0), rate)
    files["zero samples"] = (folder / "zero.wav", "no samples")
    return files


def with_nan(folder: Path) -> Path:
    """A float wav with three samples that are not finite."""
    audio = sweep(0.5, 16_000)[:, 0]
    audio[[10, 20, 30]] = np.nan, np.inf, -np.inf
    soundfile.write(Path(folder, "nan.wav"), audio, 16_000, subtype="FLOAT")
    return Path(folder, "nan.wav")
