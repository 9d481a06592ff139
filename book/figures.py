"""Draw the book's diagrams as SVG. `python book/figures.py` writes them; a test compares them with this code.

Each module of `book/diagrams` draws those of some chapters.
"""

from __future__ import annotations

import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
sys.path.insert(0, str(BOOK))  # this folder is no package

from diagrams import (  # noqa: E402
    applications,
    architectures,
    basics,
    beyond,
    code,
    data_sets,
    findings,
    history,
    practice,
    training,
)

IMAGES = BOOK / "images"
CHAPTERS = (basics, history, data_sets, architectures, training, beyond, findings, applications, practice, code)
FIGURES = {name: draw for chapter in CHAPTERS for name, draw in chapter.FIGURES.items()}

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
        print(f"drawn: book/images/{name}")
