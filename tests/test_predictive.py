"""CPC and PASE against their definitions; runs, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from tones import Tones

from mclass import augmentations, models, training
from mclass.errors import ModelError
from mclass.frontends import MFCC
from mclass.training.tasks.cpc import moments
from mclass.training.tasks.pase import Chroma, Energy, description

TRAIN, VALID = Tones(16, seconds=1.5), Tones(9, seconds=1.5, seed=1)


def encoder(seed=0, seconds=1.0):
    """The 1D-CNN on chunks of a second: four moments of eight numbers."""
    torch.manual_seed(seed)
    model = models.create("cnn_1d", num_tags=3, channels=8)
    model.num_samples = round(16000 * seconds)
    return model


TASKS = {
    "cpc": lambda: training.CPC(encoder(), steps=2, context_dim=16, learning_rate=0.01),
    "cpc, clips": lambda: training.CPC(encoder(), steps=2, negatives="clips", learning_rate=0.01),
    "pase": lambda: training.PASE(encoder(), learning_rate=0.01),
}


# ---- CPC


def sequences(clips=3, time=5, width=8):
    return torch.randn(clips, time, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("negatives", ["all", "clips"])
@pytest.mark.parametrize("gap", [0, 1])
def test_each_step_finds_its_moment(negatives, gap):
    task = training.CPC(encoder(seconds=1.5), steps=2, gap=gap, context_dim=16, negatives=negatives)
    z = sequences()
    with torch.no_grad():
        context, _ = task.context(z)
        expected = []
        for number, predict in enumerate(task.predictors):
            ahead = number + 1 + gap
            values = []
            for clip in range(3):
                for t in range(5 - ahead):
                    predicted = predict(context[clip, t])
                    places = range(ahead, 5) if negatives == "all" else [t + ahead]
                    scores = {(other, at): float(predicted @ z[other, at]) for other in range(3) for at in places}
                    total = sum(math.exp(score) for score in scores.values())
                    values.append(math.log(total) - scores[clip, t + ahead])
            expected.append(np.mean(values))
        found = [float(task.loss(*pair)) for pair in task.contrasts(z)]
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_context_does_not_know_the_future():
    task = training.CPC(encoder(seconds=1.5), steps=2)
    z = sequences()
    later = z.clone()
    later[:, 3:] = 0
    with torch.no_grad():
        for (before, _), (after, _), step in zip(task.contrasts(z), task.contrasts(later), (1, 2), strict=True):
            before, after = before.view(3, 5 - step, 8), after.view(3, 5 - step, 8)
            assert torch.equal(before[:, :3], after[:, :3])
            if step == 1:
                assert not torch.equal(before[:, 3:], after[:, 3:])


def test_the_batch_loss_is_the_mean_over_steps():
    task = training.CPC(encoder(), steps=2, augment=augmentations.Gain(-6, -6))
    views = torch.randn(4, 1, 16000)
    with torch.no_grad():
        z = moments(task.model, views[:, 0] * 10 ** (-6 / 20))
        expected = torch.stack([task.loss(*pair) for pair in task.contrasts(z)]).mean()
        torch.testing.assert_close(task.batch_loss((views, torch.zeros(4, 3))), expected)


def test_moments_keep_frequency():
    features = models.create("cnn_2d").features
    model = models.create("cnn_2d")
    model.features = lambda x: torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)  # channels, frequency, time
    z = moments(model, torch.zeros(2, 48000))
    assert z.shape == (2, 5, 12)
    assert z[1, 2].tolist() == (60 + 5 * torch.arange(12) + 2).tolist()
    assert features(torch.zeros(1, 48000)).ndim == 4


def test_validation_counts_what_was_found():
    task = training.CPC(encoder(), steps=1, negatives="clips", context_dim=8)
    z = torch.eye(8)[:3, None].expand(3, 2, 8)  # clips that stay as they are, unlike the others

    class Copy(torch.nn.Module):
        def forward(self, x):
            return 9 * x, None

    task.context, task.predictors = Copy(), torch.nn.ModuleList([torch.nn.Identity()])
    found = task.evaluate(z, torch.zeros(3, 3))
    assert float(found["valid_accuracy"]) == 1
    assert float(found["valid_loss"]) == pytest.approx(math.log(1 + 2 * math.exp(-9)), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1"),
        ({"gap": -1}, ValueError, "gap"),
        ({"context_dim": 1.5}, ValueError, "context_dim"),
        ({"negatives": "none"}, ValueError, "'none'"),
        ({"steps": 4}, ModelError, "has 4 moments in a chunk of 16000 samples .1.00 s.*at least 5"),
        ({"steps": 3, "gap": 1}, ModelError, "after a gap of 1 it needs at least 5"),
    ],
)
def test_cpc_refuses(options, error, message):
    with pytest.raises(error, match=message):
        training.CPC(encoder(), **options)


def test_a_batch_without_negatives():
    task = training.CPC(encoder(), steps=2, negatives="clips")
    with pytest.raises(ValueError, match="no negatives"):
        training.fit(task, TRAIN, VALID, epochs=1, batch_size=1, progress=False)


# ---- PASE


def test_descriptions_of_the_sound():
    time = torch.arange(16000) / 16000
    note = lambda frequency: torch.sin(2 * math.pi * frequency * time)  # noqa: E731
    chroma = Chroma(16000)(torch.stack([note(261.63), note(523.25), note(392.0), 0 * time]))
    assert chroma[:3].mean(2).argmax(1).tolist() == [0, 0, 7]  # C4, C5, G4
    torch.testing.assert_close(chroma[:3].sum(1), torch.ones(3, chroma.shape[2]))
    assert not chroma[3].any()
    energy = Energy()(torch.stack([note(250.0), 0.1 * note(250.0)]))
    torch.testing.assert_close(energy[0] - energy[1], torch.full_like(energy[0], 20.0), atol=1e-3, rtol=0)
    x = torch.randn(2, 16000)
    torch.testing.assert_close(description("mfcc", 16000)(x), MFCC(16000)(x)[:, 0])


def test_regressors_tell_the_clean_sound_of_what_the_model_hears():
    task = training.PASE(encoder(), workers=("energy", "mfcc"), augment=augmentations.Gain(-20, -20))
    views = torch.randn(4, 2, 16000)
    with torch.no_grad():
        found = task.worker_losses(views)
        z = moments(task.model, 0.1 * views.flatten(0, 1))
        for name in ("energy", "mfcc"):
            frames = task.targets[name](views.flatten(0, 1))
            pooled = torch.nn.functional.adaptive_avg_pool1d(frames, z.shape[1])
            mean, std = pooled.mean((0, 2), keepdim=True), pooled.std((0, 2), keepdim=True, unbiased=False)
            target = (pooled - mean) / (std.square() + 1e-8).sqrt()
            expected = (task.heads[name](z) - target.transpose(1, 2)).square().mean()
            torch.testing.assert_close(found[name], expected)


def test_validation_asks_for_the_clean_sound_too():
    task = training.PASE(encoder(), augment=augmentations.Gain(-60, -60))
    views, _ = task.validation_set(VALID, pad=False)[0]
    assert float(views.square().mean()) > 1e-4


def test_a_worker_that_knows_nothing_loses_one():
    task = training.PASE(encoder())
    with torch.no_grad():
        for head in task.heads.values():
            head[2].weight.zero_()
            head[2].bias.zero_()
        for name, loss in task.worker_losses(torch.randn(6, 2, 16000)).items():
            assert float(loss) == pytest.approx(1, abs=0.02), name


def test_targets_are_standardised_in_validation_after_few_batches():
    """Not only in the long run: a worker that tells the mean loses one in the first epoch, too."""
    task = training.PASE(encoder(), workers=("logmel", "mfcc", "chroma", "energy")).train()
    views = torch.stack([torch.stack([TRAIN.waveform(i, s, 16000) for s in (0, 4000)]) for i in range(16)])
    with torch.no_grad():
        for head in task.heads.values():
            head[2].weight.zero_()
            head[2].bias.zero_()
        task.worker_losses(views[:8])
        task.worker_losses(views[8:])
        for name, loss in task.eval().worker_losses(views).items():
            assert float(loss) == pytest.approx(1, abs=0.2), name


def test_discriminators_tell_own_from_next():
    task = training.PASE(encoder(), workers=("local", "global"))
    z = sequences(6 * 2, 4).view(6, 2, 4, 8)
    order = torch.tensor([[0, 2]] * 6)
    couples = task.couples(z, order)
    torch.testing.assert_close(couples["local"][1], z[:, 0, 2])
    torch.testing.assert_close(couples["global"][0], z[:, 0].mean(1))
    torch.testing.assert_close(couples["global"][1], z[:, 1].mean(1))
    anchor, other = couples["global"]
    losses, right = [], []
    with torch.no_grad():
        for i in range(6):
            for partner, belongs in ((other[i], True), (other[i - 1], False)):
                p = float(task.heads["global"](torch.cat([anchor[i], partner])).sigmoid())
                losses.append(-math.log2(p if belongs else 1 - p))
                right.append((p > 0.5) == belongs)
        loss, share = task.discriminate("global", anchor, other)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(share) == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": ("mel",)}, ValueError, "'mel'"),
        ({"workers": ()}, ValueError, "at least one"),
        ({"workers": ("mfcc", "mfcc")}, ValueError, "each once"),
    ],
)
def test_pase_refuses(options, error, message):
    with pytest.raises(error, match=message):
        training.PASE(encoder(), **options)


def test_pase_needs_two_moments_and_two_clips():
    model = models.create("cnn_2d", num_tags=3)
    with pytest.raises(ModelError, match="has 1 moment in a chunk of 48000"):
        training.PASE(model)
    training.PASE(model, workers=("energy", "global"))
    with pytest.raises(ModelError, match="at least 2 clips"):
        training.fit(training.PASE(encoder()), TRAIN, VALID, epochs=1, batch_size=1, progress=False)


# ---- runs


@pytest.mark.parametrize("name", TASKS)
def test_runs_learn_repeat_and_resume(name, tmp_path):
    def run(epochs, folder, **options):
        task = TASKS[name]()
        result = training.fit(
            task, TRAIN, VALID, epochs=epochs, batch_size=8, folder=folder, progress=False, **options
        )
        return task, result

    task, whole = run(5, tmp_path / "whole")
    run(2, tmp_path / "parts")
    again, resumed = run(5, tmp_path / "parts", resume=True)
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert whole.history.train_loss.iloc[-1] < whole.history.train_loss.iloc[0]
    if name == "pase":
        parts = [column for column in whole.history if column.startswith("train_") and column != "train_loss"]
        assert len(parts) == 6
        assert whole.history[parts].sum(axis=1).tolist() == pytest.approx(
            whole.history.train_loss.tolist(), rel=1e-5
        )
    assert models.load(tmp_path / "whole" / "model.pt").num_samples == 16000
