"""A leaderboard without a server: predictions are scored in the lecturer's hands, and a page is written.

Students get ``clips.npz``, music without labels; the lecturer keeps ``labels.npz``. What students hand in is an
``.npz`` file with three arrays: ``ids`` (one per clip, in any order), ``tags`` (names of the columns) and
``scores`` (clips × tags).
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import struct
import tokenize
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from mclass import metrics
from mclass._utils.files import replacing, writing
from mclass._utils.text import visible
from mclass.errors import DatasetError

MAX_BYTES = 1 << 30  # of the arrays in a file, unpacked
MAX_NAME = 40
METRICS = ("roc_auc", "pr_auc")
# What zipfile and NumPy raise for archives that are damaged, locked, packed in another way, or lie about sizes.
_BROKEN = (
    OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError, MemoryError, RuntimeError, OverflowError,
    TypeError, SyntaxError, zlib.error, struct.error, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Clips × tags: labels, or scores.

    Attributes
    ----------
    ids, tags : list of str
    values : np.ndarray, shape (clips, tags)
    """

    ids: list[str]
    tags: list[str]
    values: np.ndarray


def read(path: Path | str, kind: str) -> Table:
    """Read labels or scores; nothing in the file is executed.

    Parameters
    ----------
    path : path
    kind : {"labels", "scores"}

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DatasetError
        If it is not such a file, or too large, or shapes do not fit, or values are not finite (of labels: not 0
        or 1).
    """
    path, wanted = Path(path), ("ids", "tags", kind)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    how = f"np.savez_compressed(path, ids=ids, tags=tags, {kind}={kind}) writes it"
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise DatasetError(f"{path}: {size / 1e9:.1f} GB of arrays; at most {MAX_BYTES / 1e9:.1f} GB are read")
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in wanted if name not in arrays]
            if missing:
                raise DatasetError(
                    f"{path}: has no array {missing[0]!r}, only {visible(', '.join(arrays)) or 'nothing'}; {how}"
                )
            ids, tags, values = (arrays[name] for name in wanted)
    except DatasetError:
        raise
    except _BROKEN as error:
        if "pickle" in str(error):
            raise DatasetError(f"{path}: holds Python objects, which are not read. ids and tags are text: "
                               "np.array(names, dtype=str)") from None  # fmt: skip
        raise DatasetError(f"{path}: not an .npz file ({visible(str(error))}); {how}") from None
    for name, names in (("ids", ids), ("tags", tags)):
        if names.ndim != 1 or names.dtype.kind != "U":
            raise DatasetError(f"{path}: {name} must be a list of text, got shape {names.shape} of {names.dtype}")
        twice = np.unique(names, return_counts=True)
        if len(names) and twice[1].max() > 1:
            raise DatasetError(f"{path}: {name} must differ, {str(twice[0][twice[1].argmax()])!r} is there twice")
    if values.dtype.kind not in "biuf" or values.shape != (len(ids), len(tags)) or values.size == 0:
        raise DatasetError(
            f"{path}: {kind} must be numbers of shape ({len(ids)} ids, {len(tags)} tags), got shape {values.shape}"
            f" of {values.dtype}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DatasetError(
            f"{path}: {kind} must be finite, found {values[row, column]} for clip {str(ids[row])!r}, "
            f"tag {str(tags[column])!r}. (Did training diverge?)"
        )
    if kind == "labels" and not np.isin(values, (0, 1)).all():
        raise DatasetError(f"{path}: labels must be 0 or 1. Are these scores?")
    return Table(ids.tolist(), tags.tolist(), values)


def score(predictions: Table, labels: Table) -> dict[str, float]:
    """ROC-AUC and PR-AUC, macro averages over the tags that can be scored.

    Raises
    ------
    DatasetError
        If clips or tags are missing or unknown. Their order does not matter.

    Examples
    --------
    >>> labels = Table(["a", "b"], ["rock", "slow"], np.array([[1, 0], [0, 1]]))
    >>> score(Table(["b", "a"], ["rock", "slow"], np.array([[0.1, 0.9], [0.8, 0.3]])), labels)
    {'roc_auc': 1.0, 'pr_auc': 1.0}
    """
    orders = []
    for what, ours, theirs in (("clip", labels.ids, predictions.ids), ("tag", labels.tags, predictions.tags)):
        missing, unknown = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        if missing or unknown:
            raise DatasetError(
                f"the predictions are of other {what}s: {len(missing)} of {len(ours)} are missing"
                + (f" (first {missing[0]!r})" if missing else "")
                + f", {len(unknown)} are unknown"
                + (f" (first {unknown[0]!r})" if unknown else "")
                + f". Predict every {what} of the file that was handed out, and keep its name"
            )
        place = {name: number for number, name in enumerate(theirs)}
        orders.append([place[name] for name in ours])
    scores = predictions.values[np.ix_(*orders)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        return {
            "roc_auc": float(metrics.roc_auc(labels.values, scores, tags=labels.tags)),
            "pr_auc": float(metrics.pr_auc(labels.values, scores, tags=labels.tags)),
        }


@dataclass(frozen=True)
class Entry:
    """One handed-in file: who, when (UTC, ISO 8601), and its scores."""

    name: str
    date: str
    roc_auc: float
    pr_auc: float


class _Stored(pydantic.BaseModel, strict=True, extra="forbid"):
    """An entry in ``board.json``."""

    name: Annotated[str, pydantic.AfterValidator(lambda name: check_name(name))]
    date: pydantic.AwareDatetime
    roc_auc: pydantic.FiniteFloat
    pr_auc: pydantic.FiniteFloat


class _State(pydantic.BaseModel, strict=True):
    """What ``board.json`` holds."""

    labels: str
    entries: list[_Stored]


def submit(
    predictions: Path | str, labels: Path | str, board: Path | str, name: str, now: datetime | None = None
) -> Entry:
    """Score predictions, enter them and write the page again.

    Parameters
    ----------
    predictions, labels : path
        See `read`.
    board : path
        Folder with ``board.json`` (every entry) and ``index.html`` (the page); made if it is not there.
    name : str
        Of a student or a team.
    now : datetime, optional

    Returns
    -------
    Entry

    Raises
    ------
    DatasetError
        If the files do not fit, the board was made with other labels, or is damaged.
    ValueError
        If there is no name, or it is too long or has characters that cannot be seen.
    """
    name = check_name(name)
    truth = read(labels, "labels")
    found = score(read(predictions, "scores"), truth)
    entry = Entry(name, (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"), **found)
    board = Path(board)
    board.mkdir(parents=True, exist_ok=True)
    with writing(board, board / ".board.lock", wait=True):  # two at once must not lose one
        entries = [*_stored(board, _digest(truth)), entry]
        state = {"labels": _digest(truth), "entries": [asdict(one) for one in entries]}
        for file, text in (
            ("board.json", json.dumps(state, indent=1, ensure_ascii=False) + "\n"),
            ("index.html", page(entries, len(truth.ids), len(truth.tags))),
        ):
            with replacing(board / file) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return entry


def check_name(name: str) -> str:
    """A name that can be shown.

    Examples
    --------
    >>> check_name("  Ada   L. ")
    'Ada L.'
    """
    shown = " ".join(unicodedata.normalize("NFC", name).split())
    # Cf: invisible signs, among them those that turn the direction of writing
    if not shown or len(shown) > MAX_NAME or any(unicodedata.category(one)[0] == "C" for one in shown):
        raise ValueError(f"a name has 1 to {MAX_NAME} characters that can be seen, got {name[:80]!r}")
    return shown


def _digest(labels: Table) -> str:
    rows, columns = np.argsort(labels.ids), np.argsort(labels.tags)
    text = json.dumps([sorted(labels.ids), sorted(labels.tags)]).encode()
    return hashlib.sha256(text + labels.values[np.ix_(rows, columns)].astype(np.uint8).tobytes()).hexdigest()[:16]


def _stored(board: Path, digest: str) -> list[Entry]:
    path = board / "board.json"
    if not path.exists():
        return []
    try:
        state = _State.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: damaged ({type(error).__name__}). Restore it, or move it away to begin anew"
        ) from None
    if state.labels != digest:
        raise DatasetError(
            f"{board}: this board was made with other labels; scores would not be comparable. Use another folder"
        )
    return [Entry(one.name, one.date.isoformat(), one.roc_auc, one.pr_auc) for one in state.entries]


def page(entries: Sequence[Entry], num_clips: int, num_tags: int) -> str:
    """The leaderboard as HTML: each name once, by its best ROC-AUC; equals share a place."""
    names: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.date):
        names.setdefault(entry.name, []).append(entry)
    best = {name: max(all_of, key=lambda one: one.roc_auc) for name, all_of in names.items()}
    order = sorted(names, key=lambda name: (-best[name].roc_auc, best[name].date, name))
    rows = []
    for name in order:
        place = 1 + sum(best[other].roc_auc > best[name].roc_auc for other in order)
        latest, top = names[name][-1], best[name]
        rows.append(
            f"<tr><td>{place}</td><th scope=row>{html.escape(name)}</th><td>{top.roc_auc:.4f}</td>"
            f"<td>{top.pr_auc:.4f}</td><td>{_date(top)}</td><td>{latest.roc_auc:.4f}</td><td>{_date(latest)}</td>"
            f"<td>{len(names[name])}</td></tr>"
        )
    return _PAGE.format(rows="\n".join(rows), clips=num_clips, tags=num_tags)


def _date(entry: Entry) -> str:
    when = datetime.fromisoformat(entry.date)
    return f"<time datetime={html.escape(entry.date)}>{when:%Y-%m-%d %H:%M}</time>"


def hand_out(folder: Path | str, num_tracks: int = 200, clip_seconds: float = 6.0) -> tuple[Path, Path]:
    """Compose held-out music: ``clips.npz`` for students, ``labels.npz`` for the lecturer. Returns both paths.

    ``clips.npz`` holds ``ids``, ``tags``, ``sample_rate`` and ``waveforms`` (16-bit, clips × samples).

    Raises
    ------
    DatasetError
        If the held-out seed is missing (see `mclass_grading.held_out.seed`).
    """
    from mclass_grading import held_out

    etude, folder = held_out.etude(num_tracks, clip_seconds, name="leaderboard"), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids, tags = np.array([f"clip{i:04d}" for i in range(len(etude))]), np.array(etude.tags)
    waveforms = np.stack([np.round(etude.waveform(i).numpy() * 32767).astype(np.int16) for i in range(len(etude))])
    contents = {
        "clips.npz": {"sample_rate": np.int64(etude.sample_rate), "waveforms": waveforms},
        "labels.npz": {"labels": etude.labels},
    }
    for name, arrays in contents.items():
        with replacing(folder / name) as temporary, contextlib.closing(temporary.open("wb")) as file:
            np.savez_compressed(file, ids=ids, tags=tags, **arrays)
    return folder / "clips.npz", folder / "labels.npz"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
div {{ overflow-x: auto; }} table {{ border-collapse: collapse; width: 100%; }}
caption {{ text-align: left; padding-bottom: 1rem; }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8886; }}
td {{ font-variant-numeric: tabular-nums; }} th[scope=row] {{ font-weight: 600; }}
</style></head><body><main>
<h1>Leaderboard</h1>
<div role="region" aria-label="Leaderboard" tabindex="0"><table>
<caption>Macro ROC-AUC and PR-AUC on {clips} held-out clips and {tags} tags, best first. Dates: UTC.</caption>
<thead><tr><th scope=col>Place</th><th scope=col>Name</th><th scope=col aria-sort=descending>Best ROC-AUC</th>
<th scope=col>its PR-AUC</th><th scope=col>on</th><th scope=col>Latest ROC-AUC</th><th scope=col>on</th>
<th scope=col>Tries</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
</main></body></html>
"""
