"""How much like real music does Etude sound to a tagger that has only ever heard real music?

The published MagnaTagATune weights of Musicnn (Pons et al. 2018, as retrained by Won et al. 2020) tag Etude
zero-shot; their scores are compared with what was composed (the oracle tags). Chance is 0.50. Writes
``benchmarks/results/realism.csv``, the table of the book.

    python -m benchmarks.realism [--num-tracks 400]

The weights are downloaded, or come from ``MCLASS_CHECKPOINTS``, or from ``../shared``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from mclass import inference, metrics, pretrained, tags
from mclass.datasets.etude import Etude
from mclass.errors import DownloadError

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = ROOT.parent / "shared" / "parity" / "checkpoints"
RESULTS = Path(__file__).with_name("results")
CLIP_SECONDS = 15.0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-tracks", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if CHECKPOINTS.is_dir():
        os.environ.setdefault("MCLASS_CHECKPOINTS", str(CHECKPOINTS))
    try:
        musicnn = pretrained.load("mtat/musicnn")
    except DownloadError as error:
        sys.exit(f"skipped: {error}")
    etude = Etude(num_tracks=options.num_tracks, clips_per_track=1, clip_seconds=CLIP_SECONDS, seed=options.seed)
    scores = inference.predict(musicnn, etude, progress=True)
    table = metrics.tagwise(etude.oracle, scores, tags.MAGNATAGATUNE)
    table["notion"] = [tags.notion(tag) for tag in table["tag"]]
    table = table[["tag", "notion", "positives", "roc_auc"]].sort_values("roc_auc", ascending=False).round(3)
    means = table.groupby("notion")["roc_auc"].mean().round(3)
    macro = table["roc_auc"].mean()
    print(table.to_string(index=False), means.to_string(), sep="\n\n")
    print(f"\nmacro ROC-AUC over {table['roc_auc'].notna().sum()} tags, {len(etude)} clips: {macro:.3f}")
    summary = pd.DataFrame({"tags": ["all 50", *means.index], "mean ROC-AUC": [round(macro, 3), *means]})
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "realism.csv", index=False)
    summary.to_csv(RESULTS / "realism_summary.csv", index=False)


if __name__ == "__main__":
    main()
