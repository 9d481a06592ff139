"""`make bench`: every measurement in turn. Each is also a command of its own: ``python -m benchmarks.etude``."""

from __future__ import annotations

from benchmarks import etude, realism, training

for benchmark in (etude, training, realism):
    print(f"\n{benchmark.__name__}: {benchmark.__doc__.splitlines()[0]}\n", flush=True)
    benchmark.main([])
