"""From the parameter names of the original implementations to ours: one table per family.

A table maps the path of an original module to the path of ours; what follows the path stays, except for the
names of layers inside a block (`_INSIDE`). Originals: ``minzwon/sota-music-tagging-models``,
``minzwon/semi-supervised-music-tagging-transformer``, ``Spijkervet/CLMR``.

Taught in: 04_supervised.
"""

from __future__ import annotations

import re

# Layers inside a block. Original names on the left.
_INSIDE = {"bn": "norm", **{f"{kind}_{i}": f"{ours}{i}" for kind, ours in
                            (("conv", "conv"), ("bn", "norm")) for i in (1, 2, 3)}}  # fmt: skip

# The originals keep mel filters, windows and the like among their weights; ours follow from the options.
_NOT_WEIGHTS = re.compile(r"(^|\.)(spec|to_db|spectrogram|mel_scale)\.|^hstft\.spec\.")


def _blocks(count: int) -> dict[str, str]:
    """``layer1`` is our ``blocks.0``, and so on."""
    return {f"layer{i + 1}": f"blocks.{i}" for i in range(count)}


_TWO_DENSE = {"dense1": "dense.0", "bn": "dense.1", "dense2": "head.1"}
_MUSICNN = {
    **{f"layers.{i}": f"vertical.{i}" for i in range(2)},
    **{f"layers.{i + 2}": f"horizontal.{i}" for i in range(3)},
    **{f"layer{i + 1}": f"backend.{i}" for i in range(3)},
}

TABLES: dict[str, dict[str, str]] = {
    "fcn": {"spec_bn": "input_norm", **_blocks(5), "dense": "head.1"},
    "musicnn": {"spec_bn": "input_norm", **_MUSICNN, **_TWO_DENSE},
    "musicnn_msd": {"spec_bn": "input_norm", **_MUSICNN, **_TWO_DENSE},
    "crnn": {"spec_bn": "input_norm", **_blocks(4), "layer5": "rnn", "dense": "head.1"},
    "sample_cnn": {**_blocks(11), "dense": "head.1"},
    "sample_cnn_se": {**_blocks(11), **_TWO_DENSE},
    "harmonic_cnn": {"hstft.bw_Q": "frontend.q", "hstft_bn": "input_norm", **_blocks(7), **_TWO_DENSE},
    "short_chunk_cnn": {"spec_bn": "input_norm", **_blocks(7), **_TWO_DENSE},
    "short_chunk_cnn_res": {"spec_bn": "input_norm", **_blocks(7), **_TWO_DENSE},
}

# Each block of CLMR's encoder is a list: convolution, batch norm.
TABLES["clmr_sample_cnn"] = {f"sequential.{i}.0": f"blocks.{i}.conv" for i in range(11)}
TABLES["clmr_sample_cnn"] |= {f"sequential.{i}.1": f"blocks.{i}.norm" for i in range(11)} | {"fc": "head.1"}


def _layers(original: str, count: int, inside: dict[str, str]) -> dict[str, str]:
    """Layers of an encoder."""
    return {f"{original}.{i}.{path}": f"encoder.{i}.{ours}" for i in range(count) for path, ours in inside.items()}


# Layers of BERT, after ``encoder.layer.0.``
_BERT = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "hidden",
    "output.dense": "output",
    "output.LayerNorm": "norm2",
}
TABLES["self_attention"] = {"spec_bn": "input_norm", **_blocks(7), "pooler.dense": "pooler.0", "dense": "head.1"}
TABLES["self_attention"] |= _layers("encoder.layer", 2, _BERT)

# Layers of the Music Tagging Transformer, after ``transformer.layers.0.``
_VISION_TRANSFORMER = {
    "0.fn.norm": "norm1",
    "0.fn.fn.to_qkv": "attention.qkv",
    "0.fn.fn.to_out.0": "attention.output",
    "1.fn.norm": "norm2",
    "1.fn.fn.net.0": "hidden",
    "1.fn.fn.net.3": "output",
}
TABLES["music_tagging_transformer"] = {
    "frontend.input_bn": "input_norm",
    **{f"frontend.{k}": v for k, v in _blocks(3).items()},
    "frontend.fc": "project",
    "cls_token": "class_token",
    "pos_embedding": "positions",
    **_layers("transformer.layers", 4, _VISION_TRANSFORMER),
    "mlp_head.0": "norm",
    "mlp_head.1": "head",
}

# May be absent, and then stay as built: the seeded references leave the harmonic front end alone.
OPTIONAL = {"harmonic_cnn": ("frontend.q", "input_norm.")}


def translate(table: dict[str, str], original: str) -> str | None:
    """Our name of an original parameter or buffer; None if it is no weight.

    Raises
    ------
    KeyError
        If the table has no entry for it.

    Examples
    --------
    >>> translate(TABLES["fcn"], "layer1.bn.running_mean")
    'blocks.0.norm.running_mean'
    >>> translate(TABLES["fcn"], "spec.mel_scale.fb") is None
    True
    """
    if _NOT_WEIGHTS.search(original):
        return None
    parts = original.split(".")
    for length in range(len(parts), 0, -1):  # the longest path that the table knows
        path = ".".join(parts[:length])
        if path in table:
            return ".".join([table[path], *(_INSIDE.get(part, part) for part in parts[length:])])
    raise KeyError(original)
