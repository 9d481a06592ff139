"""Etude: the music follows its styles, the labels follow the music, and everything repeats."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import spearmanr

from mclass import tags
from mclass.datasets.etude import Etude, annotation, composer, production, theory
from mclass.datasets.etude.annotation import COLUMN, annotate, listen
from mclass.datasets.etude.composer import Artist, compose
from mclass.datasets.etude.instruments import INSTRUMENTS, KITS, MALE, NO_VOCAL, VOCAL
from mclass.datasets.etude.styles import STYLES
from mclass.datasets.etude.synthesis.renderer import render

SCORES = [compose(0, index, 30.0) for index in range(0, 2400, 2)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path))
    return tmp_path


def by_style(*names):
    return [score for score in SCORES if score.style_name in names]


# --- scores -----------------------------------------------------------------------------------------------


def test_scores_are_those_of_this_version():
    digest = hashlib.sha256()
    for score in SCORES[:100]:
        for part in score.parts:
            digest.update(f"{part.instrument} {part.program}".encode())
            digest.update(np.round(part.onset * 1000).astype("<i4").tobytes())
            digest.update(part.pitch.tobytes() + part.velocity.tobytes())
    # A change here changes everybody's data set: make it in a new version (composer.VERSIONS).
    assert digest.hexdigest()[:16] == "4f2a927fb005d838"


def test_a_longer_track_begins_with_the_shorter_one():
    for index in range(40):
        short, long = compose(0, index, 11.0), compose(0, index, 37.0)
        for part in short.parts:
            head = [
                (p.instrument, p.pitch[p.onset < 11.0].tobytes(), p.onset[p.onset < 11.0].tobytes())
                for p in long.parts
            ]
            assert (part.instrument, part.pitch.tobytes(), part.onset.tobytes()) in head


def test_every_style_is_composed_about_as_often_as_its_weight_says():
    counts = {name: len(by_style(name)) for name in STYLES}
    total = sum(style.weight for style in STYLES.values())
    for name, style in STYLES.items():
        expected = 0.85 * style.weight / total + 0.15 / len(STYLES)
        # artists, not tracks, draw the style: two of a score list's tracks share an artist
        tolerance = 5 * np.sqrt(expected / (len(SCORES) / 2))
        assert abs(counts[name] / len(SCORES) - expected) < tolerance, name


def test_tonal_styles_keep_to_their_scale():
    for score in by_style("solo piano", "harpsichord", "pop", "country", "indian", "string quartet"):
        scale = {(score.tonic + step) % 12 for step in theory.SCALES[score.mode]}
        pitches = np.concatenate([part.pitch for part in score.parts if not part.is_drum])
        inside = np.isin(pitches % 12, list(scale)).mean()
        # a bass line's perfect fifth, and its chromatic step into the next chord, may leave the scale
        assert inside > 0.85, (score.style_name, score.mode, inside)


def test_styles_differ_as_they_should():
    def median_bpm(*names):
        return np.median([score.bpm for score in by_style(*names)])

    def instruments(name):
        return [{part.instrument for part in score.parts} for score in by_style(name)]

    assert median_bpm("ambient", "new age") < 80 < 110 < median_bpm("techno", "metal", "rock")
    assert np.mean([s.dynamics for s in by_style("metal")]) > 2 * np.mean(
        [s.dynamics for s in by_style("ambient")]
    )
    assert all("tambura" in played for played in instruments("indian"))
    assert np.mean(["sitar" in played for played in instruments("indian")]) > 0.6
    assert np.mean(["electronic kit" in played for played in instruments("techno")]) > 0.95
    assert not any(played & set(KITS) for played in instruments("solo piano"))
    low = [np.median(p.pitch) for s in SCORES for p in s.parts if p.instrument == "male voice"]
    high = [np.median(p.pitch) for s in SCORES for p in s.parts if p.instrument == "female voice"]
    assert np.median(high) - np.median(low) >= 10


def test_melodies_return():
    """The opening of a melody comes back note by note later in the piece; in a shuffled melody it does not."""
    rng = np.random.default_rng(0)

    def returns(pitches):
        return pitches[:10].tobytes() in pitches[10:].tobytes()

    melodies = [
        compose(0, score.index, 90.0).parts[0].pitch for score in by_style("solo piano", "harpsichord")[:30]
    ]
    assert np.mean([returns(pitches) for pitches in melodies]) > 0.8
    assert np.mean([returns(rng.permutation(pitches)) for pitches in melodies]) < 0.1


def test_artists_have_habits():
    artist = Artist(0, 5)
    assert artist == Artist(0, 5)
    tonics = {compose(0, index, 5.0).tonic for index in range(20, 24)}
    assert tonics <= set(artist.tonics)
    assert artist.favourite((1, 2, 3)) == artist.favourite((1, 2, 3))


def test_pitches_lie_in_the_instruments_ranges():
    for score in SCORES:
        for part in score.parts:
            assert part.velocity.min() >= 15
            if not part.is_drum:
                instrument = INSTRUMENTS[part.instrument]
                assert instrument.low <= part.pitch.min()
                assert part.pitch.max() <= instrument.high


# --- sound ------------------------------------------------------------------------------------------------

_WHOLE_RANGE = """
import numpy as np
from mclass.datasets.etude.composer import Part
from mclass.datasets.etude.instruments import INSTRUMENTS, KITS
from mclass.datasets.etude.synthesis.renderer import render
for name, instrument in INSTRUMENTS.items():
    for program in set(instrument.programs if not instrument.synthesis else ()):  # the soundfont's
        pitches = np.arange(36, 64) if name in KITS else np.arange(instrument.low, instrument.high + 1)
        pitches = np.tile(pitches, 3).astype(np.int8)
        onset = 0.05 * np.arange(len(pitches), dtype=np.float32)
        velocity = np.repeat([20, 80, 127], len(pitches) // 3).astype(np.int8)
        part = Part(name, program, 0.0, onset, np.full(len(pitches), 8, np.float32), pitches, velocity)
        [sound] = render([part], 160_000)
        assert np.isfinite(sound).all() and np.abs(sound).max() > 1e-3, (name, program)
"""


def test_every_instrument_renders_its_whole_range_and_returns():
    """In a process of its own: outside these ranges the synthesiser may never come back."""
    subprocess.run([sys.executable, "-c", _WHOLE_RANGE], check=True, timeout=120)


def test_rendered_pitch_is_the_written_one():
    part = composer.Part(
        instrument="flute",
        program=73,
        gain=0.0,
        onset=np.zeros(1, np.float32),
        duration=np.full(1, 2.0, np.float32),
        pitch=np.array([69], np.int8),
        velocity=np.array([90], np.int8),
    )
    [sound] = render([part], 32_000)
    spectrum = np.abs(np.fft.rfft(sound[8000:24_000] * np.hanning(16_000)))
    assert abs(np.argmax(spectrum[300:700]) + 300 - 440) <= 3


def test_sound_repeats_and_stays_inside_full_scale():
    for index in range(0, 60, 4):
        sound = production.produce(compose(0, index, 6.0))
        assert sound.dtype == np.float32
        assert len(sound) == 96_000
        assert np.abs(sound).max() <= 1.0
        np.testing.assert_array_equal(sound, production.produce(compose(0, index, 6.0)))


def test_louder_scores_sound_louder():
    scores = [compose(0, index, 6.0) for index in range(0, 400, 5)]
    level = [20 * np.log10(np.sqrt(np.mean(production.produce(score) ** 2))) for score in scores]
    assert spearmanr([score.dynamics for score in scores], level).statistic > 0.7


def test_a_studio_is_the_artists_own():
    studio = production.Studio(0, 7)
    assert studio == production.Studio(0, 7)
    assert studio != production.Studio(0, 8)
    # what the studio's microphones cannot record is not there
    response = np.abs(production._response(production.Studio(0, 7), 0.3, 1e-6, 16_000))
    assert response[100] > 10 * response[2]


# --- labels -----------------------------------------------------------------------------------------------


def test_notions_hold_the_fifty_tags_once():
    sizes = {name: len(members) for name, members in tags.NOTIONS.items()}
    assert sizes == {"genre": 12, "mood": 5, "instrument": 31, "tempo": 2}
    assert sorted(tag for members in tags.NOTIONS.values() for tag in members) == sorted(tags.MAGNATAGATUNE)


def test_time_sounding_equals_a_naive_count():
    rng = np.random.default_rng(0)
    for _ in range(20):
        onset = np.sort(rng.uniform(0, 10, 15))
        duration = rng.uniform(0.05, 1.5, 15)
        grid = np.arange(2.0, 8.0, 0.001) + 0.0005
        sounding = ((grid[:, None] >= onset) & (grid[:, None] < onset + duration)).any(1).mean()
        assert annotation._sounding(onset, duration, 2.0, 6.0) == pytest.approx(sounding, abs=2e-3)


def test_the_oracle_is_consistent():
    truths = np.array([listen(score, 10.0, 10.0).present for score in SCORES])
    vocal = truths[:, [COLUMN[tag] for tag in VOCAL]]
    assert (vocal == vocal[:, :1]).all()  # synonyms agree
    none = truths[:, [COLUMN[tag] for tag in NO_VOCAL]]
    assert (none == ~vocal[:, :1]).all()
    assert not (truths[:, COLUMN["male"]] & ~vocal[:, 0]).any()
    assert not (truths[:, COLUMN["slow"]] & truths[:, COLUMN["fast"]]).any()
    assert not (truths[:, COLUMN["quiet"]] & truths[:, COLUMN["loud"]]).any()
    assert truths.any(0).all(), "every tag is composed"
    assert all(set(MALE) <= set(INSTRUMENTS[name].tags) for name in ("male voice", "tenor"))


def test_weak_labels_have_a_long_tail_and_are_rarely_wrong():
    truths = [[listen(score, 10.0 * clip, 10.0) for clip in range(3)] for score in SCORES]
    weak = np.concatenate([annotate(0, score.index, truth) for score, truth in zip(SCORES, truths, strict=True)])
    oracle = np.concatenate([[t.present for t in truth] for truth in truths])
    frequency = weak.mean(0)
    assert 5 < frequency[COLUMN["guitar"]] / frequency[COLUMN["choral"]] < 20  # MagnaTagATune: about ten
    assert spearmanr(frequency, -np.arange(50)).statistic > 0.85  # the order is MagnaTagATune's
    assert (weak & ~oracle).sum() / weak.sum() < 0.05  # wrong tags are rare,
    assert weak.sum() / oracle.sum() < 0.5  # missing ones are not
    # decisions for the clips of one track agree more than chance
    given = weak.reshape(-1, 3, 50)[:, :2, COLUMN["guitar"]][
        oracle.reshape(-1, 3, 50)[:, :2, COLUMN["guitar"]].all(1)
    ]
    assert np.corrcoef(given.T)[0, 1] > 0.2


# --- the data set -----------------------------------------------------------------------------------------


def test_the_collection_repeats_serial_or_parallel(tmp_path, monkeypatch):
    made = []
    for workers in (1, 2):
        monkeypatch.setenv("MCLASS_HOME", str(tmp_path / str(workers)))
        monkeypatch.setattr("mclass.datasets.etude.dataset._FEW", 0)
        made.append(Etude(num_tracks=8, clips_per_track=2, clip_seconds=3, workers=workers))
    serial, parallel = made
    np.testing.assert_array_equal(serial._waveforms, parallel._waveforms)
    np.testing.assert_array_equal(serial.labels, parallel.labels)
    np.testing.assert_array_equal(serial.oracle, parallel.oracle)


def test_clips_are_consecutive_parts_of_their_track(home):
    etude = Etude(num_tracks=4, clips_per_track=3, clip_seconds=3)
    track = production.produce(compose(0, 2, 9.0))
    clips = np.concatenate([etude.waveform(index).numpy() for index in (6, 7, 8)])
    np.testing.assert_allclose(clips, track, atol=1e-4)
    part = etude.waveform(7, start=100, num_samples=50)
    np.testing.assert_array_equal(part.numpy(), etude.waveform(7).numpy()[100:150])
    assert etude.score(7).index == 2
    assert etude.track_ids.tolist() == np.repeat(range(4), 3).tolist()


@pytest.mark.parametrize("by", ["artist", "track", "clip"])
def test_splits_cover_everything_and_share_nothing(home, by):
    etude = Etude(num_tracks=24, clips_per_track=2, clip_seconds=3)
    parts = etude.splits(by=by, seed=1)
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(48))
    train, _, test = parts
    if by == "clip":
        assert set(train.track_ids) & set(test.track_ids)
    else:
        ids = f"{by}_ids"
        assert not set(getattr(train, ids)) & set(getattr(test, ids))


def test_the_pool_has_other_artists(home):
    etude = Etude(num_tracks=4, clips_per_track=1, clip_seconds=3)
    pool = etude.unlabelled(num_tracks=8)
    assert len(pool) == 8
    assert not set(pool.artist_ids) & set(etude.artist_ids)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_tracks", 0),
        ("num_tracks", 2.5),
        ("clips_per_track", -1),
        ("clip_seconds", 0),
        ("clip_seconds", float("nan")),
        ("seed", -1),
    ],
)
def test_sizes_must_make_sense(home, option, value):
    with pytest.raises(ValueError, match=rf"Etude: {option} must be .*got {value}"):
        Etude(**{option: value})
    assert not list(home.iterdir())


def test_bad_requests(home):
    etude = Etude(num_tracks=4, clips_per_track=1, clip_seconds=3)
    with pytest.raises(ValueError, match=r"samples 0 to 99999 asked for.*48000 samples"):
        etude.waveform(0, num_samples=99_999)
    with pytest.raises(ValueError, match="did you mean 'artist'"):
        etude.splits(by="artists")
    with pytest.raises(IndexError, match="clip 4 asked of"):
        etude.waveform(4)
