"""What is a network worth that learned something else? Pretexts probed by notion, and how much to train again.

    python -m experiments.pretexts [--seeds 3] [--workers 2]

Protocol: `experiments.protocol`. The 1D-CNN with 64 channels learns a *pretext* from 30,000 crops of the 4,000
tracks of the pool:

* ``artists``: who made it, one class per artist;
* ``artist groups``: which of forty groups of artists with similar mean MFCCs;
* ``listeners``: sixteen factors of what simulated listeners play (`mclass.datasets.unlabelled.listeners`);
* ``random``: nothing, for comparison; ``tags``: the pool's tags, which nobody would have, as an upper bound.

**Probe.** A logistic regression on the frozen embedding learns the tags of 5, 24 and 100 % of 960 other tracks.
Scores are means over all tags, and over those of two notions: genre and instrument.

**Fine-tuning.** The network of the ``artists`` gets a new last layer and learns the tags of 5 and 24 % from 10,000
augmented crops: ``from scratch`` (first weights instead), ``frozen`` (the last layer alone), ``partial`` (the
upper block and the last layer), ``full``, and ``full, layer-wise``: learning rates that halve with each block
downwards.

What was fixed before the test set was looked at: all of this; the learning rate is that of the 1D-CNN with labels,
a third of it for weights that have learned before.

Writes in ``experiments/results``: ``pretexts.csv``, every run (what is in it is not repeated);
``pretexts_summary.csv``; ``pretexts_gains.csv``, differences to nothing learned before, paired by seed, with 95 %
intervals over seeds and test artists.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from experiments.retrieval import mfcc
from mclass import augmentations, inference, metrics, models, training
from mclass.datasets.unlabelled.listeners import simulate_plays
from mclass.datasets.unlabelled.pretexts import by_artist, by_artist_cluster, by_listeners, split_tracks
from mclass.models import WaveformModel
from mclass.vocabulary import NOTIONS

PRETEXTS = ("random", "artists", "artist groups", "listeners", "tags")
WAYS = ("from scratch", "frozen", "partial", "full", "full, layer-wise")
CROPS = mclass.scale(smoke=64, cpu=30_000, gpu=1_000_000)
FINE_TUNING_CROPS = mclass.scale(smoke=32, cpu=10_000, gpu=300_000)
GROUPS = mclass.scale(smoke=2, cpu=40, gpu=40)
BUDGETS = protocol.BUDGETS[1:]
FINE_TUNED = BUDGETS[:2]
FIRST = {"probe": "random", "fine-tuning": "from scratch"}


@lru_cache(1)
def means_of_pool() -> np.ndarray:
    """Mean and deviation of the MFCCs of each clip of the pool."""
    return mfcc(protocol.pool())


def pretrained(pretext: str, seed: int) -> WaveformModel:
    """A network that learned the pretext from the pool."""
    model, pool = protocol.network(seed), protocol.pool()
    if pretext == "random":
        return model
    relabelled = {
        "artists": lambda: by_artist(pool),
        "artist groups": lambda: by_artist_cluster(pool, means_of_pool(), GROUPS, seed),
        "listeners": lambda: by_listeners(pool, simulate_plays(pool, seed=seed), seed=seed),
        "tags": lambda: pool,
    }[pretext]()
    train, valid = split_tracks(relabelled, seed=seed)
    torch.manual_seed(seed)
    model = models.create("cnn_1d", num_tags=len(relabelled.tags), channels=64)
    options = {"learning_rate": protocol.LEARNING_RATE}
    if pretext == "listeners":
        task = training.Regression(model, **options)
    else:
        task = training.Tagging(model, multilabel=relabelled.multilabel, **options)
    protocol.fit(task, train, CROPS, seed, valid=valid)
    return model


def fine_tuned(way: str, encoder: WaveformModel, budget: float, seed: int) -> WaveformModel:
    """The tagger that a way makes of an encoder."""
    model, rate = protocol.network(seed), protocol.LEARNING_RATE
    if way != "from scratch":
        torch.manual_seed(seed)
        model, rate = models.with_new_head(encoder, protocol.NUM_TAGS), rate / 3
    if way in ("frozen", "partial"):
        models.freeze(model, **({} if way == "frozen" else {"until": "blocks.1"}))
        rate = protocol.LEARNING_RATE if way == "frozen" else rate
    noise = augmentations.gtzan_supervised(model.sample_rate)
    decay = 0.5 if way == "full, layer-wise" else 1.0
    task = training.Tagging(model, augment=noise, learning_rate=rate, layer_decay=decay)
    protocol.fit(task, protocol.labelled(budget, seed), FINE_TUNING_CROPS, seed)
    return model


def scores(probabilities: np.ndarray) -> dict[str, float | str]:
    """Those of the protocol, and the mean ROC-AUC over the tags of two notions."""
    test = protocol.test()
    each = metrics.tagwise(protocol.oracle(test), probabilities, test.tags).set_index("tag")["roc_auc"]
    notions = {name: each[list(NOTIONS[name])].mean() for name in ("genre", "instrument")}
    return protocol.scores(probabilities) | notions


def run(seed: int) -> tuple[list[dict]]:
    """Learn every pretext, probe it, fine-tune that of the artists; rows of the table."""
    rows, encoders = [], {}
    known = [protocol.collection(protocol.LABELLED), protocol.validation(), protocol.test()]
    for pretext in PRETEXTS:
        encoders[pretext] = pretrained(pretext, seed)
        train, valid, test = ((training.embeddings(encoders[pretext], part), part) for part in known)
        for budget in BUDGETS:
            few = protocol.labelled(budget, seed)
            probe = training.probe_embeddings((train[0][few.indices], few), valid, test, seed=seed)
            row = {"part": "probe", "way": pretext, "budget": budget, "clips": len(few)}
            rows.append(row | scores(probe.probabilities))
    for way in WAYS:
        for budget in FINE_TUNED:
            model = fine_tuned(way, encoders["artists"], budget, seed)
            row = {"part": "fine-tuning", "way": way, "budget": budget}
            row["clips"] = len(protocol.labelled(budget, seed))
            rows.append(row | scores(inference.predict(model, protocol.test())))
    return (rows,)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences of each way to nothing learned before."""
    rows = []
    for (part, way, budget), _ in table.groupby(["part", "way", "budget"], sort=False):
        if way == FIRST[part]:
            continue
        found = table[(table["part"] == part) & (table["budget"] == budget)]
        row = {"part": part, "way": way, "budget": budget}
        scores = ("roc_auc", "pr_auc", "genre", "instrument")
        rows.append(row | protocol.compared(found, "way", way, FIRST[part], scores))
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    options = runs.arguments(__doc__, seeds=3).parse_args(arguments)
    protocol.compose()
    plan = [{"seed": seed} for seed in range(options.seeds)]
    path = options.out / "pretexts.csv"
    (table,) = runs.collect(run, plan, [path], ("seed",), workers=options.workers, fresh=options.fresh)
    by = ["part", "way", "budget"]
    results = {
        "summary": protocol.curve(table, by, ("roc_auc", "pr_auc", "genre", "instrument")),
        "gains": gains(table),
    }
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"pretexts_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
