"""Which models there are, and how one is built from its name.

Taught in: 04_supervised.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch.nn.modules.module import register_module_parameter_registration_hook

from mclass._utils.arguments import checked
from mclass.errors import ModelError, shortened, unknown_name
from mclass.models.base import WaveformModel
from mclass.models.fast import accelerate

if TYPE_CHECKING:
    import pandas
    import torch

# name -> (module, class, options it is built with); a module is imported when its model is first created.
_MODELS = {
    "fcn": ("fcn", "FCN", {}),
    "fcn_4": (
        "fcn",
        "FCN",
        {
            "channels": (128, 384, 768, 2048),
            "pools": ((2, 4), (4, 5), (3, 8), (4, 8)),
            "sample_rate": 12000,
            "num_samples": 349_440,  # 29.12 s, 1366 frames
            "block_dropout": 0.5,
        },
    ),
    "musicnn": ("musicnn", "Musicnn", {}),
    "musicnn_msd": ("musicnn", "Musicnn", {"backend_channels": 512, "dense_channels": 500}),
    "musicnn_original": ("pons", "OriginalMusicnn", {}),
    "vgg": ("pons", "VGG", {}),
    "crnn": ("crnn", "CRNN", {}),
    "short_chunk_cnn": ("short_chunk", "ShortChunkCNN", {}),
    "short_chunk_cnn_res": ("short_chunk", "ShortChunkCNNRes", {}),
    "sample_cnn": ("sample_cnn", "SampleCNN", {}),
    "sample_cnn_se": ("sample_cnn", "SampleCNNSE", {}),
    "clmr_sample_cnn": ("sample_cnn", "CLMRSampleCNN", {}),
    "self_attention": ("self_attention", "SelfAttentionCNN", {}),
    "harmonic_cnn": ("harmonic_cnn", "HarmonicCNN", {}),
    "music_tagging_transformer": ("transformer", "MusicTaggingTransformer", {}),
    "spotify_cnn": ("early", "SpotifyCNN", {}),
    "multi_level_cnn": ("early", "MultiLevelCNN", {}),
    "frame_level_cnn": ("early", "FrameLevelCNN", {}),
    "cnn_1d": ("homework", "CNN1d", {}),
    "cnn_2d": ("homework", "CNN2d", {}),
    "homework_fcn": ("homework", "HomeworkFCN", {}),
    "homework_short_chunk": ("homework", "HomeworkShortChunk", {}),
    "musical_feature_cnn": ("musical_feature", "MusicalFeatureCNN", {}),
    "linear_embedding": ("embedding", "LinearEmbedding", {}),
    "cnn_embedding": ("embedding", "Embedding", {"backbone": "cnn_2d"}),
    "musicnn_embedding": ("embedding", "Embedding", {"backbone": "musicnn"}),
}


def list() -> builtins.list[str]:
    """Names that `create` knows."""
    return sorted(_MODELS)


def create(name: str, num_tags: int = 50, *, fast: bool = True, **options) -> WaveformModel:
    """Build a model with fresh weights.

    Parameters
    ----------
    name : str
        One of `list()`.
    num_tags : int
        Number of outputs.
    fast : bool
        Use the fast forms of its layers (see `mclass.models.fast`). With False, the layers compute as they are
        written in the model's file; weights, names and, up to rounding, results are the same.
    **options
        What the model's class takes.

    Returns
    -------
    WaveformModel
        It carries ``architecture`` and ``options``, from which `load` builds it again.

    Raises
    ------
    ModelError
        If the name or an option is unknown; the message names what exists. It is a ``ValueError``.

    Examples
    --------
    >>> create("cnn2d")
    Traceback (most recent call last):
    mclass.errors.ModelError: unknown model 'cnn2d' (did you mean 'cnn_2d'?); available: ...
    """
    if not isinstance(fast, bool):
        raise ModelError(f"fast is True or False, got {shortened(fast)}")
    if not isinstance(name, str) or name not in _MODELS:
        raise ModelError(unknown_name("model", name, list()))
    module, cls, preset = _MODELS[name]
    cls = getattr(importlib.import_module(f"mclass.models.{module}"), cls)
    wrong = None
    try:
        given = checked(cls, options, f"model {name!r}", without=["num_tags"])
    except ValueError as error:  # the model itself may say it better: how many channels there must be
        given, wrong = options, error
    try:
        with _bounded():
            model = cls(num_tags=num_tags, **(preset | given))
        if empty := [key for key, value in model.named_parameters() if not value.numel()]:
            raise ValueError(f"{empty[0]} would have no weights")
        if not model.min_samples <= model.num_samples <= 3600 * model.sample_rate:
            raise ValueError(f"it hears from {model.min_samples} samples to an hour, not {model.num_samples}")
    except (ValueError, RuntimeError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        if wrong is None or isinstance(error, ValueError):
            shown = ", ".join(
                f"{key}={shortened(value)}" for key, value in {"num_tags": num_tags, **options}.items()
            )
            reason = str(error).partition("\n")[0]
            wrong = f"the model {name!r} cannot be built with {shown}: {reason}"
    if wrong is not None:
        raise ModelError(str(wrong))
    model.architecture, model.options = name, dict(options)
    return accelerate(model) if fast else model


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Refuse a model of more weights than any memory holds, before they are drawn."""
    total = 0

    def count(module: object, name: str, weights: torch.Tensor) -> None:
        nonlocal total
        total += weights.numel()
        if total > 10**9:
            raise ValueError("it would have more than a billion weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def measured() -> pandas.DataFrame:
    """Every model in numbers, as ``python -m benchmarks.models`` measured them on two CPU cores.

    Returns
    -------
    pandas.DataFrame
        One row per model: size, input, front end, receptive field, multiply-adds, speed.

    Examples
    --------
    >>> measured().set_index("model").loc["musicnn", "parameters"].item()
    784300
    """
    import pandas

    return pandas.read_csv(Path(__file__).with_name("measured.csv"))
