"""Music classification with deep learning: the package behind the course.

``import mclass`` is cheap. Sub-modules load when they are first used, so nothing here imports torch.

>>> import mclass
>>> sorted(mclass.__all__)[:3]
['audio', 'augmentations', 'datasets']
"""

from __future__ import annotations

import importlib

from mclass.profile import device, scale

__version__ = "0.1.0"

_SUBMODULES = (
    "audio",
    "augmentations",
    "datasets",
    "errors",
    "frontends",
    "grading",
    "inference",
    "interactive",
    "listen",
    "losses",
    "metrics",
    "mining",
    "models",
    "plot",
    "pretrained",
    "report",
    "results",
    "search",
    "tags",
    "training",
    "widgets",
)

__all__ = [*_SUBMODULES, "device", "scale"]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"mclass.{name}")
    raise AttributeError(f"module 'mclass' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
