"""Every published architecture against the original implementation's outputs."""

import numpy as np
import pytest
import torch

from mclass import pretrained
from mclass.audio import read
from mclass.models.fast import accelerated
from mclass.models.pretrained.names import TABLES
from tests import published

pytestmark = pytest.mark.skipif(not published.PARITY.is_dir(), reason="../shared/parity is absent")


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "textbook"])
@pytest.mark.parametrize("name", sorted(TABLES))
def test_logits_equal_the_original(name, fast):
    entry = published.manifest()[name]
    model = pretrained.from_original(name, published.seeded_weights(name), fast=fast)
    assert accelerated(model) == fast
    assert sum(p.numel() for p in model.parameters()) == entry["params"]
    assert model.num_samples == entry["input_samples"]
    with torch.no_grad():
        logits = model(published.seeded_input(entry["input_samples"]))
    expected = published.reference_logits(name)
    error = ((logits - expected).norm() / expected.norm()).item()
    worst = ((logits - expected).abs().max() / expected.abs().max()).item()
    assert max(error, worst) < 1e-4


@pytest.mark.parametrize("name", ["fcn", "musicnn", "crnn"])
def test_published_weights_on_music(name):
    """With our own mel bands: the checkpoints' differ by up to 1.3e-5, which moves no probability by 1e-4."""
    weights = torch.load(
        published.PARITY / "checkpoints" / f"mtat_{name}.pth", map_location="cpu", weights_only=True
    )
    model = pretrained.from_original(name, weights)
    waveform = read(published.CLIP, model.sample_rate)
    chunks = waveform[: len(waveform) // model.num_samples * model.num_samples].view(-1, model.num_samples)
    with torch.no_grad():
        ours = model.probabilities(model(chunks)).numpy()
    with np.load(published.PARITY / "checkpoint_outputs.npz") as outputs:
        np.testing.assert_allclose(ours, outputs[f"mtat/{name}"], atol=1e-4, rtol=0)
