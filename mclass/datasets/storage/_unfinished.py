"""Long jobs that build a folder: one process at a time, resumed after a kill, complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mclass._utils.files import replacing, resolved, sweep, writing
from mclass._utils.schemas import Size, read_json
from mclass.errors import BusyError, DatasetError

_JOURNAL = "finished.jsonl"


class Journal:
    """What is finished, a line of JSON for each piece; the first line says what the whole is to become.

    A kill can cut the last line off; that piece is then made again.
    """

    def __init__(self, path: Path, plan: dict):
        self.path, self.plan = path, plan
        self.done: dict[int, Any] = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        complete = lines[:-1]  # what follows the last line break was not written to its end
        if complete and _parse(complete[0]) == json.loads(json.dumps(plan)):
            for line in complete[1:]:
                with contextlib.suppress(ValueError):  # zeros, after a power failure
                    key, record = read_json(tuple[Size, dict[str, Any]], line)
                    self.done[key] = record
        elif complete:
            raise _OtherPlan
        with replacing(path) as temporary:
            records = (plan, *map(list, self.done.items()))
            temporary.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")

    def add(self, key: int, record: Any) -> None:
        """Note that piece `key` is on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, record]) + "\n")
        self.done[key] = record

    def forget(self, key: int) -> None:
        """Note that piece `key` is no longer what it was."""
        self.done.pop(key)


class _OtherPlan(Exception):
    pass


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # zeros, after a power failure
        return None


@contextmanager
def unfinished(out: Path, plan: dict, num_bytes: int, doing: str) -> Iterator[tuple[Path, Journal]]:
    """A hidden folder beside `out`, and what is finished in it; at the end it becomes `out` in one step.

    Parameters
    ----------
    out : Path
        Must not exist, or be empty.
    plan : dict
        What the folder depends on. A folder begun with another plan is not continued.
    num_bytes : int
        How much will be written in all; compared with the free space first.
    doing : str
        For messages: "prepared".

    Raises
    ------
    DatasetError
        If another process builds the same folder, the folder begun is another one's, or the disk is full.
    """
    out = resolved(out)  # a link stays where it is
    folder = out.with_name(f".{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with writing(out, advice="choose another folder"):
            if out.exists() and any(out.iterdir()):
                raise DatasetError(f"{out} exists and is not empty. Choose another folder, or delete it.")
            folder.mkdir(exist_ok=True)
            sweep(folder)
            journal = _open_journal(folder, plan, out)
            have = sum(_allocated(path) for path in folder.rglob("*") if path.is_file())
            free = shutil.disk_usage(folder).free
            if free < num_bytes - have:
                raise DatasetError(
                    f"{out}: about {(num_bytes - have) / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free. "
                    f"Make room, or choose another disk; what was {doing} so far is kept."
                )
            yield folder, journal
            (folder / _JOURNAL).unlink()
            for path in folder.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as file:
                        os.fsync(file.fileno())
            if out.exists():
                out.rmdir()
            folder.rename(out)
    except BusyError as error:
        raise DatasetError(str(error)) from None
    except PermissionError as error:
        raise DatasetError(f"{out}: cannot be written: {error.strerror}. Choose another folder.") from None
    except (NotADirectoryError, FileExistsError):
        raise DatasetError(f"{out}: a part of this path is a file. Choose another folder.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DatasetError(
            f"{out}: the disk is full ({error.strerror}). What was {doing} is kept: make room and run the same "
            "again, it goes on from there."
        ) from error


def _open_journal(folder: Path, plan: dict, out: Path) -> Journal:
    try:
        return Journal(folder / _JOURNAL, plan)
    except _OtherPlan:
        raise DatasetError(
            f"{folder} holds the beginning of {out.name} made from other data, or with other options. Finish that "
            "first, choose another folder, or delete it."
        ) from None


def _allocated(path: Path) -> int:
    """Bytes that a file takes on disk; holes in it take none."""
    status = path.stat()
    return getattr(status, "st_blocks", status.st_size // 512) * 512
