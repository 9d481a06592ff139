"""What the losses refuse: each error says what was given, what is allowed and what to do."""

import warnings
from functools import partial

import pytest
import torch

from mclass import losses

Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
TAGS = torch.tensor([[1, 0, 1, 0, 1, 1], [0, 1, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 1, 0]])
CLASSES = torch.tensor([0, 1, 0, 1])
NOTION = torch.tensor([0, 1, 2, 0])

# name: (loss, number of tensors of floats that it takes, other arguments)
EVERY = {
    "bce": (losses.BCELoss, 1, [TAGS]),
    "focal": (losses.FocalLoss, 1, [TAGS]),
    "pairs": (losses.ContrastiveLoss, 2, [CLASSES]),
    "cosine pairs": (partial(losses.ContrastiveLoss, distance="cosine"), 2, [CLASSES]),
    "triplet": (losses.TripletLoss, 3, []),
    "euclidean triplet": (partial(losses.TripletLoss, distance="euclidean"), 3, []),
    "disentangled": (partial(losses.DisentangledTripletLoss, num_notions=3), 3, [NOTION]),
    "supcon": (losses.SupConLoss, 1, [CLASSES]),
    "multi-similarity": (losses.MultiSimilarityLoss, 1, [TAGS]),
    "proxy anchor": (partial(losses.ProxyAnchorLoss, 6, 6), 1, [TAGS]),
    "ntxent": (losses.NTXentLoss, 2, []),
    "ntxent, each": (partial(losses.NTXentLoss, reduction="none"), 2, []),
    "infonce": (losses.InfoNCELoss, 2, []),
    "moco": (partial(losses.MoCoLoss, 6, 16), 2, []),
    "distillation": (losses.DistillationLoss, 2, []),
    "pseudo-label": (partial(losses.PseudoLabelLoss, threshold=0.5), 2, []),
    "soft pseudo-label": (partial(losses.PseudoLabelLoss, "soft", 0.0, False), 2, []),
    "consistency": (losses.ConsistencyLoss, 2, []),
    "consistency, kl": (partial(losses.ConsistencyLoss, "kl", multilabel=False), 2, []),
    "entropy": (losses.EntropyLoss, 1, []),
}
TWO_OR_MORE = [name for name, (_, tensors, _) in EVERY.items() if tensors > 1]
COSINES = [
    "cosine pairs",
    "triplet",
    "supcon",
    "multi-similarity",
    "proxy anchor",
    "ntxent",
    "ntxent, each",
    "moco",
]
COMPARING = ["supcon", "multi-similarity", "ntxent", "ntxent, each", "infonce"]  # with other examples of the batch


def call(name, *tensors, others=None, rows=slice(None)):
    make, number, usual = EVERY[name]
    tensors = [*tensors, *(Z.roll(i, 0) for i in range(len(tensors), number))]
    return make()(*tensors, *(others or [x[rows] for x in usual]))


@pytest.mark.parametrize("name", EVERY)
def test_what_is_right_is_accepted(name):
    assert call(name).isfinite().all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: z[0], r"must have shape \(batch, .*got \(6,\)"),
        (lambda z: z[None, None], r"must have shape \(batch, .*got \(1, 1, 4, 6\)"),
        (lambda z: z.long(), "must be floating-point numbers, got torch.int64"),
        (lambda z: z.numpy(), "must be a torch.Tensor, got ndarray"),
        (lambda z: z[:0], r"is empty, of shape \(0, 6\)"),
        (lambda z: z[:, :0], r"is empty, of shape \(4, 0\)"),
    ],
    ids=["one row", "too deep", "integers", "numpy", "no rows", "no columns"],
)
def test_shapes_and_types(name, change, message):
    with pytest.raises(ValueError, match=message):
        call(name, change(Z))


@pytest.mark.parametrize("name", TWO_OR_MORE)
def test_tensors_that_do_not_fit_together(name):
    with pytest.raises(ValueError, match=r"same shape, got \(4, 6\) and \(3, 6\)"):
        call(name, Z, Z[:3])
    with pytest.raises(ValueError, match=r"same shape, got \(4, 6\) and \(4, 3\)"):
        call(name, Z, Z[:, :3])
    with pytest.raises(ValueError, match=r"one dtype, got torch.float32 and torch.float64"):
        call(name, Z, Z.double())
    with pytest.raises(ValueError, match=r"is on cpu, \w+ on meta; move one"):
        call(name, Z, Z.to("meta"))


@pytest.mark.parametrize("name", [name for name, (_, _, others) in EVERY.items() if others])
def test_labels_that_do_not_fit(name):
    (usual,) = EVERY[name][2]
    for wrong in (usual[:3], usual[..., None, None], usual.tolist()):
        with pytest.raises(ValueError, match=r"(targets|labels|same|notion) must"):
            call(name, others=[wrong])
    with pytest.raises(ValueError, match=r"is on cpu|are on cpu|on meta"):
        call(name, others=[usual.to("meta")])


@pytest.mark.parametrize("name", ["bce", "focal", "multi-similarity", "proxy anchor", "supcon"])
@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, float("nan")])
def test_labels_are_zero_or_one(name, value):
    labels = TAGS.float()
    labels[2, 1] = value
    with pytest.raises(ValueError, match=rf"must be 0 or 1, found {value:g} in row 2"):
        call(name, others=[labels])


@pytest.mark.parametrize("make", [losses.BCELoss, losses.FocalLoss])
def test_soft_targets_are_asked_for(make):
    mixed = TAGS * 0.7
    with pytest.raises(ValueError, match="soft=True"):
        make()(Z, mixed)
    assert make(soft=True)(Z, mixed).isfinite()
    with pytest.raises(ValueError, match=r"between 0 and 1, found 1\.4"):
        make(soft=True)(Z, 2 * mixed)
    with pytest.raises(ValueError, match=r"shape of the logits, \(4, 6\), got \(4,\). \(Are these class indices"):
        make()(Z, CLASSES)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(name, value):
    for position in range(EVERY[name][1]):
        tensors = [Z.roll(i, 0).clone() for i in range(EVERY[name][1])]
        tensors[position][2, 3 if name != "disentangled" else 5] = value  # notion 2 looks at the last third
        with pytest.raises(ValueError, match=rf"has {value} in row 2"):
            call(name, *tensors)


@pytest.mark.parametrize("name", COSINES)
def test_no_direction(name):
    zero = Z.clone()
    zero[1] = 0
    with pytest.raises(ValueError, match="has norm 0 in row 1, so no direction"):
        call(name, zero)
    with pytest.raises(ValueError, match="has norm 0 in row 1"):
        call(name, zero.half()) if EVERY[name][1] == 1 else call(name, Z, zero)


def test_no_direction_in_the_block_that_counts():
    zero = Z.clone()
    zero[1, 2:4] = 0
    with pytest.raises(ValueError, match="anchor has norm 0 in row 1"):
        call("disentangled", zero)
    zero = Z.clone()
    zero[1, :2] = 0  # another notion's
    assert call("disentangled", zero).isfinite()


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_of_one(name):
    one = [Z.roll(i, 0)[:1] for i in range(EVERY[name][1])]
    if name in COMPARING:
        with pytest.raises(ValueError, match=r"at least 2"):
            call(name, *one, rows=slice(1))
    else:
        assert call(name, *one, rows=slice(1)).isfinite()


def test_class_indices_and_notions():
    with pytest.raises(ValueError, match=r"notion must be from 0 to 2, found 3. \(Do they count from 1"):
        call("disentangled", others=[NOTION + 1])
    with pytest.raises(ValueError, match="notion must be integers"):
        call("disentangled", others=[NOTION.float()])
    with pytest.raises(ValueError, match="labels must be from 0 to 5, found 9"):
        call("proxy anchor", others=[CLASSES * 9])
    with pytest.raises(ValueError, match=r"class indices must be integers, got torch\.float32"):
        call("supcon", others=[CLASSES.float()])
    with pytest.raises(ValueError, match="same must be from 0 to 1, found 2"):
        call("pairs", others=[CLASSES * 2])
    close = call("pairs", others=[CLASSES])
    assert close == call("pairs", others=[CLASSES.bool()]) == call("pairs", others=[CLASSES.float()])
    with pytest.raises(ValueError, match=r"found 0\.5"):
        call("pairs", others=[CLASSES * 0.5])


def test_sizes_that_do_not_fit_the_loss():
    with pytest.raises(ValueError, match="4 equal blocks do not make an embedding of 6 dimensions"):
        losses.DisentangledTripletLoss()(Z, Z, Z, NOTION)
    with pytest.raises(ValueError, match="queue is of 5 dimensions, the embeddings of 6"):
        losses.MoCoLoss(5)(Z, Z)
    with pytest.raises(ValueError, match="4 keys do not fit into a queue of 3"):
        losses.MoCoLoss(6, 3)(Z, Z)
    with pytest.raises(ValueError, match="proxies have 5 dimensions, the embeddings 6"):
        losses.ProxyAnchorLoss(6, 5)(Z, TAGS)
    with pytest.raises(ValueError, match="proxies of 5 tags, and labels of 6"):
        losses.ProxyAnchorLoss(5, 6)(Z, TAGS)
    with pytest.raises(ValueError, match="weights of 2 tags, the logits are of 6"):
        losses.BCELoss(pos_weight=torch.ones(2))(Z, TAGS)
    with pytest.raises(ValueError, match="single class, which always holds"):
        losses.EntropyLoss(multilabel=False)(Z[:, :1])
    with pytest.raises(ValueError, match=r"same shape, got \(1, 6\) and \(1, 3\)"):
        losses.InfoNCELoss()(Z, Z, Z[:, :3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.BCELoss(reduction="average"), "'mean', 'sum', 'none', got 'average'"),
        (lambda: losses.BCELoss(pos_weight=-1.0), "pos_weight must be one number, or one per tag"),
        (lambda: losses.BCELoss(weight=torch.ones(2, 2)), "weight must be one number, or one per tag"),
        (lambda: losses.BCELoss.balanced([1, 0]), r"labels must have shape \(n, num_tags\)"),
        (lambda: losses.FocalLoss(gamma=-1), "gamma must be a finite number at least 0.0; got -1"),
        (lambda: losses.FocalLoss(alpha=1.5), "alpha must be .* from 0 to 1"),
        (lambda: losses.TripletLoss(margin=float("nan")), "margin must be a finite number"),
        (lambda: losses.TripletLoss(distance="l2"), "'cosine', 'euclidean', got 'l2'"),
        (lambda: losses.DisentangledTripletLoss(num_notions=0), "num_notions must be an integer of at least 1"),
        (lambda: losses.NTXentLoss(temperature=0), "temperature must be a finite number at least 0.002; got 0"),
        (lambda: losses.NTXentLoss(temperature="low"), "temperature must be a finite number"),
        (lambda: losses.SupConLoss(temperature=0.0), "greater than 0.0; got 0.0"),
        (lambda: losses.MoCoLoss(8, queue_size=1.5), "queue_size must be an integer"),
        (lambda: losses.PseudoLabelLoss("firm"), "'hard', 'soft', got 'firm'"),
        (lambda: losses.PseudoLabelLoss(threshold=95), "at most 1.0; got 95"),
        (lambda: losses.ConsistencyLoss("l1"), "'mse', 'kl', got 'l1'"),
    ],
)
def test_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_checks_of_values_can_be_spared():
    loss = losses.SupConLoss()
    loss.check_values = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss(Z, torch.arange(4)) == 0
    assert loss(Z * float("nan"), CLASSES).isnan()
    with pytest.raises(ValueError, match="must have shape"):
        loss(Z[0], CLASSES)


def test_names_of_options_are_shown():
    assert repr(losses.TripletLoss(0.3)) == "TripletLoss(margin=0.3, reduction='mean')"
    assert "gamma=2.0" in repr(losses.FocalLoss())
