"""Decoding, partial reads, resampling and what is refused."""

import math

import bad_audio
import librosa
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mclass import audio
from mclass.audio import _decoding
from mclass.errors import AudioError

LOSSY = ("ogg", "opus", "mp3", "vbr.mp3")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every format, stereo, 44.1 kHz (opus: 48 kHz), 4 s."""
    folder = tmp_path_factory.mktemp("formats")
    return {
        suffix: bad_audio.write(
            folder, suffix, bad_audio.sweep(4.0, 48_000 if suffix == "opus" else 44_100, channels=2),
            48_000 if suffix == "opus" else 44_100,
        )
        for suffix in bad_audio.FORMATS
    }  # fmt: skip


@pytest.mark.parametrize("suffix", bad_audio.FORMATS)
def test_whole_file_is_the_mean_of_what_was_written(files, suffix):
    rate = 48_000 if suffix == "opus" else 44_100
    written = bad_audio.sweep(4.0, rate, channels=2).mean(axis=1)
    found = audio.info(files[suffix])
    assert (found.sample_rate, found.num_samples, found.channels) == (rate, written.size, 2)
    waveform = audio.read(files[suffix], rate)
    assert waveform.dtype == torch.float32
    assert waveform.shape == written.shape
    error = np.sqrt(np.mean((waveform.numpy()[: rate * 2] - written[: rate * 2]) ** 2))  # the tone
    assert error < (0.02 if suffix in LOSSY else 1e-4)


@pytest.mark.parametrize("suffix", bad_audio.FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_part_equals_the_same_part_of_the_whole(files, suffix, data):
    rate = data.draw(st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]), label="rate")
    whole = audio.read(files[suffix], rate)
    start = data.draw(st.integers(0, len(whole) - 1), label="start")
    length = data.draw(st.integers(1, len(whole) - start), label="num_samples")
    part = audio.read(files[suffix], rate, start, length)
    torch.testing.assert_close(part, whole[start : start + length], atol=1e-4, rtol=0)


def test_one_decode_call_gives_the_whole_variable_rate_mp3(files):
    # Block-wise reading through soundfile seeks between the blocks and spoils the frames after each seek.
    reference, rate = soundfile.read(files["vbr.mp3"], dtype="float32")
    np.testing.assert_allclose(audio.read(files["vbr.mp3"], rate), reference.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
@pytest.mark.parametrize("suffix", bad_audio.FORMATS)
def test_blocks_join_to_the_whole(files, suffix, rate, monkeypatch):
    monkeypatch.setattr(_decoding, "_BLOCK", 30_011)
    blocks = [*audio.blocks(files[suffix], rate)]
    assert len(blocks) > 5
    assert torch.equal(torch.cat(blocks), audio.read(files[suffix], rate))


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_every_part_up_to_the_end_of_an_ogg(tmp_path, suffix):
    # libvorbis misplaces seeks into the last page.
    path = bad_audio.write(tmp_path, suffix, bad_audio.sweep(3.0, 48_000), 48_000)
    whole = audio.read(path, 48_000)
    for start in [*range(0, 120_000, 20_011), *range(120_000, len(whole), 1777)]:
        torch.testing.assert_close(audio.read(path, 48_000, start), whole[start:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("suffix", ["mp3", "vbr.mp3"])
def test_mp3_that_does_not_say_its_length(tmp_path, suffix):
    rate = 22_050
    path = bad_audio.write(tmp_path, suffix, bad_audio.sweep(6.0, rate), rate)
    bare, whole = audio.read(bad_audio.without_xing(path), rate), audio.read(path, rate)
    assert audio.info(bad_audio.without_xing(path)).num_samples == len(bare)
    # Without that frame the encoder's delay is not cut off: the same sound, later, at most three frames longer.
    assert 0 < len(bare) - len(whole) < 3 * 1152
    delay = next(
        d
        for d in range(len(bare) - len(whole) + 1)
        if torch.allclose(bare[d:][:20_000], whole[:20_000], atol=1e-4)
    )
    torch.testing.assert_close(bare[delay:][: len(whole) - 1152], whole[:-1152], atol=1e-3, rtol=0)
    torch.testing.assert_close(audio.read(bad_audio.without_xing(path), rate, 70_000, 9000), bare[70_000:79_000])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22_050, 2), (192_000, 8), (11_025, 1), (44_101, 1)])
def test_any_rate_and_channel_count(tmp_path, rate, channels):
    sound = bad_audio.sweep(1.5, rate, channels)
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    waveform = audio.read(tmp_path / "a.wav", 16_000)
    assert len(waveform) == math.ceil(len(sound) * 16_000 / rate)
    reference = librosa.resample(
        sound.mean(axis=1).astype(np.float32), orig_sr=rate, target_sr=16_000, res_type="soxr_hq"
    )
    np.testing.assert_allclose(waveform[: len(reference) - 50], reference[: len(waveform) - 50], atol=1e-4)
    part = audio.read(tmp_path / "a.wav", 16_000, 9000, 5000)
    torch.testing.assert_close(part, waveform[9000:14_000], atol=1e-4, rtol=0)


@given(
    n=st.integers(1, 300),
    rates=st.sampled_from([(44_100, 16_000), (16_000, 44_100), (192_000, 8000), (8000, 8000)]),
)
@settings(max_examples=40, deadline=None)
def test_length_after_resampling(n, rates):
    assert len(audio.resample(torch.ones(n), *rates)) == math.ceil(n * rates[1] / rates[0])
    assert audio.target_length(n, *rates) == math.ceil(n * rates[1] / rates[0])


def test_a_part_is_read_without_the_rest(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.flac", bad_audio.sweep(30.0, 16_000), 16_000)
    read, decoded = soundfile.SoundFile.read, []
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames=-1, **kw: decoded.append(frames) or read(self, frames, **kw),
    )
    audio.read(tmp_path / "long.flac", 22_050, start=200_000, num_samples=22_050)
    assert sum(decoded) < 16_000 * 1.1  # one second and the margin


def test_bad_files_get_one_clear_error(tmp_path):
    for kind, (path, word) in bad_audio.bad_files(tmp_path).items():
        if kind in bad_audio.CUT:
            continue
        for function in (audio.info, lambda p: audio.read(p, 16_000), lambda p: audio.blocks(p, 16_000)):
            with pytest.raises(AudioError) as caught:
                function(path)
            message = str(caught.value)
            assert str(path) in message, kind
            assert word in message, (kind, message)
            assert "\n" not in message, kind
            assert not any(word in message.lower() for word in ("libsndfile", "psf_", "system error")), message
            assert caught.value.__suppress_context__ or not caught.value.__context__, (
                kind
            )  # no library's traceback


def test_cut_files_are_read_as_far_as_they_go_with_a_warning(tmp_path):
    word, sound = "truncated", bad_audio.sweep(6.0, 16_000)
    for kind in bad_audio.CUT:
        path = bad_audio.cut(bad_audio.write(tmp_path, kind.removeprefix("cut "), sound, 16_000), 0.6)
        with pytest.warns(UserWarning, match=word) as caught:
            waveform = audio.read(path, 16_000)
        assert str(path) in str(caught[0].message)
        assert 2 < len(waveform) / 16_000 < 5, kind  # 0.6 of the bytes of 6 s
        found = audio.info(path)
        assert len(waveform) == audio.target_length(found.num_samples, found.sample_rate, 16_000)
        assert word in audio.problem(path)
        with pytest.warns(UserWarning, match=word):
            pieces = [*audio.blocks(path, 16_000)]
        assert torch.equal(torch.cat(pieces), waveform), kind
        with pytest.raises(AudioError, match="truncated"):
            audio.read(path, 16_000, start=48_000, num_samples=47_000)


def test_not_finite_samples_are_counted(tmp_path):
    path = bad_audio.with_nan(tmp_path)
    with pytest.raises(AudioError, match="3 of 8000 samples are NaN or infinite"):
        audio.read(path, 16_000)
    assert audio.read(path, 16_000, start=100).isfinite().all()
    with pytest.raises(AudioError, match=r"3 samples from 0.00 s on are NaN or infinite"):
        next(audio.blocks(path, 16_000))


def test_silence_and_a_single_sample_are_audio(tmp_path):
    soundfile.write(tmp_path / "silent.flac", np.zeros(1600), 16_000)
    soundfile.write(tmp_path / "one.wav", np.full(1, 0.5), 16_000, subtype="FLOAT")
    assert not audio.read(tmp_path / "silent.flac", 16_000).any()
    assert audio.read(tmp_path / "one.wav", 16_000).tolist() == [0.5]
    assert audio.read(tmp_path / "one.wav", 8000).shape == (1,)


@pytest.mark.parametrize("part", [(-1, 10), (0, 0), (0, 16_001), (16_000, 1), (20_000, None)])
def test_a_part_outside_the_file(tmp_path, part):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(AudioError, match=r"the file has 16000 samples \(1.00 s\)"):
        audio.read(tmp_path / "a.wav", 16_000, *part)


def test_seconds_are_not_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(AudioError, match=r"start is a whole number of samples, got 0\.5"):
        audio.read(tmp_path / "a.wav", 16_000, start=0.5)


@pytest.mark.parametrize("rate", [0, -16_000, 16_000.5, "16000", None, 10**9, True])
def test_bad_rates(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 16_000)
    with pytest.raises(AudioError, match="whole number of Hz"):
        audio.read(tmp_path / "a.wav", rate)


def test_guesses_a_misspelt_name(tmp_path):
    (tmp_path / "guitar.wav").touch()
    (tmp_path / "guitra.csv").touch()  # closer, but no audio
    with pytest.raises(AudioError, match=r"did you mean 'guitar.wav'"):
        audio.info(tmp_path / "guitra.wav")


def test_says_where_a_dead_link_leads(tmp_path):
    try:
        (tmp_path / "a.wav").symlink_to(tmp_path / "disk" / "b.wav")
    except OSError:
        pytest.skip("this system does not allow symbolic links")
    with pytest.raises(AudioError, match=r"a\.wav: is a link to .*b\.wav, no such file\. Is its disk"):
        audio.info(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_save_and_read_back(tmp_path, suffix):
    sound = torch.from_numpy(bad_audio.sweep(2.0, 16_000)[:, 0]).float()
    audio.save(tmp_path / f"a.{suffix}", sound, 16_000)
    back = audio.read(tmp_path / f"a.{suffix}", 16_000)
    assert back.shape == sound.shape
    assert (back - sound)[:16_000].square().mean().sqrt() < (1e-4 if suffix in ("wav", "flac") else 0.02)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{suffix}"]


def test_save_a_minute_of_ogg(tmp_path):
    """Written at once, it overflows the stack in libvorbis."""
    sound = 0.1 * torch.sin(torch.arange(60 * 44_100) * 0.05)
    audio.save(tmp_path / "a.ogg", sound, 44_100)
    assert (audio.read(tmp_path / "a.ogg", 44_100) - sound).square().mean().sqrt() < 0.01


@pytest.mark.parametrize(
    ("name", "sound", "rate", "word"),
    [
        ("a.wav", torch.zeros(0), 16_000, "shape"),
        ("a.wav", torch.zeros(2, 10), 16_000, "shape"),
        ("a.wav", torch.tensor([0.0, float("nan")]), 16_000, "1 of 2 samples"),
        ("a.xyz", torch.zeros(10), 16_000, "use .wav"),
        ("a.opus", torch.zeros(10), 44_100, "cannot hold a rate of 44100"),
        ("no/a.wav", torch.zeros(10), 16_000, "cannot be written"),
    ],
)
def test_save_refuses_and_leaves_nothing(tmp_path, name, sound, rate, word):
    with pytest.raises(AudioError, match=word):
        audio.save(tmp_path / name, sound, rate)
    assert not list(tmp_path.iterdir())
