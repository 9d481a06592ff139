"""Losses against naive loops over plain numbers, torch's own and other libraries, gradients and invariants."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mclass import losses
from mclass.losses import EmptyLossWarning
from mclass.losses.metric import distances

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bits(*shape, seed=0, share=0.4):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share).long()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(row):
    exps = [math.exp(x) for x in row]
    return [x / sum(exps) for x in exps]


def cosine(a, b):
    def dot(x, y):
        return sum(p * q for p, q in zip(x, y, strict=True))

    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def euclidean(a, b):
    return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))


def each(function, *tensors):
    """Apply to each number of equally shaped tensors."""
    flat = [function(*values) for values in zip(*(x.flatten().tolist() for x in tensors), strict=True)]
    return torch.tensor(flat).view(tensors[0].shape)


NOTION = torch.tensor([0, 1, 1, 0, 1, 0])
SAME = torch.tensor([1, 0, 0, 1, 0, 1])
CLASSES = torch.tensor([0, 1, 0, 2, 1, 1])
TAGS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0]])
SHAPE = (6, 4)  # of embeddings
# name: (a loss for each reduction, other arguments than tensors with a gradient, shapes of those)
CASES = {
    "bce": (losses.BCELoss, [TAGS], [(6, 3)]),
    "weighted bce": (partial(losses.BCELoss, 2.0, torch.tensor([1.0, 2.0, 0.5])), [TAGS], [(6, 3)]),
    "focal": (losses.FocalLoss, [TAGS], [(6, 3)]),
    "focal, γ = 0.5": (partial(losses.FocalLoss, 0.5, 0.25), [TAGS], [(6, 3)]),
    "pairs": (losses.ContrastiveLoss, [SAME], [SHAPE] * 2),
    "cosine pairs": (partial(losses.ContrastiveLoss, distance="cosine"), [SAME], [SHAPE] * 2),
    "triplet": (losses.TripletLoss, [], [SHAPE] * 3),
    "euclidean triplet": (partial(losses.TripletLoss, 1.0, "euclidean"), [], [SHAPE] * 3),
    "disentangled": (partial(losses.DisentangledTripletLoss, 0.4, 2), [NOTION], [SHAPE] * 3),
    "supcon": (losses.SupConLoss, [CLASSES], [SHAPE]),
    "supcon, tags": (losses.SupConLoss, [TAGS], [SHAPE]),
    "multi-similarity": (losses.MultiSimilarityLoss, [TAGS], [SHAPE]),
    "proxy anchor": (partial(losses.ProxyAnchorLoss, 3, 4), [TAGS], [SHAPE]),
    "infonce": (losses.InfoNCELoss, [], [SHAPE] * 2),
    "infonce, steps": (partial(losses.InfoNCELoss, 0.2, True), [], [(6, 2, 4)] * 2),
    "moco": (partial(losses.MoCoLoss, 4, 16), [normal(6, 4, seed=8)], [SHAPE]),
    "distillation": (losses.DistillationLoss, [normal(6, 3, seed=9)], [(6, 3)]),
    "distillation, classes": (partial(losses.DistillationLoss, 3.0, False), [normal(6, 3, seed=9)], [(6, 3)]),
    "pseudo-label": (partial(losses.PseudoLabelLoss, "hard", 0.7), [normal(6, 3, seed=9)], [(6, 3)]),
    "soft pseudo-label": (partial(losses.PseudoLabelLoss, "soft", 0.4, False), [normal(6, 3, seed=9)], [(6, 3)]),
    "consistency": (partial(losses.ConsistencyLoss, stop_gradient=False), [], [(6, 3)] * 2),
    "consistency, kl": (partial(losses.ConsistencyLoss, "kl", False, False), [], [(6, 3)] * 2),
    "entropy": (losses.EntropyLoss, [], [(6, 3)]),
    "entropy, classes": (partial(losses.EntropyLoss, False), [], [(6, 3)]),
}
BY_ROW = {name for name in CASES if name not in ("proxy anchor",)}
COUPLED = {"supcon", "supcon, tags", "multi-similarity", "proxy anchor", "infonce", "infonce, steps"}


def build(name, reduction="mean"):
    """The loss, in eval mode so that MoCo's queue stays, and its inputs."""
    make, others, shapes = CASES[name]
    tensors = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    return make(reduction=reduction).eval(), tensors, others


@pytest.mark.parametrize("name", CASES)
def test_gradcheck(name):
    for reduction in ("mean", "none"):
        loss, tensors, others = build(name, reduction)
        loss, others = loss.double(), [x.double() if x.is_floating_point() else x for x in others]
        tensors = [x.double().requires_grad_() for x in tensors]
        assert torch.autograd.gradcheck(lambda *x: loss(*x, *others), tensors)  # noqa: B023


@pytest.mark.parametrize("name", CASES)
def test_reductions_agree(name):
    values, total, mean = (
        loss(*tensors, *others)
        for loss, tensors, others in (build(name, reduction) for reduction in ("none", "sum", "mean"))
    )
    assert values.ndim > 0
    close(total, values.sum())
    counted = values[values > 0] if name == "supcon" else values  # one example has no partner
    close(mean, counted.mean())
    assert len(values) == (3 if name == "proxy anchor" else 6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    loss, tensors, others = build(name)
    halves = [(3 * x).to(dtype).requires_grad_() for x in tensors]
    others = [x.to(dtype) if x.is_floating_point() else x for x in others]
    wide = [x.detach().float().requires_grad_() for x in halves]
    value = loss(*halves, *others)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = loss(*wide, *(x.float() if x.is_floating_point() else x for x in others))
    assert value.dtype == wanted.dtype == torch.float32
    assert value == wanted
    value.backward()
    wanted.backward()
    for half, full in zip(halves, wide, strict=True):
        close(half.grad, full.grad.to(dtype))


@pytest.mark.parametrize("name", sorted(BY_ROW))
@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_the_batch_does_not_matter(name, order):
    loss, tensors, others = build(name, "none")
    shuffled = loss(*(x[order] for x in (*tensors, *others)))
    close(shuffled, loss(*tensors, *others)[order])


@pytest.mark.parametrize("name", sorted(BY_ROW - COUPLED))
@settings(max_examples=5, deadline=None)
@given(cut=st.integers(1, 5))
def test_parts_of_a_batch_give_the_same_values(name, cut):
    loss, tensors, others = build(name, "none")
    with_warning = name in ("pseudo-label", "soft pseudo-label")  # a part may have no confident label
    loss.check_values = not with_warning
    parts = [loss(*(x[rows] for x in (*tensors, *others))) for rows in (slice(cut), slice(cut, None))]
    close(torch.cat(parts), loss(*tensors, *others))


@pytest.mark.parametrize(
    "name", ["cosine pairs", "triplet", "disentangled", "supcon", "multi-similarity", "proxy anchor", "moco"]
)
@settings(max_examples=10, deadline=None)
@given(exponents=st.lists(st.floats(-25, 25), min_size=6, max_size=6))
def test_cosines_know_no_lengths(name, exponents):
    loss, tensors, others = build(name)
    scale = 10 ** torch.tensor(exponents, dtype=torch.float64)[:, None].float()
    close(loss(*(x * scale for x in tensors), *others), loss(*tensors, *others), rtol=1e-4)


# Classification


def test_weighted_bce_is_the_definition():
    x, weight, positive = normal(6, 3), [1.0, 2.0, 0.5], [3.0, 1.0, 0.2]
    loss = losses.BCELoss(torch.tensor(positive), torch.tensor(weight), reduction="none")(x, TAGS)
    for (row, tag), value in zip(
        torch.cartesian_prod(torch.arange(6), torch.arange(3)), loss.flatten(), strict=True
    ):
        p = sigmoid(x[row, tag].item())
        expected = -positive[tag] * math.log(p) if TAGS[row, tag] else -math.log(1 - p)
        assert value.item() == pytest.approx(weight[tag] * expected, rel=1e-5)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (0.5, 0.9), (0.0, 0.25), (5.0, 1.0)])
def test_focal_is_the_definition(gamma, alpha):
    def focal(x, y):
        p = sigmoid(x) if y else 1 - sigmoid(x)
        weight = 1 if alpha is None else alpha if y else 1 - alpha
        return -weight * (1 - p) ** gamma * math.log(p)

    x = normal(6, 3)
    close(losses.FocalLoss(gamma, alpha, reduction="none")(x, TAGS), each(focal, x, TAGS))


def test_focal_without_focus_is_bce_also_of_mixed_targets_and_extreme_logits():
    x, mixed = 3 * normal(6, 3), torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    close(losses.FocalLoss(0.0)(x, TAGS), losses.BCELoss()(x, TAGS))
    close(losses.FocalLoss(0.0, soft=True)(x, mixed), losses.BCELoss(soft=True)(x, mixed))
    extreme = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = losses.FocalLoss(0.5, reduction="sum")(extreme, torch.tensor([[0, 1]]))
    loss.backward()
    assert loss == 2e4
    assert extreme.grad.tolist() == [[1, -1]]


@pytest.mark.parametrize("alpha", [-1, 0.25])
def test_torchvision_agrees(alpha):
    peer = pytest.importorskip("torchvision.ops").sigmoid_focal_loss
    x = 4 * normal(6, 3)
    ours = losses.FocalLoss(2.0, None if alpha < 0 else alpha, reduction="none")(x, TAGS)
    close(ours, peer(x, TAGS.float(), alpha, 2.0))


def test_balanced_weights_make_positives_count_as_much_as_negatives():
    labels = bits(50, 4, share=0.2)
    weight = losses.BCELoss.balanced(labels).pos_weight
    close(weight * labels.sum(0), (1 - labels).sum(0).float())
    assert losses.BCELoss.balanced(torch.zeros(5, 1)).pos_weight.tolist() == [100]


# Pairs and triplets


def test_pairs_are_the_definition():
    x, y = normal(6, 4), normal(6, 4, seed=1)
    for name, measure in {"euclidean": euclidean, "cosine": lambda a, b: 1 - cosine(a, b)}.items():
        ours = losses.ContrastiveLoss(1.5, name, reduction="none")(x, y, SAME)
        for a, b, same, value in zip(x.tolist(), y.tolist(), SAME, ours, strict=True):
            lack = measure(a, b) if same else max(0, 1.5 - measure(a, b))
            assert value.item() == pytest.approx(lack**2 / 2, rel=1e-4)


@pytest.mark.parametrize(("name", "margin"), [("cosine", 0.4), ("euclidean", 1.0)])
def test_triplets_are_the_definition(name, margin):
    measure = {"cosine": lambda a, b: 1 - cosine(a, b), "euclidean": euclidean}[name]
    triplets = [normal(30, 4, seed=i) for i in range(3)]
    loss = losses.TripletLoss(margin, name, "none")
    expected = [
        max(0, measure(a, p) - measure(a, n) + margin)
        for a, p, n in zip(*(x.tolist() for x in triplets), strict=True)
    ]
    close(loss(*triplets), torch.tensor(expected))
    assert loss.statistics["active"].item() == pytest.approx(sum(v > 0 for v in expected) / 30)
    assert 0 < loss.statistics["active"] < 1
    torchs = nn.TripletMarginWithDistanceLoss(
        distance_function=partial(distances, distance=name), margin=margin, reduction="none"
    )
    close(loss(*triplets), torchs(*triplets))
    if name == "euclidean":  # torch adds 1e-6 to each difference
        close(loss(*triplets), nn.TripletMarginLoss(margin, reduction="none")(*triplets), rtol=1e-4, atol=1e-5)


def test_equal_embeddings_have_a_gradient():
    x = normal(3, 4).requires_grad_()
    losses.TripletLoss(1.0, "euclidean")(x, x, x).backward()
    losses.ContrastiveLoss()(x, x, torch.tensor([0, 1, 0])).backward()
    assert x.grad.isfinite().all()


def test_disentangled_triplets_are_masked_triplets():
    triplets = [normal(6, 8, seed=i).requires_grad_() for i in range(3)]
    notion = torch.tensor([0, 1, 2, 3, 3, 1])
    loss = losses.DisentangledTripletLoss(0.4, 4, reduction="none")
    values = loss(*triplets, notion)
    masks = torch.eye(4).repeat_interleave(2, 1)[notion]  # (6, 8): equal blocks
    close(values, losses.TripletLoss(0.4, reduction="none")(*(x * masks for x in triplets)))
    values.sum().backward()
    for x in triplets:
        assert (x.grad[masks == 0] == 0).all()
    assert (triplets[0].grad[values > 0] != 0).any(1).all()
    active = (values > 0).float()
    expected = [active[notion == k].mean() for k in range(4)]
    close(loss.statistics["active_by_notion"], torch.stack(expected))


def test_track_regularisation_is_added():
    anchor, positive, negative, same, other = (normal(6, 4, seed=i) for i in range(5))
    loss = losses.TrackRegularizedLoss(0.4, 2, weight=0.3)
    tags = losses.DisentangledTripletLoss(0.4, 2)(anchor, positive, negative, NOTION)
    track = losses.TripletLoss(0.4)
    close(loss(anchor, positive, negative, NOTION, same), tags + 0.3 * track(anchor, same, negative))
    close(loss(anchor, positive, negative, NOTION, same, other), tags + 0.3 * track(anchor, same, other))
    assert loss.statistics["active_track"] == track.statistics["active"]
    assert {"active", "active_by_notion"} <= loss.statistics.keys()


# Tags


def alike(labels):
    """Jaccard overlap, by sets; of class indices 1 or 0."""
    if labels.ndim == 1:
        return [[float(a == b) for b in labels] for a in labels]
    sets = [{tag for tag, has in enumerate(row) if has} for row in labels]
    return [[len(a & b) / max(1, len(a | b)) for b in sets] for a in sets]


@pytest.mark.parametrize("labels", [CLASSES, TAGS], ids=["classes", "tags"])
def test_supcon_is_the_definition(labels):
    z, shared = normal(6, 4), alike(labels)
    expected = []
    for i in range(6):
        others = [a for a in range(6) if a != i]
        score = [math.exp(cosine(z[i].tolist(), z[a].tolist()) / 0.2) for a in range(6)]
        weight = sum(shared[i][a] for a in others)
        logs = sum(shared[i][a] * math.log(score[a] / sum(score[o] for o in others)) for a in others)
        expected.append(-logs / weight if weight else 0.0)
    loss = losses.SupConLoss(0.2, "none")
    close(loss(z, labels), torch.tensor(expected))
    valid = [value for value in expected if value]
    assert losses.SupConLoss(0.2)(z, labels).item() == pytest.approx(sum(valid) / len(valid), rel=1e-5)
    assert loss.statistics["valid"].item() == pytest.approx(len(valid) / 6)


@pytest.mark.parametrize("labels", [CLASSES, TAGS], ids=["classes", "tags"])
def test_multi_similarity_is_the_definition(labels):
    z, shared = normal(6, 4), alike(labels)
    expected = []
    for i in range(6):
        s = {a: cosine(z[i].tolist(), z[a].tolist()) - 0.5 for a in range(6) if a != i}
        near = sum(math.exp(-2 * v) for a, v in s.items() if shared[i][a])
        far = sum(math.exp(50 * v) for a, v in s.items() if not shared[i][a])
        expected.append(math.log(1 + near) / 2 + math.log(1 + far) / 50)
    close(losses.MultiSimilarityLoss(reduction="none")(z, labels), torch.tensor(expected))


@pytest.mark.parametrize(
    "labels", [CLASSES, TAGS, TAGS * torch.tensor([1, 0, 1])], ids=["classes", "tags", "absent"]
)
def test_proxy_anchor_is_the_definition(labels):
    z, loss = normal(6, 4), losses.ProxyAnchorLoss(3, 4, alpha=8.0, margin=0.2)
    has = [[int(c) == tag for tag in range(3)] for c in labels] if labels.ndim == 1 else labels.tolist()
    near, far = [], []
    for tag, proxy in enumerate(loss.proxies.tolist()):
        s = [cosine(row, proxy) for row in z.tolist()]
        positive = [math.exp(-8 * (s[x] - 0.2)) for x in range(6) if has[x][tag]]
        near += [math.log(1 + sum(positive))] if positive else []
        far.append(math.log(1 + sum(math.exp(8 * (s[x] + 0.2)) for x in range(6) if not has[x][tag])))
    value = loss(z, labels)
    assert value.item() == pytest.approx(sum(near) / len(near) + sum(far) / 3, rel=1e-5)
    assert loss.statistics["tags"].item() == pytest.approx(len(near) / 3)
    value.backward()
    assert (loss.proxies.grad != 0).any(1).all()


def test_pytorch_metric_learning_agrees():
    peer = pytest.importorskip("pytorch_metric_learning.losses")
    z = normal(6, 4)
    triplets = normal(18, 4).chunk(3)
    close(
        losses.SupConLoss(0.2)(z[:-2], CLASSES[[0, 1, 0, 1]]), peer.SupConLoss(0.2)(z[:-2], CLASSES[[0, 1, 0, 1]])
    )
    close(losses.MultiSimilarityLoss(2.0, 40.0, 0.4)(z, CLASSES), peer.MultiSimilarityLoss(2, 40, 0.4)(z, CLASSES))
    ours, theirs = losses.ProxyAnchorLoss(3, 4), peer.ProxyAnchorLoss(3, 4)
    theirs.proxies.data = ours.proxies.data
    close(ours(z, CLASSES), theirs(z, CLASSES))
    rows = torch.arange(6)
    theirs = peer.TripletMarginLoss(
        margin=1.0, reducer=pytest.importorskip("pytorch_metric_learning.reducers").MeanReducer()
    )
    value = theirs(torch.cat(triplets), torch.arange(18), (rows, rows + 6, rows + 12))
    unit = [nn.functional.normalize(x) for x in triplets]
    close(losses.TripletLoss(1.0, "euclidean")(*unit), value)


# Queries and keys


def test_infonce_is_the_definition():
    c, x, more = normal(5, 2, 4), normal(5, 2, 4, seed=1), normal(3, 4, seed=2)
    expected = torch.zeros(5, 2)
    for i in range(5):
        for step in range(2):
            candidates = [x[j, step] for j in range(5)] + list(more)
            scores = [
                sum(a * b for a, b in zip(c[i, step].tolist(), k.tolist(), strict=True)) / 0.7 for k in candidates
            ]
            expected[i, step] = -math.log(softmax(scores)[i])
    loss = losses.InfoNCELoss(0.7, reduction="none")
    close(loss(c, x, more), expected)
    close(losses.InfoNCELoss(0.7, reduction="none")(c[:, 0], x[:, 0], more), expected[:, 0])
    hits = [expected_row.item() < math.log(8) for expected_row in expected.flatten()]
    assert 0 <= loss.statistics["accuracy"] <= 1
    assert loss.statistics["accuracy"] <= sum(hits) / 10  # the highest of eight has more than an eighth
    assert losses.InfoNCELoss()(c[:1], x[:1], more).isfinite()


def test_moco_is_the_definition_and_the_queue_forgets_the_oldest():
    loss = losses.MoCoLoss(4, queue_size=8, temperature=0.2, reduction="none")
    query, key = normal(3, 4).requires_grad_(), normal(3, 4, seed=1).requires_grad_()
    queue = loss.queue.clone()
    values = loss(query, key)
    for i in range(3):
        scores = [cosine(query[i].tolist(), k.tolist()) / 0.2 for k in (key[i], *queue)]
        assert values[i].item() == pytest.approx(-math.log(softmax(scores)[0]), rel=1e-4)
    values.sum().backward()
    assert query.grad is not None
    assert key.grad is None
    for seed in (2, 3):
        loss(query, normal(3, 4, seed=seed))
    keys = nn.functional.normalize(torch.cat([key.detach(), normal(3, 4, seed=2), normal(3, 4, seed=3)]))
    close(loss.queue, torch.cat([keys[8:], keys[1:8]]))  # nine keys: the ninth is where the first was
    assert loss.oldest == 1
    loss.eval()(query, key)
    assert loss.oldest == 1
    again = losses.MoCoLoss(4, queue_size=8)
    again.load_state_dict(loss.state_dict())
    assert again.queue.equal(loss.queue)


def test_momentum_update():
    follower, leader = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
    leader(normal(8, 3))
    expected = [0.9 * p + 0.1 * q for p, q in zip(follower.parameters(), leader.parameters(), strict=True)]
    losses.momentum_update(follower, leader, 0.9)
    for p, wanted in zip(follower.parameters(), expected, strict=True):
        close(p, wanted)
    assert follower[1].running_mean.equal(leader[1].running_mean)
    with pytest.raises(ValueError, match=r"differ in 1\.bias, 1\.weight"):
        losses.momentum_update(follower, leader[:1])
    with pytest.raises(ValueError, match="momentum"):
        losses.momentum_update(follower, leader, 1.5)


# Outputs of models


def test_distillation_is_the_definition():
    s, t = normal(6, 3), normal(6, 3, seed=1)

    def binary(x, y):
        p, q = sigmoid(y / 3), sigmoid(x / 3)
        return 9 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))

    close(losses.DistillationLoss(3.0, reduction="none")(s, t), each(binary, s, t))
    rows = [
        9 * sum(p * math.log(p / q) for p, q in zip(softmax(y), softmax(x), strict=True))
        for x, y in zip((s / 3).tolist(), (t / 3).tolist(), strict=True)
    ]
    close(losses.DistillationLoss(3.0, False, "none")(s, t), torch.tensor(rows))
    close(losses.DistillationLoss()(s, s), torch.tensor(0.0))


def test_pseudo_labels_are_the_definition():
    s, t = normal(6, 3), 2 * normal(6, 3, seed=1)

    def one(kind, x, y):
        p, q = sigmoid(y), sigmoid(x)
        target = p if kind == "soft" else float(p > 0.5)
        return -(target * math.log(q) + (1 - target) * math.log(1 - q)) if max(p, 1 - p) >= 0.8 else 0.0

    def several(kind, x, y):
        p, q = softmax(y), softmax(x)
        target = p if kind == "soft" else [float(v == max(p)) for v in p]
        return -sum(a * math.log(b) for a, b in zip(target, q, strict=True)) if max(p) >= 0.8 else 0.0

    for kind in ("hard", "soft"):
        loss = losses.PseudoLabelLoss(kind, 0.8, reduction="none")
        expected = each(partial(one, kind), s, t)
        close(loss(s, t), expected)
        assert loss.statistics["confident"].item() == pytest.approx((expected > 0).float().mean().item())
        rows = torch.tensor([several(kind, *pair) for pair in zip(s.tolist(), t.tolist(), strict=True)])
        close(losses.PseudoLabelLoss(kind, 0.8, False, "none")(s, t), rows)
        close(losses.PseudoLabelLoss(kind, 0.8)(s, t), expected.mean())


def test_consistency_and_entropy_are_the_definition():
    a, b = normal(6, 3), normal(6, 3, seed=1)
    close(losses.ConsistencyLoss(reduction="none")(a, b), each(lambda x, y: (sigmoid(x) - sigmoid(y)) ** 2, a, b))
    shares = torch.tensor([[softmax(row) for row in x.tolist()] for x in (a, b)])
    close(losses.ConsistencyLoss(multilabel=False, reduction="none")(a, b), (shares[0] - shares[1]).square())
    close(losses.ConsistencyLoss("kl")(a, b), losses.DistillationLoss(1.0)(a, b))

    def binary(x):
        p = sigmoid(x)
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    close(losses.EntropyLoss(reduction="none")(a), each(binary, a))
    close(losses.EntropyLoss(False, "none")(a), -(shares[0] * shares[0].log()).sum(1))
    assert losses.EntropyLoss()(torch.tensor([[80.0, -80.0]])) < 1e-30


def test_teachers_get_no_gradient():
    for loss in (losses.DistillationLoss(), losses.PseudoLabelLoss(threshold=0.5), losses.ConsistencyLoss()):
        student, teacher = normal(6, 3).requires_grad_(), normal(6, 3, seed=1).requires_grad_()
        loss(student, teacher).backward()
        assert student.grad.abs().sum() > 0
        assert teacher.grad is None


# Nothing to compare


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_zero_is_never_silent(reduction):
    z = normal(3, 4).requires_grad_()
    supcon = losses.SupConLoss(reduction=reduction)
    pseudo = losses.PseudoLabelLoss(threshold=0.99, reduction=reduction)
    cases = [
        (lambda: supcon(z, torch.arange(3)), "no two examples"),
        (lambda: supcon(z, torch.zeros(3, 2)), "no two examples"),
        (lambda: pseudo(z, torch.zeros(3, 4)), "nowhere as sure as threshold=0.99"),
    ]
    for call, message in cases:
        with pytest.warns(EmptyLossWarning, match=message):
            value = call()
        assert (value == 0).all()
        value.sum().backward()  # connected: training goes on
        assert (z.grad == 0).all()
    assert supcon.statistics["valid"] == pseudo.statistics["confident"] == 0


def test_what_only_repels_is_reported():
    with pytest.warns(EmptyLossWarning, match="nothing attracts"):
        assert losses.MultiSimilarityLoss()(normal(3, 4), torch.arange(3)) > 0
    with pytest.warns(EmptyLossWarning, match="nothing attracts"):
        assert losses.ProxyAnchorLoss(2, 4)(normal(3, 4), torch.zeros(3, 2)) > 0
