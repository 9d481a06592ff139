"""``mclass embed``: one embedding per recording, to search, cluster or learn from.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mclass.cli.options import Failures, add_model_options, check_writable, expand, hop_samples, load_model


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    embed = commands.add_parser(
        "embed",
        help="write the embeddings of audio files",
        description="One embedding per file, the mean over its chunks of what the model's last layer sees.",
    )
    embed.add_argument("files", nargs="+", metavar="FOLDER", help="folders, or audio files")
    embed.add_argument("--out", required=True, metavar="FILE", help=".npz, or .parquet where pyarrow is installed")
    add_model_options(embed)
    embed.add_argument("--strict", action="store_true", help="exit with 1 if any file failed")
    embed.set_defaults(command=run, after_interrupt="(nothing was written)")


def run(options: argparse.Namespace) -> int:
    """Embed each file; write them all at the end."""
    from mclass import search

    files = expand(options.files)
    out = check_writable("--out", search.check_suffix(options.out))
    from tqdm import tqdm

    from mclass import inference

    model = load_model(options.model, options.device)
    hop = hop_samples(options.hop, model)
    failures = Failures(len(files), "embedded", options.strict)
    kept, embeddings = [], []
    try:
        bar = tqdm(files, unit="file", delay=2, disable=None, leave=False)
        for file, embedding in failures.each(
            bar, lambda file: inference.embed(file, model, hop=hop, progress=False)
        ):
            kept.append(file)
            embeddings.append(embedding)
    finally:
        failures.report()
    if kept:
        name = str(Path(options.model).resolve()) if Path(options.model).exists() else options.model
        search.Index(kept, embeddings, name, search.fingerprint(model)).save(out)
        print(f"{len(kept)} embeddings of {len(embeddings[0])} numbers -> {out}", file=sys.stderr)
    return failures.code
