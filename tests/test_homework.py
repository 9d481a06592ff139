"""The homework: masters that are whole, student versions that give nothing away, tests that catch mistakes."""

import copy
import importlib.util
import json
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from classroom import cell, notebook, write

from mclass.datasets.etude.notes import FAMILIES, PITCHES, PROGRAMS, Notes
from mclass_grading import release
from mclass_grading.held_out import VARIABLE
from mclass_grading.notebooks import ANSWER, Homework, NotebookError, cells_of, load

ROOT = Path(__file__).resolve().parents[1]
MASTERS = {path.stem: path for path in sorted((ROOT / "homework").glob("*.ipynb"))}
GRADED = ("hw1", "hw2", "hw3")


def script(name):
    """Import book/<name>.py, which is no package."""
    spec = importlib.util.spec_from_file_location(f"book_{name}", ROOT / "book" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


address, clean = script("address"), script("clean")


def prose(name):
    return "\n".join(
        "".join(one["source"]) for one in load(MASTERS[name])["cells"] if one["cell_type"] == "markdown"
    )


# ---- masters


def test_there_are_three_and_a_template():
    assert set(MASTERS) == {*GRADED, "project"}


@pytest.mark.parametrize("name", MASTERS)
def test_a_master_is_stored_clean_and_starts_with_the_setup_cell(name):
    text = MASTERS[name].read_text(encoding="utf-8")
    assert clean.cleaned(text) == text, f"run `python book/clean.py homework/{name}.ipynb`"
    first = json.loads(text)["cells"][0]
    assert "".join(first["source"]) == address.setup_cell(), "run `python book/address.py`"


@pytest.mark.parametrize("name", GRADED)
def test_the_points_in_the_text_are_those_of_the_tests_and_make_100(name):
    homework, text = Homework.read(MASTERS[name]), prose(name)
    table = {
        f"q{number}": int(points) for number, points in re.findall(r"^\| (\d) \| .+? \| (\d+) \|", text, re.M)
    }
    points = homework.questions | {one.question: one.points for one in homework.manual}
    assert table == points
    assert sum(points.values()) == 100
    titles = re.findall(r"^## Question (\d): .*\((\d+) points", text, re.M)
    assert {f"q{number}": int(points) for number, points in titles} == points
    for words in ("After this homework you can", "**Time:**", "How it is graded"):
        assert words in text
    by_hand = re.search(r"^## Question \d: [^#]*\Z", text, re.M)[0]
    assert sum(map(int, re.findall(r"\((\d) points", by_hand))) == 10, "the rubric of the last question"


@pytest.mark.parametrize("name", GRADED)
def test_every_question_that_is_run_has_hints_that_unfold(name):
    parts = re.split(r"^## Question ", prose(name), flags=re.M)[1:]
    for part in parts[:-1]:
        assert part.count("<details><summary>Hint") == part.count("</details>") >= 1, part[:60]


@pytest.mark.parametrize("name", GRADED)
def test_the_scale_that_is_declared_is_the_one_that_is_used(name):
    declared = []
    for steps, points in re.findall(
        r"^\| [^|]+ \|((?: -?[\d.]+ \|)+)\n\|[-:|]+\n\| points \|(.+)\|$", prose(name), re.M
    ):
        declared.append(
            {float(a): float(b) for a, b in zip(steps.split("|")[:-1], points.split("|"), strict=True)}
        )
    used = []
    for one in Homework.read(MASTERS[name]).tests:
        if "held_out.points(" in one.source:
            scale = eval(re.search(r"scale = mclass\.scale\((.*?)\n\)", one.source, re.S)[1].join(("dict(", ")")))
            assert scale["cpu"] == scale["gpu"]
            assert max(scale["cpu"].values()) == max(scale["smoke"].values()) == one.points
            used.append(scale["cpu"])
    assert declared == used
    assert declared


# ---- what students get


@pytest.mark.parametrize("name", GRADED)
def test_students_get_a_notebook_that_is_whole(name, tmp_path):
    homework = Homework.read(MASTERS[name])
    content = load(release.release(homework, tmp_path))
    cells = cells_of(content, tmp_path)
    assert [one.grade_id for one in cells] == [one.grade_id for one in homework.cells]
    assert content["metadata"]["mclass"] == {"homework": name, "version": homework.version}
    for raw, one in zip(content["cells"], cells, strict=True):
        assert not raw.get("outputs")
        assert "mclass" not in raw["metadata"]
        if one.locked:
            assert raw["metadata"]["editable"] is False
        if one.kind == "code":
            compile(one.source, "cell", "exec")
        if one.solution:
            assert "NotImplementedError" in one.source or one.source == ANSWER
        if one.is_test:
            assert "assert" in one.source
            assert "held_out" not in one.source
    assert "".join(content["cells"][0]["source"]) == address.setup_cell()


def small(tmp_path, *more):
    cells = [
        cell(
            "def f(x):\n    ### BEGIN SOLUTION\n    return x + 12345678\n    ### END SOLUTION", "q1", solution=True
        ),
        cell(
            "assert f(0)\n### BEGIN HIDDEN TESTS\nassert f(1) == 12345679\n### END HIDDEN TESTS",
            "q1-tests",
            grade=True,
            locked=True,
            points=1,
        ),
        *more,
    ]
    return Homework.read(write(tmp_path / "hw.ipynb", notebook(cells)))


def test_what_is_missing_or_given_away_is_found(tmp_path):
    homework = small(tmp_path)
    good = release.student_version(homework)
    release.check(homework, good)
    faults = {
        "0 times": lambda one: one["cells"].pop(),
        "2 times": lambda one: one["cells"].append(one["cells"][-1]),
        "is left": lambda one: one["cells"][0].update(source="### END SOLUTION"),
        "a line of q1 ": lambda one: one["cells"][0].update(source="x = 1\n  return x + 12345678"),
        "a line of q1-tests": lambda one: one["cells"][1].update(source="assert f(1) == 12345679"),
    }
    for message, break_it in faults.items():
        bad = copy.deepcopy(good)
        break_it(bad)
        with pytest.raises(NotebookError, match=message):
            release.check(homework, bad)


def test_the_proof_can_fail(tmp_path):
    weak = [cell("assert True", "q2-tests", grade=True, locked=True, points=2)]
    homework = small(tmp_path, *weak)
    with pytest.raises(NotebookError, match="the blank version gets 2 of 2 points in q2-tests"):
        release.prove(homework, release.release(homework, tmp_path / "out"))
    homework = small(tmp_path, cell("assert f(0) == 0", "q2-tests", grade=True, locked=True, points=2))
    with pytest.raises(NotebookError, match="the solved version gets 0 of 2 points in q2-tests"):
        release.prove(homework, release.release(homework, tmp_path / "out"))


def test_the_command_says_what_it_did(tmp_path, capsys):
    small(tmp_path)
    write(tmp_path / "project.ipynb", notebook([cell("1")]))
    write(tmp_path / "bad.ipynb", notebook([cell("assert 1", "q1", grade=True, locked=True, points=0)]))
    names = [str(tmp_path / name) for name in ("hw.ipynb", "project.ipynb")]
    assert release.main([*names, "--out", str(tmp_path / "out"), "--prove"]) == 0
    said = capsys.readouterr().out
    assert "hw.ipynb: 1 questions, 1 points, 1 tests; solution 1, blank version 0" in said
    assert (tmp_path / "out" / "project.ipynb").exists()
    assert release.main([str(tmp_path / "bad.ipynb"), "--out", str(tmp_path / "out")]) == 1
    assert "NOT released" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="submissions run on POSIX")
@pytest.mark.parametrize("name", GRADED)
def test_the_solution_gets_all_points_and_the_blank_version_none(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_PROFILE", "smoke")
    homework = Homework.read(MASTERS[name])
    solved = release.prove(homework, release.release(homework, tmp_path))
    assert sum(solved.points.values()) == 90


# ---- mistakes that students make: (homework, solution, test, what is right, what is wrong)


MISTAKES = [
    ("hw1", "q1-solution", "q1-tests", " * np.hanning(n_fft)", ""),
    ("hw1", "q1-solution", "q1-tests", "[::hop_length]", "[:: n_fft // 2]"),
    ("hw1", "q1-solution", "q1-tests", "1 / sample_rate", "1 / 16000"),
    ("hw1", "q1-solution", "q1-tests", "magnitude.sum(axis=1)", "(magnitude**2).sum(axis=1)"),
    ("hw1", "q1-solution", "q1-corners", "out=np.zeros(len(total)), where=total > 0", ""),
    ("hw1", "q1-solution", "q1-corners", "[::hop_length]", "[:-1:hop_length]"),
    ("hw1", "q2-solution", "q2-tests", "frames.std(axis=1)", "frames.std(axis=1, ddof=1)"),
    ("hw1", "q2-solution", "q2-tests", "steps.std(axis=1) if", "np.abs(steps).mean(axis=1) if"),
    ("hw1", "q2-solution", "q2-tests", "steps.std(axis=1) if", "steps.std(axis=1) if True or"),
    ("hw1", "q3-solution", "q3-tests", "(part - mean)", "(part - part.mean(axis=0))"),
    ("hw1", "q3-solution", "q3-tests", "np.where(deviation > 0, deviation, 1)", "deviation + 1e-3"),
    ("hw1", "q3-solution", "q3-tests", "np.where(deviation > 0, deviation, 1)", "np.maximum(deviation, 1)"),
    ("hw1", "q4-solution", "q4-drawn", "default_rng(seed)", "default_rng(0)"),
    ("hw1", "q4-solution", "q4-drawn", "default_rng(seed)", "default_rng()"),
    ("hw1", "q4-solution", "q4-tests", "max(round(share * len(members)), 1)", "max(int(share * len(members)), 1)"),
    ("hw1", "q4-solution", "q4-tests", "len(members) - 1", "len(members)"),
    ("hw2", "q1-solution", "q1-parameters", "padding=1", "padding=1, bias=False"),
    ("hw2", "q1-solution", "q1-shapes", "(4, 4)", "(2, 2)"),
    ("hw2", "q1-solution", "q1-numbers", "nn.ReLU()", "nn.ELU()"),
    ("hw2", "q1-solution", "q1-numbers", "(2, 5)", "(2, 4)"),
    ("hw2", "q1-solution", "q1-numbers", "self.layers(spectrogram)", "self.layers(spectrogram).sigmoid()"),
    ("hw2", "q3-solution", "q3-tests", "/ np.linalg.norm(embeddings, axis=1, keepdims=True)", ""),
    ("hw2", "q3-solution", "q3-tests", "labels.sum(axis=1)[queries]", "k"),
    ("hw2", "q3-solution", "q3-tests", "nearest[:, :k]", "nearest[:, k - 1 : k]"),
    ("hw2", "q3-solution", "q3-corners", "-np.inf", "0"),
    ("hw2", "q3-solution", "q3-corners", "np.argsort(-similarity, axis=1)",
     "np.argsort(-(unit @ unit.T), axis=1, kind='stable')[:, 1:]"),
    ("hw2", "q3-solution", "q3-corners", "queries = labels.any(axis=1)", "queries = labels.any(axis=1) | True"),
    ("hw2", "q3-solution", "q3-corners", "raise ValueError(\"no query has tags\")", "return dict.fromkeys(ks, 0)"),
    ("hw3", "q1-solution", "q1-nested", "tracks[:count]", "tracks[:0]"),
    ("hw1", "q1-solution", "q1-corners", "weighted, total", "total, total"),
    ("hw3", "q1-solution", "q1-nested", "default_rng(seed)", "default_rng([seed, int(100 * share)])"),
    ("hw3", "q1-solution", "q1-tests", "round(share * len(tracks))", "int(share * len(tracks))"),
    ("hw3", "q1-solution", "q1-tests",
     "np.isin(track_ids, tracks[:count])", "np.arange(len(track_ids)) < 3 * count"),
    ("hw3", "q2-solution", "q2-tests", "certain.sum().clamp(min=1)", "certain.numel()"),
    ("hw3", "q2-solution", "q2-corners", ".clamp(min=1)", ""),
    ("hw3", "q2-solution", "q2-corners", "probabilities <= low", "probabilities < low"),
    ("hw3", "q2-solution", "q2-tests",
     "targets = (probabilities >= high).to(logits.dtype)", "targets = probabilities"),
    ("hw3", "q3-solution", "q3-values", "-torch.inf", "0.0"),
    ("hw3", "q3-solution", "q3-values", "/ temperature", "* temperature"),
    ("hw3", "q3-solution", "q3-values",
     "z = F.normalize(torch.cat([z_i, z_j]), dim=1)", "z = torch.cat([z_i, z_j])"),
    ("hw3", "q3-solution", "q3-behaviour", "torch.cat([z_i, z_j])", "torch.cat([z_i, z_j.detach()])"),
    ("hw3", "q3-solution", "q3-behaviour",
     "logits, partner)", "logits.detach() * z.sum() / z.sum().detach(), partner)"),
]  # fmt: skip


def run_test(name, solution, test, change=lambda source: source):
    """Run one test against a solution in this process."""
    cells = Homework.read(MASTERS[name]).by_id()
    space = {"__name__": "student"}
    for one in ("imports", *(key for key in cells if key.startswith(solution[:2]) and "tests" not in key)):
        source = cells[one].source
        if one == solution:
            source = change(source)
        if one == "imports" or (cells[one].question == solution[:2] and not cells[one].graded):
            exec(compile(source, one, "exec"), space)
    exec(compile(cells[test].source, test, "exec"), space)


@pytest.mark.parametrize(("name", "solution", "test", "right", "wrong"), MISTAKES)
def test_a_mistake_is_caught(name, solution, test, right, wrong, monkeypatch):
    monkeypatch.setenv(VARIABLE, "20250117")
    monkeypatch.setenv("MCLASS_PROFILE", "smoke")
    source = Homework.read(MASTERS[name]).by_id()[solution].source
    assert right in source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_test(name, solution, test)
        with pytest.raises(Exception) as caught:  # noqa: PT011  (an assertion, or what the mistake itself raises)
            run_test(name, solution, test, lambda source: source.replace(right, wrong))
    assert str(caught.value), "a failing test says what was expected"


# ---- single notes


def test_notes_are_the_same_everywhere_and_differ_by_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path))
    notes = Notes(3, 4, seconds=1.0)
    coarse = np.stack([np.abs(notes.waveform(i).numpy()).reshape(20, -1).mean(1) for i in range(len(notes))])
    levels = [round(float(coarse[notes.families == family].mean()), 4) for family in range(11)]
    np.testing.assert_allclose(levels, LEVELS, atol=1e-3)
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "again"))
    again = Notes(3, 4, seconds=1.0)
    assert all((again.waveform(i) == notes.waveform(i)).all() for i in range(len(notes)))
    other = Notes(3, 4, seconds=1.0, seed=1)
    assert not (other.waveform(0) == notes.waveform(0)).all()


# Mean magnitude of each family.
LEVELS = [0.0284, 0.0328, 0.062, 0.0482, 0.0937, 0.0692, 0.0472, 0.0512, 0.0494, 0.092, 0.0577]


def test_notes_have_the_interface_of_nsynth():
    notes = Notes(4, 3, seconds=1.0)
    assert notes.tags == list(FAMILIES)
    assert (notes.labels.sum(1) == 1).all()
    assert (notes.labels.argmax(1) == notes.families).all()
    assert notes.pitches.min() >= PITCHES[0]
    assert notes.pitches.max() < PITCHES[1]
    assert len(set(notes.artist_ids)) == 44
    for i in range(len(notes)):
        peak = float(notes.waveform(i).abs().max())
        assert 0.01 < peak <= 1, notes.describe(i)
    parts = notes.splits()
    assert sum(map(len, parts)) == len(notes)
    for part in parts:
        assert set(part.labels.argmax(1)) == set(range(11))
    assert not set(parts[0].artist_ids) & set(parts[2].artist_ids)
    assert set(parts[0].artist_ids) & set(notes.splits(by="clip")[2].artist_ids)


def test_programs_that_are_not_played_twice_alike_are_left_out():
    assert not {44, 48, 56, 65, 67, 78} & {one for programs in PROGRAMS.values() for one in programs}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruments_per_family": 0}, "1 or more, got 0"),
        ({"notes_per_instrument": 2.5}, "whole number"),
        ({"seed": -1}, "0 or more"),
        ({"seconds": 100}, "between 0.25 and 10"),
    ],
)
def test_notes_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Notes(**options)
    with pytest.raises(ValueError, match="did you mean 'artist'"):
        Notes(3, 2, seconds=1).splits(by="artists")
    with pytest.raises(ValueError, match="at least 3 of each family"):
        Notes(2, 2, seconds=1).splits()


def test_the_table_of_the_scales_has_the_points_of_today_s_scales():
    from benchmarks import homework as measured

    stored = pd.read_csv(measured.TABLE)
    pd.testing.assert_frame_equal(measured.with_points(stored), stored)
    summary = pd.read_csv(measured.TABLE.with_name("homework_summary.csv"), dtype={"points": str})
    pd.testing.assert_frame_equal(measured.summarised(stored), summary, check_dtype=False)


def test_nothing_of_a_student_is_run_here():
    assert VARIABLE not in os.environ
