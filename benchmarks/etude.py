"""How fast Etude is made, and how much memory that takes.

python -m benchmarks.etude
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from mclass.datasets.etude.composer import VERSIONS, compose
from mclass.datasets.etude.production import produce
from mclass.datasets.etude.synthesis.renderer import SAMPLE_RATE, render

SECONDS = 30.0
_BUILD = """
import resource, sys, time
from mclass.datasets.etude import Etude
start = time.perf_counter()
Etude(num_tracks=int(sys.argv[1]), clips_per_track=2, clip_seconds=10, workers=int(sys.argv[2]))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def one_core(version: int, num_tracks: int = 200) -> None:
    """Seconds of music made per second of one core's time, for each step."""
    steps = {
        "composing": lambda score: compose(0, score.index, SECONDS, version),
        "rendering": lambda score: list(render(score.parts, round(SECONDS * SAMPLE_RATE))),
        "composing, rendering, production": lambda score: produce(compose(0, score.index, SECONDS, version)),
    }
    scores = [compose(0, index, SECONDS, version) for index in range(num_tracks)]
    for name, step in steps.items():
        step(scores[0])
        start = time.process_time()
        for score in scores:
            step(score)
        speed = num_tracks * SECONDS / (time.process_time() - start)
        print(f"version {version}, {name:34} {speed:8,.0f} × real time on one core")


def whole_build() -> None:
    """Wall time over all cores, and the peak memory of one process that does everything itself."""
    for num_tracks in (200, 800):
        seconds, _ = _build(num_tracks, workers=-1)
        _, kilobytes = _build(num_tracks, workers=1)
        speed = num_tracks * 20 / seconds
        print(
            f"{num_tracks:4} tracks of 20 s: {speed:6,.0f} × real time on {os.cpu_count()} cores, "
            f"start-up included; peak memory with one worker {kilobytes / 1024:.0f} MB"
        )


def _build(num_tracks: int, workers: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "MCLASS_HOME": home, "TQDM_DISABLE": "1"}
        command = [sys.executable, "-c", _BUILD, str(num_tracks), str(workers)]
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    seconds, kilobytes = output.split()
    return float(seconds), float(kilobytes)


def main(arguments: list[str] | None = None) -> None:
    for version in VERSIONS:
        one_core(version)
    whole_build()


if __name__ == "__main__":
    main()
