"""The book's diagrams tell the truth: shapes are those of the models, curves those of the schedules."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import scale
from mclass import models
from mclass.datasets.etude.annotation import annotate, listen
from mclass.datasets.etude.composer import compose
from mclass.datasets.published.cards import CARDS
from mclass.tags import MAGNATAGATUNE
from mclass.training.engine.optimizers import Schedule, create_optimizer

BOOK = Path(__file__).resolve().parents[1] / "book"
spec = importlib.util.spec_from_file_location("book_figures", BOOK / "figures.py")
figures = importlib.util.module_from_spec(spec)
sys.modules.setdefault(spec.name, figures)
spec.loader.exec_module(figures)  # which puts book/ on the path
import cards  # noqa: E402


def shapes_inside(name: str) -> tuple[set, int]:
    """Shapes of everything that the parts of a model hand on, without the batch, and its input's length."""
    model = models.create(name).eval()
    found = set()

    def note(module, inputs, output):
        for one in output if isinstance(output, tuple) else (output,):
            if isinstance(one, torch.Tensor):
                found.add(tuple(one.shape[1:]))

    for part in model.modules():
        part.register_forward_hook(note)
    waveform = torch.randn(1, model.num_samples) / 10
    with torch.no_grad():
        found |= {tuple(method(waveform).shape[1:]) for method in (model.features, model.embed, model)}
        if hasattr(model, "tokens"):
            found.add(tuple(model.tokens(waveform).shape[1:]))
    # A convolution over time may work on pictures of height 1.
    return found | {(s[0], s[2]) for s in found if len(s) == 3 and s[1] == 1}, model.num_samples


@pytest.mark.parametrize("name", figures.architectures.NETWORKS)
def test_shapes_in_a_network_s_diagram_are_those_of_the_model(name):
    found, num_samples = shapes_inside(name)
    _, ((_, _, _, first), *rows) = figures.architectures.NETWORKS[name]
    assert first == (num_samples,)
    for _, what, _, shape in rows:
        assert shape in found, f"{name}: {what} {shape}"


@pytest.mark.parametrize("name", [*figures.training.SCHEDULES, "one_cycle"])
def test_schedules_are_drawn_as_they_are(name):
    epochs, steps = figures.training.EPOCHS, 100
    optimizer = create_optimizer("sgd", [torch.nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    made = Schedule(name).create(optimizer, epochs=epochs, steps_per_epoch=steps)
    per_epoch = steps if name == "one_cycle" else 1
    for index in range(epochs * per_epoch - 1):
        drawn = figures.training.SCHEDULES.get(name, lambda e: figures.training.one_cycle(e / epochs))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(drawn(index / per_epoch), abs=0.01)
        optimizer.step()
        if made:
            made["scheduler"].step()


def test_intervals_in_the_forest_of_findings_are_those_of_the_table():
    with figures.findings.FINDINGS.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    drawn = figures.FIGURES["findings.svg"]()
    (zero,) = (float(x) for x in re.findall(r'class="s-ink" d="M([\d.]+) ', drawn))
    lines = [(float(a), float(b)) for a, b in re.findall(r'd="M([\d.]+) \d+H([\d.]+)"', drawn)]
    order = list(figures.findings.VERDICTS)
    rows = sorted(
        figures.findings.findings(), key=lambda row: (order.index(row["verdict"]), row["high"] - row["low"])
    )
    per_unit = (lines[-1][1] - zero) / rows[-1]["high"]  # of the widest interval
    for (start, end), row in zip(lines, rows, strict=True):
        assert (start, end) == pytest.approx(
            (zero + per_unit * row["low"], zero + per_unit * row["high"]), abs=0.5
        )
    assert len(lines) == len(table)
    for verdict, side in (("reproduced", 1), ("not reproduced", -1)):
        count = sum(row["here"] == verdict for row in table)
        assert sum(min(side * (start - zero), side * (end - zero)) > 0 for start, end in lines) == count
        assert f">{count} {verdict}<" in drawn


def test_a_new_finding_asks_for_a_short_name():
    row = {"finding": "Louder is better", "measured by": "ROC-AUC", "effect": "+0.1 [+0.0, +0.2]", "here": "open"}
    with pytest.raises(KeyError, match="Louder is better"):
        figures.findings._row(row)


def test_findings_have_names_of_their_own_that_fit():
    names = [row["name"] for row in figures.findings.findings()]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 32


def test_the_tags_in_the_drawing_of_etude_are_those_of_its_track():
    track, oracle, typed = figures.practice.EXAMPLE
    score = compose(0, track, 30)
    truths = [listen(score, 10 * clip, 10) for clip in range(3)]
    weak = annotate(0, track, truths)
    for columns, tags in ((truths[0].present, oracle), (weak[0], typed)):
        assert {tag for tag, given in zip(MAGNATAGATUNE, columns, strict=True) if given} == set(tags)


def test_what_the_drawing_reads_of_a_clip_is_what_the_benchmark_assumes():
    assert {way: share for way, (_, share, _) in figures.practice.STORED.items()} == {
        way: share for way, (_, _, share) in scale.WAYS.items()
    }


@pytest.mark.parametrize("row", [row for group in figures.data_sets.SIZES.values() for row in group])
def test_sizes_of_data_sets_are_those_of_their_cards(row):
    name, _, clips, labels = row
    card = CARDS[name]
    size = card.size.replace("two million", "2,000,000")
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d", size)]
    if name == "million_song":  # training, validation and test, which come first
        assert list(clips) == [sum(numbers[:3])]
    elif name == "etude":
        assert list(clips) == [480 * 3]  # of the `cpu` profile
    else:
        assert set(clips) <= set(numbers)
    assert {"one": "single-label", "many": "multi-label", "some": "partly labelled"}[labels] in card.task


def test_data_sets_drawn_as_outlines_are_those_whose_audio_cannot_be_downloaded():
    drawn = {name for group in figures.data_sets.SIZES.values() for name, *_ in group}
    assert {
        name for name in drawn if cards._source(CARDS[name]).startswith("by hand")
    } == figures.data_sets.BY_HAND


@pytest.mark.parametrize("name", figures.FIGURES)
def test_text_can_be_read_on_a_phone(name):
    drawn = figures.FIGURES[name]()
    assert 'viewBox="0 0 560 ' in drawn
    assert min(int(size) for size in re.findall(r'<text[^>]*font-size="(\d+)"', drawn)) >= 15


def test_the_map_of_the_code_is_the_import_contract():
    layers = figures.code.layers()
    assert set(figures.code.PURPOSE) == set(layers)
    parts = {name for layer in layers for name in layer.split(" | ")}
    package = Path(models.__file__).parents[1]
    there = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts == there - {"__init__", "__main__"}


def test_every_file_that_the_page_on_the_code_names_is_there():
    page, root = (BOOK / "code.md").read_text(encoding="utf-8"), BOOK.parent
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?|\w+\.(?:py|toml))`", page))
    assert len(named) > 20
    for name in sorted(named):
        assert (root / name).exists() or (root / "mclass" / name).exists(), name
