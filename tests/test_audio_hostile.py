"""Files that claim what is not so, wait forever or hold nonsense: named, within bounds, never a batch's end."""

import errno
import json
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import audio_cases
import av
import hostile_audio
import numpy as np
import pytest
import soundfile
import torch

from mclass import audio, datasets, inference, models
from mclass.audio import _decoding
from mclass.errors import AudioError, DatasetError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return folder, hostile_audio.write_hostile(folder)


@pytest.fixture
def model():
    model = models.create("cnn_1d", num_tags=2)
    model.tags = ["a", "b"]
    return model


def said_of(function, *args):
    """The error, else the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            function(*args)
        except AudioError as error:
            return str(error)
    return "; ".join(str(one.message) for one in caught)


def test_each_is_named_at_once(hostile, model):
    folder, said = hostile
    for name, word in said.items():
        began = time.monotonic()
        for function in (
            lambda path: audio.read(path, 16_000),
            lambda path: [*audio.blocks(path, 16_000)],
            lambda path: inference.tag(path, model),
            lambda path: inference.embed(path, model),
        ):
            message = said_of(function, folder / name)
            assert word in message, (name, message)
            assert name in message
        assert time.monotonic() - began < 20, name


_LIMITED = """
import json, resource, sys
from mclass import datasets, inference, models
from mclass.cli import main
folder, out = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (3 << 29)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
model = models.create("cnn_1d", num_tags=2)
models.save(model, out + "/model.pt", tags=["a", "b"])
codes = {}
for command in (
    ["tag", folder, "--model", out + "/model.pt", "--json"],
    ["embed", folder, "--model", out + "/model.pt", "--out", out + "/index.npz"],
    ["data", "check", "folder", "--root", folder],
    ["data", "prepare", "folder", "--root", folder, "--out", out + "/prepared", "--skip-bad"],
    ["train", "--dataset", "folder", "--root", folder, "--skip-bad", "--model", "cnn_1d", "--epochs", "1",
     "--out", out + "/run"],
):
    try:
        codes[command[0] + command[1][:5]] = main(command)
    except SystemExit as end:
        codes[command[0] + command[1][:5]] = end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"codes": list(codes.values()), "megabytes": (peak - before) // 1024}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does it")
def test_one_bad_file_never_ends_a_batch(tmp_path):
    """Ten good files and one of each bad kind, in a process that may not take more than 1.5 GB on top."""
    music = tmp_path / "music"
    for label, pitch in (("low", 0.02), ("high", 0.2)):
        (music / label).mkdir(parents=True)
        for number in range(5):
            noise = 0.1 * np.random.default_rng(number).normal(size=80_000)
            soundfile.write(
                music / label / f"{number}.wav", noise + 0.2 * np.sin(np.arange(80_000) * pitch), 16_000
            )
    said = hostile_audio.write_hostile(music / "low")
    result = subprocess.run(
        [sys.executable, "-c", _LIMITED, music, tmp_path], capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    *output, last = result.stdout.splitlines()
    found = json.loads(last)
    assert found["codes"] == [0, 0, 1, 0, 0]  # `data check` has found problems
    assert found["megabytes"] < 1000
    tagged = {json.loads(line)["file"] for line in output if line.startswith("{")}
    assert sum(name.endswith(tuple(f"{n}.wav" for n in range(5))) for name in tagged) == 10
    for name in said:  # by `tag`, by name
        assert name in result.stderr, name
    assert len(datasets.load("prepared", root=tmp_path / "prepared")) == 10


def test_the_limit_on_length_is_said_and_can_be_raised(tmp_path, monkeypatch, model):
    path = tmp_path / "a.flac"
    path.write_bytes(hostile_audio.long_flac(0.5))
    assert audio.info(path).seconds == pytest.approx(1800, abs=5)
    monkeypatch.setenv("MCLASS_MAX_HOURS", "0.4")
    for function in (audio.read, audio.blocks, lambda path, _: inference.tag(path, model)):
        with pytest.raises(AudioError, match=r"has 0\.5 hours, more than the 0\.4 .* MCLASS_MAX_HOURS"):
            function(path, 8000)
    part = audio.read(path, 8000, 8000 * 1000, 8000)
    assert np.allclose(part, 1000 / 32768, atol=1e-4)
    (tmp_path / "x").mkdir()
    path.rename(tmp_path / "x" / "a.flac")
    with pytest.raises(DatasetError, match="MCLASS_MAX_HOURS"):
        datasets.load("folder", root=tmp_path)
    monkeypatch.setenv("MCLASS_MAX_HOURS", "0.6")
    assert len(audio.read(tmp_path / "x" / "a.flac", 8000)) == pytest.approx(1800 * 8000, abs=40_000)
    monkeypatch.setenv("MCLASS_MAX_HOURS", "many")
    with pytest.raises(AudioError, match="MCLASS_MAX_HOURS='many' must be a number of hours"):
        audio.read(tmp_path / "x" / "a.flac", 8000)


@pytest.mark.parametrize("rate", [1, 10, 999, 1_000_001, 2**31 - 1])
def test_rates_outside_the_range_are_refused(tmp_path, rate):
    (tmp_path / "a.wav").write_bytes(hostile_audio.wav(rate, 1, bytes(range(250)) * 40))
    with pytest.raises(AudioError, match=r"a\.wav: (its header gives a sample rate of|is not audio)"):
        audio.read(tmp_path / "a.wav", 16_000)
    with pytest.raises(AudioError, match="from 1000 to 1000000"):
        audio.resample(torch.ones(100), rate, 16_000)


@pytest.mark.parametrize("rate", audio.RATES)
def test_the_ends_of_the_range_are_read(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.full(rate, 0.25), rate)
    waveform = audio.read(tmp_path / "a.wav", 16_000)
    assert len(waveform) == 16_000
    assert waveform[4000:12_000].numpy() == pytest.approx(0.25, abs=1e-3)


TONE = 0.5 * np.sin(np.arange(64_000) / 5)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"subtype": "PCM_16"}),
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "PCM_U8"}),
        ("au", {"subtype": "ULAW"}),
        ("flac", {}),
        ("ogg", {}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", {}),
    ],
)
@pytest.mark.parametrize("level", [1.0, 0.02])
def test_channels_that_cancel_are_named(tmp_path, model, suffix, options, level):
    if (options.get("subtype"), level) == ("PCM_U8", 0.02):
        pytest.skip("two steps: nothing tells such a file from noise")
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, level * np.stack([TONE, -TONE], axis=1), 16_000, **options)
    for function in (
        lambda: audio.read(path, 16_000),
        lambda: [*audio.blocks(path, 8000)],
        lambda: inference.tag(path, model),
        lambda: inference.embed(path, model),
    ):
        with pytest.raises(AudioError, match=r"the channels cancel each other"):
            function()
    with pytest.warns(UserWarning, match="the channels cancel each other .* in the part"):
        audio.read(path, 16_000, 8000, 16_000)


def test_more_than_two_channels_that_cancel(tmp_path):
    other = 0.3 * np.cos(np.arange(64_000) / 11)
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, other, -TONE - other], axis=1), 16_000)
    with pytest.raises(AudioError, match="channels cancel"):
        audio.read(tmp_path / "a.wav", 16_000)


@pytest.mark.parametrize(
    "other", [0 * TONE, 0.9 * TONE, -0.9 * TONE, np.where(np.arange(64_000) < 40_000, -TONE, TONE)]
)
def test_channels_that_do_not_cancel(tmp_path, other):
    """One is silent, they are alike, they nearly cancel (-26 dB), they cancel in a part only."""
    stereo = np.stack([TONE, other], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav", 16_000), stereo.mean(axis=1), atol=1e-6)
    soundfile.write(tmp_path / "silent.wav", 0 * stereo, 16_000)
    assert not audio.read(tmp_path / "silent.wav", 16_000).any()


@pytest.mark.parametrize("value", [1e-40, 1e-10, 10.0, 1e4, 2.0**31, 1e10, 3e38])
def test_scores_are_finite_or_the_file_is_refused(tmp_path, model, value):
    soundfile.write(tmp_path / "a.wav", np.float32(value) * np.sin(np.arange(64_000) / 5), 16_000, subtype="FLOAT")
    if 2**-16 <= value <= 2**31:
        assert np.isfinite(inference.tag(tmp_path / "a.wav", model).taggram).all()
        return
    with pytest.raises(AudioError, match=r"a\.wav: (is silent|\d+ samples from .* s on are as large as)"):
        inference.tag(tmp_path / "a.wav", model)


def test_a_model_that_returns_nan_is_named(model):
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(AudioError, match="the model returns NaN or infinite values"):
        inference.tag(TONE.astype(np.float32), model, sample_rate=16_000)


# --- what only ffmpeg reads -----------------------------------------------------------------------------------

ENCODED = {  # suffix -> container, encoder
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "mka": ("matroska", "pcm_s16le"),
    "webm": ("webm", "libopus"),
    "wma": ("asf", "wmav2"),
    "wv": ("wv", "wavpack"),
    "ac3": ("ac3", "ac3"),
    "mp2": ("mp2", "mp2"),
    "tta": ("tta", "tta"),
    "caf": ("caf", "pcm_s16be"),
    "w64": ("w64", "pcm_s16le"),
    "aifc": ("aiff", "pcm_s16be"),
    "snd": ("au", "pcm_s16be"),
    "mp3.mka": ("matroska", "libmp3lame"),
}


def encode(path, suffix, stereo, rate):
    """A file as ffmpeg writes it."""
    container, codec = ENCODED[suffix]
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo.T, np.float32), "fltp", "stereo")
        frame.sample_rate = rate
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "stereo", rate, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", ENCODED)
def test_formats_of_ffmpeg(tmp_path, suffix):
    rate = 48_000
    t = np.arange(2 * rate) / rate
    tone = 0.4 * np.sin(2 * np.pi * (300 + 400 * t) * t)
    (tmp_path / "tones").mkdir()
    path = tmp_path / "tones" / f"a.{suffix}"
    try:
        encode(path, suffix, np.stack([tone, 0.5 * tone], axis=1), rate)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV does not write {suffix}: {error}")
    found = audio.info(path)
    assert (found.sample_rate, found.channels) == (rate, 2)
    assert found.seconds == pytest.approx(2, abs=0.1)
    whole = audio.read(path, rate)
    assert len(whole) == found.num_samples
    assert audio_cases.alike(whole.numpy(), audio_cases.by_ffmpeg(path)[0]) > 0.9999
    assert float(whole.std()) == pytest.approx(0.75 * tone.std(), rel=0.05)
    if suffix != "wma":  # whose encoder does not keep phases
        assert audio_cases.alike(whole.numpy(), tone) > 0.97
    for start, count in ((0, 1000), (40_001, 20_000), (len(whole) - 5000, 5000)):
        torch.testing.assert_close(audio.read(path, rate, start, count), whole[start : start + count])
    assert torch.equal(torch.cat([*audio.blocks(path, 16_000)]), audio.read(path, 16_000))
    assert path.suffix in audio.SUFFIXES
    path.rename(path.with_suffix(path.suffix.upper()))
    from mclass.cli.options import expand

    assert len(expand([str(tmp_path)])) == 1


READERS = {
    "info": audio.info,
    "problem": audio.problem,
    "read": lambda path: audio.read(path, 8000),
    "a part": lambda path: audio.read(path, 8000, 16_000, 8000),
    "blocks": lambda path: [*audio.blocks(path, 8000)],
}


@pytest.mark.parametrize(
    ("reader", "looked_at"),
    [*((reader, False) for reader in READERS), *((reader, True) for reader in ("read", "a part", "blocks"))],
)
def test_a_disk_that_fails_under_ffmpeg_is_an_error_of_the_file(tmp_path, monkeypatch, reader, looked_at):
    path = tmp_path / "a.mka"
    encode(path, "mka", np.stack([TONE, TONE], axis=1), 16_000)
    if looked_at:
        audio.info(path)
    real, middle = _decoding._Patient.read, path.stat().st_size // 3

    def read(self, size=-1):
        if self.tell() > middle:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, size)

    monkeypatch.setattr(_decoding._Patient, "read", read)
    with pytest.raises(AudioError, match=rf"^{re.escape(str(path))}: cannot be read: Input/output error\.$"):
        READERS[reader](path)
    monkeypatch.undo()
    assert len(audio.read(path, 8000)) == pytest.approx(len(TONE) / 2, abs=100)  # the disk is back


@pytest.mark.parametrize("suffix", ["mka", "wav"])
def test_a_file_that_vanishes_before_it_is_opened_is_an_error_of_the_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        soundfile.write(path, TONE, 16_000)
    else:
        encode(path, "mka", np.stack([TONE, TONE], axis=1), 16_000)
    blocks = audio.blocks(path, 8000)
    path.unlink()
    with pytest.raises(AudioError, match=rf"^{re.escape(str(path))}: .*[Nn]o such file"):
        next(blocks)


def test_a_truncated_m4a_says_how_much_is_missing(tmp_path):
    path = tmp_path / "a.mka"
    encode(path, "mka", np.stack([TONE, TONE], axis=1), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"promises 4\.00 s, [12]\.\d\d s of them"):
        assert 16_000 < len(audio.read(path, 16_000)) < 48_000


def test_a_stream_that_changes_its_rate_and_its_channels_says_so(tmp_path):
    path = tmp_path / "a.mp3"
    content = b""
    for rate, channels in ((22_050, 1), (44_100, 2)):
        tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
        soundfile.write(path, np.stack([tone] * channels, axis=1), rate)
        content += path.read_bytes()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"channels changes from 1 to 2.*rate changes from 22050 to 44100 Hz"):
        waveform = audio.read(path, 22_050)
    assert len(waveform) / 22_050 == pytest.approx(4, abs=0.2)
    for second in (0.5, 2.8):  # the same pitch in both
        part = waveform[int(second * 22_050) :][:16_384].numpy() * np.hanning(16_384)
        assert np.abs(np.fft.rfft(part)).argmax() * 22_050 / 16_384 == pytest.approx(440, abs=2)


def test_playlists_and_names_lead_nowhere(tmp_path):
    """ffmpeg would follow them to other files."""
    soundfile.write(tmp_path / "secret.wav", TONE, 16_000)
    scripts = {
        "list.m4a": f"#EXTM3U\n#EXTINF:4,\n{tmp_path}/secret.wav\n",
        "concat.mka": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
    }
    for name, content in scripts.items():
        for prefix in (b"", b"\0\0\0\1"):
            (tmp_path / name).write_bytes(prefix + content.encode())
            with pytest.raises(AudioError, match="not audio"):
                audio.read(tmp_path / name, 16_000)
    for name in ("concat:secret.wav", "http://localhost/a.mp3", "pipe:0"):
        with pytest.raises(AudioError, match="no such file"):
            audio.read(name, 16_000)
