"""Raw-waveform, harmonic, attention and early models: their layers against naive loops and other implementations.

That whole networks equal their originals is test_parity's; here is what a wrong layer would do.
"""

import itertools

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from mclass import models, pretrained
from mclass.frontends import Harmonic
from mclass.models.early import SCALES, pool_statistics
from mclass.models.layers.attention import Encoder, PostNormLayer, PreNormLayer, SelfAttention
from mclass.models.sample_cnn import SqueezeExcitationBlock
from tests import published

# name: (sample rate, dimension of the embedding, shape of the features of the shortest waveform)
MODELS = {
    "sample_cnn": (16000, 512, (512, 1)),
    "sample_cnn_se": (16000, 512, (512, 1)),
    "clmr_sample_cnn": (22050, 512, (512, 1)),
    "harmonic_cnn": (16000, 256, (256, 1, 1)),
    "self_attention": (16000, 256, (256, 1)),
    "music_tagging_transformer": (22050, 256, (256, 1)),
    "spotify_cnn": (16000, 2048, (512, 1)),
    "multi_level_cnn": (16000, 1024, (2688, 1)),
    "frame_level_cnn": (16000, 100, (32, 4)),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def shaken(model):
    """In eval mode, with statistics and scales as training would leave them, so that a swapped layer shows."""
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, nn.LayerNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_shapes_from_the_shortest_waveform_to_longer_ones(name):
    rate, dim, shape = MODELS[name]
    model = models.create(name, num_tags=7).eval()
    assert model.sample_rate == rate
    assert isinstance(model.frontend.summary, str)
    with torch.no_grad():
        shortest = 0.1 * torch.randn(2, model.min_samples)
        assert model.features(shortest).shape == (2, *shape)
        assert model.embed(shortest).shape == (2, dim)
        longer = 0.1 * torch.randn(1, 2 * model.min_samples + 8000)
        assert model.features(longer).shape[-1] > shape[-1]
        assert model(longer).shape == (1, 7)
        torch.testing.assert_close(model(longer), model.head(model.embed(longer)))
        with pytest.raises(ValueError, match=f"{model.min_samples} samples"):
            model(shortest[:, 1:])
        model.check = lambda waveform: None  # one sample less would leave nothing at all
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            _ = model.embed(shortest[:, 1:])[0, 0]


# --- sample-level ---------------------------------------------------------------------------------------------


def test_channels_stay_side_by_side_from_block_to_block():
    """Else each block of the fast form would rearrange all values, forwards and backwards."""
    layouts = []

    def look(x):
        layouts.append(x.unsqueeze(2).is_contiguous(memory_format=torch.channels_last))

    def look_twice(block, inputs, out):
        look(out)
        out.register_hook(look)  # at its gradient

    model = models.create("sample_cnn").train()
    for block in model.blocks[1:-3]:  # the first has a single input channel, the last have few steps of time
        block.register_forward_hook(look_twice)
    model(0.1 * torch.randn(2, model.num_samples)).square().sum().backward()
    assert len(layouts) == 14
    assert all(layouts)


@pytest.mark.parametrize("name", ["sample_cnn", "clmr_sample_cnn", "sample_cnn_se"])
def test_each_block_listens_three_times_longer(name):
    model, steps = models.create(name).eval(), []
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, out: steps.append(out.shape[-1]))
    with torch.no_grad():
        model.features(torch.zeros(1, model.num_samples))
    assert steps == [*(3**i for i in range(9, -1, -1)), 1]


def test_what_is_far_away_does_not_matter():
    """The features of the first of three chunks do not depend on the end of the last; the embedding averages."""
    model = models.create("clmr_sample_cnn").eval()
    waveform = 0.1 * torch.randn(1, 3 * model.num_samples)
    other = waveform.clone()
    other[:, 2 * model.num_samples + 40_000 :] = 0
    with torch.no_grad():
        a, b = model.features(waveform), model.features(other)
        torch.testing.assert_close(a[:, :, 0], b[:, :, 0], rtol=0, atol=0)
        assert not torch.allclose(a[:, :, 2], b[:, :, 2])
        torch.testing.assert_close(model.embed(waveform), (a[..., 0] + a[..., 1] + a[..., 2]) / 3)


def naive_conv(x, conv, norm, stride):
    """Convolution and batch norm with loops, in float64; x of shape (channels, time)."""
    weight, bias = conv.weight.detach().double().numpy(), conv.bias.detach().double().numpy()
    kernel = weight.shape[2]
    x = np.pad(x, ((0, 0), (kernel // 2, kernel // 2)))
    starts = range(0, x.shape[1] - kernel + 1, stride)
    out = np.array(
        [[(weight[o] * x[:, s : s + kernel]).sum() + bias[o] for s in starts] for o in range(len(bias))]
    )
    mean, var, scale, shift = (
        t.detach().double().numpy()[:, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (out - mean) / np.sqrt(var + norm.eps) * scale + shift


@pytest.mark.parametrize(("inputs", "stride", "kernel"), [(2, 1, 3), (4, 1, 3), (2, 3, 3), (4, 1, 1)])
def test_squeeze_and_excitation(inputs, stride, kernel):
    block = shaken(SqueezeExcitationBlock(inputs, 4, pool=3, kernel=kernel, stride=stride))
    assert (block.conv3 is None) == (inputs == 4)
    x = torch.randn(1, inputs, 27)
    change = np.maximum(naive_conv(x[0].double().numpy(), block.conv1, block.norm1, stride), 0)
    change = naive_conv(change, block.conv2, block.norm2, 1)
    w1, b1, w2, b2 = (
        t.detach().double().numpy()
        for t in (block.dense1.weight, block.dense1.bias, block.dense2.weight, block.dense2.bias)
    )
    gate = 1 / (1 + np.exp(-(w2 @ np.maximum(w1 @ change.mean(axis=1) + b1, 0) + b2)))
    assert gate.std() > 0.01  # channels do differ
    known = x[0].double().numpy()
    if block.conv3 is not None:
        known = naive_conv(known, block.conv3, block.norm3, stride)
    total = np.maximum(known + change * gate[:, None], 0)  # the published order: ReLU, then pooling
    pooled = total[:, : total.shape[1] // 3 * 3].reshape(4, -1, 3).max(axis=2)
    np.testing.assert_allclose(block(x)[0].detach(), pooled, atol=1e-5)


# --- harmonic -------------------------------------------------------------------------------------------------


def test_harmonic_filters_are_the_triangles_of_the_paper():
    frontend = Harmonic(q=1.5)
    filters = frontend.filters().detach().numpy()
    assert filters.shape == (257, 6, 128)
    expected = np.zeros_like(filters)
    for harmonic, band, i in itertools.product(range(6), range(0, 128, 5), range(257)):
        centre = (harmonic + 1) * 440 * 2 ** ((24 + band / 2 - 69) / 12)
        low, high = (centre + sign * (0.1079 * centre + 24.7) / 1.5 / 2 for sign in (-1, 1))
        frequency = i * 8000 / 256
        if low < frequency <= centre:
            expected[i, harmonic, band] = (frequency - low) / (centre - low)
        elif centre < frequency < high:
            expected[i, harmonic, band] = (high - frequency) / (high - centre)
    np.testing.assert_allclose(filters[:, :, ::5], expected[:, :, ::5], atol=2e-5)


@pytest.mark.parametrize(("sample_rate", "harmonics"), [(16000, 6), (22050, 5), (44100, 10)])
def test_harmonic_centres_are_notes(sample_rate, harmonics):
    frontend = Harmonic(sample_rate=sample_rate, num_harmonics=harmonics)
    highest = librosa.note_to_midi(librosa.hz_to_note(sample_rate / (2 * harmonics)))
    notes = librosa.midi_to_hz(np.arange(librosa.note_to_midi("C1"), highest))
    for harmonic in range(harmonics):
        np.testing.assert_allclose(frontend.centres[harmonic, ::2], notes * (harmonic + 1), rtol=1e-6)
    between = np.sqrt(notes[:-1] * notes[1:])
    np.testing.assert_allclose(frontend.centres[0, 1:-1:2], between, rtol=1e-6)


def test_harmonic_spectrogram_equals_librosa_and_the_filters():
    frontend = Harmonic(num_harmonics=3)
    waveform = 0.1 * torch.randn(2, 8000)
    power = np.abs(librosa.stft(waveform.numpy(), n_fft=512, hop_length=256, pad_mode="reflect")) ** 2
    expected = np.einsum("bft,fhk->bhkt", power, frontend.filters().detach().numpy())
    expected = 10 * np.log10(np.maximum(expected, 1e-10))
    with torch.no_grad():
        np.testing.assert_allclose(frontend(waveform), expected, atol=1e-3)


def test_harmonics_of_a_note_meet_at_one_height():
    frontend, note = Harmonic(), 2 * (69 - 24)  # A4, 440 Hz
    time = torch.arange(16000) / 16000
    sound = sum(torch.sin(2 * torch.pi * 440 * (h + 1) * time) for h in range(6))
    with torch.no_grad():
        picture = frontend(0.1 * sound[None])[0, :, :, 20]
    assert (picture[:, note] > picture[0].max() - 3).all()  # about as loud in all six channels
    silent = note - 12  # a tritone lower, harmonics fall between those of the sound
    assert picture[0, note] - picture[0, silent] > 20


def test_the_width_of_the_filters_is_learned():
    model = models.create("harmonic_cnn", num_tags=2).eval()
    model(0.1 * torch.randn(1, 80000)).sum().backward()
    assert model.frontend.q.grad.abs() > 0
    narrow, wide = (Harmonic(q=q).filters().sum().item() for q in (2.0, 1.0))
    assert narrow < 0.6 * wide
    fixed = models.create("harmonic_cnn", learn_q=False)
    assert "frontend.q" not in dict(fixed.named_parameters())
    assert fixed.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q": 0}, "q must be positive, got 0"),
        ({"num_harmonics": 0}, "num_harmonics must be at least 1"),
        ({"bands_per_semitone": 0}, "bands_per_semitone"),
        ({"hop_length": 0}, "hop_length"),
        ({"num_harmonics": 300}, "300 harmonics of C1"),
    ],
)
def test_harmonic_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Harmonic(**options)


@pytest.mark.skipif(not published.PARITY.is_dir(), reason="../shared/parity is absent")
def test_an_original_harmonic_front_end_is_used_if_it_is_there():
    weights = published.seeded_weights("harmonic_cnn")
    as_built = pretrained.from_original("harmonic_cnn", weights)
    assert as_built.frontend.q.item() == 1
    weights |= {"hstft.bw_Q": torch.tensor([1.25]), "hstft_bn.running_mean": torch.arange(6.0)}
    model = pretrained.from_original("harmonic_cnn", weights)
    assert model.frontend.q.item() == 1.25
    assert model.input_norm.running_mean.tolist() == [0, 1, 2, 3, 4, 5]


# --- attention ------------------------------------------------------------------------------------------------


def torch_attention(ours, dim, heads):
    """Torch's own layer with our weights."""
    theirs = nn.MultiheadAttention(dim, heads, batch_first=True, bias=True)
    with torch.no_grad():
        if ours.fused:
            theirs.in_proj_weight.copy_(ours.qkv.weight)
            theirs.in_proj_bias.zero_()
        else:
            parts = (ours.query, ours.key, ours.value)
            theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("fused", [False, True])
def test_attention_equals_torch(fused):
    ours = SelfAttention(24, heads=3, fused=fused).eval()
    x = 2 * torch.randn(2, 11, 24)
    expected, weights = torch_attention(ours, 24, 3)(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.weights(x), weights, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.weights(x).sum(-1), torch.ones(2, 3, 11))
    # And what is returned as attention is what the output is made of.
    v = ours.project(x)[2]
    torch.testing.assert_close(
        ours.output((weights @ v).transpose(1, 2).flatten(2)), ours(x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", [PostNormLayer, PreNormLayer])
def test_layers_equal_torch(kind):
    ours = shaken(kind(24, heads=3, hidden=48))
    pre = kind is PreNormLayer
    eps = ours.norm1.eps
    assert eps == (1e-5 if pre else 1e-12)
    theirs = nn.TransformerEncoderLayer(
        24, 3, 48, activation="gelu", norm_first=pre, batch_first=True, layer_norm_eps=eps
    ).eval()
    theirs.self_attn = torch_attention(ours.attention, 24, 3)
    for mine, its in (("hidden", "linear1"), ("output", "linear2"), ("norm1", "norm1"), ("norm2", "norm2")):
        getattr(theirs, its).load_state_dict(getattr(ours, mine).state_dict())
    x = torch.randn(2, 11, 24)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_attention_drops_out_in_training_alone():
    layer, x = SelfAttention(24, heads=3, dropout=0.5), torch.randn(1, 11, 24)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_attention_of_each_layer():
    encoder = Encoder(*(PreNormLayer(24, heads=3, hidden=48) for _ in range(3))).eval()
    x = torch.randn(2, 11, 24)
    torch.testing.assert_close(encoder.attention(x), encoder[2].weights(encoder[1](encoder[0](x))))
    torch.testing.assert_close(encoder.attention(x, 0), encoder.attention(x, -3))
    for layer in (3, -4):
        with pytest.raises(ValueError, match=f"-3 to 2, got {layer}"):
            encoder.attention(x, layer)
    with pytest.raises(ValueError, match="5 heads do not divide 24"):
        SelfAttention(24, heads=5)


@pytest.mark.parametrize("name", ["self_attention", "music_tagging_transformer"])
def test_models_show_their_attention(name):
    model = models.create(name).eval()
    waveform = 0.1 * torch.randn(2, 32_000)
    with torch.no_grad():
        time = model.features(waveform).shape[2]
        for layer in range(len(model.encoder)):
            weights = model.attention(waveform, layer)
            assert weights.shape == (2, 8, 1 + time, 1 + time)
            torch.testing.assert_close(weights.sum(-1), torch.ones(2, 8, 1 + time))
        # The class token listens to the music: other music, other weights.
        assert (weights[0, :, 0] - weights[1, :, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["self_attention", "music_tagging_transformer"])
def test_the_order_of_moments(name):
    """Attention has no order of its own: moved moments are moved features, and the class token does not notice."""
    model = shaken(models.create(name))
    with torch.no_grad():
        tokens = model.tokens(0.1 * torch.randn(1, 32_000))
        if name == "music_tagging_transformer":
            tokens = tokens - model.positions[:, : tokens.shape[1]]
        order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(tokens.shape[1] - 1)])
        before, after = model.encoder(tokens), model.encoder(tokens[:, order])
    torch.testing.assert_close(after[:, 0], before[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after, before[:, order], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)  # the order was another, and the moments differ


def test_class_token_of_self_attention_is_no_weight():
    model = models.create("self_attention")
    expected = np.random.RandomState(0).rand(256).astype(np.float32)
    assert np.array_equal(model.class_token, expected)
    with torch.no_grad():
        tokens = model.eval().tokens(0.1 * torch.randn(3, 8000))
    assert np.array_equal(tokens[:, 0], np.stack([expected] * 3))
    assert "class_token" not in model.state_dict() | dict(model.named_parameters())


def test_transformer_has_no_more_moments_than_positions():
    model = models.create("music_tagging_transformer", max_moments=20, layers=1).eval()
    assert model.positions.shape == (1, 21, 256)
    with torch.no_grad():
        assert model.tokens(torch.zeros(1, model.max_samples)).shape[1] == 21
        with pytest.raises(
            ValueError, match=r"42496 samples \(1\.9 s\) are too long.*20 positions.*42495 samples"
        ):
            model(torch.zeros(1, model.max_samples + 1))
        moments = model.blocks(model.input_norm(model.frontend(torch.zeros(1, model.max_samples + 1))))
    assert moments.shape[3] == 21  # the limit is not lower than it has to be
    with pytest.raises(ValueError, match="max_moments=0"):
        models.create("music_tagging_transformer", max_moments=0)


def test_positions_matter():
    model = models.create("music_tagging_transformer").eval()
    waveform = 0.1 * torch.randn(1, 22_050)
    with torch.no_grad():
        before = model.embed(waveform)
        model.positions[:, 1:] = model.positions[:, 1:].flip(1)
        assert (model.embed(waveform) - before).abs().max() > 1e-2


# --- early networks -------------------------------------------------------------------------------------------


def test_statistics_over_time():
    x = torch.randn(2, 5, 13).relu()
    expected = np.concatenate([x.numpy().mean(2), x.numpy().max(2), np.sqrt((x.numpy() ** 2).mean(2))], axis=1)
    np.testing.assert_allclose(pool_statistics(x), expected, rtol=1e-5)
    torch.testing.assert_close(pool_statistics(torch.cat([x, x, x], dim=2)), pool_statistics(x))
    silence = torch.zeros(1, 3, 4, requires_grad=True)
    pool_statistics(silence).sum().backward()
    assert silence.grad.isfinite().all()


def test_spotify_cnn_has_the_published_steps():
    model, shapes = models.create("spotify_cnn").eval(), []
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, out: shapes.append(tuple(out.shape[1:])))
    model.dense[0].register_forward_hook(lambda m, i, out: shapes.append((i[0].shape[1], out.shape[1])))
    with torch.no_grad():
        assert model.frontend(torch.zeros(1, model.num_samples)).shape == (1, 1, 128, 599)
        model(torch.zeros(1, model.num_samples))
    assert shapes == [(256, 149), (256, 73), (256, 35), (512, 32), (1536, 2048)]
    with pytest.raises(ValueError, match="widths of 4 layers"):
        models.create("spotify_cnn", channels=(8, 8))


def test_levels_are_means_of_maxima():
    model = shaken(models.create("multi_level_cnn", scales=(18, 54), channels=4, hidden=8))
    x = torch.randn(1, 128, 54 * 2 + 7)  # the incomplete window is left out
    with torch.no_grad():
        levels = model.levels(x)
    assert len(levels) == 3 + 4
    for scale, found in ((18, levels[:3]), (54, levels[3:])):
        y = x[:, :, :108]
        for depth, block in enumerate(model.towers[model.scales.index(scale)]):
            with torch.no_grad():
                y = block(y)
            steps = scale
            for pool in SCALES[scale][: depth + 1]:
                steps //= pool
            for window in (0, 1):
                maxima = [
                    y[0, :, start : start + steps].amax(1)
                    for start in range(window * y.shape[2] // 2, (window + 1) * y.shape[2] // 2, steps)
                ]
                assert len(maxima) == 54 // scale
                torch.testing.assert_close(found[depth][0, :, window], torch.stack(maxima).mean(0))


def test_pools_shrink_a_window_to_one_moment():
    for frames, pools in SCALES.items():
        assert np.prod(pools) == frames
        assert max(SCALES) % frames == 0
    for scales in ((), (18, 20), (18, 18)):
        with pytest.raises(ValueError, match="each one of"):
            models.create("multi_level_cnn", scales=scales)


@pytest.mark.parametrize(
    ("filter_length", "stride"), [(256, None), (512, None), (1024, None), (512, 256), (1024, 512), (1024, 256)]
)
def test_frame_level_cnn(filter_length, stride):
    model = models.create("frame_level_cnn", filter_length=filter_length, stride=stride).eval()
    stride = stride or filter_length
    waveform = 0.1 * torch.randn(1, 48000)
    with torch.no_grad():
        frames = model.frames(model.frontend(waveform))
        assert frames.shape == (1, 128, (48000 - filter_length) // stride + 1)
        filters, fourth = model.frames[0], waveform[0, 3 * stride : 3 * stride + filter_length]
        expected = (filters.weight[:, 0] @ fourth + filters.bias).relu()
        torch.testing.assert_close(frames[0, :, 3], expected, rtol=1e-4, atol=1e-5)
        # At the published length, the convolution of 3 s is a dense layer on everything there is.
        features, dense = model.features(waveform), model.dense[0]
        expected = (features.flatten(1) @ dense.weight.flatten(1).T + dense.bias).relu()
        torch.testing.assert_close(model.embed(waveform), expected, rtol=1e-4, atol=1e-5)
        assert model(torch.zeros(1, model.min_samples)).shape == (1, 50)


@pytest.mark.parametrize(("filter_length", "stride"), [(300, None), (512, 1024), (512, 100), ("512", None)])
def test_frame_level_cnn_refuses(filter_length, stride):
    with pytest.raises(ValueError, match="256, 512 or 1024 samples"):
        models.create("frame_level_cnn", filter_length=filter_length, stride=stride)
