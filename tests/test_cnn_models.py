"""The CNNs on mel spectrograms: published sizes and shapes, layers, freezing."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mclass import models
from mclass.errors import ModelError
from mclass.models.embedding import Embedding
from mclass.models.fast import accelerate
from mclass.models.fcn import FCN
from mclass.models.layers.blocks import ACTIVATIONS, ConvBlock2d, ResidualBlock2d
from mclass.models.musicnn import Vertical

# Shapes after each block (channels, frequency, time) for one chunk, from the papers' tables or by hand.
SHAPES = {
    "fcn_4": [(128, 48, 341), (384, 12, 68), (768, 4, 8), (2048, 1, 1)],
    "crnn": [(64, 48, 906), (128, 16, 302), (128, 4, 75), (128, 1, 18)],
    "short_chunk_cnn": [(128, 64, 115), (128, 32, 57), (256, 16, 28), (256, 8, 14), (256, 4, 7), (256, 2, 3),
                        (512, 1, 1)],
    "short_chunk_cnn_res": [(128, 64, 116), (128, 32, 58), (256, 16, 29), (256, 8, 15), (256, 4, 8), (256, 2, 4),
                            (512, 1, 2)],
    "homework_short_chunk": [(128, 48, 94), (256, 24, 47), (256, 12, 23), (128, 6, 11), (128, 3, 5), (128, 1, 1)],
    "musical_feature_cnn": [(64, 24, 47), (128, 12, 24), (128, 6, 12), (256, 3, 6)],
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_one_chunk(name):
    model, seen = models.create(name).eval(), []
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape[1:])))
    with torch.inference_mode():
        model.embed(torch.zeros(1, model.num_samples))
    assert seen == SHAPES[name]


def test_sizes():
    def size(name, **options):
        return sum(p.numel() for p in models.create(name, **options).parameters())

    # Parameters by hand: weights and biases of the convolutions, factors and offsets of the batch norms.
    channels = (1, 128, 384, 768, 2048)
    blocks = sum(9 * i * o + o + 2 * o for i, o in pairwise(channels))
    assert size("fcn_4") == 2 + blocks + 2048 * 50 + 50 == 17_365_940
    channels = (1, 128, 256, 256, 128, 128, 128)
    blocks = sum(9 * i * o + 3 * o for i, o in pairwise(channels))
    assert size("homework_short_chunk") == 2 + blocks + 128 * 50 + 50 == 1_485_236
    assert size("linear_embedding") == 2 + 96 * 8 * 4096 + 4096 + 4096 * 50 + 50 == 3_354_676
    assert size("musicnn", backend_channels=512, dense_channels=500) == size("musicnn_msd") == 7_972_000
    assert size("cnn_embedding") == 326_132
    assert size("musicnn_embedding") == 784_300 - 10_050 + 200 * 256 + 256 + 256 * 50 + 50 == 838_556
    assert size("musical_feature_cnn") == 2_050_100


def test_fcn_4_hears_what_the_paper_does():
    model = models.create("fcn_4")
    assert model.num_samples / model.sample_rate == pytest.approx(29.12)
    assert 1 + model.num_samples // model.frontend.hop_length == 1366


# --- layers ---------------------------------------------------------------------------------------------------


def seeded_norms(module):
    """Statistics and factors as after training; every second factor is negative, a trap for a maximum."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            norm.weight.data[::2] *= -1
            nn.init.normal_(norm.bias)
    return module


@pytest.mark.parametrize("height", [1, 5, 12])
@pytest.mark.parametrize("accelerated", [False, True])
def test_vertical_filters_are_applied_at_every_height(height, accelerated):
    torch.manual_seed(0)
    layer, x = seeded_norms(Vertical(6, height=height, width=3)).eval(), torch.randn(2, 1, 12, 20)
    with torch.no_grad():
        responses = []
        for lowest in range(12 - height + 1):
            bands = x[:, 0, lowest : lowest + height]  # (batch, height, time), as channels of a 1-d convolution
            found = F.conv1d(bands, layer.conv.weight[:, 0], layer.conv.bias, padding=1)
            responses.append(torch.relu(layer.norm(found[:, :, None])[:, :, 0]))
        expected = torch.stack(responses).amax(0)
        if accelerated:
            accelerate(layer)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_in_training_mode_statistics_move_without_gradients_too():
    layer, x = accelerate(Vertical(204, height=38)), torch.randn(2, 1, 96, 50)
    before = layer.norm.running_mean.clone()
    with torch.no_grad():
        layer.eval()(x)
        assert torch.equal(layer.norm.running_mean, before)
        layer.train()(x)
    assert not torch.equal(layer.norm.running_mean, before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_pooling_and_activation_are_in_the_textbook_order(activation):
    torch.manual_seed(0)
    block, x = ConvBlock2d(3, 8, pool=(2, 3), activation=activation), torch.randn(2, 3, 12, 21)
    normed = block.norm(block.conv(x))
    expected = block.pool(block.activation(normed))
    torch.testing.assert_close(block(x), expected)
    swapped = block.activation(block.pool(normed))
    assert torch.allclose(swapped, expected) == (activation != "gelu")  # GELU is why the order is looked after


@pytest.mark.parametrize(("inputs", "stride"), [(1, 2), (8, 1), (8, (2, 1)), (4, 1)])
def test_residual_block(inputs, stride):
    torch.manual_seed(0)
    block = seeded_norms(ResidualBlock2d(inputs, 8, stride)).eval()
    x = torch.randn(2, inputs, 9, 13)

    def conv(x, i, stride=1):
        layer, norm = getattr(block, f"conv{i}"), getattr(block, f"norm{i}")
        x = F.conv2d(x, layer.weight, layer.bias, stride=stride, padding=1)
        parts = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        mean, var, weight, bias = (part[:, None, None] for part in parts)
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    passing = x if (inputs, stride) == (8, 1) else conv(x, 3, stride)
    expected = F.relu(passing + conv(F.relu(conv(x, 1, stride)), 2))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


# --- what time is summed up to ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("fcn", lambda model, x: x.mean((2, 3))),
        ("crnn", lambda model, x: x[:, :, -1]),
        ("short_chunk_cnn", lambda model, x: model.dense(x.amax((2, 3)))),
        ("musicnn", lambda model, x: model.dense(torch.cat([x.amax(2), x.mean(2)], 1))),
    ],
)
def test_embedding_sums_up_the_features(name, summary):
    torch.manual_seed(0)
    model = models.create(name).eval()
    waveform = 0.1 * torch.randn(1, 2 * model.min_samples + 256)
    with torch.inference_mode():
        features = model.features(waveform)
        assert features.shape[-1] > 1
        torch.testing.assert_close(model.embed(waveform), summary(model, features))


def test_crnn_remembers():
    """The last state depends on the start of the waveform."""
    torch.manual_seed(0)
    model = models.create("crnn").eval()
    waveform = 0.1 * torch.randn(1, 160_000)
    other = waveform.clone()
    other[:, :40_000] = 0
    with torch.inference_mode():
        same_end = torch.allclose(model.features(waveform)[:, :, -1], model.features(other)[:, :, -1], atol=1e-6)
    assert not same_end


@pytest.mark.parametrize(
    ("name", "dim"), [("linear_embedding", 4096), ("cnn_embedding", 256), ("musicnn_embedding", 256)]
)
def test_embeddings_take_any_direction(name, dim):
    torch.manual_seed(0)
    model = models.create(name, num_tags=5).eval()
    with torch.inference_mode():
        embedding = model.embed(0.1 * torch.randn(2, 48_000))
    assert embedding.shape == (2, dim)
    assert 0.2 < (embedding < 0).float().mean() < 0.8  # no ReLU at the end
    assert isinstance(model.head, nn.Linear)


def test_linear_embedding_is_linear_in_means_of_the_log_mel():
    torch.manual_seed(0)
    model = models.create("linear_embedding").eval()
    waveform = 0.1 * torch.randn(1, 256 * 79)  # 80 frames, 8 segments of 10
    with torch.no_grad():
        mel = model.input_norm(model.frontend(waveform))[0, 0]
        means = torch.stack([mel[:, 10 * i : 10 * i + 10].mean(1) for i in range(8)], dim=1)  # (bands, segments)
        expected = model.projection.weight @ means.flatten() + model.projection.bias
        torch.testing.assert_close(model.embed(waveform)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", ["cnn_1d", "homework_fcn", "short_chunk_cnn"])
def test_any_model_can_be_a_backbone(backbone):
    model = Embedding(num_tags=3, backbone=backbone, dim=7).eval()
    assert model.embed(torch.zeros(1, model.num_samples)).shape == (1, 7)
    assert model.num_samples == models.create(backbone).num_samples


# --- bad options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn", {"channels": (8, 8)}, "widths of 5 layers"),
        ("crnn", {"channels": (8,)}, "widths of 4 layers"),
        ("short_chunk_cnn", {"channels": (8,) * 6}, "widths of 7 layers"),
        ("short_chunk_cnn_res", {"channels": (8,) * 6}, "widths of 7 layers"),
        ("short_chunk_cnn_res", {"channels": 16}, r"7 layers, such as \(16, 16, 16, 16, 16, 16, 16\); got 16"),
        ("cnn_2d", {"channels": (8, 8, 8, 0)}, r"4 layers, such as \(64, 64, 64, 64\); got \(8, 8, 8, 0\)"),
        ("crnn", {"channels": "8888"}, "widths of 4 layers"),
        ("musical_feature_cnn", {"channels": (8,) * 3}, "widths of 4 layers"),
        (
            "homework_short_chunk",
            {"activation": "swish"},
            "unknown activation 'swish'; available: relu, elu, gelu",
        ),
        ("cnn_embedding", {"backbone": "cnn_3d"}, "unknown model 'cnn_3d'"),
        ("musicnn", {"num_tags": 0}, "got 0"),
        ("musicnn", {"backend_chanels": 8}, "did you mean 'backend_channels'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


def test_pools_that_leave_several_bands():
    with pytest.raises(ValueError, match="leave 12 of 96 mel bands"):
        FCN(channels=(8, 8), pools=((2, 4), (4, 4)))


# --- freezing --------------------------------------------------------------------------------------------------


def step(model):
    """One training step; returns the names of the parameters and statistics that it changed."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    model.train()
    (model(0.1 * torch.randn(4, 4000)) * torch.randn(4, model.num_tags)).sum().backward()
    optimizer.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("until", "trained"),
    [
        ("nothing", ("input_norm", "vertical", "horizontal", "backend", "dense", "head")),
        ("frontend", ("input_norm", "vertical", "horizontal", "backend", "dense", "head")),
        ("vertical.0", ("vertical.1", "horizontal", "backend", "dense", "head")),
        ("horizontal", ("backend", "dense", "head")),
        ("backend.1", ("backend.2", "dense", "head")),
        ("backend.1.conv", ("backend.1.norm", "backend.2", "dense", "head")),
        ("everything but head", ("head",)),
    ],
)
def test_musicnn_trains_what_is_not_frozen(until, trained):
    torch.manual_seed(0)
    model = models.create("musicnn", num_tags=3, backend_channels=8, dense_channels=8)
    assert models.freeze(model, until=until) is model
    everything = set(model.state_dict())
    expected = {name for name in everything if name.startswith(tuple(f"{part}." for part in trained))}
    assert step(model) == expected
    assert step(copy.deepcopy(model)) == expected  # a copy is as frozen
    assert {name for name, p in model.named_parameters() if p.requires_grad} == expected & {
        name for name, _ in model.named_parameters()
    }
    models.unfreeze(model)
    assert step(model) == everything


def test_freezing_again_starts_afresh():
    model = models.create("cnn_2d")
    models.freeze(models.freeze(model, until="blocks.2"), until="blocks.0")
    assert model.frozen == ("frontend", "input_norm", "blocks.0")
    assert model.blocks[1].training
    assert not models.freeze(model.eval(), until="blocks.0").head.training  # freezing does not start the training


def test_a_parameter_beside_the_layers_is_frozen_with_the_first():
    model = models.create("cnn_1d")
    model.token = nn.Parameter(torch.zeros(3))
    assert not models.freeze(model, until="frontend").token.requires_grad
    assert model.blocks[0].conv.weight.requires_grad


@pytest.mark.parametrize("until", ["block", "blocks.9", "", "blocks.1.cnv", 3])
def test_freezing_names_the_layers_that_exist(until):
    with pytest.raises(ModelError, match=r"unknown layer .*blocks.*, head, .*everything but head, nothing"):
        models.freeze(models.create("cnn_2d"), until=until)


def test_freezing_everything_is_refused():
    model = models.create("cnn_2d")
    with pytest.raises(ModelError, match="nothing is left to train"):
        models.freeze(model, until="head")
    assert all(p.requires_grad for p in model.parameters())  # a refused call changes nothing
