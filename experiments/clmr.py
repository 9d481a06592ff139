"""Does learning without labels help a tagger on Etude? CLMR, probed with few labels and with all, and its parts.

    python -m experiments.clmr [--seeds 4] [--workers 2] [--fresh]    # about half an hour on two cores
    python -m experiments.clmr --only random clmr supervised          # without the ablation

Every encoder is the 1D-CNN on log-mel spectrograms with 64 channels, because two cores train it in a minute. For
each seed (of the split by artist, the labelled tracks, crops, augmentations and first weights):

* ``random``: as it was initialised, frozen; a linear probe and one with a hidden layer on its embeddings;
* ``clmr``: trained without labels on all training clips (`mclass.training.Contrastive`), frozen, the same probes;
* ``supervised``: the same network, from the same first weights, trained on the labelled clips alone;
* the ablation: one augmentation at a time, the same crop twice, no projector, each with the linear probe.

Labels are given to 1 %, 5 %, 24 % (the share of labelled clips in the Million Song Dataset) and 100 % of the
training clips, as whole tracks. Fixed before the test part was looked at, on the split of seed 100: network, batch
size, temperature, learning rate, epochs. The validation part chooses the strength of a probe's regularisation and
the epoch of the supervised network; the test part is scored once.

Writes in ``experiments/results``:

* ``clmr.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``clmr_summary.csv``, ``clmr_ablation.csv``: means, and mean paired differences with their 95 % intervals.

Intervals are Student's over seeds: they cover another split, other labelled tracks and other first weights.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

import mclass
from experiments.augmentation import paired, visited
from mclass import augmentations, inference, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.datasets.budgets import label_budget
from mclass.metrics import UndefinedTagsWarning
from mclass.models import WaveformModel

RESULTS = Path(__file__).with_name("results")
BUDGETS = (0.01, 0.05, 0.24, 1.0)
CHANNELS = 64
PRETRAINING = {"batch_size": 96, "temperature": 0.1, "learning_rate": 0.003}
FAMILIES = ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")
MAIN = ("random", "supervised", "clmr")
ABLATION = ("crop only", *(f"crop + {name}" for name in FAMILIES), "no crop", "no projector")
ENCODERS = MAIN + ABLATION
CROPS = 1000  # of a supervised epoch, about, however many clips have labels: all runs make as many steps


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


def supervised(parts: tuple[MusicDataset, ...], seed: int, epochs: int) -> list[dict]:
    """Scores of the network trained with labels, for each label budget."""
    train, valid, test = parts
    rows = []
    for budget in BUDGETS:
        labelled, _ = label_budget(train, budget, seed=seed)
        task = training.Tagging(untrained(len(train.tags), seed))
        training.fit(
            task, visited(labelled, CROPS), valid, epochs=epochs, batch_size=32, seed=seed, progress=False
        )
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


def run(encoder: str, seed: int, epochs: int, supervised_epochs: int, num_tracks: int | None) -> list[dict]:
    """Train once without labels (or, for each budget, with them) and score; returns rows of the table."""
    torch.set_num_threads(1)
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    parts = etude.splits(by="artist", seed=seed)
    start, found = time.perf_counter(), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)  # few clips have not every tag
        if encoder == "supervised":
            rows = supervised(parts, seed, supervised_epochs)
        else:
            model = untrained(len(etude.tags), seed)
            if encoder != "random":
                given = {"temperature": PRETRAINING["temperature"], "learning_rate": PRETRAINING["learning_rate"]}
                task = training.Contrastive(model, **given, **pretraining(encoder, etude.sample_rate))
                options = {"epochs": epochs, "batch_size": PRETRAINING["batch_size"], "seed": seed}
                history = training.fit(task, *parts[:2], **options, progress=False).history
                best = history.loc[history["valid_loss"].idxmin()]
                found = {"valid_loss": best["valid_loss"], "valid_accuracy": best["valid_accuracy"]}
            rows = probes(model, parts, seed, ("linear", "mlp") if encoder in MAIN else ("linear",))
    trained = {"random": 0, "supervised": supervised_epochs}.get(encoder, epochs)
    common = {"encoder": encoder, "seed": seed, "epochs": trained}
    last = {"seconds": time.perf_counter() - start}
    last["versions"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "symusic"))
    return [common | row | found | last for row in rows]


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
            found[_percent(budget)] = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*paired(values.to_numpy()))
    return found


def ablation(table: pd.DataFrame) -> pd.DataFrame:
    """One row per way to make views: the linear probe's ROC-AUC minus that of the whole chain, paired by seed."""
    rows = []
    for encoder in ("clmr", "random", *ABLATION):
        runs = table[(table["encoder"] == encoder) & (table["learner"] == "linear")]
        if not len(runs):
            continue
        row = {"views": "crop + whole chain" if encoder == "clmr" else encoder, "seeds": runs["seed"].nunique()}
        row |= {"partner found": "–" if encoder == "random" else f"{runs['valid_accuracy'].mean():.2f}"}
        for budget in (0.05, 1.0):
            row[f"ROC-AUC, {_percent(budget)}"] = _cell(
                runs[runs["budget"] == budget]["roc_auc"].agg(["mean", "std"])
            )
        gains = differences(table, (encoder, "linear"), ("clmr", "linear")) if encoder != "clmr" else {}
        rows.append(row | {f"Δ, {name}": gains.get(name, "–") for name in ("5 %", "100 %")})
    return pd.DataFrame(rows)


def _percent(budget: float) -> str:
    return f"{100 * budget:.0f} %"


def _cell(found: pd.Series) -> str:
    return f"{found['mean']:.3f} ± {found['std']:.3f}" if found["std"] == found["std"] else f"{found['mean']:.3f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=mclass.scale(smoke=2, cpu=4, gpu=5))
    epochs = mclass.scale(smoke=1, cpu=10, gpu=300)
    parser.add_argument("--epochs", type=int, default=epochs, help="without labels")
    parser.add_argument("--supervised-epochs", type=int, default=mclass.scale(smoke=1, cpu=10, gpu=100))
    parser.add_argument("--num-tracks", type=int, default=None)
    parser.add_argument("--only", nargs="+", choices=ENCODERS, default=ENCODERS, metavar="ENCODER")
    parser.add_argument("--workers", type=int, default=2, help="processes that train, one thread each")
    parser.add_argument("--fresh", action="store_true", help="repeat runs that are in the table already")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "clmr.csv"
    table = pd.read_csv(path) if path.exists() and not options.fresh else pd.DataFrame()
    trained = {"random": 0, "supervised": options.supervised_epochs}
    if len(table) and (table["epochs"] != table["encoder"].map(lambda e: trained.get(e, options.epochs))).any():
        parser.error(f"{path} holds runs of other epochs: give --fresh, or another --out")
    done = set(zip(table["encoder"], table["seed"], strict=True)) if len(table) else set()
    plan = [
        (encoder, seed, options.epochs, options.supervised_epochs, options.num_tracks)
        for seed in range(options.seeds)
        for encoder in options.only
        if (encoder, seed) not in done
    ]
    jobs = joblib.Parallel(options.workers, return_as="generator_unordered")(
        joblib.delayed(run)(*one) for one in plan
    )
    for rows in tqdm(jobs, total=len(plan), unit="run"):
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        rank = table["encoder"].map({name: i for i, name in enumerate(ENCODERS)})
        keys = table.assign(rank=rank).sort_values(["rank", "seed", "budget", "learner"]).index
        table = table.loc[keys].reset_index(drop=True)
        table.round(4).to_csv(path, index=False)  # after each run: a kill costs one or two

    table = pd.read_csv(path)  # what is stored, so that the tables follow from it to the last digit
    for name, result in (("clmr_summary.csv", summary(table)), ("clmr_ablation.csv", ablation(table))):
        result.to_csv(options.out / name, index=False)
        print(result.to_string(index=False))


if __name__ == "__main__":
    main()
