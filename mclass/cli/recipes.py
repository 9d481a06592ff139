"""Training runs written down: a YAML file says which data, which model, which paradigm, and how long.

A file names things as the package does, and passes options on::

    data: {name: etude}                      # mclass.datasets.load(...)
    split: {by: artist}                      # .splits(...)
    model: {name: cnn_2d}                    # mclass.models.create(...)
    task:                                    # a class of mclass.training
      name: Tagging
      learning_rate: 0.001
      augment: [{name: gtzan_supervised}, {name: SpecAugment}]
    fit: {epochs: 5, batch_size: 16}         # mclass.training.fit(...)
    profiles:                                # what is different in a profile
      smoke: {data: {num_tracks: 48}, fit: {epochs: 1}}

Other sections: ``labels: {share: 0.05}`` hides the other labels (`mclass.datasets.label_budget`),
``unlabelled: {num_tracks: 480}`` adds a pool of other tracks, and ``pretext: {name: by_artist}`` (or
``by_artist_cluster``, ``by_listeners``) learns labels that cost nothing, of the pool, or of the training clips.

``mclass train FILE`` runs it. Nothing in a file is code: names are looked up in the package, and unknown ones are
refused.

Taught in: 04_supervised.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mclass import augmentations, datasets, losses, models, training
from mclass._utils.arguments import checked, parameters
from mclass._utils.files import user_path
from mclass.config import PROFILES, profile
from mclass.datasets import MusicDataset
from mclass.datasets.unlabelled import pretexts
from mclass.datasets.unlabelled.budgets import label_budget
from mclass.datasets.unlabelled.listeners import simulate_plays
from mclass.errors import DatasetError, shortened, unknown_name
from mclass.frontends import MFCC
from mclass.models import WaveformModel, pretrained
from mclass.training import Run, Task
from mclass.training.tasks import metric_options

SECTIONS = ("data", "split", "labels", "pretext", "unlabelled", "model", "task", "fit", "seed", "profiles")
_LONGEST = 1 << 20  # bytes of a recipe
NOT_IN_FIT = ("task", "train", "valid", "folder", "resume", "devices", "num_nodes")  # the command line says them


def _by_artist_cluster(dataset: MusicDataset, num_clusters: int = 10, seed: int = 0) -> MusicDataset:
    """Groups of artists with similar mean MFCCs."""
    mfcc = MFCC(dataset.sample_rate)
    with torch.no_grad():
        means = [mfcc(dataset.waveform(i)[None])[0, 0].mean(1) for i in range(len(dataset))]
    return pretexts.by_artist_cluster(dataset, torch.stack(means).numpy(), num_clusters, seed)


def _by_listeners(
    dataset: MusicDataset,
    dim: int = 16,
    num_listeners: int = 1000,
    plays_per_listener: int = 50,
    loyalty: float = 1.0,
    seed: int = 0,
) -> MusicDataset:
    """Factors of what simulated listeners play."""
    plays = simulate_plays(dataset, num_listeners, plays_per_listener, loyalty, seed)
    return pretexts.by_listeners(dataset, plays, dim, seed)


PRETEXTS = {
    "by_artist": pretexts.by_artist,
    "by_artist_cluster": _by_artist_cluster,
    "by_listeners": _by_listeners,
}

LOSSES = {  # of tags, and of embeddings
    "criterion": ("BCELoss", "FocalLoss"),
    "loss": sorted({"DisentangledTripletLoss", *(one.__name__ for one in metric_options.LOSSES)}),
}


@dataclass
class Prepared:
    """What a recipe asks for, made: ``training.fit(task, train, valid, **fit)`` runs it.

    Attributes
    ----------
    task : Task
    train, valid : MusicDataset
    test : MusicDataset or None
        None for pretexts, which have nothing to be tested on.
    fit : dict
    """

    task: Task
    train: MusicDataset
    valid: MusicDataset
    test: MusicDataset | None
    fit: dict[str, Any]

    def run(self, folder: str | os.PathLike, **options) -> Run:
        """Train, in a folder; `options` go to `mclass.training.fit`."""
        return training.fit(self.task, self.train, self.valid, folder=folder, **self.fit, **options)


def read(
    path: str | os.PathLike, profile_name: str | None = None, changes: Iterable[str] = ()
) -> dict[str, dict[str, Any]]:
    """Read a recipe as it is for a profile.

    Parameters
    ----------
    path : path
    profile_name : {"smoke", "cpu", "gpu"}, optional
        The one in force if not given.
    changes : iterable of str
        ``"section.option=value"``, the value as YAML; they win over the file.

    Returns
    -------
    dict
        Sections, without ``profiles``.

    Raises
    ------
    ValueError
        If the file is not such YAML, or names an unknown section or profile; the message guesses.
    FileNotFoundError

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "small.yaml"
    >>> text = "data: {name: etude}\\nmodel: {name: cnn_1d}\\ntask: {name: Tagging}\\nfit: {epochs: 9}\\n"
    >>> _ = path.write_text(text + "profiles: {smoke: {fit: {epochs: 1}}}")
    >>> read(path, "smoke", ["model.name=cnn_2d"])["fit"], read(path, "cpu")["fit"]
    ({'epochs': 1}, {'epochs': 9})
    """
    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (the current folder is {Path.cwd()})")
    if path.stat().st_size > _LONGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; a recipe is a page of text")
    try:
        given = _yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    recipe = _sections(given, SECTIONS, str(path))
    every = _sections(recipe.pop("profiles", {}), PROFILES, f"{path}: profiles")
    chosen = profile_name or profile()
    if chosen not in PROFILES:
        raise ValueError(unknown_name("profile", chosen, PROFILES))
    changed = [every.get(chosen, {}), *(_parsed(change) for change in changes)]
    for one in changed:
        for section, value in _sections(one, SECTIONS[:-1], str(path)).items():
            both = isinstance(recipe.get(section), dict) and isinstance(value, dict)
            recipe[section] = {**recipe[section], **value} if both else value
    for section in ("data", "model", "task", "fit"):
        if section not in recipe:
            raise ValueError(f"{path} has no section {section!r}; needed are data, model, task and fit")
    for section, value in recipe.items():
        if section != "seed" and not isinstance(value, dict):
            raise ValueError(f"{path}: {section} must hold options, such as {{name: …}}, got {shortened(value)}")
    return recipe


def prepare(recipe: Mapping[str, Any]) -> Prepared:
    """Make everything that a recipe (from `read`) names.

    Raises
    ------
    ValueError
        If a name or an option is unknown; the message says in which section, and guesses.
    """
    recipe = {section: dict(value) if isinstance(value, dict) else value for section, value in recipe.items()}
    seed = recipe.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number, 0 or more, and less than 2^63, got {shortened(seed)}")
    fit = checked(training.fit, recipe["fit"], "fit", without=NOT_IN_FIT)
    if "epochs" not in fit:
        raise ValueError("fit: say for how many epochs, such as epochs: 5")
    torch.manual_seed(seed)
    name = _named("data set", recipe["data"].pop("name", None), datasets.list())
    dataset = _called("data", datasets.class_of(name), recipe["data"])
    train, valid, test = _called(
        "split", dataset.splits, {"seed": seed, **recipe.get("split", {})}, optional=["seed"]
    )
    unlabelled = None
    if "labels" in recipe:
        train, unlabelled = _called("labels", label_budget, {"seed": seed, **recipe["labels"]}, first=[train])
    if "unlabelled" in recipe:
        unlabelled = _called("unlabelled", dataset.unlabelled, recipe["unlabelled"])
    if "pretext" in recipe:
        name = _named("pretext", recipe["pretext"].pop("name", None), PRETEXTS)
        options = {"seed": seed, **recipe["pretext"]}
        clips = train if unlabelled is None else unlabelled
        other = _called("pretext", PRETEXTS[name], options, first=[clips], optional=["seed"])
        train, valid = pretexts.split_tracks(other, seed=seed)
        test = None
    model = _model(recipe["model"], train)
    task = _task(recipe["task"], model, train, unlabelled)
    return Prepared(task, train, valid, test, {"seed": seed, **fit})


def _model(options: dict, train: MusicDataset) -> WaveformModel:
    """A new model, one from a file, or published weights; with as many outputs as there are tags."""
    until = options.pop("freeze", None)
    if not isinstance(until, str | None):
        raise ValueError(f"model: freeze is the name of a layer, got {shortened(until)}")
    sources = [key for key in ("name", "load", "pretrained") if key in options]
    if len(sources) != 1:
        raise ValueError(f"model: give one of name (new weights), load (a file) and pretrained, got {sources}")
    if sources == ["name"]:
        name = options.pop("name")
        model = models.create(name, num_tags=len(train.tags), **options)
    else:
        loaded = models.load if sources == ["load"] else pretrained.load
        source = options.pop(sources[0])
        if not isinstance(source, str):
            raise ValueError(f"model: {sources[0]} must be text, got {shortened(source)}")
        model = loaded(source)
        if options:
            raise ValueError(f"model: {unknown_name('option', next(iter(options)), ['freeze'])}")
        if list(model.tags or ()) != list(train.tags):
            model = models.with_new_head(model, len(train.tags))
    return models.freeze(model, until) if until else model


def _task(options: dict, model: WaveformModel, train: MusicDataset, unlabelled: MusicDataset | None) -> Task:
    tasks = {
        name: each for name, each in vars(training).items() if inspect.isclass(each) and issubclass(each, Task)
    }
    name = _named("task", options.pop("name", None), [each for each in tasks if each != "Task"])
    cls = tasks[name]
    allowed = parameters(cls)
    if "multilabel" in allowed and issubclass(cls, training.Tagging):
        options.setdefault("multilabel", train.multilabel)
    for key, known in LOSSES.items():
        if options.get(key) is not None:
            options[key] = _made(key, options[key], losses, known, model.sample_rate)
    if options.get("augment") is not None:
        known, rate = augmentations.__all__, model.sample_rate
        made = [_made("augment", one, augmentations, known, rate) for one in _listed(options["augment"])]
        options["augment"] = made[0] if len(made) == 1 else made
    if "teacher" in options:
        teacher = options["teacher"]
        if not isinstance(teacher, str):
            raise ValueError(
                f"task: teacher is the path of a model, such as runs/teacher/model.pt, got {shortened(teacher)}"
            )
        if not user_path(teacher).is_file():
            raise FileNotFoundError(
                f"task: there is no teacher {teacher} (the current folder is {Path.cwd()}). Train it first, or "
                "name the file of another one, on the command line with --set task.teacher=PATH"
            )
        options["teacher"] = models.load(teacher)
    if "unlabelled" in allowed:
        if unlabelled is None:
            raise DatasetError(
                f"task {name} learns from unlabelled clips, too: add a section unlabelled: {{num_tracks: …}}, or "
                "labels: {share: …}, whose rest is used"
            )
        options["unlabelled"] = unlabelled
    return _called("task", cls, options, first=[model])


def _made(section: str, given: Any, module: Any, known: Iterable[str], sample_rate: int) -> Any:
    """Something of a module by its name, such as ``{name: FocalLoss, gamma: 2}``."""
    options = dict(given) if isinstance(given, dict) else {"name": given}
    make = getattr(module, _named(section, options.pop("name", None), known))
    if "sample_rate" in inspect.signature(make).parameters:
        options.setdefault("sample_rate", sample_rate)
    return _called(section, make, options)


def _called(section: str, function: Any, options: dict, first: Iterable = (), optional: Iterable[str] = ()) -> Any:
    """Call with options from a file; say which are unknown, missing or of another type."""
    known = parameters(function)
    options = {key: value for key, value in options.items() if key in known or key not in optional}
    options = checked(function, options, section, without=[*known][: len(first)])
    try:
        inspect.signature(function).bind(*first, **options)
    except TypeError as error:  # a required one is missing
        raise ValueError(f"{section}: {error}") from None
    return function(*first, **options)


def _named(kind: str, name: Any, known: Iterable[str]) -> str:
    """`name`, if it is one of these."""
    known = list(known)
    if not isinstance(name, str) or name not in known:
        raise ValueError(unknown_name(kind, name, known))
    return name


def _sections(given: Any, allowed: Iterable[str], where: str) -> dict:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError(f"{where} must hold sections, such as data: {{name: etude}}, got {shortened(given)}")
    for key in given:
        if key not in allowed:
            raise ValueError(f"{where}: {unknown_name('section', key, allowed)}")
    return dict(given)


class _Loader(yaml.SafeLoader):
    """PyYAML's own, which takes ``1e-3`` for a word (it wants ``1.0e-3``), with such numbers and no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of them can stand for more than any memory holds
            raise yaml.YAMLError(f"an alias such as *{self.peek_event().anchor} cannot be used; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):  # of two values, PyYAML takes the last without a word
            keys = [str(key.value) for key, _ in node.value]
            twice = next((key for key in keys if keys.count(key) > 1), keys[0])
            raise yaml.YAMLError(f"{shortened(twice)} is there twice; remove one")
        return mapping


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(error) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _parsed(change: str) -> dict:
    """``fit.epochs=3`` as ``{"fit": {"epochs": 3}}``."""
    key, equals, text = change.partition("=")
    section, dot, option = key.partition(".")
    if not equals or (not dot and section != "seed"):
        raise ValueError(f"a change is section.option=value, such as fit.epochs=3, got {change!r}")
    try:
        value = _yaml(text)
    except ValueError:  # a word
        value = text
    return {section: {option: value}} if dot else {section: value}


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


__all__ = ["Prepared", "prepare", "read"]
