"""The styles of version 2: singers that sing, and instruments that are better heard.

Only what differs from version 1 is written down: other players for the same parts, and a few parts more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mclass.datasets.etude.styles import STYLES, Layer, Style

# What the soundfont played in version 1, and who plays it in version 2.
_INSTEAD = {
    "female voice": "woman", "male voice": "man", "soprano": "opera soprano", "tenor": "opera tenor",
    "choir": "mixed choir", "violin": "solo violin", "fiddle": "solo violin", "viola": "solo viola",
    "cello": "solo cello", "string section": "bowed section", "piano": "grand piano", "harpsichord": "cembalo",
    "nylon guitar": "concert guitar", "steel guitar": "folk guitar", "harp": "concert harp",
}  # fmt: skip


def _second(style: Style) -> Style:
    layers = tuple(
        replace(layer, instruments=tuple(_INSTEAD.get(name, name) for name in layer.instruments))
        for layer in style.layers
    )
    # to listeners, classic is a synonym of classical, as vocals is of vocal
    more = ("classic",) if "classical" in style.tags and "classic" not in style.tags else ()
    return replace(style, tags=style.tags + more, layers=layers)


def _louder(name: str, gain: float) -> Callable[[Layer], Layer]:
    return lambda layer: replace(layer, gain=layer.gain + gain) if name in layer.instruments else layer


def _pedal(layer: Layer) -> Layer:
    """A pianist who lets the strings ring."""
    return replace(layer, options=layer.options | {"ring": 6}) if layer.pattern == "arpeggio" else layer


def _instead(name: str, *others: str) -> Callable[[Layer], Layer]:
    return lambda layer: replace(
        layer, instruments=tuple(o for n in layer.instruments for o in (others if n == name else (n,)))
    )


STYLES_2: dict[str, Style] = {name: _second(style) for name, style in STYLES.items()}


def _change(name: str, *changes: Callable[[Layer], Layer], more: tuple[Layer, ...] = (), **options) -> None:
    """Change the layers of a style, add some, and set other options of it."""
    layers = STYLES_2[name].layers
    for change in changes:
        layers = tuple(map(change, layers))
    STYLES_2[name] = replace(STYLES_2[name], **({"layers": layers + more} | options))


# Rows are laid out by hand: one layer a line reads like a score.
_change("solo piano", _pedal)
_change("harp", _louder("flute", 3), tags=("classical", "classic"))  # new age is something else to listeners
_change("flute", _louder("solo cello", 3), _louder("flute", 3))
_change("orchestra", _louder("flute", 6))
_change("opera", _louder("bowed section", 2))
_change("metal", _instead("man", "shouter", "man"))
_change("new age", _pedal, _instead("string pad", "bowed section"), more=(
    Layer(("woman",), "melody", 57, 76, 0.2, 0.9, 4, {"density": 0.3, "rests": 0.25}),
))  # fmt: skip
_change("ambient", more=(
    Layer(("woman", "mixed choir"), "melody", 57, 76, 0.15, 0.9, 4, {"density": 0.25, "rests": 0.3}),
))  # fmt: skip
_change("electro", more=(
    Layer(("woman", "man"), "melody", 48, 76, 0.35, 0.9, 5, {"density": 0.45, "rests": 0.25}),
))  # fmt: skip
_change("techno", more=(
    Layer(("woman", "man"), "melody", 48, 74, 0.1, 0.7, 4, {"density": 0.5, "rests": 0.3}),
))  # fmt: skip
_change("pop", more=(Layer(("backing singers",), "pad", 55, 74, 0.4, 0.4, -3),))
_change("rock", more=(Layer(("backing singers",), "pad", 52, 72, 0.15, 0.3, -3),))
_change("experimental", layers=(
    Layer(("ring pad",), "pad", 36, 60, 1.0, 0.95, 2),
    Layer(("ring organ", "warped synth"), "cluster", 36, 60, 0.9, 0.9, 0),
    Layer(("warped synth", "strange synth", "square lead"), "cluster", 36, 84, 0.9, 0.8, -3, {"rate": 1.0}),
    Layer(("electronic kit", "hand drums"), "drums", 0, 127, 0.25, 0.6, -1, {"groove": ("electro", "hand"), "variation": 0.3}),
))  # fmt: skip
_change("string quartet", layers=(
    Layer(("solo violin",), "melody", 67, 91, 1.0, 0.95, 1.5, {"density": 0.5}),
    Layer(("solo violin", "solo viola"), "melody", 58, 76, 1.0, 0.9, -1, {"density": 0.4}),
    Layer(("solo viola",), "pad", 50, 66, 0.8, 0.9, -3),
    Layer(("solo cello",), "bass", 36, 54, 1.0, 0.95, 0, {"style": "fifth"}),
))  # fmt: skip
