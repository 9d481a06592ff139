"""Look a data set over before training on it: files, sound, copies, leaks between its parts.

Taught in: 02_datasets.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mclass._utils.files import replacing, user_path
from mclass._utils.text import visible
from mclass.datasets.base import MusicDataset
from mclass.datasets.quality.fingerprint import LONGEST, find_copies, fingerprint
from mclass.datasets.storage.prepared import to_int16
from mclass.datasets.storage.shards import PARTS
from mclass.datasets.workers import chunked, clip_name, map_clips, split_indices
from mclass.errors import AudioError, DatasetError

COLUMNS = ("kind", "severity", "clip", "other", "detail")
# kind -> what it means, in the order of the report
KINDS = {
    "count": "numbers that differ from the published ones",
    "missing": "files that the data set names and that are not there",
    "empty": "files of 0 bytes",
    "undecodable": "files that cannot be decoded to their end",
    "mended": "files that are broken in the published copy, and not in this one",
    "extra": "audio files that are not used: not named, or without a tag that was asked for",
    "silent": "clips of nothing but zeros",
    "cancelled": "clips whose channels cancel each other: mixed to mono, nothing is left",
    "short": "clips less than half as long as most",
    "duplicate": "clips whose decoded samples are equal",
    "near duplicate": "clips that contain the same recording (by audio fingerprint)",
    "track leak": "tracks with clips in more than one part of the split",
    "artist leak": "artists with clips in more than one part of the split",
    "split": "no split to look at",
    "damaged": "prepared samples that are no longer what they were",
}
_SHOWN = 5  # rows of a kind that are printed


@dataclass
class CheckReport:
    """What `check` found; ``print`` it.

    Attributes
    ----------
    name : str
    counts : dict
        Clips, hours, tracks, artists, tags; clips of each part of the split.
    rows : list of tuple
        Kind, severity, clip, other clip or part, detail. A *problem* needs a decision, what is *known* to be wrong
        with the published data set was left out by its loader, a *note* is only to be known.
    """

    name: str
    counts: dict[str, Any]
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not any(row[1] == "problem" for row in self.rows)

    def table(self) -> pd.DataFrame:
        """Everything that was found, a row each: kind, severity, clip, other, detail."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        return pd.DataFrame(sorted(self.rows, key=lambda row: order[row[0]]), columns=COLUMNS)

    def summary(self) -> pd.DataFrame:
        """How many of each kind and severity."""
        return self.table().groupby(["kind", "severity"], sort=False).size().rename("number").reset_index()

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write `table` for other programs."""
        with replacing(user_path(path)) as temporary:
            self.table().to_csv(temporary, index=False, errors="backslashreplace")

    def __str__(self) -> str:
        numbers = ", ".join(f"{value:,} {name}" for name, value in self.counts.items())
        lines = [f"{visible(self.name)}: {numbers}"]
        for (kind, severity), rows in self.table().groupby(["kind", "severity"], sort=False):
            lines.append(f"{severity}: {len(rows)} {kind} ({KINDS[kind]})")
            for row in rows.head(_SHOWN).itertuples():
                pair = f"{row.clip} = {row.other}" if row.kind.endswith("duplicate") else f"{row.clip} {row.other}"
                lines.append(f"    {visible(pair.strip())}{': ' if row.detail else ''}{visible(row.detail)}")
            if len(rows) > _SHOWN:
                lines.append(f"    and {len(rows) - _SHOWN} more")
        problems = sum(row[1] == "problem" for row in self.rows)
        lines.append(f"{problems} problems" if problems else "no problems")
        return "\n".join(lines)


def check(
    dataset: MusicDataset,
    *,
    by: str | None = None,
    near: bool = True,
    workers: int = -1,
    progress: bool = True,
) -> CheckReport:
    """Decode every clip once and compare what there is with what is known of the data set.

    Files: missing, empty, undecodable, extra, and counts that differ from the published ones; what is known to be
    wrong with the published copy is told apart. Sound: silence, clips that are cut short, exact copies (equal
    samples after decoding) and near ones (`mclass.datasets.quality.fingerprint`). Split: tracks, artists and
    copies that are in more than one part.

    Parameters
    ----------
    dataset : MusicDataset
        Loaded so that unusable files are left out (``on_error="skip"``, and ``missing="skip"`` where there is that
        option), else loading already refuses them.
    by : str, optional
        Which split, as the data set's `splits` takes it.
    near : bool
        Look for near duplicates; the larger half of the time.
    workers : int
        Processes that decode; -1 for one per core.
    progress : bool
        Show a bar.

    Returns
    -------
    CheckReport

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> report = check(etude, by="clip", progress=False)
    >>> report.ok, report.summary()["kind"].tolist()
    (False, ['near duplicate', 'track leak', 'artist leak'])
    >>> check(etude, progress=False).ok
    True
    """
    report = CheckReport(dataset.name, {})
    _check_files(dataset, report)
    parts = _check_split(dataset, by, report)
    found: list[_Clip] = []
    tasks = [(group, near) for group in chunked(range(len(dataset)))]
    with tqdm(total=len(dataset), desc="checking", unit="clip", disable=None if progress else True) as bar:
        for group in map_clips(_look, dataset, tasks, workers):
            found += group
            bar.update(len(group))
    names = [clip_name(dataset, index) for index in range(len(dataset))]
    _check_sound(dataset, found, names, report)
    _check_copies(dataset, found, names, parts, report)
    seconds = sum(clip.samples for clip in found) / dataset.sample_rate
    report.counts = {
        "clips": len(dataset),
        "hours": round(seconds / 3600, 2),
        "tracks": len(np.unique(dataset.track_ids)),
        "artists": len(np.unique(dataset.artist_ids)),
        "tags": len(dataset.tags),
        **{f"in {name}": int((parts == number).sum()) for number, name in enumerate(PARTS) if (parts >= 0).any()},
    }
    return report


@dataclass
class _Clip:
    """What one clip sounds like."""

    samples: int = 0
    error: str = ""
    silent: bool = False
    digest: str = ""
    print: Any = None


def _look(dataset: MusicDataset, task: tuple[list[int], bool]) -> list[_Clip]:
    """Decode some clips; in a worker process."""
    group, near = task
    found = []
    for index in group:
        try:
            found.append(_hear(dataset, index, near))
        except (AudioError, DatasetError, MemoryError) as error:
            found.append(_Clip(error=str(error) or "is too long for the memory that is left"))
    return found


def _hear(dataset: MusicDataset, index: int, near: bool) -> _Clip:
    """Decode a clip, however long, no more than a piece of it at once."""
    length, piece = dataset.num_samples(index), round(LONGEST * dataset.sample_rate)
    digest, clip = hashlib.blake2b(digest_size=16), _Clip(length, silent=True)
    for start in range(0, length, piece):
        samples = dataset.waveform(index, start, min(piece, length - start)).numpy()
        digest.update(to_int16(samples))
        clip.silent &= not samples.any()
        if near and start == 0:
            clip.print = fingerprint(samples, dataset.sample_rate)
    clip.digest = digest.hexdigest()
    return clip


def _check_files(dataset: MusicDataset, report: CheckReport) -> None:
    """What loading already found, and what lies beside the files that are used."""
    from mclass.datasets.folder import audio_below

    known: dict[str, str] = getattr(dataset, "KNOWN_FAULTS", {})
    skipped = [(str(path), str(reason)) for path, reason in getattr(dataset, "skipped", [])]
    stems = {os.path.splitext(path)[0]: reason for path, reason in known.items()}
    for path, reason in skipped:
        expected = stems.get(os.path.splitext(path)[0])
        detail = f"{reason.rstrip('.')} (known: {expected})" if expected else reason
        report.rows.append((_kind_of(reason), "known" if expected else "problem", path, "", detail))
    paths = getattr(dataset, "paths", None)
    root = getattr(dataset, "root", None)
    if paths is not None and root is not None:
        used = {clip_name(dataset, index) for index in range(len(dataset))} | {path for path, _ in skipped}
        used_stems = {os.path.splitext(name)[0] for name in used}
        for path, reason in known.items():
            if path in used and path not in dict(skipped):
                report.rows.append(("mended", "note", path, "", f"known as: {reason}"))
        for path in audio_below(Path(root)):
            if path not in used and os.path.splitext(path)[0] not in used_stems:
                report.rows.append(("extra", "note", path, "", ""))
    for name in dataset.verify() if hasattr(dataset, "verify") else ():
        report.rows.append(("damaged", "problem", name, "", "prepare it again"))


def _kind_of(reason: str) -> str:
    if "missing" in reason or "no such file" in reason:
        return "missing"
    if "channels cancel" in reason:
        return "cancelled"
    return "empty" if "empty (0 bytes)" in reason else "undecodable"


def _check_split(dataset: MusicDataset, by: str | None, report: CheckReport) -> np.ndarray:
    """Which part each clip is in (-1: none); counts and leaks."""
    column = np.full(len(dataset), -1)
    try:
        parts = split_indices(dataset, by)
    except NotImplementedError:
        return column
    except DatasetError as error:  # too few groups, a part without files
        report.rows.append(("split", "note", "", "", str(error)))
        return column
    for number, indices in enumerate(parts):
        column[indices] = number
    published = dict(getattr(dataset, "PUBLISHED_SIZES", {})) if by in (None, "published") else {}
    sizes = {"clips": len(dataset)} | {name: len(part) for name, part in zip(PARTS, parts, strict=True)}
    left_out = sum(row[1] == "known" for row in report.rows)
    for name, size in sizes.items():
        if name in published and not published[name] - left_out <= size <= published[name]:
            detail = f"{size:,} clips, {published[name]:,} were published"
            report.rows.append(("count", "problem", name, "", detail))
    known = getattr(dataset, "_known", {})
    for kind, ids in (("track", dataset.track_ids), ("artist", dataset.artist_ids)):
        if known.get(kind, True):
            _find_leaks(f"{kind} leak", ids, column, report)
        else:
            report.rows.append(
                ("split", "note", "", "", f"the data set does not say which clips share their {kind}")
            )
    return column


def _find_leaks(kind: str, ids: np.ndarray, column: np.ndarray, report: CheckReport) -> None:
    inside = column >= 0
    names, groups = np.unique(np.asarray(ids)[inside].astype(str), return_inverse=True)
    counts = np.zeros((len(names), 3), int)
    np.add.at(counts, (groups, column[inside]), 1)
    for group in np.flatnonzero((counts > 0).sum(axis=1) > 1):
        detail = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts[group], strict=True) if count)
        report.rows.append((kind, "problem", names[group], "", detail))


def _check_sound(dataset: MusicDataset, found: list[_Clip], names: list[str], report: CheckReport) -> None:
    lengths = np.array([clip.samples for clip in found])
    usual = float(np.median(lengths[lengths > 0])) if lengths.any() else 0.0
    for clip, name in zip(found, names, strict=True):
        if clip.error:
            report.rows.append((_kind_of(clip.error), "problem", name, "", clip.error))
        elif clip.silent:
            report.rows.append(("silent", "note", name, "", ""))
        elif clip.samples < usual / 2:
            seconds, most = clip.samples / dataset.sample_rate, usual / dataset.sample_rate
            report.rows.append(
                ("short", "note", name, "", f"{seconds:.2f} s, half of all have {most:.2f} s or more")
            )


def _check_copies(
    dataset: MusicDataset, found: list[_Clip], names: list[str], parts: np.ndarray, report: CheckReport
) -> None:
    """Exact copies in groups, then near ones in pairs."""
    groups: dict[str, list[int]] = {}
    for index, clip in enumerate(found):
        if clip.digest and not clip.silent:
            groups.setdefault(clip.digest, []).append(index)
    original = np.arange(len(found))

    def add(kind: str, first: int, second: int, detail: str) -> None:
        differ = parts[first] != parts[second] and min(parts[first], parts[second]) >= 0
        if differ:
            detail += f"; one is in {PARTS[parts[first]]}, the other in {PARTS[parts[second]]}"
        both = ... if dataset.known is None else dataset.known[first] & dataset.known[second]
        if not np.array_equal(dataset.labels[first][both], dataset.labels[second][both]):
            detail += "; their labels differ"
        severity = "problem" if differ else "note"
        report.rows.append((kind, severity, names[first], names[second], detail.lstrip("; ")))

    for copies in groups.values():
        original[copies] = copies[0]
        copies.sort(key=lambda index: (parts[index], index))  # those of a part beside each other
        for first, second in pairwise(copies):
            add("duplicate", first, second, "")
    heard = [
        i for i in range(len(found)) if found[i].print is not None and original[i] == i and not found[i].silent
    ]
    for match in find_copies([found[i].print for i in heard]):
        first, second = heard[match.first], heard[match.second]
        detail = f"{match.seconds:.1f} s in common, {100 * match.bit_errors:.0f} % of bits differ"
        add("near duplicate", first, second, detail)
