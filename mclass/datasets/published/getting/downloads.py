"""Download a data set where that is allowed and a host exists: resumed, checked, unpacked; else say how to get it.

Taught in: 02_datasets.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mclass._utils import download as _download
from mclass._utils.files import user_path, writing
from mclass.datasets.published.cards import info
from mclass.datasets.published.getting.archives import unpack
from mclass.errors import DownloadError, unknown_name

_FMA = "https://os.unil.cloud.switch.ch/fma/fma_"
_NSYNTH = "http://download.magenta.tensorflow.org/datasets/nsynth/nsynth-"
_MAGNA = "https://mirg.city.ac.uk/datasets/magnatagatune/"
_AUDIOSET = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
_JAMENDO = "https://cdn.freesound.org/mtg-jamendo/raw_30s/audio-low/"


class Remote(NamedTuple):
    """A file to fetch.

    `checksum` is "sha256:…", "sha1:…" or "md5:…" where one is published; without one, the first download is
    trusted. `into` is the folder to unpack it into, "" for the root, None if it is no archive. Remotes that are
    `pieces` of one archive are joined under that name first.
    """

    url: str
    checksum: str | None = None
    into: str | None = None
    pieces: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2].partition("?")[0]


# data set -> part -> files; the first part is what is fetched if none is named.
REMOTES: dict[str, dict[str, tuple[Remote, ...]]] = {
    "fma": {
        "metadata": (Remote(f"{_FMA}metadata.zip", "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733", ""),),
        "small": (Remote(f"{_FMA}small.zip", "sha1:ade154f733639d52e35e32f5593efe5be76c6d70", ""),),
        "medium": (Remote(f"{_FMA}medium.zip", "sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b", ""),),
        "large": (Remote(f"{_FMA}large.zip", "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e", ""),),
        "full": (Remote(f"{_FMA}full.zip", "sha1:0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", ""),),
    },
    "openmic": {
        "all": (
            Remote(
                "https://zenodo.org/record/1432913/files/openmic-2018-v1.0.0.tgz?download=1",
                "md5:e4ccf187e2bb5ab2e115416e8aafe7f4",
                "",
            ),
        ),
    },
    "nsynth": {
        part: (Remote(f"{_NSYNTH}{part}.jsonwav.tar.gz", None, ""),) for part in ("test", "valid", "train")
    },
    "magnatagatune": {
        "annotations": (Remote(f"{_MAGNA}annotations_final.csv"), Remote(f"{_MAGNA}clip_info_final.csv")),
        "audio": tuple(Remote(f"{_MAGNA}mp3.zip.{n:03d}", None, "mp3", pieces="mp3.zip") for n in (1, 2, 3)),
    },
    "audioset": {
        "labels": (
            Remote("https://raw.githubusercontent.com/audioset/ontology/master/ontology.json"),
            Remote(f"{_AUDIOSET}balanced_train_segments.csv"),
            Remote(f"{_AUDIOSET}eval_segments.csv"),
        ),
        "unbalanced": (Remote(f"{_AUDIOSET}unbalanced_train_segments.csv"),),
    },
    "mtg_jamendo": {"audio-low": ()},  # read from the lists in the user's copy of its repository
}


def download(
    name: str,
    root: str | os.PathLike,
    parts: Sequence[str] | None = None,
    accept_licence: bool = False,
    progress: bool = True,
) -> Path:
    """Fetch a data set, or say how to get it where that cannot be done for you.

    What was fetched before is not fetched again; an interrupted download goes on where it broke. Archives are
    checked against the published checksum where there is one, unpacked, and removed.

    Parameters
    ----------
    name : str
        As in `mclass.datasets.load`.
    root : path
        The folder to put it into; give the same to `load`.
    parts : sequence of str, optional
        Of FMA "metadata", "small", …; of NSynth "train", "valid", "test". By default all (of FMA the first two, of
        AudioSet not the unbalanced table).
    accept_licence : bool
        Whether you have read the licence, which is printed, and accept it.
    progress : bool
        Show bars.

    Returns
    -------
    Path
        The root.

    Raises
    ------
    DownloadError
        If the data set cannot be downloaded for you, the licence is not accepted, the host does not answer, a
        checksum is wrong or an archive is not safe to unpack. The message says how to do it by hand.
    ValueError
        If there is no such data set or part.

    Examples
    --------
    >>> download("gtzan", "data/gtzan")
    Traceback (most recent call last):
    mclass.errors.DownloadError: GTZAN: It cannot be downloaded for you. ...
    """
    card = info(name)
    folder = user_path(root)
    if name not in REMOTES:
        raise DownloadError(f"{card.title}: {card.get}")
    known = REMOTES[name]
    chosen = _chosen(name) if parts is None else [parts] if isinstance(parts, str) else [*parts]
    for part in chosen:
        if part not in known:
            raise ValueError(unknown_name("part", part, known))
    print(f"{card.title}. Licence: {card.licence}")
    if not accept_licence:
        raise DownloadError(
            f"{card.title}: its licence is: {card.licence} If you accept it: accept_licence=True (command line: "
            "--accept-licence)."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writing(folder, folder / ".download.lock", advice="choose another --root"):
            for part in chosen:
                remotes = _jamendo(folder) if name == "mtg_jamendo" else known[part]
                for group in _groups(remotes):
                    _fetch(group, folder, progress)
    except DownloadError as error:
        raise DownloadError(f"{error}. Another way: {card.get}") from error
    return folder


def _chosen(name: str) -> list[str]:
    return {"fma": ["metadata", "small"], "audioset": ["labels"]}.get(name, [*REMOTES[name]])


def _groups(remotes: Sequence[Remote]) -> list[list[Remote]]:
    """Pieces of one archive together, everything else alone."""
    groups: dict[str, list[Remote]] = {}
    for remote in remotes:
        groups.setdefault(remote.pieces or remote.url, []).append(remote)
    return [*groups.values()]


def _fetch(group: list[Remote], folder: Path, progress: bool) -> None:
    first = group[0]
    done = folder / f".{first.pieces or first.name}.unpacked"
    if first.into is not None and done.exists():
        return
    for remote in group:
        _fetch_one(remote, folder / remote.name, progress)
    if first.into is None:
        return
    archive = folder / (first.pieces or first.name)
    if first.pieces:
        _join([folder / remote.name for remote in group], archive)
    unpack(archive, folder / first.into)
    done.write_text(f"{first.url}\n")
    for path in {archive, *(folder / remote.name for remote in group)}:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".sha256").unlink(missing_ok=True)


def _fetch_one(remote: Remote, path: Path, progress: bool) -> None:
    kind, _, digest = (remote.checksum or "").partition(":")
    _download.download(remote.url, path, digest if kind == "sha256" else None, progress)
    if kind in ("", "sha256"):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != digest:
        rejected = path.replace(path.with_name(f"{path.name}.rejected"))
        path.with_name(path.name + ".sha256").unlink(missing_ok=True)
        raise DownloadError(
            f"what {remote.url} gave has the {kind.upper()} {found}, expected {digest}: damaged on the way, or "
            f"changed at "
            f"its source. It is kept as {rejected} and not used"
        )


def _join(pieces: list[Path], archive: Path) -> None:
    try:
        with archive.open("wb") as out:
            for piece in pieces:
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, out, 1 << 20)
    except OSError as error:
        archive.unlink(missing_ok=True)
        raise DownloadError(f"{archive}: cannot be written: {error.strerror}") from error


def _jamendo(folder: Path) -> list[Remote]:
    """The hundred archives that the data set's repository lists with their checksums."""
    table = folder / "data" / "download" / "raw_30s_audio-low_sha256_tars.txt"
    if not table.is_file():
        raise DownloadError(f"{table}: no such file; the root must be a copy of the data set's repository")
    rows = (line.split() for line in table.read_text().splitlines())
    return [Remote(f"{_JAMENDO}{row[-1]}", f"sha256:{row[0]}", "audio-low") for row in rows if len(row) == 2]
