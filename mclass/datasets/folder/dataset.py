"""Anybody's own recordings as a data set: a folder of audio files, labelled by sub-folder, table or file name.

Taught in: 02_datasets, 04_supervised.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mclass import audio
from mclass._utils.files import user_path
from mclass.datasets.base import MusicDataset, Subset, split_by_group
from mclass.datasets.folder import _encoding, _label_tables, _labelling
from mclass.errors import AudioError, DatasetError, unknown_name

_FLOATS = (
    "FLOAT",
    "DOUBLE",
    "PCM_F32LE",
    "PCM_F64LE",
    "PCM_F32BE",
    "PCM_F64BE",
)  # what can hold NaN
_MANY = 500  # files from which a scan shows its progress


class Folder(MusicDataset):
    """Audio files below a folder (wav, flac, mp3, ogg, opus, aiff, au, m4a, wma, webm, …).

    Headers are read once, in sorted order of paths; audio is read when it is asked for, and only that part.
    Hidden files and files that are not audio by their suffix are passed over. Links are followed, each folder
    once.

    Parameters
    ----------
    root : path
    sample_rate : int
        In Hz. Files of any rate and channel count are delivered at this rate, mono.
    labels : str or path
        Where labels come from:

        * ``"folders"``: the top folder of each file, ``guitar/a/b.wav`` is "guitar". Where the top folders are the
          parts of a split (``train``, ``test`` and perhaps ``valid``; also other words for them), labels are the
          folders in them, ``train/guitar/b.wav``, and `splits` gives that split;
        * the path of a CSV or TSV file (looked for in the current folder, then in `root`) with the columns
          ``path`` (relative to `root`) and ``tags``, and perhaps ``track``, ``artist`` and ``split`` (train,
          valid, test). Only files in it are used. Instead of ``tags`` there may be a column for each tag, with 1
          for yes, 0 for no, and nothing, ``?`` or -1 where nobody knows (see `known`);
        * a regular expression with the named group ``label`` or ``tags``, and perhaps ``track`` and ``artist``,
          searched for in the file name (in the path below `root` if it has a ``/``).
    group : str, optional
        A regular expression with the named groups ``artist`` and / or ``track``, searched for in the same way.
        Without any, each file is a track of its own, and each track has an artist of its own.
    multilabel : bool, optional
        Whether a file may carry several tags. By default, whether any does.
    tags : sequence of str, optional
        The tags and their order; by default all that occur, sorted.
    min_seconds : float
        Files shorter than this count as unusable.
    on_error : {"raise", "skip"}
        What to do with unusable files: empty, truncated, not audio, not finite, too short, absent, without a
        label. "skip" warns with their number and keeps them in `skipped`.
    fractions : tuple of float
        Shares of training, validation and test in `splits`, in groups.
    seed : int
        Of the random split.
    separator : str, optional
        Each of its characters separates tags in a cell of the table; "" if a cell is one tag. By default ``|`` and
        ``;``, and ``,`` if it separates the table's cells, too (and `multilabel` is not False). Lists as Python,
        pandas, numpy or JSON write them are read as such.

    Attributes
    ----------
    known : np.ndarray, shape (n, num_tags), bool, or None
        Which labels the table knows; None if it knows all.
    paths : list of Path
    skipped : list of (str, str)
        Path below `root` and reason of each file left out.

    Raises
    ------
    DatasetError
        If there is no such folder, nothing usable in it, or files, labels and options do not fit together.

    Warns
    -----
    UserWarning
        Naming labels that differ in case, hyphens or width alone; folders without audio, which become no label;
        cells that may have been misunderstood.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("bass_1-a", "bass_1-b", "flute_1-a", "flute_2-a"):
    ...     audio.save(root / f"{name}.wav", torch.rand(8000), sample_rate=8000)
    >>> ds = Folder(root, labels=r"(?P<artist>(?P<label>[a-z]+)_[0-9]+)-")
    >>> ds
    Folder(...: 4 clips, 4 tracks, 3 artists, 2 tags, 16000 Hz)
    >>> ds.tags, ds.labels[0].tolist(), str(ds.artist_ids[0]), ds.waveform(0, 100, 50).shape
    (['bass', 'flute'], [1, 0], 'bass_1', torch.Size([50]))
    """

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16_000,
        labels: str | os.PathLike = "folders",
        group: str | None = None,
        multilabel: bool | None = None,
        tags: Sequence[str] | None = None,
        min_seconds: float = 0.0,
        on_error: str = "raise",
        fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
        seed: int = 0,
        separator: str | None = None,
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(unknown_name("on_error", on_error, ("raise", "skip")))
        if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(
                f"fractions of training, validation and test are positive and sum to 1, got {fractions}"
            )
        if not isinstance(separator, str | None):
            raise ValueError(f"separator is text, such as '|', or '' for none, got {separator!r}")
        self.root = check_root(root)
        _refuse_stored(self.root)
        self.name, self.sample_rate = self.root.name, sample_rate
        self.fractions, self.seed = tuple(fractions), seed

        entries, problems = self._label(str(labels), separator, group, multilabel)
        infos = _scan(self.root, [entry.path for entry in entries], min_seconds)
        problems += [
            (entry.path, info) for entry, info in zip(entries, infos, strict=True) if isinstance(info, str)
        ]
        usable = [(entry, info) for entry, info in zip(entries, infos, strict=True) if not isinstance(info, str)]
        self._report(problems, len(usable), on_error)

        self._entries = [entry for entry, _ in usable]
        self.paths = [self.root / entry.path for entry in self._entries]
        self.lengths = np.array(
            [audio.target_length(i.num_samples, i.sample_rate, sample_rate) for _, i in usable]
        )
        self.track_ids = np.array([entry.track or entry.path for entry in self._entries])
        self.artist_ids = np.array([entry.artist or entry.track or entry.path for entry in self._entries])
        self.tags, self.multilabel, self.labels, self.known = _encoding.encode(
            self.root, self._entries, multilabel, tags
        )

    def _label(
        self, labels: str, separator: str | None, group: str | None, multilabel: bool | None
    ) -> tuple[list[_labelling.Entry], _labelling.Problems]:
        problems: _labelling.Problems = []
        if labels.lower().endswith((".csv", ".tsv", ".txt")):
            table = next((path for path in (user_path(labels), self.root / labels) if path.is_file()), None)
            if table is None:
                raise DatasetError(f"labels={labels!r}: no such file, neither in {Path.cwd()} nor in {self.root}")
            entries = _label_tables.from_table(table, separator, multilabel)
            _label_tables.spell_as_on_disk(self.root, entries, audio_below)
            _label_tables.check_repeats(table, entries)
        else:
            if separator is not None:
                raise ValueError(f"separator={separator!r} is for the cells of a table, not for labels={labels!r}")
            paths = audio_below(self.root)
            if not paths:
                raise DatasetError(
                    f"{self.root}: no audio files in this folder or below. Looked for {', '.join(audio.SUFFIXES)}."
                )
            if labels == "folders":
                try:
                    entries, problems = _labelling.from_folders(paths)
                except DatasetError as error:
                    raise DatasetError(f"{self.root}: {error}") from None
                used = {path.split("/")[0] for path in paths}
                folders = [child.name for child in os.scandir(self.root) if child.is_dir()]
                empty = sorted(one for one in folders if one not in used and not _is_hidden(one))
                if used and empty:  # broken copies, links to another label's folder
                    named = ", ".join(map(repr, empty[:5]))
                    _labelling.warn(f"{self.root}: folders without audio of their own become no label: {named}")
                if not entries:
                    raise DatasetError(
                        f"{self.root}: {len(paths)} audio files, but no sub-folders to take labels from. Sort "
                        "them into a folder per label, or pass labels= a CSV file or a pattern with (?P<label>…)."
                    )
            elif "(" in labels:
                entries, problems = _labelling.from_pattern(paths, labels)
            else:
                raise DatasetError(
                    f"labels={labels!r}; allowed: 'folders', the path of a .csv or .tsv file, or a regular "
                    "expression with a group (?P<label>…)"
                )
        if group is not None:
            pattern = _labelling.compile_pattern("group", group, ("artist", "track"))
            for entry in entries:
                found = _labelling.match(pattern, entry.path)
                if found is None:
                    problems.append((entry.path, "its name does not match the group pattern"))
                else:
                    entry.track = found.get("track") or entry.track
                    entry.artist = found.get("artist") or entry.artist
            unmatched = {path for path, _ in problems}
            entries = [entry for entry in entries if entry.path not in unmatched]
        return entries, problems

    def _report(self, problems: _labelling.Problems, num_usable: int, on_error: str) -> None:
        self.skipped = sorted(problems)
        if not problems:
            return
        count = f"{len(problems)} of {len(problems) + num_usable} files cannot be used"
        first = "; ".join(f"{path}: {reason.rstrip('.')}" for path, reason in self.skipped[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        if on_error == "raise" or not num_usable:
            hint = " Repair or remove them, or leave them out: on_error='skip' (command line: --skip-bad)."
            hint = hint if num_usable else ""
            raise DatasetError(f"{self.root}: {count}: {first}{more}.{hint}")
        warnings.warn(f"{self.root}: {count} and were skipped (see .skipped): {first}{more}", stacklevel=4)

    def __len__(self) -> int:
        return len(self._entries)

    def num_samples(self, index: int) -> int:
        return int(self.lengths[index])

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        return audio.read(self.paths[index], self.sample_rate, start, num_samples)

    def pieces(self, index: int) -> Iterator[torch.Tensor]:
        return audio.blocks(self.paths[index], self.sample_rate)

    def describe(self, index: int) -> str:
        return str(self.paths[index])

    def splits(self, by: str | None = None) -> tuple[Subset, Subset, Subset]:
        """Training, validation and test views.

        Groups are drawn at random, and in single-label data for each label in turn, so that a label with three
        groups or more is in every part (with two it is in training and test, with one in training alone).

        Parameters
        ----------
        by : {"published", "artist", "track", "clip"}, optional
            The split of the table's ``split`` column or of the folders (the default if there is one), or what may
            not be shared between the parts (else "artist"). Where that has no validation part, it is a tenth of
            training, drawn so that it shares no artist with the rest.

        Raises
        ------
        ValueError
            If `by` is none of these.
        DatasetError
            If there is no such split to use, or it leaves a part empty.
        """
        groups = {"artist": self.artist_ids, "track": self.track_ids, "clip": np.arange(len(self))}
        by = by or ("published" if self._entries[0].split else "artist")
        if by == "published":
            parts = self._published()
        elif by not in groups:
            raise ValueError(unknown_name("split", by, ["published", *groups]))
        elif self.multilabel or not _is_pure(groups[by], self.labels.argmax(1)):
            parts = split_by_group(groups[by], self.fractions, self.seed)
        else:
            parts = self._split_each_label(groups[by])
        return tuple(self.subset(part) for part in parts)

    def _published(self) -> list[np.ndarray]:
        column = np.array([entry.split for entry in self._entries])
        if not column[0]:
            raise DatasetError(
                f"{self.root}: no split is published with it. Add a column 'split' to the table of labels (train, "
                "valid or test in each row), or split by artist, track or clip."
            )
        parts = [np.flatnonzero(column == name) for name in ("train", "valid", "test")]
        artists = np.unique(self.artist_ids[parts[0]])
        if not len(parts[1]) and len(artists) > 1:
            drawn = np.random.default_rng(self.seed).permutation(artists)[: max(round(0.1 * len(artists)), 1)]
            is_valid = np.isin(self.artist_ids[parts[0]], drawn)
            parts[:2] = parts[0][~is_valid], parts[0][is_valid]
        if not all(map(len, parts)):
            sizes = ", ".join(f"{name} {(column == name).sum()}" for name in ("train", "valid", "test"))
            raise DatasetError(
                f"{self.root}: the split that comes with it leaves a part without files: {sizes}. Add the rest, "
                "or split at random: by='artist' (command line: --split-by artist)."
            )
        return parts

    def _split_each_label(self, groups: np.ndarray) -> list[np.ndarray]:
        parts: tuple[list, list, list] = ([], [], [])
        for label in range(len(self.tags)):
            clips = np.flatnonzero(self.labels[:, label])
            names = np.unique(groups[clips])
            if len(names) >= 3:
                pieces = split_by_group(groups[clips], self.fractions, self.seed)
            else:  # one group: training; two: training and test
                pieces = [np.flatnonzero(groups[clips] == name) for name in names]
                pieces.insert(1, np.array([], int))
            for part, piece in zip(parts, pieces, strict=False):
                part.append(clips[piece])
        indices = [np.sort(np.concatenate(part)) if part else np.array([], int) for part in parts]
        # Where labels have so few groups that a part is empty, an ordinary split may still be possible.
        return indices if all(map(len, indices)) else list(split_by_group(groups, self.fractions, self.seed))

    def check(self) -> dict[str, list]:
        """Decode every file completely and list what is odd: an hour of audio takes about a second per core.

        Returns
        -------
        dict
            ``"silent"``: paths of files that are digital silence (legal, but nothing can be learned from them);
            ``"problems"``: ``(path, reason)`` of files that cannot be read to their end.
        """

        def look(path: Path) -> str | bool:
            try:
                if problem := audio.problem(path):
                    return problem
                blocks = audio.blocks(path, audio.info(path).sample_rate)
                return not sum(bool(block.any()) for block in blocks)  # to the end, where a file may be broken
            except AudioError as error:
                return str(error).removeprefix(f"{path}: ")

        results = list(zip(self.paths, in_threads(look, self.paths, "checking"), strict=True))
        return {
            "silent": [path for path, result in results if result is True],
            "problems": [(path, result) for path, result in results if isinstance(result, str)],
        }


def check_root(root: str | os.PathLike) -> Path:
    """The folder `root`; refuses what is none."""
    path = user_path(root)
    if not path.exists():
        raise DatasetError(f"root={str(root)!r}: no such folder (the current folder is {Path.cwd()})")
    if not path.is_dir():
        raise DatasetError(f"root={str(root)!r} is a file; give the folder that holds the audio")
    return path.resolve()


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems leave behind."""
    return name.startswith((".", "@")) or name in ("__MACOSX", "$RECYCLE.BIN", "lost+found")


def _refuse_stored(root: Path) -> None:
    """Say which data set reads a folder that `prepare` or `shard` wrote: its sub-folders are no labels."""
    is_prepared = (root / "manifest.json").is_file() and (root / "arrays.npz").is_file()
    if is_prepared or ((root / "index.json").is_file() and any(root.glob("*.tar"))):
        command, name = ("prepare", "prepared") if is_prepared else ("shard", "shards")
        raise DatasetError(
            f"{root} was written by mclass data {command}; load it as the data set {name!r} (command line: "
            f"--dataset {name})."
        )


def audio_below(root: Path) -> list[str]:
    """Paths of audio files below `root`, relative to it, with ``/``, sorted. No folder is entered twice."""
    found, seen, waiting = [], set(), [root]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError as error:
            raise DatasetError(f"{folder}: cannot be listed: {error.strerror}") from None
        for child in children:
            if _is_hidden(child.name):
                continue
            if os.path.isdir(child.path):  # of a link that leads back to itself `child.is_dir()` raises
                waiting.append(Path(child.path))
            elif child.name.lower().endswith(audio.SUFFIXES):
                found.append(Path(child.path).relative_to(root).as_posix())
    return sorted(found)


def _scan(root: Path, paths: list[str], min_seconds: float) -> list[audio.AudioInfo | str]:
    """The header of each file, or the reason why it cannot be used."""

    def look(path: str) -> audio.AudioInfo | str:
        try:
            info = audio.info(root / path)
            if problem := audio.problem(root / path) or audio.too_long(info):
                return problem
            if info.seconds < min_seconds:
                return f"lasts {info.seconds:.2f} s, less than {min_seconds:g} s"
            if info.encoding in _FLOATS:
                for _ in audio.blocks(root / path, info.sample_rate):
                    pass
        except AudioError as error:
            return str(error).removeprefix(f"{root / path}: ")
        return info

    return in_threads(look, paths, "reading headers")


def in_threads(function: Callable, items: Sequence, what: str) -> list:
    """Call a function that waits for the disk on each item, in threads; `what` names the progress bar."""
    workers = min(8, (os.cpu_count() or 1) + 2)
    with ThreadPoolExecutor(workers) as pool:
        return list(
            tqdm(pool.map(function, items), what, len(items), unit="file", disable=len(items) < _MANY or None)
        )


def _is_pure(groups: np.ndarray, classes: np.ndarray) -> bool:
    """Whether all clips of a group have the same class."""
    return len(np.unique(groups)) == len(set(zip(groups.tolist(), classes.tolist(), strict=True)))
