"""Published weights of music taggers, in our models.

>>> from mclass import pretrained
>>> len(pretrained.list()), pretrained.list()[-4:]
(30, ['pons/msd_musicnn', 'pons/msd_vgg', 'pons/mtt_musicnn', 'pons/mtt_vgg'])

``pretrained.load("mtat/musicnn")`` downloads 3 MB once, into ``MCLASS_HOME``; what begins with ``pons/`` comes out
of a wheel of 29 MB that pip fetches from whatever package index it uses; what begins with ``etude/`` comes with
the package. With ``MCLASS_CHECKPOINTS`` set to a folder that has the files (or to one file), nothing is
downloaded.

Taught in: 04_supervised.
"""

from __future__ import annotations

import builtins
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from mclass import models, vocabulary
from mclass._utils.download import download, file_sha256
from mclass._utils.files import user_path
from mclass.datasets.storage.cache import home
from mclass.errors import DownloadError, ModelError, unknown_name
from mclass.models import WaveformModel
from mclass.models.checkpoints import read_torch
from mclass.models.pretrained import pons, shipped
from mclass.models.pretrained.catalogue import CATALOGUE, Checkpoint
from mclass.models.pretrained.names import OPTIONAL, TABLES, translate
from mclass.models.weights import below, choose, find_weights, plain_names

__all__ = ["DEFAULTS", "Checkpoint", "default", "from_original", "info", "list", "load"]

# What is taken if nobody asks for other weights. The first comes out of any package index, the second from GitHub.
DEFAULTS = ("pons/mtt_musicnn", "mtat/musicnn")

# Published only as files to fetch by hand: what their outputs mean if they have 50.
_TAGS = {"clmr_sample_cnn": vocabulary.MAGNATAGATUNE, "music_tagging_transformer": vocabulary.MSD_CALS}


def list() -> builtins.list[str]:
    """Names that `load` knows: ``data set/architecture``, ``pons/data set_architecture``, or ``etude/…``."""
    return sorted(_known())


def _known() -> dict[str, Checkpoint]:
    return CATALOGUE | pons.CATALOGUE | shipped.catalogue()


def info(name: str) -> Checkpoint:
    """What is known of a published checkpoint.

    Examples
    --------
    >>> info("jamendo/fcn").tags[:2]
    ('genre---alternative', 'genre---ambient')
    >>> info("mtat/music")
    Traceback (most recent call last):
    mclass.errors.ModelError: unknown published model 'mtat/music' (did you mean 'mtat/musicnn'?); available: ...
    """
    known = _known()
    if name not in known:
        raise ModelError(unknown_name("published model", name, list()))
    return known[name]


def default(*, progress: bool = True) -> str:
    """Name of the published weights that are taken when nobody asks for others; fetched if they are not here.

    The first of `DEFAULTS` that is on this machine; if none is, the first that can be fetched.

    Parameters
    ----------
    progress : bool
        Show what is fetched.

    Raises
    ------
    DownloadError
        If none can be had; the message says why, for each, and what else there is.

    Examples
    --------
    >>> model = load(default())  # doctest: +SKIP
    """
    for name in DEFAULTS:
        if _is_here(name):
            return name
    reasons = []
    for name in DEFAULTS:
        try:
            load(name, progress=progress)
        except DownloadError as error:
            reasons.append(f"{name}: {error}")
        else:
            return name
    own = [name for name in shipped.catalogue() if shipped.catalogue()[name].scores]
    advice = f"Without a network: {' or '.join(own)}, trained on synthetic music. " if own else ""
    raise DownloadError(f"no published weights can be had. {advice}{' | '.join(reasons)}")


def _is_here(name: str) -> bool:
    if name in pons.CATALOGUE:
        return pons.is_here(name)
    return _local(info(name)) is not None or (home() / "checkpoints" / f"{name}.pth").exists()


def load(
    name: str, path: str | os.PathLike | None = None, *, progress: bool = True, fast: bool = True
) -> WaveformModel:
    """A model with its published weights.

    Parameters
    ----------
    name : str
        One of `list()`; or, with `path`, an architecture whose original is known, such as ``"clmr_sample_cnn"`` or
        ``"music_tagging_transformer"``, whose weights have to be fetched by hand.
    path : path, optional
        A file to use unchecked; for ``pons/…``, the wheel of the package musicnn, or the folder where it is
        installed, which are checked. If not given: a file below ``MCLASS_CHECKPOINTS`` (see Notes), else
        the download in ``MCLASS_HOME/checkpoints``.
    progress : bool
        Show a bar while downloading.
    fast : bool
        As for `mclass.models.create`.

    Returns
    -------
    WaveformModel
        In eval mode, with its `tags`, `sample_rate` and `num_samples`.

    Raises
    ------
    ModelError
        If the name is unknown, or a file is damaged, of another architecture, or not the one that was published.
    FileNotFoundError
        If there is no file at `path`.
    DownloadError
        If it cannot be downloaded; the message says what to put where.

    Notes
    -----
    ``MCLASS_CHECKPOINTS`` may be a copy of the authors' ``models`` folder (``mtat/musicnn/best_model.pth``), a
    folder of files named ``mtat_musicnn.pth``, or one file. Files are read with ``weights_only=True``: nothing
    in them is executed. Where no checksum is known, the first download is trusted, and a warning says so.

    Examples
    --------
    >>> model = load("mtat/musicnn")  # doctest: +SKIP
    >>> mclass.inference.tag("song.mp3", model).top(3)  # doctest: +SKIP
    """
    if name in pons.CATALOGUE:
        return pons.load(name, path, progress=progress, fast=fast)
    if path is None and name in shipped.catalogue():
        return shipped.load(name, fast=fast)
    if path is not None:
        architecture = CATALOGUE[name].architecture if name in CATALOGUE else name
        if architecture not in TABLES:
            known = ", ".join(sorted(TABLES))
            raise ModelError(f"{unknown_name('published model', name, list())}; with path=, also: {known}")
        names = CATALOGUE[name].tags if name in CATALOGUE else _TAGS.get(architecture)
        return _build(architecture, Path(path), names, fast)
    checkpoint = info(name)
    local = _local(checkpoint)
    if local is not None:
        if checkpoint.sha256 and file_sha256(local) != checkpoint.sha256:
            raise ModelError(
                f"{local} is not the published {name}: its SHA-256 is {file_sha256(local)}, expected "
                f"{checkpoint.sha256}. To use it as it is: load({name!r}, path=...)"
            )
        return _build(checkpoint.architecture, local, checkpoint.tags, fast)
    target = home() / "checkpoints" / f"{name}.pth"
    if not target.exists() and checkpoint.sha256 is None:
        warnings.warn(
            f"no checksum is known for {name}: what is downloaded now is trusted, and checked from then on",
            stacklevel=2,
        )
    download(checkpoint.url, target, checkpoint.sha256, progress)
    return _build(checkpoint.architecture, target, checkpoint.tags, fast)


def from_original(name: str, state_dict: Mapping[str, torch.Tensor], *, fast: bool = True) -> WaveformModel:
    """Build a model from the weights of its original implementation.

    Parameters
    ----------
    name : str
        Our name of the architecture, one of `mclass.models.list`.
    state_dict : mapping of str to torch.Tensor
        Under the original names, with whatever compiled models, DDP or Lightning put before them. Buffers that are
        no weights (mel filters, windows) may be absent.
    fast : bool
        As for `mclass.models.create`.

    Returns
    -------
    WaveformModel
        In eval mode, with as many outputs as the weights have; it does not know its tags. An encoder that was
        trained without labels has no output layer: its head is a fresh one, and a warning says so.

    Raises
    ------
    ModelError
        If no original of that name is known, or the weights are those of another architecture.

    Examples
    --------
    >>> from_original("fcn", {"layer1.conv.weight": torch.zeros(8, 1, 3, 3)})
    Traceback (most recent call last):
    mclass.errors.ModelError: these are not the weights of 'fcn': ...
    """
    if name not in TABLES:
        raise ModelError(unknown_name("original architecture", name, TABLES))
    refused = f"these are not the weights of {name!r}: "
    state_dict = plain_names(state_dict)
    fitting = choose(state_dict, lambda inside: any(_is_known(name, key) for key in inside))
    if len(fitting) > 1:
        raise ModelError(
            f"{refused}there are several networks, below {' and '.join(map(repr, fitting))}; give one"
        )
    if fitting:
        state_dict = below(state_dict, fitting[0])
    try:
        ours = {translate(TABLES[name], key): value for key, value in state_dict.items()}
    except KeyError as error:
        raise ModelError(f"{refused}the original has no {error.args[0]!r}") from None
    ours.pop(None, None)
    output = max(path for path in TABLES[name].values() if path.startswith("head")) + ".weight"
    num_tags = len(ours[output]) if output in ours and ours[output].ndim else 50
    model = models.create(name, num_tags=num_tags, fast=fast)
    own = model.state_dict()
    for key, value in ours.items():
        if key not in own or own[key].shape != value.shape:
            expected = tuple(own[key].shape) if key in own else "nothing of that name"
            raise ModelError(f"{refused}{key!r} has shape {tuple(value.shape)}, expected {expected}")
        if not value.isfinite().all():
            raise ModelError(f"{refused}{key!r} holds NaN or infinity")
    missing = {key for key in own.keys() - ours.keys() if not key.endswith("num_batches_tracked")}
    missing = {key for key in missing if not key.startswith(OPTIONAL.get(name, ()))}
    headless = {key for key in missing if key.startswith("head.")}
    if missing and missing != headless:
        raise ModelError(f"{refused}{len(missing)} parts are missing, such as {min(missing - headless)!r}")
    if headless:
        warnings.warn(f"no output layer among the weights of {name!r}: its head is not trained", stacklevel=2)
    model.load_state_dict(ours, strict=False)
    return model.eval()


def _build(architecture: str, path: Path, names: Sequence[str] | None, fast: bool) -> WaveformModel:
    weights = find_weights(read_torch(path))
    if weights is None:
        raise ModelError(f"{path} is a torch file, but it does not hold the weights of a model")
    try:
        model = from_original(architecture, weights, fast=fast)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    if names is not None and model.num_tags != len(names):
        raise ModelError(f"{path} has {model.num_tags} outputs; {architecture} was published with {len(names)}")
    model.tags = None if names is None else [*names]
    return model


def _is_known(architecture: str, key: str) -> bool:
    """Whether a parameter of the original network has this name."""
    try:
        return translate(TABLES[architecture], key) is not None
    except KeyError:
        return False


def _local(checkpoint: Checkpoint) -> Path | None:
    """The checkpoint's file below ``MCLASS_CHECKPOINTS``; None if the variable is not set or has none."""
    chosen = os.environ.get("MCLASS_CHECKPOINTS", "").strip()
    if not chosen:
        return None
    root = user_path(chosen)
    if root.is_file():
        return root
    if not root.is_dir():
        raise ModelError(f"MCLASS_CHECKPOINTS is {chosen}, which is neither a folder nor a file")
    inside = re.sub("^models/", "", checkpoint.path)
    dataset, folder, _ = inside.split("/")
    candidates = (
        inside,
        f"{dataset}_{folder}.pth",
        f"{checkpoint.name}.pth",
        f"{checkpoint.name.replace('/', '_')}.pth",
    )
    return next((root / name for name in candidates if (root / name).is_file()), None)
