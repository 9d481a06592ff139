"""``mclass train``: a model from a folder of recordings, or whatever a recipe says.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mclass._utils.files import replacing, user_path, writing
from mclass._utils.text import visible
from mclass.cli.kinds import expect
from mclass.cli.options import add_dataset_options, load_splits, positive

EXAMPLES = r"""
examples:
  one folder per label:
    mclass train --root music --out runs/music
  a table with the columns path and tags (and perhaps track, artist, split):
    mclass train --root music --labels labels.csv
  NSynth's file names say instrument family and instrument (guitar_acoustic_018-060-100.flac):
    mclass train --root nsynth-mini --pattern '(?P<artist>(?P<label>[a-z]+)_[a-z]+_\d+)-' --out runs/nsynth
  data too large for this disk, or for one process, as shards (mclass data shard):
    mclass train --shards 'shards/train-{0000..0127}.tar' --workers 4
    torchrun --nproc-per-node 2 -m mclass train --shards shards --out runs/shards
  a run that is written down (see the folder configs):
    mclass train configs/04_supervised.yaml --profile smoke --set fit.epochs=2 --out runs/supervised
  use it:
    mclass tag song.mp3 other.wav --model runs/nsynth --top 3
"""

BESIDE_RECIPE = ("recipe", "profile", "changes", "out", "resume")
IN_RECIPE = {  # where a recipe says what is an option without one
    "dataset": "data.name",
    "root": "data.root",
    "split_by": "split.by",
    "model": "model.name",
    "optimizer": "task.optimizer",
    "learning_rate": "task.learning_rate",
    "workers": "fit.num_workers",
    "seed": "seed",
} | {name: f"fit.{name}" for name in ("epochs", "batch_size", "precision", "patience", "pad")}


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    train = commands.add_parser(
        "train",
        help="train a model, score it on the test split, keep both in a folder",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "recipe",
        nargs="?",
        metavar="FILE.yaml",
        help="a run that is written down; most options below are then in it",
    )
    train.add_argument("--profile", help="of a recipe: smoke, cpu or gpu (by MCLASS_PROFILE or by hardware)")
    train.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="SECTION.OPTION=VALUE",
        help="change a recipe, such as fit.epochs=3; may be given several times",
    )
    train.add_argument(
        "--dataset",
        default="folder",
        help="folder (your own audio, needs --root), or see `mclass data list`",
    )
    add_dataset_options(train)
    train.add_argument(
        "--shards",
        metavar="SHARDS",
        nargs="+",
        help="stream training clips from shards instead: a folder, or 'folder/train-{0000..0127}.tar'; validation "
        "and test shards are found beside them",
    )
    train.add_argument(
        "--split-by",
        choices=("published", "artist", "track", "clip"),
        help="what parts may not share (as the data set does; a folder: artist)",
    )
    train.add_argument("--model", default="cnn_2d", help="see `mclass models` (cnn_2d)")
    train.add_argument("--epochs", type=positive(int), default=30, help="(30)")
    train.add_argument("--batch-size", type=positive(int), default=16, help="crops per step (16)")
    train.add_argument(
        "--precision", default="float32", help="float32, bf16 or fp16; bf16 is faster and less exact (float32)"
    )
    train.add_argument(
        "--optimizer",
        default="adam",
        help="sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw or nadam (adam)",
    )
    train.add_argument("--learning-rate", type=positive(float), default=1e-3, help="(0.001)")
    train.add_argument("--patience", type=positive(int), help="stop after so many epochs without a better score")
    train.add_argument(
        "--workers",
        type=positive(int, or_zero=True),
        default=0,
        help="processes that read clips, for each that trains (0)",
    )
    train.add_argument("--pad", action="store_true", help="pad files shorter than the model's input with silence")
    train.add_argument(
        "--seed",
        type=positive(int, or_zero=True),
        default=0,
        help="of the split, the first weights and the crops (0)",
    )
    train.add_argument("--out", help="folder of the run (runs/DATA-MODEL-SEED)")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    command = partial(run, usual=vars(train.parse_args([])))
    train.set_defaults(command=command, after_interrupt="(a training run goes on with --resume)")


def run(options: argparse.Namespace, usual: Mapping[str, Any]) -> int:
    """Train, score, report; `usual` are the options of a command line without any."""
    began = time.monotonic()
    if options.recipe is None and (options.profile or options.changes):
        raise ValueError("--profile and --set are for a recipe: mclass train FILE.yaml")
    expect("FILE.yaml", options.recipe, "recipe")
    for shards in options.shards or ():
        expect("--shards", shards, "shards", "shard")
    if options.recipe is not None:
        _refuse_beside_recipe({key: getattr(options, key) for key in usual if getattr(options, key) != usual[key]})
    source = user_path(options.root or options.dataset).name or "music"
    name = Path(options.recipe).stem if options.recipe else f"{source}-{options.model}-{options.seed}"
    folder = user_path(options.out or f"runs/{name}")
    work = _follow_recipe if options.recipe else _train_in
    _processes()  # says what is wrong before anything is written
    if not _is_first():
        work(folder, options, began)
        return 0
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _create(folder)
        with writing(folder, folder / ".lock"):
            _refuse_others(folder, options.resume)
            work(folder, options, began)
    finally:
        with contextlib.suppress(OSError):  # something was learned, or lies there already
            for path in made:  # else leave nothing behind
                path.rmdir()
    return 0


def _refuse_beside_recipe(given: Mapping[str, Any]) -> None:
    """Options that a recipe would silently win over."""
    for name, value in given.items():
        if name in BESIDE_RECIPE:
            continue
        option, place = f"--{name.replace('_', '-')}", IN_RECIPE.get(name)
        change = f"or say --set {place}={value}" if place else "since data are described in the section data"
        raise ValueError(f"{option} does not change a recipe. Change it in the file, {change}")


def _is_first() -> bool:
    """Whether this process is the one that prints and writes, of those that torchrun started."""
    return _number("RANK", 0) == 0


def _processes() -> dict[str, int]:
    """How many processes train together, as torchrun says."""
    here, everywhere = _number("LOCAL_WORLD_SIZE", 1), _number("WORLD_SIZE", 1)
    if everywhere % here or _number("RANK", 0) >= everywhere or _number("LOCAL_RANK", 0) >= here:
        raise ValueError(
            f"WORLD_SIZE={everywhere}, LOCAL_WORLD_SIZE={here}, RANK={_number('RANK', 0)} and LOCAL_RANK="
            f"{_number('LOCAL_RANK', 0)} do not fit together. Let torchrun set them, or unset them"
        )
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing and everywhere > 1:
        raise ValueError(
            f"WORLD_SIZE={everywhere} says that {everywhere} processes train together, but {missing[0]} is not "
            "set. Start them with torchrun --nproc-per-node N -m mclass train …, or unset WORLD_SIZE"
        )
    return {"devices": here, "num_nodes": everywhere // here}


def _number(variable: str, usual: int) -> int:
    """What torchrun put into the environment."""
    text = os.environ.get(variable) or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) < 7) or (usual == 1 and not int(text)):
        raise ValueError(f"the environment variable {variable} is set by torchrun, and is a number, got {text!r}")
    return int(text)


def _refuse_others(folder: Path, resume: bool) -> None:
    """Keep what is in a folder from being mixed with another run."""
    if not resume and any(path.name != ".lock" for path in folder.iterdir()):
        raise ValueError(
            f"{folder} exists and is not empty. Go on with the run in it with --resume, or choose another --out."
        )
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if there and not there & {"last.ckpt", "model.pt", "history.csv"}:  # the first that an interrupted run leaves
        raise ValueError(f"--resume: {folder} holds no run, but {min(there)}. Choose the folder of a run.")


def _create(folder: Path) -> None:
    """Create the folder of a run and write into it, before anything takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"--out {folder} cannot be written: {error.strerror}. Choose another folder.") from None


def _train_in(folder: Path, options: argparse.Namespace, began: float) -> None:
    import torch

    from mclass import metrics, models, training
    from mclass.datasets.workers import data_fingerprint

    model_rate = models.create(options.model, num_tags=2).sample_rate  # a bad name fails before the data is read
    dataset, (train, valid, test) = _shards(options) if options.shards else load_splits(options, model_rate)
    if test.multilabel and len(metrics.undefined_tags(test.labels, test.tags, test.known)) == len(test.tags):
        raise ValueError(
            f"no tag can be scored on the {len(test)} test clips: each needs clips with it and clips without it. "
            "Use a larger test split."
        )
    if _is_first():
        parts = f"{len(train)} clips to train on, {len(valid)} to validate, {len(test)} to test"
        print(f"{visible(dataset)}\n{parts} -> {visible(folder)}")

    torch.manual_seed(options.seed)
    model = models.create(options.model, num_tags=len(dataset.tags))
    task = training.Tagging(
        model,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        multilabel=dataset.multilabel,
    )
    run = training.fit(
        task,
        train,
        valid,
        epochs=options.epochs,
        batch_size=options.batch_size,
        precision=options.precision,
        seed=options.seed,
        folder=folder,
        patience=options.patience,
        resume=options.resume,
        pad=options.pad,
        num_workers=options.workers,
        **_processes(),
    )
    if not _is_first():
        return
    report = _evaluate(folder, model, test)
    report |= {
        "best_epoch": run.best_epoch + 1,
        "epochs": len(run.history),
        "clips": {"train": len(train), "valid": len(valid), "test": len(test)},
        "tags": dataset.tags,
        "seed": options.seed,
        "data": data_fingerprint(train),
        "options": {name: value for name, value in vars(options).items() if name not in ("command", "debug")},
        "versions": _versions(),
        "seconds": round(time.monotonic() - began, 1),
        "peak_memory_mb": _peak_memory(),
    }
    _write(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    done = f"best epoch {report['best_epoch']} of {report['epochs']}"
    print(f"{done}, {report['seconds']:.0f} s; see {visible(folder)}")


def _follow_recipe(folder: Path, options: argparse.Namespace, began: float) -> None:
    from mclass.cli import recipes

    recipe = recipes.read(options.recipe, options.profile, options.changes)
    prepared = recipes.prepare(recipe)
    if _is_first():
        sizes = f"{len(prepared.train)} clips to train on, {len(prepared.valid)} to validate"
        print(f"{type(prepared.task).__name__}: {sizes} -> {visible(folder)}")
    run = prepared.run(folder, resume=options.resume, **_processes())
    if not _is_first():
        return
    best = run.history.iloc[run.best_epoch].to_dict()
    report = {
        "recipe": recipe,
        "best_epoch": run.best_epoch + 1,
        "epochs": len(run.history),
        "best": best,
        "versions": _versions(),
        "seconds": round(time.monotonic() - began, 1),
        "peak_memory_mb": _peak_memory(),
    }
    if prepared.test is not None and hasattr(prepared.task, "multilabel"):
        report |= _evaluate(folder, prepared.task.judged, prepared.test)
    _write(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    done = f"best epoch {report['best_epoch']} of {report['epochs']}"
    score = f"{prepared.task.monitor} {best[prepared.task.monitor]:.3f}"
    print(f"{done} ({score}), {report['seconds']:.0f} s; see {visible(folder)}")


def _shards(options: argparse.Namespace) -> tuple[Any, Any]:
    """The same for shards: what streams, and what is read as an ordinary data set."""
    from mclass import datasets

    if options.root or options.dataset != "folder" or options.split_by:
        raise ValueError("--shards says which data and which split; leave out --root, --dataset and --split-by")
    train = datasets.Shards(options.shards)
    return train, (train, *(datasets.load("shards", root=train.root, part=part) for part in ("valid", "test")))


def _evaluate(folder: Path, model: Any, test: Any) -> dict:
    """Score the test split; write the scores of each clip and, for single-label data, the confusion matrix."""
    import pandas as pd

    from mclass import inference, metrics
    from mclass.display import plot

    scores = inference.predict(model, test)
    table = pd.DataFrame(scores, columns=test.tags)
    labels, known = test.labels, test.known
    table.insert(0, "clip", [test.describe(i) for i in range(len(test))])
    table.insert(1, "true", _tags_of(test.tags, labels if known is None else labels * known))
    if known is not None:
        table.insert(2, "unknown", _tags_of(test.tags, ~known))
    with replacing(folder / "test_scores.csv") as temporary:  # a name need not be UTF-8
        table.to_csv(temporary, index=False, float_format="%.5f", errors="backslashreplace")

    if test.multilabel:
        result = {
            "roc_auc": metrics.roc_auc(labels, scores, tags=test.tags, known=known),  # warns of undefined tags
            "pr_auc": float(metrics.tagwise(labels, scores, test.tags, known=known)["pr_auc"].mean()),
        }
        if known is not None:
            result["known_labels"] = float(known.mean())
        of = "" if known is None else f", of the {known.mean():.0%} of labels that are known"
        print(f"test: macro ROC-AUC {result['roc_auc']:.3f}, macro PR-AUC {result['pr_auc']:.3f}{of}")
        return {"test": result}
    matrix = metrics.confusion(test.labels, scores, test.tags)
    result = {
        "accuracy": float(metrics.accuracy(test.labels, scores)),
        "always_the_most_frequent": float(test.labels.mean(axis=0).max()),
    }
    figure = plot.confusion_matrix(matrix.to_numpy(), test.tags)
    with replacing(folder / "confusion.png") as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    print(
        f"test: accuracy {result['accuracy']:.3f} on {len(test)} clips "
        f"(always the most frequent label: {result['always_the_most_frequent']:.3f})"
    )
    return {"test": result, "confusion": matrix.to_numpy().tolist()}


def _tags_of(tags: list[str], rows: Any) -> list[str]:
    """The tags of each row, in one cell."""
    return ["|".join(tag for tag, is_on in zip(tags, row, strict=True) if is_on) for row in rows]


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    import mclass

    names = ("torch", "lightning", "numpy", "scikit-learn", "soundfile", "soxr")
    return {"mclass": mclass.__version__, "python": platform.python_version()} | {
        name: version(name) for name in names
    }


def _peak_memory() -> int | None:
    """Most memory this process has used, in MB; unknown on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, kilobytes elsewhere
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
