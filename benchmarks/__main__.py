"""`make bench`: every measurement in turn. Each is also a command of its own: ``python -m benchmarks.etude``."""

from __future__ import annotations

from benchmarks import augmentations, etude, frontends, models, parity, realism, retrieval, tagging, training

for benchmark in (etude, frontends, augmentations, training, models, tagging, retrieval, parity, realism):
    print(f"\n{benchmark.__name__}: {benchmark.__doc__.splitlines()[0]}\n", flush=True)
    benchmark.main([])
