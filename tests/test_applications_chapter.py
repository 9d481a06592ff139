"""The chapters on applications and foundation models: code prints what they say; diagrams and numbers are true."""

import contextlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from mclass import inference, models

BOOK = Path(__file__).resolve().parents[1] / "book"
TEXT = (BOOK / "applications.md").read_text(encoding="utf-8")
FOUNDATION = (BOOK / "foundation_models.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture(scope="module")
def ran():
    """The chapter's code, run from beginning to end: its names, and (claimed, printed) lines of each piece."""
    names, lines = {}, []
    for code in CODE:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        claimed = [line[2:].split() for line in code.splitlines() if re.match(r"# ", line)]
        lines.append((claimed, [line.split() for line in printed.getvalue().splitlines()]))
    return names, lines


def test_the_code_prints_what_the_chapter_says(ran):
    _, lines = ran
    assert sum(len(claimed) for claimed, _ in lines) >= 15
    for claimed, printed in lines:
        assert claimed == printed


def test_kappas_are_those_of_scikit_learn(ran):
    names, _ = ran
    first, second, crowds = (names[one] for one in ("first", "second", "crowds"))
    for tag in range(0, 50, 7):
        a, b = first[:, tag], second[:, tag]
        assert names["kappa"](a, b) == pytest.approx(cohen_kappa_score(a, b))
        # Fleiss by counting pairs: the share of equal pairs, over all pairs of people and all clips
        answers = crowds[:4, :, tag]
        equal = np.mean([(answers[i] == answers[j]).mean() for i in range(4) for j in range(i)])
        chance = answers.mean() ** 2 + (1 - answers.mean()) ** 2
        assert names["fleiss"](answers) == pytest.approx((equal - chance) / (1 - chance))


def test_pooling_in_the_diagram_is_that_of_the_package(monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK))
    monkeypatch.delitem(sys.modules, "diagrams", raising=False)
    from diagrams import applications

    taggram = np.array(applications.CHUNKS)[:, None]
    for drawn, ours in (("mean", "mean"), ("maximum", "max"), ("share above 0.5", "majority")):
        value = applications.POOLS[drawn](applications.CHUNKS)
        assert value == pytest.approx(inference.aggregate(taggram, ours)[0])
    told = re.search(
        r"mean ([\d.]+), maximum ([\d.]+), share above one half ([\d.]+), linear softmax ([\d.]+)\.", TEXT
    )
    assert [float(one) for one in told.groups()] == pytest.approx(
        [pool(applications.CHUNKS) for pool in applications.POOLS.values()], abs=0.005
    )


def test_the_table_of_costs_is_what_was_measured():
    measured = models.measured().set_index("model")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) (s|min) \|$", TEXT, re.M)
    assert len(rows) == 7
    for name, parameters, speed, time, unit in rows:
        assert int(parameters.replace(",", "")) == measured.loc[name, "parameters"]
        assert int(speed.replace(",", "")) == measured.loc[name, "× real time"]
        seconds = float(time) * {"s": 1, "min": 60}[unit]
        assert seconds == pytest.approx(3600 / measured.loc[name, "× real time"], rel=0.15)


# What came after 2021


def test_zero_shot_prints_what_the_chapter_says():
    code = re.findall(r"^```python\n(.*?)^```", FOUNDATION, re.M | re.S)[-1]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    claimed = [line[2:].split() for line in code.splitlines() if line.startswith("# ")]
    assert claimed == [line.split() for line in printed.getvalue().splitlines()]


def test_the_probe_of_random_weights_is_what_was_measured():
    table = pd.read_csv(BOOK.parent / "experiments" / "results" / "transfer_summary.csv").set_index(
        ["part", "way", "labels"]
    )
    told = re.search(
        r"macro ROC-AUC of ([\d.]+) on Etude's tags with all labels, and ([\d.]+) on genres", FOUNDATION
    )
    row = table.loc[("probe", "random", "100 %")]
    assert [float(one) for one in told.groups()] == pytest.approx([row["all tags"], row["genre"]], abs=0.005)
