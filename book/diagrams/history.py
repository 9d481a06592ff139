"""The timeline of the chapter on history."""

from __future__ import annotations

from diagrams.draw import circle, path, rect, svg, text

ERAS = [  # name, colour, [(year, what, who)]
    (
        "Features by hand",
        "blue",
        [
            (1980, "MFCC, for speech", "Davis and Mermelstein"),
            (2000, "MFCC for music", "Logan"),
            (2002, "timbre, rhythm, pitch: GTZAN", "Tzanetakis and Cook"),
            (2004, "a glass ceiling", "Aucouturier and Pachet"),
            (2005, "an SVM on statistics of songs", "Mandel and Ellis"),
            (2008, "a Gaussian mixture per word", "Turnbull et al."),
        ],
    ),
    (
        "Learned features",
        "green",
        [
            (2009, "convolutional belief networks", "Lee et al."),
            (2010, "deep belief network for genre", "Hamel and Eck"),
            (2012, "sparse codebooks for tags", "Nam et al."),
        ],
    ),
    (
        "Deep networks",
        "yellow",
        [
            (2014, "end to end, also from the waveform", "Dieleman, Schrauwen"),
            (2016, "convolutions on mel: FCN", "Choi et al."),
            (2017, "CRNN; SampleCNN", "Choi et al.; Lee et al."),
            (2018, "musical filters: Musicnn", "Pons et al."),
        ],
    ),
    (
        "Attention",
        "red",
        [
            (2019, "self-attention over a CNN", "Won et al."),
            (2020, "many models, one protocol", "Won et al."),
            (2021, "music tagging transformer", "Won et al."),
        ],
    ),
    (
        "Fewer labels",
        "plain",
        [
            (2021, "contrastive: CLMR", "Spijkervet, Burgoyne"),
            (2024, "large pretrained encoders: MERT", "Li et al."),
        ],
    ),
]


def timeline() -> str:
    """Years downwards; each era is a block of its colour."""
    parts, y, row = [], 12, 48
    for name, colour, entries in ERAS:
        height = 48 + row * len(entries)
        parts.append(rect(10, y, 540, height, colour, "line", 'rx="8"'))
        parts.append(text(24, y + 28, name, 20, anchor="start", bold=True))
        first, last = y + 60, y + 60 + row * (len(entries) - 1)
        parts.append(path(f"M92 {first}V{last}", "muted", 2))
        for index, (year, what, who) in enumerate(entries):
            middle = first + row * index
            parts += [
                circle(92, middle, 6, "sea"),
                text(78, middle + 6, str(year), 19, anchor="end"),
                text(110, middle + 2, what, 20, anchor="start"),
                text(110, middle + 22, who, 17, "muted", "start"),
            ]
        y += height + 10
    return svg(y + 2, "Music classification from 1980 to 2024", *parts)


FIGURES = {"timeline.svg": timeline}
