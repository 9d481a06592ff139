"""Where modules and names were before the package was regrouped: old paths work for one release, with a warning.

`MODULES` and `NAMES` are the tables; delete a line, and the old path is gone. `install` runs when ``mclass`` is
imported. It adds a finder in front of all others: a package that moved is known by its old name too, and they
would find its modules a second time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

# old module -> new module
MODULES = {
    "mclass.cli.grade": "mclass_grading.commands.grade",
    "mclass.cli.submit": "mclass_grading.commands.submit",
    "mclass.datasets.archives": "mclass.datasets.published.getting.archives",
    "mclass.datasets.audioset": "mclass.datasets.published.audioset",
    "mclass.datasets.budgets": "mclass.datasets.unlabelled.budgets",
    "mclass.datasets.cache": "mclass.datasets.storage.cache",
    "mclass.datasets.cards": "mclass.datasets.published.cards",
    "mclass.datasets.checks": "mclass.datasets.quality.checks",
    "mclass.datasets.downloads": "mclass.datasets.published.getting.downloads",
    "mclass.datasets.etude.bowed": "mclass.datasets.etude.synthesis.bowed",
    "mclass.datasets.etude.plucked": "mclass.datasets.etude.synthesis.plucked",
    "mclass.datasets.etude.renderer": "mclass.datasets.etude.synthesis.renderer",
    "mclass.datasets.etude.singer": "mclass.datasets.etude.synthesis.singer",
    "mclass.datasets.etude.source_filter": "mclass.datasets.etude.synthesis.source_filter",
    "mclass.datasets.files": "mclass.datasets.published.reading.audio_files",
    "mclass.datasets.fingerprint": "mclass.datasets.quality.fingerprint",
    "mclass.datasets.fma": "mclass.datasets.published.fma",
    "mclass.datasets.gtzan": "mclass.datasets.published.gtzan",
    "mclass.datasets.headers": "mclass.datasets.published.reading.headers",
    "mclass.datasets.listeners": "mclass.datasets.unlabelled.listeners",
    "mclass.datasets.magnatagatune": "mclass.datasets.published.magnatagatune",
    "mclass.datasets.million_song": "mclass.datasets.published.million_song",
    "mclass.datasets.mirdata": "mclass.datasets.published.mirdata",
    "mclass.datasets.mtg_jamendo": "mclass.datasets.published.mtg_jamendo",
    "mclass.datasets.notes": "mclass.datasets.etude.notes",
    "mclass.datasets.nsynth": "mclass.datasets.published.nsynth",
    "mclass.datasets.openmic": "mclass.datasets.published.openmic",
    "mclass.datasets.prepared": "mclass.datasets.storage.prepared",
    "mclass.datasets.preparing": "mclass.datasets.storage.preparing",
    "mclass.datasets.pretexts": "mclass.datasets.unlabelled.pretexts",
    "mclass.datasets.sharded": "mclass.datasets.storage.sharded",
    "mclass.datasets.sharding": "mclass.datasets.storage.sharding",
    "mclass.datasets.shards": "mclass.datasets.storage.shards",
    "mclass.datasets.streaming": "mclass.datasets.storage.streaming",
    "mclass.datasets.tables": "mclass.datasets.published.reading.tables",
    "mclass.datasets.tars": "mclass.datasets.storage.tars",
    "mclass.grading.board": "mclass_grading.board",
    "mclass.grading.cgroups": "mclass_grading.isolation.cgroups",
    "mclass.grading.feedback": "mclass_grading.feedback",
    "mclass.grading.grading": "mclass_grading.grading",
    "mclass.grading.held_out": "mclass_grading.held_out",
    "mclass.grading.judge": "mclass_grading.judge",
    "mclass.grading.notebooks": "mclass_grading.notebooks",
    "mclass.grading.process": "mclass_grading.isolation.process",
    "mclass.grading.release": "mclass_grading.release",
    "mclass.grading.sandbox": "mclass_grading.isolation.sandbox",
    "mclass.grading.submissions": "mclass_grading.submissions",
    "mclass.grading.watchdog": "mclass_grading.isolation.watchdog",
    "mclass.grading.wire": "mclass_grading.isolation.wire",
    "mclass.grading.worker": "mclass_grading.isolation.worker",
    "mclass.memory": "mclass.training",
    "mclass.models.attention": "mclass.models.layers.attention",
    "mclass.models.blocks": "mclass.models.layers.blocks",
    "mclass.models.files": "mclass.models.checkpoints",
    "mclass.models.freezing": "mclass.models.transfer",
    "mclass.pretrained.catalogue": "mclass.models.pretrained.catalogue",
    "mclass.pretrained.names": "mclass.models.pretrained.names",
    "mclass.pretrained.pons": "mclass.models.pretrained.pons",
    "mclass.pretrained.tensorflow": "mclass.models.pretrained.tensorflow",
    "mclass.profile": "mclass.config",
    "mclass.recipes": "mclass.cli.recipes",
    "mclass.training.callbacks": "mclass.training.engine.progress",
    "mclass.training.compiling": "mclass.training.engine.compiling",
    "mclass.training.contrastive": "mclass.training.tasks.contrastive",
    "mclass.training.distillation": "mclass.training.tasks.distillation",
    "mclass.training.distributed": "mclass.training.engine.distributed",
    "mclass.training.metric_learning": "mclass.training.tasks.metric_learning",
    "mclass.training.metric_options": "mclass.training.tasks.metric_options",
    "mclass.training.optimizers": "mclass.training.engine.optimizers",
    "mclass.training.predictive": "mclass.training.tasks.cpc",
    "mclass.training.quiet": "mclass.training.engine.quiet",
    "mclass.training.regression": "mclass.training.tasks.regression",
    "mclass.training.self_supervised": "mclass.training.tasks.self_supervised",
    "mclass.training.semi_supervised": "mclass.training.tasks.semi_supervised",
    "mclass.training.tagging": "mclass.training.tasks.tagging",
    "mclass.training.task": "mclass.training.tasks.task",
    "mclass.training.workers": "mclass.training.tasks.pase",
}

# module that stays -> names that were in it -> module that they are in now
NAMES = {
    "mclass.datasets.base": dict.fromkeys(("Chunks", "EpochSampler", "RandomCrops"), "mclass.datasets.crops"),
    "mclass.inference.result": dict.fromkeys(("AGGREGATES", "aggregate"), "mclass.metrics.songs"),
}


def install(short: Mapping[str, str]) -> None:
    """Make old paths work.

    Parameters
    ----------
    short : mapping
        Further names of modules, which are there to stay (``mclass.plot``): they work without a warning.
    """
    sys.meta_path.insert(0, _Finder(short))


def former_names(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` for the names that it had."""

    def __getattr__(name: str) -> Any:
        new = NAMES[module].get(name)
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {new}.{name}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(new), name)

    return __getattr__


class _Finder(MetaPathFinder):
    """Finds a module by the name that it had."""

    def __init__(self, short: Mapping[str, str]):
        self.short = {name: module for name, module in short.items() if name != module}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module itself, under a second name; None if `name` is no former name."""
        if name not in self.short and name not in MODULES:
            return None
        if name not in self.short:
            warnings.warn(f"the module {name} is now {MODULES[name]}", DeprecationWarning, stacklevel=2)
        return ModuleSpec(name, _Alias(self.short.get(name) or MODULES[name]))


class _Alias(Loader):
    """Gives the module of another name, so that there is one module and one of each of its classes."""

    def __init__(self, name: str):
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The other module; remembers what the import system is about to overwrite in it."""
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it has run. It is told again what it is."""
        module.__spec__ = self.spec

    def get_code(self, name: str) -> CodeType | None:
        """For ``python -m``."""
        return importlib.util.find_spec(self.name).loader.get_code(self.name)
