"""A notebook's text for readers without the book: links lead to the repository, citations name authors.

In the book Sphinx does both. A notebook that was handed out, or is open in Colab, would show them as they stand.
"""

from __future__ import annotations

import copy
import posixpath
import re
import sys
from pathlib import Path

from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.insert(0, str(BOOK))  # this folder is no package

import address  # noqa: E402

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|/|#)[^)\s]+(?=\))")
CITATION = re.compile(r"\{cite(?P<kind>:[tp])?\}`(?P<keys>[^`]+)`")


def portable(notebook: dict, folder: str = "notebooks", root: Path = ROOT) -> dict:
    """The notebook with absolute links, readable citations, and the list of what it cites at its end.

    Parameters
    ----------
    notebook : dict
        As JSON has it; stays as it is.
    folder : str
        Where it lies in the repository; its links start there.

    Raises
    ------
    KeyError
        If it cites what is not in the bibliography.
    """
    url, branch = address.repository(root)
    bibliography = parse_file(root / "book" / "references.bib")
    cites: list[str] = []

    def link(found: re.Match) -> str:
        return f"{url}/blob/{branch}/{posixpath.normpath(posixpath.join(folder, found[0]))}"

    def citation(found: re.Match) -> str:
        keys = [key.strip() for key in found["keys"].split(",")]
        cites.extend(keys)
        return in_text([bibliography.entries[key] for key in keys], textual=found["kind"] == ":t")

    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = CITATION.sub(citation, LINK.sub(link, "".join(cell["source"])))
            cell["source"] = text.splitlines(keepends=True)
    if cites:
        text = references(bibliography, set(cites))
        cell = {"cell_type": "markdown", "id": "references", "metadata": {}, "source": text.splitlines(True)}
        notebook["cells"].append(cell)
    return notebook


def in_text(entries: list[Entry], textual: bool) -> str:
    """Authors and years, as a part of the sentence or in brackets.

    >>> entries = parse_file(BOOK / "references.bib").entries
    >>> in_text([entries["law2009"]], textual=True)
    'Law et al. (2009)'
    >>> in_text([entries["tzanetakis2002"], entries["sturm2013"]], textual=False)
    '(Tzanetakis and Cook, 2002; Sturm, 2013)'
    """
    if textual:
        return ", ".join(f"{_authors(entry)} ({entry.fields['year']})" for entry in entries)
    return "(" + "; ".join(f"{_authors(entry)}, {entry.fields['year']}" for entry in entries) + ")"


def references(bibliography: BibliographyData, keys: set[str]) -> str:
    """A list of publications as Markdown, in the order of their authors."""
    style = find_plugin("pybtex.style.formatting", "plain")(sorting_style="author_year_title")
    backend = find_plugin("pybtex.backends", "markdown")()
    entries = style.format_bibliography(bibliography, sorted(keys)).entries
    return "\n".join(["## References", "", *(f"- {entry.text.render(backend)}" for entry in entries)]) + "\n"


def _authors(entry: Entry) -> str:
    names = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
    names = [re.sub(r"[{}]", "", name) for name in names]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
