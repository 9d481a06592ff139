"""Music classification with deep learning: the package behind the course.

Its packages follow the sound: `audio` reads it, `frontends` turn it into spectrograms, `augmentations` change it,
`models` map it to tags, `losses` and `mining` say what is asked of them, `training` trains, `metrics` score,
`inference` tags recordings, `display` shows and plays. `datasets` hold the music, `cli` is the command line. Which
package may import which is written in pyproject.toml.

``import mclass`` is cheap. Sub-modules load when they are first used, so nothing here imports torch.

>>> import mclass
>>> sorted(mclass.__all__)[:3]
['audio', 'augmentations', 'datasets']
"""

from __future__ import annotations

import importlib

from mclass._deprecated import install
from mclass.config import device, scale

__version__ = "0.1.0"

# name -> module; some have a short name that does not say where they are
_SUBMODULES = {
    "audio": "mclass.audio",
    "augmentations": "mclass.augmentations",
    "datasets": "mclass.datasets",
    "errors": "mclass.errors",
    "frontends": "mclass.frontends",
    "grading": "mclass_grading",
    "inference": "mclass.inference",
    "interactive": "mclass.display.interactive",
    "listen": "mclass.display.listen",
    "losses": "mclass.losses",
    "metrics": "mclass.metrics",
    "mining": "mclass.mining",
    "models": "mclass.models",
    "plot": "mclass.display.plot",
    "pretrained": "mclass.models.pretrained",
    "report": "mclass.display.report",
    "results": "mclass.display.tables",
    "search": "mclass.inference.index",
    "tags": "mclass.vocabulary",
    "training": "mclass.training",
    "widgets": "mclass.display.widgets",
}

install({f"mclass.{name}": module for name, module in _SUBMODULES.items()})

__all__ = [*_SUBMODULES, "device", "scale"]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(_SUBMODULES[name])
    raise AttributeError(f"module 'mclass' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
