"""Inference: chunks, averages, files and arrays, against a plain loop."""

import itertools
from pathlib import Path

import bad_audio
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import Tones, small

from mclass import audio, inference
from mclass.audio import _decoding
from mclass.errors import AudioError, ModelError
from mclass.inference.chunks import cut

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


RATES = {"opus": 48_000}


@pytest.mark.parametrize("hop", [None, 333, 9000])  # as long as a chunk, shorter, longer
@pytest.mark.parametrize("suffix", bad_audio.FORMATS)
def test_a_file_in_pieces_equals_the_whole_file(model, tmp_path, suffix, hop, monkeypatch):
    rate = RATES.get(suffix, 44_100)
    path = bad_audio.write(tmp_path, suffix, bad_audio.sweep(2.9, rate, channels=2), rate)
    monkeypatch.setattr(_decoding, "_BLOCK", 10_007)
    result = inference.tag(path, model, hop=hop)
    whole = audio.read(path, 16_000)
    np.testing.assert_allclose(result.taggram, plain(model, whole.numpy(), hop or 4000), atol=1e-5)
    assert result.duration == len(whole) / 16_000
    assert (result.file, result.padded, result.chunk_seconds) == (str(path), False, 0.25)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_cut_is_unfold(data):
    """Any stream, cut in any pieces."""
    length, num_samples, hop, batch = (data.draw(st.integers(1, n)) for n in (200, 40, 60, 7))
    wave = torch.arange(1.0, length + 1)
    sizes = data.draw(st.lists(st.integers(0, 50), max_size=20))
    ends = [*np.minimum(np.cumsum([0, *sizes]), length).tolist(), length]
    blocks = [wave[a:b] for a, b in itertools.pairwise(ends)]
    batches = list(cut(iter(blocks), num_samples, hop, batch))
    padded = torch.nn.functional.pad(wave, (0, max(0, num_samples - length)))
    assert torch.equal(torch.cat(batches), padded.unfold(0, num_samples, hop))
    assert all(len(found) == batch for found in batches[:-1])


def test_memory_does_not_grow_with_the_file(model, tmp_path):
    def peak(seconds):
        rng, path = np.random.default_rng(0), tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
            for _ in range(seconds):
                file.write(rng.uniform(-0.5, 0.5, 16_000))
        watched = []
        monkeypatch = pytest.MonkeyPatch()
        monkeypatch.setattr(model, "forward", lambda x: watched.append(x.untyped_storage().size()) or x[:, :3])
        assert len(inference.tag(path, model).taggram) == 4 * seconds
        monkeypatch.undo()
        return max(watched)

    assert peak(20) <= peak(200) < 4 * 2**20  # what a chunk is a view of: never the whole, which has 13 MB


def test_aggregates(model):
    clip = Tones(1, seconds=1.6).audio[0]
    with torch.no_grad():
        model.head.weight *= 20  # probabilities on both sides of a half
    results = {how: inference.tag(clip, model, 16_000, 700, aggregate=how) for how in ("mean", "max", "majority")}
    taggram = results["mean"].taggram
    votes = [sum(row[i] > 0.5 for row in taggram) / len(taggram) for i in range(3)]
    assert any(0 < vote < 1 for vote in votes)
    np.testing.assert_allclose(results["majority"].scores, votes, rtol=1e-6)
    np.testing.assert_allclose(results["max"].scores, [max(column) for column in taggram.T])
    np.testing.assert_allclose(results["mean"].scores, sum(taggram) / len(taggram), rtol=1e-5)
    assert results["max"].aggregate == "max"
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        inference.tag(clip, model, 16_000, aggregate="mena")


def test_audio_shorter_than_a_chunk_is_padded_and_said(model):
    clip = Tones(1, seconds=0.1).audio[0]
    with pytest.warns(UserWarning, match=r"0\.10 s are shorter than the 0\.25 s .* padded with silence"):
        result = inference.tag(clip, model, sample_rate=16_000)
    assert result.padded
    np.testing.assert_allclose(result.taggram, plain(model, clip.numpy()), atol=1e-6)


@pytest.mark.parametrize("suffix", ["16.wav", "flac", "mp3", "ogg"])
def test_silence_is_refused(model, tmp_path, suffix):
    path = bad_audio.write(tmp_path, suffix, np.zeros((44_100, 2)), 44_100)
    with pytest.raises(AudioError, match=rf"sound.{suffix}: is silent"):
        inference.tag(path, model)
    with pytest.raises(AudioError, match="the recording: is silent"):
        inference.tag(np.zeros(8000), model, sample_rate=16_000)


def test_embed_is_the_mean_over_chunks(model, tmp_path):
    clip = Tones(1, seconds=1.1).audio[0]
    with torch.no_grad():
        expected = sum(model.embed(clip[None, s : s + 4000])[0] for s in range(0, len(clip) - 3999, 2500)) / 6
    np.testing.assert_allclose(inference.embed(clip, model, 16_000, hop=2500), expected, atol=1e-5)
    soundfile.write(tmp_path / "a.wav", clip.numpy(), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(inference.embed(tmp_path / "a.wav", model, hop=2500), expected, atol=1e-5)


def test_a_bar_shows_when_asked_for(model, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", Tones(1, seconds=2.0).audio[0].numpy(), 16_000)
    inference.tag(tmp_path / "a.wav", model)
    assert capsys.readouterr().err == ""
    inference.tag(tmp_path / "a.wav", model, progress=True)
    assert "a.wav 100% |" in (error := capsys.readouterr().err)
    assert "2/2 s of audio" in error


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
        (np.zeros(8000), {"sample_rate": 0}, "sample_rate must be a positive"),
        (np.zeros(8000), {"sample_rate": 44100.0}, "a positive whole number of Hz, got 44100.0"),
        (np.zeros(8000), {"sample_rate": "44100"}, "sample_rate must be a positive whole number"),
        (np.zeros((2, 8000)), {"sample_rate": 16000}, r"\(2, 8000\)"),
        (np.zeros(8000, np.int16), {"sample_rate": 16000}, "int16"),
        (np.zeros(0), {"sample_rate": 16000}, "empty"),
        (np.full(8000, np.nan), {"sample_rate": 16000}, "8000 samples that are not finite"),
        (np.zeros(8000), {"sample_rate": 16000, "hop": 0.5}, "seconds"),
        (np.zeros(8000), {"sample_rate": 16000, "batch_size": 0}, "at least 1"),
    ],
)
def test_tag_refuses(model, audio, options, message):
    with pytest.raises(ValueError, match=message):
        inference.tag(audio, model, **options)


@pytest.mark.parametrize("name", ["mtat/musicnn", Path("runs", "model.pt")])
def test_a_name_is_not_a_model(name):
    for call in (
        lambda: inference.tag("song.mp3", name),
        lambda: inference.embed("song.mp3", name),
        lambda: inference.predict(name, Tones(1)),
    ):
        with pytest.raises(TypeError, match=r"must be a model, got .*; load it first: mclass.pretrained.load"):
            call()


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
