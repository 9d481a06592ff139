"""Write the pages' text about data sets from their cards. `python book/cards.py` writes it; a test compares.

The facts stand in one place, `mclass.datasets.published.cards`, which `mclass data info` prints. Here they become
an overview and a section for each data set; the chapter `datasets.md` includes both.
"""

from __future__ import annotations

import re
from pathlib import Path

from mclass.datasets.published.cards import CARDS, Card
from mclass.datasets.published.getting.downloads import REMOTES

BOOK = Path(__file__).resolve().parent
FACTS = ("task", "size", "audio", "split")
# What a reader may take for prose, and a page would set with curly quotes: calls, options, names of files.
CODE = re.compile(
    r"""git\ clone\ \S+(?=\ ) | cat\ \S+\ >\ [\w.]+ | pip\ install\ \w+
    | (?<![\w/])[A-Za-z_][\w.]*\((?:[^()]|\([^()]*\))*\)(?:\.\w+\([^()]*\))*  # name(…), name(…).method(…)
    | (?<![\w(,/])[a-z_]+=(?:True|'\w+'|"\w+"|(?=\ ))                        # option=value, option=
    | \b[0-9a-f]{64}\b                                                    # a checksum
    | (?<![\w/.])[\w*./-]*[\w*-]\.(?:csv|tgz|zip(?:\.\d+)?|tar\.gz|txt|py|mp3|wav)\b
    | \b\w+/(?=[ ,.;)])                                              # folder/
    """,
    re.VERBOSE,
)
URL = re.compile(r"https?://[^\s)]*[^\s).,;]")


def marked(text: str) -> str:
    """Plain text of a card as Markdown: links that can be followed, code as code, a capital at the beginning.

    >>> marked("get mp3.zip.001 from https://example.org/a.b; then on_error='skip'.")
    "Get `mp3.zip.001` from <https://example.org/a.b>; then `on_error='skip'`."
    """
    pieces = re.split(r"(`[^`]*`)", text)  # what is code already stays
    result = "".join(piece if piece.startswith("`") else _marked(piece) for piece in pieces)
    return result[:1].upper() + result[1:]


def _marked(text: str) -> str:
    result, end = "", 0
    for found in re.finditer(f"(?P<code>{CODE.pattern})|(?P<url>{URL.pattern})", text, re.VERBOSE):
        result += text[end : found.start()]
        result += f"`{found[0]}`" if found["code"] else f"<{found[0]}>"
        end = found.end()
    return result + text[end:]


def overview(cards: list[Card]) -> str:
    """A table with a row for each data set."""
    rows = [f"| {card.title} | {marked(card.task)} | {_first(card.size)} | {_source(card)} |" for card in cards]
    return "\n".join(["| Data set | Task | Size | The audio |", "|---|---|---|---|", *rows])


def _first(text: str) -> str:
    return marked(text.split("; ")[0])


def _source(card: Card) -> str:
    if card.name == "mirdata":
        return "downloaded by the library"
    if card.name not in REMOTES:
        return "composed here" if card.name == "etude" else "by hand"
    return "by hand; the tables are downloaded" if card.audio.startswith("brought along") else "downloaded"


def section(card: Card) -> str:
    """What a data set is, its licence (a note), its traps (a warning), and how to get and cite it (a tip)."""
    facts = "\n".join(f"{name.capitalize()}\n: {marked(getattr(card, name))}\n" for name in FACTS)
    traps = "\n".join(f"- {marked(trap)}" for trap in card.traps)
    cited = ", ".join(f"{{cite:t}}`{key}`" for key in card.cite)
    options = {"etude": "", "mirdata": ", root=…, dataset=…"}.get(card.name, ", root=…")
    return f"""### {card.title}

{marked(card.what)}

{facts}
:::{{note}}
**Licence.** {marked(card.licence)}
:::

:::{{warning}}
{traps}
:::

:::{{tip}}
**Get it.** {marked(card.get)}

**Load it.** `datasets.load("{card.name}"{options})`

**Cite** {cited or marked(card.reference)}.
:::
"""


def text() -> str:
    """The whole of dataset_cards.md."""
    cards = [card for card in CARDS.values() if card.name != "etude"]
    head = "% Written by `python book/cards.py` from mclass/datasets/published/cards.py: change it there.\n\n"
    return head + overview(cards) + "\n\n" + "\n".join(section(card) for card in cards)


if __name__ == "__main__":
    (BOOK / "dataset_cards.md").write_text(text(), encoding="utf-8")
