"""NT-Xent beside lightly's, pytorch-metric-learning's and the definition: time and extra memory.

``python -m benchmarks.ntxent`` runs forward and backward passes of embeddings of 128 dimensions, the contestants
in turn, prints the medians and writes ``benchmarks/results/ntxent.csv``. Each is timed as a program finds it, and
inside `mclass.training.keep_freed_memory`, as `fit` runs it. Memory is what a process of its own has
at its highest above what it had before (Linux). The peers are in an environment of their own (`benchmarks.peers`).
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import torch

from benchmarks import peers
from mclass.losses import NTXentLoss, naive_nt_xent
from mclass.training import keep_freed_memory

RESULT = Path(__file__).parent / "results" / "ntxent.csv"
DIM, TEMPERATURE = 128, 0.5
REPEATS = {64: 50, 1024: 15, 4096: 7}  # pairs: turns
# pytorch-metric-learning lists every positive pair beside every negative one: 34 GB at 1024 pairs.
LARGEST = {"pytorch-metric-learning": 64}

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def contestants() -> dict[str, Loss]:
    """Ours, and whatever else is installed."""
    found: dict[str, Loss] = {
        "mclass": NTXentLoss(TEMPERATURE),
        "naive": lambda z_i, z_j: naive_nt_xent(z_i, z_j, TEMPERATURE).mean(),
    }
    with suppress(ImportError):
        from lightly.loss import NTXentLoss as Lightly

        found["lightly"] = Lightly(TEMPERATURE)
    with suppress(ImportError):
        from pytorch_metric_learning.losses import NTXentLoss as MetricLearning

        peer = MetricLearning(TEMPERATURE)
        found["pytorch-metric-learning"] = lambda z_i, z_j: peer(
            torch.cat([z_i, z_j]), torch.arange(len(z_i)).repeat(2)
        )
    return found


def embeddings(pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of each example, alike but not equal."""
    base, *noise = torch.randn(3, pairs, DIM, generator=torch.Generator().manual_seed(0))
    return tuple((base + each).requires_grad_() for each in noise)


def step(loss: Loss, z: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward and backward: the loss, and the gradient of the first view."""
    for x in z:
        x.grad = None
    value = loss(*z)
    value.backward()
    return value.detach(), z[0].grad


def medians(losses: dict[str, Loss], pairs: int, turns: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of each, run in turn: by the clock, and of CPU time (all threads)."""
    z, times = embeddings(pairs), {name: [] for name in losses}
    for turn in range(turns + 2):
        for name, loss in losses.items():
            clock, cpu = time.perf_counter(), time.process_time()
            step(loss, z)
            if turn >= 2:  # the first two warm up
                times[name].append((1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu)))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in times.items()}


def extra_megabytes(name: str, pairs: int) -> float:
    """Highest memory of a process above what it had before, NaN where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    command = [sys.executable, "-m", "benchmarks.ntxent", "--memory", name, str(pairs)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def measure_memory(name: str, pairs: int) -> None:
    """Print `extra_megabytes` of this process."""

    def status(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024

    loss = contestants()[name]
    step(loss, embeddings(16))  # libraries load
    z = embeddings(pairs)
    Path("/proc/self/clear_refs").write_text("5")  # the highest starts anew
    before = status("VmRSS:")
    step(loss, z)
    print(status("VmHWM:") - before)


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--memory"]:
        return measure_memory(arguments[1], int(arguments[2]))
    rows, every = [], contestants()
    if "lightly" not in every and "--here" not in arguments:  # again, where the peers are
        command = [peers.interpreter(), "-m", "benchmarks.ntxent", "--here"]
        subprocess.run(command, cwd=peers.ROOT, check=True)
        return None
    print(f"forward and backward, {DIM} dimensions, {torch.get_num_threads()} threads\n")
    print(f"{'pairs':>6s}  {'':24s}{'ms':>9s}{'CPU ms':>9s}{'kept: ms':>10s}{'CPU ms':>9s}{'MB':>9s}  difference")
    for pairs, turns in REPEATS.items():
        losses = {name: loss for name, loss in every.items() if pairs <= LARGEST.get(name, pairs)}
        plain, kept = (
            _within(context, medians, losses, pairs, turns) for context in (nullcontext, keep_freed_memory)
        )
        z = embeddings(pairs)
        exact = step(losses["naive"], tuple(x.detach().double().requires_grad_() for x in z))
        for name, loss in losses.items():
            value, gradient = step(loss, z)
            worst = max(
                (value - exact[0]).abs() / exact[0], (gradient - exact[1]).abs().max() / exact[1].abs().max()
            )
            row = {
                "pairs": pairs,
                "name": name,
                "ms": round(plain[name][0], 2),
                "CPU ms": round(plain[name][1], 2),
                "kept ms": round(kept[name][0], 2),
                "kept CPU ms": round(kept[name][1], 2),
                "extra MB": round(extra_megabytes(name, pairs), 1),
                "difference": f"{worst.item():.1e}",
            }
            rows.append(row)
            _, _, *numbers, difference = row.values()
            widths = (9, 9, 10, 9, 9)
            cells = "".join(f"{number:{width}.1f}" for number, width in zip(numbers, widths, strict=True))
            print(f"{pairs:6d}  {name:24s}{cells}  {difference}", flush=True)
        _print_ratios(rows, pairs)
    if "lightly" in every:
        RESULT.parent.mkdir(exist_ok=True)
        with RESULT.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"\nwritten: benchmarks/results/{RESULT.name}")
    return None


def _within(context, function, *arguments):
    with context():
        return function(*arguments)


def _print_ratios(rows: list[dict], pairs: int) -> None:
    by_name = {row["name"]: row for row in rows if row["pairs"] == pairs}
    if "lightly" in by_name:
        ours, peer = by_name["mclass"], by_name["lightly"]
        faster = [f"{peer[key] / ours[key]:.1f}" for key in ours if key.endswith("ms")]
        share = ours["extra MB"] / max(peer["extra MB"], 0.1)
        print(f"{'':8s}lightly / mclass: {' · '.join(faster)} × the time; {100 * share:.0f} % of its memory\n")


if __name__ == "__main__":
    main()
