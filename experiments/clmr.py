"""Does learning without labels help a tagger on Etude? CLMR, probed with few labels and with all, and its parts.

    python -m experiments.clmr [--seeds 5] [--workers 2] [--fresh]    # an hour on two cores
    python -m experiments.clmr --only random supervised clmr          # a quarter of it: without the ablation

Every encoder is the 1D-CNN on log-mel spectrograms with 64 channels, because two cores train it in minutes. For
each seed (of the split by artist, the labelled tracks, crops, augmentations and first weights):

* ``random``: as it was initialised, frozen; a linear probe and one with a hidden layer on its embeddings;
* ``clmr``: trained without labels on all training clips (`mclass.training.Contrastive`), frozen, the same probes;
* ``supervised``: the same network, from the same first weights, trained on the labelled clips alone;
* the ablation: one augmentation at a time, the same crop twice, no projector, each with the linear probe.

Labels are given to 1 %, 5 %, 24 % (the share of labelled clips in the Million Song Dataset) and 100 % of the
training clips, as whole tracks. Fixed before the test part was looked at, on the validation part of a split that
is not used again (seed 100): network, batch size, temperature, learning rate. With 10 epochs the probe was no
better than the random encoder's there, with 40 it was; there is time for 30. The validation part chooses the
strength of a probe's regularisation and the epoch of the supervised network; the test part is scored once.

Writes in ``experiments/results``:

* ``clmr.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``clmr_summary.csv``, ``clmr_ablation.csv``: means, and mean paired differences with their 95 % intervals.

Intervals are Student's over seeds: they cover another split, other labelled tracks and other first weights.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import runs
from experiments.augmentation import visited
from mclass import augmentations, inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.datasets.unlabelled.budgets import label_budget
from mclass.models import WaveformModel

BUDGETS = (0.01, 0.05, 0.24, 1.0)
CHANNELS = 64
PRETRAINING = {"batch_size": 48, "temperature": 0.1, "learning_rate": 0.003}
FAMILIES = ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")  # of the chain
MAIN = ("random", "supervised", "clmr")
ABLATION = ("crop only", "crop + filter", "crop + pitch", "crop + reverb", "no crop", "no projector")
ENCODERS = MAIN + ABLATION
SUPERVISED_EPOCHS = mclass.scale(smoke=1, cpu=10, gpu=100)
CROPS = mclass.scale(smoke=64, cpu=1000, gpu=1000)  # of a supervised epoch, however many clips have labels


def pretraining(encoder: str, sample_rate: int) -> dict:
    """Options of `mclass.training.Contrastive` for an encoder of the tables."""
    if encoder == "crop only":
        return {"augment": None}
    if encoder.startswith("crop + "):
        only = encoder.removeprefix("crop + ")
        return {"augment": augmentations.clmr(sample_rate, probabilities={f: float(f == only) for f in FAMILIES})}
    return {"clmr": {}, "no crop": {"same_crop": True}, "no projector": {"projection_dim": None}}[encoder]


def untrained(num_tags: int, seed: int) -> WaveformModel:
    """The network of all runs, with the first weights of a seed."""
    torch.manual_seed(seed)
    return models.create("cnn_1d", num_tags=num_tags, channels=CHANNELS)


def probes(model: WaveformModel, parts: tuple[MusicDataset, ...], seed: int, kinds: tuple[str, ...]) -> list[dict]:
    """Scores of probes on a frozen encoder, for each label budget."""
    train, valid, test = [(training.embeddings(model, part), part) for part in parts]
    rows = []
    for budget in BUDGETS:
        labelled, _ = label_budget(train[1], budget, seed=seed)
        few = train[0][labelled.indices], labelled
        for kind in kinds:
            found = training.probe_embeddings(few, valid, test, kind=kind, seed=seed)
            rows.append(
                {"learner": kind, "budget": budget, "clips": len(labelled), "unseen_tags": len(found.unseen)}
                | scores(test[1], found.probabilities)
            )
    return rows


def supervised(parts: tuple[MusicDataset, ...], seed: int) -> list[dict]:
    """Scores of the network trained with labels, for each label budget."""
    train, valid, test = parts
    rows = []
    for budget in BUDGETS:
        labelled, _ = label_budget(train, budget, seed=seed)
        task = training.Tagging(untrained(len(train.tags), seed), learning_rate=0.003)
        options = {"epochs": SUPERVISED_EPOCHS, "batch_size": 32, "seed": seed, "progress": False}
        training.fit(task, visited(labelled, CROPS), valid, **options)
        found = scores(test, inference.predict(task.model, test))
        unseen = int((labelled.labels.sum(0) == 0).sum())
        rows.append(
            {"learner": "network", "budget": budget, "clips": len(labelled), "unseen_tags": unseen} | found
        )
    return rows


def scores(test: MusicDataset, probabilities: np.ndarray) -> dict[str, float]:
    """ROC-AUC and PR-AUC with the annotators' labels, and ROC-AUC with what was really composed."""
    return {
        "roc_auc": metrics.roc_auc(test.labels, probabilities),
        "pr_auc": metrics.pr_auc(test.labels, probabilities),
        "oracle_roc_auc": metrics.roc_auc(test.parent.oracle[test.indices], probabilities),
    }


def run(encoder: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train once without labels (or, for each budget, with them) and score; rows of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    parts, found = etude.splits(by="artist", seed=seed), {}
    if encoder == "supervised":
        return (supervised(parts, seed),)
    model = untrained(len(etude.tags), seed)
    if encoder != "random":
        given = {name: PRETRAINING[name] for name in ("temperature", "learning_rate")}
        task = training.Contrastive(model, **given | pretraining(encoder, etude.sample_rate))
        options = {"epochs": epochs, "batch_size": PRETRAINING["batch_size"], "seed": seed}
        history = training.fit(task, *parts[:2], **options, progress=False).history
        best = history.loc[history["valid_loss"].idxmin()]
        found = {"valid_loss": best["valid_loss"], "valid_accuracy": best["valid_accuracy"]}
    rows = probes(model, parts, seed, ("linear", "mlp") if encoder in MAIN else ("linear",))
    return ([row | found for row in rows],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per learner, one column per budget: mean ± standard deviation of the test ROC-AUC."""
    part = table[table["encoder"].isin(MAIN)]
    cells = part.groupby(["encoder", "learner", "budget"])["roc_auc"].agg(["mean", "std", "count"])
    rows = []
    for (encoder, learner), found in cells.groupby(["encoder", "learner"]):
        row = {"encoder": encoder, "learner": learner, "seeds": int(found["count"].min())}
        rows.append(row | {_percent(budget): _cell(one) for (_, _, budget), one in found.iterrows()})
    rows.sort(key=lambda row: MAIN.index(row["encoder"]))
    for name, other in (("random", "linear"), ("supervised", "network")):
        gains = differences(table, ("clmr", "linear"), (name, other))
        if gains:
            rows.append({"encoder": f"clmr − {name}", "learner": "linear", "seeds": rows[0]["seeds"]} | gains)
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> dict[str, str]:
    """Mean paired difference of two learners for each budget, with its 95 % interval."""
    wide = table.pivot_table(index=["budget", "seed"], columns=["encoder", "learner"], values="roc_auc")
    if one not in wide or other not in wide:
        return {}
    found = {}
    for budget, values in (wide[one] - wide[other]).dropna().groupby("budget"):
        if len(values) > 1:
            found[_percent(budget)] = runs.interval(values, "{:+.3f}")
    return found


def ablation(table: pd.DataFrame) -> pd.DataFrame:
    """One row per way to make views: the linear probe's ROC-AUC minus that of the whole chain, paired by seed."""
    rows = []
    for encoder in ("clmr", "random", *ABLATION):
        part = table[(table["encoder"] == encoder) & (table["learner"] == "linear")]
        if not len(part):
            continue
        row = {"views": "crop + whole chain" if encoder == "clmr" else encoder, "seeds": part["seed"].nunique()}
        row |= {"partner found": "–" if encoder == "random" else f"{part['valid_accuracy'].mean():.2f}"}
        for budget in (0.05, 1.0):
            row[f"ROC-AUC, {_percent(budget)}"] = _cell(
                part[part["budget"] == budget]["roc_auc"].agg(["mean", "std"])
            )
        gains = differences(table, (encoder, "linear"), ("clmr", "linear")) if encoder != "clmr" else {}
        rows.append(row | {f"Δ, {name}": gains.get(name, "–") for name in ("5 %", "100 %")})
    return pd.DataFrame(rows)


def _percent(budget: float) -> str:
    return f"{100 * budget:.0f} %"


def _cell(found: pd.Series) -> str:
    return f"{found['mean']:.3f} ± {found['std']:.3f}" if found["std"] == found["std"] else f"{found['mean']:.3f}"


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    epochs = mclass.scale(smoke=1, cpu=30, gpu=300)
    parser.add_argument("--epochs", type=int, default=epochs, help="without labels")
    parser.add_argument("--only", nargs="+", choices=ENCODERS, default=ENCODERS, metavar="ENCODER")
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    (table,) = runs.collect(
        run,
        [{"encoder": encoder, "seed": seed} for seed in range(options.seeds) for encoder in options.only],
        [options.out / "clmr.csv"],
        ("encoder", "seed"),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    results = {"summary": summary(table), "ablation": ablation(table)}
    for name, result in results.items():
        runs.write(result, options.out / f"clmr_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
