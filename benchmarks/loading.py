"""Random crops per second: whole files decoded and then cropped, only the part decoded, prepared data, shards.

``python -m benchmarks.loading`` prints a table and writes it to ``benchmarks/results/loading.csv``. Three-second
crops of half-minute clips, at 16 kHz mono; in one process with one thread, the ways in turn, the median of rounds.
Files are in the system's cache, so this is the cost of decoding and copying, not of a disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from mclass import audio, datasets
from mclass.datasets.folder import Folder

TABLE = Path(__file__).with_name("results") / "loading.csv"
RATE, CROP = 16_000, 48_000
FORMATS = {
    "wav": {},
    "flac": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "mp3": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.8},  # as MagnaTagATune and FMA
    "mp3, variable rate": {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5},
}
RECORDED = {"16 kHz mono": (16_000, 1), "44.1 kHz stereo": (44_100, 2)}


def write(folder: Path, tracks: list[np.ndarray], suffix: str, rate: int, channels: int) -> Folder:
    """The tracks as files."""
    folder.mkdir(parents=True)
    for number, track in enumerate(tracks):
        sound = track if rate == RATE else audio.resample(track, RATE, rate).numpy()
        sound = np.stack([sound * (1 - 0.2 * channel) for channel in range(channels)], axis=1)
        path = folder / f"{'ab'[number % 2]}-{number}.{suffix[:4].strip(',')}"
        soundfile.write(path, sound, rate, **FORMATS[suffix])
    return Folder(folder, labels="(?P<label>[ab])-")


def whole(dataset: Folder, index: int, start: int) -> None:
    """Decode all, keep a part."""
    audio.read(dataset.paths[index], RATE)[start : start + CROP].clone()


def part(dataset: datasets.MusicDataset, index: int, start: int) -> None:
    """Decode what is asked for."""
    dataset.waveform(index, start, CROP)


def rounds(ways: dict[str, Callable[[], int]], repeats: int) -> dict[str, float]:
    """Clips per second of each way, in turn; a way returns how many clips it read."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, read in ways.items():
            began = time.perf_counter()
            clips = read()
            if repeat:  # the first warms up
                speeds[name].append(clips / (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in speeds.items()}


def crops(read: Callable, dataset: datasets.MusicDataset, clips: int) -> Callable[[], int]:
    """Read random crops of random clips, the same for every way."""

    def run() -> int:
        rng = np.random.default_rng(0)
        for _ in range(clips):
            index = int(rng.integers(len(dataset)))
            read(dataset, index, int(rng.integers(dataset.num_samples(index) - CROP + 1)))
        return clips

    return run


def streamed(shards: datasets.Shards) -> Callable[[], int]:
    """Read all shards once."""

    def run() -> int:
        stream = datasets.ShardStream(shards, CROP, batch_size=8, shuffle_buffer=8)
        return sum(len(waveforms) for waveforms, _ in stream)

    return run


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=16)
    parser.add_argument("--clips", type=int, default=32, help="crops of a round")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    etude = datasets.load("etude", num_tracks=options.tracks, clips_per_track=1, clip_seconds=30)
    tracks = [etude.waveform(index).numpy() for index in range(len(etude))]
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for recorded, (rate, channels) in RECORDED.items():
            for suffix in FORMATS:
                files = write(Path(home, recorded, suffix), tracks, suffix, rate, channels)
                ways = {
                    "whole file, then crop": crops(whole, files, options.clips),
                    "only the part": crops(part, files, options.clips),
                }
                if suffix == "flac" and rate == RATE:
                    for encoding in ("int16", "float32", "flac"):
                        ready = datasets.prepare(files, Path(home, encoding), encoding, progress=False)
                        ways[f"prepared, {encoding}"] = crops(part, ready, options.clips)
                    for encoding in ("flac", "wav"):
                        shards = datasets.shard(
                            files.subset(range(len(files))), Path(home, f"s-{encoding}"), encoding=encoding,
                            clips_per_shard=4, progress=False,
                        )  # fmt: skip
                        ways[f"shards, {encoding}"] = streamed(shards)
                speeds = rounds(ways, options.repeats)
                for way, speed in speeds.items():
                    rows.append(
                        {
                            "files": f"{suffix}, {recorded}",
                            "way": way,
                            "clips per second": round(speed),
                            "× whole file": round(speed / speeds["whole file, then crop"], 1),
                        }
                    )
                    print(" | ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments is None or not arguments:
        pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
