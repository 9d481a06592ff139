"""Optimizers against their update rules, schedules against their formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mclass import models
from mclass.training.engine.optimizers import OPTIMIZERS, SCHEDULES, Schedule, create_optimizer, layerwise

RATE, DECAY = 0.1, 0.01


def rule(name, gradients, start):
    """The textbook's update of one weight."""
    w, v, s, sums, mean, square = start, 0.0, 0.0, 0.0, 0.0, 0.0
    product = 1.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient(w) + (0 if name == "adamw" else DECAY * w)
        if name == "sgd":
            w -= RATE * g
        elif name in ("momentum", "nesterov"):
            v = 0.8 * v + g
            w -= RATE * (g + 0.8 * v if name == "nesterov" else v)
        elif name == "rmsprop":
            s = 0.9 * s + 0.1 * g * g
            w -= RATE * g / (math.sqrt(s) + 1e-8)
        elif name == "adagrad":
            sums += g * g
            w -= RATE * g / (math.sqrt(sums) + 1e-10)
        else:
            if name == "adamw":
                w -= RATE * DECAY * w
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
            if name == "nadam":  # Dozat 2016, with its warming-up momentum
                now, after = 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)), 0.9 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
                product *= now
                m = after * mean / (1 - product * after) + (1 - now) * g / (1 - product)
            else:
                m = mean / (1 - 0.9**t)
            w -= RATE * m / (math.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_the_textbooks(name):
    weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    optimizer = create_optimizer(name, [weight], RATE, momentum=0.8, weight_decay=DECAY)
    targets = [0.3, -1.0, 0.5, 2.0, 0.1]
    for target in targets:
        optimizer.zero_grad()
        ((weight - target) ** 2).backward()
        optimizer.step()
    expected = rule(name, [lambda w, target=target: 2 * (w - target) for target in targets], 2.0)
    assert weight.item() == pytest.approx(expected, rel=1e-9)


def rates(name, epochs=12, steps=5, **options):
    """The learning rate of every step."""
    optimizer = create_optimizer("sgd", [nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    config = Schedule(name, **options).create(optimizer, epochs, steps)
    seen = []
    for _ in range(epochs):
        for _ in range(steps):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if config and config["interval"] == "step":
                config["scheduler"].step()
        if config and config["interval"] == "epoch":
            config["scheduler"].step(*([1.0] if name == "plateau" else []))
    return np.array(seen).reshape(epochs, steps)


@pytest.mark.parametrize(
    ("name", "options", "formula"),
    [
        ("constant", {}, lambda e: 1.0),
        ("step", {"every": 3, "factor": 0.5}, lambda e: 0.5 ** (e // 3)),
        ("exponential", {"factor": 0.9}, lambda e: 0.9**e),
        ("inverse", {"decay": 0.5}, lambda e: 1 / (1 + 0.5 * e)),
        # A loss that never falls: the first epoch is the best, then patience + 1 epochs pass.
        ("plateau", {"patience": 2, "factor": 0.1}, lambda e: 0.1 ** (max(e - 1, 0) // 3)),
        ("cosine", {}, lambda e: (1 + math.cos(math.pi * e / 12)) / 2),
        ("cosine_restarts", {"period": 4}, lambda e: (1 + math.cos(math.pi * (e % 4) / 4)) / 2),
    ],
)
def test_schedules_are_their_formulas(name, options, formula):
    seen = rates(name, **options)
    np.testing.assert_allclose(seen, np.repeat([[formula(e)] for e in range(12)], 5, axis=1), rtol=1e-9)


def test_one_cycle_rises_and_falls():
    seen = rates("one_cycle", rise=0.25).ravel()
    assert seen.max() == pytest.approx(1.0)
    assert seen.argmax() == pytest.approx(0.25 * 60 - 1, abs=1)
    assert (np.diff(seen[: seen.argmax()]) > 0).all()
    assert (np.diff(seen[seen.argmax() :]) < 0).all()
    assert seen[0] == pytest.approx(1 / 25)
    assert seen[-1] < 1e-4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_cycle_gives_no_optimizer_a_momentum_it_does_not_have(name):
    optimizer = create_optimizer(name, [nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    (before,) = ({key: group.get(key) for key in ("momentum", "betas")} for group in optimizer.param_groups)
    Schedule("one_cycle").create(optimizer, 4, 5)
    (group,) = optimizer.param_groups
    if before["betas"]:
        assert group["betas"] == (0.95, before["betas"][1])
    else:
        assert group.get("momentum") == (0.95 if before["momentum"] else before["momentum"])


def test_whole_numbers_may_be_floats():
    assert rates("cosine_restarts", period=4.0).tolist() == rates("cosine_restarts", period=4).tolist()
    assert str(Schedule("step", every=3.0)) == str(Schedule("step", every=3))


def test_every_schedule_has_options_with_a_range():
    for name in SCHEDULES:
        schedule = Schedule(name)
        assert str(schedule).startswith(name)
        assert schedule.needs_length == (name in ("cosine", "one_cycle"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("steps", {}, "did you mean 'step'"),
        ("step", {"evry": 3}, "did you mean 'every'"),
        ("constant", {"factor": 0.1}, "'factor'"),
        ("step", {"every": 0}, "whole number of at least 1"),
        ("step", {"every": 1.5}, "whole number"),
        ("plateau", {"factor": 1.0}, "below 1"),
        ("one_cycle", {"rise": float("nan")}, "got nan"),
    ],
)
def test_schedules_refuse(name, options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(name, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "sdg"}, "did you mean 'sgd'"),
        ({"learning_rate": 0}, "positive, got 0"),
        ({"learning_rate": float("nan")}, "positive, got nan"),
        ({"momentum": 1.0}, "got 1.0"),
        ({"weight_decay": -1}, "not negative"),
    ],
)
def test_optimizers_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer(**{"name": "adam", "parameters": [nn.Parameter(torch.zeros(1))]} | options)


def test_first_layers_learn_slowly_and_frozen_ones_not_at_all():
    model = models.create("short_chunk_cnn", num_tags=3)
    groups = layerwise(model, 0.1, 0.5)
    listed = [p for group in groups for p in group["params"]]
    assert {id(p) for p in listed} == {id(p) for p in model.parameters()}
    assert len(listed) == len({id(p) for p in listed})
    rates = [group["lr"] for group in groups]
    np.testing.assert_allclose(rates, 0.1 * 0.5 ** np.arange(len(groups))[::-1])
    assert {id(p) for p in model.head.parameters()} == {id(p) for p in groups[-1]["params"]}
    models.freeze(model)
    (only,) = layerwise(model, 0.1, 0.5)
    assert {id(p) for p in only["params"]} == {id(p) for p in model.head.parameters()}
    with pytest.raises(ValueError, match="at most 1"):
        layerwise(model, 0.1, 2.0)


def test_the_layers_of_a_backbone_have_rates_of_their_own():
    model = models.create("cnn_embedding", num_tags=3, backbone="cnn_1d", dim=16)
    alone = layerwise(model.backbone, 0.1, 0.5)
    groups = layerwise(model, 0.1, 0.5)
    assert len(groups) == len(alone) + 2  # projection and last layer
    for group, one in zip(groups, alone, strict=False):
        assert [id(p) for p in group["params"]] == [id(p) for p in one["params"]]
    np.testing.assert_allclose([group["lr"] for group in groups], 0.1 * 0.5 ** np.arange(len(groups))[::-1])
