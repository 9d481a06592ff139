"""What a change of structure must leave alone: names, help texts, models, splits, and files written before it.

``tests/frozen`` holds what the package was and did. Where a change is
intended, write the snapshot again and read the difference:

    python tests/test_frozen.py --write

That leaves the stored files (a run, an index, shards) alone: they must stay readable as they are.
``--write-files`` makes those again too, which only a new file format needs.
"""

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from tones import Tones

import mclass
from mclass import cli, datasets, inference, models, training

FROZEN = Path(__file__).with_name("frozen")
SNAPSHOT = FROZEN / "snapshot.json"
COMMANDS = ["", "tag", "train", "evaluate", "embed", "search", "data", "models", "grade", "submit", "held-out"]
COMMANDS += [f"data {action}" for action in ("list", "info", "download", "check", "prepare", "shard")]
STORED_EPOCHS, ALL_EPOCHS = 2, 4


def digest(value):
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]


# What is recorded, each by a function


def public_names():
    """Of each public module: its ``__all__``, or the functions and classes that it defines."""
    names = {"mclass": sorted(mclass.__all__)}
    for found in pkgutil.walk_packages(mclass.__path__, "mclass."):
        if any(part.startswith("_") for part in found.name.split(".")):
            continue
        module = importlib.import_module(found.name)
        own = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (inspect.isfunction(value) or inspect.isclass(value))
            and value.__module__ == module.__name__
        ]
        names[found.name] = sorted(getattr(module, "__all__", own))
    return names


def help_text(command):
    """What ``mclass COMMAND --help`` prints, but for where its lines break."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        cli.main([*command.split(), "--help"])
    assert stop.value.code == 0
    return " ".join(printed.getvalue().split())


def help_texts():
    return {"python": list(sys.version_info[:2]), "commands": {name: help_text(name) for name in COMMANDS}}


def model_record(name):
    """A model's parameters by name and shape, and what it says about noise."""
    torch.manual_seed(0)
    model = models.create(name, num_tags=3).eval()
    shapes = [(key, tuple(value.shape)) for key, value in model.state_dict().items()]
    samples = min(model.num_samples, 2 * model.min_samples + 16_000)
    waveform = torch.randn(2, samples, generator=torch.Generator().manual_seed(1)) * torch.tensor([[0.01], [0.5]])
    with torch.inference_mode():
        logits, embedding = model(waveform), model.embed(waveform)
    return {
        "state": digest(shapes),
        "sizes": [model.sample_rate, model.num_samples, model.min_samples],
        "logits": [round(value, 6) for value in logits.flatten().tolist()],
        "embedding": [round(value, 6) for value in (embedding.mean().item(), embedding.std().item())],
    }


def etude():
    return datasets.load("etude", num_tracks=40, clips_per_track=2, clip_seconds=3)


def folder(root):
    for name in ("rock", "jazz"):
        (root / name).mkdir(parents=True)
        for i in range(10):
            soundfile.write(root / name / f"{i}.wav", np.full(800, 0.1 + i / 100), 8000)
    return datasets.load("folder", root=root, sample_rate=8000)


def splits(root):
    """Which clips are in the parts of the data sets' own splits, and of those by group."""
    music, files = etude(), folder(root / "folder")
    made = {
        "etude": music.splits(),
        "etude by track": music.splits(by="track"),
        "etude by clip": music.splits(by="clip"),
        "etude seed 3": music.splits(seed=3),
        "folder": files.splits(),
        "shards": datasets.load("shards", root=FROZEN / "shards").splits(),
    }
    record = {name: [np.asarray(part.indices).tolist() for part in parts] for name, parts in made.items()}
    groups = np.arange(60) // 3
    record["split_by_group"] = [part.tolist() for part in datasets.split_by_group(groups, (0.8, 0.1, 0.1), seed=0)]
    record["etude tags"] = digest(music.labels.tolist())
    return record


# The stored files


class FewBits(Tones):
    """Tones of 8 bits, for files half as large, with a split."""

    def __init__(self):
        super().__init__(18, seconds=4200 / 16000)
        self.audio = [torch.round(audio * 128).clamp(-128, 127) / 128 for audio in self.audio]

    def splits(self, by=None):
        return tuple(self.subset(np.arange(*ends)) for ends in ((0, 10), (10, 14), (14, 18)))


def tagger():
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=3, channels=8)
    model.num_samples = 4000
    return model


def trained(root, epochs, resume):
    train, valid, _ = datasets.load("shards", root=FROZEN / "shards").splits()
    task = training.Tagging(tagger(), learning_rate=0.01)
    run = training.fit(
        task,
        train,
        valid,
        epochs=epochs,
        batch_size=4,
        folder=root,
        resume=resume,
        progress=False,
        accelerator="cpu",
    )
    return run.history, task.model


def write_files():
    for name in ("shards", "run"):
        shutil.rmtree(FROZEN / name, ignore_errors=True)
    FROZEN.mkdir(exist_ok=True)
    datasets.shard(FewBits(), FROZEN / "shards", workers=1, progress=False)
    trained(FROZEN / "run", STORED_EPOCHS, resume=False)
    for lock in FROZEN.rglob("*.lock"):
        lock.unlink()
    history, model = trained(None, ALL_EPOCHS, resume=False)
    stored = models.load(FROZEN / "run" / "model.pt")
    index_of_tones(stored, ["a.wav", "b.wav", "c.wav"]).save(FROZEN / "index.npz")
    return {
        "history": history.round(9).to_dict("list"),
        "scores": inference.predict(model, whole(datasets.load("shards", root=FROZEN / "shards")))
        .round(7)
        .tolist(),
    }


def whole(dataset):
    return dataset.splits()[2]


def index_of_tones(model, names):
    embeddings = [model.embed(FewBits().waveform(i)[None, :4000])[0].detach().numpy() for i in range(len(names))]
    fingerprint = mclass.search.fingerprint(model)
    return mclass.search.Index(names, np.stack(embeddings), "run/model.pt", fingerprint, paths=names)


# The comparisons


@pytest.fixture(scope="module")
def stored():
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_public_name_is_where_it_was(stored):
    """Directly, or by the table of old paths."""
    gone = []
    for module, names in stored["public names"].items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = importlib.import_module(module)
            gone += [f"{module}.{name}" for name in names if not hasattr(found, name)]
    assert not gone


def test_the_facade_lacks_nothing(stored):
    for module, names in stored["facade"].items():
        now = importlib.import_module(module).__all__
        assert set(names) <= set(now), module


def test_help_of_every_command(stored):
    if list(sys.version_info[:2]) != stored["help"]["python"]:
        pytest.skip("argparse of another Python formats otherwise")
    for command, text in stored["help"]["commands"].items():
        assert help_text(command) == text, command


def test_every_model_is_in_the_snapshot(stored):
    assert sorted(stored["models"]) == models.list()


@pytest.mark.parametrize("name", models.list())
def test_models(stored, name):
    was, now = stored["models"][name], model_record(name)
    for key in ("state", "sizes"):
        assert now[key] == was[key], key
    np.testing.assert_allclose(now["logits"], was["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(now["embedding"], was["embedding"], rtol=1e-4, atol=1e-5)


def test_splits(stored, tmp_path):
    now = splits(tmp_path)
    assert now.keys() == stored["splits"].keys()
    for name, parts in stored["splits"].items():
        assert now[name] == parts, name


def test_a_stored_run_resumes_as_if_it_had_never_stopped(stored, tmp_path):
    shutil.copytree(FROZEN / "run", tmp_path / "run")
    before = pd.read_csv(tmp_path / "run" / "history.csv")
    history, model = trained(tmp_path / "run", ALL_EPOCHS, resume=True)
    pd.testing.assert_frame_equal(history[:STORED_EPOCHS], before)
    expected = pd.DataFrame(stored["files"]["history"])
    losses = ["train_loss", "valid_loss"]  # other processors round otherwise, and training makes more of it
    pd.testing.assert_frame_equal(history[losses], expected[losses], rtol=1e-2)
    scores = inference.predict(model, whole(datasets.load("shards", root=FROZEN / "shards")))
    np.testing.assert_allclose(scores, stored["files"]["scores"], atol=0.02)
    # to the bit, as far as this machine rounds as the one where the run was stored
    again, other = trained(tmp_path / "again", ALL_EPOCHS, resume=False)
    if again[:STORED_EPOCHS].equals(before):
        assert again.equals(history)
        for key, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), key


def test_a_stored_index_belongs_to_the_stored_model_and_finds():
    index = mclass.search.Index.load(FROZEN / "index.npz")
    model = models.load(FROZEN / "run" / "model.pt")
    index.check(model)
    assert index.files == ["a.wav", "b.wav", "c.wav"]
    np.testing.assert_allclose(index.embeddings, index_of_tones(model, index.files).embeddings, atol=1e-5)
    assert [index.nearest(row, k=1)[0][0] for row in index.embeddings] == index.files


def test_stored_shards_hold_what_was_put_in():
    tones, found = FewBits(), datasets.load("shards", root=FROZEN / "shards")
    assert len(found) == len(tones)
    order = [int(str(track).rpartition("-")[2]) for track in found.track_ids]
    assert sorted(order) == list(range(len(tones)))
    for i, j in enumerate(order):
        np.testing.assert_allclose(found.waveform(i), tones.waveform(j), atol=1 / 32768)
        np.testing.assert_array_equal(found.labels[i], tones.labels[j])
    stream = datasets.ShardStream(datasets.Shards(FROZEN / "shards"), 4000, batch_size=4)
    assert sum(len(waveforms) for waveforms, *_ in stream) == 10


FACADE = (
    "",
    ".audio",
    ".augmentations",
    ".datasets",
    ".frontends",
    ".inference",
    ".losses",
    ".metrics",
    ".mining",
)
FACADE += (".models", ".training")


def write(files):
    old = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    record = {"files": write_files() if files else old["files"]}
    record["facade"] = {
        f"mclass{name}": sorted(importlib.import_module(f"mclass{name}").__all__) for name in FACADE
    }
    record["public names"] = public_names()
    record["help"] = help_texts()
    record["models"] = {name: model_record(name) for name in models.list()}
    with tempfile.TemporaryDirectory() as root:
        os.environ["MCLASS_HOME"] = root
        record["splits"] = splits(Path(root))
    text = json.dumps(record, indent=1, ensure_ascii=False)
    SNAPSHOT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("--write-files" in sys.argv)
