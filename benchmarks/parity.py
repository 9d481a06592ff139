"""How exactly our models repeat the original implementations, and what the published weights hear.

``python -m benchmarks.parity`` needs ``../shared``. It writes two tables to ``benchmarks/results``:

* ``parity.csv``: for every architecture with seeded weights and a reference, the largest difference of a logit
  from the original's, relative to the largest logit;
* ``checkpoints.csv``: for the published MagnaTagATune weights at hand, the largest difference of a probability on
  a real recording, and the tags the model finds most probable in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mclass import inference, pretrained
from mclass.pretrained.names import TABLES
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


def main(arguments: list[str] | None = None) -> None:
    """Compare, print and write the tables."""
    if not published.PARITY.is_dir():
        print("skipped: ../shared/parity is absent", file=sys.stderr)
        return
    for name, table in {"parity": parity(), "checkpoints": checkpoints()}.items():
        table.to_csv(RESULTS / f"{name}.csv", index=False)
        print(table.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
