"""Lengths of many audio files: headers are read in parallel, once, and remembered in the cache folder.

Taught in: 02_datasets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mclass import audio
from mclass._utils.files import replacing
from mclass._utils.schemas import Count, read_json
from mclass.datasets.folder import in_threads
from mclass.datasets.storage import cache
from mclass.errors import AudioError

Header = tuple[int, int]  # samples at the file's own rate, rate in Hz


def read_header(path: Path) -> Header | str:
    """Length and rate of a file, or the reason why it cannot be used."""
    try:
        info = audio.info(path)
        problem = audio.problem(path) or audio.too_long(info)
    except AudioError as error:
        return str(error).removeprefix(f"{path}: ")
    return problem or (info.num_samples, info.sample_rate)


def read_headers(root: Path, paths: Sequence[Path]) -> list[Header | str]:
    """`read_header` of each file; those that have not changed since an earlier run are not opened again.

    Parameters
    ----------
    root : Path
        What the files have in common; their memory is kept under this name, in ``lengths`` of the cache folder.
    paths : sequence of Path
    """
    memory = cache.home() / "lengths" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"
    known = _remembered(memory)
    states = [_state(path) for path in paths]
    names = [path.relative_to(root).as_posix() for path in paths]
    fresh = [i for i, name in enumerate(names) if known.get(name, [None])[0] != states[i]]
    headers = dict(zip(fresh, in_threads(read_header, [paths[i] for i in fresh], "reading headers"), strict=True))
    for i in fresh:
        known.pop(names[i], None)
        if not isinstance(headers[i], str):  # a file that could not be read may have been about to be repaired
            known[names[i]] = (states[i], *headers[i])
    if fresh:
        with contextlib.suppress(OSError):  # without memory it is only slower
            memory.parent.mkdir(parents=True, exist_ok=True)
            with replacing(memory) as temporary:
                temporary.write_text(json.dumps(known))
    return [headers[i] if i in headers else tuple(known[name][1:]) for i, name in enumerate(names)]


def _remembered(memory: Path) -> dict[str, tuple[str, int, int]]:
    try:
        return read_json(dict[str, tuple[str, Count, Count]], memory.read_bytes())
    except (OSError, ValueError):
        return {}


def _state(path: Path) -> str:
    """What changes when a file is written again."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"
