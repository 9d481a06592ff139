"""The four taggers in the package musicnn (Pons and Serra 2019), without TensorFlow and without running its code.

Its wheel lies in every package index; pip fetches it once. Only the data files of the checkpoints are read.

Taught in: 04_supervised.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mclass import models, vocabulary
from mclass._utils.download import file_sha256
from mclass._utils.files import replacing, user_path, writing
from mclass.datasets.storage.cache import home
from mclass.errors import DownloadError, ModelError
from mclass.models import WaveformModel
from mclass.models.pretrained import tensorflow
from mclass.models.pretrained.catalogue import Checkpoint

REQUIREMENT = "musicnn==0.1.0"
WHEEL = "musicnn-0.1.0-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
NOTICE = "musicnn-0.1.0.dist-info/LICENSE.md"
_MOST_BYTES = 10_000_000  # of a data file
_PATIENCE = 600  # seconds that pip may take


@dataclass(frozen=True)
class PackagedCheckpoint(Checkpoint):
    """Weights inside the wheel; `path` is the data file's there, `sha256` its checksum."""

    license: str = "ISC, (c) 2019 Music Technology Group, Universitat Pompeu Fabra; Jordi Pons"

    @property
    def url(self) -> str:
        """The page of the package."""
        return "https://pypi.org/project/musicnn/0.1.0/"


def _entry(
    name: str, architecture: str, sha256: str, data: str, roc_auc: float, pr_auc: float
) -> PackagedCheckpoint:
    dataset, model = name.split("_")
    names = vocabulary.MAGNATAGATUNE if dataset == "mtt" else vocabulary.MSD
    path = f"musicnn/{dataset.upper()}_{model}/.data-00000-of-00001"
    scores = {"trained_on": data, "roc_auc": roc_auc, "pr_auc": pr_auc}
    return PackagedCheckpoint(f"pons/{name}", architecture, path, sha256, names, **scores)


CATALOGUE = {
    entry.name: entry
    for entry in (
        _entry(
            "mtt_musicnn",
            "musicnn_original",
            "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
            "MagnaTagATune",
            0.9067,
            0.3831,
        ),
        _entry(
            "msd_musicnn",
            "musicnn_original",
            "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
            "Million Song Dataset",
            0.8802,
            0.2891,
        ),
        _entry(
            "mtt_vgg",
            "vgg",
            "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303",
            "MagnaTagATune",
            0.9030,
            0.3823,
        ),
        _entry(
            "msd_vgg",
            "vgg",
            "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc",
            "Million Song Dataset",
            0.8768,
            0.2819,
        ),
    )
}


def load(
    name: str, path: str | os.PathLike | None = None, *, progress: bool = True, fast: bool = True
) -> WaveformModel:
    """One of the four taggers; `mclass.pretrained.load` calls this.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.
    path : path, optional
        The wheel, the folder of the installed package, or the data file. If not given, the first of: the wheel
        below ``MCLASS_CHECKPOINTS``, the wheel in ``MCLASS_HOME/checkpoints/pons``, the installed package, and
        what ``pip download`` gets from the index that it is set up for.
    progress : bool
        Let pip say what it does.
    fast : bool
        As for `mclass.models.create`.

    Raises
    ------
    ModelError
        If what is at `path` is damaged, or not what was published.
    FileNotFoundError
        If nothing is at `path`.
    DownloadError
        If pip cannot fetch the wheel; the message says what to put where.
    """
    entry = CATALOGUE[name]
    source = Path(path) if path is not None else _given() or _kept() or _installed(entry) or fetch(progress)
    data = _data(entry, source)
    model = models.create(entry.architecture, num_tags=len(entry.tags), fast=fast)
    model.load_state_dict(tensorflow.read(data, entry.architecture, model.state_dict()), strict=False)
    model.tags = [*entry.tags]
    return model.eval()


def is_here(name: str) -> bool:
    """Whether the weights are on this machine already."""
    kept = home() / "checkpoints" / "pons" / WHEEL
    return kept.exists() or _given() is not None or _installed(CATALOGUE[name]) is not None


def _given() -> Path | None:
    """The wheel below ``MCLASS_CHECKPOINTS``, if it is there."""
    chosen = os.environ.get("MCLASS_CHECKPOINTS", "").strip()
    root = user_path(chosen)
    candidates = [root] if root.suffix == ".whl" else [root / WHEEL, root / "pons" / WHEEL]
    return next((path for path in candidates if chosen and path.is_file()), None)


def _kept() -> Path | None:
    """The wheel that an earlier download left, checked."""
    path = home() / "checkpoints" / "pons" / WHEEL
    if not path.exists():
        return None
    if file_sha256(path) != SHA256:
        raise ModelError(
            f"{path} is not the wheel that belongs there (SHA-256 {file_sha256(path)}, expected {SHA256}). "
            "Delete it to fetch it again"
        )
    return path


def _installed(entry: Checkpoint) -> Path | None:
    """The folder of the installed package, found without importing it."""
    spec = importlib.util.find_spec("musicnn")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return next((folder for folder in folders if (folder.parent / entry.path).is_file()), None)


def fetch(progress: bool = True) -> Path:
    """Let pip download the wheel into ``MCLASS_HOME``, whole and checked, with its license beside it.

    Raises
    ------
    DownloadError
        If pip is missing, its index cannot be reached or lacks the package, or the wheel is not the published one.
    """
    target = home() / "checkpoints" / "pons" / WHEEL
    by_hand = f"By hand: pip download --no-deps {REQUIREMENT}, and put {WHEEL} into {target.parent}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target, wait=True):  # of two processes, one fetches
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            # A wheel only: building a source distribution would run its code.
            options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
            command = [sys.executable, "-m", "pip", "download", *options, "--retries=1", f"--dest={folder}"]
            try:
                done = subprocess.run(
                    [*command, REQUIREMENT],
                    stdin=subprocess.DEVNULL,
                    stdout=None if progress and sys.stdout.isatty() else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    timeout=_PATIENCE,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise DownloadError(f"pip did not fetch {REQUIREMENT}: {error}. {by_hand}") from None
            wheel = Path(folder, WHEEL)
            if done.returncode or not wheel.is_file():
                said = [
                    line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line
                ]
                reason = said[-1].removeprefix("ERROR: ") if said else "it did not say why"
                raise DownloadError(f"pip cannot fetch {REQUIREMENT} from its package index: {reason}. {by_hand}")
            if (found := file_sha256(wheel)) != SHA256:
                rejected = wheel.replace(target.with_name(f"{WHEEL}.rejected"))
                raise DownloadError(
                    f"the {WHEEL} of this package index has the SHA-256 {found}, expected {SHA256}: damaged on "
                    f"the way, or not the published one. It is kept as {rejected} and not used. {by_hand}"
                )
            with replacing(target.with_name("LICENSE.md")) as notice:
                notice.write_bytes(_member(wheel, NOTICE))
            wheel.replace(target)
    return target


def _data(entry: Checkpoint, source: Path) -> bytes:
    """The data file of a checkpoint out of a wheel, a package's folder or a file; checked."""
    if source.is_dir():
        places = (
            source / entry.path,
            source.parent / entry.path,
            source / Path(entry.path).relative_to("musicnn"),
        )
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise ModelError(f"{source} is a folder without {entry.path}; give the wheel {WHEEL}, or its folder")
        data = _whole(file)
    elif not source.is_file():
        raise FileNotFoundError(f"no such file: {source}")
    elif zipfile.is_zipfile(source) or source.suffix == ".whl":
        data = _member(source, entry.path)
    else:
        data = _whole(source)
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise ModelError(
            f"{source} does not hold the published weights of {entry.name}: the SHA-256 of {entry.path} is "
            f"{found}, expected {entry.sha256}. Fetch {REQUIREMENT} again"
        )
    return data


def _whole(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror or error}") from None


def _member(wheel: Path, name: str) -> bytes:
    """A file of the wheel, never more than there may be."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(name) as stream:
            return stream.read(_MOST_BYTES)
    except KeyError:
        raise ModelError(f"{wheel} has no {name}; it is not {WHEEL}") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{wheel} is damaged ({error}). Fetch {REQUIREMENT} again") from None
