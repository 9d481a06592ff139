"""How exactly our models repeat the original implementations, and what the published weights hear.

``python -m benchmarks.parity`` needs ``../shared``, and a package index for the third of the tables that it
writes to ``benchmarks/results``:

* ``parity.csv``: for every architecture with seeded weights and a reference, the largest difference of a logit
  from the original's, relative to the largest logit;
* ``checkpoints.csv``: for the published MagnaTagATune weights at hand, the largest difference of a probability on
  a real recording, and the tags the model finds most probable in it;
* ``packaged.csv``: the same for the four taggers of the package musicnn, and what one of them answers if the mel
  spectrogram is computed in float16, as that package does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mclass import audio, inference, pretrained
from mclass.errors import DownloadError
from mclass.frontends.compressed_mel import COMPRESSION
from mclass.models.pretrained import pons
from mclass.models.pretrained.names import TABLES
from tests import published

RESULTS = Path(__file__).with_name("results")
CLIP = published.PARITY.parent / "data" / "joram_16k.flac"


def relative_error(name: str) -> float:
    """Largest difference of a logit, relative to the largest logit of the original."""
    model = pretrained.from_original(name, published.seeded_weights(name))
    expected = published.reference_logits(name)
    with torch.no_grad():
        logits = model(published.seeded_input(model.num_samples))
    return ((logits - expected).abs().max() / expected.abs().max()).item()


def parity() -> pd.DataFrame:
    """One row per architecture."""
    manifest = published.manifest()
    rows = [
        {"model": name, "parameters": manifest[name]["params"], "relative error": f"{relative_error(name):.1e}"}
        for name in TABLES
    ]
    return pd.DataFrame(rows)


def checkpoints() -> pd.DataFrame:
    """One row per published file in ``../shared``."""
    os.environ["MCLASS_CHECKPOINTS"] = str(published.PARITY / "checkpoints")
    rows = []
    with np.load(published.PARITY / "checkpoint_outputs.npz") as expected:
        for name in ("fcn", "musicnn", "crnn"):
            model = pretrained.load(f"mtat/{name}")
            result = inference.tag(CLIP, model)
            error = np.abs(result.taggram - expected[f"mtat/{name}"]).max()
            top = ", ".join(f"{tag} {score:.2f}" for tag, score in result.top(5))
            rows.append(
                {
                    "weights": f"mtat/{name}",
                    "chunks": len(result.taggram),
                    "error": f"{error:.1e}",
                    "top tags": top,
                }
            )
    return pd.DataFrame(rows)


def packaged() -> pd.DataFrame:
    """One row per tagger of the package musicnn, and one for the first in float16."""
    rows = []
    with np.load(published.PARITY / "musicnn_original_outputs.npz") as expected:
        for name in pons.CATALOGUE:
            model = pretrained.load(name)
            inside = name.removeprefix("pons/")
            original = expected[f"joram/{inside[:3].upper()}{inside[3:]}/probabilities"]
            for precision in (torch.float32, torch.float16)[: 1 + (name == "pons/mtt_musicnn")]:
                probabilities, infinite = _original_chunks(model, precision)
                error = f"{np.abs(probabilities - original).max():.1e}" if precision is torch.float32 else ""
                mean = probabilities.mean(0)
                top = ", ".join(f"{model.tags[i]} {mean[i]:.2f}" for i in (-mean).argsort()[:5])
                kind = "float32" if precision is torch.float32 else f"float16: {infinite:.1%} are infinite"
                rows.append({"weights": name, "mel spectrogram in": kind, "error": error, "top tags": top})
    return pd.DataFrame(rows)


def _original_chunks(model, precision: torch.dtype) -> tuple[np.ndarray, float]:
    """Probabilities of chunks of 187 frames of the whole recording's spectrogram; the share of infinite values."""
    waveform = audio.read(CLIP, model.sample_rate)[None]
    with torch.inference_mode():
        frames = model.frontend(waveform)[0]
        if precision is torch.float16:  # 65,504 is its largest number; what lies above becomes infinite
            power = (10**frames - 1) / COMPRESSION
            frames = (COMPRESSION * power.half() + 1).log10().float()
        count = frames.shape[-1] // 187
        chunks = frames[..., : count * 187].unflatten(-1, (count, 187)).permute(2, 0, 1, 3)
        with _relu_as_in_tensorflow():
            logits = model.head(model.embed_features(model.spectrogram_features(chunks)))
        return logits.sigmoid().numpy(), frames.isinf().float().mean().item()


@contextlib.contextmanager
def _relu_as_in_tensorflow() -> Iterator[None]:
    """TensorFlow's ReLU makes 0 of NaN, which an infinite input leads to; PyTorch's keeps it NaN."""
    relu = torch.relu
    torch.relu = lambda x: relu(x.nan_to_num(0.0, torch.inf, -torch.inf))
    try:
        yield
    finally:
        torch.relu = relu


def main(arguments: list[str] | None = None) -> None:
    """Compare, print and write the tables."""
    if not published.PARITY.is_dir():
        print("skipped: ../shared/parity is absent", file=sys.stderr)
        return
    for name, make in {"packaged": packaged, "parity": parity, "checkpoints": checkpoints}.items():
        try:
            table = make()
        except DownloadError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        table.to_csv(RESULTS / f"{name}.csv", index=False)
        print(table.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
