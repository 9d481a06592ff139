"""Published weights of music taggers, in our models.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mclass import models
from mclass.errors import ModelError, unknown_name
from mclass.models import WaveformModel
from mclass.pretrained.names import TABLES, translate

__all__ = ["from_original"]


def from_original(name: str, state_dict: Mapping[str, torch.Tensor]) -> WaveformModel:
    """Build a model from the weights of its original implementation.

    Parameters
    ----------
    name : str
        Our name of the architecture, one of `mclass.models.list`.
    state_dict : mapping of str to torch.Tensor
        Under the original names. Buffers that are no weights (mel filters, windows) may be absent.

    Returns
    -------
    WaveformModel
        In eval mode, with as many outputs as the weights have; it does not know its tags.

    Raises
    ------
    ModelError
        If no original of that name is known, or the weights are those of another architecture.
    """
    if name not in TABLES:
        raise ModelError(unknown_name("original architecture", name, TABLES))
    try:
        ours = {translate(TABLES[name], key): value for key, value in state_dict.items()}
    except KeyError as error:
        raise ModelError(f"these are not the weights of {name!r}: it has no {error.args[0]!r}") from None
    ours.pop(None, None)
    output = max((key for key in ours if key.startswith("head.")), default=None)
    if output is None:
        raise ModelError(f"these are not the weights of {name!r}: no output layer in {len(ours)} entries")
    model = models.create(name, num_tags=len(ours[output]))
    own = model.state_dict()
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    if missing := sorted(needed - ours.keys()):
        raise ModelError(
            f"these are not the weights of {name!r}: {len(missing)} are missing, such as {missing[0]!r}"
        )
    for key, value in ours.items():
        if key not in own or own[key].shape != value.shape:
            expected = tuple(own[key].shape) if key in own else "nothing"
            raise ModelError(
                f"these are not the weights of {name!r}: {key!r} has shape {tuple(value.shape)}, expected {expected}"
            )
    model.load_state_dict(ours, strict=False)
    return model.eval()
