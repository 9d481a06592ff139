"""Metric learning: triplets of crops, each sampling and loss against its definition, runs, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from tones import Small, Tones

from mclass import augmentations, losses, metrics, mining, training
from mclass.datasets.triplets import BalancedShares, TripletCrops
from mclass.errors import DatasetError, ModelError
from mclass.training.tasks.metric_options import notion_of_tags

TRAIN, VALID = Tones(24), Tones(18, seed=1)
NOTIONS = {"pitch": ("low", "high"), "texture": ("noise",)}
SCORES = 0.8 * TRAIN.labels + 0.1
SCORES[[0, 1, 2, 6, 7, 8]] = 1 - SCORES[[0, 1, 2, 6, 7, 8]]  # what a tagger would get wrong


class Projected(Small):
    """Without ReLU and dropout at the end of the embedding, as models for metric learning are."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.dropout.p = dropout
        self.projection = torch.nn.Linear(8, 8)

    def embed(self, waveform):
        return self.projection(super().embed(waveform))


def small(dropout=0.3):
    torch.manual_seed(0)
    return Projected(dropout)


def still():
    """Without dropout, so that two calls give the same."""
    return small(dropout=0.0)


def task(loss=None, **options):
    made = training.MetricLearning(still(), loss, **options)
    made.prepare(TRAIN, VALID)
    return made.train()


def crops(*shape):
    return torch.randn(*shape, 4000, generator=torch.Generator().manual_seed(0))


def cosine_distance(x, y):
    return 1 - torch.nn.functional.cosine_similarity(x, y, dim=-1)


# ---- triplets of crops


def clip_of(waveform, dataset):
    """Which clip a crop was cut from."""
    for index, audio in enumerate(dataset.audio):
        if any(torch.equal(window, waveform) for window in audio.unfold(0, 4000, 1)[audio[:-3999] == waveform[0]]):
            return index
    raise AssertionError("no clip has this crop")


def grouped():
    dataset = Tones(24)
    dataset.track_ids = np.arange(24) // 2
    dataset.artist_ids = np.arange(24) // 6
    return dataset


@pytest.mark.parametrize("sampling", ["tags", "track", "artist", "errors"])
def test_crops_are_of_the_right_clips(sampling):
    dataset = grouped()
    scores = {"scores": SCORES} if sampling == "errors" else {}
    examples = TripletCrops(dataset, 4000, 30, sampling=sampling, seed=3, same_track=True, **scores)
    assert len(examples) == 30
    track, artist, labels = dataset.track_ids, dataset.artist_ids, dataset.labels
    for index in range(30):
        waveforms, tag = examples[1, index]
        a, p, n, same = (clip_of(waveform, dataset) for waveform in waveforms)
        assert track[same] == track[a]
        assert same != a
        if sampling == "track":
            assert track[a] == track[p] != track[n]
            assert tag == -1
        elif sampling == "artist":
            assert artist[a] == artist[p] != artist[n]
            assert track[a] != track[p]
        else:
            assert labels[a, tag] == labels[p, tag] == 1
            assert labels[n, tag] == 0
        if sampling == "tags":
            assert track[a] != track[p]
        if sampling == "errors":
            assert (SCORES[[a, p, n], tag] > 0.5).tolist() == [True, False, True]


def test_triplets_repeat_and_differ_from_epoch_to_epoch():
    examples, again = (TripletCrops(grouped(), 4000, seed=3) for _ in range(2))
    assert len(examples) == 24
    order = [(epoch, index) for epoch in (0, 1) for index in range(24)]
    forward = {one: examples[one][0] for one in order}
    for one in reversed(order):  # whatever was asked before
        assert torch.equal(again[one][0], forward[one])
    assert not all(torch.equal(forward[0, i], forward[1, i]) for i in range(24))
    assert torch.equal(examples[5][0], forward[0, 5])
    other = TripletCrops(grouped(), 4000, seed=4)
    assert not all(torch.equal(other[0, i][0], forward[0, i]) for i in range(24))


def test_a_track_of_one_clip_is_its_own_company():
    examples = TripletCrops(Tones(24), 4000, same_track=True)
    waveforms, _ = examples[0]
    assert clip_of(waveforms[0], TRAIN) == clip_of(waveforms[3], TRAIN)
    assert not torch.equal(waveforms[0], waveforms[3])


def test_left_out_tags_are_named_once():
    dataset = Tones(24)
    dataset.labels = dataset.labels.copy()
    dataset.labels[:, 1] = 0
    with pytest.warns(mining.MiningWarning, match="high"):
        examples = TripletCrops(dataset, 4000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = examples[1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling": "tag"}, "'tag'.*did you mean"),
        ({"sampling": "errors"}, "no scores"),
        ({"scores": SCORES}, "need one another"),
        ({"sampling": "errors", "scores": SCORES[:5]}, "5 rows of scores and 24 clips"),
        ({"sampling": "errors", "scores": TRAIN.labels * 1.0}, "no triplets.*false negative"),
        ({"sampling": "track"}, "no triplets.*one clip"),
        ({"num_samples": 9000}, "shorter than"),
    ],
)
def test_triplets_that_cannot_be_drawn(change, message):
    with pytest.raises(ValueError, match=message):
        TripletCrops(**({"dataset": TRAIN, "num_samples": 4000} | change))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_each_balanced_batch(processes):
    def batches():
        return mining.TagBalancedBatches(TRAIN.labels, 2, 4, seed=1)

    parts = [BalancedShares(batches(), rank, processes) for rank in range(processes)]
    for epoch in range(2):
        whole = batches()
        whole.set_epoch(epoch)
        for part in parts:
            part.set_epoch(epoch)
        mine = [list(part) for part in parts]
        assert [len(one) for one in mine] == [len(part) for part in parts]
        share = 8 // processes
        for number, batch in enumerate(whole):
            assert [one for part in mine for one in part[number * share : (number + 1) * share]] == batch


# ---- losses, against their definitions


def test_triplet_loss_of_random_triplets():
    made = task(losses.TripletLoss(margin=0.3))
    x = crops(5, 3)
    # batch norm sees all 15 crops together
    a, p, n = made.model.embed(x.flatten(0, 1)).view(5, 3, -1).unbind(1)
    expected = (cosine_distance(a, p) - cosine_distance(a, n) + 0.3).relu().mean()
    torch.testing.assert_close(made.batch_loss((x, torch.zeros(5, dtype=torch.long))), expected)


@pytest.mark.parametrize("normalise", [False, True])
def test_euclidean_distances_of_raw_and_of_normalised_embeddings(normalise):
    made = task(losses.TripletLoss(margin=0.3, distance="euclidean"), normalise=normalise)
    x = crops(5, 3)
    z = made.model.embed(x.flatten(0, 1)).view(5, 3, -1)
    if normalise:
        z = z / z.norm(dim=-1, keepdim=True)
    a, p, n = z.unbind(1)
    expected = ((a - p).norm(dim=1) - (a - n).norm(dim=1) + 0.3).relu().mean()
    torch.testing.assert_close(made.batch_loss((x, torch.zeros(5, dtype=torch.long))), expected)
    # For length 1, half the squared distance is the cosine distance.
    if normalise:
        torch.testing.assert_close((a - p).square().sum(1) / 2, cosine_distance(a, p))


def test_the_tag_decides_the_block_and_tracks_see_all_of_it():
    made = task(losses.TrackRegularizedLoss(0.3, num_notions=2, weight=0.7), notions=NOTIONS)
    x, tags = crops(4, 4), torch.tensor([0, 2, 1, 2])  # low, noise, high, noise
    z = made.model.embed(x.flatten(0, 1)).view(4, 4, -1)
    half = z.shape[-1] // 2
    expected = 0
    for row, tag in zip(z, tags.tolist(), strict=True):
        block = slice(0, half) if tag < 2 else slice(half, None)
        a, p, n, same = row
        near, far = cosine_distance(a[block], p[block]), cosine_distance(a[block], n[block])
        track = (cosine_distance(a, same) - cosine_distance(a, n) + 0.3).relu()
        expected = expected + ((near - far + 0.3).relu() + 0.7 * track) / 4
    torch.testing.assert_close(made.batch_loss((x, tags)), expected)


def test_pairs():
    x, tags = crops(5, 3), torch.zeros(5, dtype=torch.long)
    made = task(losses.ContrastiveLoss(margin=1.0))
    a, p, n = made.model.embed(x.flatten(0, 1)).view(5, 3, -1).unbind(1)
    expected = ((a - p).square().sum(1) + (1 - (a - n).norm(dim=1)).relu().square()).mean() / 4
    torch.testing.assert_close(made.batch_loss((x, tags)), expected)
    made = task(losses.NTXentLoss(0.5))
    torch.testing.assert_close(made.batch_loss((x, tags)), losses.naive_nt_xent(a, p, 0.5).mean())


@pytest.mark.parametrize(
    "loss", [losses.SupConLoss(), losses.MultiSimilarityLoss(), losses.ProxyAnchorLoss(3, 8)], ids=repr
)
def test_losses_that_find_their_own_pairs(loss):
    made = task(loss)
    assert made.sampling == "balanced"
    x, labels = crops(6), torch.from_numpy(TRAIN.labels[:6]).float()
    torch.testing.assert_close(made.batch_loss((x, labels)), loss(made.model.embed(x), labels))


@pytest.mark.parametrize("kind", ["hard", "semi-hard", "easy"])
def test_mined_triplets_are_of_their_kind(kind):
    made = task(losses.TripletLoss(margin=0.05), sampling=kind)
    x, labels = crops(12), torch.from_numpy(TRAIN.labels[:12]).float()
    z = made.model.embed(x)
    triplets, notion, counts = made.mined(z, labels)
    assert not notion.any()
    near, far = (cosine_distance(z[triplets.anchor], z[rows]) for rows in (triplets.positive, triplets.negative))
    wanted = {
        "hard": far <= near + 1e-6,
        "semi-hard": (near < far + 1e-6) & (far < near + 0.05 + 1e-6),
        "easy": far >= near + 0.05 - 1e-6,
    }
    assert len(triplets)
    assert wanted[kind].all()
    shared = (labels @ labels.T) > 0
    assert shared[triplets.anchor, triplets.positive].all()
    assert not shared[triplets.anchor, triplets.negative].any()
    assert counts.total > len(triplets)
    torch.manual_seed(5)
    loss = made.batch_loss((x, labels))
    torch.manual_seed(5)
    triplets = made.mined(z, labels)[0]
    near, far = (cosine_distance(z[triplets.anchor], z[rows]) for rows in (triplets.positive, triplets.negative))
    torch.testing.assert_close(loss, (near - far + 0.05).relu().mean())
    if kind == "easy":
        assert loss < 1e-6  # nothing to learn


def test_each_notion_is_mined_in_its_block_by_its_tags():
    made = task(
        losses.DisentangledTripletLoss(0.3, num_notions=2),
        sampling="hard",
        notions={"texture": ("noise", "high"), "pitch": ("low",)},
    )
    labels = torch.from_numpy(TRAIN.labels[:12]).float()
    z = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
    triplets, notion, _ = made.mined(z, labels)
    # "pitch" has one tag: whoever has a tag of this notion is alike, and there is no negative
    assert not notion.any()
    texture = labels[:, 1:]
    for a, p, n in zip(*triplets, strict=True):
        assert (texture[a] * texture[p]).any()
        assert not (texture[a] * texture[n]).any()
        assert texture[n].any()  # of a clip without tags of this notion nothing is known
        assert cosine_distance(z[a, :4], z[n, :4]) <= cosine_distance(z[a, :4], z[p, :4]) + 1e-6
    with pytest.raises(ValueError, match="any notion"):
        made.mined(z[:2], labels[:2])


def test_shares_of_easy_and_hard_triplets():
    made = task(losses.TripletLoss(margin=0.2))
    z = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(1))
    near, far = cosine_distance(z[0], z[1]), cosine_distance(z[0], z[2])
    found = made.difficulty(z.unbind(), torch.zeros(40, dtype=torch.long))
    assert (found.hard, found.easy) == (int((far <= near).sum()), int((far >= near + 0.2).sum()))
    assert found.total == 40
    made = task(losses.DisentangledTripletLoss(0.2, num_notions=2), notions=NOTIONS)
    notion = torch.arange(40) % 2
    blocks = torch.where(notion[:, None] == 0, z[..., :4], z[..., 4:])
    near, far = cosine_distance(blocks[0], blocks[1]), cosine_distance(blocks[0], blocks[2])
    assert made.difficulty(z.unbind(), notion).hard == int((far <= near).sum())


def test_clips_are_judged_by_recall_and_by_fixed_triplets():
    made = task(losses.TripletLoss(margin=0.3, distance="euclidean"))
    z = torch.randn(len(VALID), 3, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(VALID.labels).float()
    scores = made.evaluate(z, labels)
    recall = metrics.multilabel_recall_at_k(z.numpy(), VALID.labels)
    assert {k: scores[f"valid_recall@{k}"] for k in (1, 2, 4, 8)} == recall
    a, p, n = (z[rows] for rows in mining.tag_triplets(VALID.labels, 180, tracks=VALID.track_ids))
    expected = ((a - p).norm(dim=1) - (a - n).norm(dim=1) + 0.3).relu().mean()
    torch.testing.assert_close(scores["valid_loss"], expected)
    assert {name: float(value) for name, value in scores.items()} == {
        name: float(value) for name, value in made.evaluate(z, labels).items()
    }
    perfect = made.evaluate(labels, labels)
    assert perfect["valid_recall@1"] == 1
    assert perfect["valid_loss"] < scores["valid_loss"]


def test_neighbours_of_other_tracks():
    tracks = np.array([0, 0, 0, 1, 1, 2, 3])
    rng = np.random.default_rng(0)
    z, labels = rng.standard_normal((7, 4)).astype(np.float32), (rng.random((7, 5)) < 0.5).astype(np.uint8)
    found = metrics.recall_among_tracks(z, labels, tracks, (1, 2))
    turns = ([0, 3, 5, 6], [1, 4, 5, 6], [2, 3, 5, 6])
    expected = [metrics.multilabel_recall_at_k(z[clips], labels[clips], (1, 2)) for clips in turns]
    assert found == {k: pytest.approx(np.mean([one[k] for one in expected])) for k in (1, 2)}
    with pytest.raises(ValueError, match="nothing to find"):
        metrics.recall_among_tracks(z, 0 * labels, tracks, (1,))
    valid = Tones(18, seed=1)
    valid.track_ids = np.arange(18) // 2
    made = training.MetricLearning(small(), among="tracks")
    made.prepare(TRAIN, valid)
    z = torch.randn(18, 3, generator=torch.Generator().manual_seed(1))
    scores = made.evaluate(z, torch.from_numpy(valid.labels).float())
    assert scores["valid_recall@1"] == metrics.recall_among_tracks(z.numpy(), valid.labels, valid.track_ids)[1]


def test_crops_are_augmented():
    made, quiet = task(augment=augmentations.Gain(-20, -20)), task()
    quiet.model.load_state_dict(made.model.state_dict())
    x, tags = crops(5, 3), torch.zeros(5, dtype=torch.long)
    torch.testing.assert_close(made.batch_loss((x, tags)), quiet.batch_loss((0.1 * x, tags)))


# ---- runs

RUNS = {
    "triplets": lambda: {},
    "track": lambda: {"loss": losses.TrackRegularizedLoss(num_notions=2), "notions": NOTIONS},
    "semi-hard": lambda: {"loss": losses.TripletLoss(0.2), "sampling": "semi-hard"},
    "errors": lambda: {"sampling": "errors", "scores": SCORES},
    "proxies": lambda: {"loss": losses.ProxyAnchorLoss(3, 8)},  # has parameters of its own
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("ignore::mclass.mining.MiningWarning")
def test_runs_repeat_and_resume(name, tmp_path):
    def run(epochs, folder, **changes):
        made = training.MetricLearning(small(), learning_rate=0.01, **(RUNS[name]() | changes))
        resume = (folder / "last.ckpt").exists()
        result = training.fit(
            made, TRAIN, VALID, epochs=epochs, batch_size=8, folder=folder, progress=False, resume=resume
        )
        return made, result

    made, whole = run(3, tmp_path / "whole")
    run(1, tmp_path / "parts")
    again, resumed = run(3, tmp_path / "parts")
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
    for key, value in made.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert whole.history["valid_recall@1"][whole.best_epoch] == whole.history["valid_recall@1"].max()
    assert ("hard" in whole.history) == (name != "proxies")
    assert made.model.tags == TRAIN.tags
    with pytest.raises(ModelError, match="has normalise = "):
        run(4, tmp_path / "whole", normalise=True)


@pytest.mark.parametrize("options", [{}, {"sampling": "hard"}, {"loss": losses.SupConLoss()}], ids=str)
@pytest.mark.filterwarnings("ignore::mclass.mining.MiningWarning")
def test_it_learns_and_leaves_the_last_layer_alone(options):
    model = still()
    before = model.head.weight.clone()
    made = training.MetricLearning(model, learning_rate=0.01, **options)
    run = training.fit(made, TRAIN, VALID, epochs=8, batch_size=8, progress=False)
    at_random = metrics.multilabel_recall_at_k(np.random.default_rng(0).standard_normal((18, 8)), VALID.labels)[1]
    assert run.history["valid_recall@1"].max() > at_random + 0.2
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]
    assert torch.equal(model.head.weight, before)


def test_a_batch_without_a_triplet_of_the_kind_costs_nothing_and_is_reported():
    made = task(losses.TripletLoss(margin=0.0), sampling="semi-hard")  # without a margin nothing is semi-hard
    labels = torch.from_numpy(TRAIN.labels[:12]).float()
    with pytest.warns(mining.MiningWarning, match="none is semi-hard"):
        loss = made.batch_loss((crops(12), labels))
    loss.backward()
    assert loss == 0
    assert all(not p.grad.any() for name, p in made.model.named_parameters() if not name.startswith("head"))


def test_a_batch_that_holds_nothing_to_compare():
    alike = torch.tensor([[1.0, 0, 0]]).expand(4, -1)
    with pytest.raises(ValueError, match="no negative"):
        task(sampling="hard").batch_loss((crops(4), alike))
    with pytest.warns(losses.EmptyLossWarning, match="share a label"):
        task(losses.SupConLoss()).batch_loss((crops(3), torch.eye(3)))


def test_a_batch_with_nan_is_kept(tmp_path):
    made = training.MetricLearning(small(), learning_rate=1e30, optimizer="sgd")
    with pytest.raises(ModelError, match="stopped"):
        training.fit(
            made, TRAIN, VALID, epochs=9, batch_size=8, folder=tmp_path, progress=False, gradient_clip=1e30
        )
    x = crops(5, 3)
    x[0, 0, 0] = torch.nan
    assert not task().batch_loss((x, torch.zeros(5, dtype=torch.long))).isfinite()


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "semihard"}, "'semihard'.*did you mean"),
        ({"sampling": "balanced"}, "TripletLoss needs sampling to be anything but"),
        ({"loss": losses.SupConLoss(), "sampling": "tags"}, 'SupConLoss needs sampling to be "balanced"'),
        ({"loss": losses.FocalLoss()}, "compares embeddings.*FocalLoss"),
        ({"loss": losses.TripletLoss(reduction="none")}, "one number per batch"),
        ({"loss": losses.TrackRegularizedLoss(), "sampling": "hard"}, "needs drawn ones"),
        ({"loss": losses.NTXentLoss(), "sampling": "hard"}, "needs drawn ones"),
        ({"loss": losses.DisentangledTripletLoss(), "sampling": "artist"}, "a tag that decides the block"),
        ({"loss": losses.DisentangledTripletLoss(num_notions=3)}, "num_notions=3 blocks.*has 4: genre, mood"),
        ({"sampling": "errors"}, "no scores"),
        ({"scores": SCORES}, "need one another"),
        ({"num_triplets": 0}, "num_triplets"),
        ({"among": "artists"}, "'artists'.*clips, tracks"),
        ({"sampling": "hard", "clips_per_tag": 1}, "at least 2"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        training.MetricLearning(small(), **options)


def unlike(**changes):
    dataset = Tones(24)
    for name, value in changes.items():
        setattr(dataset, name, value)
    return dataset


def disentangled(notions, **options):
    return {"loss": losses.DisentangledTripletLoss(num_notions=len(notions)), "notions": notions, **options}


@pytest.mark.parametrize(
    ("options", "train", "valid", "message"),
    [
        ({"loss": losses.DisentangledTripletLoss()}, TRAIN, VALID, "'low' belongs to 0 of the notions genre"),
        (disentangled({"a": ("low", "high"), "b": ("high", "noise")}), TRAIN, VALID, "'high' belongs to 2"),
        (
            disentangled(NOTIONS),
            unlike(labels=TRAIN.labels * np.array([1, 1, 0], np.uint8)),
            VALID,
            "no training clip.*'texture'",
        ),
        (
            disentangled({"a": ("low",), "b": ("high",), "c": ("noise",)}),
            TRAIN,
            VALID,
            "8 dimensions has no 3 equal blocks",
        ),
        ({}, TRAIN, unlike(tags=["low", "high", "hiss"]), "must be the same tags"),
        ({}, TRAIN, TRAIN.subset([0]), "1 validation clips cannot be judged"),
        ({"sampling": "errors", "scores": SCORES[:3]}, TRAIN, VALID, "3 rows of scores"),
    ],
)
def test_data_without_what_it_takes(options, train, valid, message):
    with pytest.raises(ValueError, match=message):
        training.fit(training.MetricLearning(small(), **options), train, valid, epochs=1, progress=False)


def test_batches_must_hold_whole_tags():
    with pytest.raises(ValueError, match="multiple of clips_per_tag=4, got 6"):
        training.fit(
            training.MetricLearning(small(), sampling="hard"), TRAIN, VALID, epochs=1, batch_size=6, progress=False
        )


def test_notions_number_the_tags():
    assert notion_of_tags(TRAIN, NOTIONS).tolist() == [0, 0, 1]
    with pytest.raises(DatasetError, match="'noise' belongs to 0"):
        notion_of_tags(TRAIN, {"pitch": ("low", "high")})
