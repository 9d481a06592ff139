"""No page, figure or report depends on the reader's fonts: each fits a phone in a wide and in a narrow family."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import browsing
import numpy as np
import pytest

from mclass import audio, interactive, listen, report
from mclass.inference import TagResult
from mclass_grading import board

sys.path.insert(0, str(browsing.check.ROOT / "book"))
import figures

NAMES = ["a recording with a long name (live in a large hall, remastered)", "a_name_that_can_break_nowhere" * 2]
TAGS = ["harp", "female vocalist", "unpronounceable-electroacoustic-improvisation"]
TEXTS = """() => [...document.querySelectorAll("text")].map(one => {
    const {x, y, width, height} = one.getBBox();
    return {words: one.textContent, x, y, width, height, angle: one.getAttribute("transform") || ""};
})"""


@pytest.fixture(scope="module")
def browser():
    with browsing.chromium() as browser:
        yield browser


def threshold_slider(folder):
    rng = np.random.default_rng(0)
    labels = rng.random((300, 3)) < 0.3
    return interactive.threshold_slider(labels, rng.random((300, 3)), TAGS)._repr_html_()


def picture_slider(folder):
    from matplotlib.figure import Figure

    pictures = {name: Figure((9, 2)) for name in ("a window of 8 ms", "a window of 64 milliseconds, zero-padded")}
    return interactive.picture_slider(pictures, NAMES, NAMES, label=NAMES[0], control=TAGS[2])._repr_html_()


def embedding_map(folder):
    clips = [(name, np.zeros(800)) for name in (*NAMES, "c")]
    return listen.embedding_map([[0, 0], [1, 1], [2, 0]], clips, 8000, TAGS)._repr_html_()


def players(folder):
    return listen.players([(name, np.zeros(800)) for name in NAMES], 8000)._repr_html_()


def tagged(folder):
    taggram = np.random.default_rng(0).random((7, 3)).astype(np.float32)
    results = []
    for name in NAMES:
        audio.save(folder / f"{name}.wav", np.zeros(72_000), 8000)
        path = str(folder / f"{name}.wav")
        results.append(TagResult(TAGS, taggram.mean(0), taggram, 1.0, 3.0, file=path, duration=9.0))
    return Path(report.write(folder / "page.html", results)).read_text(encoding="utf-8")


def leaderboard(folder):
    date = datetime(2025, 3, 1, 12, tzinfo=UTC).isoformat()
    entries = [board.Entry(name=name[:40], roc_auc=0.9, pr_auc=0.8, date=date) for name in NAMES]
    return board.page(entries, num_clips=600, num_tags=50)


@pytest.mark.parametrize("make", [threshold_slider, picture_slider, embedding_map, players, tagged, leaderboard])
def test_a_page_fits_a_phone_in_any_font(make, browser, tmp_path):
    page = make(tmp_path)
    if not page.startswith("<!doctype"):
        page = f"<!doctype html><meta charset=utf-8><body>{page}"
    (tmp_path / "shown.html").write_text(page, encoding="utf-8")
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto((tmp_path / "shown.html").as_uri())
    wider = {"installed": tab.evaluate(browsing.check.OVERFLOW)}
    for family in browsing.check.FAMILIES:
        tab.add_style_tag(content=browsing.check.force_family(family))
        wider[family] = tab.evaluate(browsing.check.OVERFLOW)
    tab.close()
    assert wider == dict.fromkeys(wider, 0)


@pytest.fixture(scope="module")
def drawings(browser):
    """Where each text of each drawing of the book stands, by family."""
    tab, found = browser.new_page(), {}
    for name, draw in figures.FIGURES.items():
        tab.set_content(f"<!doctype html><meta charset=utf-8><body style='width: 560px'>{draw()}")
        for family in browsing.check.FAMILIES:
            tab.add_style_tag(content=browsing.check.force_family(family))
            tab.evaluate(browsing.check.OVERFLOW)  # waits for the fonts
            found.setdefault(name, {})[family] = tab.evaluate(TEXTS)
    tab.close()
    return found


@pytest.mark.parametrize("name", figures.FIGURES)
def test_texts_of_a_drawing_take_the_same_room_in_any_font(name, drawings):
    wide, narrow = drawings[name].values()
    assert len(wide) > 2
    for one, other in zip(wide, narrow, strict=True):
        assert (other["x"], other["width"]) == pytest.approx((one["x"], one["width"]), abs=1.5), one["words"]
        if not one["angle"]:
            assert one["x"] >= 0, one["words"]
            assert one["x"] + one["width"] <= 560, one["words"]


@pytest.mark.parametrize("name", figures.FIGURES)
def test_texts_of_a_drawing_do_not_run_into_each_other(name, drawings):
    level = [one for one in drawings[name]["wide"] if not one["angle"]]
    for i, one in enumerate(level):
        for other in level[:i]:
            apart = abs(one["y"] + one["height"] / 2 - other["y"] - other["height"] / 2) > 8
            left, right = sorted((one, other), key=lambda text: text["x"])
            assert apart or left["x"] + left["width"] <= right["x"], (left["words"], right["words"])
