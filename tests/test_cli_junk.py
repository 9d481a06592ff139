"""Whatever is given to any option of any command: a result, or one line that says what is wrong, and code 2."""

import argparse
import contextlib
import io
import re

import numpy as np
import pytest
import soundfile
import torch

from mclass import cli, datasets, models
from mclass.search import Index, fingerprint

JUNK = [
    "",
    "abc",
    "0",
    "-1",
    "nan",
    "inf",
    "1e-9",
    "1e400",
    "9" * 40,
    "9" * 5000,
    "٣",
    "[]",
    '{"a": [1]}',
    "a=b",
    "~no-such-user/x",
    "/dev/null/x",
    "\x1b[31m",
    "\udcff",
    "(?P<label>",
    "[" * 3000,
]


def commands():
    """Every command: its words, and its parser."""
    found = []

    def walk(parser, words):
        below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        for one in below:
            for name, child in one.choices.items():
                walk(child, [*words, name])
        if not below:
            found.append((words, parser))

    walk(cli._parser(), [])
    return found


def options():
    """Every option that takes a value, of every command."""
    return [
        pytest.param(words, action, id=f"{' '.join(words)} {(action.option_strings or [action.dest])[-1]}")
        for words, parser in commands()
        for action in parser._actions
        if action.nargs != 0
    ]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with one of each file that commands take: recordings, a model, an index, shards, a recipe."""
    root = tmp_path_factory.mktemp("junk")
    rng = np.random.default_rng(0)
    for label in ("low", "high"):
        (root / "music" / label).mkdir(parents=True)
        for number in range(3):
            tone = np.sin(np.arange(50_000) * (0.05 if label == "low" else 0.5)) * 0.3
            tone += 0.01 * rng.standard_normal(tone.size)
            soundfile.write(root / "music" / label / f"{number}.wav", tone, 16_000)
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=2, channels=2)
    models.save(model, root / "model.pt", tags=["high", "low"], multilabel=False)
    index = Index(["a", "b"], rng.standard_normal((2, 2)), str(root / "model.pt"), fingerprint(model.eval()))
    index.save(root / "index.npz")
    folder = datasets.load("folder", root=root / "music")
    datasets.prepare(folder, root / "prepared", progress=False)
    datasets.shard(folder, root / "shards", progress=False)
    (root / "recipe.yaml").write_text(
        f"data: {{name: folder, root: {root / 'music'}}}\nmodel: {{name: cnn_1d, channels: 2}}\n"
        "task: {name: Tagging}\nfit: {epochs: 1, batch_size: 2}\n"
    )
    return root


def ordinary(words, root, out):
    """A command line that would do its work, quickly, but for one option."""
    data = ["--root", root / "music"]
    return {
        "tag": [root / "music" / "low" / "0.wav", "--model", root / "model.pt"],
        "train": [*data, "--out", out, "--model", "cnn_1d", "--epochs", 1],
        "evaluate": [*data, "--model", root / "model.pt", "--part", "all"],
        "embed": [root / "music" / "low", "--out", f"{out}.npz", "--model", root / "model.pt"],
        "search": [root / "music" / "low" / "0.wav", "--index", root / "index.npz"],
        "data info": ["gtzan"],
        "data download": ["gtzan", *data],
        "data check": ["folder", *data, "--no-fingerprints"],
        "data prepare": ["folder", *data, "--out", out],
        "data shard": ["folder", *data, "--out", out],
        "grade": [root / "music", "--out", f"{out}.csv", "--homework", root / "none.ipynb"],
        "submit": [root / "none.npz", "--labels", root / "none.npz", "--board", out, "--name", "Ada"],
        "held-out": [root / "music" / "low" / "0.wav", "--held-out-seed", 1234, "--num-tracks", 1],
    }.get(" ".join(words), [])


def run(arguments):
    """Exit code, output and errors of a command, run here; without the time that training takes."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
    return code, out.getvalue(), err.getvalue()


class Started(ValueError):
    """Instead of work that takes long."""


@pytest.fixture(autouse=True)
def quick(here, tmp_path, monkeypatch):
    """What takes long is not done, once its options are known to be good."""
    from mclass import inference, pretrained, training
    from mclass.datasets.quality import checks
    from mclass.datasets.storage import preparing, sharding
    from mclass_grading import board

    def start(*_, **__):
        raise Started("work has started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "fit", start)
    monkeypatch.setattr(inference, "predict", start)
    for module in (checks, preparing, sharding):
        monkeypatch.setattr(module, "map_clips", start)
    monkeypatch.setattr(board, "hand_out", start)
    monkeypatch.setattr(pretrained, "load", start)


@pytest.mark.filterwarnings("ignore:Possible nested set")  # of Python, about a regular expression
@pytest.mark.parametrize(("words", "action"), options())
def test_junk_is_refused_in_one_line(words, action, here, tmp_path):
    for number, junk in enumerate(JUNK):
        arguments = [str(one) for one in ordinary(words, here, tmp_path / f"out{number}")]
        if action.option_strings:
            if action.option_strings[-1] in arguments:
                place = arguments.index(action.option_strings[-1])
                del arguments[place : place + 2]
            arguments.append(f"{action.option_strings[-1]}={junk}")
        elif junk.startswith("-"):
            continue
        else:
            arguments = [junk, *arguments[1:]]
        code, out, err = run([*words, *arguments])
        told = (words, arguments, code, out[-500:], err[-2000:])
        lines = [line for line in err.splitlines() if not line.startswith("mclass: warning: ")]
        assert "Traceback" not in err, told
        assert "unexpected" not in err, told
        assert code in (0, 1, 2), told
        if code == 2:
            assert [line[:15] for line in lines] == ["mclass: error: "], told
            assert len(lines[0]) < 3000, told
        elif code == 0:
            assert not re.search(r"\bnan\b", out, re.IGNORECASE), told
