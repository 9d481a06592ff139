"""Foundation models from a folder: embeddings are transformers' own; what cannot be loaded is refused."""

import importlib
import json
import re
import socket
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tones import Tones

from mclass import audio, inference, models, search, training
from mclass.errors import ModelError
from mclass.models import foundation
from mclass.models.foundation import AudioText, Foundation, zero_shot

RATE = 16_000
WAVES = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0)) / 10
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 8],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
}
KINDS = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "data2vec-audio": "Data2VecAudio"}


@pytest.fixture(scope="session")
def transformers():
    return pytest.importorskip("transformers", reason="the extra 'foundation' is not installed")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a foundation model asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def write(transformers, folder, kind="hubert", rate=RATE, normalize=True):
    """A tiny network with random weights, saved as a published one is."""
    torch.manual_seed(0)
    options = TINY | ({"num_conv_pos_embeddings": 2} if kind == "data2vec-audio" else {})
    network = getattr(transformers, f"{KINDS[kind]}Model")(
        getattr(transformers, f"{KINDS[kind]}Config")(**options)
    )
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=normalize).save_pretrained(folder)
    return network.eval()


@pytest.fixture
def folder(transformers, tmp_path):
    write(transformers, tmp_path)
    return tmp_path


def change(folder, name="config.json", **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# Waveform models


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
def test_embeddings_are_the_means_of_transformers_hidden_states(transformers, tmp_path, kind, normalize):
    network = write(transformers, tmp_path, kind, normalize=normalize)
    x = WAVES.double()
    if normalize:  # the published preprocessing, by its definition
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-7).sqrt()
    with torch.no_grad():
        states = network(x.float(), output_hidden_states=True).hidden_states
    for layer in (0, 1, -1):
        model = Foundation(tmp_path, layer=layer)
        with torch.no_grad():
            torch.testing.assert_close(model.embed(WAVES), states[layer].mean(1), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(model.features(WAVES), states[layer].transpose(1, 2), rtol=1e-4, atol=1e-5)
    assert model.num_layers == len(states)
    with torch.no_grad():
        every = torch.stack([state.mean(1) for state in states], 1)
        torch.testing.assert_close(model.embed_layers(WAVES), every, rtol=1e-4, atol=1e-5)
        weighted = Foundation(tmp_path, weights=[2, 0, 1, 1])
        expected = (2 * every[:, 0] + every[:, 2] + every[:, 3]) / 4
        torch.testing.assert_close(weighted.embed(WAVES), expected, rtol=1e-4, atol=1e-5)
        assert weighted(WAVES).shape == (2, 50)


def test_what_another_rate_has_is_resampled_and_the_model_hears_its_own(transformers, tmp_path):
    write(transformers, tmp_path, rate=24_000)
    own, other = Foundation(tmp_path), Foundation(tmp_path, sample_rate=RATE)
    assert (own.sample_rate, own.num_samples) == (24_000, 120_000)
    assert (other.sample_rate, other.num_samples, other.model_rate) == (RATE, 80_000, 24_000)
    resampled = torch.stack([audio.resample(row, RATE, 24_000) for row in WAVES])
    with torch.no_grad():
        torch.testing.assert_close(other.embed(WAVES), own.embed(resampled))


def test_the_shortest_waveform_has_one_moment(folder):
    model = Foundation(folder)
    assert model.min_samples == 20  # kernels 10 and 3, strides 5 and 2: 10 + 2 * 5
    with torch.no_grad():
        assert model.features(WAVES[:, :20]).shape == (2, 16, 1)
    with pytest.raises(ValueError, match="20"):
        model.embed(WAVES[:, :19])


def test_it_is_probed_like_any_model(folder):
    parts = Tones(24), Tones(24, seed=1), Tones(24, seed=2)
    model = Foundation(folder, layer=1, seconds=0.25)
    found = training.probe(model, *parts, strengths=[1.0])
    assert found.probabilities.shape == (24, 3)
    expected = inference.embed(parts[2].waveform(3), model, RATE)
    np.testing.assert_allclose(training.embeddings(model, parts[2])[3], expected, rtol=1e-4, atol=1e-5)


def test_it_makes_an_index_that_knows_its_layer_s_weights(folder, tmp_path):
    model = Foundation(folder, seconds=0.25)
    found = np.stack([inference.embed(Tones(3).waveform(i), model, RATE) for i in range(3)])
    index = search.Index(["a", "b", "c"], found, str(folder), search.fingerprint(model))
    index.check(Foundation(folder, seconds=0.25))
    assert index.nearest(found[1], k=1)[0][0] == "b"
    with pytest.raises(ModelError, match="another model"):
        index.check(Foundation(folder, layer=1, seconds=0.25))


def test_gradients_reach_the_network_and_freezing_keeps_it(folder):
    model = Foundation(folder, num_tags=3)
    model(WAVES).sum().backward()
    assert model.network.encoder.layers[0].attention.q_proj.weight.grad is not None
    frozen = models.freeze(Foundation(folder, num_tags=3)).train()
    frozen(WAVES).sum().backward()
    assert not frozen.network.training
    assert [name for name, one in frozen.named_parameters() if one.grad is not None] == [
        "head.weight",
        "head.bias",
    ]


def test_a_name_of_its_own_for_a_plain_hubert(folder):
    expected = Foundation(folder).embed(WAVES)
    change(folder, model_type="music_model", auto_map={"AutoModel": "modeling_music.MusicModel"})
    (folder / "modeling_music.py").write_text("raise SystemExit('code from the folder was run')")
    with pytest.raises(ModelError, match=r"brings code of its own, which is not run.*probe_embeddings"):
        Foundation(folder)
    torch.testing.assert_close(Foundation(folder, model_type="hubert").embed(WAVES), expected)
    with pytest.raises(ModelError, match="type 'hubbert'"):
        Foundation(folder, model_type="hubbert")


def test_a_known_type_with_code_beside_it_is_loaded_without_that_code(folder):
    expected = Foundation(folder).embed(WAVES)
    change(folder, auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text("raise SystemExit('code from the folder was run')")
    torch.testing.assert_close(Foundation(folder).embed(WAVES), expected)


# What is refused


def test_a_name_is_not_a_folder_and_nothing_is_downloaded(transformers, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is fetched"):
        Foundation("someone/some-model")
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        Foundation(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    (folder / name).write_bytes(b"{\x00 not what it was")
    with pytest.raises(ModelError, match=r"damaged|cannot be loaded"):
        Foundation(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match="safetensors" if "model" in name else name):
        Foundation(folder)


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle \(pytorch_model.bin\).*save_file"):
        Foundation(folder)


def test_a_pickle_is_converted_as_the_chapter_says(folder):
    expected = Foundation(folder).embed(WAVES)
    chapter = Path(__file__).resolve().parents[1] / "book" / "foundation_models.md"
    code = re.search(r"^ *import torch\n.*?(?=^ *```)", chapter.read_text(encoding="utf-8"), re.M | re.S)[0]
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    exec(textwrap.dedent(code).replace("models/big", str(folder)), {})
    torch.testing.assert_close(Foundation(folder).embed(WAVES), expected)


def test_weights_that_are_missing_would_be_random(folder):
    change(folder, num_hidden_layers=5)
    with pytest.raises(ModelError, match=r"are missing \(the first is encoder\.layers\.3"):
        Foundation(folder)
    change(folder, num_hidden_layers=3, hidden_size=32)
    with pytest.raises(ModelError, match="cannot be loaded as a hubert model"):
        Foundation(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 4}, "from -4 to 3, got 4"),
        ({"layer": 1.0}, "got 1.0"),
        ({"layer": True}, "got True"),
        ({"weights": [1, 1]}, "4 numbers"),
        ({"weights": [0, 0, 0, 0]}, "not all zero"),
        ({"weights": [1, 1, 1, -1]}, "not negative"),
        ({"weights": [1, 1, 1, float("nan")]}, "not negative"),
        ({"sample_rate": 44.1}, "kHz"),
        ({"sample_rate": 0}, "got 0"),
        ({"seconds": -1}, "positive"),
        ({"num_tags": 0}, "num_tags"),
    ],
)
def test_options_out_of_range(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Foundation(folder, **options)


def test_another_sample_rate_than_the_data_s_is_refused_by_the_probe(transformers, tmp_path):
    write(transformers, tmp_path, rate=24_000)
    with pytest.raises(ModelError, match="24000"):
        training.probe(Foundation(tmp_path), Tones(6), Tones(6), Tones(6))
    with pytest.raises(ValueError, match="Divide 16-bit"):
        Foundation(tmp_path).embed(torch.zeros(2, 4000, dtype=torch.int16))


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = importlib.import_module

    def absent(name, *rest):
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return real(name, *rest)

    monkeypatch.setattr(foundation.importlib, "import_module", absent)
    with pytest.raises(ImportError, match=r"extra.*\[foundation\]"):
        Foundation(tmp_path)


# Sound and text


@pytest.fixture(scope="module")
def clap(transformers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(0)
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz", "Ġ"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.RobertaTokenizer.from_pretrained(folder)
    text = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 40,
    }
    sound = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_embeds_hidden_size": 8,
        "hidden_size": 32,
        "depths": [1, 1, 1],
        "num_attention_heads": [2, 2, 2],
        "window_size": 4,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "num_hidden_layers": 3,
    }
    config = transformers.ClapConfig(text_config=text, audio_config=sound, projection_dim=12)
    network = transformers.ClapModel(config).eval()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=8000,
        max_length_s=1,
        truncation="rand_trunc",
        hop_length=80,
        fft_window_size=1024,
        frequency_max=4000,
    )
    extractor.save_pretrained(folder)
    return folder, network, extractor, tokenizer


def test_sounds_and_texts_are_embedded_as_transformers_does(clap):
    folder, network, extractor, tokenizer = clap
    model = AudioText(folder)
    assert (model.sample_rate, model.num_samples) == (8000, 8000)
    texts = ["slow harp", "a loud guitar"]
    inputs = extractor(list(WAVES.numpy()), sampling_rate=8000, return_tensors="pt")
    with torch.no_grad():
        out = network(**inputs, **tokenizer(texts, padding=True, return_tensors="pt"))
        found = model.embed(WAVES)
    torch.testing.assert_close(found, out.audio_embeds)
    np.testing.assert_allclose(model.embed_text(texts), out.text_embeds.numpy(), rtol=1e-4, atol=1e-6)
    table = zero_shot(found.numpy(), model.embed_text(texts), ["harp", "guitar"], scale=model.scale)
    np.testing.assert_allclose(table.values, out.logits_per_audio.softmax(1).numpy(), rtol=1e-4)
    assert model(WAVES).shape == (2, 50)


def test_a_clap_embeds_a_data_set_of_another_rate(clap):
    model = AudioText(clap[0], sample_rate=RATE, seconds=0.5)
    found = training.embeddings(model, Tones(6))
    table = zero_shot(found, model.embed_text(["low", "high"]), ["low", "high"])
    assert table.shape == (6, 2)
    assert table.abs().values.max() <= 1


def test_what_a_clap_refuses(clap, folder):
    with pytest.raises(ModelError, match="no encoder of text; use Foundation"):
        AudioText(folder)
    with pytest.raises(ModelError, match="use AudioText"):
        Foundation(clap[0])
    with pytest.raises(ValueError, match="takes 1 s at once"):
        AudioText(clap[0], seconds=3)
    for wrong in ("guitar", [], [""], [3]):
        with pytest.raises(ValueError, match="list of texts"):
            AudioText(clap[0]).embed_text(wrong)


def test_zero_shot_by_hand():
    rng = np.random.default_rng(0)
    sounds, words = rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    before = sounds.copy(), words.copy()
    cosines = np.array([[a @ b / (a @ a) ** 0.5 / (b @ b) ** 0.5 for b in words] for a in sounds])
    tags = ["a", "b", "c"]
    pd.testing.assert_frame_equal(zero_shot(sounds, words, tags), pd.DataFrame(cosines, columns=tags))
    powers = np.exp(20 * cosines)
    np.testing.assert_allclose(zero_shot(sounds, words, tags, 20), powers / powers.sum(1, keepdims=True))
    assert np.isfinite(zero_shot(sounds, words, tags, 1e6).values).all()
    assert np.array_equal(sounds, before[0])
    assert np.array_equal(words, before[1])


@pytest.mark.parametrize(
    ("sounds", "words", "tags", "scale", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), ["a", "b"], None, "same model"),
        (np.ones(3), np.ones((2, 3)), ["a", "b"], None, "shapes"),
        (np.ones((2, 3)), np.ones((2, 3)), ["a"], None, "one name"),
        (np.ones((2, 3)), np.ones((2, 3)), ["a", "a"], None, "one name"),
        (np.zeros((2, 3)), np.ones((2, 3)), ["a", "b"], None, "audio embeddings"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), ["a", "b"], None, "text embeddings"),
        (np.ones((2, 3)), np.ones((2, 3)), ["a", "b"], -2.0, "positive"),
    ],
)
def test_zero_shot_refuses(sounds, words, tags, scale, message):
    with pytest.raises(ValueError, match=message):
        zero_shot(sounds, words, tags, scale)
