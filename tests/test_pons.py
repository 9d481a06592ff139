"""The original Musicnn and VGG: the numbers of the original graph, from a wheel that is never executed."""

import hashlib
import io
import json
import shutil
import sys
import types
import zipfile

import librosa
import numpy as np
import pytest
import torch

from mclass import audio, inference, models, pretrained
from mclass.errors import DownloadError, ModelError
from mclass.frontends import CompressedMel
from mclass.models.pretrained import pons, tensorflow
from tests import published

needs_shared = pytest.mark.skipif(not published.PARITY.is_dir(), reason="../shared/parity is absent")
NAMES = {"MTT_musicnn": "musicnn_original", "MSD_musicnn": "musicnn_original", "MTT_vgg": "vgg", "MSD_vgg": "vgg"}


@pytest.fixture(autouse=True)
def no_local_files(monkeypatch, tmp_path):
    monkeypatch.delenv("MCLASS_CHECKPOINTS", raising=False)
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setitem(sys.modules, "musicnn", None)  # as if it were not installed
    monkeypatch.setattr(pons.importlib.util, "find_spec", lambda name: None)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The published wheel, where a package index can be reached."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCLASS_HOME", str(home))
        try:
            return pons.fetch(progress=False)
        except DownloadError as error:
            pytest.skip(f"no package index: {error}")


# ---- parity


def test_the_front_end_is_that_of_librosa():
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=48_000).astype(np.float32)
    for options in ({}, {"n_mels": 40, "n_fft": 1024, "hop_length": 300, "sample_rate": 22_050}):
        frontend = CompressedMel(**options)
        settings = {"n_fft": frontend.n_fft, "hop_length": frontend.hop_length, "n_mels": frontend.n_mels}
        mel = librosa.feature.melspectrogram(y=waveform, sr=frontend.sample_rate, pad_mode="constant", **settings)
        expected = np.log10(10_000 * mel + 1)
        np.testing.assert_allclose(frontend(torch.from_numpy(waveform)[None])[0, 0], expected, atol=1e-5)
    assert (frontend(torch.zeros(1, 5000)) == 0).all()


@needs_shared
@pytest.mark.parametrize("name", NAMES)
def test_probabilities_and_embeddings_are_those_of_the_original_graph(name, wheel):
    outputs = np.load(published.PARITY / "musicnn_original_outputs.npz")
    model = pretrained.load(f"pons/{name.lower()}", wheel)
    waveform = audio.read(published.PARITY.parent / "data" / "joram_16k.flac", 16_000)
    with torch.inference_mode():
        frames = model.frontend(waveform[None])[0]
        chunks = frames[..., : frames.shape[-1] // 187 * 187].unflatten(-1, (-1, 187)).permute(2, 0, 1, 3)
        embedding = model.embed_features(model.spectrogram_features(chunks))
        probabilities = model.head(embedding).sigmoid().numpy()
    np.testing.assert_allclose(probabilities, outputs[f"joram/{name}/probabilities"], atol=1e-5)
    if "musicnn" in name:
        np.testing.assert_allclose(embedding, outputs[f"joram/{name}/penultimate"], atol=1e-5)
    # A chunk of the waveform lacks 256 samples before its first frame; the first chunk lacks nothing.
    tagged = inference.tag(published.PARITY.parent / "data" / "joram_16k.flac", model).taggram
    np.testing.assert_allclose(tagged[0], probabilities[0], atol=1e-5)
    np.testing.assert_allclose(tagged, probabilities, atol=0.03)


@needs_shared
def test_places_in_the_data_file_are_those_of_the_checkpoint_s_own_index():
    manifest = json.loads((published.PARITY / "musicnn_original_manifest.json").read_text())
    for name, architecture in NAMES.items():
        own = models.create(architecture).state_dict()
        variables = manifest[name]["variables"]
        sizes = {variable: int(np.prod(facts["shape"])) for variable, facts in variables.items()}
        places = tensorflow._places(sizes)
        assert {variable: 4 * places[variable][0] for variable in sizes} == {
            variable: facts["offset"] for variable, facts in variables.items()
        }
        assert sum(sizes.values()) == sum(
            value.numel() for key, value in own.items() if not key.endswith("num_batches_tracked")
        )


def test_float16_overflows_where_music_is_loud():
    """The trap of the original package: it rounds the mel power times 10,000 to float16, which ends at 65,504."""
    loud = 0.9 * torch.sin(2 * torch.pi * 440 * torch.arange(47_872) / 16_000)[None]
    power = (10 ** CompressedMel()(loud) - 1) / 10_000
    assert power.max() > 6.55
    assert (10_000 * power).half().isinf().any()
    assert CompressedMel()(loud).isfinite().all()


# ---- a small wheel of the same layout


def data_file(architecture: str, seed: int = 0) -> tuple[bytes, dict]:
    """Random weights as TensorFlow stores them, written variable after variable by a loop of this test."""
    rng, own, variables = np.random.default_rng(seed), models.create(architecture).state_dict(), {}
    for layer, path in tensorflow.LAYERS[architecture].items():
        names = {"kernel": "weight", "bias": "bias"}
        if f"{path}.running_mean" in own:
            names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
            names["moving_variance"] = "running_var"
        for variable, name in names.items():
            values = rng.random(own[f"{path}.{name}"].shape, dtype=np.float32)
            variables[f"{layer}/{variable}"] = (f"{path}.{name}", values)
    written = {name: np.ascontiguousarray(values.T) for name, (_, values) in variables.items()}
    for name, values in [*written.items()]:
        if "moving" not in name:
            written[f"{name}/Adam"] = written[f"{name}/Adam_1"] = np.zeros_like(values)
    written["beta1_power"] = written["beta2_power"] = np.float32(0.9)
    return b"".join(written[name].tobytes() for name in sorted(written)), dict(variables.values())


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A wheel with one of the four, of random weights, that passes for the published one."""
    data, weights = data_file("vgg")
    entry = pons.CATALOGUE["pons/mtt_vgg"]
    changed = types.SimpleNamespace(**{**entry.__dict__, "sha256": hashlib.sha256(data).hexdigest()})
    monkeypatch.setitem(pons.CATALOGUE, "pons/mtt_vgg", changed)
    path = tmp_path / "index" / pons.WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry.path, data)
        archive.writestr(pons.NOTICE, "a license")
        archive.writestr("musicnn/__init__.py", "raise SystemExit('the package was executed')")
        archive.writestr(
            "musicnn-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\n"
        )
        archive.writestr(
            "musicnn-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("musicnn-0.1.0.dist-info/RECORD", "")
    monkeypatch.setattr(pons, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path, weights


def holds(model, weights) -> bool:
    state = model.state_dict()
    return all(np.array_equal(state[name].numpy(), values) for name, values in weights.items())


def test_pip_fetches_it_once(small, tmp_path):
    path, weights = small
    model = pretrained.load("pons/mtt_vgg", progress=False)
    assert holds(model, weights)
    assert (model.tags[0], len(model.tags), model.training) == ("guitar", 50, False)
    kept = tmp_path / "home" / "checkpoints" / "pons"
    assert {one.name for one in kept.iterdir() if not one.name.startswith(".")} == {pons.WHEEL, "LICENSE.md"}
    assert (kept / "LICENSE.md").read_text() == "a license"
    path.unlink()  # the index is gone
    assert holds(pretrained.load("pons/mtt_vgg"), weights)
    (kept / pons.WHEEL).write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the wheel that belongs there"):
        pretrained.load("pons/mtt_vgg")


def test_without_an_index_the_message_says_what_to_put_where(small, tmp_path):
    small[0].unlink()
    with pytest.raises(DownloadError, match=r"pip cannot fetch musicnn==0\.1\.0.*By hand: pip download") as caught:
        pretrained.load("pons/mtt_vgg", progress=False)
    assert str(tmp_path / "home" / "checkpoints" / "pons") in str(caught.value)
    assert not [*(tmp_path / "home" / "checkpoints" / "pons").glob("*.whl")]


def test_without_pip(small, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$0: No module named pip" >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(DownloadError, match=r"No module named pip\. By hand"):
        pretrained.load("pons/mtt_vgg", progress=False)


def test_a_wheel_that_is_another_is_kept_aside(small, monkeypatch, tmp_path):
    monkeypatch.setattr(pons, "SHA256", "0" * 64)
    with pytest.raises(DownloadError, match=r"expected 0{64}.*kept as .*\.rejected and not used"):
        pretrained.load("pons/mtt_vgg", progress=False)
    kept = tmp_path / "home" / "checkpoints" / "pons"
    assert not (kept / pons.WHEEL).exists()
    assert (kept / f"{pons.WHEEL}.rejected").exists()


def test_a_wheel_a_package_s_folder_or_a_data_file_by_path(small, tmp_path, monkeypatch):
    path, weights = small
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "site-packages")
    data = tmp_path / "site-packages" / pons.CATALOGUE["pons/mtt_vgg"].path
    for source in (path, tmp_path / "site-packages", tmp_path / "site-packages" / "musicnn", data):
        assert holds(pretrained.load("pons/mtt_vgg", source), weights), source
    monkeypatch.setenv("MCLASS_CHECKPOINTS", str(path.parent))
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert holds(pretrained.load("pons/mtt_vgg"), weights)
    assert not (tmp_path / "home" / "checkpoints").exists()  # nothing was downloaded
    monkeypatch.delenv("MCLASS_CHECKPOINTS")
    path.unlink()
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path / "site-packages" / "musicnn")])
    monkeypatch.setattr(pons.importlib.util, "find_spec", lambda name: spec)
    assert holds(pretrained.load("pons/mtt_vgg"), weights)  # the installed package, not imported


@pytest.mark.parametrize("fault", ["cut", "changed", "longer", "absent", "text", "empty", "nowhere", "folder"])
def test_damaged_sources_are_refused_in_one_sentence(fault, small, tmp_path):
    path, _ = small
    entry, content = pons.CATALOGUE["pons/mtt_vgg"], path.read_bytes()
    data = zipfile.ZipFile(path).read(entry.path)
    changed = {"changed": data[:-1] + b"x", "longer": data + bytes(4), "absent": None}
    if fault in changed:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("musicnn/__init__.py" if fault == "absent" else entry.path, changed[fault] or "")
        content = buffer.getvalue()
    content = {"cut": content[: len(content) // 2], "text": b"<html>404</html>", "empty": b""}.get(fault, content)
    path.write_bytes(content)
    path = {"nowhere": tmp_path / "nowhere.whl", "folder": tmp_path}.get(fault, path)
    with pytest.raises((ModelError, FileNotFoundError), match=str(path)):
        pretrained.load("pons/mtt_vgg", path)


def test_what_is_known_of_them():
    for name in pons.CATALOGUE:
        entry = pretrained.info(name)
        assert name in pretrained.list()
        assert len(set(entry.tags)) == 50
        assert 0.87 < entry.roc_auc < 0.91
        assert entry.license.startswith("ISC")
