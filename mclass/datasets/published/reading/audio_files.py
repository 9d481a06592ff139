"""What the published data sets have in common: a root, clips that are files below it, and splits as published.

Each loader reads its tables and names its clips; `AudioFiles` finds the files, reports what is missing or broken,
and reads the audio. Nothing is decoded when a data set is loaded.

Taught in: 02_datasets.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from mclass import audio
from mclass.datasets.base import MusicDataset, Subset, split_by_group
from mclass.datasets.folder import check_root
from mclass.datasets.published.reading.headers import read_header, read_headers
from mclass.errors import AudioError, DatasetError, unknown_name

PARTS = ("train", "valid", "test")
_FEW = 64  # headers that are read one by one before all are read in parallel


class AudioFiles(MusicDataset):
    """Base class of the published data sets on disk.

    A sub-class's ``__init__`` reads its tables and calls `_set_up`.

    Attributes
    ----------
    root : Path
        The folder of the audio.
    paths : list of Path
    parts : np.ndarray, shape (n,), str
        The part of the published split each clip belongs to: "train", "valid", "test", or "" for none.
    skipped : list of (str, str)
        Path below `root` and reason of each file left out.
    KNOWN_FAULTS : dict of str to str
        Paths that are no good in the published copy itself, and why.
    PUBLISHED_SIZES : dict of str to int
        Numbers of clips to compare a complete copy with.
    """

    KNOWN_FAULTS: ClassVar[dict[str, str]] = {}
    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {}

    def _set_up(
        self,
        name: str,
        root: Path,
        stems: Sequence[str | tuple[str, ...]],
        labels: np.ndarray,
        tags: Sequence[str],
        *,
        sample_rate: int,
        multilabel: bool,
        parts: Sequence[str] | None = None,
        tracks: Sequence | None = None,
        artists: Sequence | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ) -> np.ndarray:
        """Find the files and keep the clips whose file is there; returns the indices kept.

        Parameters
        ----------
        stems : sequence of str or tuple of str
            For each clip the path below `root` without its suffix, or several it may have.
        parts, tracks, artists : sequence, optional
            For each clip, where the data set says so.
        """
        for option, value in (("on_error", on_error), ("missing", missing)):
            if value not in ("raise", "skip"):
                raise ValueError(unknown_name(option, value, ("raise", "skip")))
        if not len(stems):
            raise DatasetError(f"{root}: the tables name no clip of {name} that was asked for")
        self.name, self.root, self.sample_rate = name, root, sample_rate
        self.tags, self.multilabel, self.skipped = list(tags), multilabel, []
        found = locate(root, stems)
        kept = np.flatnonzero([path is not None for path in found])
        self._report_missing(stems, found, missing)
        bad = self._unusable([root / found[i] for i in kept], on_error)
        kept = np.array([i for i in kept if found[i] not in bad], int)
        self._names = [found[i] for i in kept]
        self.paths = [root / path for path in self._names]
        self._lengths = np.full(len(kept), -1)
        self.labels = np.asarray(labels, np.uint8)[kept]
        self.parts = np.full(len(kept), "", "<U5") if parts is None else np.asarray(parts, "<U5")[kept]
        self._known = {"artist": artists is not None, "track": tracks is not None}
        own = np.array(self._names)
        self.track_ids = own if tracks is None else np.asarray(tracks)[kept]
        self.artist_ids = self.track_ids if artists is None else np.asarray(artists)[kept]
        return kept

    def _report_missing(self, stems: Sequence, found: list[str | None], missing: str) -> None:
        absent = [_first(stem) for stem, path in zip(stems, found, strict=True) if path is None]
        if not absent:
            return
        folders = sorted({os.path.dirname(stem) for stem in absent})
        gone = [folder for folder in folders if folder and not (self.root / folder).is_dir()]
        renamed = _renamed(self.root, gone)
        if len(absent) == len(stems):
            raise DatasetError(
                f"{self.root}: none of the {len(stems)} audio files of {self.name} is here, such as {absent[0]} "
                f"({', '.join(audio.SUFFIXES[:5])}, …).{renamed} Give the folder of the audio: root=, or audio= "
                "where the tables lie apart."
            )
        first = ", ".join(absent[:3]) + (f", and {len(absent) - 3} more" if len(absent) > 3 else "")
        text = f"{self.root}: {len(absent)} of {len(stems)} audio files are missing: {first}.{renamed}"
        if missing == "raise":
            raise DatasetError(f"{text} Copy the rest, or use what is there: missing='skip'.")
        self.skipped += [(stem, "missing") for stem in absent]
        warnings.warn(f"{text} They are left out; results will not be comparable to published ones.", stacklevel=4)

    def _unusable(self, paths: list[Path], on_error: str) -> dict[str, str]:
        """Path below the root and reason of the files that cannot be used."""
        if on_error == "raise":  # only those that are known to be broken are looked at
            known = {self.root / path for path in self.KNOWN_FAULTS}
            paths = [path for path in paths if path in known]
            headers = [read_header(path) for path in paths]
        else:
            headers = read_headers(self.root, paths)
        problems = {
            path.relative_to(self.root).as_posix(): header
            for path, header in zip(paths, headers, strict=True)
            if isinstance(header, str)
        }
        if problems:
            first = "; ".join(f"{path}: {reason.rstrip('.')}" for path, reason in [*problems.items()][:3])
            count = f"{self.root}: {len(problems)} of the files cannot be used: {first}"
            if on_error == "raise":
                raise DatasetError(
                    f"{count}. The published copy itself is at fault; leave them out: on_error='skip' "
                    "(command line: --skip-bad)."
                )
            warnings.warn(
                f"{count}{'; …' if len(problems) > 3 else ''}. They are left out (see .skipped).", stacklevel=4
            )
            self.skipped += sorted(problems.items())
        return problems

    def __len__(self) -> int:
        return len(self.paths)

    def num_samples(self, index: int) -> int:
        """Length of clip `index` at `sample_rate`.

        The first few headers are read as they are asked for; then all, in parallel, and remembered.
        """
        if self._lengths[index] < 0:
            if np.count_nonzero(self._lengths >= 0) >= _FEW:
                self.read_lengths()
            else:
                self._lengths[index] = self._length(self.paths[index], read_header(self.paths[index]))
        return int(self._lengths[index])

    def read_lengths(self) -> np.ndarray:
        """Lengths of all clips at `sample_rate`, shape (n,); the headers of new or changed files are read.

        Raises
        ------
        AudioError
            If a file cannot be used; the message counts them.
        """
        headers = read_headers(self.root, self.paths)
        bad = [(path, header) for path, header in zip(self.paths, headers, strict=True) if isinstance(header, str)]
        if bad:
            raise AudioError(
                f"{len(bad)} of {len(self)} files of {self.name} cannot be used, first {bad[0][0]}: "
                f"{bad[0][1].rstrip('.')}. Load it with on_error='skip' to leave them out."
            )
        self._lengths[:] = [self._length(*pair) for pair in zip(self.paths, headers, strict=True)]
        return self._lengths.copy()

    def _length(self, path: Path, header: tuple[int, int] | str) -> int:
        if isinstance(header, str):
            raise AudioError(f"{path}: {header.rstrip('.')}. Leave it out: on_error='skip'.")
        return audio.target_length(*header, self.sample_rate)

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        return audio.read(self.paths[index], self.sample_rate, start, num_samples)

    def pieces(self, index: int) -> Iterator[torch.Tensor]:
        return audio.blocks(self.paths[index], self.sample_rate)

    def describe(self, index: int) -> str:
        return str(self.paths[index])

    def splits(self, by: str | None = None, seed: int = 0) -> tuple[Subset, Subset, Subset]:
        """Training, validation and test views.

        Parameters
        ----------
        by : {"published", "artist", "track", "clip"}, optional
            The published split where there is one (the default), or a random one (70, 10 and 20 % of the groups)
            that shares no artist, track or clip between its parts. Where only training and test are published,
            validation is a tenth of training, drawn so that it shares no artist with the rest.
        seed : int
            Of what is random.

        Raises
        ------
        DatasetError
            If the data set does not know its artists or tracks, or a part would be empty.
        """
        by = by or ("published" if self.parts.any() else "artist" if self._known["artist"] else "clip")
        allowed = ("published", "artist", "track", "clip")
        if by not in allowed:
            raise ValueError(unknown_name("split", by, allowed))
        if by == "published":
            return tuple(self.subset(part) for part in self._published(seed))
        if by != "clip" and not self._known[by]:
            raise DatasetError(
                f"{self.name} does not say which clips share {'an' if by == 'artist' else 'a'} {by}, so it cannot "
                f"be split by {by}. Use splits() as published, or by='clip', which may leak."
            )
        groups = {"artist": self.artist_ids, "track": self.track_ids, "clip": np.arange(len(self))}
        return tuple(self.subset(part) for part in split_by_group(groups[by], (0.7, 0.1, 0.2), seed))

    def _published(self, seed: int) -> list[np.ndarray]:
        if not self.parts.any():
            raise DatasetError(
                f"{self.name}: no split is published for these files. Use by='artist' or by='clip'."
            )
        train, valid, test = (np.flatnonzero(self.parts == part) for part in PARTS)
        if not len(valid) and not self.PUBLISHED_SIZES.get("valid"):
            names = np.unique(self.artist_ids[train])
            drawn = np.random.default_rng(seed).permutation(names)[: max(round(0.1 * len(names)), 1)]
            is_valid = np.isin(self.artist_ids[train], drawn)
            train, valid = train[~is_valid], train[is_valid]
        sizes = dict(zip(PARTS, map(len, (train, valid, test)), strict=True))
        if not all(sizes.values()):
            raise DatasetError(
                f"{self.name}: a part of the published split has no files: "
                f"{', '.join(f'{part} {size}' for part, size in sizes.items())}. Copy the rest of the data set."
            )
        return [train, valid, test]


def _first(stem: str | tuple[str, ...]) -> str:
    return stem if isinstance(stem, str) else stem[0]


def _renamed(root: Path, gone: list[str]) -> str:
    """A guess at folders that have another name, as words to put into a message."""
    if not gone:
        return ""
    parent, name = os.path.split(gone[0])
    try:
        present = sorted(child.name for child in os.scandir(root / parent) if child.is_dir())
    except OSError:
        present = []
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in present], n=1, cutoff=0.5)
    real = next((one for one in present if close and one.lower() == close[0]), None)
    return f" There is no folder {gone[0]!r}{f'; rename {real!r}?' if real else ''}."


def locate(root: Path, stems: Sequence[str | tuple[str, ...]]) -> list[str | None]:
    """The file of each clip, whatever its suffix: its path below `root`, or None.

    Each folder is listed once, which is much faster than asking for a million files one by one.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "a").mkdir()
    >>> (root / "a" / "1.low.mp3").touch()
    >>> locate(root, ["a/2", ("a/1", "a/1.low")])
    [None, 'a/1.low.mp3']
    """
    listings: dict[str, dict[str, str]] = {}
    found = []
    for stem in stems:
        for one in (stem,) if isinstance(stem, str) else stem:
            folder, _, name = one.rpartition("/")
            if folder not in listings:
                listings[folder] = _listing(root / folder)
            if name in listings[folder]:
                found.append(f"{folder}/{listings[folder][name]}" if folder else listings[folder][name])
                break
        else:
            found.append(None)
    return found


def _listing(folder: Path) -> dict[str, str]:
    """Audio files of a folder: name without suffix -> name. Hidden files are no part of a data set."""
    try:
        names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), reverse=True)
    except OSError:
        return {}
    stems = ((os.path.splitext(name), name) for name in names)
    return {stem: name for (stem, suffix), name in stems if suffix.lower() in audio.SUFFIXES}


def find_root(root: str | os.PathLike, markers: Sequence[str], what: str, inside: Sequence[str] = ("",)) -> Path:
    """The folder that holds one of `markers`: `root` itself, or one of the folders `inside` it.

    Raises
    ------
    DatasetError
        If there is none; the message guesses when `root` is one level too deep or too high.
    """
    path = check_root(root)

    def below(folder: Path) -> Path | None:
        return next(
            (folder / one for one in inside if any((folder / one / mark).exists() for mark in markers)), None
        )

    if (found := below(path)) is not None:
        return found
    try:
        children = sorted(Path(child.path) for child in os.scandir(path) if child.is_dir())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be listed: {error.strerror}") from None
    near = next((one for one in (path.parent, *children, path.parent.parent) if below(one) is not None), None)
    guess = f" Did you mean root={str(near)!r}?" if near else ""
    names = ", ".join(child.name for child in children[:5]) or "no folders"
    raise DatasetError(
        f"root={str(root)!r} does not look like {what}: there is no {' or '.join(markers)}, but {names}.{guess}"
    )


def find_audio(root: Path, given: str | os.PathLike | None, inside: Sequence[str], stems: Sequence) -> Path:
    """The folder of the audio: the one `given`, or the first of those `inside` `root` that has any of it."""
    if given is not None:
        return check_root(given)
    sample = [*stems[:: max(len(stems) // 50, 1)]]
    folders = [root / one for one in inside if (root / one).is_dir()]
    return next((one for one in folders if any(locate(one, sample))), folders[0] if folders else root)


def one_hot(classes: Sequence[str], tags: Sequence[str]) -> np.ndarray:
    """Labels of single-label data, shape (n, num_tags)."""
    column = {tag: i for i, tag in enumerate(tags)}
    return np.eye(len(tags), dtype=np.uint8)[[column[one] for one in classes]]


def multi_hot(rows: Sequence[Sequence[str]], tags: Sequence[str]) -> np.ndarray:
    """Labels of multi-label data, shape (n, num_tags); tags that are not asked for are passed over."""
    column = {tag: i for i, tag in enumerate(tags)}
    labels = np.zeros((len(rows), len(tags)), np.uint8)
    for labels_of_row, row in zip(labels, rows, strict=True):
        labels_of_row[[column[tag] for tag in row if tag in column]] = 1
    return labels
