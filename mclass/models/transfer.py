"""Using a trained model for another task: a new last layer, and how much of the rest is trained again.

All of it, what comes after some layer, or the last layer alone: the fewer examples there are, the more is better
left as it is.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mclass.errors import ModelError, unknown_name
from mclass.models.base import WaveformModel
from mclass.models.fast import accelerated
from mclass.models.registry import create

NOTHING, ALL_BUT_HEAD = "nothing", "everything but head"


def freeze(model: WaveformModel, until: str = ALL_BUT_HEAD) -> WaveformModel:
    """Freeze the layers up to and including one, in the order in which the model defines them; the rest trains.

    Frozen layers keep their weights and stay in eval mode whatever ``model.train()`` says: their batch norms keep
    the statistics they have, and their dropout is off. What an earlier call froze is given free first.

    Parameters
    ----------
    model : WaveformModel
        Changed in place.
    until : str
        Name of a layer (``"backend"``) or of one inside (``"backend.1"``); ``"everything but head"`` leaves the
        last layer to train, ``"nothing"`` leaves all. Parameters that a model has beside its layers (a class
        token, say) count as the first.

    Returns
    -------
    WaveformModel
        The same model. Its ``frozen`` are the names of what is frozen.

    Raises
    ------
    ModelError
        If there is no such layer, or nothing would be left to train.

    Examples
    --------
    >>> from mclass import models
    >>> model = freeze(models.create("musicnn"), until="backend.1")
    >>> model.frozen
    ('frontend', 'input_norm', 'vertical', 'horizontal', 'backend.0', 'backend.1')
    >>> model.train().vertical.training, model.backend[2].training
    (False, True)
    >>> freeze(model, until="backend.7")
    Traceback (most recent call last):
    mclass.errors.ModelError: unknown layer 'backend.7' (did you mean 'backend.2'?); available: ...
    """
    if until == NOTHING:
        names = []
    elif until == ALL_BUT_HEAD:
        names = [name for name, _ in model.named_children() if name != "head"]
    else:
        names = list(_up_to(model, until))
    chosen = [p for name in names for p in model.get_submodule(name).parameters()]
    if names:
        inside = {id(p) for child in model.children() for p in child.parameters()}
        chosen += [p for p in model.parameters() if id(p) not in inside]
    if len({id(p) for p in chosen}) == sum(1 for _ in model.parameters()):
        raise ModelError(f"until={until!r} freezes all of the model: nothing is left to train")
    unfreeze(model)
    for parameter in chosen:
        parameter.requires_grad = False
    model.frozen = tuple(names)
    return model.train(model.training)


def with_new_head(model: WaveformModel, num_tags: int) -> WaveformModel:
    """A copy of a model whose last layer is new, for another list of tags.

    Parameters
    ----------
    model : WaveformModel
        Made by `mclass.models.create`, `load` or `mclass.pretrained.load`; stays as it is.
    num_tags : int

    Returns
    -------
    WaveformModel
        With the same weights but for those of ``head``, which are fresh (seed them with ``torch.manual_seed``);
        nothing is frozen.

    Raises
    ------
    ModelError
        If the model was not made by `mclass.models.create`, so that nobody knows how to make another.

    Examples
    --------
    >>> from mclass import models
    >>> tagger = models.create("short_chunk_cnn", num_tags=50)
    >>> genres = freeze(with_new_head(tagger, num_tags=10))
    >>> genres.num_tags, sum(p.requires_grad for p in genres.parameters())
    (10, 2)
    """
    architecture = getattr(model, "architecture", None)
    if architecture is None:
        raise ModelError(
            f"{type(model).__name__} was not made by mclass.models.create, so its last layer cannot be made anew "
            "here; give your class another head yourself"
        )
    copy = create(architecture, num_tags=num_tags, fast=accelerated(model), **model.options)
    rest = {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}
    missing, unknown = copy.load_state_dict(rest, strict=False)
    if unknown or any(not name.startswith("head.") for name in missing):
        raise ModelError(f"the model's layers are not those of {architecture!r} with options {model.options}")
    copy.num_samples = model.num_samples
    return copy


def unfreeze(model: WaveformModel) -> WaveformModel:
    """Let everything train; returns the model.

    Examples
    --------
    >>> from mclass import models
    >>> unfreeze(freeze(models.create("cnn_1d"))).frozen
    ()
    """
    model.requires_grad_(True)
    model.frozen = ()
    return model.train(model.training)


def _up_to(model: nn.Module, until: str) -> Iterator[str]:
    """The named layer and everything defined before it: whole layers where possible, else the parts of one."""
    modules = dict(model.named_modules())
    if until == "" or until not in modules:
        depth = str(until).count(".")
        layers = [name for name in modules if name and name.count(".") <= depth]
        raise ModelError(unknown_name("layer", until, [*layers, ALL_BUT_HEAD, NOTHING]))
    prefix = ""
    for part in until.split("."):
        path = f"{prefix}{part}"
        for name, _ in modules[prefix.rstrip(".")].named_children():
            if name == part:
                break
            yield f"{prefix}{name}"
        prefix = f"{path}."
    yield until
