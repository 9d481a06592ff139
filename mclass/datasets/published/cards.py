"""What each data set is, how large, under which licence, what is wrong with it, how to cite it and how to get it.

The one place for these facts: `info` gives a card, and ``book/cards.py`` makes the book's sections of them.

Taught in: 02_datasets.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from mclass.errors import unknown_name

_BY_HAND = "It cannot be downloaded for you."


@dataclass(frozen=True)
class Card:
    """A description of a data set; ``print`` it.

    Attributes
    ----------
    name : str
        What `mclass.datasets.load` calls it.
    title, what, audio, size, task, split, licence : str
    traps : tuple of str
        What goes wrong with it.
    get : str
        How to get it.
    cite : tuple of str
        Keys of the book's bibliography.
    reference : str
        The same in words.
    """

    name: str
    title: str
    what: str
    audio: str
    size: str
    task: str
    split: str
    licence: str
    traps: tuple[str, ...]
    get: str
    cite: tuple[str, ...]
    reference: str

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("audio", self.audio),
            ("size", self.size),
            ("task", self.task),
            ("split", self.split),
            ("licence", self.licence),
        ]

    def __str__(self) -> str:
        rows = [
            *self._rows(),
            *(("trap", trap) for trap in self.traps),
            ("get", self.get),
            ("cite", self.reference),
        ]
        lines = [f'{self.title}  (mclass.datasets.load("{self.name}"))', *textwrap.wrap(self.what, 96)]
        for key, text in rows:
            lines += textwrap.wrap(f"{key:<9}{text}", 96, subsequent_indent=" " * 9, break_on_hyphens=False)
        return "\n".join(lines)


_CARDS = (
    Card(
        "gtzan",
        "GTZAN",
        "Half-minute clips of ten genres, one genre each: the oldest benchmark of genre recognition.",
        "22,050 Hz mono wav",
        "1,000 clips, 100 of each genre; 1.2 GB",
        "genre; single-label, 10 classes",
        "fault-filtered: 443 / 197 / 290 clips; splits(by='clip') is the naive random one",
        "Not stated; the recordings are commercial. For research at your own responsibility.",
        (
            "It holds exact and near repetitions, wrong labels, distorted clips, and many clips by one artist: a "
            "random split measures memory. Use the fault-filtered one, and say so.",
            "jazz.00054.wav is not audio in the common copy; it belongs to the fault-filtered training split "
            "(442 are left): load with on_error='skip'.",
        ),
        f"{_BY_HAND} Its own host has not answered since 2022, and no licence is stated. Somebody near you has a "
        "copy: genres.tar.gz, SHA-256 24347e0223d2ba798e0a558c4c172d9d4a19c00bb7963fe055d183dadb4ef2c6; unpack "
        "it and give the folder that holds the ten folders of genres.",
        ("tzanetakis2002", "sturm2013", "kereliuk2015"),
        "Tzanetakis & Cook, IEEE Trans. Speech and Audio Processing 10(5), 2002; faults: Sturm, 2013; the "
        "filtered split: Kereliuk, Sturm & Larsen, 2015",
    ),
    Card(
        "magnatagatune",
        "MagnaTagATune",
        "Clips of Magnatune's catalogue that players of an online game described with words.",
        "16,000 Hz mono mp3 of 32 kbit/s",
        "25,863 clips of 29 s, of 5,223 tracks by 230 artists; 3 GB",
        "tagging; multi-label, 188 tags, of which the 50 most frequent are used",
        "by folder, clips with one of the 50 tags: 0–b training (15,247), c validation (1,529), d–f test (4,332)",
        "CC BY-NC-SA 3.0",
        (
            "A tag that is not there was not said, which does not mean that it does not hold: labels are weak.",
            "Synonyms are separate tags (vocal, vocals, voice, singing; no vocal, no vocals, no voice). "
            "merge_synonyms=True adds them up; published scores do not.",
            "Artists are shared between the parts of the usual split.",
            "Three mp3 files of training are empty: load with on_error='skip'.",
        ),
        'mclass.datasets.download("magnatagatune", root, accept_licence=True); by hand: annotations_final.csv, '
        "clip_info_final.csv and mp3.zip.001 to .003 from "
        "https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset; join the three (cat mp3.zip.00* > mp3.zip) "
        "and unzip them into mp3/.",
        ("law2009",),
        "Law et al., ISMIR 2009",
    ),
    Card(
        "mtg_jamendo",
        "MTG-Jamendo",
        "Whole tracks that artists published on Jamendo under Creative Commons licences, tagged by those who "
        "uploaded them.",
        "mp3 of 320 kbit/s, mostly 44,100 Hz stereo; a smaller version (audio-low) has NN/ID.low.mp3",
        "55,525 tracks by 3,565 artists; 508 GB of audio",
        "tagging; multi-label: genre, instrument, mood/theme, the 50 most frequent, or all 195 tags",
        "five official splits without shared artists; papers report split 0",
        "audio: a Creative Commons licence for each track (audio_licenses.txt); metadata: CC BY-NC-SA 4.0",
        (
            "Each row of the tables has as many cells as tags, under a header of six: ordinary readers refuse "
            "them.",
            "Tracks last minutes and their tags hold for the whole: a chunk may have none of what the tag says.",
        ),
        "git clone https://github.com/MTG/mtg-jamendo-dataset into the root; then "
        'mclass.datasets.download("mtg_jamendo", root, accept_licence=True) fetches the smaller version by the '
        "lists of checksums in there, or use its own scripts/download/download.py.",
        ("bogdanov2019",),
        "Bogdanov et al., Machine Learning for Music Discovery Workshop, ICML 2019",
    ),
    Card(
        "million_song",
        "Million Song Dataset",
        "Features and metadata of a million songs; with Last.fm's tags the largest public benchmark of tagging. "
        "Its audio is not public.",
        "brought along: previews of 30 s, if you have them",
        "CALS: 163,504 / 34,730 / 34,913 labelled and 516,415 unlabelled songs; older split: 201,680 / 11,774 / "
        "28,435",
        "tagging; multi-label, 50 tags",
        "CALS shares no artist between its parts; the older split of Last.fm's top 50 does",
        "Lists: see their repositories. The audio is commercial and may not be passed on.",
        (
            "Scores on the older split and on CALS cannot be compared, nor can their tags: the two lists of "
            "fifty differ.",
            "The older lists are pickles, which can run code when they are loaded; here they are read without.",
        ),
        f"{_BY_HAND} CALS's lists: https://github.com/minzwon/semi-supervised-music-tagging-transformer "
        "(data/splits); the older split's: https://github.com/jongpillee/music_dataset_split (MSD_split). Put "
        "either into splits/, and the audio, as A/B/C/TRABC….wav, into audio/.",
        ("bertinmahieux2011", "won2021"),
        "Bertin-Mahieux et al., ISMIR 2011; CALS: Won, Choi & Serra, ISMIR 2021",
    ),
    Card(
        "fma",
        "FMA",
        "The Free Music Archive: music that its artists gave away, in four sizes, with genres that form a tree.",
        "mp3, mostly 44,100 Hz stereo; clips of 30 s, or whole tracks (full)",
        "small 8,000 clips (7.2 GiB), medium 25,000 (22 GiB), large 106,574 (93 GiB), full 106,574 tracks (879 "
        "GiB)",
        "genre; single-label (8 or 16 roots of the tree) or multi-label (161 genres)",
        "published, without shared artists",
        "audio: the licence its artist chose, mostly Creative Commons; metadata: CC BY 4.0",
        (
            "Three clips of the trimmed sizes hold no audio (099134, 108925, 133297) and three are much too "
            "short (098565, 098567, 098569): on_error='skip' leaves out the first three; pass pad=True for the "
            "others.",
            "Artists chose the genres: a label says what somebody wanted to be found under.",
            "Tracks of several roots have no top genre and are left out of single-label data.",
        ),
        'mclass.datasets.download("fma", root, accept_licence=True, parts=("metadata", "small")); by hand: the '
        "links and checksums of https://github.com/mdeff/fma; unzip fma_metadata.zip and fma_small.zip side by "
        "side.",
        ("defferrard2017",),
        "Defferrard et al., ISMIR 2017",
    ),
    Card(
        "audioset",
        "AudioSet (music branch)",
        "Ten-second segments of videos, labelled by people with the classes of an ontology; here those that have "
        "to do with music.",
        "brought along: segments of videos",
        "22,160 balanced training and 20,371 test segments of all kinds, and two million unbalanced ones",
        "tagging; multi-label, the classes below Music",
        "balanced (or unbalanced) training and evaluation; validation is drawn from training",
        "labels: CC BY 4.0; ontology: CC BY-SA 4.0; the audio is that of the videos and may not be passed on",
        (
            "Videos disappear: no two copies are alike. Say how many segments yours has, and compare with care.",
            "Classes above a label are not always given: ancestors=True adds them.",
            "Music is a label of its own, and often the only one.",
        ),
        'mclass.datasets.download("audioset", root, accept_licence=True) fetches the ontology and the tables '
        "(also at https://research.google.com/audioset/download.html); the audio, as ID_start.wav, goes into "
        "audio/.",
        ("gemmeke2017",),
        "Gemmeke et al., ICASSP 2017",
    ),
    Card(
        "nsynth",
        "NSynth",
        "Single notes of sampled instruments, at every pitch and five strengths: clean, balanced, and not music "
        "yet.",
        "16,000 Hz mono wav of 4 s",
        "305,979 notes of 1,006 instruments",
        "instrument; single-label, 11 families or 3 sources",
        "289,205 / 12,678 / 4,096 notes; no instrument of training is in another part",
        "CC BY 4.0",
        (
            "Notes of one instrument sound alike: split by instrument (artist_ids), never by note.",
            "Families are of very different sizes; report a score for each.",
        ),
        'mclass.datasets.download("nsynth", root, accept_licence=True, parts=("test",)); by hand: '
        "nsynth-train.jsonwav.tar.gz, -valid and -test from https://magenta.tensorflow.org/datasets/nsynth, "
        "unpacked side by side.",
        ("engel2017",),
        "Engel et al., ICML 2017",
    ),
    Card(
        "openmic",
        "OpenMIC-2018",
        "Clips of the Free Music Archive in which listeners answered whether certain instruments play.",
        "ogg of 10 s",
        "20,000 clips; 20 instruments with at least 500 positive and 1,500 answers each",
        "instrument; multi-label, partly labelled",
        "14,915 training and 5,085 test clips without shared artists; validation is drawn from training",
        "labels: CC BY 4.0; audio: the Creative Commons licence of each track",
        (
            "Most labels are not known: where `known` is false, a zero says nothing. Training, probes and `mclass "
            "evaluate` leave them out; give metrics and losses that you call yourself the mask, known=data.known.",
            "Ten clips were corrupted when it was made, and three labels with them; see its repository's errata.",
        ),
        'mclass.datasets.download("openmic", root, accept_licence=True); by hand: openmic-2018-v1.0.0.tgz from '
        "https://doi.org/10.5281/zenodo.1432913, unpacked.",
        ("humphrey2018",),
        "Humphrey, Durand & McFee, ISMIR 2018",
    ),
    Card(
        "mirdata",
        "mirdata",
        "A library that knows dozens of data sets of music information retrieval; one adapter makes each of them "
        "one of the course's: IRMAS, Medley-solos-DB, TinySOL, sets of moods and keys.",
        "as each has it",
        "as each has it",
        "as each has it; label= names the attribute of a track",
        "where the library knows one; otherwise at random",
        "that of each: mirdata.initialize(name).license()",
        ("The library checks that the files are the published ones, not that the published ones are good.",),
        'pip install mirdata, then mirdata.initialize("irmas", data_home=root).download().',
        ("bittner2019",),
        "Bittner et al., ISMIR 2019, and what mirdata.initialize(name).cite() says",
    ),
    Card(
        "etude",
        "Etude",
        "Music that the course composes itself, from a seed, so that every label is known.",
        "16,000 Hz mono",
        "as large as asked for; nothing to download",
        "tagging; multi-label, the 50 tags of MagnaTagATune",
        "at random, by artist, track or clip",
        "made by you on your computer",
        ("It is not real music: what works on it need not work elsewhere.",),
        "Nothing to get: it composes itself when it is first loaded.",
        (),
        "this course",
    ),
)
CARDS = {card.name: card for card in _CARDS}


def info(name: str) -> Card:
    """The card of a data set.

    Parameters
    ----------
    name : str
        As in `mclass.datasets.load`.

    Raises
    ------
    ValueError
        If there is no card of that name; the message names those there are.

    Examples
    --------
    >>> info("gtzan").licence
    'Not stated; the recordings are commercial. For research at your own responsibility.'
    >>> print(info("openmic"))
    OpenMIC-2018  (mclass.datasets.load("openmic"))
    Clips of the Free Music Archive ...
    """
    if name not in CARDS:
        raise ValueError(unknown_name("data set", name, CARDS))
    return CARDS[name]
