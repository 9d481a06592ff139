"""Etude, the data set that composes itself.

Études are pieces written for practice. This collection composes tracks from a seed, writes them as scores,
renders them through a General MIDI soundfont and an artist's studio, and so knows every label exactly. It stands
in for MagnaTagATune: the same 50 tags, 16 kHz mono, several clips per track and several tracks per artist, weak
labels and a long tail, with nothing to download.

The modules, in the order in which music is made: `theory` and `instruments` (what there is), `styles` and
`patterns` (what is played), `composer` (scores), `renderer` (sound), `production` (the studio), `annotation`
(labels), `dataset` (clips, splits, cache). Version 2 changes some styles (`styles_2`) and has players of its own:
`singer` and `bowed`, which share a `source_filter`, and `plucked`.

Taught in: 02_datasets, 04_supervised.
"""

from mclass.datasets.etude.dataset import Etude

__all__ = ["Etude"]
