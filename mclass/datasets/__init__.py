"""Data sets with one interface, found by name.

>>> from mclass import datasets
>>> datasets.list()
['audioset', 'etude', 'fma', 'folder', 'gtzan', 'magnatagatune', 'million_song', 'mirdata', 'mtg_jamendo',
 'nsynth', 'openmic', 'prepared', 'shards']

Taught in: 02_datasets, 04_supervised.
"""

from __future__ import annotations

import builtins
import importlib
import inspect

from mclass.datasets.base import MusicDataset, Subset, split_by_group
from mclass.datasets.crops import Chunks, EpochSampler, RandomCrops
from mclass.errors import unknown_name

# name -> (module, class); a module is imported when its data set is first loaded.
_DATASETS = {
    "audioset": ("mclass.datasets.published.audioset", "AudioSet"),
    "etude": ("mclass.datasets.etude", "Etude"),
    "fma": ("mclass.datasets.published.fma", "FMA"),
    "folder": ("mclass.datasets.folder", "Folder"),
    "gtzan": ("mclass.datasets.published.gtzan", "GTZAN"),
    "magnatagatune": ("mclass.datasets.published.magnatagatune", "MagnaTagATune"),
    "million_song": ("mclass.datasets.published.million_song", "MillionSong"),
    "mirdata": ("mclass.datasets.published.mirdata", "Mirdata"),
    "mtg_jamendo": ("mclass.datasets.published.mtg_jamendo", "MTGJamendo"),
    "nsynth": ("mclass.datasets.published.nsynth", "NSynth"),
    "openmic": ("mclass.datasets.published.openmic", "OpenMIC"),
    "prepared": ("mclass.datasets.storage.prepared", "Prepared"),
    "shards": ("mclass.datasets.storage.sharded", "Sharded"),
}

# name -> module; imported when it is first used
_FUNCTIONS = {
    "TripletCrops": "mclass.datasets.triplets",
    "Views": "mclass.datasets.views",
    "WithUnlabelled": "mclass.datasets.unlabelled.budgets",
    "label_budget": "mclass.datasets.unlabelled.budgets",
    "simulate_plays": "mclass.datasets.unlabelled.listeners",
    "check": "mclass.datasets.quality.checks",
    "download": "mclass.datasets.published.getting.downloads",
    "info": "mclass.datasets.published.cards",
    "prepare": "mclass.datasets.storage.preparing",
    "shard": "mclass.datasets.storage.sharding",
    "Shards": "mclass.datasets.storage.shards",
    "ShardStream": "mclass.datasets.storage.streaming",
}

__all__ = [
    "Chunks",
    "EpochSampler",
    "MusicDataset",
    "RandomCrops",
    "ShardStream",
    "Shards",
    "Subset",
    "TripletCrops",
    "Views",
    "WithUnlabelled",
    "check",
    "download",
    "info",
    "label_budget",
    "list",
    "load",
    "options",
    "prepare",
    "shard",
    "simulate_plays",
    "split_by_group",
]


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def list() -> builtins.list[str]:
    """Names that `load` knows."""
    return sorted(_DATASETS)


def load(name: str, **options) -> MusicDataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of `list()`.
    **options
        What the data set's class takes: ``root=`` for audio on disk, sizes and seeds for Etude.

    Raises
    ------
    ValueError
        If the name is unknown; the message names what exists and guesses.

    Examples
    --------
    >>> load("etud")
    Traceback (most recent call last):
    ValueError: unknown data set 'etud' (did you mean 'etude'?); available: audioset, etude, fma, folder, ...
    """
    return class_of(name)(**options)


def options(name: str) -> dict[str, bool]:
    """What `load` takes for a data set: the names of its options, and whether each is needed.

    Examples
    --------
    >>> options("gtzan")
    {'root': True, 'sample_rate': False, 'on_error': False, 'missing': False}
    """
    parameters = inspect.signature(class_of(name)).parameters
    return {key: one.default is one.empty for key, one in parameters.items() if one.kind is not one.VAR_KEYWORD}


def class_of(name: str) -> type[MusicDataset]:
    """What `load` makes an object of."""
    if not isinstance(name, str) or name not in _DATASETS:
        raise ValueError(unknown_name("data set", name, _DATASETS))
    module, cls = _DATASETS[name]
    return getattr(importlib.import_module(module), cls)
