"""Block diagrams of learning with few labels or none: what is trained, who teaches, what is compared with what."""

from __future__ import annotations

import math

from diagrams.draw import WIDTH, arrow, box, circle, down, path, rect, svg, text

LAYERS = ("block 1", "block 2", "block 3", "block 4", "new head")  # from the sound upwards
DECAY = 0.5  # as in the notebook: `Tagging(model, layer_decay=0.5)`
TEACHERS = (  # method, who teaches, what the student hears
    ("self-training", "trained before, fixed", "the clip"),
    ("noisy student", "trained before, fixed", "the clip, altered"),
    ("consistency", "the student itself", "the clip, altered"),
    ("mean teacher", "mean of its past selves", "the clip, altered"),
    ("distillation", "a larger network, fixed", "what the teacher hears"),
)
MARGIN = 0.4  # of `mclass.losses.TripletLoss`


def up(x: float, y: float, length: float, colour: str = "muted") -> str:
    """An arrow upwards from (x, y)."""
    tip = y - length
    return path(f"M{x:g} {y:g}V{tip + 6:g}", colour) + f'<path class="{colour}" d="M{x:g} {tip:g}l-5 9h10z"/>'


def rate(layer: int, decay: float) -> str:
    """A layer's learning rate as a share of the last layer's."""
    divisor = decay ** (layer + 1 - len(LAYERS))
    return "η" if divisor == 1 else f"η/{divisor:g}"


def what_trains() -> str:
    """Four towers of layers: frozen, partial, full, layer-wise; what learns is green, with its learning rate."""
    ways = (("frozen", 4, 1.0), ("partial", 2, 1.0), ("full", 0, 1.0), ("layer-wise", 0, DECAY))
    parts, width, height, gap, top = [], 122, 38, 8, 44
    for column, (name, first, decay) in enumerate(ways):
        x = 14 + column * 137
        parts.append(text(x + width / 2, 28, name, 17, bold=True))
        for layer, what in enumerate(LAYERS):
            y = top + (len(LAYERS) - 1 - layer) * (height + gap)
            learns = layer >= first
            parts += [box(x, y, width, height, "green" if learns else "plain")]
            parts.append(text(x + 10, y + 25, what, 16, anchor="start"))
            if learns:
                parts.append(text(x + width - 8, y + 25, rate(layer, decay), 16, anchor="end", bold=True))
            else:
                parts.append(text(x + width - 8, y + 25, "–", 16, "muted", "end"))
        bottom = top + len(LAYERS) * (height + gap) - gap
        parts += [up(x + width / 2, bottom + 24, 20), text(x + width / 2, bottom + 44, "sound", 16, "muted")]
    parts += [rect(14, 332, 20, 20, "green", "line"), text(42, 348, "learns, at this rate", 16, anchor="start")]
    parts += [
        rect(230, 332, 20, 20, "plain", "line"),
        text(258, 348, "stays as the pretext left it", 16, anchor="start"),
    ]
    return svg(366, "How much of a network to train again", *parts)


def teachers() -> str:
    """One scheme of five methods: a teacher's answer to a clip is the target of the student's."""
    parts = [box(14, 88, 104, 52, "blue"), text(66, 120, "clip", 17, bold=True)]
    parts.append(path("M118 100H140V56H158", "muted") + '<path class="muted" d="M166 56l-9 -5v10z"/>')
    parts.append(path("M118 128H140V172H158", "muted") + '<path class="muted" d="M166 172l-9 -5v10z"/>')
    parts += [box(168, 30, 140, 52, "green"), text(238, 62, "teacher", 17, bold=True)]
    parts += [box(168, 146, 140, 52, "yellow"), text(238, 178, "student", 17, bold=True)]
    parts += [text(238, 20, "as it is", 16, "muted"), text(238, 220, "as it is, or altered", 16, "muted")]
    parts += [arrow(310, 56, 34), text(352, 51, "answer: the target", 16, anchor="start")]
    parts.append(text(352, 71, "no gradient this way", 15, "muted", "start"))
    parts += [arrow(310, 172, 34), text(352, 177, "its own answer", 16, anchor="start")]
    parts += [path("M420 82V152", "brick", 2.5), '<path class="brick" d="M420 156l-5 -9h10z"/>']
    parts += [
        '<path class="brick" d="M420 78l-5 9h10z"/>',
        text(432, 122, "loss", 17, "brick", "start", bold=True),
    ]
    top = 262
    for x, head in ((14, "method"), (158, "teacher"), (372, "student hears")):
        parts.append(text(x, top, head, 16, "muted", "start"))
    parts.append(path(f"M14 {top + 10}H{WIDTH - 14}", "line", 1))
    for row, (name, teacher, heard) in enumerate(TEACHERS):
        y = top + 36 + row * 28
        parts += [text(14, y, name, 16, anchor="start", bold=True), text(158, y, teacher, 16, anchor="start")]
        parts.append(text(372, y, heard, 16, anchor="start"))
    return svg(top + 36 + len(TEACHERS) * 28 - 12, "Teacher and student, in five methods", *parts)


def cpc() -> str:
    """Moments of a recording, a context that sums up the past, and predictions of what comes."""
    left, step, width = 20, 74, 62
    now, steps = 3, 3
    parts = [text(left, 350, "one encoder for all moments of the sound", 16, "muted", "start")]
    for moment in range(7):
        x = left + moment * step
        past = moment <= now
        name = "z" + (
            "ₜ" if moment == now else f"ₜ₋{'₁₂₃'[now - moment - 1]}" if past else f"ₜ₊{'₁₂₃'[moment - now - 1]}"
        )
        parts += [box(x, 226, width, 40, "blue" if past else "yellow"), text(x + width / 2, 252, name, 18)]
        parts += [up(x + width / 2, 306, 38)]
        if past:
            parts += [up(x + width / 2, 226, 30), box(x, 154, width, 40, "green")]
            parts.append(text(x + width / 2, 180, "GRU", 16))
            if moment < now:
                parts.append(arrow(x + width, 174, step - width))
    wave = [f"{left + i * 2.5:g} {318 + 9 * math.sin(i / 2.3) * math.sin(i / 19 + 0.6):.1f}" for i in range(203)]
    parts.append(path("M" + "L".join(wave), "sea", 1.6))
    context = left + now * step + width / 2
    parts += [
        up(context, 154, 34),
        box(context - 46, 76, 92, 42, "green"),
        text(context, 103, "context cₜ", 16, bold=True),
    ]
    for ahead in range(1, steps + 1):
        x, y = left + (now + ahead) * step + width / 2, 120 - 24 * ahead
        start = f"M{context + 46:g} {(96, 88, 82)[ahead - 1]}"
        parts.append(path(f"{start}C{context + 60:g} {y} {x - 30:g} {y} {x:g} {y}V214", "brick", 2))
        parts.append(f'<path class="brick" d="M{x:g} 222l-5 -9h10z"/>')
        parts.append(text(x + 8, 150, f"W{'₁₂₃'[ahead - 1]}", 16, "brick", "start", bold=True))
    parts += [
        text(left, 60, "Which of all moments comes", 16, anchor="start"),
        text(left, 82, "in k steps?", 16, anchor="start"),
    ]
    return svg(364, "Contrastive predictive coding", *parts)


def simclr_moco() -> str:
    """Two panels: both views through one network; or a query and keys of a copy that follows, with a queue."""
    parts = []
    for x, name in ((8, "SimCLR, CLMR"), (288, "MoCo")):
        parts += [box(x, 8, 264, 402), text(x + 132, 36, name, 18, bold=True)]
    for x, first, second, colour in ((8, "encoder", "encoder", "green"), (288, "encoder", "copy", "yellow")):
        for side, (encoder, fill) in enumerate(((first, "green"), (second, colour))):
            centre = x + 72 + side * 120
            parts += [box(centre - 50, 352, 100, 36, "blue"), text(centre, 376, f"view {side + 1}", 16)]
            parts += [
                up(centre, 352, 26),
                box(centre - 50, 282, 100, 42, fill),
                text(centre, 309, encoder, 16, bold=True),
            ]
            parts += [
                up(centre, 282, 26),
                box(centre - 50, 214, 100, 42, fill),
                text(centre, 241, "projector", 16),
            ]
            parts.append(up(centre, 214, 26))
    # SimCLR: one network, a batch as the crowd.
    parts += [path("M130 303h20", "muted", 3), path("M130 235h20", "muted", 3)]
    parts.append(text(140, 270, "same weights", 15, "muted"))
    for centre in (80, 200):
        parts += [circle(centre, 172, 15, "yellow", "line")]
    parts.append(path("M97 172H183", "leaf", 3))
    parts.append(text(140, 162, "near", 15, "leaf", bold=True))
    for centre in (40, 90, 140, 190, 240):
        parts.append(circle(centre, 92, 11, "plain", "line"))
        parts.append(
            path(f"M{80 + (centre - 140) / 12:.1f} 155L{centre} 105", "brick", 1.2, more='stroke-dasharray="4 4"')
        )
    parts += [text(140, 70, "views of the other clips in the batch", 15, "muted")]
    parts += [text(222, 138, "far", 15, "brick", bold=True)]
    # MoCo: a queue as the crowd.
    parts += [circle(360, 172, 15, "yellow", "line"), circle(480, 172, 15, "yellow", "line")]
    parts += [path("M377 172H463", "leaf", 3), text(420, 162, "near", 15, "leaf", bold=True)]
    parts += [text(338, 177, "q", 17), text(502, 177, "k", 17)]
    for index in range(6):
        centre = 320 + index * 40
        parts.append(rect(centre - 18, 80, 36, 26, "plain", "line"))
        parts.append(
            path(f"M{360 + (index - 2.5):.1f} 155L{centre} 110", "brick", 1.2, more='stroke-dasharray="4 4"')
        )
    parts.append(text(420, 68, "queue: keys of earlier batches", 15, "muted"))
    parts += [
        path("M492 160C520 140 524 130 521 114", "muted", 1.6),
        '<path class="muted" d="M520 109l-3 10l9 -2z"/>',
    ]
    parts += [arrow(411, 303, 18), text(420, 270, "follows", 15, "muted")]
    return svg(418, "SimCLR and MoCo", *parts)


def pase() -> str:
    """One encoder's moments, and six small workers: four describe the sound, two tell what belongs together."""
    workers = ("log-mel", "MFCC", "chroma", "energy", "local", "global")
    left, width, gap = 34, 78, 8
    centres = [left + number * (width + gap) + width / 2 for number in range(len(workers))]
    parts = []
    for first, last, fill, lines in (
        (0, 3, "yellow", ("the same, computed from the sound:", "how far off?")),
        (4, 5, "red", ("Same crop?", "Same clip?")),
    ):
        x, end = centres[first] - width / 2, centres[last] + width / 2
        parts.append(box(x, 16, end - x, 62, fill))
        parts += [text((x + end) / 2, 42 + 24 * row, line, 16) for row, line in enumerate(lines)]
    for number, (centre, name) in enumerate(zip(centres, workers, strict=True)):
        parts += [up(centre, 118, 36), box(centre - width / 2, 120, width, 40, "yellow" if number < 4 else "red")]
        parts += [text(centre, 145, name, 16), up(centre, 202, 38)]
    right = centres[-1] + width / 2
    parts += [box(left, 204, right - left, 40, "blue"), up((left + right) / 2, 282, 34)]
    parts.append(text((left + right) / 2, 230, "z₁, z₂, z₃, … : one vector for each moment", 16))
    parts += [box(left, 284, right - left, 42, "green"), text((left + right) / 2, 311, "encoder", 16, bold=True)]
    wave = [f"{left + i * 2.5:g} {372 + 10 * math.sin(i / 2.3) * math.sin(i / 19 + 0.6):.1f}" for i in range(204)]
    parts += [up((left + right) / 2, 358, 28), path("M" + "L".join(wave), "sea", 1.6)]
    parts += [path(f"M{left - 2:g} 372H14V47H{left - 8:g}", "muted"), arrow(left - 12, 47, 10)]
    parts.append(text(left, 410, "workers: small, thrown away in the end", 16, "muted", "start"))
    return svg(424, "PASE: one encoder, many small workers", *parts)


def mining_zones() -> str:
    """Around an anchor: where a negative is hard, semi-hard and easy, for a given positive."""
    x, y, unit = 164, 170, 200
    near, far = 0.35 * unit, (0.35 + MARGIN) * unit
    parts = [circle(x, y, far, "yellow", "line"), circle(x, y, near, "red", "line")]
    angle = -0.62
    px, py = x + near * math.cos(angle), y + near * math.sin(angle)
    parts += [
        path(f"M{x} {y}L{px:.1f} {py:.1f}", "leaf", 2.5),
        circle(x, y, 8, "ink"),
        circle(round(px, 1), round(py, 1), 8, "leaf"),
    ]
    parts += [
        text(x - 14, y + 6, "a", 18, anchor="end", bold=True),
        text(px + 12, py - 6, "p", 18, "leaf", "start", bold=True),
    ]
    ex, ey = x + far * math.cos(0.5), y + far * math.sin(0.5)
    nx, ny = x + near * math.cos(0.5), y + near * math.sin(0.5)
    parts += [
        path(f"M{nx:.1f} {ny:.1f}L{ex:.1f} {ey:.1f}", "muted", 2),
        text((nx + ex) / 2 - 4, (ny + ey) / 2 + 24, "margin", 15, "ink"),
    ]
    for dx, dy in ((-30, 36), (-92, -66), (112, 128)):
        parts.append(circle(x + dx, y + dy, 7, "brick"))
    parts.append(text(336, 36, "a negative is", 16, anchor="start"))
    kinds = (
        ("hard", "red", "nearer than the positive", "loss: the margin, or more"),
        ("semi-hard", "yellow", "further, but not by the margin", "loss: from 0 to the margin"),
        ("easy", "page", "further by the margin", "loss: 0, nothing is learned"),
    )
    for row, (name, colour, where, loss) in enumerate(kinds):
        top = 80 + row * 84
        parts += [rect(336, top - 15, 18, 18, colour, "line"), text(362, top, name, 17, anchor="start", bold=True)]
        parts += [
            text(336, top + 22, where, 15, "muted", "start"),
            text(336, top + 42, loss, 15, "muted", "start"),
        ]
    return svg(340, "Hard, semi-hard and easy negatives", *parts)


def notion_blocks() -> str:
    """An embedding in four blocks; a triplet is compared in the block of its tag's notion."""
    parts, left, width = [], 150, 98
    notions = ("genre", "mood", "instrument", "tempo")
    parts.append(text(left - 16, 40, "a triplet, drawn by the tag “sitar”", 16, "muted", "start"))
    for row, (name, colour) in enumerate((("anchor", "ink"), ("positive", "leaf"), ("negative", "brick"))):
        y = 62 + row * 46
        parts.append(text(left - 14, y + 25, name, 16, colour, "end", bold=True))
        for column in range(4):
            parts.append(
                rect(left + column * width, y, width - 4, 36, "yellow" if column == 2 else "plain", "line")
            )
    parts.append(text(left - 14, 226, "mask", 16, anchor="end"))
    for column, notion in enumerate(notions):
        x = left + column * width + (width - 4) / 2
        parts += [text(x, 226, "1" if column == 2 else "0", 18, bold=column == 2)]
        parts.append(text(x, 250, notion, 16, "ink" if column == 2 else "muted", bold=column == 2))
    x = left + 2 * width + (width - 4) / 2
    parts += [
        down(x, 262, 26),
        box(x - 150, 290, 300, 40, "yellow"),
        text(x, 316, "triplet loss of this block alone", 16),
    ]
    parts += [text(x, 356, "the other blocks get no gradient from it", 16, "muted")]
    return svg(374, "An embedding with a block for each notion of similarity", *parts)


def search_engine() -> str:
    """Above, once: the collection becomes an index. Below, for each query: embed, look up, filter, listen."""
    parts = [text(14, 26, "once, and for each new track", 16, "muted", "start")]
    row = (("collection", "blue"), ("encoder", "green"), ("vectors", "plain"), ("index", "yellow"))
    for column, (name, colour) in enumerate(row):
        x = 14 + column * 138
        parts += [box(x, 40, 116, 46, colour), text(x + 58, 69, name, 17, bold=True)]
        if column < 3:
            parts.append(arrow(x + 117, 63, 20))
    parts += [
        path("M210 88V154", "muted", 2, more='stroke-dasharray="5 4"'),
        text(218, 126, "the same one", 15, "muted", "start"),
    ]
    parts += [down(486, 88, 66), text(476, 126, "nearest", 15, "muted", "end")]
    row = (("query", "blue"), ("encoder", "green"), ("vector", "plain"), ("candidates", "yellow"))
    for column, (name, colour) in enumerate(row):
        x = 14 + column * 138
        parts += [box(x, 156, 116, 46, colour), text(x + 58, 185, name, 17, bold=True)]
        if column < 3:
            parts.append(arrow(x + 117, 179, 20))
    parts += [text(14, 226, "each time", 16, "muted", "start"), down(486, 204, 30)]
    parts += [box(290, 236, 254, 46, "red"), text(417, 265, "own track and copies out", 16, bold=True)]
    parts += [
        down(417, 284, 22),
        box(290, 308, 254, 46, "plain"),
        text(417, 337, "K results, to listen to", 16, bold=True),
    ]
    parts += [
        text(14, 264, "Approximate search may miss", 16, anchor="start"),
        text(14, 286, "neighbours: measure how many,", 16, anchor="start"),
    ]
    parts += [text(14, 308, "against exact search.", 16, anchor="start")]
    return svg(368, "From an embedding to a search engine", *parts)


FIGURES = {
    "what_trains.svg": what_trains,
    "teachers.svg": teachers,
    "cpc.svg": cpc,
    "simclr_moco.svg": simclr_moco,
    "pase.svg": pase,
    "mining_zones.svg": mining_zones,
    "notion_blocks.svg": notion_blocks,
    "search_engine.svg": search_engine,
}
