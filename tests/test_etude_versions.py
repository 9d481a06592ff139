"""Etude's versions: each has its sound and its labels for good, and its own place in the cache."""

import hashlib

import numpy as np
import pytest
from scipy.stats import spearmanr

from mclass.datasets.etude import Etude
from mclass.datasets.etude.annotation import COLUMN, annotate, listen, target_frequencies
from mclass.datasets.etude.composer import VERSIONS, compose
from mclass.datasets.etude.instruments import INSTRUMENTS, NO_VOCAL, VOCAL
from mclass.datasets.etude.production import produce

TRACKS, SECONDS = (0, 17, 58, 101, 330, 612), 6.0

# Four random projections of each track's sound: linear, so that rounding on another processor does not move
# them, and any audible change does.
SOUND = {
    1: [
        [-0.02720, -0.01097, 0.07258, 0.02653],
        [-0.00079, 0.03699, -0.06377, -0.01580],
        [-0.12287, -0.06779, 0.11426, -0.00155],
        [-0.00739, -0.03814, -0.05241, -0.00439],
        [0.02406, -0.01503, -0.29319, 0.17268],
        [-0.02243, 0.00463, 0.05783, 0.04005],
    ],
    2: [
        [-0.02744, -0.00638, 0.05989, 0.01985],
        [-0.11585, 0.05347, 0.08484, 0.09457],
        [-0.08229, -0.01175, 0.11288, 0.00649],
        [-0.00068, 0.03666, -0.07947, -0.00178],
        [-0.17485, -0.47639, 0.03818, 0.09812],
        [-0.06789, -0.06455, 0.09636, -0.02750],
    ],
}
LABELS = {1: "06a6a49ec70dee8e", 2: "8dfcf8371d2f7187"}

ADVICE = (
    "The {what} of version {version} changed. Caches, stored tables and published numbers rely on it: "
    "make the change in a new version (see mclass/datasets/etude/composer.py), or take it back."
)


def test_the_sound_of_a_version_never_changes():
    for version, expected in SOUND.items():
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (4, round(SECONDS * 16_000)))
        found = [
            signs @ produce(compose(0, index, SECONDS, version)) / np.sqrt(signs.shape[1]) for index in TRACKS
        ]
        np.testing.assert_allclose(
            found, expected, atol=1e-4, rtol=0, err_msg=ADVICE.format(what="sound", version=version)
        )


def test_the_labels_of_a_version_never_change():
    for version, expected in LABELS.items():
        digest = hashlib.sha256()
        for index in range(0, 400, 5):
            truths = [listen(compose(0, index, 20.0, version), 10.0 * clip, 10.0) for clip in range(2)]
            digest.update(np.packbits([truth.present for truth in truths]).tobytes())
            digest.update(np.packbits(annotate(0, index, truths, version)).tobytes())
        assert digest.hexdigest()[:16] == expected, ADVICE.format(what="labels", version=version)


def test_every_version_is_guarded():
    assert set(SOUND) == set(LABELS) == set(VERSIONS)


SCORES = [compose(0, index, 20.0, version=2) for index in range(0, 1600, 2)]


def test_nobody_is_left_to_the_soundfont_who_sings():
    played = {part.instrument for score in SCORES for part in score.parts}
    voices = [name for name in played if set(VOCAL) <= set(INSTRUMENTS[name].tags)]
    assert len(voices) >= 6
    assert all(INSTRUMENTS[name].synthesis for name in voices)


def test_oracle_and_weak_labels_of_version_2():
    truths = [[listen(score, 10.0 * clip, 10.0) for clip in range(2)] for score in SCORES]
    oracle = np.array([truth.present for pair in truths for truth in pair])
    salience = np.array([truth.salience for pair in truths for truth in pair])
    weak = np.concatenate([annotate(0, s.index, pair, version=2) for s, pair in zip(SCORES, truths, strict=True)])
    vocal = oracle[:, [COLUMN[tag] for tag in VOCAL]]
    assert (vocal == vocal[:, :1]).all()
    assert (oracle[:, [COLUMN[tag] for tag in NO_VOCAL]] == ~vocal[:, :1]).all()
    assert not (oracle[:, COLUMN["choir"]] & ~vocal[:, 0]).any()
    assert (oracle[:, COLUMN["classic"]] >= oracle[:, COLUMN["classical"]]).all()
    assert oracle.any(0).all(), "every tag is composed"

    frequency, target = weak.mean(0), target_frequencies()
    assert spearmanr(frequency, -np.arange(50)).statistic > 0.85
    assert 5 < frequency[COLUMN["guitar"]] / frequency[COLUMN["choral"]] < 20
    assert np.median(np.abs(np.log(frequency / target))) < 0.2
    assert (weak & ~oracle).sum() / weak.sum() < 0.05
    assert weak.sum() / oracle.sum() < 0.5
    # people remark on the absence of a voice where they expect one
    column = COLUMN["no vocals"]
    expected, given = salience[:, column] == 1, weak[:, column].astype(bool)
    assert given[expected].mean() > 2.5 * given[~expected & oracle[:, column]].mean()


def test_the_tables_of_realism_follow_from_those_of_the_versions(tmp_path, monkeypatch):
    from benchmarks import realism

    stored = {path.name: path.read_text() for path in realism.RESULTS.glob("realism*.csv")}
    for name, text in stored.items():
        if "_v" in name:
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(realism, "RESULTS", tmp_path)
    realism.compare()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == stored


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path))
    return tmp_path


def folders(home):
    return sorted(path.name for path in (home / "etude").iterdir() if path.is_dir())


def test_caches_of_other_versions_and_synthesizers_stay(home, monkeypatch):
    """Neither is mixed with this one's, and nothing is deleted: another installation may be using it."""
    (home / "etude" / "0-0-4x1x48000-0123456789").mkdir(parents=True)  # named as releases before the version did
    first = Etude(num_tracks=4, clips_per_track=1, clip_seconds=3).folder.name
    monkeypatch.setattr("mclass.datasets.etude.dataset.synthesizer_key", lambda: "another")
    Etude(num_tracks=4, clips_per_track=1, clip_seconds=3)
    assert folders(home) == sorted(["0-0-4x1x48000-0123456789", first, "v1-0-0-4x1x48000-another"])


def test_the_soundfont_decides_the_cache(tmp_path, monkeypatch):
    from mclass.datasets.etude.synthesis import renderer

    key = renderer.synthesizer_key()
    other = tmp_path / "other.sf2"
    other.write_bytes(renderer.soundfont().read_bytes() + b"\0")
    monkeypatch.setattr(renderer, "soundfont", lambda: other)
    assert renderer.synthesizer_key.__wrapped__() != key
    monkeypatch.undo()
    monkeypatch.setattr(renderer, "version", lambda name: "0.5.8")
    assert renderer.synthesizer_key.__wrapped__() != key


def test_version_is_an_option_of_its_own(home):
    first = Etude(num_tracks=4, clips_per_track=1, clip_seconds=3)
    second = Etude(num_tracks=4, clips_per_track=1, clip_seconds=3, version=2)
    assert first.folder.name.startswith("v1-")
    assert second.folder.name == first.folder.name.replace("v1-", "v2-")
    assert not np.array_equal(first._waveforms, second._waveforms)
    assert second.unlabelled(4).version == 2
    assert second.score(3).artist.version == 2
    for version in (0, 3, "2", True, None, 1.5):
        with pytest.raises(ValueError, match=r"Etude: version must be one of 1, 2, got"):
            Etude(num_tracks=4, clips_per_track=1, clip_seconds=3, version=version)
