"""``mclass submit`` and ``mclass held-out``: a leaderboard without a server."""

from __future__ import annotations

import argparse

from mclass._utils.files import writing
from mclass.cli.kinds import expect
from mclass.cli.options import check_writable, positive

EXAMPLES = """
examples:
  mclass held-out held_out/ --held-out-seed 8675309
  mclass submit predictions.npz --labels held_out/labels.npz --board board/ --name Ada
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add both commands' options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "submit",
        help="enter predictions into a leaderboard",
        description="Score predictions with labels that you hold, and write the leaderboard's page again.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    parser.add_argument("predictions", help=".npz with ids, tags and scores (clips × tags)")
    parser.add_argument("--labels", required=True, help=".npz with ids, tags and labels")
    parser.add_argument("--board", required=True, help="folder of the leaderboard")
    parser.add_argument("--name", required=True, help="of the student or team")
    parser.set_defaults(command=submit)

    parser = commands.add_parser(
        "held-out",
        help="compose music for a leaderboard: clips to hand out, labels to keep",
        description="Compose music from a seed that only you know.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    parser.add_argument("folder")
    parser.add_argument(
        "--held-out-seed", type=positive(int), help="any number from 1000 (or MCLASS_HELD_OUT_SEED)"
    )
    parser.add_argument("--num-tracks", type=positive(int), default=200, help="one clip each (200)")
    parser.set_defaults(command=held_out)


def submit(options: argparse.Namespace) -> int:
    """Score, enter, write the page."""
    from mclass_grading import board

    expect("PREDICTIONS", options.predictions, "predictions")
    expect("--labels", options.labels, "held-out labels")
    entry = board.submit(options.predictions, options.labels, options.board, options.name)
    print(f"{entry.name}: ROC-AUC {entry.roc_auc:.4f}, PR-AUC {entry.pr_auc:.4f}")
    return 0


def held_out(options: argparse.Namespace) -> int:
    """Compose and write both files."""
    from mclass_grading import board
    from mclass_grading.held_out import using

    folder = check_writable("the folder", options.folder, folder=True)
    lock = writing(folder, folder / ".lock", advice="choose another folder")  # clips and labels are of one seed
    with lock, using(options.held_out_seed):
        clips, labels = board.hand_out(folder, options.num_tracks)
    print(f"{clips}: for students\n{labels}: keep it")
    return 0
