"""Views of a clip, and SimCLR and MoCo against their definitions; runs, and what is refused."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from tones import Tones, small

from mclass import augmentations, losses, models, training
from mclass.datasets.views import Views
from mclass.errors import DatasetError, ModelError
from mclass.training.tasks.contrastive import partners_found
from mclass.training.tasks.self_supervised import compared

TRAIN, VALID = Tones(24), Tones(9, seed=1)
NOISE = augmentations.Noise(0, 20)
TASKS = {
    "contrastive": lambda model: training.Contrastive(model, augment=NOISE, projection_dim=16, learning_rate=0.01),
    "moco": lambda model: training.MoCo(
        model, augment=NOISE, projection_dim=16, queue_size=16, learning_rate=0.01
    ),
}


def quiet(model):
    """Without dropout, so that two calls give the same."""
    model.dropout.p = 0.0
    return model


def pairs(rows=5):
    return torch.randn(rows, 2, 4000, generator=torch.Generator().manual_seed(0)), torch.zeros(rows, 3)


# ---- views


def test_views_are_different_crops_that_repeat():
    views = Views(TRAIN, 4000, num_views=3, seed=1)
    seen = set()
    for epoch in range(5):
        for index in range(len(TRAIN)):
            crops, labels = views[epoch, index]
            again, _ = views[epoch, index]
            assert torch.equal(crops, again)
            assert labels.tolist() == TRAIN.labels[index].tolist()
            starts = views.starts(epoch, index)
            assert len(set(starts)) == 3
            assert all(
                torch.equal(crop, TRAIN.waveform(index, int(s), 4000))
                for crop, s in zip(crops, starts, strict=True)
            )
            seen.update(starts)
    assert min(seen) < 200  # all of the clip is used: 4001 places
    assert max(seen) > 3800
    assert len(seen) > 300


def test_views_of_one_place_and_of_clips_without_room():
    same, _ = Views(TRAIN, 4000, same=True)[3, 2]
    assert torch.equal(same[0], same[1])
    whole, _ = Views(TRAIN, 8000)[0]
    assert torch.equal(whole[0], whole[1])
    with pytest.raises(DatasetError, match="shorter than the 9000 samples"):
        Views(TRAIN, 9000)
    padded, _ = Views(TRAIN, 9000, pad=True)[0]
    assert not padded[:, 8000:].any()
    with pytest.raises(ValueError, match="num_views"):
        Views(TRAIN, 4000, num_views=0)
    with pytest.raises(IndexError):
        Views(TRAIN, 4000)[24]


def test_augmented_views_depend_on_epoch_and_index_alone():
    views = Views(TRAIN, 4000, augment=NOISE)
    torch.manual_seed(1)
    first = views[2, 3][0]
    torch.manual_seed(2)
    assert torch.equal(first, views[2, 3][0])
    plain = Views(TRAIN, 4000)[2, 3][0]
    noise = first - plain
    assert noise.abs().max() > 0
    assert not torch.equal(noise[0], noise[1])


# ---- losses


def test_contrastive_loss_is_nt_xent_of_projections():
    model = quiet(small())
    task = training.Contrastive(model, augment=augmentations.Gain(-6, -6), projection_dim=16, temperature=0.3)
    views, labels = pairs()
    low, high = task.projector[0], task.projector[2]
    heard = views * 10 ** (-6 / 20)
    h = model.embed(heard.reshape(10, 4000))
    z = ((h @ low.weight.T + low.bias).relu() @ high.weight.T + high.bias).view(5, 2, 16)
    everyone = [z[pair, view] for view in range(2) for pair in range(5)]
    cosines = torch.cosine_similarity(torch.stack(everyone)[:, None], torch.stack(everyone)[None], dim=-1)
    expected = []
    for i in range(10):
        partner = (i + 5) % 10
        others = torch.stack([(cosines[i, j] / 0.3).exp() for j in range(10) if j != i])
        expected.append(-((cosines[i, partner] / 0.3).exp() / others.sum()).log())
    torch.testing.assert_close(task.batch_loss((views, labels)), torch.stack(expected).mean())


def test_each_view_is_augmented_in_its_own_way():
    task = training.Contrastive(small(), augment=NOISE)
    views = torch.ones(3, 2, 4000)
    altered = task.altered(views)
    assert len({tuple(view[:4].tolist()) for view in altered.flatten(0, 1)}) == 6
    torch.manual_seed(0)
    first = task.altered(views)
    torch.manual_seed(0)
    assert torch.equal(first, NOISE(views.flatten(0, 1)).view(3, 2, 4000))


def test_without_projector_the_loss_sees_the_embedding():
    model = quiet(small())
    task = training.Contrastive(model, augment=None, projection_dim=None, temperature=0.5)
    views, labels = pairs()
    h = model.embed(views.flatten(0, 1)).view(5, 2, -1)
    torch.testing.assert_close(task.batch_loss((views, labels)), losses.naive_nt_xent(h[:, 0], h[:, 1]).mean())
    assert sum(p.numel() for p in task.parameters()) == sum(p.numel() for p in model.parameters())


def test_moco_finds_keys_in_its_queue():
    model = quiet(small())
    task = training.MoCo(model, augment=None, projection_dim=16, queue_size=8, temperature=0.2).train()
    views, labels = pairs(3)
    queue = task.loss.queue.clone()
    with torch.no_grad():  # the query's batch norm uses the batch, the key's does not
        q = torch.nn.functional.normalize(task.projector(model.embed(views[:, 0])))
        k = torch.nn.functional.normalize(task.key_projector(task.key_model.embed(views[:, 1])))
        alone = torch.cat([task.key_projector(task.key_model.embed(view[None])) for view in views[:, 1]])
    torch.testing.assert_close(k, torch.nn.functional.normalize(alone))
    expected = []
    for row in range(3):
        own, others = (q[row] @ k[row] / 0.2).exp(), (queue @ q[row] / 0.2).exp().sum()
        expected.append(-(own / (own + others)).log())
    torch.testing.assert_close(task.batch_loss((views, labels)), torch.stack(expected).mean())
    torch.testing.assert_close(task.loss.queue[:3], k)
    assert torch.equal(task.loss.queue[3:], queue[3:])


def test_the_keys_encoder_follows_without_gradient():
    task = training.MoCo(small(), augment=None, queue_size=8, momentum_of_keys=0.9).train()
    start = copy.deepcopy(task.key_model)
    task.batch_loss(pairs()).backward()
    assert all(p.grad is None for p in task.key_model.parameters())
    assert all(p.grad is None for p in task.key_projector.parameters())
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(1)
    task.on_train_batch_end()
    for key, first in zip(task.key_model.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(key, first + 0.1)
    assert task.model.training
    assert not task.key_model.training


# ---- judging


def test_validation_is_nt_xent_and_nearest_partners_of_equal_blocks():
    task = training.Contrastive(small(), augment=NOISE, projection_dim=8)
    z = torch.randn(150, 2, 8, generator=torch.Generator().manual_seed(3))
    z[:, 1] += 2 * z[:, 0]
    found = task.evaluate(z, torch.zeros(150, 3))
    expected_loss, hits = [], []
    for block in (z[:75], z[75:]):
        expected_loss.append(losses.naive_nt_xent(block[:, 0], block[:, 1]))
        for pair in range(75):
            for view in range(2):
                best = max(
                    ((p, v) for p in range(75) for v in range(2) if (p, v) != (pair, view)),
                    key=lambda at: float(torch.cosine_similarity(block[at], block[pair, view], dim=0)),
                )
                hits.append(best == (pair, 1 - view))
    assert found["valid_loss"] == pytest.approx(float(torch.cat(expected_loss).mean()), rel=1e-5)
    assert float(found["valid_accuracy"]) == pytest.approx(np.mean(hits))
    assert 0.1 < np.mean(hits) < 0.999


def test_partners_are_found_or_not():
    z = torch.eye(4)
    assert partners_found(torch.stack([z, z], 1)) == 1
    assert partners_found(torch.stack([z, z.roll(1, 0)], 1)) == 0  # each view equals one of another clip
    assert [len(part) for part in compared(torch.zeros(129, 1))] == [65, 64]


# ---- runs


@pytest.mark.parametrize("name", TASKS)
def test_runs_learn_repeat_and_resume(name, tmp_path):
    def run(epochs, folder, **options):
        task = TASKS[name](small())
        result = training.fit(
            task, TRAIN, VALID, epochs=epochs, batch_size=8, folder=folder, progress=False, **options
        )
        return task, result

    task, whole = run(5, tmp_path / "whole")
    run(2, tmp_path / "parts")
    again, resumed = run(5, tmp_path / "parts", resume=True)
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
    for key, value in task.state_dict().items():  # the queue and the keys' encoder among them
        assert torch.equal(value, again.state_dict()[key]), key
    assert whole.history.valid_loss.min() < whole.history.valid_loss.iloc[0]
    assert whole.best_epoch == whole.history.valid_loss.argmin()
    with pytest.raises(ModelError, match="paradigm"):
        training.fit(
            training.Tagging(small()), TRAIN, VALID, epochs=6, batch_size=8, folder=tmp_path / "whole",
            resume=True, progress=False,
        )  # fmt: skip


def test_the_kept_model_is_the_encoder_alone(tmp_path):
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=3, channels=8)
    head = copy.deepcopy(model.head.state_dict())
    task = training.Contrastive(model, augment=NOISE, learning_rate=0.01)
    tones = Tones(12, seconds=3.5)
    training.fit(task, tones, tones, epochs=1, batch_size=4, folder=tmp_path / "run", progress=False)
    kept = models.load(tmp_path / "run" / "model.pt")
    x = torch.randn(2, 48000)
    assert torch.equal(kept.embed(x), model.embed(x))
    assert all(torch.equal(value, kept.head.state_dict()[key]) for key, value in head.items())


def test_what_was_learned_tells_the_tones_apart():
    """Tones are told apart by their content, and a random encoder of one number can hardly do it."""
    model = small(1)
    task = training.Contrastive(model, augment=augmentations.Gain(-12, 0), temperature=0.2, learning_rate=0.01)
    history = training.fit(task, TRAIN, VALID, epochs=6, batch_size=12, progress=False).history
    assert history.valid_loss.min() < history.valid_loss.iloc[0]


@pytest.mark.parametrize("name", ["clmr_sample_cnn", "short_chunk_cnn"])
def test_models_on_waveforms_and_on_mels(name):
    options = {"channels": (4,) * 7} if name == "short_chunk_cnn" else {}
    model = models.create(name, num_tags=3, **options)
    task = training.Contrastive(model)
    assert task.augment.transforms[3].transform.sample_rate == model.sample_rate
    loss = task.batch_loss((0.1 * torch.randn(2, 2, model.num_samples), torch.zeros(2, 3)))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for n, p in model.named_parameters() if not n.startswith("head"))


# ---- what is refused


def fit(task, train=TRAIN, valid=VALID, batch_size=8, **options):
    return training.fit(task, train, valid, epochs=1, batch_size=batch_size, progress=False, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: training.Contrastive(small(), augment="simclr"), ValueError, "simclr"),
        (lambda: training.Contrastive(small(), augment=torch.nn.ReLU()), TypeError, "ReLU"),
        (lambda: training.Contrastive(small(), augment=None, same_crop=True), ValueError, "would be equal"),
        (lambda: training.Contrastive(small(), projection_dim=0), ValueError, "projection_dim"),
        (lambda: training.Contrastive(small(), temperature=0.0), ValueError, "temperature"),
        (lambda: training.MoCo(small(), momentum_of_keys=1.0), ValueError, "momentum_of_keys"),
        (lambda: training.MoCo(small(), queue_size=0), ValueError, "queue_size"),
    ],
)
def test_options_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"batch_size": 1}, ValueError, "one pair has no others"),
        ({"train": Tones(1)}, DatasetError, "no others to be told apart from"),
        ({"valid": Tones(1)}, DatasetError, "no others to be told apart from"),
        ({"train": Tones(8, seconds=0.2)}, DatasetError, "shorter than"),
    ],
)
def test_data_without_negatives_or_too_short(data, error, message):
    with pytest.raises(error, match=message):
        fit(training.Contrastive(small(), augment=NOISE), **data)


def test_views_that_cannot_differ():
    exact = Tones(8, seconds=0.25)
    with pytest.raises(DatasetError, match="two views of a clip would be equal"):
        fit(training.Contrastive(small(), augment=None), train=exact)
    fit(training.Contrastive(small(), augment=NOISE), train=exact, valid=exact)


def test_a_model_of_other_outputs_and_a_queue_longer_than_an_epoch():
    with pytest.raises(ModelError, match="create it with num_tags=3"):
        fit(training.Contrastive(small(num_tags=4), augment=NOISE))
    with pytest.raises(DatasetError, match="24 places and there are 24"):
        fit(training.MoCo(small(), augment=NOISE, queue_size=24))
    with pytest.raises(ValueError, match="do not fit into a queue of 8"):
        fit(training.MoCo(small(), augment=NOISE, queue_size=8), batch_size=12)


@pytest.mark.parametrize("name", TASKS)
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(name, tmp_path):
    task = TASKS[name](small())
    with torch.no_grad():
        task.projector[2].weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="loss became nan in epoch 0, batch 0"):
        fit(task, folder=tmp_path / "run")
    batch = torch.load(tmp_path / "run" / "bad_batch.pt", weights_only=True)["batch"]
    assert batch[0].shape == (8, 2, 4000)


def test_no_warning_comes_from_a_usual_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(training.Contrastive(small(), augment=NOISE))
