"""Figures that a reader moves: what they show is what mclass.metrics says, at every position, in a browser too."""

from __future__ import annotations

import base64
import io
import json
import re

import browsing
import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mclass import interactive, metrics

COUNTS = ("tp", "fp", "fn", "tn")
RATIOS = ("accuracy", "precision", "recall", "specificity", "f1")
HOSTILE = "</script><b id=\"x\" onclick='alert(1)'>&{{data}}"


def example(seed: int, num_clips: int = 200, num_tags: int = 1, share: float = 0.2):
    rng = np.random.default_rng(seed)
    labels = rng.random((num_clips, num_tags)) < share
    labels[0], labels[1] = True, False
    return labels, 1 / (1 + np.exp(1.5 - 2 * labels - rng.normal(size=labels.shape)))


def soup(figure) -> BeautifulSoup:
    return BeautifulSoup(figure._repr_html_(), "html.parser")


def carried(figure) -> dict:
    return json.loads(soup(figure).find("script", type="application/json").string)


def shown(element) -> dict[str, str]:
    return {one["data-value"]: one.get_text() for one in element.find_all("b", attrs={"data-value": True})}


def expected(labels, scores, threshold: float) -> dict[str, str]:
    """What has to stand on the page, for one tag."""
    row = metrics.tagwise(labels, scores, threshold=threshold).iloc[0]
    texts = {name: str(row[name]) for name in COUNTS}
    for name in RATIOS:  # halves are rounded up, as browsers do it; all ratios here are of small integers
        texts[name] = "–" if np.isnan(row[name]) else f"{np.floor(row[name] * 1000 + 0.5 + 1e-9) / 1000:.3f}"
    return texts


@pytest.mark.parametrize("num_clips", [16, 200])  # sixteenths end in an exact half
@pytest.mark.parametrize("threshold", [0.0, 0.13, 0.5, 0.77, 1.0])
def test_first_state_is_what_the_metrics_say(threshold, num_clips):
    labels, scores = example(0, num_clips)
    page = soup(interactive.threshold_slider(labels, scores, threshold=threshold))
    texts = shown(page)
    assert {name: texts[name] for name in (*COUNTS, *RATIOS)} == expected(labels, scores, threshold)
    assert float(texts["threshold"]) == threshold
    assert float(texts["rocAuc"]) == pytest.approx(metrics.roc_auc(labels, scores), abs=5.1e-4)
    assert float(texts["prAuc"]) == pytest.approx(metrics.pr_auc(labels, scores), abs=5.1e-4)


@pytest.mark.parametrize("logits", [False, True])
def test_counts_at_every_position(logits):
    labels, scores = example(1, num_clips=60, num_tags=2)
    scores = scores.round(2)  # many scores lie on a threshold exactly
    if logits:
        scores = 20 * scores - 7
    data = carried(interactive.threshold_slider(labels, scores, ["harp", "flute"], steps=40))
    for k, tag in enumerate(data["tags"]):
        for i, threshold in enumerate(map(float, data["thresholds"])):
            given_tag = np.array([score >= threshold for score in scores[:, k]])
            assert tag["tp"][i] == sum(given_tag & labels[:, k])
            assert tag["fp"][i] == sum(given_tag & ~labels[:, k])


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=12),
    steps=st.integers(2, 300),
)
def test_slider_goes_from_every_clip_to_none(values, steps):
    scores = np.array(values)[:, None]
    labels = np.arange(len(values))[:, None] % 2
    data = carried(interactive.threshold_slider(labels, scores, steps=steps))
    thresholds = np.array(data["thresholds"], dtype=float)
    assert (np.diff(thresholds) > 0).all()
    assert 2 <= len(thresholds) <= steps + 3
    (tag,) = data["tags"]
    assert (tag["tp"][0], tag["fp"][0]) == (tag["positives"], tag["negatives"])
    if not 0 <= scores.min() <= scores.max() <= 1:
        assert (tag["tp"][-1], tag["fp"][-1]) == (0, 0)
    for counts in (tag["tp"], tag["fp"]):
        assert (np.diff(counts) <= 0).all()


def test_probabilities_are_cut_from_0_to_1_whatever_their_range():
    labels, scores = example(2)
    data = carried(interactive.threshold_slider(labels, 0.1 * scores))
    assert data["thresholds"] == [f"{k / 100:.2f}" for k in range(101)]
    assert (data["tags"][0]["tp"][50], data["tags"][0]["fp"][50]) == (0, 0)


def test_curves_pass_through_the_points_of_the_metrics():
    labels, scores = [[1], [0], [1], [0]], [[0.9], [0.4], [0.3], [0.1]]
    (tag,) = carried(interactive.threshold_slider(labels, scores))["tags"]
    corners = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", tag["roc"])]
    back = [((x - 40) / 190, (180 - y) / 168) for x, y in corners]
    curve = metrics.roc_curve(labels, scores)
    assert np.allclose(back, curve[["false_positive_rate", "recall"]], atol=1e-3)
    steps = re.findall(r"V([\d.]+)H([\d.]+)", tag["pr"])
    back = [((float(x) - 40) / 190, (180 - float(y)) / 168) for y, x in steps]
    curve = metrics.pr_curve(labels, scores).iloc[1:]
    assert np.allclose(back, curve[["recall", "precision"]], atol=1e-3)
    # The area of the rectangles that are drawn is the area that is written.
    recall, precision = np.array([(0, 1), *back]).T
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(metrics.pr_auc(labels, scores), abs=1e-3)


def test_an_exact_half_is_rounded_up_as_browsers_do():
    labels = np.arange(16)[:, None] == 0
    page = soup(interactive.threshold_slider(labels, np.full((16, 1), 0.7)))
    assert shown(page)["precision"] == "0.063"  # 1 / 16 = 0.0625; Python alone would write 0.062


def test_same_input_same_page_and_nothing_fetched():
    labels, scores = example(3)
    pages = [interactive.threshold_slider(labels, scores)._repr_html_() for _ in range(2)]
    assert pages[0] == pages[1]
    assert "http" not in pages[0]
    assert "{{" not in pages[0]


def test_any_text_may_be_a_tag_or_the_heading():
    labels, scores = example(4, num_tags=2)
    figure = interactive.threshold_slider(labels, scores, [HOSTILE, "\udcff"], label=HOSTILE)
    page = soup(figure)
    assert page.find("div")["aria-label"] == HOSTILE
    assert [option.text for option in page.find_all("option")] == [HOSTILE, "?"]
    assert HOSTILE in page.find("svg", attrs={"data-panel": "roc"})["aria-label"]
    assert carried(figure)["tags"][0]["tag"] == HOSTILE
    assert len(page.find_all("script")) == 2


def test_controls_are_labelled_and_nothing_has_an_id():
    labels, scores = example(5, num_tags=2)
    page = soup(interactive.threshold_slider(labels, scores, ["harp", "flute"]))
    for control in page.find_all(["input", "select"]):
        assert control.find_parent("label").get_text(strip=True)
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in page.find_all("svg"))
    assert not page.find_all(id=True)
    assert not soup(interactive.threshold_slider(labels[:, :1], scores[:, :1])).find("select")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [[1], [1]]}, "column 0: no positive or no negative example"),
        ({"labels": [[0], [0]], "tags": ["harp"]}, "harp: no positive"),
        ({"scores": [[0.1], [np.nan]]}, "finite"),
        ({"labels": [1, 0]}, "shape"),
        ({"labels": [[2], [0]]}, "0 or 1"),
        ({"tags": ["a", "b"]}, "2 tags given for 1 columns"),
        ({"threshold": np.nan}, "threshold must be a finite number"),
        ({"threshold": np.inf}, "threshold must be a finite number"),
        ({"steps": 1}, "steps must be an integer from 2 to 1000, got 1"),
        ({"steps": 0.5}, "steps must be"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        interactive.threshold_slider(**({"labels": [[1], [0]], "scores": [[0.7], [0.2]]} | change))


def test_all_scores_equal():
    for score in (0.5, -3.0, 1e20):
        data = carried(interactive.threshold_slider([[1], [0]], [[score], [score]]))
        assert (data["tags"][0]["tp"][0], data["tags"][0]["fp"][0]) == (1, 1)


# In a browser


SHOWN = """root => Object.fromEntries([...root.querySelectorAll("b[data-value]")].map(
    one => [one.getAttribute("data-value"), one.textContent]))"""


@pytest.fixture(scope="module")
def browser():
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def tab(browser):
    """A page with three figures, two of them the same; and the list of what went wrong on it."""
    first, second = example(6, num_clips=16, share=0.4), example(7, num_clips=300, num_tags=3)
    figures = [
        interactive.threshold_slider(*first, label="same"),
        interactive.threshold_slider(*first, label="same"),
        interactive.threshold_slider(*second, ["harp", HOSTILE, "flute"], threshold=0.3, steps=200),
    ]
    body = "".join(figure._repr_html_() for figure in figures)
    style = "<style>@media (prefers-color-scheme: dark) {body {background: #111; color: #eee}}</style>"
    page = browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 844})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: faults.append(request.url) if request.url != "about:blank" else None)
    page.set_content(f"<!doctype html><meta charset=utf-8>{style}<body>{body}</body>")
    yield page, first, second, faults
    assert not faults
    page.close()


def test_every_position_in_a_browser_says_what_the_metrics_say(tab):
    page, (labels, scores), _, _ = tab
    before = page.locator(".mclass-threshold").nth(1).evaluate(SHOWN)
    figure = page.locator(".mclass-threshold").nth(0)
    slider = figure.locator("input")
    seen = set()
    for position in range(101):
        slider.fill(str(position))  # sets the value and sends `input`, as a finger does
        texts = figure.evaluate(SHOWN)
        threshold = position / 100
        assert float(texts["threshold"]) == threshold
        assert {name: texts[name] for name in (*COUNTS, *RATIOS)} == expected(labels, scores, threshold)
        for panel, x, y in (("roc", None, "recall"), ("pr", "recall", "precision")):
            circle = figure.locator(f'[data-panel="{panel}"] circle')
            at = [(float(circle.get_attribute("cx")) - 40) / 190, (180 - float(circle.get_attribute("cy"))) / 168]
            across = 1 - float(texts["specificity"]) if x is None else float(texts[x])
            up = 1.0 if texts[y] == "–" else float(texts[y])
            assert at == pytest.approx([across, up], abs=2e-3)
        seen |= {texts["precision"], texts["recall"]}
    assert "–" in seen  # nothing is given the tag
    assert page.locator(".mclass-threshold").nth(1).evaluate(SHOWN) == before  # the other one did not move


def test_keyboard_and_choice_of_tag_in_a_browser(tab):
    page, _, (labels, scores), _ = tab
    figure = page.locator(".mclass-threshold").nth(2)
    figure.locator("select").focus()
    page.keyboard.press("ArrowDown")  # the next tag
    page.keyboard.press("Tab")  # to the slider
    assert page.evaluate("document.activeElement.type") == "range"
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    texts = figure.evaluate(SHOWN)
    threshold = float(texts["threshold"])
    assert threshold == pytest.approx(0.3 + 7 * 0.005)
    one = labels[:, [1]], scores[:, [1]]
    assert {name: texts[name] for name in (*COUNTS, *RATIOS)} == expected(*one, threshold)
    assert float(texts["rocAuc"]) == pytest.approx(metrics.roc_auc(*one), abs=5.1e-4)
    assert HOSTILE in figure.locator('[data-panel="pr"]').get_attribute("aria-label")
    assert figure.locator("input").get_attribute("aria-valuetext") == (
        f"{texts['threshold']}: {texts['tp']} true and {texts['fp']} false positives, "
        f"precision {texts['precision']}, recall {texts['recall']}"
    )
    page.keyboard.press("End")
    assert figure.evaluate(SHOWN)["tp"] == "0"


def test_text_takes_the_colour_of_a_dark_page_and_fits_a_phone(tab):
    page, *_ = tab
    colours = page.evaluate(
        """[...document.querySelectorAll(".mclass-threshold :is(p, b, th, dt, svg text)")].map(
            one => getComputedStyle(one)[one.ownerSVGElement ? "fill" : "color"])"""
    )
    assert len(colours) > 100
    assert set(colours) == {"rgb(238, 238, 238)"}
    for family in browsing.check.FAMILIES:
        style = page.add_style_tag(content=browsing.check.force_family(family))
        assert page.evaluate(browsing.check.OVERFLOW) <= 0, family
        style.evaluate("element => element.remove()")


def test_a_script_that_runs_twice_does_no_harm(tab):
    page, *_ = tab
    figure = page.locator(".mclass-threshold").nth(0)
    figure.locator("input").fill("20")
    before = figure.evaluate(SHOWN)
    page.evaluate("eval(document.querySelectorAll('.mclass-threshold script')[1].textContent)")
    assert figure.evaluate(SHOWN) == before


# One of several pictures


def drawn(values, size=(2.0, 1.5)):
    """A figure of its own for each name: a rectangle as high as the value."""
    from matplotlib.figure import Figure

    figures = {}
    for name, value in values.items():
        figures[name] = Figure(size)
        figures[name].add_axes((0, 0, 1, 1)).bar([0], [value], color="black")
        figures[name].axes[0].set(ylim=(0, 1), xlim=(-0.4, 0.4))
        figures[name].axes[0].axis("off")
    return figures


def darkness(address: str) -> float:
    """The share of black pixels."""
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return float((np.asarray(Image.open(io.BytesIO(data)).convert("L")) < 128).mean())


HEIGHTS = {"8 ms": 0.25, "32 ms": 0.5, HOSTILE: 0.75}


@pytest.fixture
def pictures():
    alts = [f"black up to {height}" for height in HEIGHTS.values()]
    return interactive.picture_slider(
        drawn(HEIGHTS), alts, [HOSTILE, "b", "c"], position=1, label=HOSTILE, control="Window"
    )


def test_pictures_are_the_figures_in_their_order(pictures):
    states = carried(pictures)
    assert [state["name"] for state in states] == list(HEIGHTS)
    for state, height in zip(states, HEIGHTS.values(), strict=True):
        assert darkness(state["source"]) == pytest.approx(height, abs=0.01)
    page = soup(pictures)
    assert darkness(page.img["src"]) == pytest.approx(0.5, abs=0.01)
    assert (page.img["alt"], page.img["width"], page.img["height"]) == ("black up to 0.5", "220", "165")
    assert page.find("b").text == page.input["aria-valuetext"] == "32 ms"
    assert page.input.find_parent("label").get_text(strip=True) == "Window"
    assert not page.find_all(id=True)
    assert page.find("div")["aria-label"] == HOSTILE
    assert len(page.find_all("script")) == 2


def test_fewer_colours_make_a_smaller_page_and_the_same_page_each_time():
    from matplotlib.figure import Figure

    noise = np.random.default_rng(0).random((60, 80))
    figures = {name: Figure((3, 2)) for name in "ab"}
    for figure in figures.values():
        figure.add_subplot().imshow(noise, cmap="magma")
    pages = {
        colours: interactive.picture_slider(figures, ["a", "b"], colours=colours)._repr_html_()
        for colours in (8, 64)
    }
    assert len(pages[8]) < 0.7 * len(pages[64])
    assert pages[64] == interactive.picture_slider(figures, ["a", "b"])._repr_html_()
    assert "http" not in pages[64].replace("data:image", "")
    assert "{{" not in pages[64]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": drawn({"a": 1})}, "at least 2 pictures"),
        ({"alts": ["one"]}, "alts has one text for each of the 2 pictures, got 1"),
        ({"alts": "ab"}, "alts has one text"),
        ({"alts": ["one", " "]}, "alternative text is empty"),
        ({"texts": ["one", "two", "three"]}, "texts has one text"),
        ({"position": 2}, "position must be an integer from 0 to 1, got 2"),
        ({"colours": 257}, "colours must be"),
        ({"pictures": drawn({"a": 1}) | drawn({"b": 1}, (3, 1))}, "differ in size"),
    ],
)
def test_bad_pictures(change, message):
    given = {"pictures": drawn({"a": 1, "b": 0.5}), "alts": ["one", "two"]} | change
    with pytest.raises(ValueError, match=message):
        interactive.picture_slider(**given)


def test_slider_swaps_the_picture_in_a_browser(pictures, browser):
    style = "<style>@media (prefers-color-scheme: dark) {body {background: #111; color: #eee}}</style>"
    page = browser.new_page(color_scheme="dark", viewport={"width": 200, "height": 700})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.set_content(f"<!doctype html><meta charset=utf-8>{style}<body>{2 * pictures._repr_html_()}</body>")
    first, second = (page.locator(".mclass-pictures").nth(i) for i in (0, 1))
    for position, (name, height) in enumerate(HEIGHTS.items()):
        first.locator("input").fill(str(position))
        image = first.locator("img")
        assert darkness(image.get_attribute("src")) == pytest.approx(height, abs=0.01)
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 220
        assert image.get_attribute("alt") == f"black up to {height}"
        assert first.locator(".controls b").text_content() == name
        assert first.locator(".text").text_content() == [HOSTILE, "b", "c"][position]
        assert first.locator("input").get_attribute("aria-valuetext") == name
    assert second.locator(".controls b").text_content() == "32 ms"  # the other one did not move
    second.locator("input").focus()
    page.keyboard.press("ArrowLeft")
    assert second.locator(".controls b").text_content() == "8 ms"
    page.evaluate("eval(document.querySelectorAll('.mclass-pictures script')[1].textContent)")
    page.keyboard.press("ArrowRight")
    assert second.locator(".controls b").text_content() == "32 ms"  # one step, though the script ran twice
    colours = page.evaluate(
        "[...document.querySelectorAll('.mclass-pictures :is(p, b)')].map(one => getComputedStyle(one).color)"
    )
    assert set(colours) == {"rgb(238, 238, 238)"}
    assert page.evaluate("document.querySelector('img').getBoundingClientRect().right") <= 200
    page.close()
    assert not faults
