"""Every published data set goes all the way, in miniature: loaded, checked, prepared, sharded, read back."""

import warnings

import numpy as np
import pytest
import torch
from miniatures import home, mini  # noqa: F401
from test_published_loaders import BROKEN, LOADS, load

from mclass import datasets

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("name", LOADS)
def test_checked(mini, name):  # noqa: F811
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = datasets.check(load(mini(name), name), near=False, workers=1, progress=False)
    table = report.table()
    files = table[table.kind.isin(["missing", "empty", "undecodable"])]
    assert sorted(files["clip"]) == sorted(BROKEN.get(name, []))
    assert (files.severity == "known").all()


@pytest.mark.parametrize("name", LOADS)
def test_prepared_and_sharded(mini, name, tmp_path):  # noqa: F811
    data = load(mini(name), name)
    ready = datasets.prepare(data, tmp_path / "ready", workers=1, progress=False)
    again = datasets.load("prepared", root=tmp_path / "ready")
    assert again.fingerprint == ready.fingerprint
    assert (again.tags, again.multilabel, again.sample_rate) == (data.tags, data.multilabel, data.sample_rate)
    np.testing.assert_array_equal(again.labels, data.labels)
    assert (data.known is not None) == (name == "openmic")
    np.testing.assert_array_equal(again.known, data.known)
    np.testing.assert_array_equal(again.track_ids.astype(str), data.track_ids.astype(str))
    np.testing.assert_array_equal(again.artist_ids.astype(str), data.artist_ids.astype(str))
    for index in (0, len(data) - 1):
        torch.testing.assert_close(again.waveform(index), data.waveform(index), atol=1.01 / 32768, rtol=0)

    datasets.shard(again, tmp_path / "shards", clips_per_shard=50, workers=1, progress=False)
    published = again.splits()  # GTZAN's leaves out what is at fault
    parts = [datasets.load("shards", root=tmp_path / "shards", part=part) for part in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [len(part) for part in published]
    assert parts[0].tags == data.tags
    for part, same in zip(parts, published, strict=True):
        assert part.labels.sum(0).tolist() == same.labels.sum(0).tolist()
        assert part.partly_labelled == same.partly_labelled
        if same.partly_labelled:
            assert part.known.sum(0).tolist() == same.known.sum(0).tolist()
