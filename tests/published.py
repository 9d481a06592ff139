"""The seeded weights and inputs of ``../shared/parity``, as its README describes them."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

SHARED = Path(__file__).parents[2] / "shared"
PARITY = SHARED / "parity"
CLIP = SHARED / "data" / "joram_16k.flac"


def manifest() -> dict:
    return json.loads((PARITY / "seeded_manifest.json").read_text()) if PARITY.is_dir() else {}


def seeded_weights(name: str) -> dict[str, torch.Tensor]:
    """Original names; entries that the original keeps as built (mel filters, windows) are left out."""
    weights = {}
    for entry in manifest()[name]["state_dict"]:
        if entry["kept"]:
            continue
        key, shape = entry["name"], entry["shape"]
        r = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype("float32")
        last = key.rsplit(".", 1)[-1]
        if last == "running_var":
            r = 0.5 + np.abs(r)
        elif last in ("running_mean", "bias"):
            r = 0.1 * r
        elif last == "weight" and len(shape) > 1:
            r = r * np.sqrt(2 / np.prod(shape[1:]))
        elif last == "weight":
            r = 1 + 0.1 * r
        else:
            r = 0.02 * r
        weights[key] = torch.from_numpy(np.asarray(r, dtype="float32"))
    return weights


def seeded_input(num_samples: int) -> torch.Tensor:
    r = np.random.RandomState(7).standard_normal((2, num_samples)).astype("float32") * 0.1
    t = np.arange(num_samples, dtype="float32") / 16000
    r[0] += 0.3 * np.sin(2 * np.pi * 440 * t)
    r[1] += 0.3 * np.sin(2 * np.pi * 110 * t)
    return torch.from_numpy(r.astype("float32"))


def reference_logits(name: str) -> torch.Tensor:
    with np.load(PARITY / "seeded_outputs.npz") as outputs:
        return torch.from_numpy(outputs[name])
