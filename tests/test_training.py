"""Training: it learns, repeats exactly, survives a kill, and refuses what it cannot train on."""

import dataclasses
import inspect
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import ClassVar

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from tones import Tones, small
from training_distributed import PARADIGMS, Plain

from mclass import augmentations, inference, losses, metrics, models, training
from mclass._utils import memory
from mclass.datasets import Chunks, EpochSampler, RandomCrops
from mclass.errors import DatasetError, ModelError
from mclass.training.engine.options import Options
from mclass.training.engine.quiet import quiet
from mclass.training.engine.run_folder import Keeper

TRAIN, VALID = Tones(24), Tones(9, seed=1)
ABSENT = "mps" if torch.cuda.is_available() else "cuda"


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(model=None, train=TRAIN, valid=VALID, task=None, **options):
    task = task or training.Tagging(model or small(), learning_rate=0.01)
    options = {"epochs": 2, "batch_size": 8, "progress": False} | options
    return task, training.fit(task, train, valid, **options)


def weights(task):
    return torch.cat([value.flatten().double() for value in task.model.state_dict().values()])


def best_of(history, score):
    return history.sort_values([score, "valid_loss"], ascending=[False, True]).index[0]


def test_among_equal_scores_the_lower_loss_is_best(tmp_path):
    keeper = Keeper(tmp_path, {}, monitor="valid_accuracy", larger_is_better=True, seed=0, patience=2)
    for score, loss in [(0.4, 0.9), (0.5, 0.8), (0.5, 0.6), (0.5, 0.7), (0.3, 0.1)]:
        keeper.rows.append({"valid_accuracy": score, "valid_loss": loss})
        assert not keeper.out_of_patience or len(keeper.rows) == 5
    assert keeper.best_epoch == 2
    assert keeper.out_of_patience


def test_it_learns_and_keeps_the_best(tmp_path):
    task, result = run(epochs=6, folder=tmp_path)
    history = result.history
    assert history.columns.tolist() == [
        *("epoch", "train_loss", "valid_loss", "valid_roc_auc", "valid_pr_auc", "learning_rate")
    ]
    assert history.epoch.tolist() == list(range(6))
    assert history.train_loss.iloc[-1] < 0.8 * history.train_loss.iloc[0]
    assert result.best_epoch == best_of(history, "valid_roc_auc")
    assert history.valid_roc_auc.max() > 0.9
    # What is logged is what inference and the metrics say of the weights that were kept.
    scores = inference.predict(task.model, VALID)
    best = history.iloc[result.best_epoch]
    assert metrics.roc_auc(VALID.labels, scores) == pytest.approx(best.valid_roc_auc)
    assert metrics.pr_auc(VALID.labels, scores) == pytest.approx(best.valid_pr_auc)
    loss = -np.where(VALID.labels == 1, np.log(scores), np.log(1 - scores)).mean()
    assert loss == pytest.approx(best.valid_loss, rel=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "last.ckpt", "history.csv"}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history)
    again = models.load_weights(small(), tmp_path / "model.pt")
    assert again.tags == TRAIN.tags
    np.testing.assert_array_equal(inference.predict(again, VALID), scores)


def test_single_label_uses_accuracy():
    train, valid = Tones(24, multilabel=False), Tones(9, seed=1, multilabel=False)
    task = training.Tagging(small(), learning_rate=0.01, multilabel=False, optimizer="nadam")
    task, result = run(train=train, valid=valid, task=task, epochs=5)
    assert result.history.valid_accuracy.max() > 0.7
    assert result.best_epoch == best_of(result.history, "valid_accuracy")
    scores = inference.predict(task.model, valid)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    best = result.history.iloc[result.best_epoch]
    assert metrics.accuracy(valid.labels, scores) == pytest.approx(best.valid_accuracy)
    assert -np.log(scores[valid.labels == 1]).mean() == pytest.approx(best.valid_loss, rel=1e-4)


def test_the_first_epoch_equals_a_bare_loop():
    """One epoch of fit against a plain PyTorch loop over the same crops."""
    model, fitted = small(), small()
    model.dropout.p = fitted.dropout.p = 0.0
    task, result = run(epochs=1, model=fitted, batch_size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    crops = RandomCrops(TRAIN, 4000, seed=0)
    order = np.random.default_rng((0, 0)).permutation(24)
    losses = []
    for batch in order.reshape(3, 8):
        waveform, labels = (torch.stack(parts) for parts in zip(*(crops[int(i)] for i in batch), strict=True))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(waveform), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert result.history.train_loss[0] == pytest.approx(np.mean(losses), rel=1e-5)
    for key, value in task.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], msg=key)


def test_same_seed_same_result_and_global_state_is_left_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    (a, first), (b, second), (c, _) = (run(model=small(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights(a), weights(b))
    assert not torch.equal(weights(a), weights(c))
    pd.testing.assert_frame_equal(first.history, second.history)
    torch.manual_seed(5)
    training.fit(training.Tagging(a.model), TRAIN, VALID, epochs=1, progress=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_change_nothing():
    (a, _), (b, _) = (run(model=small(), num_workers=workers) for workers in (0, 1))
    assert torch.equal(weights(a), weights(b))


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_training import run, training, small
task = training.Tagging(
    small(), optimizer="nesterov", learning_rate=1.0, schedule_options=dict(patience=0, factor=0.5)
)
if {slow}:
    import time
    step = task.training_step
    def training_step(batch, batch_idx):
        if task.current_epoch == {slow} and batch_idx == 1:
            print("in the middle", flush=True)
            time.sleep(60)
        return step(batch, batch_idx)
    task.training_step = training_step
run(task=task, epochs=6, folder={folder!r}, resume=True, seed=3, patience=5)
"""


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent), slow=3, folder=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(pd.read_csv(tmp_path / "killed" / "history.csv")) == 3
    (tmp_path / "killed" / ".model.pt.123.tmp").write_bytes(b"half")  # what a kill while writing leaves

    results = {}
    for name in ("killed", "uninterrupted"):
        task = training.Tagging(
            small(), optimizer="nesterov", learning_rate=1.0, schedule_options={"patience": 0, "factor": 0.5}
        )
        task, result = run(task=task, epochs=6, folder=tmp_path / name, resume=True, seed=3, patience=5)
        last = torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        results[name] = (task, result, last, (tmp_path / name / "history.csv").read_text())
    (a, first, last_a, csv_a), (b, second, last_b, csv_b) = results.values()
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert csv_a == csv_b
    assert first.history.learning_rate.nunique() > 1  # the plateau did something, so its state mattered
    assert (first.best_epoch, len(first.history)) == (second.best_epoch, len(second.history))
    assert torch.equal(weights(a), weights(b))
    assert last_a["task"].keys() == last_b["task"].keys()
    assert all(torch.equal(last_a["task"][key], last_b["task"][key]) for key in last_a["task"])
    momentum = [last["optimizers"][0]["state"][0]["momentum_buffer"] for last in (last_a, last_b)]
    assert torch.equal(*momentum)
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {"model.pt", "last.ckpt", "history.csv"}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_more_epochs_later_equals_all_at_once(tmp_path, num_workers):
    options = {"folder": tmp_path / "a", "num_workers": num_workers}
    run(model=small(), epochs=1, **options)
    a, first = run(model=small(seed=9), epochs=3, resume=True, **options)  # other first weights must not matter
    b, second = run(model=small(), epochs=3)
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert torch.equal(weights(a), weights(b))
    again, third = run(model=small(seed=9), epochs=3, resume=True, folder=tmp_path / "a")  # nothing left to do
    pd.testing.assert_frame_equal(third.history, first.history, check_exact=True)
    assert torch.equal(weights(again), weights(a))


def test_a_kill_between_two_files_is_repaired(tmp_path):
    """model.pt and history.csv of the third epoch are written, last.ckpt is still of the second."""
    run(model=small(), epochs=2, folder=tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    a, first = run(model=small(), epochs=3, folder=tmp_path, resume=True)
    (tmp_path / "last.ckpt").write_bytes(before)
    b, second = run(model=small(), epochs=3, folder=tmp_path, resume=True)
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize("first", [0, 2])
def test_crops_are_told_the_epoch(tmp_path, monkeypatch, first):
    seen = []
    getitem = RandomCrops.__getitem__
    monkeypatch.setattr(RandomCrops, "__getitem__", lambda self, index: seen.append(index) or getitem(self, index))
    if first:
        run(epochs=first, folder=tmp_path, seed=4)
        seen.clear()
    run(epochs=first + 2, folder=tmp_path, seed=4, resume=True)
    sampler, expected = EpochSampler(24, seed=4), []
    for epoch in (first, first + 1):
        sampler.set_epoch(epoch)
        expected += list(sampler)
    assert seen == expected


def test_any_lightning_trainer_runs_the_task():
    """Without fit: default batches, a sanity check before training, undefined tags named once."""
    valid = Tones(8, seed=1)
    valid.labels = valid.labels.copy()
    valid.labels[:, 1] = 0
    task = training.Tagging(small(), learning_rate=0.01)
    task.model.tags = valid.tags
    loaders = (
        torch.utils.data.DataLoader(RandomCrops(TRAIN, 4000), batch_size=8),
        torch.utils.data.DataLoader(Chunks(valid, 4000), batch_size=2),
    )
    with quiet(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", metrics.UndefinedTagsWarning)
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, *loaders)
    assert [str(w.message) for w in caught if w.category is metrics.UndefinedTagsWarning] == [
        "ROC-AUC is undefined for 1 of 3 tags, which have no positive or no negative example: high"
    ]
    scores = inference.predict(task.model, valid)
    with pytest.warns(metrics.UndefinedTagsWarning):
        assert trainer.callback_metrics["valid_roc_auc"] == pytest.approx(metrics.roc_auc(valid.labels, scores))


def test_bf16_is_close():
    _, exact = run(model=small(), epochs=1)
    _, rough = run(model=small(), epochs=1, precision="bf16")
    assert rough.history.train_loss[0] == pytest.approx(exact.history.train_loss[0], rel=0.05)
    assert rough.history.train_loss[0] != exact.history.train_loss[0]


def test_a_compiled_model_learns_the_same_and_is_left_as_it_was(monkeypatch, tmp_path):
    """With a stand-in for the compiler, which takes a minute."""
    calls = []

    def compiler(function, **_):
        def compiled(*arguments):
            calls.append(function.__name__)
            return function(*arguments)

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    (plain, expected), (task, found) = run(), run(compile=True, folder=tmp_path)
    pd.testing.assert_frame_equal(found.history, expected.history, check_exact=True)
    assert torch.equal(weights(task), weights(plain))
    assert "forward" in calls
    assert not {"forward", "embed", "features"} & vars(task.model).keys()
    calls.clear()
    run(task=training.Contrastive(small(), augment=None), epochs=1, compile=True)
    assert set(calls) == {"embed"}  # the way this task calls it
    with pytest.raises(ModelError, match="compile = True and this one None"):
        run(folder=tmp_path, resume=True)


def test_keeping_memory_changes_no_result(monkeypatch):
    a, _ = run(model=small(), epochs=1)
    monkeypatch.setattr(memory, "_glibc", lambda: None)  # as on macOS and Windows
    b, _ = run(model=small(), epochs=1)
    assert torch.equal(weights(a), weights(b))
    monkeypatch.undo()

    class Recorder:
        calls: ClassVar[list] = []
        mallopt = malloc_trim = lambda self, *args: self.calls.append(args)

    monkeypatch.setattr(memory, "_glibc", Recorder)
    with pytest.raises(RuntimeError), training.keep_freed_memory():
        raise RuntimeError
    keep, give_back = [(-3, 1 << 30), (-1, (1 << 31) - 1)], [(-3, 1 << 25), (-1, 1 << 26), (0,)]
    assert Recorder.calls == keep + give_back
    Recorder.calls.clear()
    with training.keep_freed_memory(), training.keep_freed_memory():
        pass
    assert Recorder.calls == keep + keep + give_back


def test_resume_refuses_another_run(tmp_path):
    run(epochs=1, folder=tmp_path)
    with pytest.raises(ModelError, match="already holds a run"):
        run(epochs=1, folder=tmp_path)
    with pytest.raises(ModelError, match="batch_size = 8 and this one 4"):
        run(epochs=2, folder=tmp_path, resume=True, batch_size=4)
    task = training.Tagging(small(), learning_rate=0.5)
    with pytest.raises(ModelError, match="learning_rate"):
        run(task=task, folder=tmp_path, resume=True)
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        run(epochs=2, folder=tmp_path, resume=True)


def test_early_stopping_and_its_resume(tmp_path):
    valid = Tones(9, seed=1)
    task = training.Tagging(small(), optimizer="sgd", learning_rate=1e-9)  # learns nothing: scores hardly move
    _, result = run(task=task, valid=valid, epochs=30, patience=2, folder=tmp_path)
    assert len(result.history) == result.best_epoch + 3 < 30
    task = training.Tagging(small(), optimizer="sgd", learning_rate=1e-9)
    _, again = run(task=task, valid=valid, epochs=30, patience=2, folder=tmp_path, resume=True)
    pd.testing.assert_frame_equal(again.history, result.history, check_exact=True)


def test_nothing_is_left_or_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(epochs=1)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    run(epochs=1, progress=True)
    assert "epoch 1/1: 100%" in capfd.readouterr().err


def test_tensorboard_events(tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, result = run(epochs=2, folder=tmp_path, logger="tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("train_loss", "valid_roc_auc", "learning_rate"):
        logged = [(event.step, event.value) for event in events.Scalars(name)]
        assert logged == [(i, pytest.approx(value)) for i, value in enumerate(result.history[name])]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_checking_the_data_changes_nothing_and_preparing_does(paradigm):
    task, train, valid = PARADIGMS[paradigm](Plain()), Tones(28), Tones(9, seed=1)
    before = {module: dict(vars(module)) for module in task.modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        task.check_data(train, valid)
    for module, values in before.items():
        assert vars(module).keys() == values.keys()
        assert all(vars(module)[name] is value for name, value in values.items()), type(module)
    task.prepare(train, valid)
    assert task.model.tags == train.tags


def test_tags_without_examples_are_named_once():
    train, valid = Tones(24), Tones(9, seed=1)
    train.labels, valid.labels = train.labels.copy(), valid.labels.copy()
    train.labels[:, 1] = valid.labels[:, 1] = 0
    with pytest.warns(metrics.UndefinedTagsWarning) as caught:
        _, result = run(train=train, valid=valid, epochs=3)
    assert sorted(str(w.message)[:30] for w in caught) == sorted(
        ["the training clips have no exa", "1 of 3 tags have no positive o"]
    )
    assert all(str(w.message).endswith(": high") for w in caught)
    assert result.history.notna().all().all()
    valid.labels[:] = 0
    train.labels[:, 1] = 1
    with pytest.raises(DatasetError, match="none of the 3 tags can be scored"):
        run(train=train, valid=valid)


def test_nan_stops_with_the_batch(tmp_path):
    train = Tones(24)
    train.audio[5] = torch.full_like(train.audio[5], float("nan"))
    with pytest.raises(ModelError, match=r"the loss became nan in epoch 0, batch \d .*rows \[\d\] hold NaN"):
        run(train=train, folder=tmp_path)
    kept = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    waveform, labels = kept["batch"]
    assert waveform.isnan().all(1).sum() == 1
    assert len(labels) == len(waveform) == 8
    task = training.Tagging(small(), optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ModelError, match=r"(loss became|outputs).*epoch 0.*learning rate too high"):
        run(task=task)


def test_nan_found_by_the_loss_itself_stops_with_the_batch_too(tmp_path):
    train = Tones(24)
    train.audio[5] = torch.full_like(train.audio[5], float("nan"))
    task = training.Tagging(small(), criterion=losses.FocalLoss())
    with pytest.raises(
        ModelError, match=r"loss became NaN or infinity in epoch 0, batch \d .*rows \[\d\] hold NaN"
    ):
        run(task=task, train=train, folder=tmp_path)
    assert (tmp_path / "bad_batch.pt").exists()
    model = small()
    model.head.weight.data.fill_(float("inf"))
    with pytest.raises(ModelError, match=r"epoch 0, batch 0 .*FocalLoss is not finite: logits has"):
        run(task=training.Tagging(model, criterion=losses.FocalLoss()))


def test_an_interrupted_validation_leaves_nothing():
    task, valid = training.Tagging(small()), Tones(48, seed=1)  # two batches of clips
    seen = []

    def interrupted(chunks):
        seen.append(len(chunks))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return chunks[:, :3].sigmoid()

    task.clip_outputs = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(task=task, valid=valid)
    del task.clip_outputs
    counts, judge = [], task.evaluate
    task.evaluate = lambda outputs, labels: (counts.append(len(outputs)), judge(outputs, labels))[1]
    run(task=task, valid=valid, epochs=1)
    assert counts == [48]


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("exponential", {"factor": 0.5}, [0.01, 0.005, 0.0025]),
        ("cosine", {}, [0.01, 0.0075, 0.0025]),
    ],
)
def test_the_history_has_the_rate_that_each_epoch_was_learned_with(schedule, options, expected):
    task = training.Tagging(
        small(), learning_rate=0.01, layer_decay=0.5, schedule=schedule, schedule_options=options
    )
    _, result = run(task=task, epochs=3)
    np.testing.assert_allclose(result.history.learning_rate, expected)


def test_numbers_of_numpy_can_be_resumed(tmp_path):
    def task():
        options = {"learning_rate": np.geomspace(0.01, 0.1, 2)[0], "schedule_options": {"factor": np.float64(0.5)}}
        return training.Tagging(small(), **options)

    _, whole = run(task=task(), seed=np.int64(3))
    run(task=task(), seed=np.int64(3), epochs=1, folder=tmp_path)
    _, resumed = run(task=task(), seed=np.int64(3), folder=tmp_path, resume=True)
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)


def test_what_scales_gradients_is_kept(tmp_path, monkeypatch):
    # fp16 needs a GPU; what it keeps is asked of the plugin, whatever that is.
    plugin, loaded = lightning.pytorch.plugins.Precision, []
    monkeypatch.setattr(plugin, "state_dict", lambda self: {"scale": 1024.0})
    monkeypatch.setattr(plugin, "load_state_dict", lambda self, state: loaded.append(state))
    run(epochs=1, folder=tmp_path)
    assert loaded == []
    run(epochs=2, folder=tmp_path, resume=True)
    assert loaded == [{"scale": 1024.0}]


def test_resume_refuses_other_weights_of_a_loss(tmp_path):
    def task(alpha):
        return training.Tagging(small(), criterion=losses.FocalLoss(alpha=alpha))

    run(task=task(0.25), epochs=1, folder=tmp_path)
    with pytest.raises(ModelError, match=r"alpha=\[0.25\].* and this one .*alpha=\[0.3\]"):
        run(task=task(0.3), folder=tmp_path, resume=True)


def test_fit_and_its_options_agree():
    """By name and default: they are written down in both places."""
    taken = {one.name: one.default for one in inspect.signature(training.fit).parameters.values()}
    del taken["task"], taken["train"], taken["valid"]
    missing = {dataclasses.MISSING: inspect.Parameter.empty}
    assert taken == {one.name: missing.get(one.default, one.default) for one in dataclasses.fields(Options)}


def test_a_last_batch_of_one_is_left_out():
    model = models.create("homework_fcn", num_tags=3, channels=(2, 2, 2, 2))
    train, valid = Tones(5, seconds=3), Tones(3, seconds=3)
    _, result = run(model=model, train=train, valid=valid, epochs=1, batch_size=2)
    assert np.isfinite(result.history.train_loss[0])
    with pytest.raises(ValueError, match="at least 2 waveforms"):
        run(model=model, train=train, valid=valid, epochs=1, batch_size=1)


def test_clips_of_different_lengths():
    lengths = np.array([0.26, 0.5, 1.0, 0.3, 2.6, 0.25, 0.9, 0.4, 0.7])
    valid = Tones(9, seconds=lengths, seed=1)
    task, result = run(valid=valid, epochs=1)
    expected = []
    task.model.eval()
    with torch.no_grad():
        for clip in valid.audio:
            starts = range(0, len(clip) - 3999, 4000)
            expected.append(
                np.mean([task.model(clip[None, s : s + 4000]).sigmoid()[0].numpy() for s in starts], 0)
            )
    assert result.history.valid_roc_auc[0] == pytest.approx(metrics.roc_auc(valid.labels, np.array(expected)))
    short = Tones(9, seconds=0.1)
    with pytest.raises(DatasetError, match="9 of 9 clips are shorter"):
        run(train=short)
    run(train=short, valid=short, pad=True, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"logger": "wandb"}, "unknown logger 'wandb'"),
        ({"precision": "bf61"}, r"unknown precision 'bf61' \(did you mean 'bf16'\?\)"),
        ({"resume": True}, "needs the folder"),
        ({"train": TRAIN.subset([])}, "no clips"),
        ({"valid": Tones(9, multilabel=False)}, "multilabel=False"),
        ({"model": small(num_tags=4)}, "num_tags=3"),
        ({"model": small().requires_grad_(False)}, "all layers are frozen.*training.probe"),
        ({"accelerator": "tpu"}, "accelerator='tpu' and devices=1 cannot be had here"),
        ({"accelerator": ABSENT}, f"accelerator='{ABSENT}' and devices=1 cannot be had here"),
        ({"accelerator": "gpuu"}, "gpuu"),
    ],
)
def test_fit_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_fit_refuses_other_tags_rates_and_folders(tmp_path):
    other = Tones(9)
    other.tags = ["low", "high", "hiss"]
    with pytest.raises(DatasetError, match=r"\['hiss', 'noise'\]"):
        run(valid=other)
    other = Tones(9)
    other.sample_rate = 22050
    with pytest.raises(ModelError, match="expects 16000 Hz and 'tones' has 22050 Hz"):
        run(train=other)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be used"):
        run(folder=tmp_path / "file")
    many = len(VALID) + 1
    with pytest.raises(DatasetError, match=f"{len(VALID)} validation clips cannot be shared by {many} processes"):
        run(folder=tmp_path / "run", devices=many, batch_size=many)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"momentum": 1.0}, "momentum"),
        ({"schedule": "plato"}, "did you mean 'plateau'"),
        ({"schedule_options": {"factor": 2}}, "factor of the schedule 'plateau'"),
        ({"layer_decay": 0}, "layer_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"model": torch.nn.Linear(1, 1)}, "WaveformModel"),
    ],
)
def test_tagging_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        training.Tagging(**({"model": small()} | options))


def augmented(**options):
    """A task whose every batch is transposed, softened or delayed, mixed and masked."""
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=3, channels=8)
    model.num_samples = 4000
    chain = augmentations.Compose(
        [
            augmentations.RandomApply(augmentations.PitchShift(16000)),
            augmentations.Gain(),
            augmentations.Noise(0, 20),
        ]
    )
    augment = [chain, augmentations.Mixup(0.4), augmentations.SpecAugment(2, 20, 1, 4)]
    return training.Tagging(model, learning_rate=0.01, augment=augment, **options)


def test_augmented_runs_repeat_and_resume_exactly(tmp_path):
    (whole, first), (again, second) = (
        run(task=augmented(), epochs=4),
        run(task=augmented(), epochs=4, num_workers=1),
    )
    pd.testing.assert_frame_equal(first.history, second.history)
    assert torch.equal(weights(whole), weights(again))
    run(task=augmented(), epochs=2, folder=tmp_path)
    resumed, third = run(task=augmented(), epochs=4, folder=tmp_path, resume=True)
    pd.testing.assert_frame_equal(first.history, third.history)
    assert torch.equal(weights(whole), weights(resumed))
    plain = training.Tagging(augmented().model, learning_rate=0.01)
    assert run(task=plain, epochs=1)[1].history.train_loss[0] != first.history.train_loss[0]
    with pytest.raises(ModelError, match=r"augment = .Compose\(.*SpecAugment\(freq_masks=2.* and this one None"):
        run(task=plain, epochs=5, folder=tmp_path, resume=True)


def test_only_training_batches_are_augmented_and_with_numbers_of_the_epoch():
    model = small()
    model.dropout = torch.nn.Identity()  # would draw from the same generator
    model.register_forward_pre_hook(lambda module, inputs: heard[module.training].append(inputs[0]))
    chain = augmentations.Compose([augmentations.Noise(0, 20), augmentations.Delay(16000, 10, 30)])
    heard = {True: [], False: []}
    run(task=training.Tagging(model, augment=chain), epochs=2)
    training_heard, valid_heard = heard[True], torch.cat(heard[False])
    crops = RandomCrops(TRAIN, 4000, seed=0)
    for epoch in range(2):
        order = np.random.default_rng((0, epoch)).permutation(24)
        torch.manual_seed(int(np.random.SeedSequence((0, epoch)).generate_state(1)[0]))
        for batch in order.reshape(3, 8):
            expected = chain(torch.stack([crops[(epoch, int(i))][0] for i in batch]))
            assert torch.equal(training_heard.pop(0), expected)
    chunks = torch.cat([Chunks(VALID, 4000)[i][0] for i in range(len(VALID))])
    assert torch.equal(valid_heard, torch.cat([chunks, chunks]))


def test_mixup_softens_the_labels_of_the_loss():
    task = training.Tagging(small().eval(), augment=augmentations.Mixup(1.0))
    waveform, labels = torch.randn(6, 4000), (torch.rand(6, 3) < 0.4).float()
    torch.manual_seed(3)
    logits, soft = task.augmented(waveform, labels)
    torch.manual_seed(3)
    mixed, expected = augmentations.Mixup(1.0)(waveform, labels)
    assert torch.equal(soft, expected)
    assert torch.equal(logits, task.model(mixed))
    assert ((soft > 0) & (soft < 1)).any()
    by_hand = -(soft * logits.sigmoid().log() + (1 - soft) * (-logits).sigmoid().log()).mean()
    torch.testing.assert_close(task.loss(logits, soft), by_hand)


def test_spec_augment_sees_what_the_front_end_gives_and_leaves_no_trace():
    task = augmented()
    masks = augmentations.SpecAugment(1, 90, 0, 0, value=-77.0)
    task.augment = torch.nn.ModuleList([masks])
    seen = []
    task.model.input_norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    waveform, labels = torch.randn(5, 4000), torch.zeros(5, 3)
    torch.manual_seed(2)
    task.augmented(waveform, labels)
    torch.manual_seed(2)
    assert torch.equal(seen[0], masks(task.model.frontend(waveform)))
    assert (seen[0] == -77).any()
    task.model(waveform)
    assert torch.equal(seen[1], task.model.frontend(waveform))
    raw = training.Tagging(models.create("sample_cnn", num_tags=3), augment=masks)
    for _ in range(2):  # the hook is gone after an error, too
        with pytest.raises(ValueError, match=r"SpecAugment takes floats of shape .*front end"):
            raw.augmented(torch.randn(2, raw.model.num_samples), torch.zeros(2, 3))
        raw.model.eval()(torch.randn(1, raw.model.num_samples))


def test_label_aware_augmentations_are_told_the_labels():
    quieter = augmentations.LabelAware(augmentations.Gain(-20, -20), TRAIN.tags, protect=["low"])
    waveform, labels = torch.ones(2, 4000), torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    task = training.Tagging(small().eval(), augment=quieter)
    logits, _ = task.augmented(waveform, labels)
    torch.testing.assert_close(logits, task.model(waveform * torch.tensor([[1.0], [0.1]])))


@pytest.mark.parametrize(
    "wrong", [lambda x: x, [augmentations.Gain(), "noise"], augmentations.ComposeMany([augmentations.Gain()])]
)
def test_tagging_refuses_what_is_no_augmentation(wrong):
    with pytest.raises(TypeError, match="augment must be a transform"):
        training.Tagging(small(), augment=wrong)


def test_interrupt_is_a_keyboard_interrupt(tmp_path):
    class Interrupted(Tones):
        def waveform(self, *args):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            return super().waveform(*args)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            run(train=Interrupted(24))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
