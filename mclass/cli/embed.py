"""``mclass embed``: one embedding per recording, to search, cluster or learn from.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclass._utils.files import identity, user_path, writing
from mclass.cli.options import (
    Failures,
    add_model_options,
    check_writable,
    chosen_model,
    expand,
    hop_samples,
    load_model,
    tell,
)

if TYPE_CHECKING:
    from mclass.inference.index import Index
    from mclass.models import WaveformModel


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    embed = commands.add_parser(
        "embed",
        help="write the embeddings of audio files",
        description="One embedding per file, the mean over its chunks of what the model's last layer sees.",
    )
    embed.add_argument("files", nargs="+", metavar="FOLDER", help="folders, or audio files")
    embed.add_argument("--out", required=True, metavar="FILE", help=".npz, or .parquet where pyarrow is installed")
    embed.add_argument(
        "--add", action="store_true", help="keep what the index holds, and embed only the files that it lacks"
    )
    add_model_options(embed)
    embed.add_argument("--strict", action="store_true", help="exit with 1 if any file failed")
    embed.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Embed each file; write them at the end, or at an interrupt as many as there are."""

    files = expand(options.files)
    from mclass.inference.index import check_suffix

    out = check_writable("--out", check_suffix(options.out))
    odd = [file for file in files if file.encode(errors="replace").decode() != file]
    if odd and out.suffix == ".parquet":
        raise ValueError(f"{odd[0]}: the name is not UTF-8, and parquet holds no other; give --out a name in .npz")
    with writing(out):
        return _embed(files, out, options)


def _embed(files: list[str], out: Path, options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mclass import inference
    from mclass.inference.index import Index, fingerprint

    options.model = chosen_model(options.model)
    model = load_model(options.model, options.device)
    known = _known(out, model) if options.add else None
    if known:
        there = set(map(identity, known.places()))
        files = [file for file in files if identity(file) not in there]
        if not files:
            tell(f"{out} holds all of these files already")
            return 0
    hop = hop_samples(options.hop, model)
    failures = Failures(len(files), "embedded", options.strict)
    kept, embeddings = (list(known.files), list(known.embeddings)) if known else ([], [])
    paths, names = list(known.paths) if known else [], set(kept)
    before, complete = len(kept), False
    try:
        bar = tqdm(files, unit="file", delay=2, disable=None, leave=False)
        for file, embedding in failures.each(
            bar, lambda file: inference.embed(file, model, hop=hop, progress=False)
        ):
            paths.append(os.path.abspath(file))
            kept.append(paths[-1] if file in names else file)  # another one of that name, from another folder
            embeddings.append(embedding)
        complete = True
    finally:
        failures.report()
        # What an interrupt left is no reason to lose a complete index of that name.
        if len(kept) > before and (complete or known or not out.exists()):
            name = str(user_path(options.model).resolve()) if user_path(options.model).exists() else options.model
            Index(kept, embeddings, name, fingerprint(model), paths).save(out)
            options.after_interrupt = f"(repeat with --add to go on from these {len(kept)})"
            tell(f"{len(kept)} embeddings of {len(embeddings[0])} numbers -> {out}")
        else:
            options.after_interrupt = "(nothing was written)"
    return failures.code


def _known(path: Path, model: WaveformModel) -> Index | None:
    """The index to add to, if it is there and this model made it."""
    from mclass.inference.index import Index

    if not path.exists():
        return None
    index = Index.load(path)
    index.check(model)
    return index
