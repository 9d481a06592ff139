"""Files of this package that somebody changed: each field in turn becomes something else, and nothing breaks.

What reads a file then raises one of the package's errors, or goes on with results that are finite. No code runs.
"""

import copy
import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from tones import Tones, small

from mclass import cli, datasets, inference, models, training
from mclass.cli import recipes
from mclass.datasets.storage import cache
from mclass.datasets.storage.sharded import Sharded
from mclass.errors import ModelError
from mclass.search import Index

WRONG = [
    None,
    True,
    -1,
    0,
    3,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "abc",
    "../x",
    [],
    [1],
    [[["a"]]],
    {},
    {"a": 1},
]


def deep(levels=100_000):
    return "[" * levels + "]" * levels


def changed(content, most=400):
    """Copies of what a file holds, each with one place changed: every field missing, or one of `WRONG`."""
    places = []

    def walk(value, place):
        if place:
            places.append(place)
        if isinstance(value, dict):
            for key in list(value)[:8]:
                walk(value[key], [*place, key])
        elif isinstance(value, list | tuple):
            for key in range(min(len(value), 2)):
                walk(value[key], [*place, key])

    walk(content, [])
    rng = np.random.default_rng(0)
    cases = [(place, wrong) for place in places for wrong in [*WRONG, "missing"]]
    if len(cases) > most:
        cases = [cases[i] for i in np.sort(rng.choice(len(cases), most, replace=False))]
    for place, wrong in cases:
        other = copy.deepcopy(content)
        around = other
        for key in place[:-1]:
            around = around[key]
        if isinstance(around, tuple):
            continue
        if wrong == "missing":
            del around[place[-1]]
        else:
            around[place[-1]] = wrong
        yield f"{'.'.join(map(str, place))} = {wrong!r}", other


def holds(what, function):
    """Whether a reader says in the package's own words what is wrong, or gives what is finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function()
        except (ValueError, OSError) as error:
            message = str(error)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        else:
            message = None
    if message is not None:
        assert 0 < len(message.strip()) < 3000, what
        return False
    if result is not None:
        assert np.isfinite(np.asarray([*result], float)).all(), what
    return True


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.create("cnn_1d", num_tags=2, channels=2).eval()


@pytest.fixture
def model_path(model, tmp_path):
    return models.save(model, tmp_path / "model.pt", tags=["a", "b"], accuracy=0.5)


NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1


def scores(path):
    return inference.tag(NOISE, models.load(path), sample_rate=16_000).scores


def test_fields_of_a_model(model_path):
    content = torch.load(model_path, weights_only=True)
    expected = scores(model_path)
    weights, content["state_dict"] = content["state_dict"], {}
    accepted = []
    for what, other in changed(content):
        if other.get("state_dict") == {}:
            other["state_dict"] = weights
        torch.save(other, model_path)
        if holds(what, lambda: scores(model_path)):
            accepted.append(what)
            if not what.startswith(("multilabel", "num_samples")):
                np.testing.assert_allclose(scores(model_path), expected, err_msg=what)
    assert not [one for one in accepted if one.split()[0].split(".")[0] not in KEPT]


# Fields that say nothing about what is computed, or may be something else.
KEPT = {"tags", "mclass_version", "class", "extra", "multilabel", "num_samples", "sample_rate"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda value: value * float("nan"),
        lambda value: value.to(torch.int64),
        lambda value: value.to(torch.complex64),
        lambda value: value[:1],
        lambda value: value[None],
        lambda value: value.flatten()[:1].expand(10**12),
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
        lambda value: value.tolist(),
        lambda value: None,
        lambda value: "weights",
    ],
)
def test_weights_of_a_model(model, model_path, wrong):
    content = torch.load(model_path, weights_only=True)
    for name, value in content["state_dict"].items():
        if value.is_floating_point() and value.ndim and len(value) > 1:
            other = content | {"state_dict": content["state_dict"] | {name: wrong(value)}}
            torch.save(other, model_path)
            with pytest.raises(ModelError):
                models.load(model_path)
            with pytest.raises(ModelError):
                models.load_weights(models.create("cnn_1d", num_tags=2, channels=2), model_path)


def test_a_model_that_would_fill_the_memory(model_path):
    content = torch.load(model_path, weights_only=True)
    for channels, message in ((20_000, "billion weights"), (10**9, "billion weights|memory")):
        torch.save(content | {"options": {"channels": channels}}, model_path)
        with pytest.raises(ModelError, match=message):
            models.load(model_path)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_runs(model_path, model, tmp_path):
    mark = tmp_path / "ran"
    torch.save({"format": "mclass model", "extra": Touch(mark)}, model_path)
    with pytest.raises(ModelError, match="could run code"):
        models.load(model_path)
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Touch(mark)))
    np.savez(tmp_path / "index.npz", files=np.array([Touch(mark)], object), embeddings=np.ones((1, 2)))
    (tmp_path / "run.yaml").write_text(f"data: !!python/object/apply:os.mkdir ['{mark}']")
    for read in (
        lambda: models.load(tmp_path / "old.pt"),
        lambda: Index.load(tmp_path / "index.npz"),
        lambda: recipes.read(tmp_path / "run.yaml"),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            read()
    assert not mark.exists()


def test_a_run_that_is_resumed(tmp_path):
    data = Tones(num_clips=6)

    def go(epochs, resume):
        return training.fit(
            training.Tagging(small(), optimizer="adam"),
            data,
            data,
            epochs=epochs,
            batch_size=6,
            folder=tmp_path / "run",
            resume=resume,
            progress=False,
        )

    go(1, False)
    last = tmp_path / "run" / "last.ckpt"
    original = last.read_bytes()
    content = torch.load(last, weights_only=True)
    for what, other in changed(content, most=90):
        torch.save(other, last)
        if holds(what, lambda: go(2, True).history["train_loss"]):
            go(2, True)  # the state that was written can be read again
        last.write_bytes(original)


@pytest.fixture
def index_path(tmp_path):
    Index(["a.wav", "b.wav"], np.eye(2), "mtat/musicnn", "0123").save(tmp_path / "index.npz")
    return tmp_path / "index.npz"


def test_arrays_of_an_index(index_path):
    with np.load(index_path) as file:
        arrays = dict(file)
    others = [
        np.array(5),
        np.array("x"),
        np.zeros(0),
        np.ones((2, 2, 2), np.float32),
        np.ones((3, 2), np.float32),
        np.full((2, 2), np.nan),
        np.ones((2, 2), np.int64),
        np.ones((2, 2), complex),
        np.array(["a", "b"]),
        np.array([b"a", b"b"]),
        np.array([[1], [2]], "M8[s]"),
    ]
    for name in arrays:
        for other in others:
            np.savez(index_path, **arrays | {name: other})
            holds(
                f"{name} = {other!r}", lambda: [cosine for _, cosine in Index.load(index_path).nearest(np.ones(2))]
            )
        np.savez(index_path, **{key: value for key, value in arrays.items() if key != name})
        if name == "paths":  # older indices have none
            assert Index.load(index_path).paths
            continue
        with pytest.raises(ValueError, match="make it again"):
            Index.load(index_path)


def test_an_archive_that_claims_to_be_large(index_path):
    """A few kilobytes that would unpack to many gigabytes."""
    with np.load(index_path) as file:
        arrays = dict(file)
    np.savez_compressed(index_path, **arrays | {"embeddings": np.zeros((2, 20_000_000), np.float32)})
    assert index_path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="claims to become"):
        Index.load(index_path)
    with zipfile.ZipFile(index_path, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, value)
        with archive.open("more.npy", "w") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 20)}
            np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="cut off"):
        Index.load(index_path)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    root = tmp_path_factory.mktemp("music")
    for label in ("low", "high"):
        (root / label).mkdir()
        for number in range(3):
            rng = np.random.default_rng([number, label == "low"])
            soundfile.write(root / label / f"{number}.wav", rng.uniform(-0.3, 0.3, 4000), 16_000)
    return root


def read_all(dataset):
    sums = [float(dataset.waveform(i).square().sum()) for i in range(len(dataset))]
    names = [dataset.describe(i) for i in range(len(dataset))]
    assert all(isinstance(name, str) for name in names)
    for part in dataset.splits():
        len(part)
    return [*sums, *dataset.labels.sum(0)]


def test_fields_of_prepared_data(music, tmp_path):
    ready = datasets.prepare(datasets.load("folder", root=music), tmp_path / "ready", progress=False)
    path = ready.root / "manifest.json"
    original = path.read_text()
    for what, other in changed(json.loads(original)):
        path.write_text(json.dumps(other))
        holds(what, lambda: read_all(datasets.load("prepared", root=ready.root)))
    for text in ("", "[]", "1", deep(), '{"format": ' + deep() + "}", "\0", '{"format": 1e999}'):
        path.write_text(text)
        assert not holds(text[:20], lambda: datasets.load("prepared", root=ready.root))
    path.write_text(original)
    assert holds("as it was", lambda: read_all(datasets.load("prepared", root=ready.root)))

    with np.load(ready.root / "arrays.npz") as file:
        arrays = dict(file)
    for name in arrays:
        for make in (
            lambda value: value[:-1],
            lambda value: value[:, None],
            lambda value: np.full(len(value), np.nan),
            lambda value: np.full(len(value), -5),
            lambda value: np.full(len(value), 2**62),
            lambda value: np.full(len(value), "x"),
            lambda value: np.zeros(0),
            lambda value: None,
        ):
            other = make(arrays[name])
            kept = {key: value for key, value in (arrays | {name: other}).items() if value is not None}
            np.savez(ready.root / "arrays.npz", **kept)
            holds(f"{name} = {other!r}", lambda: read_all(datasets.load("prepared", root=ready.root)))
    np.savez(ready.root / "arrays.npz", **arrays)
    for text in ("", "a,b\n1,2\n", "name,digest\nx\n", "name,digest\n" + "x,y\n" * 9, '"\0'):
        (ready.root / "clips.csv").write_text(text)
        assert not holds(text[:20], lambda: read_all(datasets.load("prepared", root=ready.root)))


def test_fields_of_shards(music, tmp_path):
    shards = datasets.shard(
        datasets.load("folder", root=music), tmp_path / "shards", clips_per_shard=1, progress=False
    )
    path = tmp_path / "shards" / "index.json"
    original = path.read_text()

    def read():
        with_crops = datasets.ShardStream(datasets.Shards(shards.root), 2000, batch_size=2)
        return [float(waveforms.sum()) for waveforms, _ in with_crops] + read_all(Sharded(shards.root))

    assert holds("as it was", read)
    for what, other in changed(json.loads(original)):
        path.write_text(json.dumps(other))
        holds(what, read)
    for name in ("../train-0000.tar", "/etc/passwd", "a/b.tar", "", ".."):
        content = json.loads(original)
        content["shards"][0]["name"] = name
        path.write_text(json.dumps(content))
        assert not holds(name, read)
    for text in ("", "[]", "null", deep(), '{"format": "mclass shards, version 1", "tags": ' + deep() + "}"):
        path.write_text(text)
        assert not holds(text[:20], read)


def test_the_json_of_a_clip_in_a_shard(music, tmp_path):
    import tarfile
    from io import BytesIO

    shards = datasets.shard(
        datasets.load("folder", root=music), tmp_path / "shards", clips_per_shard=2, progress=False
    )
    path = shards.paths[0]
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]

    def write(about):
        with tarfile.open(path, "w") as tar:
            for number, (member, content) in enumerate(members):
                member = copy.copy(member)
                content = about if number == 0 else content
                member.size = len(content)
                tar.addfile(member, BytesIO(content))

    def read():
        stream = datasets.ShardStream(datasets.Shards(shards.root), 2000, batch_size=2)
        return [float(waveforms.sum()) for waveforms, _ in stream] + read_all(Sharded(shards.root))

    about = json.loads(members[0][1])
    for what, other in changed(about):
        write(json.dumps(other).encode())
        holds(what, read)
    for text in (b"", b"[]", b"5", b"\xff", deep().encode()):
        write(text)
        assert not holds(text[:20], read)


def test_the_report_of_a_run(model_path, music, capsys):
    report = {"options": {"dataset": "folder", "root": str(music), "option": [], "seed": 0, "skip_bad": False}}
    report["options"] |= {"labels": None, "pattern": None, "group": None, "split_by": "clip"}
    path = model_path.parent / "report.json"
    texts = [(what, json.dumps(other)) for what, other in changed(report)]
    texts += [(text[:20], text) for text in ("", "[]", "[1]", "3", '"x"', deep(), '{"options": ' + deep() + "}")]
    for what, text in texts:
        path.write_text(text)
        code = cli.main(["evaluate", "--model", str(model_path), "--tag", "low=a", "--tag", "high=b"])
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if not line.startswith("mclass: warning")]
        assert (code, len(errors)) in ((2, 1), (0, 0)), (what, errors)
        assert "unexpected" not in captured.err, (what, errors)
        assert "nan" not in captured.out, what


def test_the_stamp_of_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path))

    def build(folder):
        (folder / "data").write_bytes(b"music")

    folder = cache.build_once("thing", build, 10)
    stamp = json.loads((folder / "complete.json").read_text())
    texts = [json.dumps(other) for _, other in changed(stamp)] + ["", "[]", "{}", "null", deep()]
    for text in texts:
        (folder / "complete.json").write_text(text)
        assert (cache.build_once("thing", build, 10) / "data").read_bytes() == b"music", text[:50]


RECIPE = {
    "data": {"name": "etude", "num_tracks": 8, "clips_per_track": 2, "clip_seconds": 4.0, "seed": 0},
    "split": {"by": "track"},
    "model": {"name": "cnn_1d", "channels": 2},
    "task": {
        "name": "Tagging",
        "optimizer": "adam",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "schedule_options": {"patience": 3},
        "layer_decay": 1.0,
        "label_smoothing": 0.0,
        "multilabel": True,
        "criterion": {"name": "FocalLoss", "gamma": 2.0},
        "augment": [{"name": "Gain", "min_gain_db": -6.0}, {"name": "SpecAugment", "freq_masks": 1}],
    },
    "fit": {
        "epochs": 1,
        "batch_size": 4,
        "patience": 1,
        "num_workers": 0,
        "gradient_clip": 1.0,
        "accumulate": 1,
        "precision": "float32",
        "pad": False,
        "progress": False,
        "logger": "csv",
        "accelerator": "cpu",
        "compile": False,
    },
    "seed": 0,
}


def test_values_of_a_recipe(tmp_path, monkeypatch):
    """Whatever a field of a recipe becomes: it is prepared, trained with for an epoch, or refused in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCLASS_PROFILE", "cpu")
    path, ran = tmp_path / "run.yaml", 0
    import yaml

    for number, (what, other) in enumerate(changed(RECIPE, most=60)):
        path.write_text(yaml.safe_dump(other))

        def go(number=number):
            prepared = recipes.prepare(recipes.read(path))
            prepared.fit["epochs"] = min(prepared.fit["epochs"], 1)
            return prepared.run(tmp_path / f"run{number}").history["train_loss"]

        ran += holds(what, go)
    assert ran
