"""Labels that nobody gave: left out of losses, scores, probes and decisions, and kept by every format."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from tones import Tones, small
from torch import nn
from torch.nn import functional as F

from mclass import augmentations, cli, datasets, inference, losses, metrics, mining, models, training
from mclass.datasets.unlabelled.budgets import label_budget
from mclass.datasets.unlabelled.pretexts import Relabelled
from mclass.errors import DatasetError, ModelError
from mclass.training.tasks.task import describe_unknown

RNG = np.random.default_rng(0)
N, TAGS = 60, 3
LABELS = RNG.integers(0, 2, (N, TAGS))
KNOWN = RNG.random((N, TAGS)) < 0.5
SCORES = np.round(0.3 * LABELS + RNG.random((N, TAGS)), 1) / 1.3  # with ties
LIES = np.where(KNOWN, LABELS, 1 - LABELS)
GROUPS = np.arange(N) // 2


class Judged(Tones):
    """Tones that were listened to for some tags; what `labels` holds elsewhere is up to the test."""

    def __init__(self, num_clips, seed=0, hidden=0.0, share=0.6):
        super().__init__(num_clips, seed=seed)
        rng = np.random.default_rng(100 + seed)
        self.known = rng.random(self.labels.shape) < share
        self.truth = self.labels.copy()
        self.labels = np.where(self.known, self.labels, hidden).astype(np.uint8)


def each_tag(metric):
    return [metric(LABELS[k, tag], SCORES[k, tag]) for tag in range(TAGS) for k in [KNOWN[:, tag]]]


# --- metrics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [LABELS, LIES, np.where(KNOWN, LABELS, np.nan), torch.from_numpy(LIES)])
def test_areas_are_scikit_learns_on_known_labels(labels):
    for ours, theirs in (
        (metrics.roc_auc, reference.roc_auc_score),
        (metrics.pr_auc, reference.average_precision_score),
    ):
        np.testing.assert_allclose(ours(labels, SCORES, average=None, known=KNOWN), each_tag(theirs))
        assert ours(labels, SCORES, known=KNOWN) == pytest.approx(np.mean(each_tag(theirs)))
        together = theirs(LABELS[KNOWN], SCORES[KNOWN])
        assert ours(labels, SCORES, average="micro", known=KNOWN) == pytest.approx(together)
    table = metrics.tagwise(labels, SCORES, known=KNOWN)
    assert table.roc_auc.tolist() == each_tag(reference.roc_auc_score)
    assert table.known.tolist() == KNOWN.sum(0).tolist()
    assert table.positives.tolist() == (LABELS * KNOWN).sum(0).tolist()


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_decisions_are_counted_where_they_can_be_judged(average):
    guesses = SCORES >= 0.5
    for ours, theirs in (
        (metrics.precision, reference.precision_score),
        (metrics.recall, reference.recall_score),
        (metrics.f_beta, reference.f1_score),
    ):
        expected = theirs(LABELS[KNOWN], guesses[KNOWN])
        if average == "macro":
            expected = np.mean([theirs(LABELS[k, t], guesses[k, t]) for t in range(TAGS) for k in [KNOWN[:, t]]])
        assert ours(LIES, SCORES, average=average, known=KNOWN) == pytest.approx(expected)
    right = (guesses == LABELS)[KNOWN].mean()
    assert metrics.accuracy(LIES, SCORES, threshold=0.5, known=KNOWN) == pytest.approx(right)
    table = metrics.tagwise(LIES, SCORES, threshold=0.5, known=KNOWN)
    for tag in range(TAGS):
        k = KNOWN[:, tag]
        tn, fp, fn, tp = reference.confusion_matrix(LABELS[k, tag], guesses[k, tag]).ravel()
        assert table.loc[tag, ["tn", "fp", "fn", "tp"]].tolist() == [tn, fp, fn, tp]
        assert table.accuracy[tag] == pytest.approx((tp + tn) / k.sum())


def test_curves_and_thresholds_look_at_known_labels():
    for ours in (metrics.roc_curve, metrics.pr_curve):
        table = ours(LIES, SCORES, known=KNOWN)
        parts = [ours(LABELS[k][:, [t]], SCORES[k][:, [t]]) for t in range(TAGS) for k in [KNOWN[:, t]]]
        pd.testing.assert_frame_equal(
            table.drop(columns="tag"), pd.concat(parts, ignore_index=True).drop(columns="tag")
        )
    chosen = metrics.choose_thresholds(LIES, SCORES, known=KNOWN)
    for tag in range(TAGS):
        k = KNOWN[:, tag]
        alone = metrics.choose_thresholds(LABELS[k][:, [tag]], SCORES[k][:, [tag]])
        assert chosen.threshold[tag] == alone.threshold[0]


def test_a_tag_of_which_too_little_is_known_is_undefined():
    labels, known = np.array([[1, 1], [0, 0], [1, 0]]), np.array([[1, 1], [1, 0], [1, 0]], bool)
    assert metrics.undefined_tags(labels, ["a", "b"]) == []
    assert metrics.undefined_tags(labels, ["a", "b"], known) == ["b"]
    with pytest.warns(metrics.UndefinedTagsWarning, match=": b"):
        assert metrics.roc_auc(labels, np.eye(3, 2), tags=["a", "b"], known=known) == 0.75


def test_intervals_and_comparisons_of_known_labels():
    slow = lambda labels, scores, known: metrics.roc_auc(labels, scores, known=known)  # noqa: E731
    options = {"groups": GROUPS, "known": KNOWN, "num_resamples": 60}
    fast_one, slow_one = (metrics.bootstrap(one, LIES, SCORES, **options) for one in (metrics.roc_auc, slow))
    np.testing.assert_allclose(fast_one.samples, slow_one.samples)
    assert fast_one.value == pytest.approx(np.mean(each_tag(reference.roc_auc_score)))
    other = RNG.random(SCORES.shape)
    found = metrics.compare(metrics.pr_auc, LIES, other, SCORES, **options)
    areas = [
        reference.average_precision_score(LABELS[k, t], other[k, t]) for t in range(TAGS) for k in [KNOWN[:, t]]
    ]
    assert found.first == pytest.approx(np.mean(areas))
    # Scores of unknown labels are nobody's business: neither model's change anything.
    noise = np.where(KNOWN, 0, 9)
    again = metrics.compare(metrics.pr_auc, LABELS, other + noise, SCORES - noise, **options)
    assert (again.p_value, again.difference.low) == (found.p_value, found.difference.low)


@pytest.mark.parametrize("known", [KNOWN[:3], KNOWN[:, 0], KNOWN * 0.5, [["yes"] * TAGS] * N])
def test_masks_that_do_not_fit(known):
    for metric in (metrics.roc_auc, metrics.tagwise, metrics.precision, metrics.choose_thresholds):
        with pytest.raises(ValueError, match="known"):
            metric(LABELS, SCORES, known=known)
    with pytest.raises(ValueError, match="multi-label"):
        metrics.accuracy(np.eye(3), np.eye(3), known=np.ones((3, 3), bool))


# --- losses ---------------------------------------------------------------------------------------------------


def tensors():
    logits = torch.tensor(SCORES * 4 - 2, requires_grad=True)
    return logits, torch.from_numpy(LABELS).double(), torch.from_numpy(KNOWN)


@pytest.mark.parametrize(
    "loss",
    [
        losses.BCELoss(),
        losses.BCELoss(pos_weight=[1.0, 2.0, 3.0], weight=0.5),
        losses.FocalLoss(),
        losses.FocalLoss(gamma=0.5, alpha=0.3, soft=True),
    ],
)
def test_losses_are_means_over_known_labels_and_pull_at_no_others(loss):
    logits, targets, known = tensors()
    loss.reduction = "none"
    every = loss(logits, targets).detach().numpy()
    loss.reduction = "mean"
    total, count = 0.0, 0
    for i in range(N):
        for j in range(TAGS):
            if KNOWN[i, j]:
                total, count = total + every[i, j], count + 1
    found = loss(logits, targets, known)
    assert found.item() == pytest.approx(total / count)
    found.backward()
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()
    for hidden in (torch.nan, 1.0, 7.0):
        assert loss(logits, targets.masked_fill(~known, hidden), known=known) == found


def test_targets_with_gaps_are_refused_without_a_mask_and_taken_apart_with_one():
    logits, targets, known = tensors()
    gaps = targets.masked_fill(~known, torch.nan)
    with pytest.raises(ValueError, match=r"found nan.*split_unknown"):
        losses.BCELoss()(logits, gaps)
    for ours, theirs in zip(losses.split_unknown(gaps), (targets * known, known), strict=True):
        assert torch.equal(ours, theirs)
    assert losses.split_unknown(targets)[1] is None
    for wrong in (known.float(), known[:3], KNOWN):
        with pytest.raises(ValueError, match="known says of each target"):
            losses.FocalLoss()(logits, targets, wrong)
    with pytest.warns(losses.EmptyLossWarning, match="no label of the batch is known"):
        assert losses.BCELoss()(logits, targets, torch.zeros_like(known)) == 0


def test_balanced_weights_count_known_labels():
    weight = losses.BCELoss.balanced(torch.from_numpy(LIES), known=torch.from_numpy(KNOWN)).pos_weight
    positives = (LABELS * KNOWN).sum(0)
    np.testing.assert_allclose(weight, (KNOWN.sum(0) - positives) / positives, rtol=1e-6)


# --- training -------------------------------------------------------------------------------------------------


def trained(hidden, **options):
    torch.manual_seed(0)
    task = training.Tagging(small(), learning_rate=0.01, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        train, valid = Judged(24, hidden=hidden), Judged(18, seed=1, hidden=hidden)
        run = training.fit(task, train, valid, epochs=2, batch_size=8, progress=False)
    return task, run, valid


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1},
        {"criterion": losses.FocalLoss()},
        {"augment": augmentations.Mixup()},
    ],
    ids=["plain", "smoothing", "focal", "mixup"],
)
def test_what_stands_in_for_unknown_labels_changes_nothing(options):
    (task, run, valid), (other, again, _) = trained(0, **options), trained(1, **options)
    pd.testing.assert_frame_equal(run.history, again.history)
    for one, two in zip(task.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    found = inference.predict(task.model, valid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        expected = metrics.roc_auc(valid.truth, found, known=valid.known)
    assert run.history.valid_roc_auc[run.best_epoch] == pytest.approx(expected)


def test_a_batch_that_diverges_is_blamed_on_the_sound_and_not_on_unknown_labels(tmp_path):
    train = Judged(24)
    train.audio[5] = torch.full_like(train.audio[5], torch.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        with pytest.raises(ModelError, match=r"rows \[\d\] hold NaN"):
            training.fit(
                training.Tagging(small()), train, Judged(18, seed=1), epochs=1, batch_size=8, progress=False
            )


def test_a_loss_of_ones_own_knows_masks_or_is_refused():
    for criterion in (nn.BCEWithLogitsLoss(), nn.MultiLabelSoftMarginLoss()):
        with pytest.raises(ModelError, match=rf"{type(criterion).__name__} cannot leave them out"):
            trained(0, criterion=criterion)

    class Own(nn.Module):
        def forward(self, logits, labels, known=None):
            assert known is not None
            assert known.dtype == torch.bool
            return F.binary_cross_entropy_with_logits(logits[known], labels[known])

    # Another order of additions: the losses differ in their last digits, and few clips may change places by these.
    mine, ours = trained(0, criterion=Own())[1].history, trained(0)[1].history
    losses = ["train_loss", "valid_loss"]
    pd.testing.assert_frame_equal(mine[losses], ours[losses], rtol=1e-3)


def test_single_labels_are_known_or_left_out():
    train = Tones(12, multilabel=False)
    train.known = np.ones(train.labels.shape, bool)
    train.known[0] = False
    task = training.Tagging(small(), multilabel=False)
    with pytest.raises(DatasetError, match="single-label clips are unknown; leave these clips out"):
        training.fit(task, train, Tones(9, multilabel=False), epochs=1, progress=False)


def test_tasks_that_compare_labels_or_predict_numbers_refuse_gaps():
    train, valid = Tones(12), Tones(12, seed=1)
    train.known, valid.known = np.ones((12, 3), bool), np.ones((12, 3), bool)
    train.known[[1, 4, 4], [0, 0, 2]] = False
    valid.known[5] = False
    tasks = {
        "needs all labels, but .* neither shared nor not shared": lambda: training.MetricLearning(small()),
        "a regression needs all numbers": lambda: training.Regression(small()),
    }
    for message, task in tasks.items():
        with pytest.raises(DatasetError, match=message) as caught:
            training.fit(task(), train, valid, epochs=1, progress=False)
        assert "2 of the 12 training clips of 'tones' have unknown labels ('low', 'noise')" in str(caught.value)
        complete = train.subset(train.known.all(1))  # what the message says
        assert "dataset.subset(dataset.known.all(1))" in str(caught.value)
        with pytest.raises(DatasetError, match=r"1 of the 12 validation clips .* \('low', 'high', 'noise'\)"):
            training.fit(task(), complete, valid, epochs=1, progress=False)
        run = training.fit(task(), complete, valid.subset(valid.known.all(1)), epochs=1, progress=False)
        assert run.history["train_loss"].notna().all()


def test_many_tags_with_unknown_labels_are_not_all_named():
    data = Tones(4)
    data.tags, data.known = ["a", "b", "c", "d", "e"], np.zeros((4, 5), bool)
    assert describe_unknown(Tones(4), Tones(4)) == ""
    assert describe_unknown(data, data) == (
        "4 of the 4 training clips of 'tones' have unknown labels ('a', 'b', 'c' and 2 more)"
    )


def test_a_teacher_speaks_where_labels_do_not():
    torch.manual_seed(0)
    task = training.Distillation(small(), small(), weight=0.5)
    labels = torch.full((2, task.model.num_tags), torch.nan)
    labels[0, 0] = 1.0
    logits = task.model(waveform := torch.randn(2, task.model.num_samples))
    assert task.batch_loss((waveform, labels)).isfinite()
    assert task.loss(logits, labels) == F.softplus(-logits[0, 0])


def test_data_without_gaps_is_what_it_was():
    data = Tones(6)
    assert data.known is None
    assert not data.partly_labelled
    target = data.target(2)
    assert target.dtype == torch.float32
    assert torch.equal(target, torch.from_numpy(data.labels[2]).float())
    task = training.Tagging(small())
    logits, labels = torch.randn(6, 3), torch.from_numpy(data.labels).float()
    assert torch.equal(task.loss(logits, labels), F.binary_cross_entropy_with_logits(logits, labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        task.check_data(data, Tones(9, seed=1))
    task.prepare(data, Tones(9, seed=1))  # from now on nothing is looked for, and NaN is not hidden
    assert task.loss(logits, labels * torch.nan).isnan()


def test_a_protected_tag_may_be_there():
    quieter = augmentations.LabelAware(augmentations.Gain(-20, -20), tags=["guitar", "loud"])
    labels = torch.tensor([[1, 0], [1, 1], [1, torch.nan]])
    assert quieter(torch.ones(3, 1), labels=labels).flatten().tolist() == pytest.approx([0.1, 1, 1])


# --- probes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_probe_learns_each_tag_from_clips_where_it_is_known(kind):
    parts = []
    for seed, size in enumerate((40, 30, 30)):
        data = Judged(size, seed=seed, hidden=seed % 2)
        rng = np.random.default_rng(seed)
        parts.append((np.hstack([data.truth, data.truth]) + rng.standard_normal((size, 2 * TAGS)), data))
    found = training.probe_embeddings(*parts, kind=kind, strengths=[1.0])
    (x, train), _, (test_x, test) = parts
    scaler = StandardScaler().fit(x)
    for tag in range(TAGS):
        k = train.known[:, tag]
        fresh = LogisticRegression(C=1.0, max_iter=500)
        if kind == "mlp":
            fresh = MLPClassifier(128, alpha=1.0, random_state=0, max_iter=200, n_iter_no_change=5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fresh.fit(scaler.transform(x)[k], train.truth[k, tag])
        expected = fresh.predict_proba(scaler.transform(test_x))[:, 1]
        np.testing.assert_allclose(found.probabilities[:, tag], expected, rtol=1e-6)
    expected = metrics.roc_auc(test.truth, found.probabilities, known=test.known)
    assert found.scores["roc_auc"] == expected


# --- mining ---------------------------------------------------------------------------------------------------


def test_a_negative_is_known_to_lack_the_tag():
    anchor, positive, negative = triplets = mining.tag_triplets(LIES, 400, known=KNOWN, seed=1)
    for clip, value in ((anchor, 1), (positive, 1), (negative, 0)):
        assert KNOWN[clip, triplets.tag].all()
        assert (LABELS[clip, triplets.tag] == value).all()
    wrong = mining.error_triplets(LIES, SCORES, 400, known=KNOWN)
    for clip, value in ((wrong.anchor, 1), (wrong.positive, 1), (wrong.negative, 0)):
        assert KNOWN[clip, wrong.tag].all()
        assert (LABELS[clip, wrong.tag] == value).all()
    table = mining.error_table(LIES, SCORES, known=KNOWN)
    assert table.true_positives.tolist() == ((SCORES >= 0.5) & (LABELS == 1) & KNOWN).sum(0).tolist()


def test_an_unknown_tag_is_neither_shared_nor_not_shared():
    positive, negative = mining.share_tag(torch.from_numpy(LIES), torch.from_numpy(KNOWN))
    for i in range(N):
        for j in range(N):
            both = [k for k in range(TAGS) if KNOWN[i, k] and KNOWN[j, k]]
            shared = any(LABELS[i, k] and LABELS[j, k] for k in both)
            differ = any(LABELS[i, k] != LABELS[j, k] for k in both)
            tagged = (LABELS[i] * KNOWN[i]).any() and (LABELS[j] * KNOWN[j]).any()
            assert positive[i, j] == (shared and i != j)
            assert negative[i, j] == (bool(tagged) and not shared and differ and i != j)
    everything = mining.share_tag(torch.from_numpy(LABELS))
    masked = mining.share_tag(torch.from_numpy(LABELS), torch.ones(N, TAGS, dtype=torch.bool))
    assert all(torch.equal(*pair) for pair in zip(everything, masked, strict=True))


# --- views and stored formats ---------------------------------------------------------------------------------


def test_views_keep_the_mask_and_other_labels_drop_it():
    data = Judged(12)
    view = data.subset([5, 3, 8]).subset([2, 0])
    np.testing.assert_array_equal(view.known, data.known[[8, 5]])
    labelled, rest = label_budget(data, 0.5, by="clip")
    np.testing.assert_array_equal(labelled.known, data.known[labelled.indices])
    np.testing.assert_array_equal(rest.known, data.known[rest.indices])
    for cut in (datasets.RandomCrops(data, 4000), datasets.Chunks(data, 4000)):
        np.testing.assert_array_equal(cut[4][1].isnan().numpy(), ~data.known[4])
    assert Relabelled(data, np.ones((12, 1), np.uint8), ["x"]).known is None


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Noise with a tone for each tag, in a table with gaps."""
    root, rng = tmp_path_factory.mktemp("gaps"), np.random.default_rng(3)
    rows = []
    for i in range(48):
        has = rng.random(3) < 0.5
        t = np.arange(52_000) / 16_000
        tones = sum(0.2 * np.sin(2 * np.pi * f * t) for f, on in zip((300, 1000, 3000), has, strict=True) if on)
        soundfile.write(root / f"{i}.flac", tones + 0.01 * rng.standard_normal(t.size), 16_000)
        cells = [str(int(on)) if rng.random() < 0.7 else "" for on in has]
        rows.append([f"{i}.flac", ("train", "valid", "test")[i % 3], *cells])
    pd.DataFrame(rows, columns=["path", "split", "low", "mid", "high"]).to_csv(root / "t.csv", index=False)
    return root


def test_stored_formats_keep_the_mask(table, tmp_path):
    data = datasets.load("folder", root=table, labels=str(table / "t.csv"))
    given = pd.read_csv(table / "t.csv")[data.tags].to_numpy()
    order = [int(path.stem) for path in data.paths]
    np.testing.assert_array_equal(data.known, ~np.isnan(given)[order])
    np.testing.assert_array_equal(data.labels, np.nan_to_num(given)[order])
    ready = datasets.prepare(data, tmp_path / "ready", progress=False, workers=1)
    again = datasets.load("prepared", root=tmp_path / "ready")
    for one in (ready, again):
        np.testing.assert_array_equal(one.known, data.known)
    for one, two in zip(data.splits(), again.splits(), strict=True):
        np.testing.assert_array_equal(one.known, two.known)
    shards = datasets.shard(data, tmp_path / "shards", progress=False, workers=1)
    assert shards.partly_labelled
    assert shards.tag_counts.tolist() == data.splits()[0].tag_counts.tolist()
    clips = datasets.load("shards", root=tmp_path / "shards")
    place = {path.name: row for row, path in enumerate(data.paths)}
    where = [place[clips.describe(i).split(" ")[0]] for i in range(len(clips))]
    np.testing.assert_array_equal(clips.known, data.known[where])
    np.testing.assert_array_equal(clips.labels, data.labels[where])
    train = data.splits()[0]
    stream = datasets.ShardStream(shards, 16_000, batch_size=4, return_index=True)
    for _, labels, indices in stream:
        np.testing.assert_array_equal(labels, torch.stack([train.target(int(i)) for i in indices]))
    # Another mask is other data: what is stored is not taken for it.
    data.known = ~data.known
    with pytest.raises(DatasetError, match="already holds"):
        datasets.prepare(data, tmp_path / "ready", progress=False)


@pytest.mark.parametrize("mask", [np.ones((6, 2), bool), np.ones((5, 3), bool), np.ones((6, 3), int)])
def test_a_mask_that_does_not_fit_its_labels_is_a_damaged_file(mask, tmp_path):
    ready = datasets.prepare(Judged(6), tmp_path / "ready", progress=False, workers=1)
    np.testing.assert_array_equal(ready.known, Judged(6).known)
    with np.load(tmp_path / "ready" / "arrays.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "ready" / "arrays.npz", **{**arrays, "extra_known": mask})
    with pytest.raises(DatasetError, match="missing or damaged"):
        datasets.load("prepared", root=tmp_path / "ready")


def test_old_shards_of_openmic_say_that_their_mask_is_lost(tmp_path):
    datasets.shard(Tones(6), tmp_path / "shards", progress=False, workers=1)
    index = json.loads((tmp_path / "shards" / "index.json").read_text())
    del index["partly_labelled"]
    (tmp_path / "shards" / "index.json").write_text(json.dumps(index))
    assert datasets.load("shards", root=tmp_path / "shards").known is None
    (tmp_path / "shards" / "index.json").write_text(json.dumps(index | {"name": "openmic"}))
    with pytest.warns(UserWarning, match=r"do not say which labels of OpenMIC are known.*Write them again"):
        datasets.load("shards", root=tmp_path / "shards", part="train")


# --- the command line -----------------------------------------------------------------------------------------


def test_train_and_evaluate_score_what_is_known(table, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["--root", str(table), "--labels", str(table / "t.csv")]
    assert cli.main(["train", *given, "--model", "cnn_1d", "--epochs", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    test = datasets.load("folder", root=table, labels=str(table / "t.csv")).splits()[2]
    scores = pd.read_csv(out / "test_scores.csv", keep_default_na=False)
    assert scores.unknown.tolist() == [
        "|".join(tag for tag, known in zip(test.tags, row, strict=True) if not known) for row in test.known
    ]
    values = scores[test.tags].to_numpy(float)
    areas = [
        reference.roc_auc_score(test.labels[k, tag], values[k, tag])
        for tag in range(3)
        for k in [test.known[:, tag]]
    ]
    report = json.loads((out / "report.json").read_text())["test"]
    assert report["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-4)
    assert report["known_labels"] == test.known.mean()
    assert f"of the {test.known.mean():.0%} of labels that are known" in printed
    assert cli.main(["evaluate", "--model", str(out), "--out", str(tmp_path / "t.csv")]) == 0
    written = pd.read_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(written.roc_auc, areas, atol=1e-4)
    assert written.known.tolist() == test.known.sum(0).tolist()
    assert f"macro ROC-AUC {np.mean(areas):.3f}" in capsys.readouterr().out
    assert models.load(out / "model.pt").tags == test.tags
