"""``mclass data``: list the data sets; look for bad files in a folder.

Taught in: 02_datasets.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from mclass.cli.options import add_folder_options, load_dataset


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    data = commands.add_parser("data", help="data sets").add_subparsers(required=True, metavar="COMMAND")
    data.add_parser("list", help="list the data sets").set_defaults(command=run_list)
    check = data.add_parser("check", help="decode every file of a folder; count silent and damaged ones")
    add_folder_options(check, required=True)
    check.set_defaults(command=run_check)


def run_list(options: argparse.Namespace) -> int:
    """Print the names of the data sets."""
    from mclass import datasets

    print(*datasets.list(), sep="\n")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Decode every file, and say which are no good."""
    options.dataset, options.seed, options.skip_bad = "folder", 0, True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each file that was left out is named below
        dataset = load_dataset(options, sample_rate=16_000)
    found = dataset.check()
    print(dataset)
    print(*(f"silent: {path}" for path in found["silent"]), sep="\n", end="\n" if found["silent"] else "")
    for path, reason in [*dataset.skipped, *found["problems"]]:
        print(f"cannot be used: {path}: {reason}")
    bad = len(dataset.skipped) + len(found["problems"])
    print(f"{len(dataset)} files: {len(found['silent'])} silent, {bad} cannot be used")
    return 1 if bad else 0
