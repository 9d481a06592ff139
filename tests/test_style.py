"""The prose avoids the words listed in `book/style_words.csv`, as the style guide asks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORDS = ROOT / "book" / "style_words.csv"
# Not prose: link targets, inline code, arguments of roles, formulas, names of roles, HTML tags, paths of files.
NOT_PROSE = re.compile(r"\]\([^)]*\)|https?://\S+|`+[^`]*`+|\$[^$]*\$|\{[\w:]+\}|<[^>]*>|[\w./-]+/[\w.-]+\.\w+")
CODE = re.compile(r"\s*(`{3,}|~{3,})\s*(\{code\S*\}|\w+)?\s*$")
QUOTES_THEM = {"book/style.md"}  # the guide shows the words
# Pages that still contain listed words. Once a page contains none, a test asks for its removal from this list.
NOT_EDITED_YET = {
    "book/beyond_supervision.md",
    "book/dataset_cards.md",  # written by book/cards.py
    "book/etude.md",
    "book/findings.md",
    "book/homework.md",
    "book/measured.md",
    "book/metric_learning.md",
    "book/self_supervised.md",
    "book/training.md",
    "notebooks/04_supervised.ipynb",
    "notebooks/05_augmentation.ipynb",
    "notebooks/06_semi_supervised.ipynb",
    "notebooks/07_clmr.ipynb",
    "notebooks/08_metric_learning.ipynb",
}


def words() -> list[tuple[re.Pattern[str], str]]:
    """The listed patterns, which ignore case, with their suggestions."""
    with WORDS.open(encoding="utf-8") as file:
        return [(re.compile(row["pattern"], re.IGNORECASE), row["suggestion"]) for row in csv.DictReader(file)]


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of Markdown, without code blocks and inline code."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = None if line.strip() == fence else fence
        elif match := CODE.fullmatch(line):
            # The content of a directive is prose; a bare fence ends it.
            fence = match[1] if match[2] else None
        else:
            yield number, NOT_PROSE.sub(" ", line)


def pieces(path: Path) -> Iterator[tuple[str, str]]:
    """The texts of a file with their location: the whole page, or each Markdown cell of a notebook."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        yield name, text
        return
    for index, cell in enumerate(json.loads(text)["cells"]):
        source = "".join(cell["source"])
        # Titles of publications are spelled as they were printed.
        if cell["cell_type"] == "markdown" and not source.startswith("## References"):
            yield f"{name}, cell {index}", source


def problems(path: Path) -> list[str]:
    """Every listed word in a file, as a line with its location, the word and the suggestion."""
    listed = words()
    return [
        f"{where}:{number}: {match[0]!r}, better: {suggestion}"
        for where, text in pieces(path)
        for number, line in prose(text)
        for pattern, suggestion in listed
        for match in pattern.finditer(line)
    ]


PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "book").glob("*.md")),
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
    )
}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - QUOTES_THEM - NOT_EDITED_YET))
def test_the_prose_contains_no_listed_word(name):
    found = problems(PAGES[name])
    assert not found, "see book/style.md:\n" + "\n".join(found)


@pytest.mark.parametrize("name", sorted(NOT_EDITED_YET))
def test_an_edited_page_leaves_the_list(name):
    assert problems(PAGES[name]), f"{name} contains no listed word anymore: remove it from NOT_EDITED_YET"


def test_no_suggestion_is_itself_listed():
    for _, suggestion in words():
        assert not [pattern.pattern for pattern, _ in words() if pattern.search(suggestion)], suggestion


PAGE = """# A page

The first two are alike. Its `licence` is [on the card](licence.md), see {cite}`labelled2016` and $alike$.

```python
alike = "shall"  # normalise
```

```{figure} images/colour.svg
:alt: Moments of the sound.

It shall be normalised.
```

:::{dropdown} Whose licence?
The artist's.
:::
"""


def test_words_are_found_in_prose_and_nowhere_else(tmp_path):
    page, notebook = tmp_path / "page.md", tmp_path / "one.ipynb"
    page.write_text(PAGE, encoding="utf-8")
    found = problems(page)
    assert [re.match(r"page\.md:(\d+): '(.+)', better: ", one).groups() for one in found] == [
        ("3", "alike"),
        ("10", "Moments of the sound"),
        ("12", "shall"),
        ("12", "normalised"),
        ("15", "licence"),
    ]
    assert found[0] == "page.md:3: 'alike', better: similar, identical, the same way"
    cells = [
        {"cell_type": "code", "source": ["# alike"]},
        {"cell_type": "markdown", "source": ["One.\n", "Two are alike."]},
        {"cell_type": "markdown", "source": ["## References\n", "- What is alike? A study of colour."]},
    ]
    notebook.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert problems(notebook) == ["one.ipynb, cell 1:2: 'alike', better: similar, identical, the same way"]


@pytest.mark.parametrize(
    "sentence",
    [
        "As it is known, noise is random, and otherwise exercises are revised.",
        "At the moment, the optimist promises a likeness of your own.",
        "Adam keeps the first and second moments of the gradient.",
        "Four hours; our supervised analyses; the model tells; emphasis; synthesis; realism.",
        "The encoder is tolled, and the parameter is an owner's kilometer.",
    ],
)
def test_plain_english_is_not_flagged(tmp_path, sentence):
    page = tmp_path / "page.md"
    page.write_text(sentence, encoding="utf-8")
    assert problems(page) == []
