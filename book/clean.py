"""Take out of the notebooks what does not belong into git. `python book/clean.py` rewrites them.

Figures, players and everything that changes from run to run go. The outputs of cells marked
``# NBVAL_CHECK_OUTPUT`` stay, because the tests compare them. The kernel's name becomes ``python3``.

    python book/clean.py [NOTEBOOK …]      # all notebooks if none is named
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPARED = "NBVAL_CHECK_OUTPUT"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# What editors add to cells, and nobody reads.
NOISE = (
    "ExecuteTime",
    "collapsed",
    "execution",
    "executionInfo",
    "id",
    "outputId",
    "scrolled",
    "trusted",
    "vscode",
)


def cleaned(text: str) -> str:
    """A notebook (as JSON text) without volatile outputs and metadata.

    >>> cell = {"cell_type": "code", "execution_count": 7, "metadata": {}, "outputs": [{}], "source": ["1 + 1"]}
    >>> clean = json.loads(cleaned(json.dumps({"cells": [cell], "metadata": {}})))
    >>> clean["cells"][0]["outputs"], clean["cells"][0]["execution_count"]
    ([], None)
    """
    notebook = json.loads(text)
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key not in NOISE}
        if cell["cell_type"] != "code":
            continue
        compared = COMPARED in "".join(cell["source"]) and cell["outputs"]
        if not compared:
            cell["outputs"] = []
        # nbval takes a cell with an output but no number for one that was never run.
        cell["execution_count"] = 1 if compared else None
        for output in cell["outputs"]:
            output.update(
                {key: fixed for key, fixed in {"metadata": {}, "execution_count": 1}.items() if key in output}
            )
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(names: list[str]) -> None:
    for path in [Path(name) for name in names] or sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        if (new := cleaned(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(f"cleaned: {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
