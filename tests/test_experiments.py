"""What the experiments share, and that the stored tables follow from the stored runs."""

import itertools
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments import (
    augmentation,
    clmr,
    findings,
    metric_learning,
    networks,
    optimizers,
    precision,
    relatives,
    representations,
    runs,
    semi_supervised,
    shallow,
    supervised,
    transfer,
)

SUMMARIES = [
    ("augmentation", "augmentation_summary", augmentation.summary),
    ("augmentation", "augmentation_tags", lambda table: augmentation.by_tag(table).round(4)),
    ("clmr", "clmr_summary", clmr.summary),
    ("clmr", "clmr_ablation", clmr.ablation),
    ("metric_learning", "metric_learning_summary", metric_learning.summary),
    ("metric_learning", "metric_learning_steps", metric_learning.steps),
    ("metric_learning_notions", "metric_learning_notions_summary", metric_learning.notions_summary),
    ("networks", "networks_summary", networks.summary),
    ("optimizers", "optimizers_summary", optimizers.summary),
    ("precision", "precision_summary", precision.summary),
    ("relatives", "relatives_summary", relatives.summary),
    ("representations", "representations_summary", representations.summary),
    ("representations_mismatch", "representations_mismatch_summary", representations.mismatch_summary),
    ("semi_supervised", "semi_supervised_summary", semi_supervised.summary),
    ("semi_supervised", "semi_supervised_gains", semi_supervised.gains),
    ("shallow", "shallow_summary", shallow.summary),
    ("supervised", "supervised_summary", supervised.summary),
    ("transfer", "transfer_summary", transfer.summary),
]


def double(number: int, seed: int, scale: int) -> tuple[list[dict], list[dict]]:
    """A run of a hundredth of a second; odd numbers have nothing for the second table."""
    return [{"value": number * scale + seed}], [{"part": part} for part in "ab" if number % 2 == 0]


@pytest.fixture
def plan():
    return [{"number": number, "seed": seed} for seed in (0, 1) for number in (2, 1)]


def collect(plan, tmp_path, run=double, **options):
    paths = [tmp_path / "new" / "runs.csv", tmp_path / "new" / "parts.csv"]
    return runs.collect(run, plan, paths, ("number", "seed"), size={"scale": 10}, workers=1, **options)


def test_tables_are_in_the_order_of_the_plan_and_say_what_made_them(plan, tmp_path):
    table, parts = collect(plan, tmp_path)
    assert table["value"].tolist() == [20, 10, 21, 11]
    assert parts[["number", "seed", "part"]].to_numpy().tolist() == [
        [2, 0, "a"],
        [2, 0, "b"],
        [2, 1, "a"],
        [2, 1, "b"],
    ]
    assert (table["scale"] == 10).all()
    assert table["made_with"].str.contains(r"torch \S+ symusic \S+").all()
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_stored_is_not_repeated(plan, tmp_path):
    collect(plan[:2], tmp_path)
    path = tmp_path / "new" / "runs.csv"
    path.write_text(path.read_text().replace("20", "77"))
    table, parts = collect(plan, tmp_path)
    assert table["value"].tolist() == [77, 10, 21, 11]
    assert len(parts) == 4
    assert collect(plan, tmp_path, fresh=True)[0]["value"].tolist() == [20, 10, 21, 11]


def test_a_failed_run_costs_nothing_that_is_done(plan, tmp_path):
    def fails(number, seed, scale):
        if seed == 1:
            raise RuntimeError("killed")
        return double(number, seed, scale)

    with pytest.raises(RuntimeError, match="killed"):
        collect(plan, tmp_path, fails)
    assert len(pd.read_csv(tmp_path / "new" / "runs.csv")) == 2
    assert len(collect(plan, tmp_path)[0]) == 4


def test_runs_of_another_size_are_not_mixed(plan, tmp_path):
    collect(plan, tmp_path)
    paths = [tmp_path / "new" / "runs.csv", tmp_path / "new" / "parts.csv"]
    with pytest.raises(SystemExit, match=r"other scale than 20: \[10\].*--fresh"):
        runs.collect(double, plan, paths, ("number", "seed"), size={"scale": 20})


def test_intervals_are_student_s():
    values = np.random.default_rng(0).normal(0.01, 0.02, 8)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(runs.paired(values), (values.mean(), expected.low, expected.high))
    np.testing.assert_allclose(runs.paired([*values, np.nan]), runs.paired(values))
    assert runs.interval([0.5]) == "0.500"


def test_gains_are_between_runs_of_one_seed():
    table = pd.DataFrame(
        [("a", 0, 0.9), ("b", 0, 0.7), ("b", 1, 0.5), ("a", 1, 0.4), ("a", 2, 0.8)],
        columns=["way", "seed", "score"],
    )
    np.testing.assert_allclose(runs.gain(table, "way", "a", "b", "score"), [0.2, -0.1])
    assert len(runs.gain(table, "way", "a", "c", "score")) == 0


@pytest.mark.parametrize(("source", "stored", "summarise"), SUMMARIES, ids=[stored for _, stored, _ in SUMMARIES])
def test_stored_tables_follow_from_the_stored_runs(source, stored, summarise, tmp_path):
    if not (runs.RESULTS / f"{stored}.csv").exists():
        pytest.skip(f"{stored}.csv has not been measured: run the experiment's command")
    runs.write(summarise(pd.read_csv(runs.RESULTS / f"{source}.csv")), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (runs.RESULTS / f"{stored}.csv").read_text()


@pytest.fixture
def stored_findings():
    path = runs.RESULTS / "findings.csv"
    if not path.exists():
        pytest.skip("findings.csv waits for the experiments it reads: python -m experiments.findings")
    return path


def test_the_findings_follow_from_the_stored_runs(stored_findings, tmp_path):
    runs.write(findings.check(runs.RESULTS), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == stored_findings.read_text()


def test_there_is_no_verdict_on_fewer_than_five_seeds(stored_findings):
    table = pd.read_csv(stored_findings)
    assert ((table["seeds"] < 5) == (table["here"] == "open")).all()
    assert (table["seeds"] >= 3).all()


def test_an_interaction_is_the_difference_of_two_gains():
    scores = {
        ("Linear", "+ track"): 0.30, ("Linear", "+ notions"): 0.31,
        ("CNN", "+ track"): 0.40, ("CNN", "+ notions"): 0.44,
        ("MusiCNN", "+ track"): 0.40, ("MusiCNN", "+ notions"): 0.46,
    }  # fmt: skip
    rows = [(*key, seed, score + seed / 10) for (key, score), seed in itertools.product(scores.items(), (0, 1))]
    table = pd.DataFrame(rows, columns=["encoder", "way", "seed", "recall@1"])
    np.testing.assert_allclose(findings.interaction(lambda _: table), [0.04, 0.04])


@pytest.mark.parametrize("module", [optimizers, semi_supervised])
def test_choices_are_the_best_of_what_was_tried_on_a_validation_part(module):
    table = pd.read_csv(runs.RESULTS / f"{module.__name__.split('.')[1]}_choice.csv")
    key, value = ("optimizer", "learning_rate") if module is optimizers else ("way", "weight")
    best = table.loc[table.groupby(key)["valid_roc_auc"].idxmax()].set_index(key)[value]
    assert best.to_dict() == (module.LEARNING_RATES if module is optimizers else module.WEIGHTS)


def test_the_commit_is_named_in_a_clone():
    clone = subprocess.run(["git", "rev-parse", "HEAD"], cwd=runs.RESULTS, capture_output=True, text=True)
    if clone.returncode:
        pytest.skip("this is not a clone")
    assert f"commit {clone.stdout[:10]}" in runs.made_with()


@pytest.mark.parametrize("name", sorted({name for name, *_ in SUMMARIES} | {"optimizers_choice"}))
def test_stored_runs_name_a_commit(name):
    table = pd.read_csv(runs.RESULTS / f"{name}.csv")
    assert table["made_with"].str.contains(r"commit [0-9a-f]{10}").all()
