"""Weights out of compiled models, DDP, Lightning and checkpoints load everywhere, or the error says why not."""

import numpy as np
import pytest
import torch
from torch import nn

from mclass import audio, inference, losses, models, pretrained
from mclass.errors import ModelError
from mclass.frontends import MFCC
from mclass.mining import mine
from mclass.models.shallow import features
from tests.test_pretrained import original_fcn

WAVEFORM = 0.1 * torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))
WRAPPERS = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "data parallel": nn.DataParallel,
    "both": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
    "the other way": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}
PREFIXES = ["", "module.", "_orig_mod.", "net.", "model._orig_mod.", "module._orig_mod.encoder."]
ENTRIES = [None, "state_dict", "model_state_dict", "model", "net"]


def fresh(seed=0):
    torch.manual_seed(seed)
    return models.create("cnn_1d", num_tags=3).eval()


def outputs(model):
    with torch.inference_mode():
        return model(WAVEFORM)


def compile_a_part(model):
    model.blocks = torch.compile(model.blocks, backend="eager")
    return model


@pytest.mark.parametrize("wrap", [*WRAPPERS.values(), compile_a_part], ids=[*WRAPPERS, "a part"])
def test_a_wrapped_model_is_saved_as_the_model_inside(wrap, tmp_path):
    expected = outputs(fresh())
    models.save(wrap(fresh()), tmp_path / "model.pt", tags=["a", "b", "c"])
    again = models.load(tmp_path / "model.pt")
    assert torch.equal(outputs(again), expected)
    other = compile_a_part(fresh(seed=1))
    assert not torch.equal(outputs(other), expected)
    assert torch.equal(outputs(models.load_weights(other, tmp_path / "model.pt")), expected)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_weights_are_found_under_any_prefix_in_any_checkpoint(prefix, entry, tmp_path):
    weights = {prefix + name: value for name, value in fresh().state_dict().items()}
    if prefix == "net.":
        weights["loss.weight"] = torch.ones(3)  # of a Lightning module with a loss
    content = weights if entry is None else {"epoch": 3, "optimizer": {"state": {}}, entry: weights}
    torch.save(content, tmp_path / "checkpoint.ckpt")
    again = models.load_weights(fresh(seed=1), tmp_path / "checkpoint.ckpt")
    assert torch.equal(outputs(again), outputs(fresh()))


def test_a_lightning_module_and_a_task_of_the_course(tmp_path):
    import lightning

    from mclass import training

    class Mine(lightning.LightningModule):
        def __init__(self, network):
            super().__init__()
            self.network = network

    for module in (Mine(fresh()), training.Tagging(fresh())):
        torch.save({"state_dict": module.state_dict()}, tmp_path / "mine.ckpt")
        again = models.load_weights(fresh(seed=1), tmp_path / "mine.ckpt")
        assert torch.equal(outputs(again), outputs(fresh()))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_original_weights_are_found_under_any_prefix(prefix, tmp_path):
    plain = original_fcn()
    wrapped = {prefix + name: value for name, value in plain.items()}
    torch.save({"epoch": 3, "model_state_dict": wrapped}, tmp_path / "original.pth")
    expected = pretrained.from_original("fcn", plain).state_dict()
    found = [pretrained.from_original("fcn", wrapped), pretrained.load("fcn", tmp_path / "original.pth")]
    for model in found:
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "does not hold the weights of a model"),
        ([1, 2], "does not hold the weights of a model"),
        ({"state_dict": {"step": 3}}, "does not hold the weights of a model"),
        (dict(fresh().state_dict(), extra=torch.zeros(1)), "Unexpected key.*extra"),
        ({"x": torch.zeros(1)}, "do not fit this CNN1d with 3"),
        (models.create("cnn_1d", num_tags=2).state_dict(), "do not fit this CNN1d with 3.*size mismatch"),
    ],
)
def test_what_does_not_fit_is_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "checkpoint.pt")
    before = fresh().state_dict()
    model = fresh()
    with pytest.raises(ModelError, match=message):
        models.load_weights(model, tmp_path / "checkpoint.pt")
    if "size mismatch" not in message:  # torch loads what fits before it speaks
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_two_copies_are_not_chosen_between(tmp_path):
    content = {f"{who}.{name}": value for who in ("a", "b") for name, value in fresh().state_dict().items()}
    torch.save(content, tmp_path / "copies.pt")
    with pytest.raises(ModelError, match=r"several copies of the model, below 'a\.' and 'b\.'"):
        models.load_weights(fresh(), tmp_path / "copies.pt")
    both = {f"{who}.{name}": value for who in ("a", "b") for name, value in original_fcn().items()}
    with pytest.raises(ModelError, match=r"several networks, below 'a\.' and 'b\.'"):
        pretrained.from_original("fcn", both)


def test_weights_alone_do_not_say_which_model(tmp_path):
    torch.save(fresh().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"holds weights alone: .* mclass\.models\.load_weights\(model, path\)"):
        models.load(tmp_path / "weights.pt")


# Arrays that are read backwards, in steps, or have another byte order

ORDERS = {
    "backwards": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "in steps": lambda array: np.repeat(array, 2, axis=0)[::2],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_arrays_are_taken_in_any_order(order, tmp_path):
    rng = np.random.default_rng(0)
    waveform, labels = rng.normal(size=96_000).astype(np.float32) / 10, rng.integers(0, 2, size=(60, 3))
    model = fresh()
    model.tags = ["a", "b", "c"]

    def results(order):
        audio.save(tmp_path / "x.wav", order(waveform), 16_000)
        positives = np.eye(4, k=1, dtype=bool) | np.eye(4, k=-1, dtype=bool)
        negatives = ~positives & ~np.eye(4, dtype=bool)
        return [
            inference.tag(order(waveform), model, 16_000).scores,
            inference.tag(order(waveform), model, 22_050).scores,
            inference.embed(order(waveform), model, 16_000),
            audio.resample(order(waveform), 16_000, 16_000),
            audio.read(tmp_path / "x.wav", 16_000),
            losses.BCELoss.balanced(order(labels)).pos_weight,
            next(features.frames([order(waveform)], MFCC())),
            mine(torch.eye(4), order(positives), order(negatives), kind="hard", closest=True).negative,
        ]

    for one, plain in zip(results(order), results(lambda array: array), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(plain))
