"""Several processes of one run: the same curve as one, all stop when one is lost, and what is refused."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from tones import Tones, small
from training_distributed import EPOCHS, PARADIGMS, Plain, run

from mclass import augmentations, training
from mclass.datasets import EpochSampler
from mclass.training.engine import distributed
from mclass.training.engine.distributed import SharedEpochs, in_order, joined, transformed

SCRIPT = Path(__file__).with_name("training_distributed.py")
GLOO = torch.distributed.is_available() and torch.distributed.is_gloo_available()
with_gloo = pytest.mark.skipif(not GLOO, reason="this PyTorch has no gloo")
with_signals = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows has no such signals")


def script(folder, *paradigms, **environment):
    """Run the script with two processes, as the book says."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [*start, SCRIPT, folder, "2", *paradigms], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """The folder with the runs of two processes."""
    folder = tmp_path_factory.mktemp("two")
    result = script(folder, *PARADIGMS)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def one_thread():
    """As the processes have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def kept(folder):
    """History and weights of a run: of the task, and so of a teacher, a queue, proxies and projectors, too."""
    return pd.read_csv(folder / "history.csv"), torch.load(folder / "last.ckpt", weights_only=True)["task"]


def assert_close(ours, theirs):
    pd.testing.assert_frame_equal(ours[0], theirs[0], rtol=1e-5, atol=1e-6)  # an R² may be near 0
    for name, value in ours[1].items():
        torch.testing.assert_close(theirs[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


@with_gloo
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_two_processes_learn_what_one_learns(tmp_path, of_two, one_thread, paradigm):
    task = run(tmp_path, paradigm, 1)
    one, two = kept(tmp_path), kept(of_two / paradigm)
    assert len(one[0]) == EPOCHS
    assert_close(one, two)
    # MoCo's queue begins as random directions, which are easy to be told apart from.
    column = "valid_loss" if paradigm == "moco" else "train_loss"
    assert one[0][column].iloc[-1] < one[0][column].iloc[0]
    if hasattr(task, "teacher"):
        teachers = [torch.load(of_two / paradigm / f"teacher{rank}.pt", weights_only=True) for rank in (0, 1)]
        for name, value in task.teacher.state_dict().items():
            assert torch.equal(teachers[0][name], teachers[1][name])
            torch.testing.assert_close(teachers[0][name], value, rtol=1e-4, atol=1e-5)
            if paradigm == "mean teacher" and value.is_floating_point() and "layer" in name:
                assert not torch.equal(value, Plain().state_dict()[name])  # it has moved


@with_gloo
@with_signals
def test_a_killed_process_stops_the_run_which_goes_on_where_it_was(tmp_path, of_two, one_thread):
    began = time.monotonic()
    result = script(tmp_path, "mean teacher", MISHAP="SIGKILL")
    assert time.monotonic() - began < 120  # and not the 600 s of LOST_AFTER
    assert result.returncode != 0
    assert "Signal 9 (SIGKILL) received" in result.stderr
    folder = tmp_path / "mean teacher"
    assert len(kept(folder)[0]) == EPOCHS - 1
    shutil.copytree(folder, tmp_path / "alone")

    result = script(tmp_path, "mean teacher")
    assert result.returncode == 0, result.stderr
    expected, resumed = kept(of_two / "mean teacher"), kept(folder)
    pd.testing.assert_frame_equal(resumed[0], expected[0], check_exact=True)
    assert all(torch.equal(resumed[1][name], value) for name, value in expected[1].items())
    run(tmp_path / "alone", "mean teacher", 1, resume=True)  # the number of processes may change
    assert_close(kept(tmp_path / "alone"), expected)


@with_gloo
@with_signals
@pytest.mark.parametrize("mishap", ["SIGKILL", "SIGSTOP"])
def test_nobody_waits_for_ever_for_a_process_that_is_gone(tmp_path, mishap):
    """Without torchrun, which would stop the others: a process must notice by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    both = []
    try:
        for rank in (1, 0):
            environment = os.environ | common | {"LOCAL_RANK": str(rank), "MISHAP": mishap, "LOST_AFTER": "10"}
            command = [sys.executable, SCRIPT, tmp_path, "2", "tagging"]
            both.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
        lost, waiting = both
        _, message = waiting.communicate(timeout=200)
    finally:
        for process in both:
            process.kill()
            process.wait()
            process.stderr.close()
    assert lost.returncode == -signal.SIGKILL
    assert waiting.returncode == 1
    assert "ModelError: process 0 of 2 (counted from 0) has lost another one" in message
    assert "--resume" in message
    assert ("closed" in message or "reset" in message) if mishap == "SIGKILL" else "Timed out" in message
    assert len(pd.read_csv(tmp_path / "tagging" / "history.csv")) == EPOCHS - 1


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), distributed.together():
        torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.parametrize(("clips", "batch_size", "processes"), [(24, 8, 2), (26, 8, 4), (7, 6, 3), (5, 8, 2)])
def test_processes_share_each_batch(clips, batch_size, processes):
    for epoch in range(2):
        parts = []
        for rank in range(processes):
            sampler = SharedEpochs(clips, batch_size, 1, rank, processes)
            sampler.set_epoch(epoch)
            parts.append(list(sampler))
            assert len(parts[-1]) == len(sampler)
        whole = EpochSampler(clips, 1)
        whole.set_epoch(epoch)
        order = list(whole)
        share = batch_size // processes
        for batch in range(-(-clips // batch_size)):
            wanted = order[batch * batch_size : (batch + 1) * batch_size]
            wanted = wanted[: len(wanted) - len(wanted) % processes]
            assert [one for part in parts for one in part[batch * share : (batch + 1) * share]] == wanted


def test_one_process_has_everything():
    assert in_order(torch.arange(4)).tolist() == joined(torch.arange(4)).tolist() == [0, 1, 2, 3]
    waveforms = torch.randn(3, 100)
    chain = augmentations.Compose([augmentations.Noise(), augmentations.Gain()])
    torch.manual_seed(0)
    ours = transformed(chain, waveforms)
    torch.manual_seed(0)
    assert torch.equal(ours, chain(waveforms))


def test_processes_mask_spectrograms_as_one_does(monkeypatch):
    model, waveforms = Plain(), torch.randn(6, 4000, generator=torch.Generator().manual_seed(1))
    masks = augmentations.SpecAugment(1, 20, 0, 0, value=-77.0)
    task = training.Tagging(model, augment=masks)

    def logits(part):
        torch.manual_seed(2)
        return task.heard(part)

    whole = logits(waveforms)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "place", lambda rank=rank: (rank, 2))
        parts.append(logits(waveforms[3 * rank : 3 * rank + 3]))
    torch.testing.assert_close(torch.cat(parts), whole)
    assert not torch.allclose(whole, model(waveforms))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 2}, "share a folder"),
        ({"devices": 3, "folder": "x"}, "multiple of their number, got 8 for 3 processes. Try 6"),
        ({"accumulate": 0}, "accumulate must be an integer of at least 1"),
        ({"gradient_clip": 0.0}, "gradient_clip"),
    ],
)
def test_what_cannot_be_shared_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        training.fit(
            training.Tagging(small()), Tones(), Tones(), epochs=1, batch_size=8, progress=False, **options
        )


def test_accumulated_gradients_are_those_of_a_large_batch():
    def trained(**options):
        torch.manual_seed(0)
        task = training.Tagging(Plain(), optimizer="sgd", learning_rate=0.1)
        training.fit(task, Tones(), Tones(9, seed=1), epochs=1, progress=False, **options)
        return torch.cat([p.detach().flatten() for p in task.parameters()])

    torch.testing.assert_close(trained(batch_size=4, accumulate=3), trained(batch_size=12), rtol=1e-4, atol=1e-6)
