"""The 50 MagnaTagATune tags and the four notions of similarity they fall into.

Taught in: 02_datasets, 08_metric_learning.
"""

from __future__ import annotations

# Order of the published MagnaTagATune weights: from the most to the least frequent tag.
MAGNATAGATUNE = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano",
    "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing",
    "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop",
    "soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice",
    "female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip

NOTIONS = {
    "genre": (
        "classic", "techno", "rock", "indian", "opera", "country",
        "metal", "new age", "dance", "pop", "electronic", "classical",
    ),
    "mood": ("soft", "quiet", "loud", "ambient", "weird"),
    "tempo": ("slow", "fast"),
}  # fmt: skip
NOTIONS["instrument"] = tuple(
    tag for tag in MAGNATAGATUNE if not any(tag in members for members in NOTIONS.values())
)
NOTIONS = {name: NOTIONS[name] for name in ("genre", "mood", "instrument", "tempo")}


def notion(tag: str) -> str:
    """The notion of similarity that `tag` belongs to.

    Examples
    --------
    >>> notion("sitar")
    'instrument'
    """
    for name, members in NOTIONS.items():
        if tag in members:
            return name
    raise ValueError(f"{tag!r} is not one of the 50 MagnaTagATune tags")
