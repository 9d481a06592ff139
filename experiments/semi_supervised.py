"""Do recordings without labels help a tagger that has few? Nine ways to use them, four label budgets.

    python -m experiments.semi_supervised [--seeds 5] [--workers 2] [--fresh]
    python -m experiments.semi_supervised --choose       # how the strength of each way was chosen

The network is the 1D-CNN on log-mel spectrograms, because two cores train it in seconds. Labels are given to 1 %,
5 %, 24 % (the share of labelled clips in the Million Song Dataset) and 100 % of the training clips, as whole
tracks. The recordings without labels are a pool of other tracks by other artists, the same for all budgets.

* ``supervised``, and ``supervised, noise``, which hears its clips augmented: what labels alone give;
* ``pseudo-labels, hard`` and ``soft``: a new network learns the labels and what ``supervised`` says of the pool;
* ``noisy student 1``, ``2``, ``3``: it learns what a teacher says of the pool while it hears noise itself. The
  first teacher is ``supervised, noise``, the second is the first student, and so on;
* ``larger`` and ``noisy student, larger``: a network with twice the channels, with labels alone, and as a student
  of ``supervised, noise``;
* ``consistency``, ``mean teacher``, ``entropy``: a second loss on the pool, and no teacher trained beforehand;
* ``2D-CNN``, ``small`` and ``small, distilled``: a teacher of another kind, and a network of a sixteenth of its
  parameters without and with its help. These learn from the labelled clips alone.

Protocol: split by artist, Adam, the same number of steps for all. A seed fixes the split, the labelled tracks, the
crops and the first weights, so differences of a seed are paired. The strength of each way was chosen once, at 5 %,
on the validation part of a seed that is not used again (``--choose``). The best epoch is chosen on the validation
part, which is fully labelled, as nobody with few labels has it: all scores are a bit rosy, and equally so. The
test part is scored once.

Writes in ``experiments/results``:

* ``semi_supervised.csv``: every run. What is in it is not repeated, so a killed experiment goes on.
* ``semi_supervised_summary.csv``: mean ROC-AUC per way and budget, with Student's 95 % interval over seeds.
* ``semi_supervised_gains.csv``: mean paired differences between what learned with the pool (or a teacher) and what
  it is fair to compare it with.
* ``semi_supervised_choice.csv``: validation scores of the strengths tried.
"""

from __future__ import annotations

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
CROPS = mclass.scale(smoke=32, cpu=640, gpu=8000)  # labelled ones in an epoch, however many clips have labels
LEARNING_RATE = 0.003
# Of the second loss; that of "mean teacher" and "consistency" is a squared difference of probabilities, and small.
WEIGHTS = {"pseudo-labels": 2.0, "noisy student": 0.25, "consistency": 1.0, "mean teacher": 1.0, "entropy": 0.01}
TRIED = {
    "pseudo-labels": (0.5, 1.0, 2.0, 4.0),
    "noisy student": (0.25, 0.5, 1.0, 2.0),
    "consistency": (1.0, 3.0, 10.0, 30.0),
    "mean teacher": (1.0, 3.0, 10.0, 30.0),
    "entropy": (0.01, 0.03, 0.1, 0.3),
}
CHOICE = {"seed": 100, "budget": 0.05}
# What learned with more than labels, and what it is compared with.
AGAINST = {
    "supervised, noise": "supervised",
    "pseudo-labels, hard": "supervised",
    "pseudo-labels, soft": "supervised",
    "noisy student 1": "supervised, noise",
    "noisy student 2": "noisy student 1",
    "noisy student 3": "noisy student 2",
    "noisy student, larger": "larger",
    "consistency": "supervised, noise",
    "mean teacher": "supervised, noise",
    "entropy": "supervised",
    "small, distilled": "small",
}


def network(seed: int, num_tags: int, name: str = "cnn_1d", **options) -> WaveformModel:
    """A network with the first weights of a seed."""
    torch.manual_seed(seed)
    return models.create(name, num_tags=num_tags, **({"channels": 64} | options))


class Trainer:
    """Trains one way after another on the same labelled clips, and scores each on the test part."""

    def __init__(self, etude: MusicDataset, pool: MusicDataset, seed: int, budget: float, epochs: int):
        train, self.valid, self.test = etude.splits(by="artist", seed=seed)
        self.labelled, _ = label_budget(train, budget, seed=seed)
        self.pool, self.seed, self.epochs, self.num_tags = pool, seed, epochs, len(etude.tags)
        self.noise = augmentations.gtzan_supervised(etude.sample_rate)
        self.rows: list[dict] = []

    def network(self, **options) -> WaveformModel:
        return network(self.seed, self.num_tags, **options)

    def fit(self, task: training.Tagging) -> training.Run:
        """The same number of steps for every task."""
        task.learning_rate = LEARNING_RATE
        return training.fit(
            task, visited(self.labelled, CROPS), self.valid, epochs=self.epochs, seed=self.seed, progress=False
        )

    def train(self, way: str, task: training.Tagging) -> WaveformModel:
        """Train, score, and return what was judged."""
        found = self.fit(task)
        scores = inference.predict(task.judged, self.test)
        self.rows.append(
            {
                "way": way,
                "roc_auc": metrics.roc_auc(self.test.labels, scores),
                "pr_auc": metrics.pr_auc(self.test.labels, scores),
                "oracle_roc_auc": metrics.roc_auc(self.test.parent.oracle[self.test.indices], scores),
                "valid_roc_auc": found.history["valid_roc_auc"].max(),
                "best_epoch": found.best_epoch,
                "labelled_clips": len(self.labelled),
                "unseen_tags": int((self.labelled.labels.sum(0) == 0).sum()),
                "parameters": sum(p.numel() for p in task.judged.parameters()),
            }
        )
        return task.judged

    def task(self, way: str, weight: float, model: WaveformModel, teacher: WaveformModel | None = None):
        """The task of a way that uses the pool, by the first words of its name."""
        if way.startswith("pseudo-labels"):
            kind = "hard" if way.endswith("hard") else "soft"
            return training.NoisyStudent(model, teacher, self.pool, kind=kind, weight=weight)
        if way.startswith("noisy student"):
            return training.NoisyStudent(model, teacher, self.pool, augment=self.noise, weight=weight)
        if way == "entropy":
            return training.EntropyMinimisation(model, self.pool, weight=weight, ramp_up=1)
        kind = {"consistency": training.Consistency, "mean teacher": training.MeanTeacher}[way]
        return kind(model, self.pool, augment=self.noise, weight=weight, ramp_up=1)


def run(budget: float, seed: int, epochs: int, num_tracks: int | None, pool_tracks: int) -> tuple[list[dict]]:
    """Train and score every way once, with one set of labelled clips."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    one = Trainer(etude, etude.unlabelled(pool_tracks), seed, budget, epochs)
    supervised = one.train("supervised", training.Tagging(one.network()))
    noisy = one.train("supervised, noise", training.Tagging(one.network(), augment=one.noise))
    for kind in ("hard", "soft"):
        way = f"pseudo-labels, {kind}"
        one.train(way, one.task(way, WEIGHTS["pseudo-labels"], one.network(), supervised))
    teacher = noisy
    for iteration in (1, 2, 3):
        way = f"noisy student {iteration}"
        teacher = one.train(way, one.task(way, WEIGHTS["noisy student"], one.network(), teacher))
    one.train("larger", training.Tagging(one.network(channels=128), augment=one.noise))
    way = "noisy student, larger"
    one.train(way, one.task(way, WEIGHTS["noisy student"], one.network(channels=128), noisy))
    for way in ("consistency", "mean teacher", "entropy"):
        one.train(way, one.task(way, WEIGHTS[way], one.network()))
    teacher = one.train("2D-CNN", training.Tagging(one.network(name="cnn_2d", channels=(16, 32, 64, 64))))
    one.train("small", training.Tagging(one.network(channels=8)))
    one.train("small, distilled", training.Distillation(one.network(channels=8), teacher))
    return (one.rows,)


def choose(way: str, weight: float, epochs: int, num_tracks: int | None, pool_tracks: int) -> tuple[list[dict]]:
    """The validation score of a way with one strength, on a seed that is not used again."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    one = Trainer(etude, etude.unlabelled(pool_tracks), epochs=epochs, **CHOICE)
    teacher = None
    if way in ("pseudo-labels", "noisy student"):
        task = training.Tagging(one.network(), augment=one.noise if way == "noisy student" else None)
        one.fit(task)
        teacher = task.judged
    found = one.fit(one.task(way, weight, one.network(), teacher))
    return ([{"valid_roc_auc": found.history["valid_roc_auc"].max()}],)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per way, one column per budget."""
    rows = []
    for way in table["way"].unique():
        found = table[table["way"] == way]
        cells = {percent(b): runs.interval(found[found["budget"] == b]["roc_auc"]) for b in BUDGETS}
        rows.append({"way": way} | cells | {"seeds": found.groupby("budget")["seed"].nunique().min()})
    return pd.DataFrame(rows)


def gains(table: pd.DataFrame, score: str = "roc_auc") -> pd.DataFrame:
    """Differences to what is compared with, seed by seed: one row per way, one column per budget."""
    rows = []
    for way, other in AGAINST.items():
        row = {"way": way, "against": other}
        for budget in BUDGETS:
            values = runs.gain(table[table["budget"] == budget], "way", way, other, score)
            row[percent(budget)] = runs.interval(values, "{:+.3f}")
        rows.append(row)
    return pd.DataFrame(rows)


def percent(budget: float) -> str:
    return f"{100 * budget:.0f} %"


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=5, gpu=60))
    parser.add_argument("--pool-tracks", type=int, default=mclass.scale(smoke=12, cpu=240, gpu=10_000))
    parser.add_argument("--choose", action="store_true", help="try the strengths of each way on a validation part")
    options = parser.parse_args(arguments)
    etude = mclass.datasets.load("etude", num_tracks=options.num_tracks)
    etude.unlabelled(options.pool_tracks)  # rendered before the workers ask for it
    size = {name: getattr(options, name) for name in ("epochs", "num_tracks", "pool_tracks")}
    common = {"size": size, "workers": options.workers, "fresh": options.fresh}
    if options.choose:
        plan = [{"way": way, "weight": weight} for way, weights in TRIED.items() for weight in weights]
        (table,) = runs.collect(
            choose, plan, [options.out / "semi_supervised_choice.csv"], tuple(plan[0]), **common
        )
        print(table.loc[table.groupby("way", sort=False)["valid_roc_auc"].idxmax()].to_string(index=False))
        return
    plan = [{"budget": budget, "seed": seed} for seed in range(options.seeds) for budget in BUDGETS]
    (table,) = runs.collect(run, plan, [options.out / "semi_supervised.csv"], tuple(plan[0]), **common)
    for name, result in (("summary", summary(table)), ("gains", gains(table))):
        runs.write(result, options.out / f"semi_supervised_{name}.csv")
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
