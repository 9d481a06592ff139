"""The command line: ``mclass tag``, ``train``, ``evaluate``, ``embed``, ``search``, ``data``, ``models``; a module
each. For lecturers: ``grade`` and ``submit``.

Whatever needs torch is imported inside the commands, so that ``mclass --help`` answers at once.

Taught in: 04_supervised.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from mclass._text import visible
from mclass.cli import data, embed, evaluate, grade, models, search, submit, tag, train
from mclass.cli.stopping import exit_code, reason, stoppable

EXAMPLES = rf"""
examples:
  what is in these songs, by weights that real music trained:
    mclass tag song.mp3
  train on recordings of your own:{train.EXAMPLES.removeprefix(chr(10) + "examples:")}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 (files failed), 2 (an error), 130 (interrupted), 143 (SIGTERM).

    Examples
    --------
    >>> main(["data", "list"])
    audioset
    etude
    ...
    shards
    0
    """
    for stream in (sys.stdout, sys.stderr):  # names of files need not be valid Unicode
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            with stoppable():
                return options.command(options)
        except KeyboardInterrupt as stop:
            with contextlib.suppress(OSError):  # a closed terminal
                print(f"\nmclass: {reason(stop)}", getattr(options, "after_interrupt", ""), file=sys.stderr)
            return exit_code(stop)
        except BrokenPipeError:  # the reader has seen enough: mclass tag … | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            return 0
        except (ValueError, OSError) as error:  # the package's own errors are all one of these
            if options.debug:
                raise
            print(f"mclass: error: {visible(' '.join(str(error).split()))}", file=sys.stderr)
            return 2


def _show_warning(message, category, *_, **__) -> None:
    if issubclass(category, UserWarning):
        print(f"mclass: warning: {visible(' '.join(str(message).split()))}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an option, which may be the name of a file that a shell filled in."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mclass",
        description="Music classification with deep learning: tag music, train a tagger on your own, search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (tag, train, evaluate, embed, search, data, models, grade, submit):
        module.add(commands)
    return parser
