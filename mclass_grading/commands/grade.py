"""``mclass grade``: points and feedback for a class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mclass._utils.files import is_stream, writing
from mclass._utils.text import visible
from mclass.cli.options import check_writable, positive

EXAMPLES = """
examples:
  mclass grade submissions/ --out grades.csv --held-out-seed 8675309
  mclass grade submissions/ --out grades.csv --held-out-seed 8675309 --resume
  mclass grade hw2_ada.ipynb hw2_alan.ipynb --homework homework/hw2.ipynb --out grades.csv
"""

_MODES = {
    "bwrap": "submissions run isolated, in bubblewrap",
    "none": "warning: submissions run WITHOUT a sandbox and can read and change all that you can",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command's options."""
    parser = commands.add_parser(
        "grade",
        help="grade homework",
        description="Run submissions in processes of their own, test them with the master's tests, write a table "
        "of points and a page of feedback for each student.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "submissions", nargs="+", help="notebooks, or folders with a notebook or folder per student"
    )
    parser.add_argument("--out", required=True, help="the table, a CSV file")
    parser.add_argument("--homework", help="the master notebook (by what the submissions say, from ./homework)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the table: its rows stay, and only students without one are graded",
    )
    parser.add_argument("--feedback", help="folder for the students' pages (feedback, beside the table)")
    parser.add_argument(
        "--held-out-seed",
        type=positive(int),
        help="of the music that no student has: any number from 1000 that students do not know "
        "(or the environment variable MCLASS_HELD_OUT_SEED, which other users of the machine cannot see)",
    )
    parser.add_argument(
        "--trust-submissions",
        action="store_true",
        help="run them without a sandbox, as if they were programs of your own: they can read and change what you "
        "can, and are tested with a seed that everybody knows. Never as root",
    )
    parser.add_argument("--seconds", type=positive(float), default=900.0, help="for a submission (900)")
    parser.add_argument("--cell-seconds", type=positive(float), default=300.0, help="for a cell or a call (300)")
    parser.add_argument("--memory", type=positive(float), default=6.0, help="for a submission, in GB (6)")
    parser.set_defaults(command=command, after_interrupt="(repeat with --resume to go on)")


def command(options: argparse.Namespace) -> int:
    """Run it; 0 if every submission could be graded, 1 if a notebook could not be read."""
    from mclass_grading.grading import Limits, grade
    from mclass_grading.isolation import sandbox
    from mclass_grading.notebooks import Homework
    from mclass_grading.submissions import find, homework_of

    out = check_writable("--out", options.out)
    if is_stream(out):
        raise ValueError(f"--out {out} is no file; the table is written anew after each submission")
    if options.homework is None:
        name = homework_of([one for files in find(options.submissions, "").values() for one in files])
        path = Path("homework") / f"{name}.ipynb"
        if name is None or not path.is_file():
            what = "no submission says which homework it is of" if name is None else f"{path} is not here"
            raise ValueError(f"{what}; give the master notebook: --homework FOLDER/{name or 'hw2'}.ipynb")
        options.homework = path
    homework = Homework.read(options.homework)

    isolation = "none" if options.trust_submissions else "bwrap"
    sandbox.require(isolation)

    def tell(one) -> None:
        remarks = visible(f"  ({'; '.join(one.remarks)})") if one.remarks else ""
        total = f"{one.total(homework):g} of {sum(homework.questions.values()):g}"
        print(f"{visible(one.student)}: {total}{remarks}", flush=True)

    with writing(out):
        print(f"mclass: {_MODES[isolation]}", file=sys.stderr)
        grades = grade(
            homework,
            options.submissions,
            out,
            feedback=options.feedback,
            held_out_seed=options.held_out_seed,
            limits=Limits(options.seconds, options.cell_seconds, options.memory, isolation),
            resume=options.resume,
            progress=tell,
        )
    broken = [one for one in grades if set(one.messages.values()) == {"not graded"}]
    print(f"{out}: {len(grades)} students graded", file=sys.stderr)
    return int(bool(broken))
