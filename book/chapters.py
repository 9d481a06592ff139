"""Count what each chapter offers. `python book/chapters.py` writes the table of the instructors' page.

A chapter is a file of `_toc.yml` that says what its reader can do afterwards. Counted are those goals, the minutes
it takes, figures, questions of the quiz, and exercises with a solution. A test compares.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "book" / "chapters.csv"
GOALS = re.compile(
    r"After this (?:chapter|notebook) you can(.*?)(?:\*\*Time:\*\*|Reading time:) (\d+) minutes", re.DOTALL
)
QUESTION = re.compile(r"^(?::::\{dropdown\} |<details><summary>)", re.MULTILINE)
FIGURE = re.compile(r"^```\{figure\}", re.MULTILINE)
SOLUTION = re.compile(r"^(?::::\{dropdown\} |# )Solution \d", re.MULTILINE)


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level, up to the next one; empty where there is none.

    >>> section("## A\\none\\n## B\\ntwo", "B")
    'two'
    """
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def chapters() -> list[dict[str, str | int]]:
    """A row for each chapter, in the book's order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [row for file in files if (row := counted(ROOT / file)) is not None]


def counted(stem: Path) -> dict[str, str | int] | None:
    """What the chapter at a path without its ending offers; None where it states no goals."""
    prose, code, figures = read(stem)
    goals = GOALS.search(prose)
    if goals is None:
        return None
    return {
        "chapter": re.search(r"^# (.+)", prose, re.MULTILINE)[1],
        "minutes": int(goals[2]),
        "goals": goals[1].count("\n- "),
        "figures": figures,
        "questions": len(QUESTION.findall(section(prose, "Check yourself"))),
        "exercises": len(SOLUTION.findall(prose + code)),
    }


def read(stem: Path) -> tuple[str, str, int]:
    """A chapter's prose, its code, and the number of its figures."""
    notebook = stem.with_suffix(".ipynb")
    if not notebook.exists():
        prose = stem.with_suffix(".md").read_text(encoding="utf-8")
        return prose, "", len(FIGURE.findall(prose))
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = {"markdown": "", "code": ""}
    for cell in cells:
        texts[cell["cell_type"]] += "".join(cell["source"]) + "\n\n"
    return texts["markdown"], texts["code"], sum("image" in cell["metadata"].get("mystnb", {}) for cell in cells)


def table() -> str:
    """The rows as CSV; a dash where a chapter has none."""
    rows = chapters()
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: value or "–" for name, value in row.items()} for row in rows)
    return text.getvalue()


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"written: {TABLE.relative_to(ROOT)}")
