"""Tags of the data sets that taggers are published for, and the four notions of similarity of MagnaTagATune's.

Taught in: 02_datasets, 08_metric_learning.
"""

from __future__ import annotations

# From the most to the least frequent tag. Each list is in the order of the published weights' outputs.
MAGNATAGATUNE = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano",
    "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing",
    "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop",
    "soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice",
    "female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip

# Last.fm's 50 most frequent tags on the Million Song Dataset, in the order of its older split's label vectors.
MSD = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock",
    "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow",
    "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock",
    "ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country",
    "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb",
    "indie pop", "sad", "House", "happy",
)  # fmt: skip

# The 50 tags of the cleaned and artist-level stratified split (CALS; Won et al., 2021).
MSD_CALS = (
    "rock", "pop", "indie", "alternative", "electronic", "hip-hop", "metal", "jazz", "punk", "folk",
    "alternative rock", "indie rock", "dance", "hard rock", "00s", "soul", "hardcore", "80s", "country",
    "classic rock", "punk rock", "blues", "chillout", "experimental", "heavy metal", "death metal", "90s",
    "reggae", "progressive rock", "ambient", "acoustic", "beautiful", "british", "rnb", "funk", "metalcore",
    "mellow", "world", "guitar", "trance", "indie pop", "christian", "house", "spanish", "latin", "psychedelic",
    "electro", "piano", "70s", "progressive metal",
)  # fmt: skip

# MTG-Jamendo's 50 most frequent tags, category---tag, in alphabetical order (as scikit-learn's LabelBinarizer
# sorted them when the published weights were trained).
JAMENDO = (
    "genre---alternative", "genre---ambient", "genre---atmospheric", "genre---chillout", "genre---classical",
    "genre---dance", "genre---downtempo", "genre---easylistening", "genre---electronic", "genre---experimental",
    "genre---folk", "genre---funk", "genre---hiphop", "genre---house", "genre---indie",
    "genre---instrumentalpop", "genre---jazz", "genre---lounge", "genre---metal", "genre---newage",
    "genre---orchestral", "genre---pop", "genre---popfolk", "genre---poprock", "genre---reggae", "genre---rock",
    "genre---soundtrack", "genre---techno", "genre---trance", "genre---triphop", "genre---world",
    "instrument---acousticguitar", "instrument---bass", "instrument---computer", "instrument---drummachine",
    "instrument---drums", "instrument---electricguitar", "instrument---electricpiano", "instrument---guitar",
    "instrument---keyboard", "instrument---piano", "instrument---strings", "instrument---synthesizer",
    "instrument---violin", "instrument---voice", "mood/theme---emotional", "mood/theme---energetic",
    "mood/theme---film", "mood/theme---happy", "mood/theme---relaxing",
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
