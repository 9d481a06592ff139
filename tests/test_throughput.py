"""The benchmark for GPUs runs, and its clock tells waiting from computing; no GPU is needed for that."""

import pandas as pd
import pytest
import torch

from benchmarks import throughput
from mclass import datasets

SIZES = ["--device=cpu", "--batch-size=4", "--steps=3", "--warm-up=1", "--repeats=1", "--workers=0"]
WAYS = ["naive", "fit", "bf16"]
pytestmark = pytest.mark.filterwarnings("ignore::mclass.metrics.UndefinedTagsWarning")


def test_the_clock_leaves_out_the_first_steps_and_counts_what_is_waited(monkeypatch):
    #           arrived, done; of the first step nobody knows how long it was waited for
    times = iter([7.0, 9.0, 14.0, 15.0, 16.0, 19.0, 20.0, 23.0])
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(times))
    clock = throughput.Clock(torch.device("cpu"))
    for _ in range(4):
        clock.begin()
        clock.end()
    assert (clock.steps, clock.waits) == ([6.0, 4.0, 4.0], [5.0, 1.0, 1.0])
    assert clock.result(batch_size=8, warm_up=1) == {"rate": 2.0, "waiting": 0.25}


def test_every_run_and_way_is_measured(monkeypatch, capsys, tmp_path):
    etude = datasets.load("etude", num_tracks=36, clips_per_track=2, clip_seconds=4)
    monkeypatch.setattr(datasets, "load", lambda name: etude)
    monkeypatch.setattr(throughput, "VALIDATION", 8)
    monkeypatch.setattr(throughput, "TABLE", tmp_path / "throughput.csv")
    for job in throughput.JOBS.values():  # the published ones take seconds for a step
        monkeypatch.setattr(job, "model", "cnn_1d")
        monkeypatch.setattr(job, "options", {"channels": 4})
    rows = []
    measure = throughput.measure
    monkeypatch.setattr(throughput, "measure", lambda *given: rows.extend(found := measure(*given)) or found)
    throughput.main([*SIZES, "--ways", *WAYS])
    table = pd.DataFrame(rows)
    assert table.groupby("run")["way"].apply(list).tolist() == [WAYS] * 2
    assert (table["clips per second"] > 0).all()
    assert table["waiting (%)"].between(0, 100).all()
    assert (table["batch"] == 4).all()
    assert not (tmp_path / "throughput.csv").exists()  # a CPU, and other sizes
    with pytest.raises(SystemExit):
        throughput.main(["CLMRR"])
    assert "there is no run 'CLMRR'" in capsys.readouterr().err
