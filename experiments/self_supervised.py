"""Learning without labels, over dose: CLMR, MoCo, CPC and PASE on a pool of 4,000 tracks, probed and fine-tuned.

    python -m experiments.self_supervised [--seeds 3] [--workers 2] [--only clmr moco …]
    python -m experiments.self_supervised --long       # half a million pairs, one seed for each method
    python -m experiments.self_supervised --views      # what the views of CLMR are made of
    python -m experiments.self_supervised --choose     # how the learning rates were chosen

Protocol: `experiments.protocol`. The encoder is the 1D-CNN with 64 channels; it learns from 3,000 to 500,000 pairs
(of CPC and PASE: crops) in batches of 96, with one cycle of the learning rate, and never sees a label of the pool.
Then labels are given to 1, 5, 24 and 100 % of 960 other tracks:

* ``linear``: a logistic regression on the frozen embedding, its strength chosen on the validation set;
* ``fine-tuned``: all weights learn on, from 10,000 augmented crops, with a third of the learning rate of a network
  that starts from scratch. Its rivals, the same network with the labels alone, are in `experiments.few_labels`.

``random`` is the encoder as it was initialised.

Views (30,000 pairs): crops alone, crops and one transform of the chain, two views of one crop, no projector; and
CLMR with the encoder of its paper, a narrow SampleCNN, against its own random weights.

What was fixed before the test set was looked at: all of this. Each method got four tries for its learning rate,
with 20,000 pairs and the probe's score on the validation set at 24 % of the labels. (A first round with 6,000
pairs was given up: MoCo, CPC and PASE were best at the lowest rate, 0.0003, which means that so short a run had
taught them nothing yet.)

Writes in ``experiments/results``: ``self_supervised.csv``, every run (what is in it is not repeated);
``self_supervised_summary.csv``; ``self_supervised_gains.csv``, differences to random weights, paired by seed, with
95 % intervals over seeds and test artists; ``self_supervised_choice.csv``. Encoders stay in
``runs/self_supervised``.
"""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import torch

import mclass
from experiments import protocol, runs
from experiments.networks import create as narrow
from mclass import augmentations, models, training
from mclass.models import WaveformModel

METHODS = ("clmr", "moco", "cpc", "pase")
LEARNING_RATES = {"clmr": 0.003, "moco": 0.003, "cpc": 0.003, "pase": 0.003}
TRIED = (0.0003, 0.001, 0.003, 0.01)
BATCH = mclass.scale(smoke=8, cpu=96, gpu=96)
QUEUE = mclass.scale(smoke=16, cpu=960, gpu=960)  # keys of MoCo: those of ten batches
DOSES = mclass.scale(smoke=(24,), cpu=(3000, 10_000, 30_000, 100_000), gpu=(10_000, 100_000, 1_000_000))
LONG = mclass.scale(smoke=32, cpu=500_000, gpu=10_000_000)
VIEWED = mclass.scale(smoke=24, cpu=30_000, gpu=1_000_000)
CHOICE_PAIRS = mclass.scale(smoke=24, cpu=20_000, gpu=20_000)
CHOICE_BUDGET = mclass.scale(smoke=1.0, cpu=0.24, gpu=0.24)
FINE_TUNED = mclass.scale(smoke=24, cpu=100_000, gpu=1_000_000)  # dose of the encoders that learn on
FINE_TUNING_CROPS = mclass.scale(smoke=32, cpu=10_000, gpu=300_000)
FAMILIES = ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")  # of the chain
VIEWS = (
    "crops alone",
    *(f"crops + {family}" for family in ("noise", "filter", "delay", "pitch", "reverb")),
    "one crop",
    "no projector",
)
SAMPLE_CNN = "SampleCNN"


def encoder(seed: int, views: str) -> WaveformModel:
    """An untrained encoder with the first weights of a seed."""
    if views == SAMPLE_CNN:
        torch.manual_seed(seed)
        return narrow("SampleCNN", protocol.NUM_TAGS)
    return protocol.network(seed)


def options_of(views: str, sample_rate: int) -> dict:
    """Options of `mclass.training.Contrastive` for a row of the ablation."""
    if views == "crops alone":
        return {"augment": None}
    if views.startswith("crops + "):
        only = views.removeprefix("crops + ")
        return {"augment": augmentations.clmr(sample_rate, probabilities={f: float(f == only) for f in FAMILIES})}
    return {"one crop": {"same_crop": True}, "no projector": {"projection_dim": None}}.get(views, {})


def learning(
    method: str, model: WaveformModel, views: str = "chain", learning_rate: float | None = None
) -> training.SelfSupervised:
    """The task of a method."""
    options = {"learning_rate": LEARNING_RATES[method] if learning_rate is None else learning_rate}
    if method == "clmr":
        return training.Contrastive(model, temperature=0.1, **options, **options_of(views, model.sample_rate))
    if method == "moco":
        return training.MoCo(model, queue_size=QUEUE, temperature=0.1, **options)
    if method == "cpc":
        return training.CPC(model, steps=4, **options)
    return training.PASE(model, **options)


def probes(model: WaveformModel, seed: int, budgets: tuple[float, ...] = protocol.BUDGETS) -> list[dict]:
    """Scores of a linear probe on a frozen encoder, for each label budget."""
    train, valid, test = (
        (training.embeddings(model, part), part)
        for part in (protocol.collection(protocol.LABELLED), protocol.validation(), protocol.test())
    )
    rows = []
    for budget in budgets:
        labelled = protocol.labelled(budget, seed)
        probe = training.probe_embeddings((train[0][labelled.indices], labelled), valid, test, seed=seed)
        about = {"learner": "linear", "budget": budget, "clips": len(labelled)}
        valid_roc_auc = probe.valid_scores["roc_auc"].max()
        rows.append(about | {"valid_roc_auc": valid_roc_auc} | protocol.scores(probe.probabilities))
    return rows


def fine_tuned(model: WaveformModel, seed: int) -> list[dict]:
    """Scores of an encoder that learns on with each budget's labels."""
    rows, first = [], {name: value.clone() for name, value in model.state_dict().items()}
    for budget in protocol.BUDGETS:
        model.load_state_dict(first)
        torch.manual_seed(seed)
        tagger = models.with_new_head(model, protocol.NUM_TAGS)
        noise = augmentations.gtzan_supervised(model.sample_rate)
        task = training.Tagging(tagger, augment=noise, learning_rate=protocol.LEARNING_RATE / 3)
        labelled = protocol.labelled(budget, seed)
        fitted = protocol.fit(task, labelled, FINE_TUNING_CROPS, seed)
        about = {"learner": "fine-tuned", "budget": budget, "clips": len(labelled)}
        valid_roc_auc = fitted.history["valid_roc_auc"].max()
        rows.append(about | {"valid_roc_auc": valid_roc_auc} | protocol.judge(task.model))
    return rows


def folder_of(method: str, views: str, pairs: int, seed: int) -> Path:
    """Where a run is kept, to be gone on with."""
    return Path("runs") / "self_supervised" / f"{method}-{views.replace(' ', '')}-{pairs}-{seed}"


def run(method: str, views: str, pairs: int, seed: int) -> tuple[list[dict]]:
    """Train once without labels and score with them; a row for each learner and budget."""
    model, about, started = encoder(seed, views), {}, time.perf_counter()
    if method != "random":
        task = learning(method, model, views)
        folder = folder_of(method, views, pairs, seed)
        fitted = protocol.fit(task, protocol.pool(), pairs, seed, batch_size=BATCH, folder=folder)
        best = fitted.history.loc[fitted.history["valid_loss"].idxmin()]
        about = {name: best[name] for name in ("valid_loss", "valid_accuracy")}
    about["minutes"] = (time.perf_counter() - started) / 60
    rows = probes(model, seed)
    if views == "chain" and method == "clmr" and pairs == FINE_TUNED:
        rows += fine_tuned(model, seed)
    return ([row | about for row in rows],)


def choose(method: str, learning_rate: float, pairs: int) -> tuple[list[dict]]:
    """The probe's validation score of a method with one learning rate."""
    task = learning(method, encoder(100, "chain"), learning_rate=learning_rate)
    protocol.fit(task, protocol.pool(), pairs, 100, batch_size=BATCH)
    return ([{"valid_roc_auc": probes(task.model, 100, (CHOICE_BUDGET,))[0]["valid_roc_auc"]}],)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences between the linear probes of a trained and of its random encoder."""
    rows, probed = [], table[table["learner"] == "linear"]
    for (method, views, pairs, budget), _ in probed.groupby(["method", "views", "pairs", "budget"], sort=False):
        if method == "random":
            continue
        start = SAMPLE_CNN if views == SAMPLE_CNN else "chain"
        same = probed[
            (probed["budget"] == budget)
            & (
                ((probed["method"] == method) & (probed["views"] == views) & (probed["pairs"] == pairs))
                | ((probed["method"] == "random") & (probed["views"] == start))
            )
        ]
        row = {"method": method, "views": views, "pairs": pairs, "budget": budget}
        rows.append(row | protocol.compared(same, "method", method, "random"))
    return pd.DataFrame(rows)


def plan(seeds: int, long: bool, views: bool) -> list[dict]:
    """All runs, the most telling first."""
    found = [{"method": "random", "views": "chain", "pairs": 0, "seed": seed} for seed in range(seeds)]
    for pairs in sorted(DOSES, reverse=True):
        found += [{"method": "clmr", "views": "chain", "pairs": pairs, "seed": seed} for seed in range(seeds)]
    for method in METHODS[1:]:
        found += [{"method": method, "views": "chain", "pairs": pairs, "seed": 0} for pairs in DOSES]
    if views:
        for seed in range(seeds):
            found += [{"method": "clmr", "views": name, "pairs": VIEWED, "seed": seed} for name in VIEWS]
        found.append({"method": "random", "views": SAMPLE_CNN, "pairs": 0, "seed": 0})
        found.append({"method": "clmr", "views": SAMPLE_CNN, "pairs": VIEWED, "seed": 0})
    if long:
        found += [{"method": method, "views": "chain", "pairs": LONG, "seed": 0} for method in METHODS]
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__, seeds=3)
    parser.add_argument("--only", nargs="+", metavar="METHOD", choices=("random", *METHODS), help="those alone")
    parser.add_argument("--long", action="store_true", help="the largest dose, too")
    parser.add_argument("--views", action="store_true", help="the ablation of views, too")
    parser.add_argument("--choose", action="store_true", help="try learning rates on the validation set")
    options = parser.parse_args(arguments)
    protocol.compose()
    common = {"workers": options.workers, "fresh": options.fresh}
    if options.choose:
        tries = [{"method": method, "learning_rate": rate} for method in options.only or METHODS for rate in TRIED]
        path = options.out / "self_supervised_choice.csv"
        (table,) = runs.collect(choose, tries, [path], tuple(tries[0]), size={"pairs": CHOICE_PAIRS}, **common)
        print(table.loc[table.groupby("method", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    wanted = plan(options.seeds, options.long, options.views)
    wanted = [one for one in wanted if not options.only or one["method"] in options.only]
    path = options.out / "self_supervised.csv"
    (table,) = runs.collect(run, wanted, [path], tuple(wanted[0]), **common)
    by = ["method", "views", "learner", "pairs", "budget"]
    results = {"summary": protocol.curve(table, by), "gains": gains(table)}
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"self_supervised_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
