"""Mining against naive loops over all triplets, and what it says of too few examples."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclass import datasets, mining


def naive_distance(a, b, distance):
    a, b = a.double(), b.double()
    return float(1 - a @ b / (a.norm() * b.norm()) if distance == "cosine" else (a - b).norm())


def naive_triplets(embeddings, positives, negatives, margin, distance):
    """{kind: {(a, p): [n, …]}}, by definition."""
    found = {kind: {} for kind in mining.triplets.KINDS}
    for a, p, n in itertools.permutations(range(len(embeddings)), 3):
        if positives[a, p] and negatives[a, n]:
            ap, an = (naive_distance(embeddings[a], embeddings[i], distance) for i in (p, n))
            kind = "hard" if an <= ap else "semi-hard" if an < ap + margin else "easy"
            found[kind].setdefault((a, p), []).append(n)
    return found


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(24, 5, generator=generator) < 0.25).int()
    return torch.randn(24, 3, generator=generator), labels


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", ["hard", "semi-hard", "easy"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_mined_triplets_are_those_of_the_loop(batch, distance, kind, margin):
    embeddings, labels = batch
    masks = mining.share_tag(labels)
    expected = naive_triplets(embeddings, *masks, margin, distance)
    counts = {name: sum(map(len, pairs.values())) for name, pairs in expected.items()}
    options = {"margin": margin, "distance": distance}
    if counts[kind] == 0:
        assert (kind, margin) == ("semi-hard", 0)
        with pytest.warns(mining.MiningWarning, match="none is semi-hard"):
            assert len(mining.mine(embeddings, *masks, kind, **options)) == 0
        return
    generator = torch.Generator().manual_seed(1)
    triplets = mining.mine(embeddings, *masks, kind, generator=generator, **options)
    drawn = {(a, p): n for a, p, n in zip(*(index.tolist() for index in triplets), strict=True)}
    assert len(drawn) == len(triplets)
    assert drawn.keys() == expected[kind].keys()  # one for each pair that has one
    assert all(n in expected[kind][pair] for pair, n in drawn.items())
    shares = triplets.difficulty.shares
    assert shares == pytest.approx({name: count / sum(counts.values()) for name, count in counts.items()})
    closest = mining.mine(embeddings, *masks, kind, closest=True, **options)
    for a, p, n in zip(*closest, strict=True):
        nearest = min(
            naive_distance(embeddings[a], embeddings[i], distance) for i in expected[kind][int(a), int(p)]
        )
        assert naive_distance(embeddings[a], embeddings[n], distance) == pytest.approx(nearest, abs=1e-6)
    # Given triplets are told apart in the same way.
    count = mining.difficulty(embeddings, triplets, **options)
    assert count.shares[kind] == 1
    assert count.total == len(triplets)


def test_every_negative_of_the_kind_is_drawn_and_seeds_repeat(batch):
    embeddings, labels = batch
    masks = mining.share_tag(labels)
    expected = naive_triplets(embeddings, *masks, 0.4, "cosine")["semi-hard"]
    generator, seen = torch.Generator().manual_seed(0), {}
    for _ in range(80):
        for a, p, n in zip(*mining.mine(embeddings, *masks, generator=generator), strict=True):
            seen.setdefault((int(a), int(p)), set()).add(int(n))
    assert {pair: sorted(n) for pair, n in seen.items()} == {pair: sorted(n) for pair, n in expected.items()}
    one, two = (mining.mine(embeddings, *masks, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.negative, two.negative)


def test_equal_distances_are_hard():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    masks = mining.share_group([0, 0, 1])
    for margin in (0.0, 0.1):
        triplets = mining.mine(embeddings, *masks, "hard", margin=margin)
        assert triplets.difficulty == mining.Difficulty(2, 0, 0) == mining.difficulty(embeddings, triplets)


def test_masks_of_tags_and_groups(batch):
    _, labels = batch
    positives, negatives = mining.share_tag(labels)
    tagged = labels.any(dim=1)
    for i, j in itertools.product(range(24), repeat=2):
        shared = bool((labels[i] & labels[j]).any())
        assert positives[i, j] == (shared and i != j)
        assert negatives[i, j] == bool(not shared and tagged[i] and tagged[j])
    tracks = np.array(["x", "y", "x", "z"])
    positives, negatives = mining.share_group(tracks)
    assert positives.tolist() == ((tracks == tracks[:, None]) & ~np.eye(4, dtype=bool)).tolist()
    assert negatives.tolist() == (tracks != tracks[:, None]).tolist()
    assert torch.equal(mining.share_group(torch.tensor([7, 1, 7, 3]))[0], positives)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.01, 100))
def test_difficulty_does_not_depend_on_order_or_length(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    embeddings, groups = torch.randn(12, 4, generator=generator), torch.arange(12) // 3
    order = torch.randperm(12, generator=generator)
    count = mining.mine(embeddings, *mining.share_group(groups), "hard").difficulty
    moved = mining.mine(embeddings[order] * scale, *mining.share_group(groups[order]), "hard").difficulty
    assert moved.total == count.total == 12 * 2 * 9
    assert abs(moved.hard - count.hard) <= 1  # rounding
    assert abs(moved.easy - count.easy) <= 1


def test_half_precision_embeddings_are_mined(batch):
    embeddings, labels = batch
    triplets = mining.mine(embeddings.bfloat16().requires_grad_(), *mining.share_tag(labels))
    assert len(triplets) > 0
    assert not triplets.anchor.requires_grad


EMBEDDINGS = torch.eye(4)
MASKS = mining.share_group([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((EMBEDDINGS, *MASKS, "semihard"), {}, "did you mean 'semi-hard'"),
        ((EMBEDDINGS, *MASKS), {"distance": "manhattan"}, "unknown distance 'manhattan'"),
        ((EMBEDDINGS, *MASKS), {"margin": -0.1}, "not negative, got -0.1"),
        ((EMBEDDINGS, *MASKS), {"margin": float("nan")}, "not negative, got nan"),
        ((EMBEDDINGS * float("nan"), *MASKS), {}, "NaN or infinity"),
        ((EMBEDDINGS * torch.tensor([[1.0], [1], [0], [1]]), *MASKS), {}, "row 2 of the embeddings is zero"),
        ((EMBEDDINGS.int(), *MASKS), {}, r"float tensor.*int32"),
        ((EMBEDDINGS[0], *MASKS), {}, r"\(n, dim\)|shape \(4, 4\)"),
        ((EMBEDDINGS[:3], *MASKS), {}, r"positives must be a bool tensor of shape \(3, 3\)"),
        ((EMBEDDINGS, MASKS[0], MASKS[1].int()), {}, r"negatives must be a bool tensor.*int32"),
        ((EMBEDDINGS, ~MASKS[1], MASKS[1]), {}, "row 0 of positives says so of the clip itself"),
        ((EMBEDDINGS, MASKS[0], ~torch.eye(4, dtype=bool)), {}, r"rows \[0, 1\] are said to be both"),
        ((EMBEDDINGS, *mining.share_group([0, 1, 2, 3])), {}, "no pair of anchor and positive"),
        ((EMBEDDINGS, *mining.share_group([0, 0, 0, 0])), {}, "no negative for an anchor"),
        ((EMBEDDINGS[:1], *mining.share_group([0])), {}, "a batch of 1 has no valid triplet"),
        ((EMBEDDINGS[:0], *mining.share_group([])), {}, "a batch of 0 has no valid triplet"),
        ((EMBEDDINGS.numpy(), *MASKS), {}, "float tensor"),
    ],
)
def test_batches_that_cannot_be_mined(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        mining.mine(*arguments, **options)


def test_masks_refuse_what_is_no_label():
    for labels, message in (
        (torch.tensor([[0, 2]]), "found 2"),
        (torch.zeros(0, 3), "nothing"),
        ([0, 1], "class"),
    ):
        with pytest.raises(ValueError, match=message):
            mining.share_tag(labels)
    with pytest.raises(ValueError, match=r"got \(2, 2\)"):
        mining.share_group([[0, 1], [1, 0]])


# --- drawn from a data set ---


def test_tag_triplets_have_the_tag_and_rare_tags_are_drawn_as_often():
    rng = np.random.default_rng(0)
    labels = rng.random((300, 4)) < np.array([0.6, 0.2, 0.05, 0.02])
    labels[:3, 3] = True
    tracks = rng.integers(0, 80, 300)
    triplets = mining.tag_triplets(labels, 6000, tracks=tracks, seed=3)
    a, p, n, tag = (x.numpy() for x in (*triplets, triplets.tag))
    assert labels[a, tag].all()
    assert labels[p, tag].all()
    assert not labels[n, tag].any()
    assert (tracks[a] != tracks[p]).all()
    np.testing.assert_allclose(np.bincount(tag) / 6000, 0.25, atol=0.03)
    # Everybody who can be drawn is, equally often: no clip hides at an edge.
    for column in (2, 3):
        members = np.flatnonzero(labels[:, column])
        assert set(a[tag == column]) == set(members) == set(p[tag == column])
        possible = {(i, j) for i in members for j in members if tracks[i] != tracks[j]}
        drawn = list(zip(a[tag == column], p[tag == column], strict=True))
        assert set(drawn) <= possible
        if len(possible) < 150:
            assert set(drawn) == possible
        counts = np.unique(a[tag == column], return_counts=True)[1]
        assert counts.max() < 2 * counts.min()
    assert set(n[tag == 0]) == set(np.flatnonzero(~labels[:, 0]))


def test_positives_of_a_small_tag_are_every_other_clip():
    labels = np.array([[1], [1], [0], [1], [1]])
    tracks = np.array([5, 5, 9, 2, 7])
    triplets = mining.tag_triplets(labels, 2000, tracks=tracks)
    pairs = set(zip(triplets.anchor.tolist(), triplets.positive.tolist(), strict=True))
    assert pairs == {(i, j) for i in (0, 1, 3, 4) for j in (0, 1, 3, 4) if tracks[i] != tracks[j]}
    assert triplets.negative.tolist() == [2] * 2000


def test_tags_with_too_few_clips_are_named():
    labels = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]])
    with pytest.warns(mining.MiningWarning, match="3 of 4 tags .*: solo, all, none$") as caught:
        triplets = mining.tag_triplets(labels, 5, tags=["ok", "solo", "all", "none"])
    assert caught[0].filename == __file__
    assert triplets.tag.tolist() == [0] * 5
    with pytest.raises(ValueError, match="nothing can be drawn: all 3 tags"):
        mining.tag_triplets(labels[:, 1:], 5)
    with pytest.raises(ValueError, match="all 4 tags have clips of fewer than two tracks"):
        mining.tag_triplets(labels, 5, tracks=[0, 0, 0])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        mining.tag_triplets(labels[:, :1], 0)
    with pytest.raises(ValueError, match=r"tracks must have one entry.*\(2,\)"):
        mining.tag_triplets(labels, 5, tracks=[0, 1])


def test_group_triplets_are_of_one_artist_and_two_tracks():
    artists = np.array(["a", "a", "a", "b", "b", "c", "d", "d"])
    tracks = np.array([0, 0, 1, 2, 3, 4, 5, 5])
    with pytest.warns(mining.MiningWarning, match="2 of 4 groups have one clip or track alone"):
        triplets = mining.group_triplets(artists, 900, tracks=tracks)
    a, p, n = (index.numpy() for index in triplets)
    assert (artists[a] == artists[p]).all()
    assert (artists[a] != artists[n]).all()
    pairs = set(zip(a.tolist(), p.tolist(), strict=True))
    assert pairs == {(0, 2), (2, 0), (1, 2), (2, 1), (3, 4), (4, 3)}
    assert set(n[artists[a] == "a"]) == {3, 4, 5, 6, 7}
    assert (artists[a] == "a").mean() == pytest.approx(0.5, abs=0.06)
    with pytest.warns(mining.MiningWarning, match="1 of 4 groups"):
        same_track = mining.group_triplets(artists, 500)
    assert {(6, 7), (0, 1)} <= set(zip(same_track.anchor.tolist(), same_track.positive.tolist(), strict=True))
    for groups, message in (([1, 1], r"1 group\(s\)"), ([], r"0 group\(s\)"), ([1, 2], "one clip or track alone")):
        with pytest.raises(ValueError, match=message):
            mining.group_triplets(groups, 5)


def test_error_triplets_are_a_taggers_errors():
    rng = np.random.default_rng(0)
    labels, scores = rng.random((200, 3)) < 0.4, rng.random((200, 3))
    labels[:, 2], thresholds = False, np.array([0.5, 0.7, 0.5])
    with pytest.warns(mining.MiningWarning, match="1 of 3 tags lack .*: never$"):
        triplets = mining.error_triplets(
            labels, scores, 3000, threshold=thresholds, tags=["a", "b", "never"], seed=(1, 2)
        )
    table = mining.error_table(labels, scores, thresholds)
    assert table.usable.tolist() == [True, True, False]
    given = scores >= thresholds
    for column in (0, 1):
        chosen = triplets.tag == column
        anchor, positive, negative = (set(index[chosen].tolist()) for index in triplets)
        assert anchor == {i for i in range(200) if labels[i, column] and given[i, column]}
        assert positive == {i for i in range(200) if labels[i, column] and not given[i, column]}
        assert negative == {i for i in range(200) if not labels[i, column] and given[i, column]}
        counts = table.loc[column, ["true_positives", "false_negatives", "false_positives"]]
        assert counts.tolist() == [len(anchor), len(positive), len(negative)]
    with pytest.raises(ValueError, match="all 3 tags lack a true positive"):
        mining.error_triplets(labels, labels * 0.9, 10)  # a perfect tagger makes no errors
    with pytest.raises(ValueError, match="Are they logits"):
        mining.error_triplets(labels, scores * 9 - 5, 10)
    with pytest.raises(ValueError, match="must be finite"):
        mining.error_triplets(labels, scores * np.nan, 10)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: mining.tag_triplets(np.eye(3)[np.arange(30) % 3], 50, seed=seed),
        lambda seed: mining.group_triplets(np.arange(30) % 5, 50, seed=seed),
        lambda seed: mining.error_triplets(
            np.arange(30)[:, None] % 2, np.arange(30)[:, None] % 3 / 2, 50, seed=seed
        ),
    ],
)
def test_draws_depend_on_the_seed_alone(draw):
    first, again, other = draw(1), draw(1), draw((1, 1))
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


# --- balanced batches ---


def long_tail(n=400):
    rng = np.random.default_rng(0)
    return rng.random((n, 6)) < np.array([0.7, 0.4, 0.2, 0.1, 0.05, 0.03])


def test_batches_are_balanced_and_hold_no_clip_twice():
    labels = long_tail()
    sampler = mining.TagBalancedBatches(labels, tags_per_batch=3, clips_per_tag=4, num_batches=200, seed=1)
    sampler.set_epoch(2)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 200
    counts = np.zeros(6)
    for batch in batches:
        epochs, clips = zip(*batch, strict=True)
        assert set(epochs) == {2}
        assert len(set(clips)) == 12
        assert (labels[list(clips)].sum(axis=0) >= 4).sum() >= 3
        counts += labels[list(clips)].sum(axis=0)
    share = counts / labels.sum(axis=0)
    assert share[5] > 5 * share[0]  # the rarest tag, per clip, far more often than the most frequent
    rare = np.flatnonzero(labels[:, 5])
    drawn = {clip for batch in batches for _, clip in batch}
    assert set(rare) <= drawn
    assert list(sampler) == batches
    sampler.set_epoch(3)
    assert [[clip for _, clip in batch] for batch in sampler] != [[clip for _, clip in batch] for batch in batches]
    assert len(mining.TagBalancedBatches(labels, 3, 4)) == 34


def test_batches_of_tags_that_share_all_their_clips_are_full():
    labels = np.ones((9, 3), dtype=int)
    for batch in mining.TagBalancedBatches(labels, tags_per_batch=3, clips_per_tag=3, num_batches=5):
        assert sorted(clip for _, clip in batch) == list(range(9))
    labels = np.repeat([[1, 1], [1, 0]], (3, 9), axis=0)
    for batch in mining.TagBalancedBatches(labels, tags_per_batch=2, clips_per_tag=3, num_batches=50):
        assert len({clip for _, clip in batch}) == 6
        assert labels[[clip for _, clip in batch], 1].sum() == 3


def test_too_few_clips_are_reported_and_nothing_hangs():
    labels = long_tail()
    with pytest.warns(mining.MiningWarning, match=r"have fewer than 50 clips.*: d, e, f$") as caught:
        sampler = mining.TagBalancedBatches(labels, 2, 50, tags=list("abcdef"))
    assert caught[0].filename == __file__
    assert sampler.left_out == [tag for tag, count in zip("abcdef", labels.sum(0), strict=True) if count < 50]
    with pytest.raises(ValueError, match="nothing can be drawn: all 6 tags have fewer than 500 clips"):
        mining.TagBalancedBatches(labels, 2, 500)
    with pytest.raises(ValueError, match="only 6 tags have 2 clips"):
        mining.TagBalancedBatches(labels, 7, 2)
    with pytest.raises(ValueError, match="a batch of 3 × 4 clips needs that many different ones, and 9"):
        mining.TagBalancedBatches(np.ones((9, 3)), 3, 4)
    with pytest.raises(ValueError, match="clips_per_tag must be an integer of at least 1, got 0"):
        mining.TagBalancedBatches(labels, 3, 0)
    with pytest.raises(ValueError, match=r"tags_per_batch must be an integer of at least 1, got 2\.0"):
        mining.TagBalancedBatches(labels, 2.0, 4)
    with pytest.raises(ValueError, match="num_batches"):
        mining.TagBalancedBatches(labels, 2, 4, num_batches=0)
    with pytest.raises(ValueError, match="0 or 1"):
        mining.TagBalancedBatches(labels * 3, 2, 4)


def test_random_crops_are_loaded_in_balanced_batches():
    etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    labels = np.arange(24)[:, None] % 3 == np.arange(3)
    crops = datasets.RandomCrops(etude, num_samples=8000)
    sampler = mining.TagBalancedBatches(labels, 2, 3, num_batches=2)
    loaded = list(torch.utils.data.DataLoader(crops, batch_sampler=sampler))
    assert [waveform.shape for waveform, _ in loaded] == [(6, 8000)] * 2
    first = [crops[pair] for pair in next(iter(sampler))]
    assert torch.equal(loaded[0][0], torch.stack([waveform for waveform, _ in first]))
