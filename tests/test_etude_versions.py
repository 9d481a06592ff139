"""Etude's versions: each has its sound and its labels for good, and its own place in the cache."""

import hashlib

import numpy as np
import pytest

from mclass.datasets.etude import Etude
from mclass.datasets.etude.annotation import annotate, listen
from mclass.datasets.etude.composer import compose
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
}
LABELS = {1: "06a6a49ec70dee8e"}

ADVICE = (
    "The {what} of version {version} changed. Caches, stored tables and published numbers rely on it: "
    "make the change in a new version (see mclass/datasets/etude/composer.py), or take it back."
)


def test_the_sound_of_a_version_never_changes():
    for version, expected in SOUND.items():
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (4, round(SECONDS * 16_000)))
        found = [signs @ produce(compose(0, index, SECONDS)) / np.sqrt(signs.shape[1]) for index in TRACKS]
        np.testing.assert_allclose(
            found, expected, atol=1e-4, rtol=0, err_msg=ADVICE.format(what="sound", version=version)
        )


def test_the_labels_of_a_version_never_change():
    for version, expected in LABELS.items():
        digest = hashlib.sha256()
        for index in range(0, 400, 5):
            truths = [listen(compose(0, index, 20.0), 10.0 * clip, 10.0) for clip in range(2)]
            digest.update(np.packbits([truth.present for truth in truths]).tobytes())
            digest.update(np.packbits(annotate(0, index, truths)).tobytes())
        assert digest.hexdigest()[:16] == expected, ADVICE.format(what="labels", version=version)


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
    from mclass.datasets.etude import renderer

    key = renderer.synthesizer_key()
    other = tmp_path / "other.sf2"
    other.write_bytes(renderer.soundfont().read_bytes() + b"\0")
    monkeypatch.setattr(renderer, "soundfont", lambda: other)
    assert renderer.synthesizer_key.__wrapped__() != key
    monkeypatch.undo()
    monkeypatch.setattr(renderer, "version", lambda name: "0.5.8")
    assert renderer.synthesizer_key.__wrapped__() != key
