"""Runs written down as YAML: they do what the same calls do, and say what is wrong with them."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from mclass import augmentations, datasets, losses, models, training
from mclass.cli import main, recipes
from mclass.errors import ModelError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
TINY = {"name": "etude", "num_tracks": 12, "clips_per_track": 2, "clip_seconds": 4}
SMALL = {
    "data": TINY,
    "model": {"name": "cnn_1d", "channels": 4},
    "task": {"name": "Tagging", "learning_rate": 0.01},
    "fit": {"epochs": 1, "batch_size": 8, "progress": False},
    "seed": 3,
}
pytestmark = [  # so few clips have not every tag
    pytest.mark.filterwarnings("ignore::mclass.metrics.UndefinedTagsWarning"),
    pytest.mark.filterwarnings("ignore::mclass.mining.MiningWarning"),
]


def written(tmp_path, **changes):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def test_a_recipe_is_the_same_calls(tmp_path):
    task = {
        "name": "Tagging",
        "optimizer": "nadam",
        "augment": ["gtzan_supervised", {"name": "SpecAugment", "max_freq": 5}],
        "criterion": {"name": "FocalLoss", "gamma": 1.0},
    }
    prepared = recipes.prepare(recipes.read(written(tmp_path, task=task), "cpu"))
    run = prepared.run(tmp_path / "run")
    dataset = datasets.load(**TINY)
    torch.manual_seed(3)
    train, valid, test = dataset.splits(seed=3)
    model = models.create("cnn_1d", num_tags=50, channels=4)
    augment = [augmentations.gtzan_supervised(16000), augmentations.SpecAugment(max_freq=5)]
    by_hand = training.Tagging(model, optimizer="nadam", augment=augment, criterion=losses.FocalLoss(1.0))
    expected = training.fit(by_hand, train, valid, epochs=1, batch_size=8, seed=3, progress=False)
    pd.testing.assert_frame_equal(run.history, expected.history, check_exact=True)
    assert prepared.test.indices.tolist() == test.indices.tolist()


def test_profiles_and_changes_win(tmp_path):
    path = written(tmp_path, profiles={"smoke": {"fit": {"epochs": 7}, "model": {"name": "cnn_2d"}}})
    assert recipes.read(path, "cpu")["fit"]["epochs"] == 1
    smoke = recipes.read(path, "smoke", ["fit.epochs=9", "seed=5", "task.optimizer=sgd"])
    assert smoke["fit"] == SMALL["fit"] | {"epochs": 9}
    assert smoke["model"] == {"name": "cnn_2d", "channels": 4}
    assert smoke["task"]["optimizer"] == "sgd"
    assert smoke["seed"] == 5


@pytest.fixture(scope="module")
def etude():
    return datasets.load("etude", num_tracks=24, clips_per_track=2, clip_seconds=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, etude):
    """A folder in which the runs that others start from have been run."""
    folder = tmp_path_factory.mktemp("finished")
    model = models.create("cnn_2d", num_tags=len(etude.tags))
    for name in ("04_supervised", "06_teacher", "06_artist_pretext", "06_listeners_pretext"):
        models.save(model, folder / "runs" / name / "model.pt", tags=etude.tags, multilabel=True)
    return folder


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_every_recipe_of_the_course_can_be_prepared(path, name, etude, finished, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda **options: etude)
    monkeypatch.chdir(finished)
    changes = ["task.queue_size=16"] if "moco" in path.stem else []  # shorter than these few clips
    recipe = recipes.read(path, name, changes)
    if "unlabelled" in recipe:
        recipe["unlabelled"] = {"num_tracks": 240}  # a small pool of these few clips
    prepared = recipes.prepare(recipe)
    prepared.task.check_data(prepared.train, prepared.valid)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_of_the_course_runs(path, etude, finished, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load", lambda **options: etude)
    monkeypatch.chdir(finished)
    prepared = recipes.prepare(recipes.read(path, "smoke"))
    if "sample_cnn" in path.stem:  # half a second for each crop
        prepared.train, prepared.valid = prepared.train.subset([0, 1]), prepared.valid.subset([0, 1])
    run = prepared.run(tmp_path, progress=False)
    assert len(run.history) == prepared.fit["epochs"]
    assert run.history["train_loss"].notna().all()
    assert models.load(tmp_path / "model.pt").tags == prepared.train.tags


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_of_the_course_is_in_the_book(path):
    assert f"`{path.name}`" in (path.parents[1] / "book" / "runs.md").read_text(encoding="utf-8")


def test_what_a_recipe_starts_from_must_be_there(tmp_path):
    noisy = {"name": "NoisyStudent", "teacher": "runs/nobody/model.pt"}
    with pytest.raises(FileNotFoundError, match=r"no teacher runs/nobody/model.pt.*Train it first.*--set"):
        recipes.prepare(recipes.read(written(tmp_path, task=noisy), "cpu"))
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pt")  # could run code when it is loaded
    noisy["teacher"] = str(tmp_path / "model.pt")
    with pytest.raises(ModelError, match="could run code when loaded; refused"):
        recipes.prepare(recipes.read(written(tmp_path, task=noisy), "cpu"))


def test_null_means_none(tmp_path):
    path = written(tmp_path, task={"name": "Contrastive", "augment": None})
    assert recipes.prepare(recipes.read(path, "cpu")).task.augment is None


def test_pretext_then_new_head(tmp_path):
    pretext = {"pretext": {"name": "by_artist"}, "data": TINY | {"num_tracks": 24}}
    first = recipes.prepare(recipes.read(written(tmp_path, **pretext), "cpu"))
    first.run(tmp_path / "pretext")
    assert first.test is None
    model = {"load": str(tmp_path / "pretext" / "model.pt"), "freeze": "everything but head"}
    second = recipes.prepare(recipes.read(written(tmp_path, model=model), "cpu"))
    weights, old = second.task.model.state_dict(), first.task.model.state_dict()
    assert all(torch.equal(weights[key], old[key]) for key in old if not key.startswith("head."))
    assert second.task.model.num_tags == 50
    assert [key for key, p in second.task.model.named_parameters() if p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
    semi = written(tmp_path, labels={"share": 0.5}, task={"name": "EntropyMinimisation"})
    third = recipes.prepare(recipes.read(semi, "cpu"))
    assert not set(third.train.track_ids) & set(third.task.unlabelled.track_ids)


def test_the_command(tmp_path, capsys):
    path, out = written(tmp_path), tmp_path / "out"
    assert main(["train", str(path), "--out", str(out), "--set", "fit.epochs=2"]) == 0
    assert "best epoch" in capsys.readouterr().out
    assert {"model.pt", "history.csv", "last.ckpt", "report.json", "test_scores.csv"} <= {
        one.name for one in out.iterdir()
    }
    assert len(pd.read_csv(out / "history.csv")) == 2
    assert main(["train", str(path), "--out", str(out), "--set", "fit.epochs=3", "--resume"]) == 0
    assert len(pd.read_csv(out / "history.csv")) == 3


@pytest.mark.parametrize(
    ("pretext", "task", "outputs"),
    [
        ({"name": "by_artist_cluster", "num_clusters": 2}, "Tagging", ["group 0", "group 1"]),
        (
            {"name": "by_listeners", "dim": 3, "num_listeners": 200},
            "Regression",
            ["factor 0", "factor 1", "factor 2"],
        ),
    ],
)
def test_other_pretexts_learn_from_the_pool(tmp_path, pretext, task, outputs):
    sections = {"pretext": pretext, "unlabelled": {"num_tracks": 16}, "task": {"name": task}}
    prepared = recipes.prepare(recipes.read(written(tmp_path, **sections), "cpu"))
    assert prepared.train.tags == outputs
    pool = datasets.load(**TINY).unlabelled(16)
    assert set(prepared.train.track_ids) | set(prepared.valid.track_ids) == set(pool.track_ids)
    assert not set(prepared.train.track_ids) & set(prepared.valid.track_ids)
    again = recipes.prepare(recipes.read(written(tmp_path, **sections), "cpu"))
    assert (again.train.labels == prepared.train.labels).all()
    run = prepared.run(tmp_path / "run")
    assert run.history["train_loss"].notna().all()
    model = {"load": str(tmp_path / "run" / "model.pt")}
    assert recipes.prepare(recipes.read(written(tmp_path, model=model), "cpu")).task.model.num_tags == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--epochs 2", "--epochs does not change a recipe. Change it in the file, or say --set fit.epochs=2"),
        ("--seed 7", "--set seed=7"),
        ("--learning-rate 0.1", "--set task.learning_rate=0.1"),
        ("--pad", "--set fit.pad=True"),
        ("--labels x.csv", "--labels does not change a recipe"),
    ],
)
def test_options_that_a_recipe_would_win_over_are_refused(tmp_path, options, message, capsys):
    arguments = ["train", str(written(tmp_path)), "--out", str(tmp_path / "out"), *options.split()]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "did you mean 'model'"),
        ({"profiles": {"cpus": {}}}, "did you mean 'cpu'"),
        ({"data": "etude"}, "must hold options"),
        ({"data": {"name": "etud"}}, "did you mean 'etude'"),
        ({"model": {"name": "cnn_2d", "chanels": 3}}, "did you mean"),
        ({"model": {"name": "cnn_2d", "load": "x"}}, "give one of name"),
        ({"model": {"name": "cnn_1d", "freeze": "bakend"}}, "bakend"),
        ({"task": {"name": "Taging"}}, "did you mean 'Tagging'"),
        ({"task": {"name": "Tagging", "learning_rat": 1}}, "did you mean 'learning_rate'"),
        ({"task": {"name": "Tagging", "augment": "clmrr"}}, "did you mean 'clmr'"),
        (
            {"task": {"name": "Tagging", "augment": {"name": "Gain", "min_bd": 1}}},
            "augment: unknown option 'min_bd'",
        ),
        ({"task": {"name": "Tagging", "criterion": "os"}}, "unknown criterion 'os'"),
        ({"task": {"name": "Consistency"}}, "learns from unlabelled clips"),
        ({"split": {"by": "song"}}, "'song'"),
        ({"split": {"buy": "artist"}}, "did you mean 'by'"),
        ({"labels": {}}, "labels: .*share"),
        ({"pretext": {"name": "by_song"}}, "by_artist"),
        ({"seed": -1}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"fit": None}, "fit must hold"),
        ({"fit": {"epoch": 3}}, "fit: unknown option 'epoch' .did you mean 'epochs'"),
        ({"fit": {"epochs": 1, "folder": "runs"}}, "fit: unknown option 'folder'"),
        ({"task": {"name": "Tagging", "learning_rate": "fast"}}, "learning_rate must be a number, such as 0.001"),
        (
            {"task": {"name": "Tagging", "learning_rate": None}},
            "learning_rate must be a number, such as 0.001, got None",
        ),
        ({"task": {"name": "Tagging", "optimizer": ["sgd"]}}, "task: optimizer must be text, got .'sgd'."),
        (
            {"task": {"name": "Tagging", "schedule_options": {"patience": "x"}}},
            "task: schedule_options.patience must be a number",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        recipes.prepare(recipes.read(written(tmp_path, **changes), "cpu"))


@pytest.mark.parametrize(
    ("task", "key"), [("Tagging", "criterion"), ("MetricLearning", "loss")], ids=["tags", "embeddings"]
)
def test_the_losses_that_are_listed_can_be_given(tmp_path, task, key):
    of_batches = ("SupConLoss", "MultiSimilarityLoss", "ProxyAnchorLoss")

    def prepare(name):
        loss = {"name": name} | ({"num_tags": 50, "dim": 16} if name == "ProxyAnchorLoss" else {})
        options = {"name": task, key: loss} | ({"sampling": "balanced"} if name in of_batches else {})
        return recipes.prepare(recipes.read(written(tmp_path, task=options), "cpu"))

    with pytest.raises(ValueError, match=f"unknown {key} 'Hinge'; available: ") as caught:
        prepare("Hinge")
    listed = str(caught.value).partition("available: ")[2].split(", ")
    assert len(listed) == {"criterion": 2, "loss": 8}[key]
    for name in listed:
        assert type(getattr(prepare(name).task, key)).__name__ == name
    for name in {*losses.__all__} - {*listed}:
        with pytest.raises(ValueError, match=f"unknown {key} '{name}'"):
            prepare(name)


def test_a_refused_run_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = str(written(tmp_path, task={"name": "Taging"}))
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", recipe]) == 2
    assert main(["train", recipe, "--out", "a/b/c"]) == 2
    assert main(["train", "nothing.yaml"]) == 2
    assert sorted(tmp_path.rglob("*")) == before
    for folder in ("runs", "mine/empty"):  # what was there stays
        (tmp_path / folder).mkdir(parents=True)
    assert main(["train", recipe]) == 2
    assert main(["train", recipe, "--out", "mine/empty"]) == 2
    assert main(["train", recipe, "--out", "mine/other"]) == 2
    assert sorted(tmp_path.rglob("*")) == sorted(
        [*before, *(tmp_path / name for name in ("runs", "mine", "mine/empty"))]
    )
    assert "did you mean 'Tagging'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- a", "must hold sections"),
        ("data: !!python/object/apply:os.system ['touch /tmp/no']", "is not YAML"),
        ("data: {name: etude}", "no section 'model'"),
        ("\xff", "must hold sections|is not YAML"),
    ],
)
def test_files_that_are_no_recipes(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        recipes.read(path, "cpu")
    with pytest.raises(FileNotFoundError, match="no such file"):
        recipes.read(tmp_path / "other.yaml")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.1e-2", "1.0e-3", ".001"])
def test_numbers_are_numbers_however_they_are_written(tmp_path, text):
    """YAML 1.1 takes 1e-3 for a word."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SMALL).replace("learning_rate: 0.01", f"learning_rate: {text}"))
    assert recipes.read(path, "cpu")["task"]["learning_rate"] == 0.001
    assert recipes.read(path, "cpu", [f"task.momentum={text}"])["task"]["momentum"] == 0.001
    assert recipes.read(path, "cpu", ["task.name=1e-3x"])["task"]["name"] == "1e-3x"


@pytest.mark.parametrize("change", ["fit", "epochs=3", "fit.epochs"])
def test_changes_that_are_none(tmp_path, change):
    with pytest.raises(ValueError, match=r"section\.option=value"):
        recipes.read(written(tmp_path), "cpu", [change])


@pytest.mark.parametrize("again", ["model: {name: cnn_2d}\n", "more: {a: 1, a: 2}\n", "'model': 3\n"])
def test_what_is_there_twice_is_refused(again, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(yaml.safe_dump(SMALL) + again)
    with pytest.raises(ValueError, match=r"'(model|a)' is there twice"):
        recipes.read(path)
