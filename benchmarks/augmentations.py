"""How fast augmentations are on this CPU, beside other libraries' on the same batch.

``python -m benchmarks.augmentations`` runs ours and the peers' in turn, each library in a process of its own: 48
mono clips of 59,049 samples at 22,050 Hz, every clip transformed, and CLMR's chain with its probabilities. It
prints a table and writes it to ``benchmarks/results/augmentations.csv``, and a summary beside it: milliseconds by
the clock and of CPU time (medians), and how many times as long as ours a peer takes. Peers that cannot be
installed are left out, and named. Their environments are made on the first run (see `benchmarks.peers`);
``--peers`` chooses among them, and none at all is possible.

Libraries do not do the same thing by the same name: sox's pitch shift is a granular one, pedalboard's filters are
of first order, noise is drawn anew for each clip by all but ours. Quality is what the tests look at."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks.peers import ROOT, interpreter
from benchmarks.peers.augmentations import RATE, milliseconds, music
from mclass import augmentations
from mclass.training import keep_freed_memory

TABLE = Path(__file__).with_name("results") / "augmentations.csv"
SUMMARY = TABLE.with_name("augmentations_summary.csv")  # for the book
PEERS = {
    "torchaudio-augmentations": "old",
    "audiomentations": "",
    "torch-audiomentations": "old",
    "pedalboard": "",
}  # library: environment


def ours() -> dict[str, Callable]:
    """Our transforms of the batch, by the names the peers use."""
    batch = torch.from_numpy(music())
    generator = torch.Generator().manual_seed(0)
    transforms = {
        "polarity": augmentations.PolarityInversion(),
        "noise": augmentations.Noise(40, 80),
        "gain": augmentations.Gain(-20, -1),
        "filter": augmentations.HighLowPass(RATE),
        "delay": augmentations.Delay(RATE),
        "pitch": augmentations.PitchShift(RATE),
        "reverb": augmentations.Reverb(RATE),
        "stretch": augmentations.TimeStretch(RATE),
        "shift": augmentations.TimeShift(),
        "chain": augmentations.clmr(RATE),
    }
    return {name: (lambda t=t: t(batch, generator)) for name, t in transforms.items()}


class Peer:
    """A library in a process of its own."""

    def __init__(self, library: str, threads: int):
        command = [interpreter(PEERS[library]), "-m", "benchmarks.peers.augmentations", library, str(threads)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.names = self.process.stdout.readline().split()
        if not self.names:
            raise RuntimeError(self.process.communicate()[1].strip().splitlines()[-1])

    def __call__(self, name: str) -> tuple[float, float]:
        """Milliseconds of one run, by the clock and of CPU time."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        clock, cpu = self.process.stdout.readline().split()
        return float(clock), float(cpu)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def measure(functions: dict[str, Callable], peers: dict[str, Peer], repeats: int) -> pd.DataFrame:
    """One row per transform and library; runs take turns, so that all meet the same weather."""
    rows = []
    for name, function in functions.items():
        runners = {"mclass": function} | {
            library: partial(peer, name) for library, peer in peers.items() if name in peer.names
        }
        times = {library: [] for library in runners}
        for turn in range(repeats + 1):
            for library, run in runners.items():
                pair = milliseconds(run) if library == "mclass" else run()
                if turn:  # the first one warms up
                    times[library].append(pair)
        medians = {
            library: [statistics.median(t) for t in zip(*pairs, strict=True)] for library, pairs in times.items()
        }
        for library, (clock, cpu) in medians.items():
            mine = medians["mclass"]
            ratios = {"clock / ours": clock / mine[0], "CPU / ours": cpu / mine[1]}
            rows.append({"transform": name, "library": library, "clock ms": clock, "CPU ms": cpu, **ratios})
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per transform: our milliseconds, and how many times as long each peer takes."""
    ours = table[table.library == "mclass"].set_index("transform")["clock ms"].map("{:.1f}".format)
    peers = table.pivot(index="transform", columns="library", values="clock / ours").drop(columns="mclass")
    cells = peers.map(lambda ratio: "" if pd.isna(ratio) else f"{ratio:.1f} ×")
    return (
        cells[list(PEERS)]
        .loc[ours.index]
        .assign(**{"mclass (ms)": ours})
        .reset_index()
        .iloc[:, [0, 5, 1, 2, 3, 4]]
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--only", nargs="*", help="transforms to measure")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    functions = ours()
    functions = {name: functions[name] for name in options.only or functions}
    with ExitStack() as stack, torch.no_grad():
        peers = {}
        for library in options.peers:
            try:
                peers[library] = Peer(library, options.threads)
                stack.callback(peers[library].close)
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                print(f"without {library}: {error}", file=sys.stderr)
        stack.enter_context(keep_freed_memory())  # as training runs
        table = measure(functions, peers, options.repeats)
    print(f"48 clips of 59,049 samples, {options.threads} threads\n")
    print(table.to_string(index=False, float_format=lambda number: f"{number:.2f}"))
    if not options.only and set(peers) == set(PEERS):
        TABLE.parent.mkdir(exist_ok=True)
        table.round(3).to_csv(TABLE, index=False)
        summary(table).to_csv(SUMMARY, index=False)
        print(f"\nwritten to {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
