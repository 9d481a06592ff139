"""The command line: ``mclass tag``, ``train``, ``evaluate``, ``embed``, ``search``, ``data``, ``models``; a module
each. For lecturers: ``grade`` and ``submit``, which `mclass_grading` brings.

An installed package adds commands by entry points of the group ``mclass.commands``: functions that are given the
sub-parsers, as ``add`` of each module here is.

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
from importlib.metadata import EntryPoint, distributions
from typing import NoReturn

from mclass._utils.text import visible
from mclass.cli import data, embed, evaluate, models, search, tag, train
from mclass.cli.stopping import exit_code, reason, stoppable

EXAMPLES = rf"""
examples:
  what is in these songs, by weights that real music trained:
    mclass tag song.mp3
  train on recordings of your own:{train.EXAMPLES.removeprefix(chr(10) + "examples:")}"""

LECTURERS = ("grade", "held-out", "submit")  # commands of a package of its own
_ABSENT = (
    "mclass {} is a command of mclass_grading, which is not installed here. It comes with the course: "
    "install that from a clone of its repository, with pip install -e ."
)


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
        except Exception as error:
            if options.debug:
                raise
            print(f"mclass: error: {visible(_in_one_line(error))}", file=sys.stderr)
            return 2


def _in_one_line(error: Exception) -> str:
    """What went wrong; that it is a fault of this program, where it is one."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:  # without "[Errno 36]"
        text = f"{error.filename}: {error.strerror}"
    if len(text) > 2000:
        text = f"{text[:1000]} … {text[-900:]}"
    if isinstance(error, ValueError | OSError):  # the package's own errors are all one of these
        return text
    if isinstance(error, MemoryError):
        return f"there is not enough memory for this ({text or 'MemoryError'})"
    return f"unexpected {type(error).__name__}: {text[:500]} (please report it; --debug shows the traceback)"


def _show_warning(message, category, *_, **__) -> None:
    if issubclass(category, UserWarning):
        print(f"mclass: warning: {visible(' '.join(str(message).split()))}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """One that says in one line, as everything here does, what is wrong; and has ``--debug`` in each command."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        suppress = argparse.SUPPRESS  # a command does not undo what was said before it
        self.add_argument("--debug", action="store_true", default=suppress, help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        text = visible(_in_one_line(ValueError(message)))  # the name of a file that a shell filled in, perhaps
        self.exit(2, f"mclass: error: {text} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mclass",
        description="Music classification with deep learning: tag music, train a tagger on your own, search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (tag, train, evaluate, embed, search, data, models):
        module.add(commands)
    for found in _of_other_packages():
        found.load()(commands)
    for name in [name for name in LECTURERS if name not in commands.choices]:
        absent = commands.add_parser(name, help="for lecturers; not installed here")
        absent.parse_known_args = lambda *_, name=name: parser.exit(2, f"mclass: error: {_ABSENT.format(name)}\n")
    return parser


def _of_other_packages() -> list[EntryPoint]:
    """Of every distribution, also of one that an old ``.egg-info`` in the current folder hides."""
    points = [one for each in distributions() for one in each.entry_points if one.group == "mclass.commands"]
    return list({one.name: one for one in sorted(points, key=lambda one: one.name)}.values())
