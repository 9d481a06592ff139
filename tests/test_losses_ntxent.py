"""NT-Xent against naive loops, lightly, pytorch-metric-learning, and itself in two processes."""

import math

import losses_distributed as two
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mclass.losses import NTXentLoss, naive_nt_xent, ntxent


def views(pairs, dim=6, seed=0, dtype=torch.float32):
    return torch.randn(2, pairs, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype).unbind()


def loops(z_i, z_j, temperature):
    z = [row.tolist() for row in (*z_i, *z_j)]
    norms = [math.sqrt(sum(v * v for v in row)) for row in z]

    def cosine(a, b):
        return sum(x * y for x, y in zip(z[a], z[b], strict=True)) / norms[a] / norms[b]

    values = []
    for i in range(len(z)):
        partner = (i + len(z_i)) % len(z)
        others = sum(math.exp(cosine(i, k) / temperature) for k in range(len(z)) if k != i)
        values.append(-math.log(math.exp(cosine(i, partner) / temperature) / others))
    return torch.tensor(values)


def gradients(loss, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    value.backward()
    return value.detach(), torch.stack([x.grad for x in inputs])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_both_versions_are_the_definition(temperature):
    z = views(7)
    expected = loops(*z, temperature)
    torch.testing.assert_close(naive_nt_xent(*z, temperature), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(NTXentLoss(temperature, "none")(*z), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(NTXentLoss(temperature)(*z), expected.mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(NTXentLoss(temperature, "sum")(*z), expected.sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 1 << 30], ids=["computed twice", "kept"])
@pytest.mark.parametrize("pairs", [2, 63, 64, 65, 200])
@pytest.mark.parametrize("temperature", [0.002, 0.01, 0.5])
def test_blocks_give_the_gradient_of_the_naive_version(monkeypatch, kept, pairs, temperature):
    monkeypatch.setattr(ntxent, "KEPT_BYTES", kept)
    z = views(pairs, dtype=torch.float64)
    value, gradient = gradients(NTXentLoss(temperature), *z)
    wanted, right = gradients(lambda *z: naive_nt_xent(*z, temperature).mean(), *z)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, right, rtol=1e-6, atol=1e-10)
    single, rough = gradients(NTXentLoss(temperature), *(x.float() for x in z))
    assert single == pytest.approx(wanted.item(), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(rough.double(), right, rtol=1e-3, atol=2e-4 * right.abs().max().item())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradcheck(reduction):
    z = [x.requires_grad_() for x in views(5, 4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(NTXentLoss(0.3, reduction), z)


def test_the_gradient_of_the_gradient_is_refused_or_right():
    z = [x.requires_grad_() for x in views(4, 3, dtype=torch.float64)]
    with pytest.raises(RuntimeError, match=r'cannot be differentiated again.*reduction="none"'):
        torch.autograd.grad(NTXentLoss()(*z), z, create_graph=True)
    assert torch.autograd.gradgradcheck(NTXentLoss(reduction="none"), z)


def test_upstream_gradients_scale_and_one_view_alone_may_learn():
    z = views(9)
    _, once = gradients(NTXentLoss(), *z)
    _, thrice = gradients(lambda *z: 3 * NTXentLoss()(*z), *z)
    torch.testing.assert_close(thrice, 3 * once)
    first = z[0].clone().requires_grad_()
    NTXentLoss()(first, z[1]).backward()
    torch.testing.assert_close(first.grad, once[0])
    with torch.no_grad():
        assert not NTXentLoss()(first, z[1]).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    z = [x.to(dtype) for x in views(40, 16)]
    value, gradient = gradients(NTXentLoss(0.05), *z)
    wanted, right = gradients(NTXentLoss(0.05), *(x.float() for x in z))
    assert value.dtype == torch.float32
    assert value == wanted
    torch.testing.assert_close(gradient, right.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert NTXentLoss(0.05)(*(x.float() for x in z)) == wanted
    # Squares of 300 are beyond float16.
    assert NTXentLoss()(*((300 * x).half() for x in views(4))).isfinite()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 99), st.floats(1e-3, 1e3))
def test_neither_order_nor_lengths_nor_which_view_is_first_matter(pairs, seed, scale):
    z_i, z_j = views(pairs, dtype=torch.float64, seed=seed)
    loss = NTXentLoss()(z_i, z_j)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    lengths = scale * (1 + torch.arange(pairs, dtype=torch.float64)[:, None])
    for other in ((z_i[order], z_j[order]), (z_j, z_i), (z_i * lengths, z_j / lengths)):
        torch.testing.assert_close(NTXentLoss()(*other), loss)


@pytest.mark.parametrize("pairs", [3, 200])
def test_lightly_agrees(pairs):
    peer = pytest.importorskip("lightly.loss").NTXentLoss(temperature=0.4)
    z = views(pairs)
    for ours, theirs in zip(gradients(NTXentLoss(0.4), *z), gradients(peer, *z), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_pytorch_metric_learning_agrees():
    peer = pytest.importorskip("pytorch_metric_learning.losses").NTXentLoss(temperature=0.4)
    z = views(12)
    labels = torch.arange(12).repeat(2)
    theirs = gradients(lambda *z: peer(torch.cat(z), labels), *z)
    for ours, wanted in zip(gradients(NTXentLoss(0.4), *z), theirs, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("torch was built without gloo")
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(two.work, (str(folder),), nprocs=two.PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(two.PROCESSES)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_two_processes_equal_one_on_the_joined_batch(processes, reduction):
    model, x = two.layer(), two.batch()
    z = model(x.flatten(0, 1)).view(2, -1, two.DIM)
    z_i, z_j = z.unbind()
    z_i.retain_grad()
    loss = NTXentLoss(reduction=reduction)(z_i, z_j)
    loss.sum().backward()
    scale = model.weight.grad.abs().max().item()
    if reduction == "none":
        # Each process has its rows only; DDP averages the gradient of their sum.
        both = torch.stack([values[0].view(2, -1) for values in (p["none"] for p in processes)], 1).flatten()
        torch.testing.assert_close(both, loss.detach(), rtol=1e-5, atol=1e-5)
        model.weight.grad /= two.PROCESSES
        z_i.grad /= two.PROCESSES
    for rank, process in enumerate(processes):
        value, weight, rows = process[reduction]
        if reduction != "none":
            torch.testing.assert_close(value, loss.detach(), rtol=1e-5, atol=0)
        torch.testing.assert_close(weight, model.weight.grad, rtol=0, atol=1e-5 * max(1, scale))
        own = z_i.grad[rank * two.PAIRS : (rank + 1) * two.PAIRS] * two.PROCESSES
        torch.testing.assert_close(rows, own, rtol=0, atol=1e-5 * max(1, own.abs().max().item()))


def test_processes_without_gradients_or_without_each_other(processes):
    z_i, z_j = two.layer()(two.batch()).detach()
    together = NTXentLoss()(z_i, z_j)
    for rank, process in enumerate(processes):
        torch.testing.assert_close(process["evaluated"], together, rtol=1e-5, atol=0)
        own = slice(rank * two.PAIRS, (rank + 1) * two.PAIRS)
        torch.testing.assert_close(process["alone"], NTXentLoss()(z_i[own], z_j[own]), rtol=1e-5, atol=0)
        torch.testing.assert_close(process["queue"][: len(z_j)], F.normalize(z_j), rtol=1e-5, atol=1e-6)


def test_a_gradient_shared_by_two_gathered_tensors_is_summed_once(processes):
    for process in processes:
        for gradient in process["shared gradient"]:
            assert torch.equal(gradient, torch.full((two.PAIRS, 1), 3.0))


def test_processes_fail_together(processes):
    for process in processes:
        assert "got [150, 149]" in process["uneven"]
    assert "in another process" in processes[0]["nan"]
    assert "z_i has nan in row 0" in processes[1]["nan"]
