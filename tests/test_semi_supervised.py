"""Learning with few labels: budgets, pairings, and each paradigm's loss against its definition."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from tones import Tones, small
from torch.nn import functional as F

from mclass import augmentations, training
from mclass.datasets.unlabelled.budgets import WithUnlabelled, label_budget
from mclass.errors import DatasetError, ModelError

TRAIN, VALID, POOL = Tones(12), Tones(9, seed=1), Tones(30, seed=2)
NOISE = augmentations.Noise(0, 20)

PARADIGMS = {
    "noisy student": lambda model: training.NoisyStudent(model, small(1), POOL, augment=NOISE, learning_rate=0.01),
    "consistency": lambda model: training.Consistency(model, POOL, augment=NOISE, learning_rate=0.01, ramp_up=2),
    "mean teacher": lambda model: training.MeanTeacher(model, POOL, augment=NOISE, learning_rate=0.01),
    "entropy": lambda model: training.EntropyMinimisation(model, POOL, weight=0.1, learning_rate=0.01),
    "distillation": lambda model: training.Distillation(model, small(1), learning_rate=0.01),
}


def quiet(model):
    """Without dropout, so that two calls give the same."""
    model.dropout.p = 0.0
    return model


def waveforms(rows=5):
    return torch.randn(rows, 4000, generator=torch.Generator().manual_seed(0))


# ---- data


def test_budgets_are_nested_whole_tracks():
    dataset = Tones(60)
    dataset.track_ids = np.arange(60) // 4
    before = set()
    for share in (0.01, 0.05, 0.24, 0.5, 1.0):
        labelled, rest = label_budget(dataset, share, seed=3)
        clips = set(labelled.indices.tolist())
        assert before <= clips
        assert abs(len(clips) - share * 60) <= 2 or (share == 0.01 and len(clips) == 4)
        assert (rest is None) == (share == 1)
        if rest is not None:
            assert clips.isdisjoint(rest.indices.tolist())
            assert len(clips) + len(rest) == 60
            assert not set(labelled.track_ids) & set(rest.track_ids)
        before = clips
    other, _ = label_budget(dataset, 0.24, seed=4)
    assert set(other.indices) != set(label_budget(dataset, 0.24, seed=3)[0].indices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.0,), "above 0"), ((5,), "percentage"), ((float("nan"),), "nan"), ((0.5, 0, "song"), "'song'")],
)
def test_budgets_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        label_budget(TRAIN, *arguments)
    with pytest.raises(DatasetError, match="no clips"):
        label_budget(TRAIN.subset([]), 0.5)


def test_every_unlabelled_clip_comes_before_any_comes_again():
    pool = Tones(10, seconds=0.25)  # a crop is the whole clip
    examples = WithUnlabelled(TRAIN, pool, 4000, per_example=2, seed=1)
    known = {tuple(pool.audio[i][:5].tolist()): i for i in range(10)}
    seen = []
    for epoch in range(5):
        for index in range(len(TRAIN)):
            waveform, labels, others = examples[epoch, index]
            assert torch.equal(waveform, examples[epoch, index][0])
            assert torch.equal(labels, torch.from_numpy(TRAIN.labels[index]).float())
            seen += [known[tuple(other[:5].tolist())] for other in others]
    turns = np.array(seen).reshape(-1, 10)
    assert (np.sort(turns, axis=1) == np.arange(10)).all()
    assert len({tuple(turn) for turn in turns}) > 1
    with pytest.raises(ValueError, match="per_example"):
        WithUnlabelled(TRAIN, pool, 4000, per_example=0)
    pool.sample_rate = 22050
    with pytest.raises(DatasetError, match="22050"):
        WithUnlabelled(TRAIN, pool, 4000)


# ---- losses


def test_a_noisy_student_learns_what_its_teacher_says_of_the_clean_clip():
    student, teacher = quiet(small(0)), small(1)
    x = waveforms()
    task = training.NoisyStudent(student, teacher, POOL, augment=augmentations.Gain(-20, -20)).train()
    with torch.no_grad():
        p = teacher.eval()(x).sigmoid()
        logits = student(0.1 * x)
    expected = -(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits)).mean()
    torch.testing.assert_close(task.unlabelled_loss(x), expected)
    hard = training.NoisyStudent(student, teacher, POOL, kind="hard", threshold=0.5).train()
    with torch.no_grad():
        expected = F.binary_cross_entropy_with_logits(student(x), (p > 0.5).float())
    torch.testing.assert_close(hard.unlabelled_loss(x), expected)


def test_consistency_compares_with_the_clip_as_it_is_and_gives_that_no_gradient():
    model = quiet(small())
    x = waveforms()
    task = training.Consistency(model, POOL, augment=augmentations.Gain(-20, -20)).train()
    with torch.no_grad():
        expected = (model(0.1 * x).sigmoid() - model(x).sigmoid()).square().mean()
    torch.testing.assert_close(task.unlabelled_loss(x), expected)


def test_a_mean_teacher_is_an_average_of_its_student():
    model = quiet(small())
    task = training.MeanTeacher(model, POOL, augment=NOISE, momentum_of_teacher=0.9)
    start = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    task.on_train_batch_end()
    for mean, first in zip(task.teacher.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(mean, first + 0.1)
    assert task.judged is task.teacher
    assert not task.train().teacher.training


@pytest.mark.parametrize(
    "make",
    [
        lambda model: training.MeanTeacher(
            model, POOL, augment=NOISE, momentum_of_teacher=0.5, schedule="constant"
        ),
        lambda model: training.MoCo(model, augment=None, queue_size=8, momentum_of_keys=0.5, schedule="constant"),
    ],
)
def test_followers_move_once_for_each_step(make, monkeypatch):
    task, steps, followed = make(small()), [], []
    follower = task.teacher if hasattr(task, "teacher") else task.key_model
    weight, led = next(follower.parameters()), next(task.model.parameters())
    end = task.on_train_batch_end

    def on_train_batch_end(*arguments):
        before = weight.clone()
        end(*arguments)
        if task.trainer.global_step > len(steps):
            steps.append(task.trainer.global_step)
            assert not torch.equal(led, before)
            torch.testing.assert_close(weight, before.lerp(led, 0.5))
            followed.append(True)
        else:
            assert torch.equal(weight, before)

    task.on_train_batch_end = on_train_batch_end
    task.unused_parameters = True
    training.fit(task, Tones(22), VALID, epochs=1, batch_size=4, accumulate=2, progress=False)
    assert len(followed) == 3  # six batches


def test_entropy_is_that_of_the_answers():
    model = quiet(small())
    p = model(waveforms()).sigmoid()
    expected = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    torch.testing.assert_close(training.EntropyMinimisation(model, POOL).unlabelled_loss(waveforms()), expected)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_distillation_mixes_labels_and_teacher(weight):
    student, teacher = quiet(small(0)), small(1).eval()
    x, y = waveforms(), (torch.rand(5, 3) < 0.5).float()
    gain = augmentations.Gain(-6, -6)
    task = training.Distillation(student, teacher, temperature=2.0, weight=weight, augment=gain).train()
    with torch.no_grad():
        heard = gain(x)
        s, t = student(heard), teacher(heard)
        p = (t / 2).sigmoid()
        divergence = p * (p.log() - F.logsigmoid(s / 2)) + (1 - p) * ((1 - p).log() - F.logsigmoid(-s / 2))
        expected = (1 - weight) * F.binary_cross_entropy_with_logits(s, y) + weight * 4 * divergence.mean()
    torch.testing.assert_close(task.batch_loss((x, y)), expected)


def test_the_second_loss_is_weighed_and_ramped_up():
    for ramp_up, rise in ((0, 1.0), (1, 0.5), (3, 0.25)):
        model = quiet(small())
        task = training.EntropyMinimisation(model, POOL, weight=0.4, ramp_up=ramp_up)
        task.log = lambda *_, **__: None
        x, y, others = waveforms(), torch.zeros(5, 3), waveforms(10).view(5, 2, 4000)
        expected = training.Tagging(model).batch_loss((x, y))
        expected = expected + 0.4 * rise * task.unlabelled_loss(others.flatten(0, 1))
        torch.testing.assert_close(task.batch_loss((x, y, others)), expected)


# ---- runs


@pytest.mark.parametrize("name", PARADIGMS)
def test_runs_learn_repeat_and_resume(name, tmp_path):
    def run(epochs, folder, **options):
        task = PARADIGMS[name](small())
        result = training.fit(
            task, TRAIN, VALID, epochs=epochs, batch_size=4, folder=folder, progress=False, **options
        )
        return task, result

    task, whole = run(4, tmp_path / "whole")
    run(2, tmp_path / "parts")
    again, resumed = run(4, tmp_path / "parts", resume=True)
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert whole.history.train_loss.iloc[-1] < whole.history.train_loss.iloc[0]
    assert ("unlabelled_loss" in whole.history) == (name != "distillation")
    with pytest.raises(ModelError, match="paradigm"):
        training.fit(
            training.Tagging(small()), TRAIN, VALID, epochs=5, batch_size=4, folder=tmp_path / "whole",
            resume=True, progress=False,
        )  # fmt: skip


def test_a_teacher_is_not_trained():
    teacher = small(1)
    before = copy.deepcopy(teacher.state_dict())
    task = training.NoisyStudent(small(), teacher, POOL)
    training.fit(task, TRAIN, VALID, epochs=1, batch_size=4, progress=False)
    assert all(torch.equal(value, teacher.state_dict()[key]) for key, value in before.items())


# ---- what is refused


def other(**changes):
    model = small(1)
    for name, value in changes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (small(1, num_tags=4), "4 outputs and the student 3"),
        (other(tags=["low", "high", "hiss"]), "different tags.*hiss"),
        (other(tags=["high", "low", "noise"]), "another order"),
        (other(sample_rate=22050), "22050 Hz and the student 16000"),
        (other(min_samples=8000), "4000 samples and the teacher needs 8000"),
    ],
)
@pytest.mark.parametrize(
    "make", [training.Distillation, lambda student, teacher: training.NoisyStudent(student, teacher, POOL)]
)
def test_teachers_that_do_not_fit(make, teacher, message):
    student = other(tags=["low", "high", "noise"])
    with pytest.raises(ModelError, match=message):
        make(student, teacher)


@pytest.mark.parametrize("make", [training.Distillation, lambda *both: training.NoisyStudent(*both, POOL)])
def test_a_teacher_must_know_the_tags_of_the_clips(make):
    """A new student has no names for its outputs yet: only the clips have."""
    for tags in (TRAIN.tags[::-1], ["cat", "dog", "bird"]):
        with pytest.raises(ModelError, match="other tags than the clips"):
            training.fit(make(small(), other(tags=tags)), TRAIN, VALID, epochs=1, progress=False)
    training.fit(make(small(), other(tags=TRAIN.tags)), TRAIN, VALID, epochs=1, batch_size=4, progress=False)


def test_a_mean_teacher_may_learn_new_words_with_its_student():
    task = training.MeanTeacher(other(tags=["cat", "dog", "bird"]), POOL, augment=NOISE)
    training.fit(task, TRAIN, VALID, epochs=1, batch_size=4, progress=False)
    assert task.model.tags == TRAIN.tags


def test_a_teacher_is_somebody_else():
    model = small()
    with pytest.raises(ModelError, match="one and the same"):
        training.Distillation(model, model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: training.Consistency(small(), POOL), "give augment"),
        (lambda: training.EntropyMinimisation(small(), POOL, weight=-1), "weight"),
        (lambda: training.EntropyMinimisation(small(), POOL, ramp_up=0.5), "ramp_up"),
        (
            lambda: training.MeanTeacher(small(), POOL, augment=NOISE, momentum_of_teacher=1.0),
            "momentum_of_teacher",
        ),
        (lambda: training.Distillation(small(), small(1), weight=2), "from 0 to 1"),
        (lambda: training.NoisyStudent(small(), small(1), POOL, kind="firm"), "'firm'"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unlabelled_clips_of_another_rate():
    pool = Tones(6)
    pool.sample_rate = 22050
    with pytest.raises(ModelError, match="22050"):
        training.fit(training.EntropyMinimisation(small(), pool), TRAIN, VALID, epochs=1, progress=False)
