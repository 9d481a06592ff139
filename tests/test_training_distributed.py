"""Several processes of one run: the same curve as one, all stop when one is killed, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from tones import Tones, small
from training_distributed import Plain

from mclass import augmentations, training
from mclass.datasets import EpochSampler
from mclass.training.distributed import SharedEpochs, in_order, transformed

HERE = Path(__file__).parent
GLOO = torch.distributed.is_available() and torch.distributed.is_gloo_available()


def script(folder, paradigm, devices):
    """Run the script with that many processes."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    command = (start if devices > 1 else [sys.executable]) + [HERE / "training_distributed.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, folder, paradigm, str(devices)], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.mark.skipif(not GLOO, reason="this PyTorch has no gloo")
@pytest.mark.parametrize("paradigm", ["tagging", "contrastive", "moco", "triplets", "mined triplets", "proxies"])
def test_two_processes_learn_what_one_learns(tmp_path, paradigm):
    histories, weights = [], []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        result = script(folder, paradigm, devices)
        assert result.returncode == 0, result.stderr
        histories.append(pd.read_csv(folder / "history.csv"))
        weights.append(torch.load(folder / "last.ckpt", weights_only=True)["task"])
    assert len(histories[0]) == 3
    pd.testing.assert_frame_equal(*histories, rtol=1e-5)
    # Not the training loss: MoCo's queue begins as random directions, which are easy to be told apart from.
    assert histories[0].valid_loss.iloc[-1] < histories[0].valid_loss.iloc[0]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6, msg=name)


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
    assert in_order(torch.arange(4)).tolist() == [0, 1, 2, 3]
    waveforms = torch.randn(3, 100)
    chain = augmentations.Compose([augmentations.Noise(), augmentations.Gain()])
    torch.manual_seed(0)
    ours = transformed(chain, waveforms)
    torch.manual_seed(0)
    assert torch.equal(ours, chain(waveforms))


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
