"""What holds for every model of the registry: the contract of `mclass.models.WaveformModel`."""

import contextlib

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mclass import models


@pytest.fixture(params=models.list())
def model(request):
    torch.manual_seed(0)
    return models.create(request.param, num_tags=3).eval()


def noise(rows, samples):
    """Loud and soft rows, so that no unit is on, or off, for all of them."""
    noise = torch.randn(rows, samples, generator=torch.Generator().manual_seed(1))
    return noise * torch.logspace(-3, 0, rows)[:, None]


def short(model):
    """A length that leaves two steps of time where a chunk has them (a recurrent network must remember one)."""
    return min(model.num_samples, 2 * model.min_samples + 16_000)


def test_contract(model):
    waveform = noise(2, short(model))
    with torch.inference_mode():
        features, embedding, logits = model.features(waveform), model.embed(waveform), model(waveform)
    assert features.ndim in (3, 4)
    assert len(features) == 2
    assert embedding.ndim == 2
    assert logits.shape == (2, model.num_tags) == (2, 3)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1], rtol=1e-4)  # it hears something
    assert isinstance(model.frontend.summary, str)
    assert model.min_samples <= model.num_samples
    *_, (last, _) = model.named_children()
    assert last == "head"  # `freeze` goes by this order


def test_every_parameter_learns(model):
    waveform = noise(3, short(model))
    # Batch norms with the statistics of this batch, then in eval mode: in training mode they undo the biases
    # before them, whose gradients would be rounding errors.
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        model(waveform)
    model.eval()
    (model(waveform) * torch.tensor([1.0, -2.0, 0.5])).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_rows_do_not_see_each_other(model):
    waveform = noise(2, model.min_samples)
    with torch.inference_mode():
        together, alone = model(waveform), model(waveform[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_gradient_or_not_the_values_are_the_same(model):
    """Some layers take a leaner way when nobody asks for gradients."""
    waveform = noise(2, model.min_samples)
    with torch.inference_mode():
        without = model(waveform)
    torch.testing.assert_close(model(waveform), without, rtol=1e-4, atol=1e-5)


def test_the_shortest_waveform_and_a_longer_one(model):
    with torch.inference_mode():
        assert model(torch.zeros(1, model.min_samples)).shape == (1, 3)
        with pytest.raises(ValueError, match=f"{model.min_samples} samples"):
            model(torch.zeros(1, model.min_samples - 1))
        longer = torch.zeros(1, model.num_samples * 5 // 4)
        if model.architecture == "vgg":  # its last layer has a weight for each place of the last map
            with pytest.raises(ValueError, match="takes chunks of 47872 samples"):
                model(longer)
        else:
            assert model(longer).shape == (1, 3)


def test_save_and_load(model, tmp_path):
    waveform = noise(2, model.min_samples)
    models.save(model, tmp_path / "m.pt", tags=["a", "b", "c"])
    again = models.load(tmp_path / "m.pt")
    assert (again.tags, again.architecture) == (["a", "b", "c"], model.architecture)
    with torch.inference_mode():
        assert torch.equal(again(waveform), model(waveform))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_model_takes_any_number_of_clips(model):
    waveform = noise(5, short(model))
    with torch.inference_mode():
        traced = torch.jit.trace(model, waveform[:2], check_trace=False)
        torch.testing.assert_close(traced(waveform), model(waveform), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The tensor attributes self.rnn")
def test_an_exported_model_takes_any_number_of_clips(model):
    waveform, batch = noise(5, short(model)), torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(model, (waveform[:2],), dynamic_shapes=({0: batch},)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(waveform), model(waveform), rtol=1e-4, atol=1e-5)


def test_training_on_one_clip_works_or_says_what_to_change(model):
    """Where batch norm has one value for each channel it cannot."""
    model.train()
    assert model(noise(2, short(model))).isfinite().all()
    fails = any(refuses_one(model, module) for module in model.modules() if isinstance(module, _BatchNorm))
    with pytest.raises(ValueError, match="batch_size of at least 2") if fails else contextlib.nullcontext():
        model(noise(1, short(model)))


def refuses_one(model, norm):
    """Whether this batch norm gets one value per channel and clip."""
    seen = []
    hook = norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][0, 0].numel()))
    model(noise(2, short(model)))
    hook.remove()
    return min(seen) == 1
