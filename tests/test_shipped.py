"""Weights that come with the package: what is stored is what is loaded, and says how it was made."""

import numpy as np
import pytest
import torch

from mclass import models
from mclass.errors import ModelError
from mclass.models import pretrained
from mclass.models.fast import accelerated
from mclass.models.pretrained import shipped
from mclass.vocabulary import MAGNATAGATUNE

ABOUT = {"trained_on": "nothing", "scores": {"roc_auc": 0.51234}, "made_with": "torch, commit 0123456789"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    shipped.catalogue.cache_clear()
    yield tmp_path
    shipped.catalogue.cache_clear()


def a_model(**options):
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=50, **options)
    model.tags = [*MAGNATAGATUNE]
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(-20, 5)
            module.running_var.uniform_(50, 300)
    return model.eval()


def test_what_is_saved_is_loaded_by_name(folder):
    model = a_model(channels=64)
    path = shipped.save(model, "etude/small", folder=folder, **ABOUT)
    assert path.stat().st_size < 110_000
    assert "etude/small" in pretrained.list()
    assert not accelerated(pretrained.load("etude/small", fast=False))
    again = pretrained.load("etude/small")
    assert accelerated(again)
    assert (again.architecture, again.options, again.training) == ("cnn_1d", {"channels": 64}, False)
    assert again.tags == [*MAGNATAGATUNE]
    noise = 0.1 * torch.randn(3, 48_000)
    with torch.no_grad():
        np.testing.assert_allclose(again(noise).sigmoid(), model(noise).sigmoid(), atol=shipped.LARGEST_ERROR)
    assert all(value.dtype == model.state_dict()[key].dtype for key, value in again.state_dict().items())


def test_the_header_says_how_it_was_made(folder):
    shipped.save(a_model(), "etude/small", folder=folder, **ABOUT)
    found = pretrained.info("etude/small")
    assert (found.trained_on, found.scores, found.made_with) == (
        "nothing",
        {"roc_auc": 0.5123},
        ABOUT["made_with"],
    )
    assert found.url.startswith("file:")


def test_weights_that_half_precision_spoils_are_refused(folder):
    model = a_model()
    model.head.weight.data.mul_(1e6)
    with pytest.raises(ModelError, match=r"half precision a probability of etude/small moves by"):
        shipped.save(model, "etude/small", folder=folder, **ABOUT)
    assert not list(folder.iterdir())


def test_another_prefix_is_refused(folder):
    with pytest.raises(ModelError, match=r"named etude/…, got 'mtat/small'"):
        shipped.save(a_model(), "mtat/small", folder=folder, **ABOUT)


def test_everything_that_comes_with_the_package_loads_and_is_small():
    names = list(shipped.catalogue())
    if not names:
        pytest.skip("no weights are shipped yet: python -m experiments.shipped makes them")
    for name in names:
        model, found = pretrained.load(name), pretrained.info(name)
        assert found.scores["roc_auc"] > 0.7
        assert "commit" in found.made_with
        with torch.no_grad():
            assert torch.isfinite(model(torch.zeros(1, model.num_samples))).all()
    assert sum((shipped.FOLDER / shipped.catalogue()[name].path).stat().st_size for name in names) < 5_000_000
