"""Work on the clips of a data set in several processes: check, prepare and shard use it.

Taught in: 02_datasets.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from mclass.datasets.base import MusicDataset, Subset

try:
    import cloudpickle  # pickles data sets that are defined in a notebook, too
except ImportError:  # joblib before 1.6 carries its own
    from joblib.externals import cloudpickle

_FEW = 64  # up to so many clips, starting processes costs more than it saves


def map_clips(
    function: Callable[[MusicDataset, Any], Any],
    dataset: MusicDataset,
    tasks: Sequence[Any],
    workers: int = -1,
) -> Iterator[Any]:
    """``function(dataset, task)`` for each task, in order, in several processes.

    A large data set is handed over once, as memory that processes share, not with each task; memory-mapped arrays
    are opened again on the other side.

    Parameters
    ----------
    function : callable
        Of a module, not of a notebook's cell.
    dataset : MusicDataset
    tasks : sequence
        A task should be worth some tenths of a second.
    workers : int
        Processes; -1 for one per core, 1 for none but this one.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> list(map_clips(clip_name, etude, [0, 1], workers=1))
    ['etude track 0, clip 0 (new age)', 'etude track 0, clip 1 (new age)']
    """
    most = max(64, 4 * (os.cpu_count() or 1))
    if workers == 0 or workers > most:
        raise ValueError(
            f"workers is a number of processes, here at most {most}, or -1 for one per core, got {workers}"
        )
    if workers == 1 or len(tasks) < 2 or len(dataset) <= _FEW:
        yield from (function(dataset, task) for task in tasks)
        return
    file = io.BytesIO()
    _Pickler(file).dump(dataset)
    content = np.frombuffer(file.getbuffer(), np.uint8)
    key = hashlib.blake2b(content).hexdigest()
    yield from parallel(workers)(joblib.delayed(_call)(function, key, content, task) for task in tasks)


def parallel(workers: int) -> joblib.Parallel:
    """Processes that give their results in order, as soon as they are there, and do not outlive this one."""
    return joblib.Parallel(workers, return_as="generator", initializer=follow_parent)


def follow_parent() -> None:
    """Leave interrupts to the process that started this one, and end with it, also if it was killed."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to all
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_await_parent, args=(multiprocessing.parent_process(),), daemon=True).start()


def _await_parent(parent: Any) -> None:
    if sys.platform == "win32":
        parent.join()
    else:
        while os.getppid() == parent.pid:  # an orphan is given to another
            time.sleep(0.5)
    os._exit(1)


def chunked(indices: Sequence[int], size: int = 16) -> list[list[int]]:
    """Clips in groups, to be worked on at once.

    >>> chunked([3, 4, 5], 2)
    [[3, 4], [5]]
    """
    indices = [int(index) for index in indices]
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def source_path(dataset: MusicDataset, index: int) -> Path | None:
    """The file that clip `index` comes from; None if the data set does not keep one file per clip."""
    while isinstance(dataset, Subset):
        dataset, index = dataset.parent, int(dataset.indices[index])
    paths = getattr(dataset, "paths", None)
    return None if paths is None else Path(paths[index])


def clip_name(dataset: MusicDataset, index: int) -> str:
    """What a clip is called in tables: its path below the data set's root, or what `describe` says."""
    path, whole = source_path(dataset, index), dataset
    while isinstance(whole, Subset):
        whole = whole.parent
    root = getattr(whole, "root", None)
    if path is not None and root is not None and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return dataset.describe(index)


def split_indices(dataset: MusicDataset, by: str | None = None) -> list[np.ndarray]:
    """Clips of `dataset` in its training, validation and test views; `by` as its `splits` takes it."""
    parts = dataset.splits() if by is None else dataset.splits(by)
    return [indices_in(part, dataset) for part in parts]


def indices_in(view: MusicDataset, dataset: MusicDataset) -> np.ndarray:
    """Where the clips of a view are in `dataset`, which it was made from."""
    indices = np.arange(len(view))
    while view is not dataset:
        if not isinstance(view, Subset):
            raise ValueError(f"{view!r} is not a view of {dataset!r}")
        view, indices = view.parent, view.indices[indices]
    return indices


def data_fingerprint(dataset: Any) -> str | None:
    """What names exactly the data that a view, prepared data or shards come from; None if nothing does."""
    while isinstance(dataset, Subset):
        dataset = dataset.parent
    return getattr(dataset, "fingerprint", None)


class _Pickler(cloudpickle.Pickler):
    """Writes of a memory-mapped array where it is, not what is in it."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is np.memmap and isinstance(obj.base, mmap.mmap) and obj.filename:
            return np.memmap, (str(obj.filename), obj.dtype, "r", obj.offset, obj.shape)
        return super().reducer_override(obj)


_handed: dict[str, MusicDataset] = {}  # to this worker: the last data set


def _call(function: Callable, key: str, content: np.ndarray, task: Any) -> Any:
    if key not in _handed:
        _handed.clear()
        _handed[key] = cloudpickle.loads(content)
    return function(_handed[key], task)
