"""Carry the repository's address from _config.yml to every place that needs it.

The address stands once, in ``_config.yml`` under ``repository: url:``. README.md, CITATION.cff, the prose and
the first cell of every notebook repeat it; this script rewrites them, a test runs it with ``--check``.

    python book/address.py            # rewrite
    python book/address.py --check    # exit 1 and say which files are out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROSE = ("README.md", "CONTRIBUTING.md", "CITATION.cff", "book/*.md", "notebooks/*.ipynb", "homework/*.ipynb")
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
SETUP_TAG = "setup"  # the tag by which a notebook's first cell is found

# Colab has torch and the notebook tools already; so no extra is asked for, and nothing of Colab's is replaced.
SETUP_CELL = """\
# On Colab or Binder this installs the course's package; where it is installed, it does nothing.
import importlib.util

if importlib.util.find_spec("mclass") is None:
    package = "music-classification-course @ git+{address}@{branch}"
    get_ipython().run_line_magic("pip", f'install -q "{{package}}"')"""


def repository(root: Path = ROOT) -> tuple[str, str]:
    """Address and branch, from _config.yml.

    Raises
    ------
    ValueError
        If the address is not that of a GitHub repository (Colab and Binder links are made from it).
    """
    entry = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    match = GITHUB.fullmatch(entry["url"])
    if not match:
        raise ValueError(f"_config.yml: repository url {entry['url']!r} is not https://github.com/owner/name")
    return f"https://github.com/{match[1]}", entry["branch"]


def slug(address: str) -> str:
    """``owner/name``, as Colab and Binder links have it."""
    return address.removeprefix("https://github.com/")


def previous(root: Path = ROOT) -> str:
    """The address the files were last written for: CITATION.cff remembers it."""
    match = re.search(
        r"^repository-code: *\"?(\S+?)\"?$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.M
    )
    if not match:
        raise ValueError("CITATION.cff has no line `repository-code: <address>`")
    return match[1]


def setup_cell(root: Path = ROOT) -> str:
    """Source of the cell that every notebook starts with."""
    address, branch = repository(root)
    return SETUP_CELL.format(address=address, branch=branch)


def with_setup_cell(text: str, source: str) -> str:
    """A notebook (as JSON text) whose tagged cell has the given source; added at the top if there is none."""
    notebook = json.loads(text)
    cells = notebook["cells"]
    tagged = [cell for cell in cells if SETUP_TAG in cell["metadata"].get("tags", [])]
    lines = source.splitlines(keepends=True)
    if tagged and tagged[0] is cells[0] and "".join(cells[0]["source"]) == source:
        return text
    for cell in tagged:
        cells.remove(cell)
    new = {
        "cell_type": "code",
        "execution_count": None,
        "id": "setup",
        "metadata": {"tags": [SETUP_TAG, "remove-cell"]},
        "outputs": [],
        "source": lines,
    }
    cells.insert(0, new)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def updated(root: Path = ROOT) -> dict[Path, str]:
    """The files that are out of date, with the text they should have; CITATION.cff, the memory, comes last."""
    address, _ = repository(root)
    old, new, source = slug(previous(root)), slug(address), setup_cell(root)
    result = {}
    for pattern in PROSE:
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            changed = re.sub(rf"{re.escape(old)}(?![\w-])", new, text)
            if path.suffix == ".ipynb":
                changed = with_setup_cell(changed, source)
            if changed != text:
                result[path] = changed
    return dict(sorted(result.items(), key=lambda item: item[0].name == "CITATION.cff"))


def main(arguments: list[str], root: Path = ROOT) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    changes = updated(root)
    for path, text in changes.items():
        print(f"{'out of date' if arguments else 'rewritten'}: {path.relative_to(root).as_posix()}")
        if not arguments:
            path.write_text(text, encoding="utf-8")
    if arguments and changes:
        print("Run `python book/address.py`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
