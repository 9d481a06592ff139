"""How much like real music does Etude sound to taggers that have only ever heard real music?

Three published MagnaTagATune taggers tag Etude zero-shot; their scores are compared with what was composed (the
oracle tags). Chance is 0.50. ``mtat/musicnn`` (Pons et al. 2018, as retrained by Won et al. 2020) and
``pons/mtt_vgg`` (Pons and Serra 2019) were looked at while version 2 was made; ``pons/mtt_musicnn`` (by the same)
decided nothing and is the test. Writes ``benchmarks/results/realism_v<version>.csv`` and, from all versions that
are there, the book's tables ``realism.csv`` and ``realism_summary.csv``.

    python -m benchmarks.realism [--version 2] [--num-tracks 400]

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
TAGGERS = {"Musicnn (Won)": "mtat/musicnn", "VGG (Pons)": "pons/mtt_vgg", "Musicnn (Pons)": "pons/mtt_musicnn"}
CLIP_SECONDS = 15.0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--num-tracks", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if CHECKPOINTS.is_dir():
        os.environ.setdefault("MCLASS_CHECKPOINTS", str(CHECKPOINTS))
    size = {"num_tracks": options.num_tracks, "clips_per_track": 1, "clip_seconds": CLIP_SECONDS}
    etude = Etude(**size, seed=options.seed, version=options.version)
    table = pd.DataFrame({"tag": tags.MAGNATAGATUNE, "positives": etude.oracle.sum(0)})
    for column, name in TAGGERS.items():
        try:
            tagger = pretrained.load(name)
        except DownloadError as error:
            sys.exit(f"skipped: {error}")
        scores = inference.predict(tagger, etude, progress=True)
        table[column] = metrics.tagwise(etude.oracle, scores, tags.MAGNATAGATUNE).set_index("tag").loc[
            table["tag"], "roc_auc"
        ].to_numpy().round(3)  # fmt: skip
    print(table.to_string(index=False))
    print(f"\nmacro ROC-AUC, {len(etude)} clips:\n{table[list(TAGGERS)].mean().round(3).to_string()}")
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / f"realism_v{options.version}.csv", index=False)
    compare()


def compare() -> None:
    """Write the book's tables from those of all versions: one column for each version and tagger."""
    versions = {path.stem.removeprefix("realism_v"): pd.read_csv(path) for path in RESULTS.glob("realism_v*.csv")}
    columns = {"tag": list(tags.MAGNATAGATUNE), "notion": [tags.notion(tag) for tag in tags.MAGNATAGATUNE]}
    for name in TAGGERS:
        for version, table in sorted(versions.items()):
            columns[f"{name}, version {version}"] = table[name]
    table = pd.DataFrame(columns)
    scores = table.drop(columns=["tag", "notion"])
    summary = pd.concat([scores.mean().to_frame("all 50").T, table.groupby("notion")[list(scores)].mean()])
    summary = summary.round(3).rename_axis("tags").reset_index()
    table = table.iloc[scores.mean(axis=1).argsort(kind="stable")[::-1]]
    table.to_csv(RESULTS / "realism.csv", index=False)
    summary.to_csv(RESULTS / "realism_summary.csv", index=False)


if __name__ == "__main__":
    main()
