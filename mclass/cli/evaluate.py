"""``mclass evaluate``: how good a tagger is on labelled music that it has not learned from.

Taught in: 03_evaluation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclass._utils.files import replacing, user_path, writing
from mclass._utils.text import visible
from mclass.cli.options import (
    add_dataset_options,
    add_model_options,
    check_writable,
    chosen_model,
    hop_samples,
    load_dataset,
    load_model,
    load_splits,
    positive,
)
from mclass.errors import DatasetError, ModelError, unknown_name

if TYPE_CHECKING:
    import numpy as np

PARTS = ("train", "valid", "test")
EXAMPLES = r"""
examples:
  a run, on the clips that its training left out:
    mclass evaluate --model runs/music
  published weights, on a hundred recordings of your own (a table with the columns path, tags and artist):
    mclass evaluate --root music --labels labels.csv --part all
  the table calls things by other names:
    mclass evaluate --root music --labels labels.csv --part all --tag Gitarre=guitar --tag Klavier=piano
"""
AS_TRAINED = ("dataset", "root", "labels", "pattern", "group", "option", "skip_bad", "split_by", "seed")


def add(commands: Any) -> None:
    """Describe the command to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a tagger on labelled music, each tag and with an interval",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(evaluate)
    evaluate.add_argument("--dataset", help="folder (needs --root), or see `mclass data list` (that of the run)")
    add_dataset_options(evaluate)
    evaluate.add_argument("--part", choices=(*PARTS, "all"), default="test", help="of the split (test)")
    evaluate.add_argument(
        "--split-by",
        choices=("published", "artist", "track", "clip"),
        help="what parts may not share (as the data set does; a folder: artist)",
    )
    evaluate.add_argument("--seed", type=positive(int, or_zero=True), help="of the split (0, or that of the run)")
    evaluate.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="LABEL=TAG",
        help="what the data call LABEL is the model's TAG; may be given several times",
    )
    evaluate.add_argument("--out", metavar="FILE.csv", help="write the table of tags")
    evaluate.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Predict, match the tags by name, print the scores."""
    out = check_writable("--out", options.out) if options.out else None
    with writing(out):
        return _score(out, options)


def _score(out: Path | None, options: argparse.Namespace) -> int:
    from mclass import inference, metrics

    if options.part == "all" and options.split_by:
        raise ValueError("--split-by says how to split, and --part all takes all clips; leave one out")
    options.model = chosen_model(options.model)
    model = load_model(options.model, options.device)
    _compare_with_training(options)
    if model.tags is None:
        raise ModelError(f"{options.model} does not know the names of its tags: set model.tags and save it again")
    if options.part == "all":
        data = load_dataset(options, model.sample_rate)
    else:
        data = load_splits(options, model.sample_rate)[1][PARTS.index(options.part)]
    names, columns, places = matched(data.tags, model.tags, options.tag)
    labels, known = data.labels[:, columns], None if data.known is None else data.known[:, columns]
    undefined = metrics.undefined_tags(labels, names, known)
    if len(undefined) == len(names):
        raise DatasetError(
            f"no tag can be scored on these {len(data)} clips: each needs clips with it and clips without it"
        )
    scores = inference.predict(model, data, hop=hop_samples(options.hop, model))[:, places]

    scored = [i for i, name in enumerate(names) if name not in undefined]
    compared = {"labels": labels[:, scored], "scores": scores[:, scored]}
    if known is not None:
        compared["known"] = known[:, scored]
    table = metrics.tagwise(**compared, tags=[names[i] for i in scored])
    artists = data.artist_ids
    has = compared["labels"] * compared.get("known", 1)
    behind = [len(set(artists[column == 1])) for column in has.T]
    table.insert(2, "artists", behind)
    shown = table.assign(tag=table["tag"].map(visible))
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    by_artist = len(set(artists)) < len(data) or set(map(str, artists)) != set(map(str, data.track_ids))
    by = f"by {len(set(artists))} artists" if by_artist else "of unknown artists"
    over = "these" if by_artist else "tracks"
    print(f"\n{visible(options.model)} on {len(data)} clips {by}, with 95 % intervals over {over}")
    for name, metric in (("ROC-AUC", metrics.roc_auc), ("PR-AUC", metrics.pr_auc)):
        print(f"macro {name:8}{_with_interval(metric, artists, **compared)}")
    if known is not None:
        print(f"{known.mean():.0%} of the labels are known; each tag is scored on the clips whose label is")
    if not data.multilabel and len(names) == len(data.tags) == len(model.tags):
        most = labels.mean(axis=0).max()
        right = _with_interval(metrics.accuracy, artists, labels, scores)
        print(f"accuracy      {right}, always the most frequent label: {most:.3f}")
    if not by_artist:
        print("clips of one artist are alike: where artists are not known, intervals are too narrow (see --group)")
    if few := [name for name, count in zip(table["tag"], behind, strict=True) if count < 3]:
        print(f"little is known of tags with fewer than three artists: {_listed(few)}")
    if undefined:
        print(f"not scored, since no clip or every clip has them: {_listed(undefined)}")
    for owner, tags, used in (("data", data.tags, columns), ("model", model.tags, places)):
        if left := [tag for i, tag in enumerate(tags) if i not in used]:
            print(f"tags of the {owner} only: {_listed(left)}")
    if out:
        with replacing(out) as temporary:
            table.to_csv(temporary, index=False, float_format="%.5f", errors="backslashreplace")
    return 0


def _compare_with_training(options: argparse.Namespace) -> None:
    """Take the data of a run if none are named; warn if clips of its training may be among those that are."""
    trained = _trained_with(options.model)
    if trained and options.dataset is None and options.root is None:
        for name in AS_TRAINED:
            setattr(options, name, getattr(options, name) or trained.get(name, getattr(options, name)))
    options.dataset, options.seed = options.dataset or "folder", options.seed or 0
    if not trained or any(_place(vars(options), name) != _place(trained, name) for name in ("dataset", "root")):
        return
    changed = [name for name in AS_TRAINED[2:] if getattr(options, name) != trained.get(name)]
    warning = None
    if options.part in ("train", "all"):
        warning = "the model was trained on a part of these clips, so its scores are too good"
    elif changed:
        what = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        warning = f"the model was trained with another {what}: clips of its training may be among these"
    if warning:
        print(f"mclass: warning: {warning}", file=sys.stderr)


def _trained_with(model: str) -> Mapping[str, Any]:
    """The options of a run, from the report beside its weights; nothing where there is none."""
    from mclass._utils.schemas import RunReport, read_json

    path = user_path(model)
    report = (path if path.is_dir() else path.parent) / "report.json"
    try:
        return read_json(RunReport, report.read_bytes()).get("options") or {}
    except OSError:
        return {}
    except ValueError as error:
        raise ModelError(
            f"{report}, which says what the model was trained on, is damaged or was changed: {error}. Mend it, or "
            "move it away"
        ) from None


def _place(options: Mapping[str, Any], name: str) -> object:
    """An option for comparing: a folder is itself, however it is written."""
    value = options.get(name)
    return user_path(value).resolve() if name == "root" and value else value


def matched(
    labels: Sequence[str], tags: Sequence[str], pairs: Sequence[str] = ()
) -> tuple[list[str], list[int], list[int]]:
    """Labels of the data that the model knows as tags, and where both have them.

    Parameters
    ----------
    labels, tags : sequence of str
        Of the data and of the model.
    pairs : sequence of str
        ``label=tag`` where they are called differently.

    Returns
    -------
    names, columns, places : list
        What the model calls them, their columns in the data's labels, and their places among its outputs.

    Raises
    ------
    DatasetError
        If a pair names what there is not, two labels are one tag, or nothing is shared.

    Examples
    --------
    >>> matched(["Klavier", "guitar", "oud"], ["drums", "guitar", "piano"], ["Klavier=piano"])
    (['piano', 'guitar'], [0, 1], [2, 1])
    """
    called = {label: label for label in labels}
    for pair in pairs:
        label, equals, tag = pair.partition("=")
        if not equals:
            raise DatasetError(f"--tag {pair}: write LABEL=TAG, as in Klavier=piano")
        for kind, name, known in (("label of the data", label, labels), ("tag of the model", tag, tags)):
            if name not in known:
                raise DatasetError(f"--tag {pair}: {unknown_name(kind, name, known)}")
        called[label] = tag
    columns = [i for i, label in enumerate(labels) if called[label] in tags]
    names = [called[labels[i]] for i in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        both = [label for label in labels if called[label] == twice[0]]
        raise DatasetError(f"{' and '.join(map(repr, both))} would both be the tag {twice[0]!r}; leave one out")
    if not names:
        raise DatasetError(
            f"data and model share no tag. The data have: {_listed(labels)}. The model has: {_listed(tags)}. "
            "Say which are the same with --tag LABEL=TAG."
        )
    return names, columns, [list(tags).index(name) for name in names]


def _with_interval(
    metric: Callable[..., float],
    artists: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    known: np.ndarray | None = None,
) -> str:
    """A score and its 95 % interval over artists; without one if these are too few to draw from."""
    from mclass.metrics import bootstrap

    try:
        return str(bootstrap(metric, labels, scores, groups=artists, known=known))
    except ValueError:
        masked = {} if known is None else {"known": known}
        return f"{metric(labels, scores, **masked):.3f} (too few artists with each tag for an interval)"


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(map(visible, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
