"""Paths of before the package was regrouped lead to the same things, and say where those are now."""

import ast
import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import mclass
from mclass import cli
from mclass._deprecated import MODULES, NAMES

ROOT = Path(__file__).resolve().parents[1]
TAUGHT = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "homework").glob("*.ipynb")])


@pytest.fixture
def fresh(monkeypatch):
    """Forget a module's old name for as long as the test runs."""

    def forget(name):
        importlib.import_module(MODULES[name])
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return forget


@pytest.mark.parametrize("old", MODULES)
def test_an_old_module_is_the_new_one(old, fresh):
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MODULES[old]}$"):
        found = importlib.import_module(fresh(old))
    assert found is importlib.import_module(MODULES[old])
    assert found.__spec__.name == found.__name__ == MODULES[old]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in NAMES for name in NAMES[module]])
def test_an_old_name_is_the_new_one(module, name):
    with pytest.warns(DeprecationWarning, match=f"is now {NAMES[module][name]}.{name}$"):
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(importlib.import_module(NAMES[module][name]), name)


def test_other_names_are_still_missing():
    with pytest.raises(AttributeError, match=r"mclass.datasets.base.*RandomCrop"):
        mclass.datasets.base.RandomCrop  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match=r"mclass\.datasets\.viewss"):
        importlib.import_module("mclass.datasets.viewss")


def test_short_names_are_no_old_names():
    """They work without a warning, as module, attribute and package; and importing them shadows no function."""
    lines = [f"import mclass.{name}; assert mclass.{name} is not None" for name in mclass.__all__[:-2]]
    lines += [
        "from mclass.search import Index; assert Index is mclass.inference.index.Index",
        "from mclass.grading import held_out; assert held_out.__name__ == 'mclass_grading.held_out'",
        "assert mclass.plot is mclass.display.plot",
        "assert callable(mclass.training.fit)",
    ]
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", "\n".join(lines)], check=True)


@pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)
def test_what_is_taught_is_imported_from_where_it_is(path, monkeypatch):
    for old in MODULES:
        monkeypatch.delitem(sys.modules, old, raising=False)
    imported = 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(line for line in cell["source"] if not line.lstrip().startswith(("%", "!")))
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom) and "mclass" in ast.unparse(node):
                with warnings.catch_warnings():
                    warnings.simplefilter("error", DeprecationWarning)
                    exec(ast.unparse(node), {})
                imported += 1
    assert imported


def test_an_old_module_runs_as_a_program():
    words = [sys.executable, "-W", "always", "-m", "mclass.grading.release", "--help"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "masters" in ran.stdout
    assert "mclass.grading.release is now mclass_grading.release" in ran.stderr


@pytest.mark.parametrize("words", [["grade"], ["grade", "x", "--out", "y"], ["submit", "--help"], ["held-out"]])
def test_commands_for_lecturers_say_how_to_get_them(words, monkeypatch, capsys):
    monkeypatch.setattr(cli, "distributions", lambda: [])
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith(f"mclass: error: mclass {words[0]} is a command of mclass_grading, which is not")
    assert "pip install" in said.err
    assert said.err.count("\n") == 1
