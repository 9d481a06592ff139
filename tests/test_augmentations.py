"""Augmentations against definitions, SciPy and librosa: what each transform does to sound."""

import math

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from mclass import augmentations as aug
from mclass.augmentations.filters import butterworth, decay_samples
from mclass.augmentations.noise import COLORS, noise_pool
from mclass.augmentations.pitch import hops, phase_vocoder, running_product
from mclass.augmentations.reverb import convolve

RATE, SAMPLES = 22050, 59049
SECONDS = torch.arange(SAMPLES, dtype=torch.float64) / RATE


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sine(frequency, amplitude=0.5):
    return (amplitude * torch.sin(2 * torch.pi * frequency * SECONDS)).float()


def noise(rows=3, samples=SAMPLES, seed=0):
    return 0.1 * torch.randn(rows, samples, generator=seeded(seed))


def spectrum(waveform, window="hann"):
    """Magnitudes on a fine grid, and the grid's spacing in Hz."""
    n_fft = 1 << 19
    windowed = waveform.double().numpy() * scipy.signal.get_window(window, len(waveform))
    return np.abs(np.fft.rfft(windowed, n_fft)), RATE / n_fft


def peak(waveform):
    """Frequency of the loudest partial, by a parabola through the three largest magnitudes."""
    magnitude, spacing = spectrum(waveform)
    top = magnitude.argmax()
    a, b, c = np.log(magnitude[top - 1 : top + 2])
    return (top + 0.5 * (a - c) / (a - 2 * b + c)) * spacing


def purity(waveform, frequencies):
    """Energy at the wanted frequencies against all the rest, in dB."""
    magnitude, spacing = spectrum(waveform, "blackman")
    grid = np.arange(len(magnitude)) * spacing
    wanted = (np.abs(grid[:, None] - np.asarray(frequencies)) < 4 * RATE / len(waveform)).any(1)
    return 10 * np.log10((magnitude[wanted] ** 2).sum() / (magnitude[~wanted] ** 2).sum())


def decibels(waveform, reference):
    return 20 * math.log10(waveform.double().std() / reference.double().std())


# ---- polarity, gain, crops, shifts, echoes


def test_polarity_and_the_original_cancel():
    waveforms = noise()
    assert not (waveforms + aug.PolarityInversion()(waveforms)).any()


def test_gains_are_as_drawn_and_cover_their_range():
    waveforms = noise(200, 100)
    gains = torch.tensor(
        [decibels(new, old) for new, old in zip(aug.Gain(-20, -1)(waveforms, seeded()), waveforms, strict=True)]
    )
    assert -20 <= gains.min() < -19
    assert -2 < gains.max() <= -1
    torch.testing.assert_close(gains, aug.Gain(-20, -1).draw(200, seeded())["gain_db"], atol=1e-4, rtol=0)


def test_crops_are_parts_of_the_waveform_and_reach_both_ends():
    waveforms = torch.arange(10.0).repeat(300, 1)
    crops = aug.RandomCrop(4)(waveforms, seeded())
    assert torch.equal(crops - crops[:, :1], torch.arange(4.0).repeat(300, 1))
    assert set(crops[:, 0].tolist()) == set(range(7))
    assert torch.equal(aug.RandomCrop(10)(waveforms, seeded()), waveforms)


def test_resized_crop_is_resampling():
    tone = sine(440)[None]
    for scale in (0.8, 1.25):
        crop = aug.RandomResizedCrop(40000, scale, scale)(tone, seeded())[0]
        assert crop.shape == (40000,)
        # Lengths are rounded up to what is quick to transform.
        assert abs(1200 * math.log2(peak(crop) / (440 * scale))) < 10
        assert abs(decibels(crop[2000:-2000], tone[0])) < 0.1


@pytest.mark.parametrize("wrap", [True, False])
def test_time_shift_is_a_roll(wrap):
    waveforms = noise(20, 50)
    transform = aug.TimeShift(1.0, wrap=wrap)
    shifts = (transform.draw(20, seeded())["shift"] * 50).round().int().tolist()
    assert min(shifts) < -10
    assert max(shifts) > 10
    for new, old, by in zip(transform(waveforms, seeded()), waveforms, shifts, strict=True):
        expected = np.roll(old.numpy(), by)
        if not wrap:
            expected[: max(by, 0)] = 0
            expected[50 + min(by, 0) :] = 0
        assert np.array_equal(new.numpy(), expected)


def test_delay_is_a_comb_filter():
    waveforms = noise(40)
    transform = aug.Delay(RATE, volume=0.5)
    delays = transform.draw(40, seeded())["delay"]
    assert set(delays.tolist()) == {200.0, 250.0, 300.0, 350.0, 400.0, 450.0}
    result = transform(waveforms, seeded())
    for i in (0, 1, 2):
        comb = np.zeros(int(delays[i] * RATE / 1000) + 1)
        comb[0], comb[-1] = 0.5, 0.25
        expected = scipy.signal.lfilter(comb, [1.0], waveforms[i].numpy())
        np.testing.assert_allclose(result[i], expected, atol=1e-6)
    longer = aug.Delay(RATE, 5000, 5000)(waveforms)  # later than the end: no echo
    assert torch.equal(longer, waveforms / 2)


# ---- noise


@pytest.mark.parametrize("color", COLORS)
def test_noise_reaches_the_snr(color):
    waveforms = noise(16) + sine(440)
    transform = aug.Noise(-5, 60, color=color)
    snr = transform.draw(16, seeded())["snr"]
    added = (transform(waveforms.double(), seeded()) - waveforms).double()
    measured = 10 * torch.log10(waveforms.double().square().sum(1) / added.square().sum(1))
    assert (measured - snr).abs().max() < 0.01
    assert snr.max() - snr.min() > 30


@pytest.mark.parametrize(
    ("color", "slope"), [("white", 0), ("pink", -3), ("brown", -6), ("blue", 3), ("violet", 6)]
)
def test_colours_have_their_slopes(color, slope):
    frequencies, power = scipy.signal.welch(noise_pool(color).numpy(), nperseg=4096)
    octaves = [
        power[(frequencies >= low) & (frequencies < 2 * low)].mean() for low in (0.01, 0.02, 0.04, 0.08, 0.16)
    ]
    slopes = np.diff(10 * np.log10(octaves))
    np.testing.assert_allclose(slopes, slope * math.log10(2) * 10 / 3, atol=0.4)


def test_noise_of_the_pool_is_as_good_as_new():
    """Stretches of a batch are normal, and no more alike than independent noise."""
    silence = torch.ones(30, SAMPLES)
    added = (aug.Noise(0, 0)(silence, seeded()) - 1).double()
    correlation = torch.corrcoef(added) - torch.eye(30)
    assert correlation.abs().max() < 5.5 / math.sqrt(SAMPLES)  # 435 pairs
    assert abs(scipy.stats.kurtosis(added.flatten().numpy())) < 0.05
    assert abs(scipy.stats.skew(added.flatten().numpy())) < 0.02


def test_long_recordings_get_noise_all_along():
    long = torch.ones(1, 2_300_000)
    added = aug.Noise(0, 0)(long, seeded()) - long
    parts = added[0, :2_300_000].unflatten(0, (-1, 1000)).std(1)
    assert parts.min() > 0.8


def test_silence_stays_silent():
    silence = torch.zeros(7, 20000)
    for transform in (aug.Noise(0, 10), aug.clmr(RATE), aug.BackgroundMix(torch.zeros(1, 100))):
        assert transform(silence, seeded()).abs().max() < 1e-10


def test_background_mix_reaches_the_snr_and_uses_every_background():
    backgrounds = torch.stack([sine(300), sine(3000)])
    waveforms = noise(12)
    transform = aug.BackgroundMix(backgrounds, 3, 30)
    drawn = transform.draw(12, seeded())
    added = transform(waveforms, seeded()) - waveforms
    measured = 20 * torch.log10(waveforms.norm(dim=1) / added.norm(dim=1))
    assert (measured - drawn["snr"]).abs().max() < 0.1
    for row, which in zip(added, drawn["which"].tolist(), strict=True):
        assert abs(peak(row) - (300, 3000)[which]) < 1
    assert set(drawn["which"].tolist()) == {0, 1}


# ---- filters


@pytest.mark.parametrize("order", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("cutoff", [30.0, 200.0, 1200.0, 4000.0, 10900.0])
@pytest.mark.parametrize("kind", ["highpass", "lowpass"])
def test_filters_equal_scipy(order, cutoff, kind):
    waveforms = noise(2, 30000)
    waveforms[1] += 0.5  # a step at the beginning
    sos = scipy.signal.butter(order, cutoff, kind, fs=RATE, output="sos")
    expected = scipy.signal.sosfilt(sos, waveforms.double().numpy())
    high = torch.tensor([kind == "highpass"] * 2)
    result = butterworth(waveforms, torch.tensor([cutoff / RATE] * 2), high, order)
    # Everywhere, the first and the last sample included.
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_each_example_has_a_filter_of_its_own():
    waveforms = noise(9, 5000)
    transform = aug.HighLowPass(RATE)
    drawn = transform.draw(9, seeded())
    result = transform(waveforms, seeded())
    for i, (cutoff, high) in enumerate(zip(drawn["cutoff"].tolist(), drawn["high"].tolist(), strict=True)):
        sos = scipy.signal.butter(2, cutoff, "highpass" if high else "lowpass", fs=RATE, output="sos")
        np.testing.assert_allclose(result[i], scipy.signal.sosfilt(sos, waveforms[i].numpy()), atol=2e-6)
        assert (200 <= cutoff <= 1200) if high else (2200 <= cutoff <= 4000)
    assert 0 < drawn["high"].sum() < 9


def test_decay_is_long_enough():
    for order, cutoff in ((1, 50), (2, 200), (8, 1000)):
        sos = scipy.signal.butter(order, cutoff, fs=RATE, output="sos")
        response = scipy.signal.sosfilt(sos, np.eye(1, 60000)[0])
        tail = response[decay_samples(cutoff / RATE, order) :]
        assert np.abs(tail).sum() < 1e-6


# ---- rooms


@pytest.mark.parametrize("rt60", [0.1, 0.4, 1.0, 2.0])
def test_rooms_decay_within_their_rt60(rt60):
    """Schroeder's backward integration, a line through −5 to −35 dB, extended to −60 dB."""
    click = torch.zeros(4, 70000)
    click[:, 0] = 1
    rooms = aug.Reverb(RATE, rt60, rt60, min_wet=1, max_wet=1)(click, seeded())
    for room in rooms.double().numpy():
        energy = 10 * np.log10(np.cumsum(room[::-1] ** 2)[::-1] / (room**2).sum() + 1e-30)
        part = np.flatnonzero((energy < -5) & (energy > -35))
        slope = np.polyfit(part / RATE, energy[part], 1)[0]
        assert abs(-60 / slope / rt60 - 1) < 0.1


def test_reverb_is_dry_and_wet():
    waveforms = noise()
    np.testing.assert_allclose(aug.Reverb(RATE, min_wet=0, max_wet=0)(waveforms), waveforms, atol=1e-6)
    wet = aug.Reverb(RATE, min_wet=1, max_wet=1)(noise(8), seeded())
    # Noise keeps its level but for the tail that is cut off.
    assert (20 * torch.log10(wet.std(1) / 0.1)).abs().max() < 1.5


@pytest.mark.parametrize(("samples", "length"), [(1000, 1), (1000, 300), (1000, 1000), (17, 1000), (1, 1)])
def test_convolution_equals_scipy(samples, length):
    waveforms, responses = noise(10, samples), noise(10, length, seed=1)
    expected = [np.convolve(x, h)[:samples] for x, h in zip(waveforms.numpy(), responses.numpy(), strict=True)]
    np.testing.assert_allclose(convolve(waveforms, responses), np.stack(expected), atol=1e-6)


def test_impulse_responses_are_given():
    responses = torch.zeros(2, 100)
    responses[0, 0], responses[1, 10] = 2.0, -3.0
    transform = aug.ImpulseResponse(responses)
    waveforms = noise(20, 500)
    which = transform.draw(20, seeded())["which"].tolist()
    assert set(which) == {0, 1}
    for new, old, index in zip(transform(waveforms, seeded()), waveforms, which, strict=True):
        expected = old if index == 0 else -torch.cat([torch.zeros(10), old[:-10]])
        torch.testing.assert_close(new, expected, atol=1e-6, rtol=0)


# ---- pitch and tempo


@pytest.mark.parametrize("semitones", [-12.0, -7.0, -5.3, -0.37, 1.0, 3.14, 7.0, 12.0])
@pytest.mark.parametrize("frequency", [110.0, 440.0, 3000.0])
def test_a_sine_is_transposed(frequency, semitones):
    tone = sine(frequency)
    shifted = aug.PitchShift(RATE, semitones, semitones)(tone[None])[0]
    middle = shifted[3000:-3000]
    assert abs(1200 * math.log2(peak(middle) / (frequency * 2 ** (semitones / 12)))) < 5
    assert abs(decibels(middle, tone)) < 0.1
    # Also the first and the last tenth of a second.
    assert max(abs(decibels(shifted[:2205], tone)), abs(decibels(shifted[-2205:], tone))) < 1.5


CHORD = (220.0, 277.18, 329.63, 440.0, 554.37, 659.26)


@pytest.mark.parametrize("semitones", [-7, -4, -1.5, 2, 5, 7])
def test_a_chord_stays_clean(semitones):
    chord = sum(sine(frequency, 1 / 12) for frequency in CHORD)
    hop_in, hop_out = hops(2 ** (semitones / 12), 512)
    wanted = np.array(CHORD) * hop_in / hop_out
    ours = purity(aug.PitchShift(RATE, semitones, semitones)(chord[None])[0], wanted)
    assert ours > 45
    theirs = librosa.effects.pitch_shift(chord.numpy(), sr=RATE, n_steps=semitones)
    assert ours > purity(torch.from_numpy(theirs), np.array(CHORD) * 2 ** (semitones / 12)) - 4


def test_running_product_equals_cumprod():
    factors = torch.randn(20, 7, dtype=torch.complex64, generator=seeded())
    index = torch.tensor([0, 0, 3, 19, 5])
    start = factors[2]
    expected = np.cumprod(np.concatenate([start[None].numpy(), factors[index].numpy()]), axis=0)
    np.testing.assert_allclose(running_product(start, factors, index), expected, rtol=1e-5)
    with_gradient = running_product(start, factors.requires_grad_(), index)
    np.testing.assert_allclose(with_gradient.detach(), expected, rtol=1e-5)


def test_hops_are_within_three_cents():
    for hop in (186, 372, 512, 1024):
        for cents in range(-1200, 1201, 7):
            before, after = hops(2 ** (cents / 1200), hop)
            assert abs(1200 * math.log2(before / after) - cents) < 7 * 372 / hop if hop < 372 else 4.5
            assert 0.85 * hop < before < 1.15 * hop


def naive_vocoder(x, hop_in, hop_out, step, num_samples):
    """The textbook's, with angles: phases unwrapped around the bin's frequency, frame by frame."""
    n_in, n_out = 4 * hop_in, 4 * hop_out
    window_in, window_out = np.hanning(n_in + 1)[:-1], np.hanning(n_out + 1)[:-1]
    before = 3 * hop_in
    padded = np.pad(x, (before, before + n_in), mode="reflect")
    num_out = -(-num_samples // hop_out) + 2
    last_frame = -(-len(x) // hop_in) + 2
    frames = [np.fft.rfft(padded[i * hop_in : i * hop_in + n_in] * window_in) for i in range(last_frame + 1)]
    bins = min(n_in, n_out) // 2 + 1
    expected = 2 * np.pi * np.arange(bins) * hop_in / n_in
    turned = np.angle(frames[4][:bins]) - np.angle(frames[3][:bins])
    phase = np.angle(frames[3][:bins]) - (1 + round(2 / step)) * turned
    out, steady = np.zeros((num_out + 4) * hop_out), len(x) // hop_in - 2
    for m in range(num_out):
        position = np.clip(1 + step * (m - 1), 0, last_frame - 0.001)
        i, fraction = int(position), position % 1
        magnitude = (1 - fraction) * np.abs(frames[i]) + fraction * np.abs(frames[i + 1])
        frame = np.zeros(n_out // 2 + 1, complex)
        frame[:bins] = magnitude[:bins] * np.exp(1j * phase)
        out[m * hop_out : m * hop_out + n_out] += np.fft.irfft(frame, n_out) * window_out * n_out / n_in / 1.5
        j = np.clip(i, 3, steady)
        turned = np.angle(frames[j + 1][:bins]) - np.angle(frames[j][:bins]) - expected
        phase += expected + turned - 2 * np.pi * np.round(turned / 2 / np.pi)
    return out[3 * hop_out : 3 * hop_out + num_samples]


@pytest.mark.parametrize(
    ("hop_in", "hop_out", "step"), [(64, 48, 0.75), (48, 64, 64 / 48), (64, 64, 0.8), (64, 64, 1.7)]
)
def test_vocoder_without_angles_equals_the_textbook(hop_in, hop_out, step):
    waveform = noise(1, 4000)[0].double()
    ours = phase_vocoder(waveform, hop_in, hop_out, step, 2500)
    np.testing.assert_allclose(ours, naive_vocoder(waveform.numpy(), hop_in, hop_out, step, 2500), atol=1e-7)


def test_vocoder_that_changes_nothing_returns_the_waveform():
    waveform = noise(1, 10000)[0]
    middle = slice(2600, -2600)
    np.testing.assert_allclose(phase_vocoder(waveform, 512, 512, 1.0, 10000)[middle], waveform[middle], atol=2e-6)


@pytest.mark.parametrize("rate", [0.8, 1.25, 2.0])
def test_stretching_keeps_pitch_and_changes_tempo(rate):
    chord = sum(sine(frequency, 1 / 12) for frequency in CHORD)
    chord[20000:] = 0  # a chord that ends after 20,000 samples
    stretched = aug.TimeStretch(RATE, rate, rate)(chord[None])[0]
    end = int(20000 / rate)
    assert purity(stretched[: end - 2000], CHORD) > 35
    assert abs(decibels(stretched[2000 : end - 3000], chord[2000:17000])) < 1
    assert stretched[end + 3000 :].abs().max() < 1e-3
    assert stretched.shape == chord.shape


def test_music_goes_on_after_silence():
    """A product of phases does not get stuck at zero."""
    tone = sine(440)
    tone[10000:30000] = 0
    shifted = aug.PitchShift(RATE, 3, 3)(tone[None])[0]
    assert shifted[14000:26000].abs().max() < 1e-4
    # The partial's bins no longer agree on their phases, which makes it softer, but not by much.
    assert abs(decibels(shifted[34000:], tone[34000:])) < 4


@pytest.mark.parametrize("samples", [1, 2, 100, 1500, 1537, 4000])
def test_short_clips_can_be_transposed(samples):
    for transform in (aug.PitchShift(RATE), aug.TimeStretch(RATE), aug.clmr(RATE)):
        result = transform(noise(4, samples), seeded())
        assert result.shape == (4, samples)
        assert result.isfinite().all()


# ---- spectrograms, mixtures


def test_spec_augment_masks_whole_bands_and_moments():
    spectrograms = torch.rand(50, 2, 40, 60, generator=seeded(1)) + 1
    transform = aug.SpecAugment(freq_masks=1, max_freq=10, time_masks=2, max_time=15, value=0.0)
    hidden = transform(spectrograms, seeded()) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    bands, moments = hidden[:, 0].all(2), hidden[:, 0].all(1)
    assert torch.equal(hidden[:, 0], bands[:, :, None] | moments[:, None, :])
    assert bands.sum(1).max() == 10
    assert 15 < moments.sum(1).max() <= 30
    mean = aug.SpecAugment(max_freq=40)(spectrograms, seeded())
    changed = mean != spectrograms
    assert all((mean[i][changed[i]] == mean[i][changed[i]][0]).all() for i in range(50) if changed[i].any())
    torch.testing.assert_close(mean[0][changed[0]][0], spectrograms[0].mean())


def test_mixup_mixes_waveforms_and_labels_alike():
    waveforms, labels = noise(64, 100), torch.eye(64)
    mixed, targets = aug.Mixup(0.4)(waveforms, labels, seeded())
    torch.testing.assert_close(mixed, targets @ waveforms, atol=1e-6, rtol=0)
    own = targets.diag()
    torch.testing.assert_close(targets.sum(1), torch.ones(64))
    assert (own >= 0.5).all()
    assert own.std() > 0.05


def test_mixup_draws_from_a_beta_distribution():
    share = aug.Mixup(0.4).draw(20000, seeded())["share"].numpy()
    # The larger of λ and 1 − λ.
    expected = scipy.stats.beta(0.4, 0.4)
    statistic = scipy.stats.kstest(share, lambda x: expected.cdf(x) - expected.cdf(1 - x)).statistic
    assert statistic < 0.015
