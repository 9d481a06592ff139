"""SIGTERM and SIGHUP stop a command as Ctrl-C does; what it started ends with it, however it ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile

from mclass import cli

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX's signals")

PATTERN = r"(?P<artist>(?P<label>low|high)\d)-"


@pytest.fixture
def temporary():
    """A temporary folder whose name leaves room: addresses of sockets below it have at most 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


@pytest.fixture
def start(tmp_path, temporary):
    """Start Python in a session of its own; what is left of it is killed at the end."""
    started = []

    def start(*arguments, **options):
        environment = os.environ | {
            "TMPDIR": str(temporary),
            "MCLASS_HOME": str(tmp_path / "home"),
            "TQDM_DISABLE": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        }
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
                start_new_session=True,
                **options,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(condition, process, seconds=180):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def check_gone(processes, seconds=30):
    """All of them have ended soon; those that nobody waits for any more are zombies."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    alive = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not alive, [one.cmdline() for one in alive]


# A command that waits, and then waits again while it clears up
COMMAND = """
import signal, sys, time
from mclass import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
def wait(options):
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("clearing up", flush=True)
        time.sleep(float(sys.argv[1]))
cli.data.run_list = wait
sys.exit(cli.main(["data", "list"]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_first_signal_stops_in_good_order_and_a_second_at_once(start, name):
    number = getattr(signal, name)
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}  # these tests may run under nohup
    process, other = (start("-c", COMMAND, seconds, **heard) for seconds in (0, 60))
    for one in (process, other):
        assert one.stdout.readline() == "working\n"
        one.send_signal(number)
        assert one.stdout.readline() == "clearing up\n"
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert errors.strip() == ("mclass: interrupted" if name == "SIGINT" else f"mclass: stopped by {name}")
    other.send_signal(number)
    assert other.wait(timeout=30) == -number


def test_what_is_ignored_stays_ignored(start):
    process = start("-c", COMMAND, 0, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # nohup
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    assert cli.main(["data", "info", "gtzan"]) == 0
    assert {one: signal.getsignal(one) for one in before} == before  # a notebook that called it has its own again


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    for label, pitch in (("low", 200), ("high", 2000)):
        for artist in range(3):
            for take in range(2):
                tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(52_000) / 16_000)
                soundfile.write(
                    root / f"{label}{artist}-{take}.wav", tone + 0.01 * rng.standard_normal(tone.size), 16_000
                )
    return root


def test_a_stopped_training_run_is_kept_and_has_one_writer(start, music, tmp_path, temporary, capsys):
    out = tmp_path / "run"
    options = f"train --root {music} --pattern {PATTERN} --model cnn_1d --batch-size 4 --out {out}".split()
    process = start("-m", "mclass", *options, "--epochs", 10_000, "--workers", 1)
    until((out / "last.ckpt").exists, process)
    until(lambda: descendants(process), process)  # those that read clips
    for more in ([], ["--resume"]):
        assert cli.main([*options, "--epochs", "1", *more]) == 2
        assert f"{out} is being written by process {process.pid} of this machine since" in capsys.readouterr().err
    readers = descendants(process)
    os.killpg(process.pid, signal.SIGTERM)  # as a terminal, Slurm and timeout do: to the readers, too
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "mclass: stopped by SIGTERM (a training run goes on with --resume)" in errors
    check_gone(readers)
    assert sorted(os.listdir(out)) == ["history.csv", "last.ckpt", "model.pt"]
    assert os.listdir(temporary) == []
    done = len(pd.read_csv(out / "history.csv"))
    assert cli.main([*options, "--epochs", str(done + 1), "--resume"]) == 0
    assert json.loads((out / "report.json").read_text())["epochs"] == done + 1


# Two processes share the clips, and each takes long.
SLOW = """
import os, pathlib, sys, time
from mclass import cli, datasets
from mclass.datasets import folder, workers
workers._FEW = 0
workers.chunked.__defaults__ = (1,)
class Slow(folder.Folder):
    def waveform(self, *arguments):
        pathlib.Path({marks!r}, str(os.getpid())).touch()
        time.sleep(20)
        return super().waveform(*arguments)
datasets.class_of = lambda name: Slow
sys.exit(cli.main({options!r}))
"""
ETUDE = "from mclass import datasets; datasets.load('etude', num_tracks=5000, workers=2)"


@pytest.mark.parametrize(("command", "name"), [("prepare", "SIGTERM"), ("check", "SIGKILL"), ("etude", "SIGKILL")])
def test_workers_end_with_the_process_that_started_them(start, music, tmp_path, temporary, command, name):
    marks = tmp_path / "marks"
    marks.mkdir()
    options = ["data", command, "--root", str(music), "--pattern", PATTERN, "--workers", "2"]
    options += [] if command == "check" else ["--out", str(tmp_path / "out")]
    process = start("-c", ETUDE if command == "etude" else SLOW.format(options=options, marks=str(marks)))
    if command == "etude":
        until(lambda: sum(len(worker.cmdline()) > 5 for worker in descendants(process)) >= 2, process)
    else:
        until(lambda: len(os.listdir(marks)) == 2, process)
    started = descendants(process)
    (os.killpg if command == "prepare" else os.kill)(process.pid, getattr(signal, name))
    assert process.wait(timeout=60) == {"SIGTERM": 143, "SIGKILL": -9}[name]
    check_gone(started)
    assert os.listdir(temporary) == []
    if command == "prepare":
        assert "run the same again to go on" in process.stderr.read()
