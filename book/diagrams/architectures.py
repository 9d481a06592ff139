"""The networks, layer by layer, and what they are built from. A test compares shapes with those of the models."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path

from diagrams.draw import box, circle, curve, down, path, rect, svg, text

# Each network: its title and its rows (kind, what, more about it, shape that comes out).
# Shapes are (channels, bands, frames), (channels, steps) or (numbers,); for tokens (tokens, numbers).
NETWORKS = {
    "fcn": (
        "Fully convolutional network: 29 seconds to one point",
        [
            ("sound", "waveform", "29 s at 16 kHz", (464_000,)),
            ("picture", "log-mel", "96 bands", (1, 96, 1813)),
            ("conv", "3 × 3 block, pool 2 × 4", "", (64, 48, 453)),
            ("conv", "3 × 3 block, pool 2 × 4", "", (128, 24, 113)),
            ("conv", "3 × 3 block, pool 2 × 4", "", (128, 12, 28)),
            ("conv", "3 × 3 block, pool 3 × 5", "", (128, 4, 5)),
            ("conv", "3 × 3 block, pool 4 × 4", "nothing is left to pool", (64, 1, 1)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "short_chunk_cnn": (
        "Short-chunk CNN: seven small blocks on 3.7 seconds",
        [
            ("sound", "waveform", "3.7 s at 16 kHz", (59_049,)),
            ("picture", "log-mel", "128 bands", (1, 128, 231)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (128, 64, 115)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (128, 32, 57)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (256, 16, 28)),
            ("conv", "three more", "", (256, 2, 3)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (512, 1, 1)),
            ("time", "maximum over time, dense layer", "", (512,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "musicnn": (
        "Musicnn: tall and long filters side by side",
        [
            ("sound", "waveform", "3 s at 16 kHz", (48_000,)),
            ("picture", "log-mel", "96 bands", (1, 96, 188)),
            ("conv", "2 sets of tall filters", "67 or 38 bands × 7 frames", (204, 188)),
            ("conv", "3 sets of long filters", "129, 65 or 33 frames, all bands", (51, 188)),
            ("conv", "3 convolutions over time", "on all of these, 7 frames", (64, 188)),
            ("time", "everything found so far", "561 + 3 × 64 channels", (753, 188)),
            ("time", "maximum and mean, dense", "", (200,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "sample_cnn": (
        "SampleCNN: the waveform, three samples at a time",
        [
            ("sound", "waveform", "3.7 s at 16 kHz", (59_049,)),
            ("conv", "filters of 3 samples, stride 3", "", (128, 19_683)),
            ("conv", "2 blocks: filter 3, pool 3", "", (128, 2187)),
            ("conv", "6 blocks: filter 3, pool 3", "", (256, 3)),
            ("conv", "1 block: filter 3, pool 3", "", (512, 1)),
            ("conv", "1 block without pool", "", (512, 1)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "crnn": (
        "CRNN: convolutions find, a recurrent network follows",
        [
            ("sound", "waveform", "29 s at 16 kHz", (464_000,)),
            ("picture", "log-mel", "96 bands", (1, 96, 1813)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (64, 48, 906)),
            ("conv", "3 × 3 block, pool 3 × 3", "", (128, 16, 302)),
            ("conv", "3 × 3 block, pool 4 × 4", "", (128, 4, 75)),
            ("conv", "3 × 3 block, pool 4 × 4", "a step is 1.5 s now", (128, 1, 18)),
            ("time", "two GRU layers, step by step", "", (32, 18)),
            ("time", "the last state", "", (32,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "self_attention": (
        "Self-attention: every time step queries every other",
        [
            ("sound", "waveform", "15 s at 16 kHz", (240_000,)),
            ("picture", "log-mel", "128 bands", (1, 128, 938)),
            ("conv", "3 residual blocks, stride 2", "", (256, 16, 118)),
            ("conv", "4 residual blocks", "stride 2, in frequency only", (256, 1, 118)),
            ("tokens", "118 time steps, a class token", "", (119, 256)),
            ("tokens", "2 layers of self-attention", "8 heads", (119, 256)),
            ("time", "what the class token knows", "", (256,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "music_tagging_transformer": (
        "Music tagging transformer: little CNN, more attention",
        [
            ("sound", "waveform", "10 s at 22.05 kHz", (220_500,)),
            ("picture", "log-mel", "128 bands", (1, 128, 431)),
            ("conv", "2 residual blocks, pool 2 × 2", "", (16, 32, 107)),
            ("conv", "1 residual block, pool 2 × 1", "", (16, 16, 107)),
            ("tokens", "107 time steps, a class token", "a learned position is added", (108, 256)),
            ("tokens", "4 layers of self-attention", "8 heads", (108, 256)),
            ("time", "what the class token knows", "", (256,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
    "harmonic_cnn": (
        "Harmonic CNN: a pitch and its overtones in one place",
        [
            ("sound", "waveform", "5 s at 16 kHz", (80_000,)),
            ("picture", "harmonic filters, learned", "a channel for each of 6 harmonics", (6, 128, 313)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (128, 64, 156)),
            ("conv", "3 residual blocks, pool 2 × 2", "", (128, 8, 19)),
            ("conv", "3 × 3 block, pool 2 × 2", "", (256, 4, 9)),
            ("conv", "2 residual blocks, pool 2 × 3", "", (256, 1, 1)),
            ("time", "maximum over time, dense layer", "", (256,)),
            ("tags", "one linear layer", "", (50,)),
        ],
    ),
}
MEASURED = Path(__file__).resolve().parents[2] / "mclass" / "models" / "measured.csv"
COMPARED = ("fcn", "short_chunk_cnn", "short_chunk_cnn_res", "musicnn", "sample_cnn", "sample_cnn_se", "crnn")
COMPARED += ("self_attention", "music_tagging_transformer", "harmonic_cnn")
COLOUR = {"sound": "muted", "picture": "sea", "conv": "amber", "tokens": "leaf", "time": "leaf", "tags": "brick"}


def glyph(x: float, y: float, kind: str, shape: tuple[int, ...]) -> list[str]:
    """A shape, drawn around (x, y): as wide as it is long, as high as it has bands (logarithmically)."""
    colour = COLOUR[kind]
    if kind == "sound":
        wave = (
            (t, y + 13 * math.sin(t / 2.4) * math.cos((t - x) / 19) ** 2) for t in range(int(x) - 58, int(x) + 59)
        )
        return [curve(wave, colour, 1.5)]
    if kind == "tokens":
        bars = [
            rect(x - 49 + 11 * i, y - 14, 7, 28, colour, more='rx="2" fill-opacity="0.6"') for i in range(1, 10)
        ]
        return [rect(x - 49, y - 14, 7, 28, "brick", more='rx="2"'), *bars]
    if len(shape) == 1:
        length = 12 * math.log2(shape[0])
        return [rect(x - length / 2, y - 4, length, 8, colour, more='rx="3"')]
    bands = shape[1] if len(shape) == 3 else 1
    width, height = 4 + 8 * math.log2(shape[-1]), 5 + 4 * math.log2(bands)
    sheets = 1 + round(math.log2(shape[0]) / 2)  # one behind the other: how many channels
    parts = []
    for back in reversed(range(sheets)):
        shift = 2.5 * (back - (sheets - 1) / 2)
        opacity = 'fill-opacity="0.45"' if back else 'fill-opacity="0.9"'
        corner = x - width / 2 + shift, y - height / 2 - shift
        parts.append(rect(*corner, width, height, colour, "page", f'stroke-width="0.7" {opacity}'))
    return parts


def network(name: str) -> str:
    """The rows of a network from sound to tags."""
    title, rows = NETWORKS[name]
    parts, step, middle = [text(280, 30, title, 19, bold=True)], 56, 82
    for index, (kind, what, more, shape) in enumerate(rows):
        y = 74 + step * index
        if index:
            parts.append(down(middle, y - step + 23, 11))
        parts += glyph(middle, y, kind, shape)
        parts.append(text(164, y + (-2 if more else 6), what, 19, anchor="start"))
        if more:
            parts.append(text(164, y + 18, more, 16, "muted", "start"))
        numbers = " × ".join(f"{size:,}".replace(",", " ") for size in shape)
        parts.append(text(548, y + 6, numbers, 17, anchor="end"))
    return svg(74 + step * len(rows) - 18, title, *parts)


def blocks() -> str:
    """The three building blocks of convolutional taggers."""
    parts, step, high, width = [], 48, 34, 122
    columns = [
        (12, "plain", ["convolution", "batch norm", "ReLU", "max-pooling"]),
        (195, "residual", ["convolution", "norm, ReLU", "convolution", "batch norm"]),
        (378, "squeeze, excite", ["convolution", "norm, ReLU", "convolution", "batch norm", "× weights"]),
    ]
    fills = {"convolution": "yellow", "max-pooling": "green", "× weights": "red"}
    for x, name, layers in columns:
        left, middle = x + 12, x + 12 + width / 2
        parts += [text(middle, 30, name, 18, bold=True), path(f"M{middle:g} 42V56"), down(middle, 48, 14)]
        for index, layer in enumerate(layers):
            y = 62 + step * index
            parts += [box(left, y, width, high, fills.get(layer, "blue")), text(middle, y + 23, layer)]
            if index:
                parts.append(down(middle, y - 14, 14))
        end = 62 + step * (len(layers) - 1) + high
        if name == "plain":
            parts.append(down(middle, end, 26))
            continue
        plus = end + 34
        parts.append(path(f"M{middle:g} 50H{left + width + 17}V{plus}H{middle + 13:g}", "sea"))
        parts += [path(f"M{middle:g} {end}V{plus - 13}"), down(middle, plus + 13, 24)]
        parts += [circle(middle, plus, 13, "plain", "sea"), text(middle, plus + 6, "+", 20)]
        if name != "residual":  # the weights are made of what comes before
            y = end - high / 2
            parts.append(path(f"M{middle:g} {end - high - 7}H{left - 14}V{y:g}H{left - 1}", "brick"))
    parts.append(text(12, 338, "weights: the mean of each channel,", 16, "brick", "start"))
    parts.append(text(12, 358, "through two small layers", 16, "brick", "start"))
    return svg(376, "A plain, a residual and a squeeze-and-excitation block", *parts)


def filters() -> str:
    """What one filter of the first layer sees, drawn into the same three seconds."""
    left, top, width, height = 16, 16, 376, 192  # 188 frames and 96 bands, two pixels each
    parts = [rect(left, top, width, height, "blue", "line")]
    for start, length, base in ((10, 90, 20), (70, 120, 28), (170, 60, 24), (210, 130, 34), (300, 64, 20)):
        for harmonic in range(1, 6):
            y = top + height - base * harmonic**0.85
            parts.append(
                path(f"M{left + start} {y:.1f}h{length}", "sea", 4 - 0.5 * harmonic, more='opacity="0.55"')
            )
    for beat in range(24, width, 47):
        parts.append(path(f"M{left + beat} {top + 4}v{height - 8}", "sea", 1.2, more='opacity="0.35"'))
    names = [
        ("3 × 3", "a corner of a note:", "most networks", "amber", (120, 84, 6, 6)),
        ("67 × 7", "a whole spectrum:", "Musicnn, timbre", "brick", (222, 40, 14, 134)),
        ("1 × 129", "two seconds of beats:", "Musicnn, rhythm", "leaf", (60, 190, 258, 10)),
    ]
    for index, (size, what, who, colour, (x, y, w, h)) in enumerate(names):
        parts.append(rect(x, y, w, h, colour, colour, 'stroke-width="2" fill-opacity="0.35"'))
        y = 32 + 66 * index
        parts += [
            rect(404, y - 13, 14, 14, colour),
            text(424, y, size, 17, anchor="start", bold=True),
            text(404, y + 20, what, 15, "ink", "start"),
            text(404, y + 38, who, 15, "muted", "start"),
        ]
    parts.append(text(left, 230, "frequency × time, 96 × 188", 16, "muted", "start"))
    wave_y = 284
    parts.append(rect(left, wave_y - 36, width, 72, "plain", "line"))
    wave = [
        (left + t, wave_y + 26 * math.sin(t / 5.0) * (0.55 + 0.45 * math.sin(t / 60))) for t in range(0, width, 2)
    ]
    parts.append(curve(wave, "muted", 1.5))
    parts += [circle(x, y, 4, "amber") for x, y in wave[56:65:4]]
    parts += [
        rect(404, wave_y - 36, 14, 14, "amber"),
        text(424, wave_y - 23, "3 samples", 17, anchor="start", bold=True),
        text(404, wave_y - 3, "a bend of the wave:", 15, "ink", "start"),
        text(404, wave_y + 15, "SampleCNN", 15, "muted", "start"),
        text(left, wave_y + 58, "waveform, a few milliseconds", 16, "muted", "start"),
    ]
    return svg(354, "What a filter of the first layer sees", *parts)


def hearing() -> str:
    """Half a minute of music, cut as each network wants it."""
    models = [
        ("FCN, CRNN", 29.0),
        ("self-attention", 15.0),
        ("transformer", 10.0),
        ("harmonic CNN", 5.0),
        ("short-chunk", 3.69),
        ("SampleCNN", 3.69),
        ("Musicnn", 3.0),
    ]
    parts, left, scale, step = [], 136, 13.4, 36
    for index, (name, seconds) in enumerate(models):
        y = 14 + step * index
        parts.append(text(left - 12, y + 18, name, 16, anchor="end"))
        for number in range(int(30 / seconds)):
            fill = "sea" if number == 0 else "blue"
            x = left + number * seconds * scale
            parts.append(rect(x, y, seconds * scale - 2, 25, fill, "line", 'rx="4"'))
        if index == 0:
            parts.append(text(left + 10, y + 18, "29 s", 16, "page", "start"))
        elif seconds >= 5:
            parts.append(text(left + 10, y + 18, f"{seconds:g} s", 16, "page", "start"))
        else:
            parts.append(text(left + 4, y + 18, f"{seconds:.1f} s", 15, "page", "start"))
    bottom = 14 + step * len(models)
    parts.append(path(f"M{left} {bottom}H{left + 30 * scale:g}", "muted", 1.5))
    for second in range(0, 31, 5):
        x = left + second * scale
        parts.append(path(f"M{x:g} {bottom}v6", "muted", 1.5))
        parts.append(text(x, bottom + 24, f"{second}", 15, "muted"))
    parts.append(text(left - 12, bottom + 24, "seconds", 15, "muted", "end"))
    return svg(bottom + 36, "Half a minute of music, cut as each network wants it", *parts)


def cost() -> str:
    """Parameters and multiply-adds, from the table that the benchmark of the models writes."""
    with MEASURED.open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    parts, step, left, middle, length = [], 34, 206, 386, 104
    parts.append(text(left, 28, "parameters, millions", 16, "muted", "start"))
    parts.append(text(middle, 28, "work per second", 16, "muted", "start"))

    def per_second(row: dict[str, str]) -> float:
        return float(row["multiply-adds (M)"]) / float(row["input"].split(" s")[0])

    shown = sorted((rows[name] for name in COMPARED), key=per_second)
    most = max(int(row["parameters"]) for row in shown), max(map(per_second, shown))
    for index, row in enumerate(shown):
        y = 44 + step * index
        values = int(row["parameters"]), per_second(row)
        parts.append(text(left - 10, y + 17, row["model"].replace("music_tagging_", ""), 16, anchor="end"))
        for x, value, largest, colour in zip((left, middle), values, most, ("sea", "amber"), strict=True):
            bar = max(2, length * value / largest)
            parts.append(rect(x, y, bar, 22, colour, more='rx="3"'))
            label = f"{value / 1e6:.1f}" if x == left else f"{value:.0f}"
            parts.append(text(x + bar + 6, y + 17, label, 16, anchor="start"))
    return svg(44 + step * len(shown) + 8, "Parameters and work of the networks", *parts)


def attention() -> str:
    """How a class token gathers information from all time steps."""
    parts, y, weights = [], 160, (0.05, 0.1, 0.55, 0.12, 0.04, 0.4, 0.06)
    parts.append(text(62, 40, "class token", 17, bold=True))
    parts.append(rect(40, 52, 44, 44, "red", "brick", 'rx="6"'))
    for index, weight in enumerate(weights):
        x = 150 + index * 58
        parts.append(path(f"M{x + 18} {y}C{x} 92 {150} 74 90 74", "leaf", 1 + 12 * weight, more='opacity="0.75"'))
        parts.append(rect(x, y, 36, 44, "green", "leaf", 'rx="6"'))
        parts.append(text(x + 18, y + 28, f"{index + 1}", 17))
    parts.append(text(150, 228, "time steps, one vector for each", 16, "muted", "start"))
    parts.append(text(545, 40, "thick line: this time step counts for much", 16, "muted", "end"))
    parts += [down(62, 98, 90), text(62, 212, "50 tags", 17)]
    return svg(246, "A class token gathers information from all time steps", *parts)


FIGURES = {f"network_{name}.svg": partial(network, name) for name in NETWORKS} | {
    "blocks.svg": blocks,
    "filters.svg": filters,
    "hearing.svg": hearing,
    "attention.svg": attention,
    "cost.svg": cost,
}
