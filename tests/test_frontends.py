"""The front ends against torch, torchaudio, librosa and naive loops, and what they refuse."""

import warnings

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

from mclass.frontends import CQT, MFCC, STFT, EmptyBandsWarning, LogMel, MultiResolutionLogMel, Raw, mel_bands
from mclass.frontends.mfcc import delta

torchaudio = pytest.importorskip("torchaudio")

RATE = 16000
EVERY = [STFT, LogMel, MultiResolutionLogMel, MFCC, CQT, Raw]
SPECTRAL = EVERY[:-1]


def sine(frequency, samples=48000, rate=RATE):
    return torch.sin(2 * torch.pi * frequency * torch.arange(samples, dtype=torch.float64) / rate).float()[None]


@pytest.fixture
def waveform():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(3, 48000, generator=generator)
    noise[1] = sine(440)
    noise[2, 16000:] = 0  # silence reaches the floor of -100 dB
    return noise


# ---- log-mel


def reference(waveform, top_db=None, **options):
    options = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 96, "f_max": 8000.0} | options
    mel = torchaudio.transforms.MelSpectrogram(**options)(waveform)
    to_db = torchaudio.transforms.AmplitudeToDB(top_db=top_db)
    return torch.stack([to_db(clip) for clip in mel])[:, None]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_db": 40.0},
        {"sample_rate": 22050, "n_fft": 1024, "hop_length": 300, "n_mels": 64, "f_max": 11025.0, "f_min": 50.0},
        {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 30},
        {"n_fft": 512, "win_length": 399, "hop_length": 160, "n_mels": 17},
        {"n_fft": 511, "win_length": 300, "hop_length": 101, "n_mels": 16},
    ],
)
def test_log_mel_equals_torchaudio(waveform, options):
    ours, theirs = LogMel(**options)(waveform), reference(waveform, **options)
    assert ours.shape == theirs.shape
    # The pure tone leaves distant bands to rounding errors 150 dB below it; compare where there is signal.
    loud = theirs > theirs.amax((1, 2, 3), keepdim=True) - 60
    assert (ours - theirs)[loud].abs().max() < 2e-4
    assert (ours - theirs)[[0, 2]].abs().max() < 2e-5


def test_log_mel_of_many_long_clips_equals_that_of_each(waveform):
    # On a CPU a batch is computed in blocks.
    many = waveform.repeat(5, 3)
    torch.testing.assert_close(
        LogMel()(many), torch.cat([LogMel()(clip[None]) for clip in many]), rtol=0, atol=2e-5
    )


def test_bands_equal_librosa():
    expected = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=96, fmax=8000, htk=True, norm=None)
    np.testing.assert_allclose(mel_bands(RATE, 512, 96, 0, 8000).T.numpy(), expected, atol=2e-5)


def test_power_of_a_known_tone():
    # A full-scale sine at the centre of bin 64 (2 kHz): Hann window of 512 sums to 256, half of it goes to +2 kHz.
    frame = LogMel()(sine(2000, 16000))[0, 0, :, 30]
    weights = mel_bands(RATE, 512, 96, 0, 8000)[62:67]
    leak = torch.tensor([0.0, 0.5, 1.0, 0.5, 0.0]) ** 2  # the Hann window's main lobe
    expected = 10 * torch.log10((leak @ weights) * 128**2)
    assert frame.argmax() == expected.argmax()
    assert frame.max() == pytest.approx(expected.max().item(), abs=1e-3)


# ---- STFT


@pytest.mark.parametrize(
    "options",
    [
        {"n_fft": 512, "hop_length": 256},
        {"n_fft": 1024, "hop_length": 300, "win_length": 401},
        {"n_fft": 501, "hop_length": 77, "win_length": 400},
    ],
)
def test_stft_equals_torch(waveform, options):
    length = options.get("win_length", options["n_fft"])
    expected = torch.stft(waveform, window=torch.hann_window(length), return_complex=True, **options).abs()[
        :, None
    ]
    magnitude = STFT(**options, scale="magnitude")(waveform)
    torch.testing.assert_close(magnitude, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(STFT(**options, scale="power")(waveform), expected**2, rtol=1e-4, atol=1e-2)
    db = torch.maximum(10 * (expected**2).log10(), torch.tensor(-100.0))
    loud = db > -40
    torch.testing.assert_close(STFT(**options)(waveform)[loud], db[loud], rtol=0, atol=0.01)


def test_stft_in_decibels_equals_librosa(waveform):
    expected = np.abs(librosa.stft(waveform.numpy(), n_fft=512, hop_length=128, pad_mode="reflect")) ** 2
    expected = [librosa.power_to_db(clip, top_db=50)[None] for clip in expected]
    ours = STFT(512, 128, top_db=50.0)(waveform).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


# ---- several resolutions


def test_channels_equal_torchaudio_at_each_moment(waveform):
    frontend = MultiResolutionLogMel(windows=(10, 20, 30), hops=(5, 12, 30), n_mels=40)
    assert [channel.n_fft for channel in frontend.channels] == [1024] * 3
    ours = frontend(waveform).numpy()
    assert ours.shape == (3, 3, 40, 1 + 48000 // 80)
    moments = np.arange(ours.shape[-1]) * 0.005
    for channel, (window, hop) in enumerate([(160, 80), (320, 192), (480, 480)]):
        theirs = reference(waveform, n_fft=1024, win_length=window, hop_length=hop, n_mels=40)[:, 0].numpy()
        frames = np.arange(theirs.shape[-1]) * hop / RATE
        expected = [[np.interp(moments, frames, band) for band in clip] for clip in theirs]
        np.testing.assert_allclose(ours[[0, 2], channel], [expected[0], expected[2]], atol=1e-3)


def test_what_happens_at_one_moment_is_in_one_column():
    click = torch.zeros(1, 48000)
    click[0, 24000] = 1  # 1.5 s: a frame of every hop is centred there
    loudest = MultiResolutionLogMel()(click).mean(2).argmax(-1)
    assert loudest.tolist() == [[150, 150, 150]]


def test_no_band_is_empty(waveform):
    for channel in MultiResolutionLogMel().channels:
        assert (channel.bands.sum(0) > 0).all()


def test_windows_in_seconds_are_suspected():
    with pytest.raises(ValueError, match=r"0\.01 ms has no sample.*milliseconds: 10 instead of 0\.01 s"):
        MultiResolutionLogMel(windows=(0.01, 0.02))
    with pytest.raises(ValueError, match="each channel has a window and a hop"):
        MultiResolutionLogMel(hops=(10, 20))


# ---- MFCC


def test_mfcc_equals_torchaudio(waveform):
    mel = {"n_fft": 512, "hop_length": 256, "n_mels": 96, "f_max": 8000.0}
    transform = torchaudio.transforms.MFCC(RATE, n_mfcc=20, melkwargs=mel)
    # torchaudio takes the 80 dB below the maximum of each (frequency, time) picture's batch; give one at a time.
    expected = torch.stack([transform(clip) for clip in waveform])[:, None]
    torch.testing.assert_close(MFCC()(waveform), expected, rtol=0, atol=2e-3)


def test_mfcc_equals_librosa(waveform):
    mel = {"sr": RATE, "n_fft": 1024, "hop_length": 200, "n_mels": 64, "htk": True, "norm": None}
    for clip in waveform:  # librosa's maximum, from which top_db is measured, is that of all it is given
        logmel = librosa.power_to_db(librosa.feature.melspectrogram(y=clip.numpy(), pad_mode="reflect", **mel))
        expected = librosa.feature.mfcc(S=logmel, n_mfcc=13)
        ours = MFCC(n_mfcc=13, n_fft=1024, hop_length=200, n_mels=64)(clip[None])
        np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=5e-3)


def test_all_coefficients_keep_the_energy(waveform):
    logmel = LogMel(top_db=80.0)(waveform)
    cepstrum = MFCC(n_mfcc=96)(waveform)
    torch.testing.assert_close(cepstrum.square().sum(2), logmel.square().sum(2), rtol=1e-4, atol=0)
    expected = scipy.fft.dct(logmel.numpy(), axis=2, norm="ortho")
    np.testing.assert_allclose(cepstrum.numpy(), expected, atol=2e-3)


def test_deltas_equal_librosa(waveform):
    static, slope, slope_of_slope = MFCC(deltas=2)(waveform).unbind(1)
    expected = librosa.feature.delta(static.numpy(), width=9, mode="nearest")
    np.testing.assert_allclose(slope.numpy(), expected, atol=1e-3)
    torch.testing.assert_close(slope_of_slope, delta(slope))
    short = torch.tensor([[1.0, 4.0]])  # fewer frames than the window
    assert delta(short).shape == (1, 2)


# ---- constant-Q


def naive_cqt(clip, frequency, frame, hop, bins_per_octave=12):
    """Brown (1991), equation 5, for one bin and one frame."""
    length = RATE / frequency / (2 ** (1 / bins_per_octave) - 1)
    n = np.arange(-int(length / 2), int(length / 2) + 1)
    window = 0.5 + 0.5 * np.cos(2 * np.pi * n / length)
    places = frame * hop + n
    inside = (places >= 0) & (places < len(clip))
    terms = clip[places[inside]] * (window * np.exp(-2j * np.pi * frequency / RATE * n))[inside]
    return abs(terms.sum()) / window.sum()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_bins": 40, "bins_per_octave": 24, "f_min": 110.0, "hop_length": 100},
        {"n_bins": 5, "f_min": 300.0, "hop_length": 333},
    ],
)
def test_cqt_equals_its_definition(waveform, options):
    waveform = waveform[:, :20011]  # of no round length
    frontend = CQT(scale="magnitude", **options)
    picture = frontend(waveform)
    assert picture.shape == (3, 1, frontend.n_bins, 1 + 20011 // frontend.hop_length)
    frames = (0, 7, picture.shape[-1] // 2, picture.shape[-1] - 1)
    for bin in range(0, frontend.n_bins, 3):
        frequency = frontend.frequencies[bin].item()
        for frame in frames:
            for clip in (0, 2):
                naive = naive_cqt(
                    waveform[clip].double().numpy(),
                    frequency,
                    frame,
                    frontend.hop_length,
                    frontend.bins_per_octave,
                )
                assert picture[clip, 0, bin, frame].item() == pytest.approx(naive, rel=2e-3, abs=2e-6)


def test_cqt_agrees_with_librosa(waveform):
    frontend = CQT(scale="magnitude")
    # librosa's filters are a little shorter, and scaled to equal loudness of noise, not of sines.
    ratio = 2 ** (1 / 12)
    q = 1 / (ratio - 1)
    stretch = q * (ratio**2 - 1) / (ratio**2 + 1)
    options = {"sr": RATE, "hop_length": 256, "fmin": frontend.f_min, "n_bins": 84, "tuning": 0.0}
    theirs = np.abs(librosa.cqt(waveform.numpy(), filter_scale=stretch, **options))
    theirs /= np.sqrt(q * RATE / frontend.frequencies.numpy())[:, None]
    ours = frontend(waveform)[:, 0].numpy()
    for clip in range(3):
        assert np.corrcoef(ours[clip].ravel(), theirs[clip].ravel())[0, 1] > 0.999
    ratios = np.median(ours[0] / theirs[0], axis=1)
    np.testing.assert_allclose(ratios, 1, atol=0.02)


def test_every_semitone_is_in_its_bin():
    frontend = CQT(scale="magnitude")
    tones = torch.cat([sine(frequency, 32000) for frequency in frontend.frequencies.tolist()])
    middle = frontend(tones)[:, 0, :, 50:75]
    assert (middle.argmax(1) == torch.arange(84)[:, None]).all()
    peaks = middle[torch.arange(84), torch.arange(84)]
    # A sine of amplitude 1 reads ½; in the bass, its mirror image at negative frequencies is near.
    torch.testing.assert_close(peaks, torch.full_like(peaks, 0.5), rtol=0, atol=0.005)


def test_transposing_shifts_the_picture():
    tune = [sine(hz, 32000) + 0.5 * sine(2 * hz, 32000) for hz in (110 * 2 ** (2 / 12), 110 * 2 ** (9 / 12))]
    low, high = (CQT(scale="magnitude")(tone)[0, 0, :, 60] for tone in tune)
    torch.testing.assert_close(high[14:], low[7:-7], rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_length": 100}, "multiple of 64"),
        ({"n_bins": 0}, "n_bins must be"),
        ({"n_bins": 108}, r"16744|half the sample rate"),
        ({"f_min": 0}, "positive"),
        ({"scale": "dB"}, "unknown scale 'dB'; available: magnitude, power, db"),
        ({"scale": "power", "top_db": 80.0}, "needs scale='db'"),
    ],
)
def test_wrong_cqt_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CQT(**options)


# ---- what all have in common


@pytest.mark.parametrize("cls", EVERY)
def test_shape_buffers_and_summary(cls, waveform):
    frontend = cls()
    picture = frontend(waveform)
    assert picture.shape[0] == 3
    assert picture.ndim == (3 if cls is Raw else 4)
    assert picture.dtype == torch.float32
    assert picture.is_contiguous()
    shortest = frontend(waveform[:, : frontend.min_samples])
    assert shortest.shape[:-1] == picture.shape[:-1]
    assert shortest.isfinite().all()
    assert frontend.state_dict() == {}
    assert not list(frontend.parameters())
    assert 3 < len(frontend.summary) < 60


@pytest.mark.parametrize("cls", SPECTRAL)
def test_gradient_is_finite_and_right(cls, waveform):
    frontend = cls()
    waveform = waveform[:, 15000:19000].clone().requires_grad_()  # clip 2 is partly silent
    picture = frontend(waveform)
    weights = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    (picture * weights).mean().backward()
    assert waveform.grad.isfinite().all()
    # Along one direction, against the difference quotient in float64.
    direction = torch.randn(4000, generator=torch.Generator().manual_seed(1)).double()
    frontend = frontend.double()
    values = [
        (frontend(waveform[:1].detach().double() + step * direction) * weights[:1]).sum() / picture.numel()
        for step in (-1e-6, 1e-6)
    ]
    slope = ((values[1] - values[0]) / 2e-6).item()
    assert (waveform.grad[0].double() @ direction).item() == pytest.approx(slope, rel=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cls", EVERY)
def test_a_gpu_gives_the_same(cls, waveform):
    picture = cls().to("cuda")(waveform.to("cuda"))
    assert picture.is_cuda
    torch.testing.assert_close(picture.cpu()[0], cls()(waveform)[0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("cls", [STFT, CQT])
def test_magnitude_of_silence_has_a_gradient(cls):
    silence = torch.zeros(1, 4000, requires_grad=True)
    cls(scale="magnitude")(silence).sum().backward()
    assert (silence.grad == 0).all()


@pytest.mark.parametrize("cls", SPECTRAL)
def test_autocast_keeps_float32(cls, waveform):
    frontend = cls()
    with torch.autocast("cpu", torch.bfloat16):
        inside = frontend(waveform)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, frontend(waveform), rtol=0, atol=0)


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(2, 1, 48000), r"\(2, 1, 48000\).*channel"),
        (torch.zeros(48000), "batch of one"),
        (torch.zeros(2, 1, 96, 188), "spectrogram"),
        (torch.zeros(2, 48000, dtype=torch.int16), "torch.int16.*32768"),
        (torch.zeros(2, 0), "samples"),
        (torch.zeros(0, 48000), "at least 1 row"),
        (np.zeros((2, 48000), np.float32), "from_numpy"),
    ],
)
def test_wrong_waveforms_are_refused(cls, waveform, message):
    with pytest.raises(ValueError, match=message):
        cls()(waveform)


def test_too_short_is_refused():
    for frontend in (LogMel(), STFT(), MFCC()):
        with pytest.raises(ValueError, match="257 samples"):
            frontend(torch.zeros(2, 256))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (LogMel, {"f_max": 9000}, "half the sample rate"),
        (LogMel, {"f_min": 8000}, "must rise"),
        (LogMel, {"n_mels": 0}, "n_mels must be at least 1"),
        (LogMel, {"top_db": -3}, "top_db"),
        (LogMel, {"win_length": 600}, "does not fit into n_fft=512"),
        (LogMel, {"hop_length": 0}, "hop_length is in samples"),
        (STFT, {"n_fft": 0.5}, "n_fft is in samples"),
        (STFT, {"scale": "log"}, "magnitude, power, db"),
        (STFT, {"scale": "power", "top_db": 80.0}, "needs scale='db'"),
        (MFCC, {"n_mfcc": 97}, "give 1 to 96"),
        (MFCC, {"deltas": 3}, "0, 1 or 2"),
    ],
)
def test_wrong_options_are_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


# ---- bands that are empty, and graphs for any number of clips


def test_empty_bands_are_named_where_librosa_warns():
    for n_fft, n_mels in ((512, 96), (512, 128), (512, 256), (256, 128), (2048, 128)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frontend = LogMel(n_fft=n_fft, n_mels=n_mels)
        noise = torch.randn(1, 48000, generator=torch.Generator().manual_seed(0))
        dead = (frontend(noise)[0, 0, 1:].amax(1) <= -99.9).sum().item()  # the lowest begins at 0 Hz
        with warnings.catch_warnings(record=True) as others:
            warnings.simplefilter("always")
            librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=n_mels, htk=True, norm=None)
        assert bool(caught) == bool(others) == bool(dead), (n_fft, n_mels)
        if dead:
            assert str(caught[0].message).startswith(f"{dead} of {n_mels} mel bands are empty")


def test_a_front_end_inside_another_warns_of_its_bands_too():
    with pytest.warns(EmptyBandsWarning, match="larger n_fft"):
        MFCC(n_mels=200)
    with pytest.warns(EmptyBandsWarning, match="fewer n_mels"):
        MultiResolutionLogMel(n_mels=400)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("frontend", EVERY)
def test_traced_and_exported_front_ends_take_any_number_of_clips(frontend):
    frontend, waveform = frontend(), torch.randn(5, 20_000, generator=torch.Generator().manual_seed(0))
    expected = frontend(waveform)
    traced = torch.jit.trace(frontend, waveform[:2], check_trace=False)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(frontend, (waveform[:2],), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(traced(waveform), expected)
    torch.testing.assert_close(exported(waveform), expected)
