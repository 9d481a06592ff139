"""Probes: what they compute, what they leave alone, and what they refuse."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tones import Tones, small

from mclass import inference, metrics, models, training
from mclass.errors import DatasetError, ModelError
from mclass.metrics import UndefinedTagsWarning
from mclass.training import embeddings, probe, probe_embeddings

TRAIN, VALID, TEST = Tones(48), Tones(24, seed=1), Tones(24, seed=2)
SINGLE = [Tones(24, multilabel=False, seed=seed) for seed in range(3)]


def noisy(dataset, noise=0.5, seed=0):
    """Embeddings that hold the labels, with noise, and something else."""
    rng = np.random.default_rng(seed)
    labels = dataset.labels + noise * rng.standard_normal(dataset.labels.shape)
    return np.hstack([labels * 3 + 1, rng.standard_normal((len(dataset), 2))]), dataset


def test_embeddings_are_means_over_chunks_and_the_model_stays():
    model = small().train()
    before = copy.deepcopy(model.state_dict())
    found = embeddings(model, TRAIN)
    assert model.training
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    model.eval()
    with torch.no_grad():
        expected = model.embed(TRAIN.waveform(5).view(2, 4000)).mean(0)
    torch.testing.assert_close(torch.from_numpy(found[5]), expected)
    torch.testing.assert_close(
        torch.from_numpy(found[5]), torch.from_numpy(inference.embed(TRAIN.waveform(5), model, 16000))
    )


def test_a_linear_probe_is_logistic_regression_of_standardised_embeddings():
    (x, _), (v, _), (t, _) = parts = [noisy(part, seed=i) for i, part in enumerate((TRAIN, VALID, TEST))]
    found = probe_embeddings(*parts, strengths=[0.1, 10.0])
    standard = lambda z: (z - x.mean(0)) / x.std(0)  # noqa: E731
    scores = {}
    for strength in (0.1, 10.0):
        each = [
            LogisticRegression(C=1 / strength, max_iter=500).fit(standard(x), TRAIN.labels[:, tag])
            for tag in range(3)
        ]
        told = [np.stack([one.predict_proba(standard(z))[:, 1] for one in each], 1) for z in (v, t)]
        scores[strength] = metrics.roc_auc(VALID.labels, told[0]), told[1]
    best = max(scores, key=lambda strength: scores[strength][0])
    assert found.strength == best
    np.testing.assert_allclose(found.probabilities, scores[best][1], rtol=1e-3, atol=1e-4)
    assert found.scores["roc_auc"] == pytest.approx(metrics.roc_auc(TEST.labels, found.probabilities))
    assert found.valid_scores["roc_auc"].tolist() == pytest.approx([scores[0.1][0], scores[10.0][0]])
    np.testing.assert_array_equal(found.predict(t), found.probabilities)


def test_a_hidden_layer_finds_what_no_line_separates():
    rng = np.random.default_rng(0)

    def xor(dataset):
        signs = rng.choice([-1.0, 1.0], (len(dataset), 2))
        dataset.labels = np.zeros_like(dataset.labels)
        dataset.labels[:, 0] = signs.prod(1) > 0
        dataset.labels[:, 1] = signs[:, 0] > 0
        dataset.labels[:, 2] = signs[:, 1] > 0
        return signs + 0.1 * rng.standard_normal(signs.shape), dataset

    parts = [xor(Tones(200, seconds=0.01)) for _ in range(3)]
    linear = probe_embeddings(*parts, kind="linear", strengths=[1.0])
    network = probe_embeddings(*parts, kind="mlp", strengths=[0.01])
    tagwise = [
        metrics.tagwise(parts[2][1].labels, one.probabilities, TRAIN.tags).roc_auc for one in (linear, network)
    ]
    assert tagwise[0][0] < 0.7
    assert (tagwise[0][1:] > 0.99).all()
    assert (tagwise[1] > 0.99).all()


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_tags_unseen_are_named_and_guessed(kind):
    few = TRAIN.subset(np.flatnonzero(TRAIN.labels[:, 1] == 0)[:6])
    parts = noisy(few), noisy(VALID), noisy(TEST)
    with pytest.warns(UndefinedTagsWarning, match="1 of 3 tags have no example.*6 labelled clips.*: high"):
        found = probe_embeddings(*parts, kind=kind, strengths=[1.0])
    assert found.unseen == ["high"]
    assert not found.probabilities[:, 1].any()
    table = metrics.tagwise(TEST.labels, found.probabilities, TEST.tags)
    assert table.roc_auc[1] == 0.5
    assert found.scores["roc_auc"] == pytest.approx(table.roc_auc.mean())


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_one_labelled_clip_and_one_tag_to_learn(kind):
    parts = noisy(TRAIN.subset([0])), noisy(VALID), noisy(TEST)
    with pytest.warns(UndefinedTagsWarning, match="3 of 3"):
        found = probe_embeddings(*parts, kind=kind)
    assert found.scores["roc_auc"] == 0.5
    only = TRAIN.subset([1, 4, 7])  # all "high", one of them with noise
    with pytest.warns(UndefinedTagsWarning, match=r"2 of 3.*low, high"):
        found = probe_embeddings(noisy(only), *parts[1:], kind=kind, strengths=[1.0])
    assert found.probabilities.shape == (24, 3)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_classes_of_which_one_holds(kind):
    parts = [noisy(part, 0.1) for part in SINGLE]
    found = probe_embeddings(*parts, kind=kind, strengths=[1.0])
    assert found.scores == {"accuracy": 1.0}
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    low = SINGLE[0].subset(np.flatnonzero(SINGLE[0].labels[:, 2] == 0))
    with pytest.warns(UndefinedTagsWarning, match="noise"):
        found = probe_embeddings(noisy(low, 0.1), *parts[1:], kind=kind, strengths=[1.0])
    assert not found.probabilities[:, 2].any()
    assert found.scores["accuracy"] == pytest.approx(2 / 3, abs=0.1)


def test_a_model_or_its_file(tmp_path):
    torch.manual_seed(0)
    model = models.create("cnn_1d", num_tags=3, channels=8)
    path = models.save(model, tmp_path / "model.pt", tags=TRAIN.tags)
    first = probe(model, TRAIN, VALID, TEST, strengths=[1.0])
    second = probe(path, TRAIN, VALID, TEST, strengths=[1.0])
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.scores["roc_auc"] > 0.8


def test_another_kind_of_checkpoint(tmp_path):
    training.fit(
        training.Contrastive(small()), TRAIN, VALID, epochs=1, batch_size=24, folder=tmp_path, progress=False
    )
    with pytest.raises(ModelError, match="not a mclass model file"):
        probe(tmp_path / "last.ckpt", TRAIN, VALID, TEST)
    with pytest.raises(ModelError, match="class of your own, Small"):
        probe(tmp_path / "model.pt", TRAIN, VALID, TEST)
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nothing.pt", TRAIN, VALID, TEST)


def test_embeddings_that_are_not_finite():
    model = small()
    with torch.no_grad():
        model.body.blocks[2].conv.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match=r"48 of 48 clips are not finite, first that of tones\[0\]"):
        probe(model, TRAIN, VALID, TEST)
    x, _ = noisy(VALID)
    x[3, 1] = np.inf
    with pytest.raises(ModelError, match="NaN or infinity"):
        probe_embeddings(noisy(TRAIN), (x, VALID), noisy(TEST))


def test_data_and_options_that_do_not_fit():
    parts = [noisy(part) for part in (TRAIN, VALID, TEST)]
    with pytest.raises(ValueError, match="'tree'"):
        probe_embeddings(*parts, kind="tree")
    with pytest.raises(ValueError, match="strengths"):
        probe_embeddings(*parts, strengths=[0.0])
    with pytest.raises(ValueError, match=r"\(24, dim\)"):
        probe_embeddings(parts[0], (parts[1][0][:5], VALID), parts[2])
    with pytest.raises(DatasetError, match="no clips"):
        probe_embeddings((parts[0][0][:0], TRAIN.subset([])), *parts[1:])
    other = Tones(24)
    other.tags = ["low", "high", "hiss"]
    with pytest.raises(DatasetError, match="hiss"):
        probe_embeddings(*parts[:2], noisy(other))
    model = small()
    model.sample_rate = 22050
    with pytest.raises(ModelError, match="22050"):
        probe(model, TRAIN, VALID, TEST)
