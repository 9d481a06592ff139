"""Players: what they hold decodes back to what was given, and labels cannot break the page."""

from __future__ import annotations

import base64
import io
import json
import re

import browsing
import numpy as np
import pytest
import soundfile
import torch
from bs4 import BeautifulSoup

from mclass import listen
from mclass.errors import AudioError

RATE = 16_000


def tone(seconds: float, level: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def decode(element) -> tuple[np.ndarray, int]:
    head, data = element["src"].split(",", 1)
    assert head.endswith(";base64")
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def audio_elements(shown) -> list:
    return BeautifulSoup(shown._repr_html_(), "html.parser").find_all("audio")


@pytest.mark.parametrize("format", sorted(listen.FORMATS))
@pytest.mark.parametrize("seconds", [0.05, 1.0, 2.5])
def test_bytes_decode_to_the_same_sound(format, seconds):
    (element,) = audio_elements(listen.player(torch.from_numpy(tone(seconds)).float(), RATE, "A4", format))
    samples, rate = decode(element)
    assert rate == RATE
    # MP3 pads to whole frames of at most 1152 samples and delays by as much; the others are exact.
    slack = 2 * 1152 / RATE if format == "mp3" else 0
    assert abs(len(samples) / rate - seconds) <= slack + 1e-9
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * rate / len(samples) - 440) < 1.5 / seconds


def test_same_input_same_bytes():
    assert listen.encode(tone(1), RATE) == listen.encode(tone(1), RATE)


def test_mp3_is_small():
    assert len(listen.encode(tone(5), RATE)) < 5 * RATE * 2 / 4


@pytest.mark.parametrize(
    ("level", "normalize", "peak"), [(4.0, False, 1.0), (0.01, False, 0.01), (0.01, True, 0.9), (4.0, True, 0.9)]
)
def test_levels(level, normalize, peak):
    data = listen.encode(tone(0.5, level), RATE, "wav", normalize)
    samples, _ = soundfile.read(io.BytesIO(data))
    assert np.abs(samples).max() == pytest.approx(peak, rel=0.01)
    # Scaled, not clipped: a clipped sine has harmonics.
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum[round(3 * 440 * 0.5)] < 1e-2 * spectrum.max()


def test_silence_stays_silence():
    samples, _ = soundfile.read(io.BytesIO(listen.encode(np.zeros(RATE), RATE, "wav", normalize=True)))
    assert not samples.any()


def test_labels_are_escaped_and_spoken():
    label = "<script>alert(\"x\")</script> & 'more'"
    shown = listen.players([(label, tone(0.2)), ("plain", tone(0.2))], RATE)
    page = BeautifulSoup(shown._repr_html_(), "html.parser")
    assert page.find("script") is None
    assert page.find("audio").parent.find("div").text == label
    assert page.find("audio")["aria-label"] == f"{label}, 0.2 s"
    assert len(page.find_all("audio")) == 2


def test_player_without_label_still_has_a_name():
    (element,) = audio_elements(listen.player(tone(1), RATE))
    assert element["aria-label"] == "audio clip, 1.0 s"
    assert element.has_attr("controls")


def test_nothing_is_fetched():
    shown = listen.players([("a", tone(0.2))], RATE)._repr_html_()
    assert "http" not in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        ([], "shape"),
        (np.zeros((2, 100)), "stereo"),
        (0.5, "shape"),
        ([0.0, float("nan")], "1 of 2 samples"),
        ("song.mp3", "got str"),
        (None, "shape"),
    ],
)
def test_bad_waveforms(waveform, message):
    with pytest.raises(AudioError, match=message):
        listen.player(waveform, RATE)


@pytest.mark.parametrize("rate", [0, -16_000, 16_000.5, None, "16k"])
@pytest.mark.parametrize("format", ["wav", "mp3"])
def test_bad_rates(rate, format):
    with pytest.raises(AudioError, match=r"Hz"):
        listen.player(tone(1), rate, format=format)


def test_unknown_format_and_unusable_rate_say_what_to_do():
    with pytest.raises(ValueError, match="did you mean 'mp3'"):
        listen.player(tone(1), RATE, format="mp4")
    with pytest.raises(AudioError, match="format='wav'"):
        listen.player(tone(1), 96_000)


def test_a_tensor_with_a_gradient_plays():
    (element,) = audio_elements(listen.player(torch.zeros(1, RATE, requires_grad=True), RATE, "silence"))
    assert element["aria-label"] == "silence, 1.0 s"


def test_a_bad_clip_among_several_is_named():
    with pytest.raises(AudioError, match=r"clip 1 \('broken'\)"):
        listen.players([("good", tone(1)), ("broken", [])], RATE)
    with pytest.raises(AudioError, match="no clips"):
        listen.players([], RATE)


# The map


def page(**options):
    """A map of four clips."""
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    clips = [("a", tone), ("b <i>", tone), ("c", 0.5 * tone), ("d", tone)]
    given = {"points": [[0, 0], [2, 0], [0, 4], [2, 4]], "groups": ["one", "one", "two", "</script>"]} | options
    return listen.embedding_map(given.pop("points"), clips, 8000, **given)._repr_html_()


def test_each_point_of_a_map_is_a_clip_in_its_place():
    soup = BeautifulSoup(page(), "html.parser")
    points = soup.select(".clip")
    places = [re.search(r"translate\(([\d.]+),([\d.]+)\)", point["transform"]).groups() for point in points]
    assert [tuple(map(float, place)) for place in places] == [(20, 400), (620, 400), (20, 20), (620, 20)]
    assert [point["aria-label"] for point in points] == ["one: a", "one: b <i>", "two: c", "</script>: d"]
    assert len({point["fill"] for point in points}) == len({point["d"] for point in points}) == 3
    assert [item.get_text() for item in soup.select("li")] == ["one", "two", "</script>"]
    clips = json.loads(soup.find("script", type="application/json").string)
    for clip in clips:
        data = base64.b64decode(clip["source"].partition(",")[2])
        assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(1.0, abs=0.1)
    assert soup.audio["src"] == clips[0]["source"]
    assert "<li>" not in page(groups=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": [[0, 0]]}, r"shape \(4, 2\), one row per clip, got \(1, 2\)"),
        ({"points": [[0, 0], [1, 1], [2, 2], [3, float("nan")]]}, "finite"),
        ({"groups": ["x"]}, "got 1 for 4 clips"),
    ],
)
def test_maps_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        page(**options)


def test_a_map_names_a_clip_that_cannot_be_played():
    with pytest.raises(AudioError, match=r"clip 1 \(.silent.\)"):
        listen.embedding_map([[0, 0], [1, 1]], [("fine", np.zeros(8000)), ("silent", [])], 8000)
    with pytest.raises(ValueError, match="at most 8"):
        listen.embedding_map(np.zeros((9, 2)), [("x", np.zeros(8000))] * 9, 8000, [str(i) for i in range(9)])


def test_a_map_plays_what_is_clicked_or_walked_to(tmp_path):
    (tmp_path / "map.html").write_text(f"<!doctype html><meta charset=utf-8><body>{page()}{page()}")
    with browsing.chromium() as browser:
        tab = browser.new_page()
        errors = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((tmp_path / "map.html").as_uri())
        first, second = tab.locator(".mclass-map").all()
        first.locator(".clip").nth(2).click()
        assert first.locator(".now").text_content() == "two: c"
        assert second.locator(".now").text_content() == "one: a"  # maps do not disturb each other
        first.locator(".clip").nth(2).press("ArrowRight")
        assert first.locator(".now").text_content() == "</script>: d"
        tab.keyboard.press("ArrowDown")
        assert first.locator(".now").text_content() == "one: b <i>"
        assert first.locator(".chosen").count() == 1
        tab.wait_for_function("document.querySelector('.mclass-map audio').duration > 0.9")
    assert not errors
