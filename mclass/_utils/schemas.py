"""What the files that this package writes must hold: one schema each, checked whenever one is read.

Somebody may have changed a file, or it is of another program. What a reader then gets is one error that says which
field is wrong. Fields that a schema does not know are let through, so that newer files can be read.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mclass._utils.arguments import explained
from mclass.errors import shortened

_RULES = ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True)
Size = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Rate = Annotated[int, Field(ge=1, le=1_000_000)]  # in Hz
Part = Literal["train", "valid", "test"]


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("must not name anything twice")
    return names


def _beside(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError("must be the name of a file in the same folder")
    return name


Tags = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
FileName = Annotated[str, AfterValidator(_beside)]
Columns = Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]], AfterValidator(_distinct)]


class ModelFile(TypedDict):
    """``model.pt``, without what is in its tensors."""

    __pydantic_config__ = _RULES

    architecture: NotRequired[str | None]
    options: NotRequired[dict[str, Any]]
    num_tags: Count
    tags: Tags
    multilabel: bool
    sample_rate: Rate
    num_samples: Count
    state_dict: Mapping[str, Any]
    extra: NotRequired[dict[str, Any]]


class RunState(TypedDict):
    """``last.ckpt`` of a run."""

    __pydantic_config__ = _RULES

    config: dict[str, Any]
    rows: Annotated[list[dict[str, int | float]], Field(min_length=1)]
    task: Mapping[str, Any]
    optimizers: Annotated[list[dict[str, Any]], Field(min_length=1)]
    schedulers: list[dict[str, Any]]
    precision: NotRequired[dict[str, Any] | None]


class RunOptions(TypedDict):
    """What ``mclass evaluate`` takes over from ``options`` in the ``report.json`` of a run."""

    __pydantic_config__ = _RULES

    dataset: str
    root: NotRequired[str | None]
    labels: NotRequired[str | None]
    pattern: NotRequired[str | None]
    group: NotRequired[str | None]
    option: NotRequired[list[str]]
    skip_bad: NotRequired[bool]
    split_by: NotRequired[Literal["published", "artist", "track", "clip"] | None]
    seed: NotRequired[Size]


class RunReport(TypedDict):
    """``report.json`` of a run; of a recipe's it has no options."""

    __pydantic_config__ = _RULES

    options: NotRequired[RunOptions | None]


class Manifest(TypedDict):
    """``manifest.json`` of prepared data."""

    __pydantic_config__ = _RULES

    name: str
    tags: Tags
    multilabel: bool
    sample_rate: Rate
    encoding: Literal["int16", "float16", "float32", "flac"]
    splits: Columns
    extras: Columns
    fingerprint: str
    plan: dict[str, Any]


class Shard(TypedDict):
    """One of the shards that an index describes."""

    __pydantic_config__ = _RULES

    name: FileName
    part: Part
    clips: Size
    tag_counts: list[Size]
    shortest: Size
    longest: Size


class ShardIndex(TypedDict):
    """``index.json`` of a folder of shards."""

    __pydantic_config__ = _RULES

    name: str
    tags: Tags
    multilabel: bool
    sample_rate: Rate
    encoding: Literal["flac", "wav", "npy"]
    fingerprint: str
    shards: Annotated[list[Shard], Field(min_length=1)]


class ShardMember(TypedDict):
    """The ``.json`` of an example in a shard."""

    __pydantic_config__ = _RULES

    index: Size
    tags: list[str]
    samples: Count
    track: NotRequired[str | int]
    artist: NotRequired[str | int]
    name: NotRequired[str]
    crc32: NotRequired[int | None]


class _Formatted(TypedDict):
    __pydantic_config__ = _RULES

    format: str


def check(schema: Any, content: Any) -> None:
    """Refuse `content` if it is not as `schema` says.

    Raises
    ------
    ValueError
        Which names the first field that is wrong.
    """
    try:
        TypeAdapter(schema).validate_python(content)
    except ValidationError as error:
        raise ValueError(explained(error)) from None


def read_json(schema: Any, text: bytes | str, expected: str | None = None) -> Any:
    """What `text` holds as JSON, if it is as `schema` says, and of the ``"format"`` that is expected.

    Raises
    ------
    ValueError
        Also if it is nested deeper than any of our files.
    """
    try:
        if expected is not None:
            found = _validate(_Formatted, text)["format"]
            if found != expected:
                raise ValueError(f"its format is {shortened(found)}, not {expected!r}")
        return _validate(schema, text)
    except ValidationError as error:
        raise ValueError(explained(error)) from None


# Names of files that are not UTF-8 have halves of surrogate pairs, for which pydantic has no place; Unicode keeps
# these places, one for each half, for private use.
_PLACES = {half: half + 0x100000 for half in range(0xD800, 0xE000)}
_HALVES = {place: half for half, place in _PLACES.items()}


def _validate(schema: Any, text: bytes | str) -> Any:
    """`text` as `schema` makes it of JSON."""
    try:
        return TypeAdapter(schema).validate_json(text)
    except ValidationError as error:
        if "surrogate" not in str(error):
            raise
    moved = json.dumps(_translated(json.loads(text), _PLACES))
    return _translated(TypeAdapter(schema).validate_json(moved), _HALVES)


def _translated(content: Any, table: Mapping[int, int]) -> Any:
    if isinstance(content, str):
        return content.translate(table)
    if isinstance(content, list | tuple):
        return type(content)(_translated(one, table) for one in content)
    if isinstance(content, dict):
        return {_translated(key, table): _translated(value, table) for key, value in content.items()}
    return content


_SMALL = 64 << 20  # bytes
_RATIO = 100  # no array that this package writes is compressed so well
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that a few bytes would blow up to more than any memory holds.

    Raises
    ------
    ValueError
    """
    for member in archive.infolist():
        if member.file_size > max(_SMALL, _RATIO * member.compress_size):
            raise ValueError(f"{member.filename} claims to become {member.file_size:,} bytes")


def read_arrays(path: Path, needed: Mapping[str, tuple[str, int]]) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file; nothing in it is run as code, and nothing is unpacked that is too large.

    Parameters
    ----------
    path : Path
    needed : mapping
        What must be there: kinds of numbers (as in ``dtype.kind``, such as "iu") and dimensions, by name.

    Raises
    ------
    ValueError
        If it is damaged, an array is missing, of another kind or not finite, or claims to be far larger than the
        file.
    FileNotFoundError
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            check_sizes(archive)
            for member in archive.infolist():
                with archive.open(member) as file:
                    header = _HEADERS[np.lib.format.read_magic(file)](file)
                if math.prod(header[0]) * header[2].itemsize > member.file_size:
                    raise ValueError(f"{member.filename} is cut off")
                with archive.open(member) as file:
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged archive makes zipfile, zlib or numpy raise
        raise ValueError(
            f"it is damaged or no .npz file ({' '.join(str(error).split()) or type(error).__name__})"
        ) from None
    for name, (kinds, dimensions) in needed.items():
        if name not in arrays:
            raise ValueError(f"it has no {name}")
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            raise ValueError(f"{name} has the type {array.dtype} and the shape {array.shape}, which cannot be")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity")
    return arrays
