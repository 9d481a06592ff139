"""``mclass search``: the recordings nearest to others.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import argparse
from typing import Any

from mclass._utils.files import identity, user_path
from mclass._utils.text import one_line, visible
from mclass.cli.kinds import expect
from mclass.cli.options import Failures, add_model_options, expand, hop_samples, load_model, positive


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    search = commands.add_parser(
        "search",
        help="find the nearest tracks",
        description="The files of an index (see `mclass embed`) nearest to others, by cosine similarity.",
    )
    search.add_argument("files", nargs="+", metavar="QUERY", help="audio files, or folders of them")
    search.add_argument("--index", required=True, metavar="FILE", help="what `mclass embed` wrote")
    search.add_argument("--top", type=positive(int), default=10, help="files to list for each query (10)")
    search.add_argument("--json", action="store_true", help="one JSON object per line")
    add_model_options(search, otherwise="that of the index")
    search.add_argument("--strict", action="store_true", help="exit with 1 if any query failed")
    search.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """List the nearest files of each query, without the query itself."""
    from mclass import inference
    from mclass.inference.index import Index

    expect("--index", options.index, "index")
    index = Index.load(options.index)
    files = expand(options.files)
    model = load_model(options.model or index.model, options.device)
    index.check(model)
    hop, places = hop_samples(options.hop, model), dict(zip(index.files, index.places(), strict=True))
    failures = Failures(len(files), "searched for", options.strict)
    try:
        for file, embedding in failures.each(files, lambda file: inference.embed(file, model, hop=hop)):
            itself = identity(user_path(file))
            near = [
                (name, cosine)
                for name, cosine in index.nearest(embedding, options.top + 1)
                if identity(places[name]) != itself
            ][: options.top]
            if options.json:
                line = {"query": file, "nearest": [{"file": name, "cosine": round(c, 5)} for name, c in near]}
                print(one_line(line), flush=True)
            else:
                lines = (f"  {cosine:.3f}  {visible(name)}" for name, cosine in near)
                print(visible(file), *lines, sep="\n", flush=True)
    finally:
        failures.report()
    return failures.code
