"""``mclass models``: the architectures in numbers, and the published weights.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    models = commands.add_parser("models", help="list the architectures in numbers, and the published weights")
    models.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print both tables."""
    from mclass import models
    from mclass.models import pretrained

    table = models.measured()
    print("Architectures, for `mclass train --model`; speed as measured on two CPU cores:\n")
    print(table.to_string(index=False))
    print("\nPublished weights, for `mclass tag --model`:\n")
    for dataset in ("mtat", "msd", "jamendo"):
        print(" ", *(name for name in pretrained.list() if name.startswith(f"{dataset}/")))
    print("\nDownloaded when first used; those below MCLASS_CHECKPOINTS are used from there.")
    return 0
