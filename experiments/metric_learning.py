"""What helps an embedding to find music that is alike? Twelve ways to train one, samplings, distances, notions.

    python -m experiments.metric_learning [--seeds 5] [--workers 2] [--fresh]

**Ablation.** Three encoders (a linear map of the log-mel, a narrow 2D-CNN, a narrow Musicnn) × four ways to train,
each of which adds something to the one before it:

* ``triplet``: triplets by random tags; Euclidean distance of embeddings as they are;
* ``+ normalisation``: embeddings of length 1, cosine distance;
* ``+ track``: track regularisation, L = L_T + λ L_R; the positive of L_R is another clip of the anchor's track;
* ``+ notions``: disentanglement, L = L_D + λ L_R; the tag of a triplet decides the quarter of the embedding.

**Sampling**, with the CNN and ``+ normalisation``: random tags against easy, semi-hard and hard triplets of a
batch, and triplets of what a tagger confuses (its false negatives as positives, its false positives as negatives).
**Distance**, with the CNN: cosine, Euclidean with and without normalisation. **References**: each encoder
untrained; the CNN trained as a tagger, of which the embedding is taken.

Protocol. The collection is Etude composed from seed 1: the protocol was settled on that of seed 0, whose test part
had been looked at by then. Split by artist, Adam at 1e-3, margin 0.4 and λ = 0.5
everywhere, batches of 16 drawn triplets or of 48 clips that are searched for triplets, the same number of steps
for all. A seed fixes the split, the triplets, the crops and the first weights. The best epoch is the one with the
highest recall@1 among other tracks on the validation part (of the tagger: the highest ROC-AUC); the test part is
scored once. Every test clip is a query; the others are ranked by cosine. Three recalls:

* ``recall@K``: as the homework defines it, all other clips are candidates, those of the query's own track too;
* ``other@K``: one clip of each track, so that recognising the recording does not help; the mean over first clips,
  second clips, and so on;
* ``oracle@K``: the same, of the tags that were composed, where the weak labels leave most of them out.

Writes in ``experiments/results``:

* ``metric_learning.csv``: every run. One that is in it is not repeated, so a killed experiment goes on.
* ``metric_learning_notions.csv``: of the runs with the CNN, recall by the tags of each notion, of the whole
  embedding and of each quarter of it.
* ``metric_learning_summary.csv``, ``metric_learning_steps.csv`` and ``metric_learning_notions_summary.csv``: means
  and differences from the step before, with Student's 95 % intervals over seeds. Many intervals are looked at
  together: one that just misses zero says little.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from torch import nn

import mclass
from experiments import runs
from experiments.runs import interval
from mclass import inference, losses, metrics, models, training
from mclass.datasets import MusicDataset
from mclass.models.fast import accelerate
from mclass.models.layers.blocks import ConvBlock1d
from mclass.models.musicnn import HEIGHTS, LENGTHS, Horizontal, Vertical
from mclass.tags import NOTIONS

KS = (1, 2, 4, 8)
DIM, MARGIN = 128, 0.4
ETUDE = 1  # the seed of the collection; see Protocol
ENCODERS = ("Linear", "CNN", "MusiCNN")
STEPS = ("triplet", "+ normalisation", "+ track", "+ notions")
MINED = ("semi-hard", "hard", "easy")
REFERENCE = "+ normalisation"  # what samplings and distances are compared with
# Everything that is trained: encoder -> ways.
PLAN = {
    "Linear": ("untrained", *STEPS),
    "CNN": ("untrained", *STEPS, "classification", "errors", *MINED, "Euclidean, normalised"),
    "MusiCNN": ("untrained", *STEPS),
}


def network(name: str, num_tags: int) -> models.WaveformModel:
    """An embedding model that a CPU can train: 75,000 to 110,000 parameters."""
    if name == "Linear":
        return models.create("linear_embedding", num_tags=num_tags, dim=DIM)
    if name == "CNN":
        model = models.create("cnn_embedding", num_tags=num_tags, dim=DIM)
        model.backbone = models.create("cnn_2d", num_tags=1, channels=(8, 16, 32, 64))
        model.backbone.head = nn.Identity()
        return model
    model = models.create("musicnn_embedding", num_tags=num_tags, dim=DIM)
    vertical, horizontal, width = 12, 4, 24  # 204, 51 and 64 in the original
    found = len(HEIGHTS) * vertical + len(LENGTHS) * horizontal
    musicnn = model.backbone
    musicnn.vertical = nn.ModuleList(Vertical(vertical, height) for height in HEIGHTS)
    musicnn.horizontal = nn.ModuleList(Horizontal(horizontal, length) for length in LENGTHS)
    musicnn.backend = nn.ModuleList(
        ConvBlock1d(channels, width, pool=1, kernel=7, padding=3) for channels in (found, width, width)
    )
    musicnn.dense[0] = nn.Linear(2 * (found + 3 * width), 200)
    return accelerate(model)


def task(way: str, model: models.WaveformModel, num_triplets: int, scores: dict) -> training.Task:
    """How `way` trains the model."""
    if way == "classification":
        return training.Tagging(model, schedule="constant")
    loss, options = losses.TripletLoss(MARGIN, "cosine"), {"normalise": True}
    if way == "triplet":
        loss, options = losses.TripletLoss(MARGIN, "euclidean"), {"normalise": False}
    elif way == "Euclidean, normalised":
        loss = losses.TripletLoss(MARGIN, "euclidean")
    elif way in ("+ track", "+ notions"):
        loss = losses.TrackRegularizedLoss(MARGIN, num_notions=1 if way == "+ track" else len(NOTIONS))
    elif way in MINED:
        options["sampling"] = way
    elif way == "errors":
        options |= {"sampling": "errors", **scores}
    return training.MetricLearning(
        model, loss, num_triplets=num_triplets, among="tracks", schedule="constant", **options
    )


def error_scores(name: str, train: MusicDataset, valid: MusicDataset, seed: int, epochs: int) -> dict:
    """What a tagger says of the training clips, and thresholds at which each tag is as frequent as it is."""
    torch.manual_seed(seed)
    tagger = training.Tagging(network(name, len(train.tags)), schedule="constant")
    training.fit(tagger, train, valid, epochs=epochs, batch_size=48, seed=seed, progress=False)
    scores = inference.predict(tagger.model, train)
    often = np.maximum(train.labels.sum(0), 1)
    return {"scores": scores, "threshold": -np.sort(-scores, axis=0)[often - 1, np.arange(len(often))]}


def recall(embeddings: np.ndarray, labels: np.ndarray, distance: str = "cosine") -> dict[int, float]:
    """Multi-label recall at K; by Euclidean distance, too, which `mclass.metrics` does not rank by.

    >>> embeddings, labels = np.eye(9, 4, dtype=np.float32) + 0.1, np.eye(9, dtype=int)
    >>> recall(embeddings, labels, "euclidean") == {1: 0.0, 2: 0.0, 4: 0.0, 8: 0.0}
    True
    """
    queries = labels.any(axis=1)
    if not queries.any():
        return dict.fromkeys(KS, np.nan)
    if distance == "cosine":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", metrics.UndefinedQueriesWarning)
            return metrics.multilabel_recall_at_k(embeddings, labels, KS)
    points = torch.from_numpy(embeddings).double()
    nearest = torch.cdist(points, points).fill_diagonal_(np.inf).argsort(dim=1, stable=True).numpy()
    found = {k: (labels[nearest[:, :k]].any(axis=1) & (labels > 0)).sum(1)[queries] for k in KS}
    return {k: float((hits / labels.sum(1)[queries]).mean()) for k, hits in found.items()}


def among_other_tracks(
    embeddings: np.ndarray, labels: np.ndarray, tracks: np.ndarray, distance: str = "cosine"
) -> dict[int, float]:
    """`recall` where every track has one clip; the mean over first clips, second clips, and so on."""
    place = pd.Series(tracks).groupby(tracks).cumcount().to_numpy()
    parts = [recall(embeddings[place == i], labels[place == i], distance) for i in range(place.max() + 1)]
    return pd.DataFrame(parts).mean().to_dict()  # without parts that no clip has a tag in


def evaluate(embeddings: np.ndarray, test: MusicDataset, distance: str = "cosine") -> dict[str, float]:
    """The three recalls of the test part."""
    everywhere = recall(embeddings, test.labels, distance)
    others = among_other_tracks(embeddings, test.labels, test.track_ids, distance)
    oracle = among_other_tracks(embeddings, test.parent.oracle[test.indices], test.track_ids, distance)
    columns = {"recall": everywhere, "other": others, "oracle": oracle}
    return {f"{name}@{k}": values[k] for name, values in columns.items() for k in KS}


def by_notion(embeddings: np.ndarray, test: MusicDataset) -> list[dict]:
    """Recall by the tags of each notion, of the whole embedding and of each of its quarters."""
    quarters = np.split(embeddings, len(NOTIONS), axis=1)
    spaces = {"whole": embeddings, **{f"quarter {i + 1}": part for i, part in enumerate(quarters)}}
    rows = []
    for notion, members in NOTIONS.items():
        labels = test.labels[:, [test.tags.index(tag) for tag in members]]
        for space, part in spaces.items():
            others = among_other_tracks(part, labels, test.track_ids)
            rows.append({"space": space, "notion": notion, **{f"other@{k}": others[k] for k in KS}})
    return rows


def run(
    encoder: str, way: str, seed: int, epochs: int, num_triplets: int, num_tracks: int | None
) -> tuple[list[dict], list[dict]]:
    """Train and score once; returns a row of the table, and rows of the table of notions."""
    etude = mclass.datasets.load("etude", seed=ETUDE, num_tracks=num_tracks)
    train, valid, test = etude.splits(by="artist", seed=seed)
    row = {}
    scores = error_scores(encoder, train, valid, seed, epochs) if way == "errors" else {}
    torch.manual_seed(seed)
    model = network(encoder, len(etude.tags))
    if way != "untrained":
        job = task(way, model, num_triplets, scores)
        batch_size = 16 if getattr(job, "sampling", None) in ("tags", "errors") else 48
        fitted = training.fit(job, train, valid, epochs=epochs, batch_size=batch_size, seed=seed, progress=False)
        row["best_epoch"] = fitted.best_epoch
        shares = [column for column in ("hard", "semi_hard", "easy") if column in fitted.history]
        row |= {f"last_{column}": fitted.history[column].iloc[-1] for column in shares}
    embeddings = training.embeddings(model, test)
    row |= evaluate(embeddings, test)
    if way == "triplet":  # the distance that it was trained with
        row |= {f"euclidean_{column}": value for column, value in evaluate(embeddings, test, "euclidean").items()}
    row |= {"parameters": sum(p.numel() for p in model.parameters()), "clips": len(etude)}
    return [row], by_notion(embeddings, test) if encoder == "CNN" and way in (*STEPS, "untrained") else []


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each encoder and way."""
    rows = []
    for name, ways in PLAN.items():
        for way in ways:
            found = table[(table.encoder == name) & (table.way == way)]
            if len(found):
                scores = {f"R@{k}": interval(found[f"recall@{k}"]) for k in KS}
                others = {f"{column} R@1": interval(found[f"{column}@1"]) for column in ("other", "oracle")}
                rows.append({"encoder": name, "way": way, **scores, **others, "seeds": len(found)})
    return pd.DataFrame(rows)


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Differences, seed by seed, from the step before (ablation), or from `REFERENCE` (all else)."""
    rows = []
    for name, ways in PLAN.items():
        for way in ways[1:]:
            place = STEPS.index(way) if way in STEPS else None
            before = ways[0] if place == 0 else REFERENCE if place is None else STEPS[place - 1]
            row = {"encoder": name, "way": way, "against": before}
            for column, title in (("recall@1", "Δ R@1"), ("other@1", "Δ other R@1"), ("oracle@1", "Δ oracle R@1")):
                scores = table[table.encoder == name].pivot(index="seed", columns="way", values=column)
                if not {way, before} <= set(scores.columns):
                    continue
                gain = (scores[way] - scores[before]).dropna()
                row[title] = interval(gain, "{:+.3f}")
                row["seeds"] = len(gain)
            if "seeds" in row:
                rows.append(row)
    return pd.DataFrame(rows)


def notions_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Recall@1 by the tags of each notion (columns), in the whole embedding and in each quarter (rows)."""
    rows = []
    for (way, space), part in table.groupby(["way", "space"], sort=False):
        scores = {notion: interval(part[part.notion == notion]["other@1"]) for notion in NOTIONS}
        rows.append({"way": way, "space": space, **scores, "seeds": part.seed.nunique()})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=6, gpu=60))
    parser.add_argument("--num-triplets", type=int, default=mclass.scale(smoke=32, cpu=336, gpu=10_000))
    parser.add_argument("--encoders", nargs="+", default=ENCODERS, choices=ENCODERS)
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", seed=ETUDE, num_tracks=options.num_tracks)  # rendered before workers ask for it

    plan = [
        {"encoder": name, "way": way, "seed": seed}
        for seed in range(options.seeds)
        for name in options.encoders
        for way in PLAN[name]
    ]
    plan.sort(key=lambda one: (one["seed"] // 3, one["encoder"] == "MusiCNN"))  # a killed run has the cheaper ones
    tables = runs.collect(
        run,
        plan,
        [options.out / f"metric_learning{name}.csv" for name in ("", "_notions")],
        ("encoder", "way", "seed"),
        size={name: getattr(options, name) for name in ("epochs", "num_triplets", "num_tracks")},
        workers=options.workers,
        fresh=options.fresh,
    )
    results = {"summary": summary(tables[0]), "steps": steps(tables[0])}
    if len(tables[1]):
        results["notions_summary"] = notions_summary(tables[1])
    for name, result in results.items():
        runs.write(result, options.out / f"metric_learning_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
