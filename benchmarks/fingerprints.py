"""How many copies the fingerprint finds, how many it reports wrongly, and what a search costs.

``python -m benchmarks.fingerprints`` prints two tables and writes them to ``fingerprints.csv`` and
``fingerprints_cost.csv`` in ``benchmarks/results``. Half of the tracks of an Etude collection get a copy:
another part of the recording (its beginning shifted by up to 40 % of its length, not by whole frames), another
level, one of several encodings, or noise on top. All clips are then searched at once. *Found* is the share of
copies found; *wrong* counts reported pairs of different tracks. What a search costs is measured with many more
clips.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from mclass import datasets
from mclass.datasets.quality.fingerprint import find_copies, fingerprint

TABLE = Path(__file__).with_name("results") / "fingerprints.csv"
COST = TABLE.with_name("fingerprints_cost.csv")
RATE = 16_000
SHOWN = ["copy", "seconds", "found (%)", "wrong", "bit errors, median"]  # of the columns


def encoded(samples: np.ndarray, **options) -> np.ndarray:
    """What is left after encoding and decoding."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, **options)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0][: samples.size]


def noisy(samples: np.ndarray, decibels: float) -> np.ndarray:
    """With white noise, so many decibels below the music."""
    noise = np.random.default_rng(zlib.crc32(samples)).standard_normal(samples.size).astype(np.float32)
    return samples + noise * np.sqrt(np.mean(samples**2)) * 10 ** (-decibels / 20)


MP3 = {"format": "MP3", "bitrate_mode": "CONSTANT"}
COPIES = {
    "mp3, 113 kbit/s": lambda samples: encoded(samples, compression_level=0.3, **MP3),
    "mp3, 65 kbit/s": lambda samples: encoded(samples, compression_level=0.6, **MP3),
    "mp3, 24 kbit/s": lambda samples: encoded(samples, compression_level=0.9, **MP3),
    "ogg vorbis": lambda samples: encoded(samples, format="OGG", subtype="VORBIS"),
    "noise 10 dB below": lambda samples: noisy(samples, 10),
}


def measure(name: str, tracks: list[np.ndarray], seconds: float) -> dict:
    """One row of the table: every second track gets a copy."""
    rng = np.random.default_rng(1)
    length = int(seconds * RATE)
    clips = [track[:length] for track in tracks]
    truth = set()
    for number in range(0, len(tracks), 2):
        first = int(rng.uniform(0, 0.4) * length)
        part = tracks[number][first:][:length] * np.float32(rng.uniform(0.1, 0.9))
        truth.add((number, len(clips)))
        clips.append(COPIES[name](part).astype(np.float32))
    matches = find_copies([fingerprint(clip, RATE) for clip in clips])
    found = {(match.first, match.second) for match in matches}
    errors = [match.bit_errors for match in matches if (match.first, match.second) in truth]
    return {
        "copy": name,
        "seconds": seconds,
        "clips": len(clips),
        "found (%)": round(100 * len(found & truth) / len(truth), 1),
        "wrong": len(found - truth),
        "pairs": len(clips) * (len(clips) - 1) // 2,
        "bit errors, median": round(float(np.median(errors)), 3) if errors else "",
        "bit errors, most": round(max(errors), 3) if errors else "",
    }


def cost(num_clips: int, seconds: float, tracks: list[np.ndarray]) -> dict:
    """Time and memory of one large search: landmarks of real clips, at random made different."""
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    real = [fingerprint(track[: int(seconds * RATE)], RATE) for track in tracks[:100]]
    fingerprinting = (time.perf_counter() - began) / len(real)
    prints = []
    for number in range(num_clips):
        one = real[number % len(real)]
        marks = one.landmarks.copy()
        marks[:, 0] ^= rng.integers(0, 1 << 23, dtype=np.uint32)  # as frequent as real ones, in other places
        prints.append(one._replace(landmarks=marks))
    size = sum(one.landmarks.nbytes + one.bits.nbytes for one in prints) + 8 * sum(
        len(one.landmarks) for one in prints
    )
    began = time.perf_counter()
    find_copies(prints)
    return {
        "clips": num_clips,
        "seconds": seconds,
        "fingerprint (ms per clip)": round(1000 * fingerprinting),
        "search (s)": round(time.perf_counter() - began, 1),
        "memory (MB)": round(size / 1e6),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=240)
    options = parser.parse_args(arguments)
    etude = datasets.load("etude", num_tracks=options.tracks, clips_per_track=3, clip_seconds=10)
    tracks = [
        np.concatenate([etude.waveform(3 * track + clip).numpy() for clip in range(3)])
        for track in range(options.tracks)
    ]
    rows = [measure(name, tracks, seconds) for seconds in (10.0, 30.0) for name in COPIES]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    search = pd.DataFrame([cost(8000, 30.0, tracks)])
    print(search.to_string(index=False))
    if options.tracks == parser.get_default("tracks"):
        table[SHOWN].to_csv(TABLE, index=False)
        search.to_csv(COST, index=False)


if __name__ == "__main__":
    main()
