"""What a million clips need: bytes to keep, bytes to read, processor cores, and the time of an epoch.

``python -m benchmarks.scale`` works it out from the speeds in ``benchmarks/results/loading.csv`` and the size of
Etude's clips in each encoding, and writes ``benchmarks/results/scale.csv``. What it assumes is in `ASSUMED`; put
your own cluster's numbers there.
"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import soundfile

from benchmarks.loading import FORMATS, RATE
from mclass import datasets
from mclass.datasets.storage.prepared import to_int16

RESULTS = Path(__file__).with_name("results")
ASSUMED = {
    "clips": 1_000_000,  # of 30 s, 16 kHz mono; one 3 s crop of each is an epoch
    "processes": 8,  # with a GPU each
    "crops": 1_000,  # that a GPU learns from per second
    "bandwidth": 2e9,  # bytes per second that the storage gives to all of them together
}
WAYS = {  # way -> (row of loading.csv, encoding, share of a clip's bytes that a crop reads)
    "mp3 files, decoded whole": (("mp3, 16 kHz mono", "whole file, then crop"), "mp3", 1.0),
    "mp3 files, only the part": (("mp3, 16 kHz mono", "only the part"), "mp3", 0.13),
    "flac shards": (("flac, 16 kHz mono", "shards, flac"), "flac", 1.0),
    "wav shards": (("flac, 16 kHz mono", "shards, wav"), "wav", 1.0),
    "prepared, int16": (("flac, 16 kHz mono", "prepared, int16"), "int16", 0.1),
}


def bytes_per_clip(encoding: str, clips: list) -> float:
    """Mean size of half a minute."""
    sizes = []
    for clip in clips:
        buffer = io.BytesIO()
        if encoding == "mp3":
            soundfile.write(buffer, clip, RATE, **FORMATS["mp3"])
        elif encoding == "flac":
            soundfile.write(buffer, to_int16(clip), RATE, format="FLAC", subtype="PCM_16")
        sizes.append(len(buffer.getvalue()) or 2 * clip.size)
    return sum(sizes) / len(sizes)


def epoch(clips: float, processes: int, crops: float, bandwidth: float, size: float) -> tuple[str, float]:
    """What an epoch waits for, and its seconds: the slower of learning and reading; cores are enough to decode."""
    seconds = {"GPUs": clips / (processes * crops), "storage": clips * size / bandwidth}
    slowest = max(seconds, key=seconds.get)
    return slowest, seconds[slowest]


def main(arguments: list[str] | None = None) -> None:
    """Work it out."""
    etude = datasets.load("etude", num_tracks=16, clips_per_track=1, clip_seconds=30)
    clips = [etude.waveform(index).numpy() for index in range(len(etude))]
    speeds = pd.read_csv(RESULTS / "loading.csv").set_index(["files", "way"])["clips per second"]
    rows = []
    for way, (row, encoding, share) in WAYS.items():
        size = bytes_per_clip(encoding, clips)
        slowest, seconds = epoch(**ASSUMED, size=size * share)
        rows.append(
            {
                "way": way,
                "keep (TB)": round(ASSUMED["clips"] * size / 1e12, 2),
                "read per crop (kB)": round(size * share / 1e3),
                "read per second (GB)": round(ASSUMED["processes"] * ASSUMED["crops"] * size * share / 1e9, 2),
                "cores per GPU": round(ASSUMED["crops"] / speeds[row], 1),
                "epoch (minutes)": round(seconds / 60, 1),
                "waits for": slowest,
            }
        )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    table.to_csv(RESULTS / "scale.csv", index=False)


if __name__ == "__main__":
    main()
