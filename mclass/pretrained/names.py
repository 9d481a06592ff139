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

TABLES: dict[str, dict[str, str]] = {
    "fcn": {"spec_bn": "input_norm", **_blocks(5), "dense": "head.1"},
    "crnn": {"spec_bn": "input_norm", **_blocks(4), "layer5": "rnn", "dense": "head.1"},
    "short_chunk_cnn": {"spec_bn": "input_norm", **_blocks(7), **_TWO_DENSE},
    "short_chunk_cnn_res": {"spec_bn": "input_norm", **_blocks(7), **_TWO_DENSE},
}


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
