"""`make bench`: every measurement in turn. Each is also a command of its own: ``python -m benchmarks.etude``."""

from __future__ import annotations

from benchmarks import (
    augmentations,
    etude,
    frontends,
    models,
    ntxent,
    parity,
    realism,
    retrieval,
    tagging,
    training,
    verification,
)

for benchmark in (
    verification,
    parity,
    realism,
    etude,
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
