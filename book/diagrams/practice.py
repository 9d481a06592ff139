"""Block diagrams of the chapters on Etude, on long runs and on large data: what is made of what, and by whom."""

from __future__ import annotations

from diagrams.draw import arrow, box, down, path, svg, text

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


FIGURES = {"etude.svg": etude}
