"""Do CLMR's relatives learn more than random weights know? MoCo, CPC and PASE on Etude, probed.

    python -m experiments.relatives [--seeds 5] [--workers 2] [--fresh]    # half an hour on two cores

The protocol is that of `experiments.clmr`: its network (the 1D-CNN on log-mel spectrograms with 64 channels), its
splits, four label budgets, first weights and number of epochs, frozen encoders, and a linear probe and one with a
hidden layer on their embeddings. So scores of a seed can be compared between the two experiments.

* ``random``: as it was initialised;
* ``moco``: a queue of 512 keys, a copy that follows with 0.99, the chain of CLMR;
* ``cpc``: four moments ahead, among all moments of the batch; no augmentation;
* ``pase``: all six workers; no augmentation.

Nothing was tuned: batches of 48 and a learning rate of 0.003 are those of `experiments.clmr`, everything else is
that of the recipes (``configs/07_*.yaml``). The validation part chooses the epoch (by the loss without labels) and
the strength of a probe's regularisation; the test part is scored once.

Writes in ``experiments/results``:

* ``relatives.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``relatives_summary.csv``: means, and mean paired differences to ``random`` with the same probe, with Student's
  95 % intervals over seeds.
"""

from __future__ import annotations

import pandas as pd

import mclass
from experiments import runs
from experiments.clmr import BUDGETS, PRETRAINING, probes, untrained
from mclass import training
from mclass.models import WaveformModel

TASKS = {
    "moco": lambda model, **options: training.MoCo(
        model, queue_size=mclass.scale(smoke=16, cpu=512, gpu=512), temperature=0.1, **options
    ),
    "cpc": lambda model, **options: training.CPC(model, steps=4, **options),
    "pase": lambda model, **options: training.PASE(model, **options),
}
ENCODERS = ("random", *TASKS)


def run(encoder: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict]]:
    """Train once without labels and probe; rows of the table."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    parts, found = etude.splits(by="artist", seed=seed), {}
    model: WaveformModel = untrained(len(etude.tags), seed)
    if encoder != "random":
        task = TASKS[encoder](model, learning_rate=PRETRAINING["learning_rate"])
        batch_size = mclass.scale(smoke=8, cpu=PRETRAINING["batch_size"], gpu=PRETRAINING["batch_size"])
        options = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "progress": False}
        history = training.fit(task, *parts[:2], **options).history
        best = history["valid_loss"].idxmin()
        found = {"best_epoch": best} | {key: history[key][best] for key in ("valid_loss", "valid_accuracy")}
    return ([row | found for row in probes(model, parts, seed, ("linear", "mlp"))],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each encoder and probe, one column per budget; below each, the differences to random weights."""
    rows = []
    for (learner, encoder), found in table.groupby(["learner", "encoder"], sort=False):
        row = {"probe": {"mlp": "hidden layer"}.get(learner, learner), "encoder": encoder}
        gains = {}
        for budget in BUDGETS:
            at, name = found[found["budget"] == budget], f"{100 * budget:.0f} %"
            row[name] = runs.interval(at["roc_auc"])
            same = table[(table["budget"] == budget) & (table["learner"] == learner)]
            gains[name] = runs.interval(runs.gain(same, "encoder", encoder, "random", "roc_auc"), "{:+.3f}")
        seeds = {"seeds": found["seed"].nunique()}
        rows.append(row | seeds)
        if encoder != "random":
            rows.append(row | {"encoder": f"{encoder} − random"} | gains | seeds)
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=30, gpu=300))
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    (table,) = runs.collect(
        run,
        [{"encoder": encoder, "seed": seed} for seed in range(options.seeds) for encoder in ENCODERS],
        [options.out / "relatives.csv"],
        ("encoder", "seed"),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    result = summary(table)
    runs.write(result, options.out / "relatives_summary.csv")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
