"""Inference: chunks, averages, files and arrays, against a plain loop."""

import numpy as np
import pytest
import soundfile
import torch
from tones import Tones, small

from mclass import inference
from mclass.errors import AudioError, ModelError

TAGS = ["low", "high", "noise"]


@pytest.fixture
def model():
    model = small().eval()
    model.tags = TAGS
    return model


def plain(model, waveform, hop=4000):
    """Probabilities of each chunk, one at a time."""
    waveform = np.pad(waveform, (0, max(0, 4000 - len(waveform))))
    with torch.no_grad():
        starts = range(0, len(waveform) - 3999, hop)
        return np.stack([model(torch.from_numpy(waveform[None, s : s + 4000])).sigmoid()[0] for s in starts])


@pytest.mark.parametrize("hop", [None, 1500])
@pytest.mark.parametrize("batch_size", [1, 5, 32])
def test_predict_averages_chunks(model, hop, batch_size):
    data = Tones(7, seconds=np.array([0.25, 1.3, 0.1, 0.5, 2.0, 0.6, 0.3]))  # one shorter than a chunk
    scores = inference.predict(model, data, hop=hop, batch_size=batch_size)
    chunks, owners = inference.predict_chunks(model, data, hop=hop, batch_size=batch_size)
    assert scores.dtype == chunks.dtype == np.float32
    for i, clip in enumerate(data.audio):
        expected = plain(model, clip.numpy(), hop or 4000)
        np.testing.assert_allclose(chunks[owners == i], expected, atol=1e-5)
        np.testing.assert_allclose(scores[i], expected.mean(0), atol=1e-5)


def test_mode_and_gradients_are_restored(model):
    model.train()
    model.body.eval()  # a frozen part stays frozen
    inference.predict(model, Tones(3))
    assert (model.training, model.body.training, model.dropout.training) == (True, False, True)
    with pytest.raises(RuntimeError), inference.evaluating(model):
        raise RuntimeError
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_single_label_probabilities_sum_to_one(model):
    model.multilabel = False
    np.testing.assert_allclose(inference.predict(model, Tones(4)).sum(1), 1, rtol=1e-6)


def test_tag_an_array(model):
    clip = Tones(1, seconds=1.6).audio[0]
    result = inference.tag(clip, model, sample_rate=16000, hop=2000)
    np.testing.assert_allclose(result.taggram, plain(model, clip.numpy(), 2000), atol=1e-5)
    np.testing.assert_allclose(result.scores, result.taggram.mean(0))
    assert result.times.tolist() == pytest.approx(np.arange(len(result.taggram)) * 0.125)
    order = np.argsort(-result.scores)
    assert result.top(2) == [(TAGS[i], pytest.approx(result.scores[i])) for i in order[:2]]
    assert len(result.top(10)) == 3
    same = inference.tag(clip.double().numpy(), model, sample_rate=16000, hop=2000)
    np.testing.assert_array_equal(same.scores, result.scores)


def test_tag_resamples(model):
    time = np.arange(44100) / 44100
    high = 0.1 * np.sin(2 * np.pi * 3000 * time)
    same = 0.1 * np.sin(2 * np.pi * 3000 * np.arange(16000) / 16000)
    result = inference.tag(high, model, sample_rate=44100)
    expected = inference.tag(same, model, sample_rate=16000)
    assert result.taggram.shape == expected.taggram.shape == (4, 3)
    np.testing.assert_allclose(result.scores, expected.scores, atol=0.02)


def test_tag_a_file(model, tmp_path):
    clip = Tones(1, seconds=1.6).audio[0].numpy()
    soundfile.write(tmp_path / "a.wav", clip, 16000, subtype="FLOAT")
    result = inference.tag(tmp_path / "a.wav", model)
    np.testing.assert_allclose(result.scores, inference.tag(clip, model, sample_rate=16000).scores, atol=1e-6)
    # One sample less or more after resampling would be a chunk less or more.
    audio = np.float32(0.1) * np.random.default_rng(0).standard_normal(22_048).astype(np.float32)
    soundfile.write(tmp_path / "c.wav", audio, 44_100, subtype="FLOAT")
    result = inference.tag(tmp_path / "c.wav", model)
    np.testing.assert_array_equal(result.taggram, inference.tag(audio, model, sample_rate=44_100).taggram)
    with pytest.raises(ValueError, match="a file knows its own"):
        inference.tag(tmp_path / "a.wav", model, sample_rate=16000)
    (tmp_path / "b.wav").write_bytes(b"not audio")
    with pytest.raises(AudioError):
        inference.tag(tmp_path / "b.wav", model)


def test_plot(model):
    import matplotlib as mpl

    mpl.use("agg")

    result = inference.tag(Tones(1, seconds=1.6).audio[0], model, sample_rate=16000)
    ax = result.plot(k=2).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [tag for tag, _ in result.top(2)]
    np.testing.assert_array_equal(ax.images[0].get_array()[0], result.taggram[:, TAGS.index(result.top(1)[0][0])])
    assert ax.get_xlim() == (0, 0.25 * len(result.taggram))


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (np.zeros(8000), {}, "give sample_rate"),
        (np.zeros(8000), {"sample_rate": 0}, "positive"),
        (np.zeros((2, 8000)), {"sample_rate": 16000}, r"\(2, 8000\)"),
        (np.zeros(8000, np.int16), {"sample_rate": 16000}, "int16"),
        (np.zeros(0), {"sample_rate": 16000}, "empty"),
        (np.full(8000, np.nan), {"sample_rate": 16000}, "8000 samples that are not finite"),
        (np.zeros(8000), {"sample_rate": 16000, "hop": 0.5}, "seconds"),
    ],
)
def test_tag_refuses(model, audio, options, message):
    with pytest.raises(ValueError, match=message):
        inference.tag(audio, model, **options)


def test_refuses_wrong_rates_and_missing_tags(model):
    data = Tones(3)
    data.sample_rate = 8000
    with pytest.raises(ModelError, match="expects 16000 Hz and 'tones' has 8000 Hz"):
        inference.predict(model, data)
    model.tags = None
    with pytest.raises(ModelError, match="no tags"):
        inference.tag(np.zeros(8000), model, sample_rate=16000)
    with pytest.raises(ValueError, match="at least 1"):
        inference.TagResult(["a"], np.zeros(1), np.zeros((1, 1)), 3.0).top(0)
