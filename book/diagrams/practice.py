"""Block diagrams of the chapters on Etude, on long runs and on large data: what is made of what, and by whom."""

from __future__ import annotations

import csv
from pathlib import Path

from diagrams.draw import WIDTH, arrow, box, down, path, rect, svg, text

SCALE = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "scale.csv"
CROP = 0.1  # three seconds of thirty
KEPT = {  # in what clips are kept: how, margin and gaps of its drawing
    "file": ("a file for each clip", 0, 14),
    "shard": ("tar files, read from end to end", 7, 7),
    "strip": ("one file, read anywhere", 0, 0),
}
STORED = {  # for each way: in what, the share of a clip that is read for a crop, and where some crops begin
    "mp3 files, decoded whole": ("file", 1.0, (None, 0.3, None, 0.7)),
    "mp3 files, only the part": ("file", 0.13, (None, 0.3, None, 0.7)),
    "flac shards": ("shard", 1.0, (0.6, 0.3, 0.8, 0.7)),
    "wav shards": ("shard", 1.0, (0.6, 0.3, 0.8, 0.7)),
    "prepared, int16": ("strip", CROP, (None, 0.3, None, 0.7)),
}
# Etude's track 17 (seed 0, clips of ten seconds): what is true in its first clip, and what the crowd types.
EXAMPLE = (
    17,
    ("guitar", "drums", "fast", "country", "no vocals", "no vocal", "no voice"),
    ("guitar", "country"),
)


def lines(x: float, y: float, *words: str) -> list[str]:
    """A bold line and those below it, centred."""
    first, *others = words
    below = [text(x, y + 22 * row, line) for row, line in enumerate(others, start=1)]
    return [text(x, y, first, 17, bold=True), *below]


def etude() -> str:
    """From a seed to a score; from there to sound on the left, and to labels on the right."""
    middle, left, right, width = 294, 164, 424, 236
    parts = [box(middle - 120, 10, 240, 40), text(middle, 36, "seed, track number", 17, bold=True)]
    parts += [down(middle, 50, 20), box(46, 72, 496, 64, "blue")]
    parts += lines(middle, 98, "artist", "home style, keys, tempi, instruments; a studio")
    parts += [down(middle, 136, 20), box(46, 158, 496, 64, "yellow")]
    parts += lines(middle, 184, "score", "style, key, tempo, dynamics; all players' notes")
    sound = (
        ("soundfont", "a stem for each player"),
        ("mix", "effects, gain, dynamics"),
        ("the artist's studio", "tone, room, noise, loudness"),
        ("clips", "cut one after the other"),
    )
    (oracle, typed), breaks = EXAMPLE[1:], 4
    words = (
        ("what is true here?", "how much does it stand out?"),
        ("oracle", ", ".join(oracle[:breaks]) + ",", ", ".join(oracle[breaks:])),
        ("simulated crowd", "types what stands out,", "seldom all, and rarely errs"),
        ("labels", ", ".join(typed)),
    )
    fills = (("plain", "plain"), ("plain", "green"), ("plain", "red"), ("blue", "green"))
    parts += [text(left + 12, 246, "the sound", 16, "muted", "start")]
    parts += [text(right + 12, 246, "the truth", 16, "muted", "start")]
    gap, y = 22, 262
    for row in range(4):
        height = 64 if row in (0, 3) else 88
        for x, stages, fill in zip((left, right), (sound, words), fills[row], strict=True):
            drop = 40 if row == 0 else gap
            parts += [down(x, y - drop, drop - 2), box(x - width / 2, y, width, height, fill)]
            parts += lines(x, y + (height - 22 * len(stages[row])) / 2 + 18, *stages[row])
        if row == 2:  # the studio is the artist's
            parts += [path(f"M46 104H20V{y + height / 2:g}H32", "muted"), arrow(28, y + height / 2, 17)]
        y += height + gap
    return svg(y - gap + 12, "How Etude makes a track and its two sets of labels", *parts)


def matrix(x: float, y: float, cell: float, clips: int, own: range) -> list[str]:
    """All views of a batch against all, two of each clip; a frame around what a process would see alone."""
    parts, views = [], 2 * clips
    for row in range(views):
        for column in range(views):
            same = row // 2 == column // 2
            fill = "plain" if row == column else "leaf" if same else "red"
            parts.append(rect(x + column * cell, y + row * cell, cell, cell, fill, "line"))
    first, size = 2 * own.start * cell, 2 * len(own) * cell
    frame = f"M{x + first:g} {y + first:g}h{size:g}v{size:g}h-{size:g}z"
    return [*parts, path(frame, "ink", 3, more='stroke-dasharray="6 4"')]


def processes() -> str:
    """A contrastive batch of four clips on two processes: half each, gathered, one loss, one step."""
    parts, centres, width = [], (144, 416), 244
    parts += [box(110, 10, 340, 40, "blue"), text(280, 36, "a batch of four clips: 1 2 3 4", 17, bold=True)]
    for process, centre in enumerate(centres):
        left = centre - width / 2
        parts += [
            down(centre, 50, 26),
            text(centre + (-14, 14)[process], 69, f"process {process}", 16, "muted", ("end", "start")[process]),
            box(left, 78, width, 44, "blue"),
            text(centre, 106, f"two views of clips {'1 2' if process == 0 else '3 4'}", 16),
            down(centre, 122, 22),
            box(left, 146, width, 44, "yellow"),
            text(centre, 174, "encoder and projector", 16, bold=True),
            down(centre, 190, 22),
        ]
    parts += [path("M268 168H292", "muted", 4), text(280, 206, "same weights", 15, "muted")]
    edge = centres[0] - width / 2
    parts += [box(edge, 214, WIDTH - 2 * edge, 62, "green")]
    parts += lines(280, 240, "gather", "both hold the embeddings of all eight views")
    cell = 20
    for process, centre in enumerate(centres):
        parts.append(down(centre, 276, 22))
        parts += matrix(centre - 4 * cell, 302, cell, 4, range(2 * process, 2 * process + 2))
        parts += [text(centre, 488, "the loss of all against all", 16), down(centre, 498, 22)]
        parts += [box(centre - width / 2, 522, width, 44), text(centre, 550, "gradient through own views", 16)]
        parts.append(down(centre, 566, 22))
    parts += [box(edge, 590, WIDTH - 2 * edge, 62, "green")]
    parts += lines(280, 616, "average the gradients", "both take the same step")
    for row, (fill, name) in enumerate(
        (("leaf", "a view and its partner: near"), ("red", "negatives: far apart"))
    ):
        y = 670 + 28 * row
        parts += [rect(edge, y, 18, 18, fill, "line"), text(edge + 28, y + 14, name, 16, anchor="start")]
    parts.append(path("M290 672h18v18h-18z", "ink", 3, more='stroke-dasharray="6 4"'))
    parts.append(text(318, 684, "all that one would see", 16, anchor="start"))
    parts.append(text(318, 706, "without gathering", 16, anchor="start"))
    return svg(728, "A contrastive batch on two processes", *parts)


def storage() -> str:
    """How each way keeps clips, what it reads of them for a crop, and what that costs, from the measured table."""
    with SCALE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parts, left, right, step = [], 14, WIDTH - 14, 116
    for index, row in enumerate(rows):
        y, (container, share, crops) = 10 + step * index, STORED[row["way"]]
        kept, inset, gap = KEPT[container]
        parts.append(text(left, y + 20, row["way"], 17, anchor="start", bold=True))
        parts.append(text(right, y + 20, kept, 16, "muted", "end"))
        if container == "shard":
            parts.append(rect(left, y + 30, right - left, 44, "plain", "muted", 'rx="4"'))
        size = (right - left - 2 * inset + gap) / len(crops) - gap
        for number, crop in enumerate(crops):
            x = left + inset + number * (size + gap)
            if crop:  # what is read begins a little before the crop, or is the whole clip
                first = x if share == 1 else x + (crop + CROP - share) * size
                parts.append(rect(first, y + 37, share * size, 30, "amber", more='fill-opacity="0.3"'))
                parts.append(rect(x + crop * size, y + 37, CROP * size, 30, "amber"))
            parts.append(path(f"M{x:g} {y + 37}h{size:g}v30h{-size:g}z", "line", 1.5))
        cost = f"{row['read per crop (kB)']} kB to read, {row['cores per GPU']} cores to decode"
        parts.append(text(left, y + 94, cost, 16, anchor="start"))
        late = row["waits for"] == "storage"
        colour, words = ("brick", "GPUs wait for storage") if late else ("leaf", "GPUs are busy")
        parts.append(text(right, y + 94, words, 16, colour, "end", bold=late))
    y = 10 + step * len(rows) + 4
    for x, words, more in ((left, "read", 'fill-opacity="0.3"'), (left + 96, "the crop, a tenth of the clip", "")):
        parts += [rect(x, y, 18, 18, "amber", more=more), text(x + 26, y + 15, words, 16, anchor="start")]
    return svg(y + 32, "From disk to GPU: what is read for one crop", *parts)


FIGURES = {"etude.svg": etude, "processes.svg": processes, "storage.svg": storage}
