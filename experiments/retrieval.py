"""What helps an embedding to find music that shares tags? Training, sampling, dose, notions of similarity.

    python -m experiments.retrieval [--seeds 3] [--workers 2] [--encoders CNN Linear MusiCNN]
    python -m experiments.retrieval --choose      # how the learning rates were chosen

Protocol: `experiments.protocol`. All learn from the weak labels of 4,000 tracks; 1,000 other tracks are searched,
with the oracle. Three encoders of 128 dimensions: a linear map of the log-mel (``Linear``), the 1D-CNN with 64
channels (``CNN``) and a narrow Musicnn (``MusiCNN``, one seed).

**Steps** of the homework report, each of which adds to the one before it: ``triplet`` (triplets by random tags,
Euclidean distance of embeddings as they are), ``+ normalisation`` (length 1, cosine distance), ``+ track`` (track
regularisation), ``+ notions`` (disentanglement: the tag of a triplet decides the quarter of the embedding).

**Others**, with the CNN: triplets found in a batch (``easy``, ``semi-hard``, ``hard``), triplets of what a tagger
confuses (``errors``), losses that find their own pairs (``SupCon``, ``multi-similarity``, ``proxy anchor``), a
tagger's embedding (``tagger``) and one that learns on by triplets (``tagger, triplets``). **References**:
``untrained``, and mean and deviation of MFCCs (``MFCC``).

**Dose**: 10,000 triplets, that is 30,000 crops, for all, and as many crops where there are no triplets; 1,000 to
100,000 triplets for ``+ normalisation``, ``+ notions`` and ``tagger`` with the CNN.

What was fixed before the test set was looked at: all of this, margin 0.4, λ = 0.5, one cycle of the learning rate.
Its height was chosen on the validation set (300 tracks, recall@1 with weak labels) for each encoder with triplets,
with mined triplets and as a tagger, three tries each.

Writes in ``experiments/results``: ``retrieval.csv``, every run (what is in it is not repeated);
``retrieval_notions.csv``, recall by the tags of each notion in the whole embedding and in each quarter;
``retrieval_summary.csv``, ``retrieval_gains.csv``, ``retrieval_notions_summary.csv``; ``retrieval_choice.csv``.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from experiments.networks import narrow
from mclass import inference, losses, models, training
from mclass.datasets import MusicDataset
from mclass.frontends import MFCC
from mclass.models import WaveformModel
from mclass.vocabulary import NOTIONS

DIM, MARGIN = 128, 0.4
STEPS = ("triplet", "+ normalisation", "+ track", "+ notions")
MINED = ("easy", "semi-hard", "hard")
LABELLED = {
    "SupCon": lambda: losses.SupConLoss(),
    "multi-similarity": lambda: losses.MultiSimilarityLoss(),
    "proxy anchor": lambda: losses.ProxyAnchorLoss(protocol.NUM_TAGS, DIM),
}
WAYS = {
    "CNN": ("MFCC", "untrained", *STEPS, "tagger", "tagger, triplets", *MINED, "errors", *LABELLED),
    "Linear": ("untrained", *STEPS),
    "MusiCNN": ("untrained", *STEPS),
}
CURVES = ("+ normalisation", "+ notions", "tagger")
TRIPLETS = mclass.scale(smoke=32, cpu=10_000, gpu=300_000)
DOSES = mclass.scale(smoke=(32,), cpu=(1000, 3000, 10_000, 30_000, 100_000), gpu=(10_000, 100_000, 1_000_000))
BATCH = {"drawn": 16, "searched": 48}  # triplets; clips, four of each tag
KINDS = ("drawn", "searched", "tagger")
TRIED = (0.001, 0.003, 0.01)
LEARNING_RATES = {
    "CNN": {"drawn": 0.003, "searched": 0.003, "tagger": 0.01},
    "Linear": {"drawn": 0.003},
    "MusiCNN": {"drawn": 0.003},
}
AGAINST = {way: before for before, way in zip(("untrained", *STEPS), STEPS, strict=False)} | {
    way: "+ normalisation" for way in WAYS["CNN"] if way not in (*STEPS, "untrained", "MFCC")
}


def network(encoder: str, seed: int) -> WaveformModel:
    """An embedding model with the first weights of a seed."""
    torch.manual_seed(seed)
    if encoder == "Linear":
        return models.create("linear_embedding", num_tags=protocol.NUM_TAGS, dim=DIM)
    if encoder == "MusiCNN":
        model = models.create("musicnn_embedding", num_tags=protocol.NUM_TAGS, dim=DIM)
        narrow(model.backbone)
        return model
    options = {"backbone": "cnn_1d", "backbone_options": {"channels": 64}}
    return models.create("cnn_embedding", num_tags=protocol.NUM_TAGS, dim=DIM, **options)


def kind_of(way: str) -> str:
    """Whether triplets are drawn, or searched in batches, or a tagger is trained."""
    if way == "tagger":
        return way
    return "searched" if way in (*MINED, *LABELLED) else "drawn"


def task(way: str, model: WaveformModel, **options: object) -> training.Task:
    """How a way trains the model."""
    if way == "tagger":
        return training.Tagging(model, **options)
    options["among"] = "tracks"
    if way == "triplet":
        return training.MetricLearning(model, losses.TripletLoss(MARGIN, "euclidean"), **options)
    if way in ("+ track", "+ notions"):
        loss = losses.TrackRegularizedLoss(MARGIN, num_notions=1 if way == "+ track" else len(NOTIONS))
        return training.MetricLearning(model, loss, normalise=True, **options)
    if way in LABELLED:
        return training.MetricLearning(model, LABELLED[way](), **options)
    if way in MINED:
        options["sampling"] = way
    return training.MetricLearning(model, losses.TripletLoss(MARGIN, "cosine"), normalise=True, **options)


def learn(
    way: str, model: WaveformModel, triplets: int, seed: int, learning_rate: float, folder: Path | None = None
) -> training.Run:
    """Train on three crops for each triplet, or on as many without triplets."""
    options: dict = {"learning_rate": learning_rate}
    train = protocol.collection(max(protocol.SIZES))
    if way == "errors":
        options |= {"sampling": "errors"} | confused(seed)
    job = task(way, model, **options)
    if kind_of(way) != "drawn":
        batch = protocol.BATCH if way == "tagger" else BATCH["searched"]
        return protocol.fit(job, train, 3 * triplets, seed, batch_size=batch, folder=folder)
    job.num_triplets = triplets // protocol.JUDGED
    job.schedule = training.Schedule("one_cycle")
    return training.fit(
        job,
        train,
        protocol.validation(),
        epochs=protocol.JUDGED,
        batch_size=BATCH["drawn"],
        seed=seed,
        folder=folder,
        resume=folder is not None,
        progress=False,
    )


def tagger(seed: int, triplets: int = TRIPLETS) -> WaveformModel:
    """The CNN, trained to tell tags."""
    model = network("CNN", seed)
    learn("tagger", model, triplets, seed, LEARNING_RATES["CNN"]["tagger"])
    return model


def confused(seed: int) -> dict:
    """What a tagger says of the training clips, and thresholds at which each tag is as frequent as it is."""
    train = protocol.collection(max(protocol.SIZES))
    found = inference.predict(tagger(seed), train)
    often = np.maximum(train.labels.sum(0), 1)
    return {"scores": found, "threshold": -np.sort(-found, axis=0)[often - 1, np.arange(len(often))]}


def mfcc(dataset: MusicDataset) -> np.ndarray:
    """Mean and deviation of 20 MFCCs of each clip, each standardised over the clips."""
    frontend = MFCC()
    rows = []
    with torch.no_grad():
        for i in range(len(dataset)):
            coefficients = frontend(dataset.waveform(i)[None]).flatten(0, -2)
            rows.append(torch.cat([coefficients.mean(-1), coefficients.std(-1)]).numpy())
    rows = np.stack(rows)
    return (rows - rows.mean(0)) / rows.std(0)


def by_notion(embeddings: np.ndarray) -> list[dict]:
    """Recall by the tags of each notion, of the whole embedding and of each of its quarters."""
    part = protocol.gallery()
    quarters = np.split(embeddings, len(NOTIONS), axis=1)
    spaces = {"whole": embeddings} | dict(zip((f"{name} quarter" for name in NOTIONS), quarters, strict=True))
    rows = []
    for notion, members in NOTIONS.items():
        truth = protocol.oracle(part)[:, [part.tags.index(tag) for tag in members]]
        for space, values in spaces.items():
            recalls = [
                np.nanmean(protocol.neighbours(values[place::3], truth[place::3]))
                for place in range(3)
            ]  # fmt: skip
            rows.append({"space": space, "notion": notion, "recall@1": np.mean(recalls)})
    return rows


def run(encoder: str, way: str, triplets: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Train and score once; returns a row of the table, and rows of the table of notions."""
    part, started = protocol.gallery(), time.perf_counter()
    if way == "MFCC":
        return [protocol.retrieval_scores(mfcc(part)) | {"minutes": (time.perf_counter() - started) / 60}], []
    model, row = network(encoder, seed), {}
    if way == "tagger, triplets":
        model = tagger(seed)
    if way != "untrained":
        rate = LEARNING_RATES[encoder][kind_of(way)]
        rate = rate / 3 if way == "tagger, triplets" else rate
        fitted = learn(way, model, triplets, seed, rate)
        history = fitted.history
        row["best_epoch"] = f"{fitted.best_epoch + 1} of {len(history)}"
        row |= {
            f"last_{name}": history[name].iloc[-1] for name in ("hard", "semi_hard", "easy") if name in history
        }
    embeddings = training.embeddings(model, part)
    row |= protocol.retrieval_scores(embeddings) | {"minutes": (time.perf_counter() - started) / 60}
    row |= {"parameters": sum(p.numel() for p in model.parameters())}
    return [row], by_notion(embeddings) if encoder == "CNN" and way in (*STEPS, "untrained", "tagger") else []


def choose(encoder: str, kind: str, learning_rate: float, triplets: int) -> tuple[list[dict]]:
    """Recall@1 on the validation set, or a tagger's ROC-AUC, with one learning rate."""
    way = {"drawn": "+ normalisation", "searched": "semi-hard", "tagger": "tagger"}[kind]
    history = learn(way, network(encoder, 100), triplets, 100, learning_rate).history
    return ([{"valid": history["valid_roc_auc" if kind == "tagger" else "valid_recall@1"].max()}],)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences from the step before, or from ``+ normalisation``, at the dose that all have."""
    rows = []
    for encoder, ways in WAYS.items():
        found = table[(table["encoder"] == encoder) & table["triplets"].isin([0, TRIPLETS])]
        for way in ways:
            if way in AGAINST and way in set(found["way"]):
                row = {"encoder": encoder, "way": way, "against": AGAINST[way]}
                mean, low, high, seeds = protocol.difference(found, "way", way, AGAINST[way], "recall@1")
                verdict = protocol.verdict(low, high, protocol.SMALLEST["recall@1"])
                rows.append(row | {"recall@1": mean, "low": low, "high": high, "seeds": seeds, "verdict": verdict})
    return pd.DataFrame(rows)


def plan(seeds: int, encoders: tuple[str, ...]) -> list[dict]:
    """All runs, the most telling first."""
    found = []
    for encoder in encoders:
        for seed in range(1 if encoder == "MusiCNN" else seeds):
            for way in WAYS[encoder]:
                if way != "MFCC" or seed == 0:
                    triplets = 0 if way in ("untrained", "MFCC") else TRIPLETS
                    found.append({"encoder": encoder, "way": way, "triplets": triplets, "seed": seed})
    if "CNN" in encoders:
        for triplets in DOSES:
            for seed in range(1 if triplets > 50_000 else seeds):
                found += [{"encoder": "CNN", "way": way, "triplets": triplets, "seed": seed} for way in CURVES]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__, seeds=3)
    parser.add_argument("--encoders", nargs="+", default=tuple(WAYS), choices=tuple(WAYS))
    parser.add_argument("--choose", action="store_true", help="try learning rates on the validation set")
    options = parser.parse_args(arguments)
    protocol.compose()
    common = {"workers": options.workers, "fresh": options.fresh}
    if options.choose:
        tries = [
            {"encoder": encoder, "kind": kind, "learning_rate": rate}
            for encoder in options.encoders
            for kind in LEARNING_RATES[encoder]
            for rate in TRIED
        ]
        path = options.out / "retrieval_choice.csv"
        size = {"triplets": TRIPLETS // 2}
        (table,) = runs.collect(choose, tries, [path], tuple(tries[0]), size=size, **common)
        print(table.loc[table.groupby(["encoder", "kind"], sort=False)["valid"].idxmax()].to_string(index=False))
        return
    wanted = plan(options.seeds, tuple(options.encoders))
    paths = [options.out / f"retrieval{name}.csv" for name in ("", "_notions")]
    table, notions = runs.collect(run, wanted, paths, tuple(wanted[0]), **common)
    by = ["encoder", "way", "triplets"]
    scores = ("recall@1", "recall@8", "weak_recall@1", "everywhere@1")
    results = {"summary": protocol.curve(table, by, scores), "gains": gains(table)}
    if len(notions):
        mean = notions.groupby(["way", "triplets", "space", "notion"], sort=False)["recall@1"].mean()
        results["notions_summary"] = mean.unstack("notion").reset_index()
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"retrieval_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
