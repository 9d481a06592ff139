"""``mclass models``: the architectures.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    commands.add_parser("models", help="list the models").set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each architecture."""
    from mclass import models

    for name in models.list():
        model = models.create(name)
        size = sum(parameter.numel() for parameter in model.parameters())
        seconds = model.num_samples / model.sample_rate
        print(f"{name:20} {size:>12,} parameters, {seconds:g} s at {model.sample_rate} Hz")
    return 0
