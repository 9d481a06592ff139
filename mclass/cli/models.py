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
    import pandas

    from mclass import models
    from mclass.models import pretrained

    table = models.measured()
    print("Architectures, for `mclass train --model`; speed as measured on two CPU cores:\n")
    print(table.to_string(index=False))
    print("\nPublished weights, for `mclass tag --model`, with the test scores that were published:\n")
    known = [pretrained.info(name) for name in pretrained.list()]
    columns = ("name", "trained_on", "roc_auc", "pr_auc", "license")
    rows = [{column: getattr(one, column) for column in columns} for one in known]
    rows = [row | {"license": row["license"].partition(",")[0]} for row in rows]
    print(pandas.DataFrame(rows).to_string(index=False, na_rep="-", float_format="{:.3f}".format))
    first, second = pretrained.DEFAULTS
    print(f"\nWithout --model: {first}, or {second} where no package index can be reached.")
    print("What is not here is fetched when first used; files below MCLASS_CHECKPOINTS are used from there.")
    return 0
