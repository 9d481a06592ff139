"""Examples out of a tar shard: paired, checked, decoded in memory.

Taught in: 02_datasets.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile

from mclass._utils.schemas import ShardMember, read_json
from mclass.datasets.storage.shards import open_anywhere
from mclass.errors import DatasetError

_LARGEST = 1 << 30  # bytes of a member; more is a damaged header, or a trap


class Example(NamedTuple):
    """One example as it lies in a shard: what is known about it, the sound's encoding, and its bytes."""

    about: dict
    encoding: str
    sound: bytes


class DamagedShard(DatasetError):
    """A shard cannot be read, or not to its end; names the shard and the member."""


def read_shard(path: str, skip: int, take: int, held: int) -> Iterator[Example | DamagedShard]:
    """Examples of a shard, in their order; members are read into memory, never unpacked to disk.

    Parameters
    ----------
    path : str
        Or an address.
    skip, take : int
        Pass over so many examples, then give so many.
    held : int
        Examples in the shard, as its index says.

    Yields
    ------
    Example, or DamagedShard
        An error is given in the place of an example whose own members are bad. It is raised if the shard cannot
        be read on.
    """
    passed, key, about, last = 0, "", None, "its beginning"
    local = "://" not in path  # members that are passed over are then not even read
    try:
        with open_anywhere(path) as file, tarfile.open(fileobj=file, mode="r:" if local else "r|") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                last = f"member {member.name!r}"
                name, _, suffix = member.name.partition(".") if "/" not in member.name else _split(member.name)
                if suffix == "json":
                    key, about = name, (_content(tar, member, path) if passed >= skip else b"")
                    continue
                if passed < skip:
                    passed += 1
                    continue
                yield _example(path, member.name, key == name, about, suffix, _content(tar, member, path))
                passed += 1
                if passed == skip + take:
                    return
    except (OSError, tarfile.TarError, zlib.error, EOFError, ImportError) as error:
        if isinstance(error, FileNotFoundError):
            raise DamagedShard(f"{path}: no such shard, though the index names it") from None
        raise DamagedShard(f"{path}: damaged or cut off at {last}: {error}") from None
    raise DamagedShard(f"{path}: ends after {passed} of {held} clips, at {last}: it is cut off or damaged")


def _split(name: str) -> tuple[str, str, str]:
    folder, _, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return f"{folder}/{stem}", dot, suffix


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    if member.size > _LARGEST:
        raise DamagedShard(f"{path}: member {member.name!r} claims {member.size} bytes, which is absurd")
    content = tar.extractfile(member).read()
    if len(content) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _example(path: str, name: str, paired: bool, about: bytes | None, suffix: str, sound: bytes):
    if not paired or about is None:
        return DamagedShard(f"{path}: member {name!r} does not follow a json of the same name")
    try:
        parsed = read_json(ShardMember, about)
    except ValueError as error:
        return DamagedShard(f"{path}: the json of member {name!r} is damaged ({error})")
    if parsed.get("crc32") is not None and zlib.crc32(sound) != parsed["crc32"]:
        return DamagedShard(f"{path}: member {name!r} is damaged: its checksum differs")
    return Example(parsed, suffix, sound)


def decode(path: str, example: Example, start: int, count: int, sample_rate: int) -> np.ndarray:
    """A part of an example's sound, shape (count,), float32."""
    name = f"{example.about.get('index')}.{example.encoding}"
    try:
        if example.encoding == "npy":
            samples = np.load(io.BytesIO(example.sound), allow_pickle=False)[start : start + count]
            samples = samples.astype(np.float32)
        else:
            with soundfile.SoundFile(io.BytesIO(example.sound)) as file:
                if file.samplerate != sample_rate:
                    raise DamagedShard(f"{path}: {name} has {file.samplerate} Hz, and {sample_rate} belong there")
                file.seek(start)
                samples = file.read(count, dtype="float32", always_2d=True).mean(axis=1)
    except (soundfile.LibsndfileError, ValueError, EOFError) as error:
        if isinstance(error, DamagedShard):
            raise
        raise DamagedShard(f"{path}: {name} cannot be decoded: {error}") from None
    if samples.ndim != 1 or samples.size != count:
        raise DamagedShard(f"{path}: {name} is shorter than its json says")
    return samples


def list_members(path: str) -> list[tuple[dict, tuple[str, int, int, str]]]:
    """What is known about each clip of a shard, and where its sound lies in the file."""
    found, about = [], None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    about = read_json(ShardMember, _content(tar, member, path))
                elif member.isfile():
                    if about is None:
                        raise ValueError(f"member {member.name!r} has no json")
                    found.append((about, (path, member.offset_data, member.size, member.name.rpartition(".")[2])))
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        raise DamagedShard(f"{path}: damaged, cut off, or not there: {error}") from None
    return found
