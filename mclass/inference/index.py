"""Nearest tracks: an index of embeddings, one per file, searched by cosine similarity.

An index remembers which model made it. Distances between embeddings of two models mean nothing, so what another
model made is refused.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mclass._utils.files import replacing, user_path
from mclass._utils.schemas import read_arrays
from mclass.errors import ModelError
from mclass.models import WaveformModel

_FORMAT = "mclass embeddings"


@dataclass
class Index:
    """Embeddings of files, all by the same model.

    Attributes
    ----------
    files : list of str
    embeddings : np.ndarray, shape (files, dim), float32
    model : str
        Its name, or the path it was loaded from.
    fingerprint : str
        Of the model's weights (see `fingerprint`).
    paths : list of str
        Where the files were, absolute, as `files` may be relative to a folder that nobody remembers.

    Examples
    --------
    >>> index = Index(["a.mp3", "b.mp3"], np.array([[1.0, 0.0], [0.6, 0.8]]), "mtat/musicnn", "0123")
    >>> index.nearest(np.array([0.0, 2.0]), k=1)
    [('b.mp3', 0.8...)]
    """

    files: list[str]
    embeddings: np.ndarray = field(repr=False)
    model: str
    fingerprint: str
    paths: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self):
        self.paths = list(self.paths) or list(map(os.path.abspath, self.files))
        self.embeddings = np.asarray(self.embeddings, np.float32)
        numbers = {len(self.embeddings), len(self.files), len(self.paths)}
        if self.embeddings.ndim != 2 or len(numbers) > 1 or not self.files:
            raise ValueError(
                f"an index has one embedding for each file, and at least one: got {len(self.files)} files and "
                f"embeddings of the shape {self.embeddings.shape}"
            )
        if not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings must be finite; they hold NaN or infinity")

    def places(self) -> list[str]:
        """Where each file is: where it was embedded, or by its name from here if it is no longer there."""
        return [path if os.path.exists(path) else name for name, path in zip(self.files, self.paths, strict=True)]

    def check(self, model: WaveformModel) -> None:
        """Refuse a model that did not make this index.

        Raises
        ------
        ModelError
        """
        if fingerprint(model) != self.fingerprint:
            raise ModelError(
                f"the index was made by another model, {self.model!r} as it was then; distances to embeddings of "
                "this one mean nothing. Search with that model, or make the index again (mclass embed)"
            )

    def nearest(self, embedding: np.ndarray, k: int = 10) -> list[tuple[str, float]]:
        """The `k` files whose embeddings point most nearly the same way, with the cosine, nearest first.

        Parameters
        ----------
        embedding : np.ndarray, shape (dim,)
        k : int

        Raises
        ------
        ValueError
            If the embedding has another length, or `k` is not positive.
        """
        embedding = np.asarray(embedding, np.float32)
        if embedding.shape != self.embeddings.shape[1:]:
            raise ValueError(
                f"the index holds embeddings of {self.embeddings.shape[1]} numbers, got {embedding.shape}"
            )
        if k < 1:
            raise ValueError(f"k is the number of files to list and must be at least 1, got {k}")
        cosines = _unit(self.embeddings) @ _unit(embedding)
        return [(self.files[i], float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:k]]

    def save(self, path: str | os.PathLike) -> Path:
        """Write the index to a ``.npz`` file, or ``.parquet`` where pyarrow is installed, complete or not at all.

        Raises
        ------
        ValueError
            If the suffix is another, or pyarrow is needed and absent.
        """
        path = check_suffix(path)
        with replacing(path) as temporary:
            if path.suffix == ".parquet":
                self._table().to_parquet(temporary, index=False)
            else:
                with open(temporary, "wb") as file:  # given a name, numpy would add .npz to it
                    np.savez_compressed(
                        file,
                        format=_FORMAT,
                        files=np.array(self.files, dtype=str),
                        paths=np.array(self.paths, dtype=str),
                        embeddings=self.embeddings,
                        model=self.model,
                        fingerprint=self.fingerprint,
                    )
        return path

    def _table(self):
        import pandas as pd

        columns = {"file": self.files, "path": self.paths, "embedding": list(self.embeddings)}
        return pd.DataFrame(columns).assign(model=self.model, fingerprint=self.fingerprint)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Index:
        """Read what `save` wrote; nothing in the file is run as code.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not an index, or is damaged.
        """
        path = check_suffix(path)
        if not path.exists():
            raise FileNotFoundError(f"no such file: {path}. Make an index first: mclass embed FOLDER --out {path}")
        if not path.is_file():  # to open a pipe would wait for somebody to write to it
            raise ValueError(f"{path} is not an index of embeddings: it is a folder, pipe or device")
        try:
            if path.suffix == ".parquet":
                files, embeddings, model, code, paths = _read_table(path)
            else:
                arrays = read_arrays(path, {"files": ("U", 1), "embeddings": ("f", 2), "model": ("U", 0)})
                if str(arrays.get("format")) != _FORMAT:
                    raise ValueError("it has another format")
                files, embeddings = arrays["files"].tolist(), arrays["embeddings"]
                model, code = str(arrays["model"]), str(arrays["fingerprint"])
                places = arrays.get("paths", arrays["files"][:0])  # not in older ones
                if places.dtype.kind != "U" or places.ndim != 1:
                    raise ValueError("paths are no names")
                paths = places.tolist()
            return cls(files, embeddings, model, code, paths)
        except Exception as error:  # whatever pyarrow makes of a damaged file, too
            reason = "" if isinstance(error, KeyError | IndexError) else f" ({' '.join(str(error).split())})"
            raise ValueError(
                f"{path} is not an index of embeddings, or is damaged{reason}; make it again with mclass embed"
            ) from None


def _read_table(path: Path) -> tuple[list[str], np.ndarray, str, str, list[str]]:
    import pandas as pd

    table = pd.read_parquet(path)
    places = table["path"].tolist() if "path" in table else []  # not in older ones
    text = table[["file", "model", "fingerprint"]]
    if not text.map(lambda value: isinstance(value, str)).all(axis=None) or not all(
        isinstance(place, str) for place in places
    ):
        raise ValueError("a file, path, model or fingerprint is no text")
    first = table.iloc[0]
    return table["file"].tolist(), np.stack(table["embedding"]), first["model"], first["fingerprint"], places


def check_suffix(path: str | os.PathLike) -> Path:
    """The path of an index, if its suffix is one that can be written here.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_suffix("music.txt")
    Traceback (most recent call last):
    ValueError: music.txt: an index is a .npz file, or .parquet where pyarrow is installed
    """
    path = user_path(path)
    if path.suffix not in (".npz", ".parquet"):
        raise ValueError(f"{path}: an index is a .npz file, or .parquet where pyarrow is installed")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ValueError(
                f"{path}: parquet needs the package pyarrow (pip install pyarrow); or choose a name in .npz"
            ) from None
    return path


def fingerprint(model: WaveformModel) -> str:
    """A short code that two models share only if they are built alike and have the same weights.

    Examples
    --------
    >>> from mclass import models
    >>> model = models.create("cnn_1d")
    >>> fingerprint(model) == fingerprint(model), fingerprint(model) == fingerprint(models.create("cnn_1d"))
    (True, False)
    """
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one; a zero stays zero, similar to nothing."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
