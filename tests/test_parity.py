"""Every published architecture against the original implementation's outputs."""

import pytest
import torch

from mclass import pretrained
from mclass.pretrained.names import TABLES
from tests import published

pytestmark = pytest.mark.skipif(not published.PARITY.is_dir(), reason="../shared/parity is absent")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_logits_equal_the_original(name):
    entry = published.manifest()[name]
    model = pretrained.from_original(name, published.seeded_weights(name))
    assert sum(p.numel() for p in model.parameters()) == entry["params"]
    assert model.num_samples == entry["input_samples"]
    with torch.no_grad():
        logits = model(published.seeded_input(entry["input_samples"]))
    expected = published.reference_logits(name)
    error = ((logits - expected).norm() / expected.norm()).item()
    worst = ((logits - expected).abs().max() / expected.abs().max()).item()
    assert max(error, worst) < 1e-4
