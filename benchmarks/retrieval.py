"""How fast multi-label recall@{1,2,4,8} is, beside the loop over queries that it stands for; macro AUCs beside it.

``python -m benchmarks.retrieval`` writes ``benchmarks/results/retrieval.csv``: seconds by the clock and of CPU
time (minimum of interleaved runs), the ratios, and the extra peak memory, each of a fresh process. The loops run
on every 40th query, and their time is multiplied; they sort all similarities of a query, as most code of papers
does, in NumPy or in PyTorch. There are 50 tags and 128 dimensions; tags depend on the embedding, with a long tail.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mclass import metrics

TABLE = Path(__file__).with_name("results") / "retrieval.csv"
KS, EVERY = (1, 2, 4, 8), 40

# Run in a process of its own; prints seconds, CPU seconds and by how many MB its peak memory grew.
ONE_RUN = """
import json, resource, sys, time, torch
from benchmarks import retrieval
name, n, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
embeddings, labels = retrieval.items(n)
retrieval.CONTESTANTS[name](embeddings[:2000], labels[:2000], slice(0, 40))  # warms up
unit = 1e6 if sys.platform == "darwin" else 1e3
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
clock, cpu = time.perf_counter(), time.process_time()
retrieval.CONTESTANTS[name](embeddings, labels, slice(0, n, retrieval.EVERY))
times = time.perf_counter() - clock, time.process_time() - cpu
print(json.dumps([*times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit - before]))
"""


def items(n: int, dim: int = 128, num_tags: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings ``(n, dim)`` and labels ``(n, num_tags)``, about 3 tags each; everybody has one."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((n, dim), dtype=np.float32)
    scores = embeddings @ rng.standard_normal((dim, num_tags), dtype=np.float32)
    share = 0.25 / np.arange(1, num_tags + 1) ** 0.6
    labels = scores > np.array([np.quantile(scores[:5000, i], 1 - share[i]) for i in range(num_tags)])
    labels[~labels.any(axis=1), 0] = True
    return embeddings, labels


def loop(embeddings: np.ndarray, labels: np.ndarray, queries: slice) -> dict[int, float]:
    """The definition, one query after the other: similarities, all sorted, tags of the first K."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    recalls = {k: [] for k in KS}
    for query in range(len(unit))[queries]:
        similarities = unit @ unit[query]
        similarities[query] = -np.inf
        nearest = np.argsort(-similarities)[: max(KS)]
        for k in KS:
            found = labels[nearest[:k]].any(axis=0) & labels[query]
            recalls[k].append(found.sum() / labels[query].sum())
    return {k: float(np.mean(values)) for k, values in recalls.items()}


def torch_loop(embeddings: np.ndarray, labels: np.ndarray, queries: slice) -> dict[int, float]:
    """The same in PyTorch."""
    unit = torch.nn.functional.normalize(torch.from_numpy(embeddings), dim=1)
    truth = torch.from_numpy(labels)
    recalls = {k: [] for k in KS}
    for query in range(len(unit))[queries]:
        similarities = unit @ unit[query]
        similarities[query] = -torch.inf
        nearest = torch.argsort(similarities, descending=True)[: max(KS)]
        for k in KS:
            found = truth[nearest[:k]].any(dim=0) & truth[query]
            recalls[k].append((found.sum() / truth[query].sum()).item())
    return {k: float(np.mean(values)) for k, values in recalls.items()}


def ours(embeddings: np.ndarray, labels: np.ndarray, queries: slice) -> dict[int, float]:
    """All queries at once."""
    return metrics.multilabel_recall_at_k(embeddings, labels, KS)


CONTESTANTS = {"loop, NumPy": loop, "loop, PyTorch": torch_loop, "mclass": ours}


def measure(name: str, n: int, threads: int) -> list[float]:
    """Seconds, CPU seconds and extra MB of one run in a fresh process."""
    command = [sys.executable, "-c", ONE_RUN, name, str(n), str(threads)]
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | limits).stdout
    result = json.loads(output)
    times = EVERY if name != "mclass" else 1
    return [result[0] * times, result[1] * times, result[2]]


def rows(n: int, repeats: int, threads: int) -> list[dict]:
    """Both contestants on `n` items."""
    runs = {name: [] for name in CONTESTANTS}
    for _ in range(repeats):
        for name in runs:
            runs[name].append(measure(name, n, threads))
    table = []
    for name, values in runs.items():
        seconds, cpu, memory = np.min(values, axis=0)
        table.append(
            {"items": n, "program": name, "seconds": seconds, "CPU seconds": cpu, "extra peak memory (MB)": memory}
        )
    for row in table:
        row["times as fast"] = table[0]["seconds"] / row["seconds"]
        row["times as fast (CPU)"] = table[0]["CPU seconds"] / row["CPU seconds"]
    return table


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    embeddings, labels = items(4000)
    fast, slow = ours(embeddings, labels, slice(None)), loop(embeddings, labels, slice(None))
    difference = max(abs(fast[k] - slow[k]) for k in KS)
    print(f"recall@K of 4,000 items: {fast}\nlargest difference from the loop: {difference}")
    table = pd.DataFrame([row for n in options.items for row in rows(n, options.repeats, options.threads)]).round(
        2
    )
    print(table.to_string(index=False))
    TABLE.parent.mkdir(exist_ok=True)
    table.to_csv(TABLE, index=False)

    truth, scores = labels, embeddings @ np.ones((128, 50), np.float32) + labels
    start = time.process_time()
    areas = metrics.roc_auc(truth, scores), metrics.pr_auc(truth, scores)
    print(
        f"macro ROC-AUC and PR-AUC of 50 tags, 4,000 clips: {areas}, {time.process_time() - start:.3f} CPU seconds"
    )
    start = time.process_time()
    interval = metrics.bootstrap(metrics.roc_auc, truth, scores, groups=np.arange(4000) // 4)
    print(f"{interval} over 1,000 resamples of tracks: {time.process_time() - start:.1f} CPU seconds")


if __name__ == "__main__":
    main()
