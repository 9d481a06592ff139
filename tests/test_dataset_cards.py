"""The chapter on data sets says what the cards say, and there is a card for each published data set."""

import importlib.util
import re
from pathlib import Path

import pytest

from mclass import datasets
from mclass.datasets.published.cards import CARDS

BOOK = Path(__file__).resolve().parents[1] / "book"
NO_CARD = {"folder", "prepared", "shards"}  # what is in them is the user's


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("book_cards", BOOK / "cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_book_says_what_the_cards_say(pages):
    stored = (BOOK / "dataset_cards.md").read_text(encoding="utf-8")
    assert stored == pages.text(), "run `python book/cards.py`"
    chapter = (BOOK / "datasets.md").read_text(encoding="utf-8")
    assert "{include} dataset_cards.md" in chapter


def test_every_published_data_set_has_a_card_and_the_other_way_round():
    assert set(CARDS) == set(datasets.list()) - NO_CARD


def test_cards_cite_what_the_bibliography_has():
    bibliography = (BOOK / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, re.M))
    assert {key for card in CARDS.values() for key in card.cite} <= known


@pytest.mark.parametrize(
    ("plain", "markdown"),
    [
        ("prose, and nothing else", "Prose, and nothing else"),
        ("see https://example.org/a.html, then go", "See <https://example.org/a.html>, then go"),
        ("(at https://example.org/a).", "(at <https://example.org/a>)."),
        ("use f(x, ('a', 'b')) or g.h('a').i()", "Use `f(x, ('a', 'b'))` or `g.h('a').i()`"),
        ("pass pad=True; n='x'.", "Pass `pad=True`; `n='x'`."),
        ("where `known` is a.csv", "Where `known` is `a.csv`"),
        ("unpack into mp3/.", "Unpack into `mp3/`."),
        ("443 / 197 / 290 clips (7.2 GiB), e.g. of 10 s", "443 / 197 / 290 clips (7.2 GiB), e.g. of 10 s"),
    ],
)
def test_text_becomes_markdown(pages, plain, markdown):
    assert pages.marked(plain) == markdown


def test_every_section_has_its_parts(pages):
    for card in CARDS.values():
        section = pages.section(card)
        for part in (f"### {card.title}\n", ":::{note}", ":::{warning}", ":::{tip}", "**Licence.**", "**Cite**"):
            assert part in section, (card.name, part)
        assert section.count("`") % 2 == 0, card.name
