"""The page of tagged recordings: what is in it, that it is safe, and how it behaves in a browser."""

import base64
import io
import json
from pathlib import Path
from urllib.parse import unquote

import browsing
import numpy as np
import pytest
import soundfile
from bs4 import BeautifulSoup

from mclass import report
from mclass.inference import TagResult

NASTY = "<script>alert(1)</script>\"'&amp;{{data}}"


def result(file=None, chunks=7, hop=1.0, length=3.0, tags=("slow", "harp", "loud"), seed=0, **options):
    taggram = np.random.default_rng(seed).random((chunks, len(tags))).astype(np.float32)
    return TagResult(list(tags), taggram.mean(0), taggram, hop, length, file=file, **options)


def song(path, seconds=9.0, rate=16_000):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, tone, rate, format="FLAC")
    return str(path)


def read(path):
    page = BeautifulSoup(Path(path).read_text(encoding="utf-8"), "html.parser")
    return page, [json.loads(one.string) for one in page.find_all("script", type="application/json")]


def test_the_page_holds_scores_taggram_and_sound(tmp_path):
    one = result(song(tmp_path / "a.flac"))
    page, data = read(one.to_html(tmp_path / "page.html"))
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])[:2]] for row in page.tbody.find_all("tr")]
    assert rows == [[tag, f"{score:.2f}"] for tag, score in one.top(3)]
    assert data[0]["tags"] == [tag for tag, _ in one.top(3)]
    for tag, row in zip(data[0]["tags"], data[0]["rows"], strict=True):
        np.testing.assert_allclose(row, 100 * one.taggram[:, one.tags.index(tag)], atol=0.51)
    assert (data[0]["hop"], data[0]["chunk"], data[0]["duration"]) == (1.0, 3.0, 9.0)
    kind, _, encoded = page.audio["src"].partition(",")
    assert kind == "data:audio/mpeg;base64"
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
    assert len(sound) / rate == pytest.approx(9.0, abs=0.1)
    peak = np.fft.rfftfreq(len(sound), 1 / rate)[np.abs(np.fft.rfft(sound)).argmax()]
    assert peak == pytest.approx(440, abs=1)
    assert page.audio["aria-label"] == "a.flac"
    assert "not tagged" not in page.section.p.get_text()
    page, _ = read(result(song(tmp_path / "b.flac"), duration=9.4).to_html(tmp_path / "page.html"))
    assert "the last 0.4 s do not fill a chunk and are not tagged" in page.section.p.get_text()
    assert not page.find_all(["link", "img", "iframe"])
    assert [tag.name for tag in page.find_all(src=True)] == ["audio"]


def test_names_are_text_never_markup(tmp_path):
    name = NASTY.replace("/", "")
    page, data = read(report.write(tmp_path / "p.html", [result(song(tmp_path / name), tags=(NASTY, "b", "c"))]))
    assert page.h1.get_text() == page.title.get_text() == name
    assert len(page.find_all("script")) == 2  # the data and the page's own
    assert page.audio["aria-label"] == name
    assert NASTY in data[0]["tags"]
    assert NASTY in [cell.get_text() for cell in page.find_all("th")]


def test_long_recordings_are_played_from_their_files(tmp_path):
    (tmp_path / "music").mkdir()
    long = song(tmp_path / "music" / "50 % #1?.flac")
    result_of_long = result(long, duration=report.EMBEDDED_SECONDS + 1.0)
    page, _ = read(report.write(tmp_path / "pages.html", [result_of_long]))
    assert unquote(page.audio["src"]) == "music/50 % #1?.flac"
    assert not set("#?") & set(page.audio["src"])  # they would end the path
    assert "original files" in page.get_text()
    assert (tmp_path / "pages.html").stat().st_size < 20_000


def test_a_player_for_notebooks_is_the_same_thing(tmp_path):
    one = result(song(tmp_path / "a.flac"))
    page, (data,) = read(one.to_html(tmp_path / "page.html"))
    shown = BeautifulSoup(one.player()._repr_html_(), "html.parser")
    assert str(shown.section) == str(page.section)
    assert data["tags"] == [tag for tag, _ in one.top(3)]
    assert BeautifulSoup(result().player(np.zeros(9000), 1000, top=1)._repr_html_(), "html.parser").audio
    with pytest.raises(ValueError, match="301 s are too long for a notebook"):
        result(duration=301.0).player(np.zeros(9000), 1000)


def test_several_recordings_and_arrays(tmp_path):
    a, b = song(tmp_path / "a.flac"), song(tmp_path / "b.flac")
    page, data = read(report.write(tmp_path / "p.html", [result(a), result(b, seed=1)], model="mtat/musicnn"))
    assert [summary.strong.get_text() for summary in page.find_all("summary")] == ["a.flac", "b.flac"]
    assert (len(page.find_all("audio")), len(data)) == (2, 2)
    assert "mtat/musicnn" in page.get_text()
    page, _ = read(result().to_html(tmp_path / "silent.html"))
    assert page.audio is None
    page, _ = read(result().to_html(tmp_path / "array.html", np.zeros(9 * 12_345), 12_345))
    assert page.audio["src"].startswith("data:audio/mpeg")
    with pytest.raises(ValueError, match="no results"):
        report.write(tmp_path / "none.html", [])


def test_three_minutes_fit_into_two_megabytes(tmp_path):
    noise = 0.2 * np.random.default_rng(0).standard_normal(180 * 16_000)  # nothing is harder to compress
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    path = result(str(tmp_path / "noise.wav"), chunks=60, hop=3.0, tags=[f"tag {i}" for i in range(50)]).to_html(
        tmp_path / "p.html"
    )
    assert path.stat().st_size < 2e6


def test_the_cursor_follows_the_sound_and_clicks_seek(tmp_path):
    one = result(song(tmp_path / "a.flac"))
    report.write(tmp_path / "page.html", [one])
    with browsing.chromium() as browser:
        for width, scheme in ((1100, "light"), (390, "dark")):
            tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            problems = []
            tab.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
            tab.on("request", lambda request, problems=problems: problems.append(request.url))
            tab.goto((tmp_path / "page.html").as_uri())
            tab.wait_for_function("document.querySelector('audio').readyState > 0")
            tab.evaluate("document.querySelector('audio').currentTime = 4.5")
            tab.wait_for_function("document.querySelector('.cursor').style.left.startsWith('50')", timeout=5000)
            best = one.tags[int(one.taggram[4].argmax())]
            assert tab.inner_text(".now").startswith(f"At 0:04: {best} ")
            box = tab.locator(".track").bounding_box()
            tab.mouse.click(box["x"] + box["width"] / 3, box["y"] + 10)
            assert tab.evaluate("document.querySelector('audio').currentTime") == pytest.approx(3, abs=0.1)
            tab.locator(".track").focus()
            tab.keyboard.press("ArrowRight")
            assert tab.evaluate("document.querySelector('audio').currentTime") == pytest.approx(4, abs=0.1)
            # The strongest tag's row in the picture: the more probable, the more colour.
            shades = tab.evaluate(
                """() => { const c = document.querySelector('canvas'), x = c.getContext('2d');
                return [...Array(7)].map((_, i) => x.getImageData((i + .5) / 9 * c.width, 5, 1, 1).data[3]); }"""
            )
            column = one.taggram[:, one.tags.index(one.top(1)[0][0])]
            np.testing.assert_allclose(np.array(shades) / 255, column, atol=0.02)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            others = [url for url in problems if not url.startswith(("data:", (tmp_path / "page.html").as_uri()))]
            assert not others
            tab.close()
