"""What says that the evaluation chapter teaches it is taught there: the link between modules and notebook."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

from mclass import interactive, metrics

CHAPTER = "03_evaluation"
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / f"{CHAPTER}.ipynb"
MODULES = [f"mclass.metrics.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]


def modules_used() -> set[str]:
    """The modules that define what the notebook calls by ``metrics.name`` or ``interactive.name``, or imports."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    used = set()
    for cell in cells[1:]:  # the first is the setup cell
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                home = {"metrics": metrics, "interactive": interactive}.get(node.value.id)
                if home:
                    used.add(getattr(home, node.attr).__module__)
    return used


@pytest.mark.parametrize("name", [*MODULES, interactive.__name__])
def test_a_module_says_that_the_chapter_teaches_it_if_and_only_if_it_does(name):
    taught = re.search(r"^Taught in: ([\w, ]+)\.$", importlib.import_module(name).__doc__, re.M)[1].split(", ")
    assert (CHAPTER in taught) == (name in modules_used())


def test_the_figure_that_a_reader_moves_is_shown_and_the_widget_is_not():
    """A widget without a kernel is an empty box; its cell's output stays off the page."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = {"".join(cell["source"]): cell["metadata"].get("tags", []) for cell in cells}
    widgets = [tags for source, tags in sources.items() if "ipywidgets.interact(" in source]
    figures = [tags for source, tags in sources.items() if "interactive.threshold_slider(" in source]
    assert widgets == [["remove-output", "skip-execution"]]
    assert len(figures) == 1
    assert "remove-output" not in figures[0]
