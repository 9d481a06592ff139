"""What all augmentations promise: shapes, seeds, devices, chances, labels, gradients, and clear errors."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclass import augmentations as aug
from mclass.augmentations.presets import CLMR, CLMR_PAPER, GTZAN
from mclass.errors import AudioError

RATE, SAMPLES = 22050, 9000
BACKGROUND = 0.1 * torch.randn(2, 12000, generator=torch.Generator().manual_seed(5))
ROOM = torch.randn(2, 300, generator=torch.Generator().manual_seed(6)) * torch.linspace(1, 0, 300)

# Every transform that keeps the shape, with options that change something.
EVERY = {
    "polarity": aug.PolarityInversion(),
    "gain": aug.Gain(),
    "shift": aug.TimeShift(),
    "delay": aug.Delay(RATE),
    "noise": aug.Noise(0, 20),
    "colored": aug.ColoredNoise(0, 20),
    "background": aug.BackgroundMix(BACKGROUND, 0, 20),
    "low": aug.LowPass(RATE),
    "high": aug.HighPass(RATE),
    "either": aug.HighLowPass(RATE),
    "reverb": aug.Reverb(RATE),
    "response": aug.ImpulseResponse(ROOM),
    "pitch": aug.PitchShift(RATE),
    "stretch": aug.TimeStretch(RATE),
    "one of": aug.OneOf([aug.Gain(), aug.LowPass(RATE), aug.PitchShift(RATE)]),
    "some": aug.RandomApply([aug.Noise(0, 20), aug.Reverb(RATE)], p=0.5),
    "clmr": aug.clmr(RATE),
    "gtzan": aug.gtzan_supervised(RATE),
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def music(rows=6, samples=SAMPLES):
    """Chords in noise: something for every transform to change."""
    seconds = torch.arange(samples) / RATE
    pitches = 220 * 2 ** (torch.arange(rows)[:, None] / 7)
    tones = sum(torch.sin(2 * torch.pi * pitches * ratio * seconds) for ratio in (1, 1.26, 1.5))
    return 0.1 * tones + 0.01 * torch.randn(rows, samples, generator=seeded(99))


@pytest.fixture(params=EVERY)
def transform(request):
    return EVERY[request.param]


def test_same_shape_finite_changed_and_the_input_left_alone(transform):
    waveforms = music(16)
    before = waveforms.clone()
    result = transform(waveforms, seeded())
    assert result.shape == waveforms.shape
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    assert result.isfinite().all()
    assert not torch.equal(result, before)
    assert torch.equal(waveforms, before)


def test_one_generator_two_runs(transform):
    waveforms = music()
    generator = seeded(3)
    state = generator.get_state()
    first = transform(waveforms, generator)
    second = transform(waveforms, generator)
    generator.set_state(state)
    assert torch.equal(transform(waveforms, generator), first)
    if transform is not EVERY["polarity"]:
        assert not torch.equal(first, second)


def test_without_a_generator_torch_manual_seed_decides(transform):
    waveforms = music(2)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(transform(waveforms))
    assert torch.equal(*results)


def test_examples_do_not_see_each_other(transform):
    """What happens to an example depends on its parameters alone: batches can be split."""
    waveforms = music(5)
    drawn = transform.draw(5, seeded())
    together = transform.change(waveforms.clone(), **drawn)
    assert together is not waveforms
    for i in range(5):
        rows = torch.tensor([i])
        alone = transform.change(waveforms[i : i + 1].clone(), **aug.base.take(drawn, rows))
        torch.testing.assert_close(alone[0], together[i], atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_agree(transform, dtype):
    waveforms = music().to(dtype)
    result = transform(waveforms, seeded())
    assert result.dtype == dtype
    expected = transform(waveforms.float(), seeded())
    # One rounding at the end; double precision is computed as such.
    step = max(torch.finfo(dtype).eps, 1e-4)
    assert (result.float() - expected).abs().max() <= step * expected.abs().max()


@pytest.mark.parametrize("device", DEVICES)
def test_devices_and_autocast_agree(transform, device):
    waveforms = music()
    expected = transform(waveforms, seeded())
    with torch.autocast(device, dtype=torch.bfloat16):
        result = transform(waveforms.to(device), seeded())
    assert result.device.type == device
    torch.testing.assert_close(result.cpu(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "name", ["polarity", "gain", "shift", "delay", "low", "either", "reverb", "response", "pitch", "stretch"]
)
def test_gradients_flow(name):
    """Against the slope along one direction."""
    transform = EVERY[name]
    waveforms = music(3, 6000).double().requires_grad_()
    transform(waveforms, seeded()).square().sum().backward()
    assert waveforms.grad.isfinite().all()
    direction = music(3, 6000).double().flip(1)
    with torch.no_grad():
        step = 1e-6
        ahead, behind = (transform(waveforms + s * direction, seeded()).square().sum() for s in (step, -step))
    slope = (ahead - behind) / (2 * step)
    measured = (waveforms.grad * direction).sum()
    torch.testing.assert_close(measured, slope, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["noise", "background", "some", "one of", "clmr"])
def test_gradients_flow_through_chains(name):
    """The level of noise follows the music's, which is taken as given: no slope to compare with."""
    waveforms = music(6, 6000).requires_grad_()
    EVERY[name](waveforms, seeded()).square().sum().backward()
    assert waveforms.grad.isfinite().all()
    assert waveforms.grad.any(1).all()


def test_transforms_can_be_sent_to_workers(transform):
    waveforms = music(3)
    expected = transform(waveforms, seeded())  # makes what is made when needed
    packed = pickle.dumps(transform)
    assert len(packed) < 200_000
    assert torch.equal(pickle.loads(packed)(waveforms, seeded()), expected)


# ---- composition


def test_chance_zero_is_identity_and_one_is_always(transform):
    waveforms = music()
    assert torch.equal(aug.RandomApply(transform, 0.0)(waveforms, seeded()), waveforms)
    drawn = transform.draw(6, seeded(1))
    everything = {"chosen": torch.ones(6, dtype=torch.bool), "parameters": drawn}
    always = aug.RandomApply(transform, 1.0)
    assert always.draw(6)["chosen"].all()
    result = always.change(waveforms.clone(), **everything)
    torch.testing.assert_close(result, transform.change(waveforms.clone(), **drawn), atol=1e-6, rtol=0)


def test_chances_are_as_asked():
    ones = torch.ones(20000, 1)
    flipped = aug.RandomApply(aug.PolarityInversion(), 0.3)(ones, seeded()) < 0
    assert abs(flipped.float().mean() - 0.3) < 0.01
    levels = aug.OneOf([aug.Gain(0, 0), aug.Gain(-20, -20), aug.Gain(-40, -40)], weights=[1, 3, 0])(ones, seeded())
    assert abs((levels == 1).float().mean() - 0.25) < 0.01
    assert (levels > 0.05).all()


def test_only_the_drawn_examples_are_touched():
    waveforms = music(40)
    transform = aug.RandomApply(aug.PitchShift(RATE), 0.5)
    chosen = transform.draw(40, seeded())["chosen"]
    same = (transform(waveforms, seeded()) == waveforms).all(1)
    assert torch.equal(same, ~chosen)
    assert 10 < chosen.sum() < 30


def test_order_matters():
    noise, room = aug.Noise(0, 0), aug.Reverb(RATE, 1, 1, 0.5, 0.5)
    waveforms = music()
    drawn = [noise.draw(6, seeded(1)), room.draw(6, seeded(2))]
    one = aug.Compose([noise, room]).change(waveforms.clone(), drawn)
    other = aug.Compose([room, noise]).change(waveforms.clone(), drawn[::-1])
    assert (one - other).abs().max() > 0.01


def test_views_differ_and_follow_the_seed():
    views = aug.ComposeMany([aug.RandomCrop(500), aug.Noise(0, 10)], num_views=3)
    result = views(music(), seeded())
    assert result.shape == (3, 6, 500)
    assert not torch.equal(result[0], result[1])
    assert torch.equal(views(music(), seeded()), result)


@pytest.mark.parametrize(("preset", "published"), [(aug.clmr, CLMR), (aug.gtzan_supervised, GTZAN)])
def test_presets_are_as_published(preset, published):
    chain = preset(RATE, num_samples=59049)
    assert isinstance(chain.transforms[0], aug.RandomCrop)
    kinds = [type(part.transform).__name__ for part in chain.transforms[1:]]
    assert kinds == ["PolarityInversion", "Noise", "Gain", "HighLowPass", "Delay", "PitchShift", "Reverb"]
    assert [part.p for part in chain.transforms[1:]] == list(published.values())
    assert list(published.values())[:2] == [0.8, 0.3]
    other = preset(RATE, probabilities=CLMR_PAPER)
    assert [part.p for part in other.transforms] == [0.8, 0.01, 0.3, 0.8, 0.3, 0.6, 0.6]


def test_what_is_printed_says_what_was_asked():
    text = repr(aug.clmr(16000))
    for part in ("p=0.8", "min_semitones=-7.0", "sample_rate=16000", "min_snr=40.0"):
        assert part in text


# ---- labels

TAGS = ["guitar", "female", "slow", "loud"]
LABELS = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("transform", "untouched"),
    [(aug.PitchShift(RATE, 3, 4), 1), (aug.TimeStretch(RATE, 1.2, 1.3), 2), (aug.Gain(-9, -6), 3)],
)
def test_examples_with_tags_at_risk_are_left_alone(transform, untouched):
    waveforms = music(4)
    for chain in (aug.label_aware(transform, TAGS), aug.label_aware(aug.Compose([transform]), TAGS)):
        same = (chain(waveforms, seeded(), labels=LABELS) == waveforms).all(1)
        assert same.nonzero().flatten().tolist() == [untouched]
    own = aug.LabelAware(transform, TAGS, protect=["guitar"])
    assert (own(waveforms, seeded(), labels=LABELS) == waveforms).all(1).tolist() == [True, False, False, False]


def test_a_label_aware_chain_leaves_the_original_chain_as_it_was():
    chain = aug.ComposeMany([aug.RandomApply(aug.PitchShift(RATE), 1.0), aug.PolarityInversion()])
    aware = aug.label_aware(chain, TAGS)
    assert "LabelAware" in repr(aware)
    assert "LabelAware" not in repr(chain)
    assert repr(aug.label_aware(chain, ["guitar"])) == repr(chain)
    views = aware(music(4), seeded(), labels=LABELS)
    assert torch.equal(views[:, 1], -music(4)[1].expand(2, -1))
    assert "LabelAware" in repr(aug.clmr(RATE, tags=TAGS))


# ---- bad input


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (torch.zeros(9000), "One waveform is a batch of one"),
        (torch.zeros(2, 1, 9000), "Was a channel axis left in"),
        (torch.zeros(0, 9000), "at least 1 row"),
        (torch.zeros(2, 0), "1 samples"),
        (torch.zeros(2, 9000, dtype=torch.int16), "Divide 16-bit integers"),
        ([0.0, 1.0], "got list"),
        (torch.full((2, 9000), torch.nan), "row 0"),
        (torch.cat([torch.zeros(1, 9000), torch.full((1, 9000), torch.inf)]), "row 1"),
    ],
)
def test_bad_waveforms_are_refused(transform, waveforms, message):
    with pytest.raises(ValueError, match=message):
        transform(waveforms)


def test_nan_is_an_audio_error_but_large_numbers_are_not():
    with pytest.raises(AudioError, match=r"infinity in row 2 \(1 such"):
        aug.Gain()(torch.tensor([[1.0], [2.0], [torch.nan]]))
    large = torch.full((4, 4), 3e38)
    assert aug.PolarityInversion()(large).isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aug.RandomApply(aug.Gain(), 80), "Was a percentage given"),
        (lambda: aug.RandomApply(aug.Gain(), float("nan")), "between 0 and 1"),
        (lambda: aug.Compose([]), "at least one transform"),
        (lambda: aug.Compose([aug.Gain]), "without parentheses"),
        (lambda: aug.ComposeMany([aug.Gain()], 0), "num_views"),
        (lambda: aug.OneOf([aug.Gain()], weights=[1, 2]), "weight"),
        (lambda: aug.OneOf([aug.Gain()], weights=[0]), "weight"),
        (lambda: aug.Gain(-1, -20), "must not be larger"),
        (lambda: aug.Gain(float("nan"), 0), "must lie between"),
        (lambda: aug.Noise(color="purple"), "unknown colour"),
        (lambda: aug.Noise(color=()), "unknown colour"),
        (lambda: aug.Noise(20, 10), "signal-to-noise"),
        (lambda: aug.RandomCrop(0.5), "Were seconds given"),
        (lambda: aug.TimeShift(2), "Not seconds"),
        (lambda: aug.LowPass(8000, 2000, 4000), "3992 Hz"),
        (lambda: aug.LowPass(22.05), "kilohertz"),
        (lambda: aug.HighPass(22050, order=0), "order"),
        (lambda: aug.clmr(-1), "positive"),
        (lambda: aug.clmr(22050, probabilities={"pich": 0.1}), "did you mean 'pitch'"),
        (lambda: aug.Reverb(22050, max_rt60=100), "RT60"),
        (lambda: aug.Reverb(22050, max_wet=1.5), "share of the room"),
        (lambda: aug.PitchShift(22050, -50, 0), "semitones"),
        (lambda: aug.TimeStretch(22050, 0.0), "rate"),
        (lambda: aug.Delay(22050, 500, 200), "delay"),
        (lambda: aug.Delay(22050, volume=2), "volume"),
        (lambda: aug.ImpulseResponse(torch.zeros(1, 10)), "silent"),
        (lambda: aug.ImpulseResponse(torch.zeros(10)), "batch of one"),
        (lambda: aug.BackgroundMix(torch.full((1, 10), torch.nan)), "finite"),
        (lambda: aug.SpecAugment(max_freq=-1), "max_freq"),
        (lambda: aug.SpecAugment(value="median"), "'mean'"),
        (lambda: aug.Mixup(0), "Beta"),
        (lambda: aug.LabelAware(aug.Gain(), TAGS, ["gitar"]), "did you mean 'guitar'"),
        (lambda: aug.RandomResizedCrop(100, 2, 1), "scale"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: aug.RandomCrop(9001)(x), "cannot crop 9001"),
        (lambda x: aug.RandomResizedCrop(8000)(x), "up to 10000 samples"),
        (lambda x: aug.clmr(RATE, num_samples=59049)(x), "cannot crop"),
        (lambda x: aug.RandomApply(aug.RandomCrop(100))(x, seeded()), "Give RandomCrop to Compose"),
        (lambda x: aug.LabelAware(aug.Gain(), TAGS)(x), "give labels=labels"),
        (lambda x: aug.LabelAware(aug.Gain(), TAGS)(x, labels=LABELS[:2]), r"\(6, 4\), got \(2, 4\)"),
        (lambda x: aug.SpecAugment()(x), "after the front end"),
        (lambda x: aug.SpecAugment()(x[:, None, None] * torch.nan), "row 0"),
        (lambda x: aug.Mixup()(x, torch.zeros(6)), "one_hot"),
        (lambda x: aug.Mixup()(x, torch.zeros(5, 3)), "batch=6"),
        (lambda x: aug.Mixup()(x * torch.nan, torch.zeros(6, 3)), "finite"),
    ],
)
def test_bad_calls_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(music())


# ---- properties


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(EVERY)),
    rows=st.integers(1, 4),
    samples=st.integers(1, 5000),
    seed=st.integers(0, 1000),
    level=st.floats(-6, 3),
)
def test_any_length_and_level(name, rows, samples, seed, level):
    """Twice as loud in is twice as loud out, for any shape; nothing grows beyond reason."""
    waveforms = music(rows, samples)
    result = EVERY[name](waveforms, seeded(seed))
    assert result.shape == waveforms.shape
    assert result.isfinite().all()
    scaled = EVERY[name](waveforms * 10**level, seeded(seed)) / 10**level
    if name not in ("pitch", "stretch", "one of", "clmr", "gtzan"):  # phases of rounding errors are not repeatable
        torch.testing.assert_close(scaled, result, atol=1e-5, rtol=1e-4)
    assert result.norm() <= 30 * waveforms.norm() + 1e-6
