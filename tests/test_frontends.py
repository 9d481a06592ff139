"""The log-mel front end against torchaudio and librosa, and what it refuses."""

import librosa
import numpy as np
import pytest
import torch

from mclass.frontends import LogMel, mel_bands

torchaudio = pytest.importorskip("torchaudio")


@pytest.fixture
def waveform():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(3, 48000, generator=generator)
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(48000) / 16000)
    noise[1] = tone
    noise[2, 16000:] = 0  # silence reaches the floor of -100 dB
    return noise


def reference(waveform, top_db=None, **options):
    options = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 96, "f_max": 8000.0} | options
    mel = torchaudio.transforms.MelSpectrogram(**options)(waveform)
    to_db = torchaudio.transforms.AmplitudeToDB(top_db=top_db)
    return torch.stack([to_db(clip) for clip in mel])[:, None]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_db": 40.0},
        {"sample_rate": 22050, "n_fft": 1024, "hop_length": 300, "n_mels": 64, "f_max": 11025.0, "f_min": 50.0},
    ],
)
def test_equals_torchaudio(waveform, options):
    ours, theirs = LogMel(**options)(waveform), reference(waveform, **options)
    assert ours.shape == theirs.shape
    # The pure tone leaves distant bands to rounding errors 150 dB below it; compare where there is signal.
    loud = theirs > -60
    assert (ours - theirs)[loud].abs().max() < 1e-4
    assert (ours - theirs)[[0, 2]].abs().max() < 2e-5


def test_bands_equal_librosa():
    expected = librosa.filters.mel(sr=16000, n_fft=512, n_mels=96, fmax=8000, htk=True, norm=None)
    np.testing.assert_allclose(mel_bands(16000, 512, 96, 0, 8000).T.numpy(), expected, atol=2e-5)


def test_power_of_a_known_tone():
    # A full-scale sine at the centre of bin 64 (2 kHz): Hann window of 512 sums to 256, half of it goes to +2 kHz.
    waveform = torch.sin(2 * torch.pi * 2000 * torch.arange(16000) / 16000)[None]
    frame = LogMel()(waveform)[0, 0, :, 30]
    weights = mel_bands(16000, 512, 96, 0, 8000)[62:67]
    leak = torch.tensor([0.0, 0.5, 1.0, 0.5, 0.0]) ** 2  # the Hann window's main lobe
    expected = 10 * torch.log10((leak @ weights) * 128**2)
    assert frame.argmax() == expected.argmax()
    assert frame.max() == pytest.approx(expected.max().item(), abs=1e-3)


def test_frames_buffers_and_gradient(waveform):
    frontend = LogMel()
    assert frontend(waveform).shape == (3, 1, 96, 188)
    assert frontend(waveform[:, : frontend.min_samples]).shape == (3, 1, 96, 2)
    assert frontend.state_dict() == {}
    assert not list(frontend.parameters())
    waveform.requires_grad_()
    frontend(waveform).sum().backward()
    assert waveform.grad.isfinite().all()


def test_autocast_keeps_float32(waveform):
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(LogMel()(waveform), LogMel()(waveform.detach()), rtol=0, atol=0)
        assert LogMel()(waveform).dtype == torch.float32


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(2, 1, 48000), r"\(2, 1, 48000\).*channel"),
        (torch.zeros(48000), "batch of one"),
        (torch.zeros(2, 1, 96, 188), "spectrogram"),
        (torch.zeros(2, 48000, dtype=torch.int16), "torch.int16.*32768"),
        (torch.zeros(2, 256), "257 samples"),
        (torch.zeros(0, 48000), "at least 1 row"),
        (np.zeros((2, 48000), np.float32), "from_numpy"),
    ],
)
def test_wrong_waveforms_are_refused(waveform, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(waveform)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"f_max": 9000}, "half the sample rate"),
        ({"f_min": 8000}, "must rise"),
        ({"n_mels": 0}, "n_mels must be at least 1"),
        ({"top_db": -3}, "top_db"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**options)
