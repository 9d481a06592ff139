"""Networks, activations, losses, splits and averaging on Etude: which of the field's rules of thumb hold here?

    python -m experiments.networks [--seeds 5] [--workers 2] [--fresh]

All networks are narrow enough for two cores, from 33,000 to 102,000 parameters, and take the same number of steps
with Adam. On all training artists (``all``) and on ten of them (``few``):

* ``CNN``: the homework's 2D-CNN, four blocks; ``CNN, GELU``: the same with another activation; ``CNN, focal``: the
  same with the focal loss;
* ``short-chunk``: six blocks with small pools, ReLU and no dropout, as ``CNN``;
* ``Musicnn``: vertical and horizontal filters; ``SampleCNN``: on raw waveforms.

On all training artists also ``CNN, split by track`` and ``CNN, split by clip``: splits that leak.

Protocol: a seed fixes the split, the artists, the crops, their order and the first weights, so differences of a
seed are paired. The best epoch is chosen on the validation part; the test part is scored once, by

* ``roc_auc``, ``pr_auc``: of clips, the mean over their chunks;
* ``chunk_roc_auc``: of three-second chunks, each with its clip's labels;
* ``track_roc_auc``: of tracks, the mean over their clips, with the labels that most of these have;
* ``rare_pr_auc``: the mean PR-AUC of the 25 tags that are rarest in the training part.

Writes in ``experiments/results``:

* ``networks.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``networks_summary.csv``: means and paired differences, with Student's 95 % intervals over seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

import mclass
from experiments import runs
from experiments.augmentation import few_artists, visited
from mclass import inference, losses, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.models import WaveformModel
from mclass.models.fast import accelerate
from mclass.models.layers.blocks import ConvBlock1d
from mclass.models.musicnn import HEIGHTS, LENGTHS, Horizontal, Vertical
from mclass.models.sample_cnn import CHANNELS, SampleBlock

CROPS = mclass.scale(smoke=32, cpu=640, gpu=8000)  # in an epoch, however many clips there are
ARTISTS = {"few": 10, "all": None}
EVERYWHERE = ("CNN", "CNN, GELU", "CNN, focal", "short-chunk", "Musicnn", "SampleCNN")
LEAKY = ("CNN, split by track", "CNN, split by clip")
RARE = 25


def narrow(network: WaveformModel) -> WaveformModel:
    """Make a published network narrow, in place; its layers stay what they are.

    Examples
    --------
    >>> sum(p.numel() for p in narrow(models.create("musicnn")).parameters())
    78016
    >>> sum(p.numel() for p in narrow(models.create("sample_cnn")).parameters())
    33074
    """
    if isinstance(network, models.musicnn.Musicnn):
        vertical, horizontal, width = 12, 4, 24  # 204, 51 and 64 in the original
        found = len(HEIGHTS) * vertical + len(LENGTHS) * horizontal
        network.vertical = nn.ModuleList(Vertical(vertical, height) for height in HEIGHTS)
        network.horizontal = nn.ModuleList(Horizontal(horizontal, length) for length in LENGTHS)
        network.backend = nn.ModuleList(
            ConvBlock1d(channels, width, pool=1, kernel=7, padding=3) for channels in (found, width, width)
        )
        network.dense[0] = nn.Linear(2 * (found + 3 * width), 200)
        return accelerate(network)
    widths = [width // 8 for width in CHANNELS]
    network.blocks = nn.Sequential(
        SampleBlock(1, widths[0], pool=1, stride=3, padding=network.first_padding),
        *(SampleBlock(widths[i], widths[i + 1], pool=3) for i in range(9)),
        SampleBlock(widths[9], widths[10], pool=1, kernel=network.last_kernel, padding=network.last_kernel // 2),
    )
    network.head[1] = nn.Linear(widths[10], network.num_tags)
    return accelerate(network)


def create(name: str, num_tags: int) -> WaveformModel:
    """The network of a row."""
    if name == "short-chunk":
        options = {"channels": (8, 16, 32, 64, 64, 64), "activation": "relu", "dropout": 0.0}
        return models.create("homework_short_chunk", num_tags=num_tags, **options)
    if name in ("Musicnn", "SampleCNN"):
        return narrow(models.create({"Musicnn": "musicnn", "SampleCNN": "sample_cnn"}[name], num_tags=num_tags))
    activation = "gelu" if name == "CNN, GELU" else "relu"
    return models.create("cnn_2d", num_tags=num_tags, channels=(16, 32, 64, 64), activation=activation)


def evaluate(model: WaveformModel, train: MusicDataset, test: MusicDataset) -> dict[str, float]:
    """All scores of a test part."""
    chunks, owners = inference.predict_chunks(model, test)
    clips = means(chunks, owners)
    _, tracks = np.unique(test.track_ids, return_inverse=True)
    most = (means(test.labels.astype(float), tracks) > 0.5).astype(np.uint8)
    order = np.argsort(train.labels.sum(0), kind="stable")[:RARE]
    rare = [tag for tag in order if 0 < test.labels[:, tag].sum() < len(test)]
    return {
        "roc_auc": metrics.roc_auc(test.labels, clips),
        "pr_auc": metrics.pr_auc(test.labels, clips),
        "oracle_roc_auc": metrics.roc_auc(test.parent.oracle[test.indices], clips),
        "chunk_roc_auc": metrics.roc_auc(test.labels[owners], chunks),
        "track_roc_auc": metrics.roc_auc(most, means(clips, tracks)),
        "rare_pr_auc": metrics.pr_auc(test.labels[:, rare], clips[:, rare]),
    }


def means(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of the rows of each group, in the groups' order.

    >>> means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])).tolist()
    [[2.0], [5.0]]
    """
    total = np.zeros((groups.max() + 1, rows.shape[1]))
    np.add.at(total, groups, rows)
    return total / np.bincount(groups)[:, None]


def run(size: str, network: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train and score once; a row of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    by = network.removeprefix("CNN, split by ") if network in LEAKY else "artist"
    train, valid, test = etude.splits(by=by, seed=seed)
    train = few_artists(train, ARTISTS[size], seed)
    torch.manual_seed(seed)
    criterion = losses.FocalLoss(gamma=2.0) if network == "CNN, focal" else None
    task = training.Tagging(create(network, len(etude.tags)), criterion=criterion)
    found = training.fit(task, visited(train, CROPS), valid, epochs=epochs, seed=seed, progress=False)
    row = evaluate(task.model, train, test) | {"best_epoch": found.best_epoch, "clips": len(train)}
    return ([row | {"parameters": sum(p.numel() for p in task.model.parameters())}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each network and size; differences are to ``CNN``."""
    rows = []
    for (size, network), found in table.groupby(["size", "network"], sort=False):
        part = table[table["size"] == size]
        row = {"artists": size, "network": network, "parameters": found["parameters"].iloc[0]}
        row |= {"ROC-AUC": runs.interval(found["roc_auc"]), "PR-AUC": runs.interval(found["pr_auc"])}
        row["rare PR-AUC"] = runs.interval(found["rare_pr_auc"])
        gain = runs.interval(runs.gain(part, "network", network, "CNN", "roc_auc"), "{:+.3f}")
        rows.append(row | {"Δ ROC-AUC": "–" if network == "CNN" else gain, "seeds": len(found)})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=6, gpu=60))
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    plan = [
        {"size": size, "network": network, "seed": seed}
        for seed in range(options.seeds)
        for size in ARTISTS
        for network in (*EVERYWHERE, *(LEAKY if size == "all" else ()))
    ]
    plan.sort(key=lambda one: (list(ARTISTS).index(one["size"]), (*EVERYWHERE, *LEAKY).index(one["network"])))
    (table,) = runs.collect(
        run,
        sorted(plan, key=lambda one: one["seed"]),
        [options.out / "networks.csv"],
        tuple(plan[0]),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "networks_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
