"""Weights out of a TensorFlow checkpoint, without TensorFlow: its data file is plain numbers, in order of names.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mclass.errors import ModelError

_TRAINED = ("beta", "bias", "gamma", "kernel")  # beside each stand two averages of its gradient, Adam's

# From the names in the checkpoints of the package musicnn to ours; kernels are (time, frequency, inputs, filters).
_NORMS = ("input_norm", "timbral.0.norm", "timbral.1.norm", *(f"temporal.{i}.norm" for i in range(3)),
          *(f"midend.{i}.norm" for i in range(3)), "pool_norm", "dense.3")  # fmt: skip
_CONVOLUTIONS = ("timbral.0.conv", "timbral.1.conv", *(f"temporal.{i}.conv" for i in range(3)),
                 *(f"midend.{i}.conv" for i in range(3)))  # fmt: skip


def _numbered(name: str, ours: tuple[str, ...]) -> dict[str, str]:
    """TensorFlow calls the first ``conv2d`` and the second ``conv2d_1``."""
    return {f"{name}_{number}" if number else name: path for number, path in enumerate(ours)}


LAYERS: dict[str, dict[str, str]] = {
    "musicnn_original": {
        **_numbered("batch_normalization", _NORMS),
        **_numbered("conv2d", _CONVOLUTIONS),
        **_numbered("dense", ("dense.1", "head.1")),
    },
    "vgg": {
        **_numbered("batch_normalization", ("input_norm", *(f"blocks.{i}.norm" for i in range(5)))),
        **{f"{i + 1}CNN": f"blocks.{i}.conv" for i in range(5)},
        "dense": "head.1",
    },
}
_DENSE = {"bias": "bias", "kernel": "weight"}  # and of convolutions
_NORM = {"beta": "bias", "gamma": "weight", "moving_mean": "running_mean", "moving_variance": "running_var"}


def read(data: bytes, architecture: str, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights in the data file of a checkpoint, under our names.

    Parameters
    ----------
    data : bytes
        Float32, little-endian; nothing in it is executed.
    architecture : str
        One of `LAYERS`.
    own : mapping of str to torch.Tensor
        The state dict of our network: its shapes say where each variable ends.

    Returns
    -------
    dict of str to torch.Tensor
        All but the counters of the batch norms.

    Raises
    ------
    ModelError
        If the file has another length.
    """
    ours = {
        f"{layer}/{variable}": f"{path}.{name}"
        for layer, path in LAYERS[architecture].items()
        for variable, name in (_NORM if f"{path}.running_mean" in own else _DENSE).items()
    }
    places = _places({variable: own[name].numel() for variable, name in ours.items()})
    if len(data) != 4 * sum(size for _, size in places.values()):
        raise ModelError(f"a data file of {len(data)} bytes does not hold the weights of {architecture}")
    numbers, weights = np.frombuffer(data, "<f4"), {}
    for variable, name in ours.items():
        start, size = places[variable]
        shape = tuple(own[name].shape)  # TensorFlow's is the other way round
        values = numbers[start : start + size].reshape(shape[::-1]).transpose()
        weights[name] = torch.from_numpy(values.astype(np.float32, order="C"))
    return weights


def _places(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """First number and count of every variable in the file, Adam's included: in the order of names."""
    everything = dict(sizes) | {"beta1_power": 1, "beta2_power": 1}
    for name, size in sizes.items():
        if name.rpartition("/")[2] in _TRAINED:
            everything |= {f"{name}/Adam": size, f"{name}/Adam_1": size}
    places, start = {}, 0
    for name in sorted(everything):
        places[name] = (start, everything[name])
        start += everything[name]
    return places
