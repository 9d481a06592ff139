"""The homework's models: published shapes and sizes; creating, saving and loading models."""

import pickle
import sys

import numpy as np
import pytest
import torch

from benchmarks.models import multiply_adds, receptive_field
from mclass import models
from mclass.errors import ModelError

# The homework report: parameters with 50 tags, and the shape after each stage for 3 s at 16 kHz.
PUBLISHED = {
    "cnn_1d": (17_300, [(32, 64), (32, 22), (32, 8)], 32),
    "cnn_2d": (299_892, [(64, 24, 47), (128, 8, 15), (128, 2, 5), (64, 1, 1)], 64),
    "homework_fcn": (104_184, [(16, 24, 47), (32, 8, 15), (64, 2, 5), (128, 1, 1)], 128),
}


@pytest.fixture(params=sorted(PUBLISHED))
def name(request):
    return request.param


@pytest.fixture
def waveform():
    return 0.1 * torch.randn(2, 48000, generator=torch.Generator().manual_seed(0))


def test_published_size_and_shapes(name, waveform):
    size, shapes, dim = PUBLISHED[name]
    model = models.create(name)
    assert sum(p.numel() for p in model.parameters()) == size
    seen = {"input": None, "blocks": []}
    model.input_norm.register_forward_hook(lambda m, i, out: seen.update(input=tuple(out.shape)))
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, out: seen["blocks"].append(tuple(out.shape)))
    heads = []
    model.head.register_forward_hook(lambda m, i, out: heads.append(tuple(out.shape)))
    assert model(waveform).shape == (2, 50)
    assert seen == {"input": (2, 1, 96, 188), "blocks": [(2, *shape) for shape in shapes]}
    assert heads == [(2, 50, 1, 1) if name == "homework_fcn" else (2, 50)]
    assert model.embed(waveform).shape == (2, dim)
    assert (model.sample_rate, model.num_samples) == (16000, 48000)


def test_every_parameter_learns(name):
    torch.manual_seed(0)
    model = models.create(name, num_tags=3)
    # Loud and soft, so that some units are off for some of them; a random weighting, since batch norm as the
    # last layer makes the plain sum a constant.
    waveforms = torch.randn(8, 48000) * torch.logspace(-4, 0, 8)[:, None]
    (model(waveforms) * torch.randn(8, 3)).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    # A convolution's bias is undone by the batch norm after it; everything else must move.
    still = [k for k, p in model.named_parameters() if not p.grad.any()]
    assert all(key.endswith("conv.bias") or key == "head.0.bias" for key in still), still


def test_relu_after_pooling_is_the_published_order(name, waveform):
    """The blocks pool before ReLU because it is faster; the textbook order gives the same bits."""
    torch.manual_seed(0)
    model = models.create(name)
    x = model.input_norm(model.frontend(waveform))
    x = x[:, 0] if name == "cnn_1d" else x
    for block in model.blocks:
        expected = block.pool(torch.relu(block.norm(block.conv(x))))
        x = block(x)
        assert torch.equal(x, expected)


def test_train_and_eval(name, waveform):
    model = models.create(name)
    before = model.input_norm.running_mean.clone()
    model(waveform)
    assert not torch.equal(model.input_norm.running_mean, before)
    model.eval()
    with torch.no_grad():
        both, one = model(waveform), model(waveform[:1])
    torch.testing.assert_close(both[:1], one, rtol=1e-4, atol=1e-5)  # in eval a row does not see its neighbours
    assert torch.equal(both, model(waveform))


def test_longer_waveforms_and_the_shortest(name):
    model = models.create(name).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 160_000)).shape == (1, 50)
        assert model(torch.zeros(1, model.min_samples)).shape == (1, 50)
        with pytest.raises(ValueError, match=f"{model.min_samples} samples"):
            model(torch.zeros(1, model.min_samples - 1))


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(2, 1, 48000), "channel"),
        (torch.zeros(48000), "batch of one"),
        (torch.zeros(2, 48000, dtype=torch.int16), "int16"),
        (torch.zeros(2, 3), "samples"),
        ([0.0], "torch.Tensor"),
    ],
)
def test_wrong_input_is_refused(name, waveform, message):
    with pytest.raises(ValueError, match=message):
        models.create(name)(waveform)


def test_create_refuses():
    with pytest.raises(ModelError, match="did you mean 'cnn_2d'"):
        models.create("cnn2d")
    with pytest.raises(ModelError, match=r"'chanels' \(did you mean 'channels'\?\)"):
        models.create("cnn_2d", chanels=(1, 2, 3, 4))
    with pytest.raises(ValueError, match="got 0"):
        models.create("cnn_1d", num_tags=0)
    with pytest.raises(ValueError, match="widths of 4 layers"):
        models.create("cnn_2d", channels=(8, 8))


def test_save_and_load(name, waveform, tmp_path):
    options = {"channels": 8} if name == "cnn_1d" else {"channels": (4, 5, 6, 7)}
    model = models.create(name, num_tags=3, **options)
    model(waveform)  # moves the running statistics
    models.save(model, tmp_path / "m.pt", tags=["a", "b", "c"], multilabel=False, valid={"accuracy": 0.5})
    again = models.load(tmp_path / "m.pt")
    assert torch.equal(again(waveform), model.eval()(waveform))
    assert (again.tags, again.multilabel, again.extra) == (["a", "b", "c"], False, {"valid": {"accuracy": 0.5}})
    assert not again.training
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]  # no temporary file stays


def test_numbers_of_numpy_are_saved_as_numbers(tmp_path):
    model = models.create("cnn_1d", num_tags=2, channels=np.int64(8))
    scores = {"roc_auc": np.float64(0.75), "of_tags": [np.float32(0.5), (np.bool_(True),)]}
    models.save(model, tmp_path / "m.pt", tags=np.array(["a", "b"]), **scores)
    again = models.load(tmp_path / "m.pt")
    assert again.extra == {"roc_auc": 0.75, "of_tags": [0.5, (True,)]}
    assert type(again.extra["roc_auc"]) is float
    assert again.options == {"channels": 8}


def test_save_refuses(tmp_path):
    model = models.create("cnn_1d", num_tags=2)
    for tags in (["a"], ["a", "a"]):
        with pytest.raises(ModelError, match="2 outputs"):
            models.save(model, tmp_path / "m.pt", tags=tags)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write"):
        models.save(model, tmp_path / "file" / "m.pt", tags=["a", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch):
    model = models.create("cnn_1d", num_tags=1)
    path = models.save(model, tmp_path / "m.pt", tags=["a"])
    before = path.read_bytes()

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(ModelError, match="No space left"):
        models.save(model, path, tags=["a"])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are Unix's")
def test_a_really_full_disk(tmp_path):
    """A limit on the size of files fails in the same place as a full disk: inside the write."""
    import resource

    model = models.create("cnn_1d", num_tags=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(ModelError, match="cannot write"):
            models.save(model, tmp_path / "m.pt", tags=["a"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in the file ran')",))


def test_load_refuses_what_is_not_a_model(tmp_path):
    good = models.save(models.create("cnn_1d", num_tags=1), tmp_path / "good.pt", tags=["a"]).read_bytes()
    path = tmp_path / "bad.pt"
    for content, message in [
        (b"", "empty"),
        (b"RIFF....WAVEfmt ", "damaged"),
        (good[: len(good) // 2], "damaged"),
        (pickle.dumps({"format": "mclass model"}), "damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message):
            models.load(path)
    for content, message in [
        (Evil(), "run code"),
        (torch.nn.Linear(1, 1), "run code"),
        ({"weight": torch.zeros(1)}, "not a mclass model file"),
        ([1, 2], "not a mclass model file"),
    ]:
        torch.save(content, path)
        with pytest.raises(ModelError, match=message):
            models.load(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        models.load(tmp_path / "absent.pt")
    with pytest.raises(ModelError, match="folder"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "from_the_future"}, "from_the_future"),
        ({"options": {"depth": 3}}, "depth"),
        ({"num_tags": 2}, "1 tags for 2 outputs"),
        ({"tags": ["a", "b"]}, "2 tags for 1"),
        ({"state_dict": {}}, "Missing|Error"),
        ({"state_dict": None}, "state_dict must be a mapping"),
    ],
)
def test_load_refuses_files_that_do_not_fit(tmp_path, change, message):
    path = models.save(models.create("cnn_1d", num_tags=1), tmp_path / "m.pt", tags=["a"])
    content = torch.load(path, weights_only=True) | change
    torch.save(content, path)
    with pytest.raises(ModelError, match=message):
        models.load(path)


class Own(models.WaveformModel):
    def __init__(self, num_tags=2, width=3):
        super().__init__()
        self.num_tags, self.head = num_tags, torch.nn.Linear(width, num_tags)


def test_a_class_of_your_own_keeps_its_weights(tmp_path):
    model = Own()
    path = models.save(model, tmp_path / "m.pt", tags=["a", "b"], multilabel=False)
    with pytest.raises(ModelError, match=r"your own, Own.*load_weights"):
        models.load(path)
    other = models.load_weights(Own(), path)
    assert torch.equal(other.head.weight, model.head.weight)
    assert (other.tags, other.multilabel) == (["a", "b"], False)
    with pytest.raises(ModelError, match="do not fit this Own"):
        models.load_weights(Own(width=4), path)


def test_the_measured_table_is_of_these_models():
    """`python -m benchmarks.models` was run after the last change to the registry."""
    table = models.measured().set_index("model")
    assert list(table.index) == models.list()
    for name in ("cnn_2d", "musicnn", "short_chunk_cnn"):
        assert table.loc[name, "parameters"] == sum(p.numel() for p in models.create(name).parameters())


def test_the_measured_receptive_field_is_that_of_the_formula():
    field, distance = 1, 1  # in frames
    for kernel, pool in [(3, 3)] * 3:  # CNN1d's blocks
        field += (kernel - 1) * distance
        field += (pool - 1) * distance
        distance *= pool
    seconds = ((field - 1) * 256 + 512) / 16000
    assert receptive_field(models.create("cnn_1d")) == pytest.approx(
        seconds, abs=3 / 16000
    )  # windows end in zeros


class OneConvolution(models.WaveformModel):
    num_samples = 1000

    def __init__(self):
        super().__init__()
        self.conv, self.head = torch.nn.Conv1d(1, 8, 5), torch.nn.Linear(8, 2)

    def embed(self, waveform):
        return self.conv(waveform[:, None]).amax(dim=2)


def test_multiply_adds_of_known_layers():
    assert multiply_adds(OneConvolution()) == 996 * 8 * 5 + 8 * 2
