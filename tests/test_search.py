"""The index of embeddings: against a plain loop, and what it refuses."""

import pickle
import sys

import numpy as np
import pytest
import torch

from mclass import models, search
from mclass.errors import ModelError


def make(n=20, dim=6, seed=0):
    embeddings = np.random.default_rng(seed).standard_normal((n, dim))
    return search.Index([f"{i}.mp3" for i in range(n)], embeddings, "mtat/musicnn", "abc")


def test_nearest_is_the_largest_cosine():
    index, query = make(), np.random.default_rng(1).standard_normal(6)
    cosines = []
    for row in index.embeddings:
        dot = sum(float(a) * b for a, b in zip(row, query, strict=True))
        cosines.append(dot / (sum(float(a) ** 2 for a in row) * sum(b * b for b in query)) ** 0.5)
    order = sorted(range(20), key=lambda i: -cosines[i])
    for scale in (1, 1e-3, 1e4):
        found = index.nearest(scale * query, k=7)
        assert [name for name, _ in found] == [f"{i}.mp3" for i in order[:7]]
        np.testing.assert_allclose([cosine for _, cosine in found], [cosines[i] for i in order[:7]], atol=1e-6)
    assert len(index.nearest(query, k=99)) == 20
    assert all(cosine == 0 for _, cosine in index.nearest(np.zeros(6)))


def test_saved_and_loaded(tmp_path):
    index = make()
    index.files[0] = "café, «no. 1»\n.mp3"
    again = search.Index.load(index.save(tmp_path / "a.npz"))
    assert (again.files, again.model, again.fingerprint) == (index.files, "mtat/musicnn", "abc")
    np.testing.assert_array_equal(again.embeddings, index.embeddings)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_parquet(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        make().save(tmp_path / "a.parquet")
    monkeypatch.undo()
    pytest.importorskip("pyarrow")
    again = search.Index.load(make().save(tmp_path / "a.parquet"))
    assert again.files == make().files
    np.testing.assert_array_equal(again.embeddings, make().embeddings)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("code in the file was run",))


def test_what_is_no_index_is_refused_and_never_run(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    harmful = np.empty(1, object)
    harmful[0] = Harmful()
    np.savez(tmp_path / "harmful.npz", files=harmful, embeddings=np.zeros((1, 2)), model="m", fingerprint="f")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Harmful()))
    make().save(tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:300])
    (tmp_path / "empty.npz").touch()
    for name in ("other", "harmful", "pickle", "cut", "empty"):
        with pytest.raises(ValueError, match="is not an index of embeddings"):
            search.Index.load(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="mclass embed"):
        search.Index.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("embeddings", [np.zeros((3, 4)), np.zeros(2), np.full((2, 4), np.nan)])
def test_an_index_has_one_finite_embedding_per_file(embeddings):
    with pytest.raises(ValueError, match=r"one embedding for each|finite"):
        search.Index(["a", "b"], embeddings, "m", "f")


def test_wrong_queries():
    with pytest.raises(ValueError, match="embeddings of 6 numbers"):
        make().nearest(np.zeros(5))
    with pytest.raises(ValueError, match="at least 1"):
        make().nearest(np.zeros(6), k=0)


def test_another_model_is_refused():
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=2)
    index = search.Index(["a"], np.zeros((1, 4)), "m", search.fingerprint(model))
    index.check(model)
    with torch.no_grad():
        model.head.bias[0] += 1e-6
    with pytest.raises(ModelError, match="another model, 'm'"):
        index.check(model)
