"""``mclass tag``: what is heard in recordings, as text, JSON, CSV, pictures or a page to listen to.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclass._utils.files import replacing, writing
from mclass._utils.text import one_line, visible
from mclass.cli.options import (
    Failures,
    add_model_options,
    check_writable,
    chosen_model,
    expand,
    hop_samples,
    load_model,
    positive,
)

if TYPE_CHECKING:
    from mclass.inference import TagResult

EXAMPLES = """
examples:
  mclass tag song.mp3
  mclass tag music/ --csv > tags.csv
  mclass tag song.mp3 --html report.html
  mclass tag song.mp3 other.wav --model runs/mine --hop 1 --top 3

Several files: --html writes one page with all of them; --plot names a folder, for one picture per file.
Files that cannot be used are listed at the end. The exit code is 1 if all files failed, or some did with --strict.
"""


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    tag = commands.add_parser(
        "tag",
        help="tag audio files",
        description="Tag audio files of any format and length.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tag.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, mp3, ogg, …, or folders of them")
    add_model_options(tag)
    tag.add_argument(
        "--aggregate",
        default="mean",
        choices=("mean", "max", "majority"),
        help="how chunks make a score: mean or max of their probabilities, or the share above 0.5 (mean)",
    )
    tag.add_argument("--top", type=positive(int), default=10, help="tags to list for each file (10)")
    form = tag.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per line, with the scores of all tags")
    form.add_argument("--csv", action="store_true", help="a table of the scores of all tags")
    tag.add_argument("--plot", metavar="PNG", help="draw the tags over time; a folder if there are several files")
    tag.add_argument("--html", metavar="PAGE", help="write a page with players and the tags over time")
    tag.add_argument("--strict", action="store_true", help="exit with 1 if any file failed")
    tag.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Tag each file, and write each result as soon as it is there."""
    files = expand(options.files)
    plot = _check_plot(options.plot, several=len(files) > 1)
    page = check_writable("--html", options.html) if options.html else None
    with writing(page, advice="choose another --html"), writing(plot, advice="choose another --plot"):
        return _tag(files, plot, page, options)


def _tag(files: list[str], plot: Path | None, page: Path | None, options: argparse.Namespace) -> int:
    from mclass import inference

    options.model = chosen_model(options.model)
    model = load_model(options.model, options.device)
    hop = hop_samples(options.hop, model)
    failures = Failures(len(files), "tagged", options.strict)
    show = _Table(model.tags) if options.csv else _as_json if options.json else _as_text
    results, pictures = [], set()
    try:
        for _, result in failures.each(
            files, lambda file: inference.tag(file, model, hop=hop, aggregate=options.aggregate)
        ):
            show(result, options.top)
            if plot:
                _draw(result, options.top, plot if len(files) == 1 else plot / _picture(result.file, pictures))
            if page:
                results.append(result)
    finally:  # also after an interrupt
        failures.report()
        if results:
            from mclass.display import report

            report.write(page, results, model=options.model, top=max(options.top, 15))
    return failures.code


def _as_text(result: TagResult, top: int) -> None:
    lines = (f"  {score:.3f}  {visible(tag)}" for tag, score in result.top(top))
    print(visible(result.file), *lines, sep="\n", flush=True)


def _as_json(result: TagResult, top: int) -> None:
    line = {
        "file": result.file,
        "seconds": round(result.duration, 3),
        "chunks": len(result.taggram),
        "padded": result.padded,
        "top": [tag for tag, _ in result.top(top)],
        "scores": {tag: round(float(score), 5) for tag, score in zip(result.tags, result.scores, strict=True)},
    }
    print(one_line(line), flush=True)


class _Table:
    """CSV with a header; names with commas, quotes or line breaks are quoted."""

    def __init__(self, tags: list[str]):
        self.writer = csv.writer(sys.stdout, lineterminator="\n")
        self.writer.writerow(["file", *tags])

    def __call__(self, result: TagResult, top: int) -> None:
        self.writer.writerow([result.file, *(f"{score:.5f}" for score in result.scores)])
        sys.stdout.flush()


def _check_plot(plot: str | None, several: bool) -> Path | None:
    if plot is None:
        return None
    if not several:
        if Path(plot).suffix.lower() not in (".png", ".svg", ".pdf"):
            raise ValueError(f"--plot {plot}: the picture of one file is a .png, .svg or .pdf")
        return check_writable("--plot", plot)
    if Path(plot).suffix:
        raise ValueError(f"--plot {plot}: several files make several pictures; give the name of a folder")
    return check_writable("--plot", plot, folder=True)


def _picture(file: str, taken: set[str]) -> str:
    """A name that no other picture has: the file's path, so that ``a/1.mp3`` and ``b/1.mp3`` both have one."""
    parts = [part for part in Path(os.path.normpath(file)).parts if part not in ("..", os.sep)]
    stem = os.fsdecode(os.fsencode("-".join(parts))[-200:])  # of at most 255 bytes
    name = next(name for n in itertools.count(1) if (name := f"{stem}{f'-{n}' if n > 1 else ''}.png") not in taken)
    taken.add(name)
    return name


def _draw(result: TagResult, top: int, path: Path) -> None:
    figure = result.plot(top)
    figure.axes[0].set_title(visible(os.path.basename(result.file)).replace("$", r"\$"))
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.simplefilter("ignore")  # of letters that the font lacks
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())
