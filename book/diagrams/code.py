"""The map of the code, drawn from the import contract in pyproject.toml that `make lint` checks."""

from __future__ import annotations

import tomllib
from pathlib import Path

from diagrams.draw import box, down, svg, text

CONTRACTS = Path(__file__).resolve().parents[2] / "pyproject.toml"
PURPOSE = {  # what each layer is for; in at most 42 letters
    "cli": "commands: tag, train, search, data, …",
    "display": "figures, players, pages, result tables",
    "training": "tasks, and fit, which runs them",
    "inference": "recordings and data sets to tags",
    "models": "one file per paper; published weights",
    "datasets": "music and labels behind one interface",
    "mining": "which examples to learn from",
    "metrics | losses": "how good it is, what to minimize",
    "augmentations": "the same music, changed",
    "frontends": "waveforms to spectrograms",
    "audio": "files to waveforms and back",
    "config | distributed | vocabulary": "device and size, processes, tags",
    "_utils": "files, text, downloads, options",
    "errors | _deprecated": "messages; old import paths",
}
COLOURS = {"datasets": "green", "models": "yellow", "training": "red", "cli": "blue", "display": "blue"}
ROW, GAP = 34, 10


def layers() -> list[str]:
    """The layers of the package from the top down, as the contract names them; without ``__main__``."""
    contracts = tomllib.loads(CONTRACTS.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (found,) = (one["layers"] for one in contracts if one.get("containers") == ["mclass"])
    return [layer for layer in found if layer != "__main__"]


def code() -> str:
    """One row for each layer; an arrow says which way imports go."""
    names, parts = layers(), []
    for number, layer in enumerate(names):
        y = 16 + number * (ROW + GAP)
        parts.append(box(40, y, 208, ROW, COLOURS.get(layer, "plain")))
        shown = layer.replace(" | distributed | ", ", …, ").replace(" | ", ", ")
        parts.append(text(144, y + 23, shown, 16, bold=True))
        parts.append(text(262, y + 23, PURPOSE[layer], 15, "muted", "start"))
    height = 16 + len(names) * (ROW + GAP)
    parts.append(down(22, 16, height - 16 - GAP))
    return svg(height + 6, "The packages of mclass; each imports only from those below it", *parts)


FIGURES = {"code.svg": code}
