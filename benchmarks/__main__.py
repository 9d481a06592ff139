"""`make bench`: every measurement in turn. Each is also a command of its own: ``python -m benchmarks.etude``."""

from __future__ import annotations

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
):
    print(f"\n{benchmark.__name__}: {benchmark.__doc__.splitlines()[0]}\n", flush=True)
    benchmark.main([])
