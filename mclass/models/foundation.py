"""Music foundation models from a folder on disk, as models of this package: to embed, to probe, to ask with words.

The weights are somebody else's, and so is the library that runs them (``transformers``, the extra *foundation*).
Nothing is downloaded, no code that comes with the weights is run, and only safetensors files are read.

Taught in: 07_clmr.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mclass import audio
from mclass._utils.arrays import as_tensor
from mclass._utils.files import user_path
from mclass.errors import ModelError
from mclass.models.base import WaveformModel, check_num_tags

# Made in training and not needed afterwards: the vector put where a moment was masked.
_MAY_BE_MISSING = ("masked_spec_embed",)


class _FromFolder(WaveformModel):
    """What both kinds share: loading without network, code or pickles; resampling; the sender's preprocessing."""

    def __init__(self, path: str | os.PathLike, sample_rate: int | None, seconds: float, model_type: str | None):
        super().__init__()
        self.path = user_path(path)
        transformers = _transformers()
        kind = _check_folder(self.path, transformers, model_type)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        described = _read_json(self.path / "config.json") | {"model_type": kind}
        described.pop("auto_map", None)
        try:
            self.extractor = transformers.AutoFeatureExtractor.from_pretrained(self.path, **local)
            self.network, report = transformers.AutoModel.from_pretrained(
                self.path,
                config=transformers.AutoConfig.for_model(**described),
                use_safetensors=True,
                output_loading_info=True,
                **local,
            )
        except Exception as error:  # of many kinds: damaged files, options that do not exist, shapes that differ
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{self.path} cannot be loaded as a {kind} model: {reason}") from error
        missing = sorted(key for key in report["missing_keys"] if not key.endswith(_MAY_BE_MISSING))
        if missing:
            raise ModelError(
                f"{self.path} does not hold all weights of a {kind} model: {len(missing)} are missing (the first "
                f"is {missing[0]}), and would be random. Is it the model that config.json describes?"
            )
        self.network.float().eval()
        self.model_rate = int(self.extractor.sampling_rate)
        self.sample_rate = self.model_rate if sample_rate is None else sample_rate
        if isinstance(self.sample_rate, bool) or not isinstance(self.sample_rate, int) or self.sample_rate < 1:
            raise ValueError(f"sample_rate is a whole number of Hz, got {sample_rate!r} (kHz?)")
        if isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise ValueError(f"seconds is the length of a chunk and must be positive, got {seconds!r}")
        self.num_samples = max(1, round(seconds * self.sample_rate))

    def _inputs(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network takes: resampled and prepared as the folder's preprocessor_config.json says."""
        self.check(waveform)
        rows = waveform.detach().float().cpu()
        if self.sample_rate != self.model_rate:
            rows = torch.stack([audio.resample(row, self.sample_rate, self.model_rate) for row in rows])
        made = self.extractor(list(rows.numpy()), sampling_rate=self.model_rate, return_tensors="pt")
        device = next(self.network.parameters()).device
        return {name: value.to(device) for name, value in made.items()}


class Foundation(_FromFolder):
    """A transformer over waveforms: wav2vec 2.0, HuBERT, WavLM, Data2Vec, or a music model built like one of them.

    Parameters
    ----------
    path : path
        A folder with ``config.json``, ``preprocessor_config.json`` and ``*.safetensors``.
    layer : int
        Which hidden layer to take; 0 is the input of the first, -1 (the last) is the default and seldom the best.
    weights : sequence of float, optional
        Instead of `layer`: how much each hidden layer counts, not negative. They are divided by their sum.
    num_tags : int
        Outputs of the last layer, which is zero and has to be trained; `embed` does not need it.
    sample_rate : int, optional
        Of the waveforms you have, in Hz: they are resampled to the model's. By default they must have the model's.
    seconds : float
        Length of a chunk. Best is what the model was trained on.
    model_type : str, optional
        Read the weights as this type of ``transformers``, whatever ``config.json`` says: for models that call a
        plain HuBERT by a name of their own. Only where the authors' code adds nothing; compare with it once.

    Attributes
    ----------
    model_rate : int
        The sample rate the network was trained with, in Hz.
    num_layers : int
        Hidden layers, the input of the first included.
    network : transformers.PreTrainedModel

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file in it is missing.
    ImportError
        If ``transformers`` is not installed.
    ModelError
        If the folder needs code of its own, is no waveform model, is damaged, or its weights are a pickle.
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> import pytest, tempfile
    >>> transformers = pytest.importorskip("transformers")  # the extra "foundation"
    >>> small = transformers.HubertConfig(
    ...     hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=[8, 8],
    ...     conv_kernel=[10, 3], conv_stride=[5, 2], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    >>> folder = tempfile.mkdtemp()
    >>> transformers.HubertModel(small).save_pretrained(folder)
    >>> _ = transformers.Wav2Vec2FeatureExtractor(sampling_rate=24000).save_pretrained(folder)
    >>> model = Foundation(folder, layer=1, sample_rate=16000)
    >>> model.model_rate, model.num_layers, model.embed(torch.randn(2, 8000)).shape
    (24000, 3, torch.Size([2, 16]))
    """

    def __init__(
        self,
        path: str | os.PathLike,
        layer: int = -1,
        weights: Sequence[float] | None = None,
        *,
        num_tags: int = 50,
        sample_rate: int | None = None,
        seconds: float = 5.0,
        model_type: str | None = None,
    ):
        super().__init__(path, sample_rate, seconds, model_type)
        config = self.network.config
        kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
        if self.extractor.model_input_names[0] != "input_values" or not kernels or config.is_encoder_decoder:
            raise ModelError(
                f"{self.path} is a {config.model_type} model; Foundation takes encoders of waveforms (wav2vec2, "
                "hubert, wavlm, data2vec-audio, …). For a CLAP use AudioText; for anything else, compute "
                "embeddings with its own code and give them to mclass.training.probe_embeddings"
            )
        needed = 1  # samples for one moment
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            needed = (needed - 1) * stride + kernel
        self.min_samples = math.ceil(needed * self.sample_rate / self.model_rate)
        self.num_layers = config.num_hidden_layers + 1
        self.layer = layer if weights is None else None
        allowed = range(-self.num_layers, self.num_layers)
        if isinstance(layer, bool) or not isinstance(layer, int) or layer not in allowed:
            raise ValueError(f"layer must be from {-self.num_layers} to {self.num_layers - 1}, got {layer!r}")
        if weights is None:
            given = torch.zeros(self.num_layers)
            given[layer] = 1
        else:
            given = as_tensor(weights, dtype=torch.float32)
            if given.shape != (self.num_layers,) or not ((given >= 0).all() and 0 < given.sum() < math.inf):
                raise ValueError(
                    f"weights are {self.num_layers} numbers, one per hidden layer, not negative and not all zero; "
                    f"got {list(weights)}"
                )
        self.register_buffer("weights", given / given.sum())  # so that another layer is another fingerprint
        self.num_tags = check_num_tags(num_tags)
        self.head = _untrained(config.hidden_size, num_tags)

    def hidden(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to all hidden layers, ``(batch, num_layers, time, dim)``."""
        found = self.network(**self._inputs(waveform), output_hidden_states=True).hidden_states
        return torch.stack(found, 1)

    def embed_layers(self, waveform: torch.Tensor) -> torch.Tensor:
        """The mean over time of every layer, shape ``(batch, num_layers, dim)``: to probe each in one pass."""
        return self.hidden(waveform).mean(2)  # (batch, num_layers, dim)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """The chosen layer, or the weighted layers, at each moment, shape ``(batch, dim, time)``."""
        found = self.hidden(waveform)  # (batch, num_layers, time, dim)
        if self.layer is not None:
            return found[:, self.layer].mT  # (batch, dim, time)
        return torch.einsum("l,bltd->bdt", self.weights, found)  # (batch, dim, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        """The mean of `features` over time, shape ``(batch, dim)``."""
        return self.features(waveform).mean(-1)  # (batch, dim)


class AudioText(_FromFolder):
    """A CLAP: encoders of sound and of text, whose embeddings are in the same space (see `zero_shot`).

    Parameters
    ----------
    path : path
        A folder with ``config.json``, ``preprocessor_config.json``, ``*.safetensors`` and the tokenizer's files.
    num_tags : int
        As for `Foundation`; asking with words does not need it.
    sample_rate : int, optional
        As for `Foundation`.
    seconds : float, optional
        Length of a chunk; by default, and at most, what the model takes at once. (From longer ones its
        preprocessing cuts a piece at random.)

    Raises
    ------
    FileNotFoundError, ImportError, ModelError, ValueError
        As `Foundation`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        num_tags: int = 50,
        sample_rate: int | None = None,
        seconds: float | None = None,
    ):
        super().__init__(path, sample_rate, 1.0 if seconds is None else seconds, None)
        kind = self.network.config.model_type
        if kind != "clap":
            raise ModelError(f"{self.path} is a {kind} model, which has no encoder of text; use Foundation")
        longest = self.extractor.nb_max_samples / self.model_rate
        if seconds is not None and seconds > longest:
            raise ValueError(
                f"this model takes {longest:g} s at once, got seconds={seconds!r}; use shorter chunks"
            )
        self.num_samples = round((longest if seconds is None else seconds) * self.sample_rate)
        self.tokenizer = _transformers().AutoTokenizer.from_pretrained(
            self.path, local_files_only=True, trust_remote_code=False
        )
        self.num_tags = check_num_tags(num_tags)
        self.head = _untrained(self.network.config.projection_dim, num_tags)

    @property
    def scale(self) -> float:
        """The learned factor before the softmax; the inverse of a temperature."""
        return float(self.network.logit_scale_a.detach().exp())

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms, shape ``(batch, samples)``, to unit vectors in the joint space, ``(batch, dim)``."""
        return _unit(_pooled(self.network.get_audio_features(**self._inputs(waveform))))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Map texts to unit vectors in the joint space, shape ``(texts, dim)``, float32.

        Raises
        ------
        ValueError
            If `texts` is one string, is empty, or holds an empty text.
        """
        texts = texts if isinstance(texts, str) else list(texts)
        if isinstance(texts, str) or not texts or not all(isinstance(one, str) and one.strip() for one in texts):
            raise ValueError(f"texts is a list of texts that are not empty, got {texts!r}")
        given = self.tokenizer([*texts], padding=True, truncation=True, return_tensors="pt")
        names = ("input_ids", "attention_mask")
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            found = self.network.get_text_features(**{name: given[name].to(device) for name in names})
        return _unit(_pooled(found)).cpu().numpy()


def zero_shot(
    audio_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    tags: Sequence[str],
    scale: float | None = None,
) -> pd.DataFrame:
    """Tags that nobody trained: how near is each recording to the text of each tag?

    Parameters
    ----------
    audio_embeddings : array, shape (n, dim)
        Such as `mclass.training.embeddings` gives of an `AudioText`. Need not be of length one.
    text_embeddings : array, shape (num_tags, dim)
        One per tag (see `AudioText.embed_text`). For several prompts per tag give their mean.
    tags : sequence of str
        Names of the rows of `text_embeddings`.
    scale : float, optional
        Given, the cosines are multiplied by it, and a softmax makes probabilities of *one* tag out of all: for
        genres, say. `AudioText.scale` is the learned one.

    Returns
    -------
    pandas.DataFrame, shape (n, num_tags)
        A column for each tag: cosines, which rank recordings for each tag, or probabilities.

    Raises
    ------
    ValueError
        If shapes do not fit, a vector is zero or not finite, or `scale` is not positive.

    Examples
    --------
    >>> sounds, words = np.array([[3.0, 4.0]]), np.eye(2)
    >>> zero_shot(sounds, words, ["slow", "loud"]).round(2).values.tolist()
    [[0.6, 0.8]]
    >>> zero_shot(sounds, words, ["slow", "loud"], scale=10).round(2).values.tolist()
    [[0.12, 0.88]]
    """
    sounds, words = (np.asarray(one, dtype=np.float64) for one in (audio_embeddings, text_embeddings))
    if sounds.ndim != 2 or words.ndim != 2 or sounds.shape[1] != words.shape[1]:
        raise ValueError(
            f"embeddings have the shapes (n, dim) and (num_tags, dim), got {sounds.shape} and {words.shape}. "
            "Are both of the same model?"
        )
    tags = [str(tag) for tag in tags]
    if len(tags) != len(words) or len(set(tags)) != len(tags):
        raise ValueError(f"each text needs one name of its own: got {len(words)} texts and the tags {tags}")
    for name, one in (("audio", sounds), ("text", words)):
        lengths = np.linalg.norm(one, axis=1)
        if not np.isfinite(lengths).all() or (lengths == 0).any():
            raise ValueError(f"{name} embeddings must be finite and not zero: such a vector has no direction")
    sounds, words = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (sounds, words))
    scores = sounds @ words.T
    if scale is not None:
        if isinstance(scale, bool) or not 0 < scale < math.inf:
            raise ValueError(f"scale must be positive, got {scale!r} (the logarithm of it?)")
        scores = np.exp(scale * (scores - scores.max(1, keepdims=True)))
        scores /= scores.sum(1, keepdims=True)
    return pd.DataFrame(scores, columns=tags)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError(
            f"foundation models are run by the library transformers, which cannot be imported ({error}). Install "
            "this package with its extra: python -m pip install 'music-classification-course[foundation] @ …', or "
            "python -m pip install 'transformers>=5'"
        ) from error


def _check_folder(path: Path, transformers: Any, model_type: str | None) -> str:
    """The model's type; refuses what cannot be loaded from the folder alone, without running what is in it."""
    if not path.is_dir():
        raise FileNotFoundError(
            f"no such folder: {path}. Give the folder of a downloaded model, not its name: nothing is fetched here"
        )
    for name in ("config.json", "preprocessor_config.json"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} has no {name}; download all files of the model into one folder")
    known = transformers.CONFIG_MAPPING
    config = _read_json(path / "config.json")
    kind = config.get("model_type") if model_type is None else model_type
    if kind not in known:
        own = " It brings code of its own, which is not run here." if "auto_map" in config else ""
        raise ModelError(
            f"{path} is a model of the type {kind!r}, which transformers {transformers.__version__} does not have."
            f"{own} Compute embeddings with the authors' code where you trust it, and give them to "
            "mclass.training.probe_embeddings; or, if it is built like a known one, say model_type='hubert'"
        )
    if not any(path.glob("*.safetensors")):
        found = [one.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for one in path.glob(pattern)]
        if not found:
            raise FileNotFoundError(f"{path} has no weights (*.safetensors)")
        raise ModelError(
            f"{path} has its weights as a pickle ({found[0]}), which could run code when read; only safetensors "
            "are. Convert it once: torch.load(…, weights_only=True), then safetensors.torch.save_file(…)"
        )
    return kind


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # JSON's error and Unicode's are both
        content = None
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: it is not a JSON object")
    return content


def _untrained(dim: int, num_tags: int) -> nn.Linear:
    """A last layer of zeros: a folder that is loaded twice is the same model, with the same fingerprint."""
    head = nn.Linear(dim, num_tags)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _pooled(found: Any) -> torch.Tensor:
    """transformers 5 gives the embedding inside an output, transformers 4 gives it as it is."""
    return found if isinstance(found, torch.Tensor) else found.pooler_output


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
