"""The baselines without deep learning, against enumeration, librosa and naive loops; and do they learn?"""

import itertools
import pickle
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator
from tones import Tones

from mclass import metrics
from mclass.frontends import MFCC
from mclass.models import shallow
from mclass.models.shallow import Codebook, DBNClassifier, MFCCStatistics, RBMFeatures, SparseCoding, SparseRBM
from mclass.models.shallow.features import frames

NSYNTH = Path(__file__).parents[2] / "shared" / "data" / "nsynth-mini"
# Sizes at which everything is quick; what is not named is as it comes.
QUICK = {
    "codebook": {"size": 32, "random_state": 0},
    "dbn": {"hidden_sizes": (64,), "random_state": 0},
    "mfcc_logistic": {},
    "mfcc_svm": {},
    "sparse_coding": {"size": 24, "random_state": 0},
    "sparse_rbm": {"size": 32, "epochs": 5, "random_state": 0},
}


@pytest.fixture(scope="module")
def tones():
    return Tones(num_clips=36)


@pytest.fixture(scope="module")
def notes():
    """Waveforms, families and instruments of 200 real notes."""
    if not NSYNTH.is_dir():
        pytest.skip("../shared/data/nsynth-mini is absent")
    paths = sorted(NSYNTH.glob("*.flac"))[::2]
    waveforms = np.stack([soundfile.read(path, frames=32000, dtype="float32")[0] for path in paths])
    families = np.unique([path.name.split("_")[0] for path in paths], return_inverse=True)[1]
    instruments = np.array([path.name.split("-")[0] for path in paths])
    return waveforms, families, instruments


# ---- the restricted Boltzmann machine


def small_rbm(visible, seed=0):
    random = np.random.RandomState(seed)
    rbm = SparseRBM(3, visible=visible, sparsity=0.2, epochs=0).fit(random.uniform(size=(5, 4)))
    rbm.components_ = random.normal(size=(4, 3))
    rbm.hidden_bias_, rbm.visible_bias_ = random.normal(size=3), random.normal(size=4)
    return rbm


def energy(rbm, v, h):
    if rbm.visible == "binary":
        own = -sum(rbm.visible_bias_[i] * v[i] for i in range(len(v)))
    else:
        own = sum((v[i] - rbm.visible_bias_[i]) ** 2 for i in range(len(v))) / 2
    pairs = sum(v[i] * rbm.components_[i, j] * h[j] for i in range(len(v)) for j in range(len(h)))
    return own - pairs - sum(rbm.hidden_bias_[j] * h[j] for j in range(len(h)))


HIDDEN = list(itertools.product([0, 1], repeat=3))


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_free_energy_and_hidden_units_by_enumeration(visible):
    rbm = small_rbm(visible)
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    for v, free, hidden in zip(rows, rbm.free_energy(rows), rbm.transform(rows), strict=True):
        weights = np.array([np.exp(-energy(rbm, v, h)) for h in HIDDEN])
        assert free == pytest.approx(-np.log(weights.sum()))
        np.testing.assert_allclose(hidden, weights @ np.array(HIDDEN) / weights.sum())


def test_visible_units_by_enumeration():
    rbm = small_rbm("binary")
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    for h in HIDDEN:
        weights = np.array([np.exp(-energy(rbm, v, h)) for v in rows])
        np.testing.assert_allclose(rbm._visible(np.array(h)), weights @ rows / weights.sum())
    # Gaussian units: -E is a parabola in each v_i, whose top is at the mean and whose curvature is 1.
    rbm = small_rbm("gaussian")
    for h in HIDDEN:
        mean = rbm._visible(np.array(h, float))
        for shift in 0.3 * np.eye(4):
            assert energy(rbm, mean + shift, h) - energy(rbm, mean, h) == pytest.approx(0.3**2 / 2)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_contrastive_divergence_equals_a_naive_loop(visible):
    rbm = small_rbm(visible)
    data = np.random.RandomState(1).uniform(size=(6, 4))
    found = rbm.contrastive_divergence(data, np.random.RandomState(2))
    draws = np.random.RandomState(2).uniform(size=(6, 3))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    weights, hidden_bias, visible_bias = np.zeros((4, 3)), np.zeros(3), np.zeros(4)
    for v, draw in zip(data, draws, strict=True):
        h = [sigmoid(rbm.hidden_bias_[j] + v @ rbm.components_[:, j]) for j in range(3)]
        on = np.array([float(draw[j] < h[j]) for j in range(3)])
        dream = np.array([rbm.visible_bias_[i] + rbm.components_[i] @ on for i in range(4)])
        dream = sigmoid(dream) if visible == "binary" else dream
        dreamed = [sigmoid(rbm.hidden_bias_[j] + dream @ rbm.components_[:, j]) for j in range(3)]
        for i in range(4):
            visible_bias[i] += (v[i] - dream[i]) / 6
            for j in range(3):
                weights[i, j] += (v[i] * h[j] - dream[i] * dreamed[j]) / 6
        hidden_bias += (np.array(h) - dreamed) / 6
    for ours, naive in zip(found, [weights, hidden_bias, visible_bias], strict=True):
        np.testing.assert_allclose(ours, naive)


def test_sparsity_gradient_equals_the_difference_quotient():
    rbm = small_rbm("binary")
    data = np.random.RandomState(1).uniform(size=(6, 4))
    gradient = rbm.sparsity_gradient(data)

    def penalty(j, step):
        rbm.hidden_bias_[j] += step
        value = rbm.sparsity_cost * np.square(rbm.sparsity - rbm.transform(data).mean(axis=0)).sum()
        rbm.hidden_bias_[j] -= step
        return value

    expected = [-(penalty(j, 1e-6) - penalty(j, -1e-6)) / 2e-6 for j in range(3)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_reconstruction_improves_and_data_become_likely():
    random = np.random.RandomState(0)
    bars = np.repeat(random.randint(0, 2, (1000, 4)), 4, axis=1).astype(float)
    rbm = SparseRBM(16, visible="binary", sparsity=None, epochs=40, random_state=0).fit(bars)
    assert rbm.errors_[-1] < 0.2 * rbm.errors_[0]
    assert np.square(bars - rbm.reconstruct(bars)).mean() == pytest.approx(rbm.errors_[-1])
    noise = random.randint(0, 2, bars.shape).astype(float)
    assert rbm.free_energy(bars).mean() < rbm.free_energy(noise).mean() - 5


@pytest.mark.parametrize("sparsity", [0.05, 0.2])
def test_hidden_units_are_as_rare_as_asked(sparsity):
    random = np.random.RandomState(0)
    data = random.standard_normal((2000, 5)) @ random.standard_normal((5, 10)) / np.sqrt(5)
    rbm = SparseRBM(20, sparsity=sparsity, sparsity_cost=100, epochs=100, random_state=0).fit(data)
    free = SparseRBM(20, sparsity=None, epochs=100, random_state=0).fit(data)
    assert rbm.errors_[-1] < 0.8 * rbm.errors_[0]
    assert rbm.transform(data).mean() == pytest.approx(sparsity, rel=0.2)
    assert np.abs(rbm.transform(data).mean(axis=0) - sparsity).max() < 0.5 * sparsity
    assert free.transform(data).mean() > 0.3


def test_divergence_and_wrong_options_are_said():
    data = np.random.RandomState(0).standard_normal((200, 10))
    with pytest.raises(ValueError, match="diverged at learning_rate=5"):
        SparseRBM(50, sparsity=None, learning_rate=5).fit(100 * data)
    with pytest.raises(ValueError, match=r"from 0 to 1.*MinMaxScaler"):
        SparseRBM(visible="binary").fit(data)
    with pytest.raises(ValueError, match="did you mean 'gaussian'"):
        SparseRBM(visible="gauss").fit(data)
    with pytest.raises(ValueError, match="sparsity is a share"):
        SparseRBM(sparsity=5).fit(data)


# ---- the deep belief network


def xor(n=400):
    X = np.random.RandomState(0).randint(0, 2, (n, 2))
    return np.repeat(X, 4, axis=1).astype(float), X[:, 0] ^ X[:, 1]


def test_dbn_learns_what_no_line_separates():
    X, y = xor()
    dbn = DBNClassifier((16, 16), visible="binary", learning_rate=0.02, random_state=0).fit(X, y)
    assert dbn.score(X, y) == 1
    assert dbn.decision_function(X).shape == (400,)
    assert ((dbn.decision_function(X) > 0) == y).all()
    np.testing.assert_allclose(dbn.predict_proba(X)[:, 1], 1 / (1 + np.exp(-dbn.decision_function(X))))


def test_tuning_starts_from_the_stack():
    X, y = xor()
    dbn = DBNClassifier((6, 5), visible="binary", pretrain_epochs=3, epochs=0, random_state=0).fit(X, y)
    hidden = dbn.network_[:-1](torch.from_numpy(X)).detach().numpy()
    for rbm in dbn.stack_:
        X = rbm.transform(X)
    np.testing.assert_allclose(hidden, X, atol=1e-6)
    assert (dbn.predict_proba(xor()[0]) == 0.5).all()


def test_machines_help_the_network_start():
    X, y = xor()
    options = {"visible": "binary", "epochs": 15, "learning_rate": 0.01, "random_state": 0}
    errors = []
    for pretrain_epochs in (0, 50):
        dbn = DBNClassifier((16, 16), pretrain_epochs=pretrain_epochs, **options).fit(X, y)
        errors.append(-np.log(dbn.predict_proba(X)[np.arange(len(y)), y]).mean())
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize(
    "estimator",
    [
        SparseRBM(4, epochs=2, learning_rate=0.001),
        DBNClassifier((16,), pretrain_epochs=1, epochs=20, learning_rate=0.05),
    ],
)
def test_scikit_learn_accepts_the_estimator(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks that need an optional package are skipped with a warning
        check_estimator(estimator)


# ---- features


def test_mfcc_statistics_equal_librosa():
    waveforms = np.random.default_rng(0).normal(scale=0.1, size=(2, 20000)).astype(np.float32)
    found = MFCCStatistics(n_mfcc=13).fit_transform(waveforms)
    for row, waveform in zip(found, waveforms, strict=True):
        mel = librosa.feature.melspectrogram(
            y=waveform, sr=16000, n_fft=512, hop_length=256, n_mels=96, htk=True, norm=None, pad_mode="reflect"
        )
        mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=13)
        slope = librosa.feature.delta(mfcc, mode="nearest")
        bend = librosa.feature.delta(slope, mode="nearest")
        expected = [mfcc.mean(axis=1), mfcc.std(axis=1), slope.std(axis=1), bend.std(axis=1)]
        np.testing.assert_allclose(row, np.concatenate(expected), atol=2e-3)


def test_codebook_histogram_equals_a_naive_loop(tones):
    waveforms = [audio.numpy() for audio in tones.audio]
    codebook = Codebook(size=12, random_state=0).fit(waveforms)
    histograms = codebook.transform(waveforms[:3])
    for histogram, clip in zip(histograms, frames(waveforms[:3], codebook._frontend()), strict=True):
        counts = np.zeros(12)
        for frame in codebook.whitening_.transform(clip):
            counts[
                np.argmin([np.sum((frame - centre) ** 2) for centre in codebook.learner_.cluster_centers_])
            ] += 1
        np.testing.assert_allclose(histogram, counts / len(clip))


def test_sparse_codes_equal_a_naive_loop(tones):
    waveforms = [audio.numpy() for audio in tones.audio]
    coding = SparseCoding(size=10, frontend="cqt", random_state=0).fit(waveforms)
    found = coding.transform(waveforms[:2])
    for row, clip in zip(found, frames(waveforms[:2], coding._frontend()), strict=True):
        codes = np.zeros((len(clip), 20))
        for n, frame in enumerate(coding.whitening_.transform(clip)):
            for k, entry in enumerate(coding.learner_.components_):
                codes[n, k] = max(frame @ entry - coding.alpha, 0)
                codes[n, 10 + k] = max(-frame @ entry - coding.alpha, 0)
        np.testing.assert_allclose(row, np.concatenate([codes.mean(axis=0), codes.max(axis=0)]), atol=1e-9)


def test_larger_alpha_is_sparser(tones):
    waveforms = [audio.numpy() for audio in tones.audio]
    used = []
    for alpha in (0.5, 3.0):
        coding = SparseCoding(size=10, random_state=0, alpha=alpha).fit(waveforms)
        used.append((coding.transform(waveforms)[:, :20] > 0).mean())
    assert used[1] < 0.9 * used[0]


def test_frames_are_those_of_the_front_end():
    waveforms = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32)
    frontend = MFCC(deltas=1)
    for clip, waveform in zip(frames(waveforms, frontend), waveforms, strict=True):
        assert clip.shape == (32, 40)
        picture = frontend(torch.from_numpy(waveform)[None])[0].numpy()
        np.testing.assert_allclose(clip[5], np.concatenate([picture[0, :, 5], picture[1, :, 5]]))


# ---- pipelines


@pytest.mark.parametrize("name", shallow.list())
def test_pipeline_on_several_tags(name, tones):
    waveforms = [audio.numpy() for audio in tones.audio]
    with pytest.raises(ValueError, match=r"not fitted") as error:
        shallow.scores(shallow.create(name, **QUICK[name]), waveforms)
    assert type(error.value).__name__ == "NotFittedError"
    labels = np.hstack([tones.labels, np.zeros((36, 1), np.uint8)])  # and a tag that no clip has
    train, test = slice(0, 24), slice(24, None)
    pipeline = shallow.create(name, **QUICK[name]).fit(waveforms[train], labels[train])
    scores = shallow.scores(pipeline, waveforms[test])
    assert scores.shape == (12, 4)
    assert scores.dtype == np.float64
    assert metrics.roc_auc(labels[test, :3], scores[:, :3]) > 0.9
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(shallow.scores(again, waveforms[test]), scores)
    fresh = clone(pipeline).fit(np.stack(waveforms[train]), labels[train])
    np.testing.assert_array_equal(
        shallow.scores(fresh, shallow.Waveforms(tones)), shallow.scores(pipeline, waveforms)
    )


@pytest.mark.parametrize("name", shallow.list())
def test_pipeline_beats_guessing_on_unseen_instruments(name, notes):
    waveforms, families, instruments = notes
    names = np.unique(instruments)
    unseen = np.isin(instruments, names[::3])
    known = np.isin(families, families[~unseen])  # some families may have a single instrument
    pipeline = shallow.create(name, **QUICK[name]).fit(waveforms[~unseen], families[~unseen])
    scores = shallow.scores(pipeline, waveforms[unseen & known], num_tags=10)
    accuracy = (scores.argmax(axis=1) == families[unseen & known]).mean()
    assert accuracy > 0.25  # guessing: 0.1


def test_pipelines_are_scikit_learns(tones):
    waveforms, classes = np.stack([audio.numpy() for audio in tones.audio]), np.arange(36) % 3
    pipeline = shallow.create("codebook", size=8, frontend="mfcc", random_state=0)
    assert cross_val_score(pipeline, waveforms, classes, cv=3).mean() > 0.8
    pipeline.set_params(codebook__size=5)
    assert pipeline.get_params()["codebook__size"] == 5
    assert pipeline.fit(waveforms, classes)[0].learner_.cluster_centers_.shape[0] == 5
    for cls in (MFCCStatistics, Codebook, SparseCoding, RBMFeatures, SparseRBM, DBNClassifier):
        assert clone(cls()).get_params() == cls().get_params()


def test_scores_of_two_classes_and_of_classes_never_seen(tones):
    waveforms, classes = [audio.numpy() for audio in tones.audio], np.arange(36) % 3
    some = np.flatnonzero(classes != 1)
    for name in ("mfcc_logistic", "mfcc_svm", "dbn"):
        pipeline = shallow.create(name, **QUICK[name]).fit([waveforms[i] for i in some], classes[some])
        two = shallow.scores(pipeline, waveforms)
        assert two.shape == (36, 2)
        three = shallow.scores(pipeline, waveforms, num_tags=3)
        np.testing.assert_array_equal(three[:, [0, 2]], two)
        assert (three[:, 1] <= two.min()).all()
        assert (three.argmax(axis=1) == classes)[some].all()
    with pytest.raises(ValueError, match=r"num_tags=1 does not fit the classes of the pipeline, \[0, 2\]"):
        shallow.scores(pipeline, waveforms, num_tags=1)


def test_unknown_names_and_options():
    with pytest.raises(ValueError, match="did you mean 'codebook'"):
        shallow.create("code_book")
    with pytest.raises(ValueError, match=r"unknown option of baseline 'codebook': 'sizes' .did you mean 'size'"):
        shallow.create("codebook", sizes=3)
    with pytest.raises(ValueError, match=r"unknown front end 'mfc' .did you mean 'mfcc'"):
        Codebook(frontend="mfc").fit(np.zeros((2, 16000)))


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (np.zeros((3, 16000), np.int16), "int16.*32768"),
        (np.zeros(16000), "batch of one"),
        (np.zeros((3, 1, 16000)), "channel"),
        (np.full((3, 16000), np.nan), "clip 0 has samples that are not finite"),
        (np.zeros((3, 100)), "samples"),
    ],
)
def test_wrong_waveforms_are_refused(waveforms, message):
    with pytest.raises(ValueError, match=message):
        MFCCStatistics().transform(waveforms)


def test_too_few_frames_are_said():
    with pytest.raises(ValueError, match="10 frames are too few for a dictionary of size=64"):
        Codebook(size=64, frames_per_clip=5).fit(np.random.default_rng(0).normal(size=(2, 16000)))
