"""Every fast form against the textbook form that it stands for, layer by layer and in whole models."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mclass import models
from mclass.errors import ModelError
from mclass.models.early import PlainBlock
from mclass.models.fast import FAST, accelerate, accelerated
from mclass.models.homework import CNN2d
from mclass.models.layers.attention import SelfAttention
from mclass.models.layers.blocks import ACTIVATIONS, ConvBlock1d, ConvBlock2d, ResidualBlock2d
from mclass.models.musical_feature import ParallelFilters
from mclass.models.musicnn import Vertical
from mclass.models.sample_cnn import SampleBlock, SqueezeExcitationBlock

# textbook form -> how it is built, and what it is given
CASES = {
    ConvBlock1d: [
        (dict(in_channels=3, out_channels=6, pool=3, padding=3), (2, 3, 20)),
        (dict(in_channels=3, out_channels=6, pool=1, kernel=7, stride=2), (2, 3, 20)),
    ],
    ConvBlock2d: [
        (dict(in_channels=3, out_channels=6, pool=(2, 3), activation=activation), (2, 3, 12, 21))
        for activation in ACTIVATIONS
    ],
    ResidualBlock2d: [
        (dict(in_channels=3, out_channels=6, stride=2), (2, 3, 9, 13)),
        (dict(in_channels=6, out_channels=6, stride=1, pool=(2, 3)), (2, 6, 9, 13)),
        (dict(in_channels=6, out_channels=6, stride=(2, 1)), (2, 6, 9, 13)),
    ],
    SelfAttention: [
        (dict(dim=24, heads=3), (2, 11, 24)),
        (dict(dim=24, heads=3, fused=True), (2, 11, 24)),
        (dict(dim=24, heads=3, dropout=0.5), (2, 11, 24)),  # with a seed, both drop the same weights on a CPU
    ],
    Vertical: [(dict(filters=6, height=height, width=3), (2, 1, 12, 20)) for height in (1, 5, 12)],
    SampleBlock: [
        (dict(in_channels=1, out_channels=6, pool=1, stride=3), (2, 1, 81)),
        (dict(in_channels=4, out_channels=6, pool=3), (2, 4, 81)),
        (dict(in_channels=4, out_channels=6, pool=1, kernel=1, padding=0), (2, 4, 2)),
    ],
    SqueezeExcitationBlock: [
        (dict(in_channels=4, out_channels=6, pool=3), (2, 4, 28)),
        (dict(in_channels=6, out_channels=6, pool=1, kernel=1), (2, 6, 28)),
        (dict(in_channels=1, out_channels=6, pool=3, stride=3), (2, 1, 81)),
    ],
    PlainBlock: [(dict(in_channels=3, out_channels=6, kernel=4, pool=pool), (2, 3, 20)) for pool in (4, 2, 1)],
    ParallelFilters: [(dict(filters=3, shapes=[(5, 3), (1, 7)]), (2, 1, 12, 21))],
}
PAIRS = [
    pytest.param(plain, options, shape, id=f"{plain.__name__}-{number}")
    for plain, cases in CASES.items()
    for number, (options, shape) in enumerate(cases)
]


def as_after_training(module):
    """Statistics and factors that matter; every second factor is negative, a trap for a maximum."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            norm.weight.data[::2] *= -1
            nn.init.normal_(norm.bias)
    return module


def same_tensors(ours, theirs, **tolerance):
    for (name, a), (other, b) in zip(ours, theirs, strict=True):
        assert name == other
        torch.testing.assert_close(a, b, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def test_every_pair_is_tested():
    assert CASES.keys() == FAST.keys()


@pytest.mark.parametrize(("plain", "fast"), FAST.items(), ids=lambda cls: cls.__name__)
def test_the_fast_form_says_why(plain, fast):
    assert issubclass(fast, plain)
    assert fast.__init__ is plain.__init__  # the weights are the textbook's
    assert ("*Equal*" in fast.__doc__ and "*Faster*" in fast.__doc__) or "see `Fast" in fast.__doc__


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("plain", "options", "shape"), PAIRS)
def test_layer(plain, options, shape, training):
    torch.manual_seed(0)
    textbook = as_after_training(plain(**options)).double().train(training)
    fast = accelerate(copy.deepcopy(textbook))
    assert type(fast) is FAST[plain]
    x = torch.randn(shape, dtype=torch.float64)
    fast_x, textbook_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.manual_seed(1)
    got = fast(fast_x)
    torch.manual_seed(1)
    expected = textbook(textbook_x)
    torch.testing.assert_close(got, expected)
    weighting = torch.randn_like(expected)
    (got * weighting).sum().backward()
    (expected * weighting).sum().backward()
    torch.testing.assert_close(fast_x.grad, textbook_x.grad)
    assert textbook_x.grad.any()
    same_tensors(
        ((name, p.grad) for name, p in fast.named_parameters()),
        ((name, p.grad) for name, p in textbook.named_parameters()),
    )
    same_tensors(fast.named_buffers(), textbook.named_buffers())  # the running statistics
    with torch.no_grad():
        torch.manual_seed(2)
        got = fast(x)
        torch.manual_seed(2)
        torch.testing.assert_close(got, textbook(x))
    same_tensors(fast.named_buffers(), textbook.named_buffers())


@pytest.mark.parametrize("plain", FAST, ids=lambda cls: cls.__name__)
def test_a_sub_class_of_yours_stays(plain):
    class Mine(plain):
        def forward(self, x):
            return x

    layer = Mine(**CASES[plain][0][0])
    assert type(accelerate(nn.Sequential(layer))[0]) is Mine
    assert not accelerated(layer)


# --- whole models ----------------------------------------------------------------------------------------------


def both(name):
    """A model in both forms, of the same seed."""
    made = []
    for fast in (True, False):
        torch.manual_seed(0)
        made.append(models.create(name, num_tags=3, fast=fast))
    return made


def noise(model):
    samples = min(model.num_samples, 2 * model.min_samples + 16_000)
    loudness = torch.tensor([[0.01], [0.5]])
    return loudness * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", models.list())
def test_model(name):
    fast, textbook = both(name)
    assert not accelerated(textbook)
    assert type(fast) is type(textbook)
    assert fast.options == textbook.options == {}
    same_tensors(fast.state_dict().items(), textbook.state_dict().items(), rtol=0, atol=0)
    assert all(parameter.is_contiguous() for parameter in textbook.parameters())
    fast.load_state_dict(as_after_training(textbook).state_dict())
    waveform = noise(textbook)
    with torch.no_grad():
        for method in ("features", "__call__"):
            got, expected = (getattr(model.eval(), method)(waveform) for model in (fast, textbook))
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_what_create_makes_is_fast_and_what_a_class_makes_is_the_textbook():
    assert accelerated(models.create("cnn_2d"))
    assert not accelerated(CNN2d())
    assert accelerated(models.create("cnn_embedding").backbone)
    assert not accelerated(models.create("cnn_embedding", fast=False))
    with pytest.raises(ModelError, match="fast is True or False, got 'no'"):
        models.create("cnn_2d", fast="no")


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_file_does_not_know_with_which_form_it_was_saved(tmp_path, saved, loaded):
    options = {"channels": (4, 5, 6, 7)}
    model = models.create("cnn_2d", num_tags=2, fast=saved, **options)
    models.save(model, tmp_path / "m.pt", tags=["a", "b"])
    again = models.load(tmp_path / "m.pt", fast=loaded)
    assert accelerated(again) == loaded
    assert again.options == options
    torch.testing.assert_close(again(noise(again)), model.eval()(noise(again)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_copies_are_of_the_same_form(fast):
    model = models.create("cnn_2d", num_tags=2, channels=(4, 5, 6, 7), fast=fast).eval()
    model.blocks[0].register_forward_pre_hook(_twice)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [type(module) for module in again.modules()] == [type(module) for module in model.modules()]
        assert torch.equal(again(noise(model)), model(noise(model)))
    assert accelerated(models.with_new_head(model, 5)) == fast
    frozen = models.freeze(model, until="blocks.1").train()
    assert [block.training for block in frozen.blocks] == [False, False, True, True]


def _twice(module, inputs):
    return (2 * inputs[0],)


def test_a_fast_model_compiles():
    model = models.create("cnn_2d", num_tags=2, channels=(4, 5, 6, 7)).eval()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(noise(model)), model(noise(model)))


def test_accelerating_twice_changes_nothing():
    model = models.create("cnn_2d")
    before = [type(module) for module in model.modules()]
    assert [type(module) for module in accelerate(model).modules()] == before
