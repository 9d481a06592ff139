"""Models on disk: one file that says what the model is, what its outputs mean, and its weights.

Taught in: 04_supervised.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mclass
from mclass._utils.files import replacing, user_path
from mclass._utils.schemas import ModelFile, check, check_sizes
from mclass.errors import ModelError
from mclass.models.base import WaveformModel
from mclass.models.registry import create
from mclass.models.weights import below, choose, find_weights, plain_names, unwrapped

FORMAT = "mclass model"


def save(
    model: WaveformModel, path: str | os.PathLike, *, tags: Sequence[str], multilabel: bool = True, **extra
) -> Path:
    """Write a model.

    The file is a plain dictionary: nothing in it is code. It appears complete or not at all. What
    `mclass.models.create` built can be read by `load`; the weights of a class of your own by `load_weights`.

    Parameters
    ----------
    model : WaveformModel
        Or one that ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` wraps: the model inside is
        written.
    path : path
    tags : sequence of str
        Names of the outputs.
    multilabel : bool
        Whether several tags may hold at once.
    **extra
        Numbers, strings, lists or dictionaries to keep along (scores, the name of the data set).

    Raises
    ------
    ModelError
        If `tags` does not name every output once, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mclass import models
    >>> path = Path(tempfile.mkdtemp(), "model.pt")
    >>> _ = save(models.create("cnn_1d", num_tags=2), path, tags=["guitar", "sitar"], accuracy=0.9)
    >>> model = load(path)
    >>> model.tags, model.extra
    (['guitar', 'sitar'], {'accuracy': 0.9})
    """
    model = unwrapped(model)
    tags = [str(tag) for tag in tags]
    if len(tags) != model.num_tags or len(set(tags)) != len(tags):
        raise ModelError(
            f"the model has {model.num_tags} outputs; got {len(tags)} tags, {len(set(tags))} of them different"
        )
    content = {
        "format": FORMAT,
        "mclass_version": mclass.__version__,
        "architecture": getattr(model, "architecture", None),
        "class": type(model).__name__,
        "options": getattr(model, "options", {}),
        "num_tags": model.num_tags,
        "tags": tags,
        "multilabel": bool(multilabel),
        "sample_rate": model.sample_rate,
        "num_samples": model.num_samples,
        "state_dict": {name: value.detach().cpu() for name, value in plain_names(model.state_dict()).items()},
        "extra": extra,
    }
    return write_atomically(content, path)


def load(path: str | os.PathLike, *, fast: bool = True) -> WaveformModel:
    """Read a model that `save` wrote; it is in eval mode and carries its `tags`, `multilabel` and `extra`.

    See `save` for an example.

    Parameters
    ----------
    path : path
    fast : bool
        As for `mclass.models.create`. Files hold only weights, so either form reads what the other saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelError
        If the file is not a model of this package, is damaged, or needs a newer version of it.
    """
    content = read_torch(path)
    if _is_not(content, FORMAT) and find_weights(content) is not None:
        raise ModelError(
            f"{path} is a torch file, but not a {FORMAT} file. It holds weights alone: build the model and call "
            "mclass.models.load_weights(model, path)"
        )
    content = _checked(content, path, FORMAT, ModelFile)
    if content.get("architecture") is None:
        raise ModelError(
            f"{path} holds the weights of a class of your own, {content.get('class')}; "
            "build the model and call mclass.models.load_weights(model, path)"
        )
    if len(content["tags"]) != content["num_tags"]:
        raise ModelError(f"{path} is damaged: {len(content['tags'])} tags for {content['num_tags']} outputs")
    try:
        options = content.get("options", {})
        model = create(content["architecture"], num_tags=content["num_tags"], fast=fast, **options)
        fill(model, content["state_dict"])
        model.tags, model.multilabel = [*content["tags"]], content["multilabel"]
        model.sample_rate, model.num_samples = content["sample_rate"], content["num_samples"]
        model.extra = dict(content.get("extra", {}))
        if not model.min_samples <= model.num_samples <= 3600 * model.sample_rate:
            raise ModelError(f"chunks of {model.num_samples} samples")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{path} was written by mclass {content.get('mclass_version', '?')} and this is {mclass.__version__}: "
            f"its model cannot be built ({reason})"
        ) from None
    return model.eval()


def load_weights(model: WaveformModel, path: str | os.PathLike) -> WaveformModel:
    """Put the weights in a file into `model`; returns it.

    Parameters
    ----------
    model : WaveformModel
    path : path
        A file that `save` wrote, which also names the tags and says whether several may hold at once; or one that
        ``torch.save`` wrote of a state dict or of a checkpoint, with whatever compiled models, DDP, Lightning or a
        task put before the names of the parameters.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelError
        If the file is damaged, holds no weights or those of another model, or holds several copies of the model.

    Examples
    --------
    >>> import tempfile
    >>> from mclass import models
    >>> path, model = Path(tempfile.mkdtemp(), "lightning.ckpt"), models.create("cnn_1d", num_tags=2)
    >>> inside = {f"net.{name}": value for name, value in model.state_dict().items()}
    >>> torch.save({"epoch": 3, "state_dict": inside}, path)
    >>> load_weights(models.create("cnn_1d", num_tags=2), path) is not None
    True
    """
    content = read_torch(path)
    ours = not _is_not(content, FORMAT)
    if ours:
        content = _checked(content, path, FORMAT, ModelFile)
    weights = find_weights(content.get("state_dict") if ours else content)
    if weights is None:
        raise ModelError(f"{path} is a torch file, but it does not hold the weights of a model")
    target = unwrapped(model)
    names = plain_names(target.state_dict()).keys()
    found = choose(weights, lambda inside: names == inside.keys())
    if len(found) > 1:
        copies = " and ".join(repr(prefix) for prefix in found)
        raise ModelError(
            f"{path} holds several copies of the model, below {copies}: save the one you want by itself"
        )
    if found:
        weights = below(weights, found[0])
    try:
        fill(target, weights)
        if ours:
            target.tags, target.multilabel = [*content["tags"]], content["multilabel"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        held = f"a {content.get('class')} with {content.get('num_tags')} outputs" if ours else "other weights"
        raise ModelError(
            f"{path} holds {held}; its weights do not fit this {type(target).__name__} with {target.num_tags} "
            f"({str(error).strip().splitlines()[-1].strip()})"
        ) from None
    return model


def fill(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load weights: all that the module has, of its shapes and kinds of numbers, and finite.

    Either side's names may have the marks of parts that are compiled.

    Raises
    ------
    ValueError, RuntimeError
        If they are not.
    """
    own = module.state_dict()
    marked = dict(zip(plain_names(own), own, strict=True))
    weights = {marked.get(name, name): value for name, value in plain_names(weights).items()}
    for name, there in own.items():
        value = weights.get(name)
        if not isinstance(there, torch.Tensor) or name not in weights:  # what is missing torch lists
            continue
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_meta:
            raise ValueError(f"{name} is no plain tensor")
        if value.is_floating_point() != there.is_floating_point() or value.is_complex():
            raise ValueError(f"{name} is of the type {value.dtype}, not {there.dtype}")
        if value.shape == there.shape and not (value.isfinite() | ~there.isfinite().to(value.device)).all():
            raise ValueError(f"{name} holds NaN or infinity")
    module.load_state_dict(weights)


def write_atomically(content: dict, path: str | os.PathLike) -> Path:
    """``torch.save`` to a temporary name in the same folder, then rename: a kill leaves the old or the new."""
    path, content = user_path(path), _plain(content)
    buffer = io.BytesIO()  # written to a full disk, torch.save hides the system's error behind one of its own
    try:
        torch.save(content, buffer)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def _plain(content: Any) -> Any:
    """Python's own numbers and strings in place of numpy's, which nothing that runs no code can read back."""
    if isinstance(content, np.generic):
        return content.item()
    if type(content) is dict:  # not a state dict, which knows more than its entries
        return {_plain(key): _plain(value) for key, value in content.items()}
    if type(content) in (list, tuple):
        return type(content)(_plain(value) for value in content)
    return content


def read_checkpoint(path: str | os.PathLike, expected: str, schema: type) -> dict:
    """Read what `write_atomically` wrote, of such a ``"format"`` and as `schema` says; never runs code in it."""
    return _checked(read_torch(path), path, expected, schema)


def _is_not(content: Any, expected: str) -> bool:
    return not isinstance(content, dict) or content.get("format") != expected


def _checked(content: Any, path: str | os.PathLike, expected: str, schema: type) -> dict:
    if _is_not(content, expected):
        raise ModelError(f"{path} is a torch file, but not a {expected} file")
    try:
        check(schema, content)
    except ValueError as error:
        raise ModelError(f"{path} is damaged, or was changed: {error}") from None
    return content


def read_torch(path: str | os.PathLike) -> Any:
    """Read tensors and plain containers from a file of ``torch.save``, old format or new; never runs code in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelError
        If the file is damaged, is not torch's, or holds anything but tensors and plain containers.
    """
    path = user_path(path)
    if path.is_dir():
        raise ModelError(f"{path} is a folder; a model is a file such as {path / 'model.pt'}")
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():  # to open a pipe would wait for somebody to write to it
        raise ModelError(f"{path} is a pipe or device; a model is a file")
    damaged = f"{path} is damaged (truncated?) or is not a file that torch.save wrote"
    try:
        kind = _kind(path)
        if kind != "torch":
            raise ModelError(f"{path} is empty" if kind == "empty" else damaged)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "unsupported" not in str(error).lower():  # "Unsupported global", …: torch's own refusal
            raise ModelError(damaged) from None
        raise ModelError(
            f"{path} holds Python objects that could run code when loaded; refused. "
            "mclass.models.save writes plain weights: was this saved with torch.save(model)?"
        ) from None
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception:  # whatever a damaged file makes torch raise
        raise ModelError(damaged) from None


def _kind(path: Path) -> str:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_sizes(archive)
        return "torch"
    with path.open("rb") as file:
        start = file.read(14)
    # torch's format before 1.6: a pickle that starts with a magic number of ten bytes
    old = start[2:] == b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
    return "torch" if old else "unknown" if start else "empty"
