"""OpenMIC-2018: 20,000 ten-second clips in which some of 20 instruments were listened for.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mclass.datasets.base import Subset
from mclass.datasets.published.reading.audio_files import AudioFiles, find_root
from mclass.datasets.published.reading.tables import read_columns, read_json, read_rows
from mclass.errors import DatasetError


class Judged(Subset):
    """A view that also says how sure the listeners were (`relevance`), as its data set does."""

    def __init__(self, parent: OpenMIC | Judged, indices: Sequence[int] | np.ndarray):
        super().__init__(parent, indices)
        self.relevance = parent.relevance[self.indices]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Judged:
        """A view of the clips `indices`."""
        return Judged(self, indices)


class OpenMIC(AudioFiles):
    """OpenMIC-2018 (Humphrey et al., 2018), multi-label, partly labelled.

    Nobody listened for every instrument in every clip. Where `known` is false, a zero in `labels` says nothing:
    training, `mclass evaluate` and probes leave such pairs out, and the metrics do if they are given ``known=``.

    Parameters
    ----------
    root : path
        The folder ``openmic-2018``, or the one around it.
    sample_rate : int
        In Hz. The files have 44,100 mostly.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Attributes
    ----------
    known : np.ndarray, shape (n, 20), bool
        Whether anybody listened for the instrument.
    relevance : np.ndarray, shape (n, 20), float32
        How sure the listeners were that it is there; 0.5 where it is not known. `labels` is 1 above 0.5.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {"clips": 20_000, "train": 14_915, "test": 5_085}

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16_000,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        table = "openmic-2018-aggregated-labels.csv"
        folder = find_root(root, [table], "OpenMIC-2018", ("", "openmic-2018"))
        tags = sorted(classes := read_json(folder / "class-map.json"), key=classes.get)
        meta = read_columns(
            folder / "openmic-2018-metadata.csv", ["sample_key"], optional=("artist_id", "track_id")
        )
        keys = meta["sample_key"]
        relevance, known = _relevance(folder / table, keys, tags)
        parts = dict.fromkeys(keys, "")
        for part in ("train", "test"):
            for row in read_rows(folder / "partitions" / f"split01_{part}.csv"):
                if row[0] in parts:  # some copies have a header
                    parts[row[0]] = part
        kept = self._set_up(
            "openmic",
            folder / "audio",
            [f"{key[:3]}/{key}" for key in keys],
            (relevance > 0.5) & known,
            tags,
            sample_rate=sample_rate,
            multilabel=True,
            parts=[parts[key] for key in keys],
            tracks=meta.get("track_id", [key.split("_")[0] for key in keys]),
            artists=meta.get("artist_id"),
            on_error=on_error,
            missing=missing,
        )
        self.known, self.relevance = known[kept], relevance[kept]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Judged:
        """A view of the clips `indices`, with their `known` and `relevance`."""
        return Judged(self, indices)


def _relevance(table: os.PathLike, keys: list[str], tags: list[str]) -> tuple[np.ndarray, np.ndarray]:
    columns = read_columns(table, ["sample_key", "instrument", "relevance"])
    row_of, column_of = ({name: i for i, name in enumerate(names)} for names in (keys, tags))
    relevance = np.full((len(keys), len(tags)), 0.5, np.float32)
    known = np.zeros(relevance.shape, bool)
    for number, (key, instrument, value) in enumerate(zip(*columns.values(), strict=True), start=2):
        if key not in row_of or instrument not in column_of:
            raise DatasetError(
                f"{table}, row {number}: {key} and {instrument} are not in the metadata and the class map. Are "
                "these files of one version?"
            )
        try:
            relevance[row_of[key], column_of[instrument]] = float(value)
        except ValueError:
            raise DatasetError(f"{table}, row {number}: relevance {value!r} is no number") from None
        known[row_of[key], column_of[instrument]] = True
    return relevance, known
