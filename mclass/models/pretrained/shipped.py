"""Networks trained on Etude that come with the package: what hours of training give, loaded in a second.

``python -m experiments.shipped`` in the repository trains them again. Weights are kept in half precision; `save`
refuses a model if that moves a probability by more than 0.005 on four crops of noise. The header of each file says
how it was made and what it scores.

Taught in: 04_supervised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from mclass import models
from mclass._utils.files import replacing
from mclass.errors import ModelError
from mclass.models import WaveformModel
from mclass.models.pretrained.catalogue import Checkpoint

FOLDER = Path(__file__).with_name("weights")
PREFIX = "etude/"
LARGEST_ERROR = 0.005  # of a probability, that half precision may cause


@dataclass(frozen=True)
class ShippedCheckpoint(Checkpoint):
    """Weights in the package.

    Attributes
    ----------
    options : dict
        Of the architecture.
    scores : dict of str to float
        On the test set of the experiments, with the oracle.
    made_with : str
        Versions, and the commit.
    """

    options: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    made_with: str = ""
    license: str = "MIT, as the course"

    @property
    def url(self) -> str:
        """Where the file is: nothing is downloaded."""
        return (FOLDER / self.path).as_uri()


@lru_cache
def catalogue() -> dict[str, ShippedCheckpoint]:
    """What is shipped, by name; read from the headers of the files."""
    found = {}
    for path in sorted(FOLDER.glob("*.safetensors")):
        about = _about(path)
        name = f"{PREFIX}{path.stem}"
        found[name] = ShippedCheckpoint(
            name, path=path.name, sha256=None, **about | {"tags": tuple(about["tags"])}
        )
    return found


def _about(path: Path) -> dict:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["mclass"])


def load(name: str, *, fast: bool = True) -> WaveformModel:
    """The model with its weights, in eval mode; `fast` as for `mclass.models.create`."""
    from safetensors.torch import load_file

    entry = catalogue()[name]
    model = models.create(entry.architecture, num_tags=len(entry.tags), fast=fast, **entry.options)
    weights = load_file(FOLDER / entry.path)
    model.load_state_dict({key: value.to(model.state_dict()[key].dtype) for key, value in weights.items()})
    model.tags = [*entry.tags]
    return model.eval()


def save(
    model: WaveformModel,
    name: str,
    *,
    trained_on: str,
    scores: dict[str, float],
    made_with: str,
    folder: Path = FOLDER,
) -> Path:
    """Store a model in half precision, under the name that `load` will know it by.

    Parameters
    ----------
    model : WaveformModel
        Made by `mclass.models.create`, with its tags; is in eval mode afterwards.
    name : str
        ``"etude/clmr"``, say.
    trained_on : str
    scores : dict of str to float
    made_with : str
    folder : Path

    Raises
    ------
    ModelError
        If the name does not begin with ``etude/``, or half precision changes a probability by more than 0.005.
    """
    from safetensors.torch import save as packed

    if not name.startswith(PREFIX):
        raise ModelError(f"what is shipped is named {PREFIX}…, got {name!r}")
    before = {key: value.cpu() for key, value in model.state_dict().items()}
    halves = {key: value.half() if value.is_floating_point() else value for key, value in before.items()}
    copy = models.create(model.architecture, num_tags=model.num_tags, **model.options)
    copy.load_state_dict({key: value.to(before[key].dtype) for key, value in halves.items()})
    noise = 0.1 * torch.randn(4, model.num_samples, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        error = (model(noise).sigmoid() - copy.eval()(noise).sigmoid()).abs().max().item()
    if not error <= LARGEST_ERROR:
        raise ModelError(f"in half precision a probability of {name} moves by {error:.4f}, which is too much")
    about = {
        "architecture": model.architecture,
        "options": model.options,
        "tags": [*model.tags],
        "trained_on": trained_on,
        "scores": {key: round(float(value), 4) for key, value in scores.items()},
        "made_with": made_with,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.removeprefix(PREFIX)}.safetensors"
    with replacing(path) as part:
        part.write_bytes(packed(halves, metadata={"mclass": json.dumps(about)}))
    catalogue.cache_clear()
    return path
