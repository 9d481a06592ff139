"""``mclass data``: list and describe data sets; download, check, prepare and shard them.

Taught in: 02_datasets.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from mclass._utils.files import writing
from mclass._utils.text import visible
from mclass.cli.options import add_dataset_options, check_writable, load_dataset, positive, processes

EXAMPLES = r"""
examples:
  mclass data info magnatagatune
  mclass data check gtzan --root data/gtzan --csv faults.csv
  mclass data check --root music --pattern '(?P<artist>(?P<label>[a-z]+)_\d+)-'
  mclass data prepare fma --root data/fma --option size=medium --skip-bad --out data/fma-16k
  mclass data shard prepared --root data/fma-16k --out data/fma-shards
  mclass train --dataset prepared --root data/fma-16k
  mclass train --shards 'data/fma-shards/train-{0000..0127}.tar'

prepare and shard go on where they stopped: after an interrupt or a full disk, run the same again.
"""


def add(commands: Any) -> None:
    """Describe the commands to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    data = commands.add_parser("data", help="data sets", epilog=EXAMPLES, formatter_class=raw)
    data = data.add_subparsers(required=True, metavar="COMMAND")
    data.add_parser("list", help="list the data sets").set_defaults(command=run_list)

    info = data.add_parser("info", help="what a data set is, its size, licence, traps, and how to cite and get it")
    info.add_argument("dataset", metavar="NAME")
    info.set_defaults(command=run_info)

    download = data.add_parser("download", help="fetch a data set where that is possible, or say how to get it")
    download.add_argument("dataset", metavar="NAME")
    download.add_argument("--root", required=True, help="folder to put it into")
    download.add_argument("--part", action="append", help="only this part of it; may be given several times")
    download.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
    download.set_defaults(command=run_download, after_interrupt="(run the same again to go on)")

    check = data.add_parser("check", help="decode everything; find faults, copies and leaks (exit code 1 if any)")
    _add_dataset(check)
    check.add_argument("--by", help="which split to look at: published, artist, track or clip")
    check.add_argument("--no-fingerprints", action="store_true", help="do not look for near duplicates")
    check.add_argument("--csv", metavar="FILE", help="write all that was found")
    check.set_defaults(command=run_check)

    prepare = data.add_parser("prepare", help="decode a data set once, into one memory-mapped file or flac")
    _add_dataset(prepare)
    prepare.add_argument("--out", required=True, help="folder to make")
    prepare.add_argument("--encoding", default="int16", help="int16, float16, float32 or flac (int16)")
    prepare.set_defaults(command=run_prepare, after_interrupt="(run the same again to go on)")

    shard = data.add_parser("shard", help="write a data set as tar shards to stream from")
    _add_dataset(shard)
    shard.add_argument("--out", required=True, help="folder to make")
    shard.add_argument("--encoding", default="flac", help="flac, wav or npy (flac)")
    shard.add_argument("--megabytes", type=positive(float), default=256, help="size of a shard (256)")
    shard.add_argument("--clips-per-shard", type=positive(int), help="instead of --megabytes")
    shard.add_argument("--by", help="which split to write: published, artist, track or clip")
    shard.set_defaults(command=run_shard, after_interrupt="(run the same again to go on)")


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="folder", metavar="NAME", help="`mclass data list` (folder)")
    add_dataset_options(parser)
    parser.add_argument("--sample-rate", type=positive(int), default=16_000, help="in Hz (16000)")
    parser.add_argument("--workers", type=processes, default=-1, help="processes (one per core)")
    parser.add_argument("--seed", type=positive(int, or_zero=True), default=0, help="of a random split (0)")


def run_list(options: argparse.Namespace) -> int:
    """Print the names of the data sets."""
    from mclass import datasets

    print(*datasets.list(), sep="\n")
    return 0


def run_info(options: argparse.Namespace) -> int:
    """Print a data set's card."""
    from mclass import datasets

    print(datasets.info(options.dataset))
    return 0


def run_download(options: argparse.Namespace) -> int:
    """Fetch a data set."""
    from mclass import datasets

    root = datasets.download(options.dataset, options.root, options.part, options.accept_licence)
    print(f"{options.dataset} is in {visible(root)}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Look a data set over; say what is wrong with it."""
    out = check_writable("--csv", options.csv) if options.csv else None
    with writing(out, advice="choose another --csv"):
        return _check(out, options)


def _check(out: Path | None, options: argparse.Namespace) -> int:
    from mclass import datasets

    options.skip_bad = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each file that was left out is named below
        dataset = load_dataset(options, options.sample_rate)
    near = not options.no_fingerprints
    report = datasets.check(dataset, by=options.by, near=near, workers=options.workers)
    if out:
        report.to_csv(out)
    print(report)
    return 0 if report.ok else 1


def run_prepare(options: argparse.Namespace) -> int:
    """Decode a data set into a folder."""
    from mclass import datasets

    dataset = load_dataset(options, options.sample_rate)
    on_error = "skip" if options.skip_bad else "raise"
    ready = datasets.prepare(dataset, options.out, options.encoding, workers=options.workers, on_error=on_error)
    print(f"{visible(ready)}\nfingerprint {ready.fingerprint}, in {visible(ready.root)}")
    return 0


def run_shard(options: argparse.Namespace) -> int:
    """Write a data set as shards."""
    from mclass import datasets

    dataset = load_dataset(options, options.sample_rate)
    shards = datasets.shard(
        dataset,
        options.out,
        encoding=options.encoding,
        clips_per_shard=options.clips_per_shard,
        megabytes=options.megabytes,
        by=options.by,
        seed=options.seed,
        workers=options.workers,
        on_error="skip" if options.skip_bad else "raise",
    )
    print(f"{visible(shards)}\nfingerprint {shards.fingerprint}, in {visible(shards.root)}")
    return 0
