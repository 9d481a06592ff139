"""How fast files are tagged on this CPU, decoding included, and how much memory an hour of audio takes.

``python -m benchmarks.tagging`` writes ``benchmarks/results/tagging.csv``: stereo files of 44.1 kHz, as people
have them, are read, mixed down, resampled, cut and tagged; weights make no difference to the time. Each row is the
median of three runs on five minutes, and the peak memory of a fresh process that tags one hour: its own, and with
the pages of PyTorch's libraries that the system keeps in memory for it (``import torch`` alone: 290 MB of them).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from mclass import inference, models

TABLE = Path(__file__).with_name("results") / "tagging.csv"
SAMPLE_RATE = 44_100
CASES = (("musicnn", "mp3"), ("musicnn", "flac"), ("musicnn", "wav"), ("short_chunk_cnn", "mp3"), ("fcn", "mp3"))

# Run in a process of its own; prints its peak memory in MB: private, and with the pages of shared libraries.
ONE_FILE = """
import resource, sys, threading
from benchmarks.tagging import private_memory, ready
from mclass import inference
done, peak = threading.Event(), [0.0]
def watch():
    while not done.wait(0.05):
        peak[0] = max(peak[0], private_memory())
watcher = threading.Thread(target=watch)
watcher.start()
inference.tag(sys.argv[2], ready(sys.argv[1]))
done.set()
watcher.join()
print(peak[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


def private_memory() -> float:
    """In MB; on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e3


def ready(name: str) -> models.WaveformModel:
    """A model that can tag."""
    model = models.create(name)
    model.tags = [str(i) for i in range(model.num_tags)]
    return model


def write(path: Path, seconds: int) -> None:
    """Chords that change twice a second, over noise, in blocks: about as hard to decode as music."""
    rng = np.random.default_rng(0)
    time_axis = np.arange(SAMPLE_RATE * 10) / SAMPLE_RATE
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2) as file:
        for _ in range(seconds // 10):
            pitches = np.repeat(110 * 2 ** (rng.integers(0, 48, (20, 4)) / 12), SAMPLE_RATE // 2, axis=0)
            chord = np.sin(2 * np.pi * pitches * time_axis[:, None])
            stereo = np.stack([chord[:, :3].mean(1), chord[:, 1:].mean(1)], axis=1)
            file.write(0.5 * stereo + 0.05 * rng.standard_normal(stereo.shape))


def measure(name: str, format: str, folder: Path, seconds: int, repeats: int) -> dict:
    """One row of the table."""
    short, hour = folder / f"short.{format}", folder / f"hour.{format}"
    for path, length in ((short, seconds), (hour, 3600)):
        if not path.exists():
            write(path, length)
    model = ready(name)
    inference.tag(short, model)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        inference.tag(short, model)
        times.append(time.perf_counter() - start)
    private, peak = subprocess.run(
        [sys.executable, "-c", ONE_FILE, name, str(hour)], check=True, capture_output=True, text=True
    ).stdout.split()
    return {
        "model": name,
        "file": format,
        "× real time": round(seconds / statistics.median(times)),
        "private memory, one hour (MB)": round(float(private)),
        "with libraries (MB)": round(float(peak)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the table."""
    import pandas as pd  # here, since what is imported above counts as memory

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, format in CASES:
            rows.append(measure(name, format, Path(folder), options.seconds, options.repeats))
            print(*rows[-1].values(), sep=" | ", flush=True)
    print(f"{os.cpu_count()} cores")
    pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
