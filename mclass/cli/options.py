"""Options that several commands share, and what they stand for: data sets, models, files.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclass._utils.files import identity, is_stream, resolved, user_path
from mclass._utils.text import visible
from mclass.cli.kinds import expect

if TYPE_CHECKING:
    from mclass.datasets import MusicDataset, Subset
    from mclass.datasets.folder import Folder
    from mclass.models import WaveformModel

# Those of `mclass.models.pretrained`, which takes seconds to import.
DEFAULT_MODELS = ("pons/mtt_musicnn", "mtat/musicnn")


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Where a data set's files and labels are."""
    parser.add_argument("--root", help="folder of the data set")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--labels", help="of a folder: 'folders' (the default), or the path of a CSV or TSV file")
    how.add_argument("--pattern", help="of a folder: regular expression on file names with the group (?P<label>…)")
    parser.add_argument(
        "--group", help="of a folder: regular expression on names with (?P<artist>…) and / or (?P<track>…)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the data set, such as size=medium; may be given several times",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out missing and unusable files, and count them",
    )


def positive(kind: type, or_zero: bool = False) -> Callable:
    """A type for argparse: a number above 0, such as a count or a size can be."""

    def convert(text: str):
        if not text.isascii():  # Python reads the digits of every script
            raise ValueError
        value = kind(text)
        if not 0 <= value < 2**63 or (value == 0 and not or_zero):
            least = "0 or more" if or_zero else "positive"
            raise argparse.ArgumentTypeError(f"must be {least}, and less than 2^63, got {text}")
        return value

    convert.__name__ = {int: "whole number", float: "number"}[kind]  # argparse says "invalid … value"
    return convert


def processes(text: str) -> int:
    """A type for argparse: a number of processes, -1 for one per core."""
    return -1 if text == "-1" else positive(int)(text)


def load_dataset(options: argparse.Namespace, sample_rate: int) -> MusicDataset:
    """The data set that `add_dataset_options` and ``options.dataset`` name.

    Raises
    ------
    ValueError
        If an option is not one of the data set's, or one that it needs is missing.
    """
    from mclass import datasets

    name, of_folder = options.dataset, (options.labels, options.pattern, options.group)
    expect(
        "--root", options.root, name if name in ("prepared", "shards") else "run"
    )  # audio may lie beside a model
    expect("--labels", options.labels, "table")
    allowed = datasets.options(name)
    if ("root" not in allowed and options.root) or (name != "folder" and any(of_folder)):
        raise ValueError(f"--root, --labels, --pattern and --group are for --dataset folder, not {name}")
    if allowed.get("root") is True and not options.root:
        raise ValueError(f"--dataset {name} needs --root, the folder with the audio files")
    on_error = "skip" if options.skip_bad else "raise"
    known = {
        "root": options.root,
        "sample_rate": sample_rate,
        "labels": (options.pattern or options.labels or "folders") if name == "folder" else None,
        "group": options.group,
        "on_error": on_error,
        "missing": on_error,
        "seed": options.seed if name == "folder" else None,
    }
    given = {key: value for key, value in known.items() if value is not None and key in allowed}
    given |= _parsed(name, options.option, set(allowed) - set(given))
    if missing := [key for key, needed in allowed.items() if needed and key not in given]:
        raise ValueError(f"--dataset {name} needs --option {missing[0]}=…")
    return datasets.load(name, **given)


def load_splits(options: argparse.Namespace, sample_rate: int) -> tuple[MusicDataset, Sequence[Subset]]:
    """The data set that `options` name, and its training, validation and test clips; of a folder, what sounds.

    Raises
    ------
    ValueError
        See `load_dataset`; or if a part is empty.
    """
    dataset = load_dataset(options, sample_rate)
    parts = dataset.splits(by=options.split_by) if options.split_by else dataset.splits()
    return dataset, _without_silence(dataset, parts) if options.dataset == "folder" else parts


def _without_silence(dataset: Folder, parts: tuple[Subset, ...]) -> list[Subset]:
    """Leave out files of nothing but zeros, or that turn out damaged: a label on silence teaches nothing."""
    found = dataset.check()
    silent = set(found["silent"])
    if silent:
        names = ", ".join(visible(path) for path in sorted(silent)[:3]) + (", …" if len(silent) > 3 else "")
        print(f"{len(silent)} of {len(dataset)} files are silent and left out: {names}", file=sys.stderr)
    for path, reason in found["problems"]:
        print(visible(f"left out: {path}: {reason}"), file=sys.stderr)
        silent.add(path)
    if not silent:
        return list(parts)
    kept = [[i for i in part.indices if dataset.paths[i] not in silent] for part in parts]
    if not all(kept):
        raise ValueError("without the silent files, a part of the split is empty. Add recordings.")
    return [dataset.subset(indices) for indices in kept]


def _parsed(name: str, pairs: list[str], allowed: set[str]) -> dict[str, Any]:
    """``size=medium`` and ``merge_synonyms=true`` as arguments."""
    import json

    from mclass import datasets
    from mclass._utils.arguments import checked
    from mclass.errors import shortened, unknown_name

    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--option {shortened(pair)}: write NAME=VALUE, as in size=medium")
        if key not in allowed:
            reason = unknown_name(f"option of {name}", key, sorted(allowed))
            raise ValueError(f"--option {shortened(pair)}: {reason}")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        try:
            found |= checked(datasets.class_of(name), {key: value}, "--option")
        except ValueError as error:
            try:
                found |= checked(
                    datasets.class_of(name), {key: text}, "--option"
                )  # the 1.0 of version=1.0 is a word
            except ValueError:
                raise error from None
    return found


def add_model_options(parser: argparse.ArgumentParser, otherwise: str = ", else ".join(DEFAULT_MODELS)) -> None:
    """Which model, where it runs, and how it hears."""
    parser.add_argument("--model", help=f"published weights, the folder of a run, or its model.pt ({otherwise})")
    parser.add_argument("--hop", type=_hop, metavar="SECONDS", help="between chunks (a chunk's length)")
    parser.add_argument("--device", help="cpu, cuda or mps (cuda where there is one, else cpu)")


def _hop(text: str) -> float:
    """Seconds; less than a frame of a spectrogram shows nothing new, and takes for ever."""
    seconds = positive(float)(text)
    if not 0.01 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be from 0.01 s to a day (86400 s), got {text}")
    return seconds


def chosen_model(name: str | None) -> str:
    """The name that was given; else that of the published weights that can be had, which is said."""
    if name is not None:
        return name
    from mclass.models import pretrained

    name = pretrained.default()
    about = pretrained.info(name)
    tell(f"model: {name} (trained on {about.trained_on}; license: {about.license})")
    return name


def load_model(name: str, device: str | None) -> WaveformModel:
    """A model by the name of its published weights or by its path, on `device`.

    Raises
    ------
    FileNotFoundError
        If a path leads nowhere.
    ValueError
        If there is no such name, with the nearest ones, or no such device.
    """
    import torch

    from mclass import models
    from mclass.errors import ModelError
    from mclass.models import pretrained

    expect("--model", name, "run", "model")
    path = user_path(name)
    if path.is_dir():
        runs = sorted(str(one.parent) for one in path.glob("*/model.pt"))
        if runs and not (path / "model.pt").exists():
            raise ModelError(f"{name} is not the folder of a run, but holds some: {', '.join(runs)}")
        model = models.load(path / "model.pt")
    elif path.exists() or path.suffix in (".pt", ".pth") or name.startswith((".", "~", os.sep)):
        model = models.load(path)
    elif name in pretrained.list():
        model = pretrained.load(name)
    elif name in models.list():
        published = [one for one in pretrained.list() if one.endswith(f"/{name}")]
        advice = f"published weights of it: {', '.join(published)}" if published else "train it: mclass train"
        raise ModelError(f"{name!r} is an architecture without weights, which has learned nothing; {advice}")
    else:
        close = difflib.get_close_matches(name, [*pretrained.list(), *models.list()], n=3)
        guess = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        raise ModelError(
            f"unknown model {name!r}{guess}; give the path of a run or of a model.pt, or the name of published "
            f"weights: {', '.join(pretrained.list())}"
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", device):  # torch has others: on meta nothing is computed
        with contextlib.suppress(RuntimeError, AssertionError):  # torch raises one or the other
            return model.to(device)
    raise ValueError(
        f"--device {device} is not there, or torch was built without it; use cpu (or cuda, cuda:1, mps)"
    )


def hop_samples(seconds: float | None, model: WaveformModel) -> int | None:
    """Seconds as samples of the model."""
    return None if seconds is None else round(seconds * model.sample_rate)


def expand(paths: Sequence[str]) -> list[str]:
    """Files as they are, and the audio files below folders, sorted; hidden ones are passed over.

    A file that is named twice, in whatever spelling, is taken once, as it was first written.

    Raises
    ------
    ValueError
        If a folder has no audio files.
    """
    from mclass.audio import SUFFIXES
    from mclass.datasets.folder import audio_below

    files = []
    for path in paths:
        if user_path(path).is_dir():
            folder = str(user_path(path)) if path.startswith("~") else path
            found = audio_below(Path(folder))
            if not found:
                raise ValueError(f"{path}: no audio files in this folder or below it ({', '.join(SUFFIXES)})")
            files += [os.path.join(folder, name) for name in found]
        else:
            files.append(path)
    once: dict[object, str] = {}
    for file in files:
        once.setdefault(identity(file), file)
    return list(once.values())


def check_writable(option: str, path: str | os.PathLike, folder: bool = False) -> Path:
    """Refuse a place that cannot be written before the work, not after it; makes the folder around it.

    What is no file is written to as it is: ``/dev/stdout``, a pipe.

    Raises
    ------
    ValueError
    """
    path = user_path(path)
    place = resolved(path)
    around = place if folder else place.parent
    if path.is_dir() and not folder:
        raise ValueError(f"{option} {path} is a folder; give the name of a file")
    if path.is_symlink() and not around.is_dir():
        raise ValueError(f"{option} {path} is a link to {place}, and {around} is not there. Choose another place.")
    try:
        if not folder and place.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is protected")
        if is_stream(path) and not folder:
            return path
        if place.is_symlink():
            raise OSError(errno.ELOOP, "its links lead in a circle")
        around.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=around):
            pass
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be written: {error.strerror}. Choose another place.") from None
    return path


def tell(line: str) -> None:
    """Print a line on standard error; where the terminal was closed, go on without."""
    with contextlib.suppress(OSError):
        print(visible(line), file=sys.stderr)


class Failures:
    """Files that could not be used: listed at the end, also after an interrupt."""

    def __init__(self, total: int, verb: str, strict: bool):
        self.total, self.verb, self.strict = total, verb, strict
        self.reasons: list[str] = []

    def each(self, files: Sequence[str], function: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        """What `function` makes of each file, leaving out those that it refuses."""
        for file in files:
            try:
                result = function(file)
            except (ValueError, OSError) as error:
                reason = " ".join(str(error).split())
                self.reasons.append(reason if file in reason else f"{file}: {reason}")
                continue
            yield file, result

    def report(self) -> None:
        """List them on standard error."""
        for reason in self.reasons:
            tell(f"mclass: error: {reason}")
        if self.reasons:
            tell(f"mclass: {len(self.reasons)} of {self.total} files could not be {self.verb}")

    @property
    def code(self) -> int:
        """Exit code: 1 if all failed, or some did and that was to count."""
        return int(len(self.reasons) == self.total or (self.strict and bool(self.reasons)))
