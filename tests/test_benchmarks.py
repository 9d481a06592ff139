"""Benchmarks run: their numbers are not tested, a machine that is busy gives others."""

import pytest

from benchmarks import training


def test_training_compares_the_textbook_form_with_the_fast_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "TABLE", tmp_path / "training.csv")
    training.main(["cnn_1d", "--batch-size", "2", "--repeats", "1"])
    printed = capsys.readouterr().out
    for column in ("as published (ms)", "ours (ms)", "bf16 (ms)", "ours ×"):
        assert column in printed
    assert not training.TABLE.exists()  # of a few models there is no table
    with pytest.raises(ValueError, match="did you mean 'cnn_1d'"):
        training.main(["cnn1d"])
