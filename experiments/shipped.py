"""Train the networks that come with the package (`mclass.models.pretrained`, names that begin with ``etude/``).

    python -m experiments.shipped [NAME …]        # all of them if none is named

Each learns from Etude by the protocol (`experiments.protocol`) with the largest dose that was tried:

* ``cnn_1d``, ``cnn_2d``: taggers, from the weak labels of 4,000 tracks, 100,000 crops each;
* ``clmr``: an encoder that learned from 500,000 pairs of the pool without a label (`experiments.self_supervised`,
  whose run is taken if it is there); its last layer is a line learned from the labels of 960 tracks;
* ``similarity``: an embedding for search, ``+ notions`` of `experiments.retrieval` from 100,000 triplets; its last
  layer as that of ``clmr``.

The test set is scored once. Writes ``mclass/models/pretrained/weights/NAME.safetensors`` and
``experiments/results/shipped.csv``. Runs lie in ``runs/shipped`` meanwhile, and go on where they were stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import mclass
from experiments import data_curve, protocol, retrieval, runs, self_supervised
from mclass import models, training
from mclass.models import WaveformModel
from mclass.models.pretrained import shipped

NAMES = ("cnn_1d", "cnn_2d", "clmr", "similarity")
CROPS = mclass.scale(smoke=64, cpu=100_000, gpu=1_000_000)
TRIPLETS = mclass.scale(smoke=32, cpu=100_000, gpu=1_000_000)
HEAD_CROPS = mclass.scale(smoke=32, cpu=10_000, gpu=30_000)
TRACKS = max(protocol.SIZES)


def tagger(name: str) -> tuple[WaveformModel, str]:
    task = data_curve.tagging(name, 0)
    protocol.fit(task, protocol.collection(TRACKS), CROPS, 0, folder=Path("runs", "shipped", name))
    return task.model, f"weak labels of {TRACKS:,} tracks, {CROPS:,} crops"


def clmr() -> tuple[WaveformModel, str]:
    task = self_supervised.learning("clmr", protocol.network(0))
    folder = self_supervised.folder_of("clmr", "chain", self_supervised.LONG, 0)
    protocol.fit(task, protocol.pool(), self_supervised.LONG, 0, batch_size=self_supervised.BATCH, folder=folder)
    pairs = f"{self_supervised.LONG:,} pairs of {protocol.POOL:,} tracks without labels"
    return with_head(task.model), f"{pairs}; last layer: weak labels of {protocol.LABELLED} tracks"


def similarity() -> tuple[WaveformModel, str]:
    model = retrieval.network("CNN", 0)
    rate = retrieval.LEARNING_RATES["CNN"]["drawn"]
    retrieval.learn("+ notions", model, TRIPLETS, 0, rate, folder=Path("runs", "shipped", "similarity"))
    triplets = f"{TRIPLETS:,} triplets by weak labels of {TRACKS:,} tracks, a notion in each quarter"
    return with_head(model), f"{triplets}; last layer: weak labels of {protocol.LABELLED} tracks"


def with_head(model: WaveformModel) -> WaveformModel:
    """The same encoder with a last layer that knows the tags; nothing else changes."""
    models.freeze(model)
    task = training.Tagging(model, learning_rate=protocol.LEARNING_RATE)
    protocol.fit(task, protocol.collection(protocol.LABELLED), HEAD_CROPS, 0)
    models.freeze(model, "nothing")
    return model


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=runs.RESULTS)
    parser.add_argument("--weights", type=Path, default=shipped.FOLDER)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    protocol.compose()
    for name in options.names:
        model, trained_on = {"clmr": clmr, "similarity": similarity}.get(name, lambda name=name: tagger(name))()
        found = {key: value for key, value in protocol.judge(model).items() if isinstance(value, float)}
        found |= {
            "recall@1": protocol.retrieval_scores(training.embeddings(model, protocol.gallery()))["recall@1"]
        }
        path = shipped.save(
            model,
            f"{shipped.PREFIX}{name}",
            trained_on=trained_on,
            scores=found,
            made_with=runs.made_with(),
            folder=options.weights,
        )
        row = {"name": f"{shipped.PREFIX}{name}", "kB": path.stat().st_size / 1000, "trained_on": trained_on}
        table, stored = pd.DataFrame([row | found | {"made_with": runs.made_with()}]), options.out / "shipped.csv"
        if stored.exists():
            others = pd.read_csv(stored)
            table = pd.concat([others[others["name"] != row["name"]], table], ignore_index=True)
        runs.write(table.round(5), stored)
        print(table.to_string(index=False))


if __name__ == "__main__":
    main()
