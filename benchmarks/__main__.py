"""`make bench`: every measurement in turn. Each is also a command of its own: ``python -m benchmarks.etude``."""

from __future__ import annotations

import mclass
from benchmarks import (
    augmentations,
    etude,
    fingerprints,
    frontends,
    loading,
    models,
    ntxent,
    parity,
    realism,
    retrieval,
    scale,
    streaming,
    tagging,
    throughput,
    training,
    verification,
)

for benchmark in (
    verification,
    parity,
    realism,
    etude,
    loading,
    fingerprints,
    streaming,
    scale,
    frontends,
    augmentations,
    ntxent,
    retrieval,
    training,
    models,
    tagging,
    *([throughput] if mclass.device() != "cpu" else []),  # at full size, for a GPU
):
    print(f"\n{benchmark.__name__}: {benchmark.__doc__.splitlines()[0]}\n", flush=True)
    benchmark.main([])
