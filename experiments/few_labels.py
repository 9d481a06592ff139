"""Few labels and a large pool without any: what does each way of using the pool add?

    python -m experiments.few_labels [--seeds 3] [--workers 2]
    python -m experiments.few_labels --choose      # how the weight of each way was chosen

Labels are given to 1, 5, 24 and 100 % of 960 tracks; the pool is 4,000 tracks by other artists (protocol:
`experiments.protocol`). Every way is the 1D-CNN with 64 channels, trained on 10,000 labelled crops with one cycle
of the learning rate, and on as many crops of the pool if it uses that:

* ``labels``: the labels alone; ``labels, augmented``: with `mclass.augmentations.gtzan_supervised`;
* ``soft pseudo-labels``, ``hard pseudo-labels``: from the network of ``labels``, without augmentation;
* ``noisy student 1`` … ``3``: pseudo-labels of the network before it (first: ``labels, augmented``); the teacher
  hears a crop as it is, the student hears it augmented;
* ``noisy student, larger``: 128 channels, taught by ``labels, augmented``; ``labels, larger``: its rival;
* ``consistency``, ``mean teacher``, ``entropy``: what the network itself says of the pool. The labelled crops are
  augmented, too;
* ``small``, ``small, distilled``: a network with 8 channels, alone and taught by ``labels, augmented``.

What was fixed before the test set was looked at: all of this. The weight of each way is the best of three on the
validation set, at 5 % of the labels with a seed that is not used again.

Writes in ``experiments/results``: ``few_labels.csv``, every run (what is in it is not repeated);
``few_labels_summary.csv``; ``few_labels_gains.csv``, differences paired by seed with 95 % intervals over seeds and
test artists; ``few_labels_choice.csv``.
"""

from __future__ import annotations

import time

import pandas as pd

import mclass
from experiments import protocol, runs
from mclass import augmentations, training
from mclass.models import WaveformModel

CROPS = mclass.scale(smoke=32, cpu=10_000, gpu=300_000)
WEIGHTS = {"pseudo-labels": 1.0, "noisy student": 1.0, "consistency": 1.0, "mean teacher": 1.0, "entropy": 0.1}
TRIED = {
    "pseudo-labels": (0.3, 1.0, 3.0),
    "noisy student": (0.3, 1.0, 3.0),
    "consistency": (1.0, 10.0, 100.0),
    "mean teacher": (1.0, 10.0, 100.0),
    "entropy": (0.01, 0.1, 1.0),
}
CHOICE = {"seed": 100, "budget": protocol.BUDGETS[min(1, len(protocol.BUDGETS) - 1)]}
AGAINST = {  # what each way is compared with
    "labels, augmented": ("labels",),
    "soft pseudo-labels": ("labels",),
    "hard pseudo-labels": ("labels", "soft pseudo-labels"),
    "noisy student 1": ("labels", "labels, augmented"),
    "noisy student 2": ("noisy student 1",),
    "noisy student 3": ("noisy student 1", "labels, augmented"),
    "noisy student, larger": ("labels, larger",),
    "consistency": ("labels, augmented",),
    "mean teacher": ("labels, augmented",),
    "entropy": ("labels, augmented",),
    "small, distilled": ("small",),
}


class Learner:
    """Trains one way after another on the same labelled clips, and scores each on the test set."""

    def __init__(self, budget: float, seed: int, crops: int = CROPS):
        self.labelled, self.pool = protocol.labelled(budget, seed), protocol.pool()
        self.seed, self.crops = seed, crops
        self.noise = augmentations.gtzan_supervised(self.pool.sample_rate)
        self.rows: list[dict] = []

    def network(self, **options: int) -> WaveformModel:
        return protocol.network(self.seed, **options)

    def fit(self, task: training.Tagging) -> training.Run:
        task.learning_rate = protocol.LEARNING_RATE
        return protocol.fit(task, self.labelled, self.crops, self.seed)

    def learn(self, way: str, task: training.Tagging) -> WaveformModel:
        """Train, score, and return what was judged."""
        started = time.perf_counter()
        fitted = self.fit(task)
        self.rows.append(
            {
                "way": way,
                "clips": len(self.labelled),
                "unseen_tags": int((self.labelled.labels.sum(0) == 0).sum()),
                "valid_roc_auc": fitted.history["valid_roc_auc"].max(),
                "minutes": (time.perf_counter() - started) / 60,
            }
            | protocol.judge(task.judged)
        )
        return task.judged

    def plain(self, **options: int) -> training.Tagging:
        """The labels alone."""
        return training.Tagging(self.network(**options))

    def augmented(self, **options: int) -> training.Tagging:
        return training.Tagging(self.network(**options), augment=self.noise)

    def with_pool(
        self, way: str, weight: float, teacher: WaveformModel | None = None, **options: int
    ) -> training.SemiSupervised:
        """The task of a way that uses the pool."""
        model = self.network(**options)
        if "pseudo-labels" in way:
            kind = "hard" if way.startswith("hard") else "soft"
            return training.NoisyStudent(model, teacher, self.pool, kind=kind, weight=weight)
        if way.startswith("noisy student"):
            return training.NoisyStudent(model, teacher, self.pool, augment=self.noise, weight=weight)
        kind = {
            "consistency": training.Consistency,
            "mean teacher": training.MeanTeacher,
            "entropy": training.EntropyMinimisation,
        }[way]
        return kind(model, self.pool, augment=self.noise, weight=weight, ramp_up=1)


def run(budget: float, seed: int) -> tuple[list[dict]]:
    """Train and score every way once, with one set of labelled clips."""
    one = Learner(budget, seed)
    labels = one.learn("labels", one.plain())
    augmented = one.learn("labels, augmented", one.augmented())
    for way in ("soft pseudo-labels", "hard pseudo-labels"):
        one.learn(way, one.with_pool(way, WEIGHTS["pseudo-labels"], labels))
    teacher = augmented
    for way in ("noisy student 1", "noisy student 2", "noisy student 3"):
        teacher = one.learn(way, one.with_pool(way, WEIGHTS["noisy student"], teacher))
    one.learn("labels, larger", one.augmented(channels=128))
    way = "noisy student, larger"
    one.learn(way, one.with_pool(way, WEIGHTS["noisy student"], augmented, channels=128))
    for way in ("consistency", "mean teacher", "entropy"):
        one.learn(way, one.with_pool(way, WEIGHTS[way]))
    one.learn("small", one.plain(channels=8))
    one.learn("small, distilled", training.Distillation(one.network(channels=8), augmented))
    return (one.rows,)


def choose(way: str, weight: float, crops: int) -> tuple[list[dict]]:
    """The validation score of a way with one weight."""
    one = Learner(**CHOICE, crops=crops)
    teacher = None
    if way in ("pseudo-labels", "noisy student"):
        first = one.augmented() if way == "noisy student" else one.plain()
        one.fit(first)
        teacher = first.judged
    fitted = one.fit(one.with_pool(way, weight, teacher))
    return ([{"valid_roc_auc": fitted.history["valid_roc_auc"].max()}],)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences between each way and what it is compared with, at each budget."""
    rows = []
    for way, others in AGAINST.items():
        for other in others:
            for budget, found in table.groupby("budget"):
                row = {"way": way, "against": other, "budget": budget}
                rows.append(row | protocol.compared(found, "way", way, other))
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__, seeds=3)
    parser.add_argument("--budgets", type=float, nargs="+", default=protocol.BUDGETS)
    parser.add_argument("--choose", action="store_true", help="try the weight of each way on the validation set")
    options = parser.parse_args(arguments)
    protocol.compose()
    common = {"workers": options.workers, "fresh": options.fresh}
    if options.choose:
        plan = [{"way": way, "weight": weight} for way, weights in TRIED.items() for weight in weights]
        path = options.out / "few_labels_choice.csv"
        (table,) = runs.collect(choose, plan, [path], tuple(plan[0]), size={"crops": CROPS // 4}, **common)
        print(table.loc[table.groupby("way", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    plan = [{"budget": budget, "seed": seed} for seed in range(options.seeds) for budget in options.budgets]
    (table,) = runs.collect(run, plan, [options.out / "few_labels.csv"], tuple(plan[0]), **common)
    results = {"summary": protocol.curve(table, ["way", "budget"]), "gains": gains(table)}
    for name, result in results.items():
        runs.write(result.round(5), options.out / f"few_labels_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
