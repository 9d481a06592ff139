"""What version 2 synthesizes itself: voices with formants, words and vibrato; bowed and plucked strings."""

import numpy as np
import pytest
import scipy.signal

from mclass.datasets.etude.composer import Part, compose
from mclass.datasets.etude.instruments import INSTRUMENTS, VOICES
from mclass.datasets.etude.production import produce
from mclass.datasets.etude.synthesis.bowed import BOWS, bow
from mclass.datasets.etude.synthesis.plucked import STRINGS, pluck
from mclass.datasets.etude.synthesis.renderer import render
from mclass.datasets.etude.synthesis.singer import FORMANTS, VOWELS, Voice, sing
from mclass.datasets.etude.synthesis.singer import VOICES as MANNERS
from mclass.datasets.etude.synthesis.source_filter import lines

RATE = 16_000


def part(pitches, seconds=2.0, gap=0.0, program=3, velocity=100):
    count = len(pitches)
    return Part(
        instrument="woman",
        program=program,
        gain=0.0,
        onset=(0.3 + seconds * np.arange(count)).astype(np.float32),
        duration=np.full(count, seconds - gap, np.float32),
        pitch=np.array(pitches, np.int8),
        velocity=np.full(count, velocity, np.int8),
    )


def pitch_track(sound, near, window=1600, hop=160):
    """Pitch in cents from `near` Hz, by the highest peak of the autocorrelation within a third of it."""
    found = []
    low, high = int(RATE / (near * 1.2)), int(RATE / (near / 1.2)) + 2
    for start in range(0, len(sound) - window - high, hop):
        frame = sound[start : start + window]
        lags = np.arange(low, high)
        r = np.array([frame @ sound[start + lag : start + lag + window] for lag in lags])
        best = int(np.clip(np.argmax(r), 1, len(r) - 2))
        a, b, c = r[best - 1 : best + 2]
        lag = lags[best] + 0.5 * (a - c) / (a - 2 * b + c)
        found.append(1200 * np.log2(RATE / lag / near))
    return np.array(found)


def hertz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


@pytest.mark.parametrize(
    ("voice", "pitches"), [("man", (45, 52, 50, 57)), ("woman", (57, 64, 62, 69)), ("tenor", (50, 57))]
)
def test_the_pitch_is_the_written_one(voice, pitches):
    for program in (0, 7):
        sung = sing(part(pitches, program=program), MANNERS[voice], round((2 * len(pitches) + 1) * RATE))
        for number, pitch in enumerate(pitches):
            first = round((0.3 + 2 * number + 0.6) * RATE)
            cents = pitch_track(sung[first : first + round(1.2 * RATE)], hertz(pitch))
            assert abs(np.mean(cents)) < 30, (voice, program, pitch)  # vibrato swings to both sides


def test_vibrato_sets_in_late_and_swings_four_to_seven_times_a_second():
    for program in range(4):
        sung = sing(part([67], seconds=4.0, program=program), MANNERS["soprano"], 5 * RATE)
        cents = scipy.signal.medfilt(pitch_track(sung[RATE : 4 * RATE], hertz(67), window=640), 3)
        spectrum = np.abs(np.fft.rfft((cents - cents.mean()) * np.hanning(len(cents)), 4096))
        rate = np.argmax(spectrum[40:500]) + 40
        assert 4 < rate * 100 / 4096 < 7
        assert np.ptp(cents) > 60  # tens of cents to either side
        late = Voice(tract="man", vibrato=(40, 40), delay=0.6, words=0.0)
        sung = sing(part([57], seconds=4.0, program=program), late, 5 * RATE)
        cents = pitch_track(sung[round(0.4 * RATE) : 4 * RATE], hertz(57), window=960)
        assert np.std(cents[5:40]) < 12 < 18 < np.std(cents[110:300])


@pytest.mark.parametrize(("tract", "pitch"), [("man", 41), ("woman", 50)])
@pytest.mark.parametrize("vowel", ["i", "ɑ", "ɔ", "æ"])
def test_vowels_have_their_formants(tract, pitch, vowel):
    """The strongest partials near the first two formants of the table are near them, not elsewhere."""
    voice = Voice(tract=tract, words=0.0, vowels=vowel, vibrato=(0, 0), noise=(0, 0))
    sung = sing(part([pitch], seconds=3.0, velocity=127), voice, 4 * RATE)
    frequency, power = scipy.signal.welch(sung[RATE : 3 * RATE], RATE, nperseg=512)
    envelope = scipy.signal.savgol_filter(10 * np.log10(power + 1e-12), 7, 2)
    source = -8 * np.log2(np.maximum(frequency, 60) / 100)  # what falls off in the source
    peaks = frequency[scipy.signal.find_peaks(envelope - source)[0]]
    for formant in FORMANTS[tract][VOWELS.index(vowel)][:2]:
        nearest = peaks[np.argmin(np.abs(peaks - formant))]
        assert abs(nearest - formant) < max(0.12 * formant, 1.2 * hertz(pitch)), (formant, peaks[:8])


def test_trained_voices_have_the_singers_formant():
    def share(voice):
        sung = sing(part([55, 57, 52], seconds=1.5), MANNERS[voice], 5 * RATE)
        frequency, power = scipy.signal.welch(sung, RATE, nperseg=1024)
        return power[(frequency > 2300) & (frequency < 3400)].sum() / power.sum()

    assert share("tenor") > 3 * share("man")


def test_consonants_hiss():
    """Above 4 kHz, a voice with words has bursts of energy before its notes; one without has none."""
    sos = scipy.signal.butter(4, 4500, "highpass", fs=RATE, output="sos")

    def bursts(words):
        line = part([57, 59, 60, 62, 60, 59, 57, 55] * 3, seconds=0.5)
        hiss = scipy.signal.sosfilt(
            sos, sing(line, Voice(tract="woman", words=words, noise=(0.02, 0.02)), 13 * RATE)
        )
        level = np.sqrt(np.mean(hiss[: 13 * RATE].reshape(-1, 320) ** 2, axis=1))
        return np.quantile(level, 0.98) / np.median(level)

    assert bursts(1.0) > 1.5 * bursts(0.0)


def test_loudness_follows_velocity_and_is_the_stated_one():
    levels = []
    for velocity in (40, 80, 127):
        sung = sing(part([60], seconds=3.0, velocity=velocity), MANNERS["woman"], 4 * RATE)
        levels.append(np.sqrt(np.mean(sung[RATE : 3 * RATE] ** 2)))
    assert levels[0] < levels[1] < levels[2]
    assert 0.4 < levels[2] < 1.3  # LEVEL, give or take partials between formants


def test_voices_are_heard_in_the_mix():
    """Where the oracle says that somebody sings, the voices are not more than 12 dB below all others together."""
    far = total = 0
    for index in range(0, 200, 3):
        score = compose(0, index, 10.0, version=2)
        sung, played = np.zeros(160_000), np.zeros(160_000)
        for one, stem in zip(score.parts, render(score.parts, 160_000), strict=True):
            (sung if one.instrument in VOICES else played)[:] += stem * 10 ** (one.gain / 20)
        singing = np.abs(sung) > 0.05
        if singing.mean() > 0.05:
            ratio = np.sum(sung[singing] ** 2) / max(np.sum(played[singing] ** 2), 1e-9)
            far += ratio < 10**-1.2
            total += 1
    assert total > 15
    assert far <= 0.05 * total


@pytest.mark.parametrize("name", [name for name, instrument in INSTRUMENTS.items() if instrument.synthesis])
def test_what_is_synthesized_is_sound(name):
    """Over the whole range: no NaN, no constant, the same every time, and as long as asked for."""
    instrument = INSTRUMENTS[name]
    pitches = np.linspace(instrument.low, instrument.high, 12).round()
    played = part(pitches, seconds=0.4)
    played = Part(name, 1, 0.0, played.onset, played.duration, played.pitch, played.velocity)
    [sound], [again] = render([played], 5 * RATE), render([played], 5 * RATE)
    assert sound.shape == (5 * RATE,)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() > 0.05
    assert abs(sound.mean()) < 0.01 * sound.std() + 1e-3
    np.testing.assert_array_equal(sound, again)


def test_short_notes_and_short_stems_are_played():
    for name, instrument in INSTRUMENTS.items():
        if instrument.synthesis:
            one = part([instrument.low + 5] * 6, seconds=0.05)
            one = Part(name, 1, 0.0, one.onset, one.duration, one.pitch, one.velocity)
            for samples in (1600, 7000):
                [sound] = render([one], samples)
                assert sound.shape == (samples,)
                assert np.isfinite(sound).all()


@pytest.mark.parametrize("pitch", [45, 60, 72])
def test_strings_are_in_tune(pitch):
    for name, strings in STRINGS.items():
        sound = pluck(part([pitch], seconds=2.0), strings, 3 * RATE)
        cents = pitch_track(sound[round(0.4 * RATE) : RATE], hertz(pitch))
        # a stiff string's high partials, which this measure follows, lie above the harmonics
        assert abs(np.median(cents)) < (20 if name == "piano" else 12), name
        levels = np.sqrt(np.mean(sound[round(0.35 * RATE) :][:24_000].reshape(3, -1) ** 2, axis=1))
        assert levels[0] > levels[1] > levels[2], "a plucked note dies away"
    for name in ("violin", "viola", "cello"):
        sound = bow(part([pitch], seconds=2.0), BOWS[name], 3 * RATE)
        assert abs(np.median(pitch_track(sound[RATE : 2 * RATE], hertz(pitch)))) < 20, name


def test_chords_are_shared_among_lines():
    chord = Part(
        "mixed choir",
        0,
        0.0,
        np.repeat(np.float32([0, 2, 4]), 3),
        np.full(9, 2.04, np.float32),
        np.int8([60, 64, 67, 60, 65, 69, 59, 62, 67]),
        np.full(9, 80, np.int8),
    )
    shared = lines(chord)
    assert [len(line.onset) for line in shared] == [3, 3, 3]
    assert sorted(np.concatenate([line.pitch for line in shared])) == sorted(chord.pitch)
    for line in shared:
        assert (np.diff(line.onset) > 0).all()
        assert (line.offset[:-1] <= line.onset[1:] + 1e-6).all()
        assert np.ptp(line.pitch) <= 6  # each keeps to its register


def test_tracks_of_version_2_stay_inside_full_scale():
    for index in range(0, 80, 4):
        sound = produce(compose(0, index, 5.0, version=2))
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() <= 1.0
        assert abs(sound.mean()) < 0.01
        np.testing.assert_array_equal(sound, produce(compose(0, index, 5.0, version=2)))
