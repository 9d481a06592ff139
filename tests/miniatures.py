"""Published data sets in miniature: laid out as on disk, with the same names, columns and quirks, and short audio.

``build(name, root)`` makes one. The audio is cut from Etude where labels matter to the ear, and is a melody of
three random tones where a thousand files are needed.
"""

from __future__ import annotations

import csv
import functools
import json
import pickle
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mclass import datasets, tags
from mclass.audio import resample


def words(text: str) -> list[str]:
    """A list out of one string."""
    return text.split()


GTZAN_GENRES = words("blues classical country disco hiphop jazz metal pop reggae rock")
# Columns of annotations_final.csv besides the fifty frequent ones: some of the 138.
MTAT_RARE = (
    "no voice", "singer", "duet", "plucking", "hard rock", "world", "bongos", "female singing", "clasical",
    "female opera", "clarinet", "silence", "men", "woodwind", "harpsicord", "chant", "no singing", "synthesizer",
    "man singing", "drum", "percussion", "jazz", "no singer", "dark", "instrumental", "electro", "orchestra",
)  # fmt: skip
MTAT_EMPTY = (
    "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin-88-117.mp3",
)
NSYNTH_FAMILIES = words("bass brass flute guitar keyboard mallet organ reed string synth_lead vocal")
FMA_COLUMNS = {
    "album": "comments date_created date_released engineer favorites id information listens producer tags title "
    "tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id "
    "latitude location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres "
    "genres_all information interest language_code license listens lyricist number publisher tags title",
}
FMA_GENRES = [  # genre_id, #tracks, parent, title, top_level
    (2, 5, 0, "International", 2), (10, 9, 0, "Pop", 10), (12, 9, 0, "Rock", 12), (15, 9, 0, "Electronic", 15),
    (25, 4, 12, "Punk", 12), (76, 3, 10, "Experimental Pop", 10), (89, 3, 25, "Post-Punk", 12),
    (107, 4, 1235, "Ambient", 1235), (181, 4, 15, "Techno", 15), (1235, 4, 0, "Instrumental", 1235),
]  # fmt: skip
AUDIOSET_ONTOLOGY = [  # id, name, children, restrictions
    ("/m/0dgw9r", "Human sounds", ["/m/09l8g"], ["abstract"]),
    ("/m/09l8g", "Human voice", ["/m/09x0r"], ["abstract"]),
    ("/m/09x0r", "Speech", [], []),
    ("/m/04rlf", "Music", ["/m/04szw", "/t/dd00033"], []),
    ("/m/04szw", "Musical instrument", ["/m/0fx80y", "/m/05148p4"], []),
    ("/m/0fx80y", "Plucked string instrument", ["/m/0342h"], []),
    ("/m/0342h", "Guitar", [], []),
    ("/m/05148p4", "Keyboard (musical)", ["/m/05r5c"], []),
    ("/m/05r5c", "Piano", [], []),
    ("/t/dd00033", "Music genre", ["/m/064t9", "/m/03_d0"], ["abstract"]),
    ("/m/064t9", "Pop music", [], []),
    ("/m/03_d0", "Jazz", [], []),
]


def build(name: str, root: str | Path, seed: int = 0, seconds: float = 1.5) -> Path:
    """Lay out the data set `name` below `root`, which is made; returns the root to load it from.

    Audio lasts `seconds` (GTZAN: a third of it, at all 1,000 places).
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    BUILDERS[name](root, Sounds(seed, seconds))
    return root


class Sounds:
    """Short clips to write: `tracks` from Etude (with tags and artists), or melodies."""

    def __init__(self, seed: int, seconds: float):
        self.seed, self.seconds = seed, seconds
        self.rng = np.random.default_rng(seed)

    @property
    def etude(self) -> datasets.MusicDataset:
        """32 tracks by 8 artists, two clips each."""
        return _etude(self.seed)

    def clip(self, index: int, rate: int) -> np.ndarray:
        """Clip `index` of Etude, (samples,) at `rate`."""
        waveform = self.etude.waveform(index % len(self.etude), 0, round(self.seconds * 16_000))
        return resample(waveform, 16_000, rate).numpy()

    def melody(self, rate: int) -> np.ndarray:
        """Three random tones, a third of `seconds` in all."""
        time = np.arange(round(self.seconds * rate / 9)) / rate
        notes = 220 * 2 ** (self.rng.integers(0, 36, 3) / 12)
        return np.concatenate([0.3 * np.sin(2 * np.pi * note * time) for note in notes])

    def tags(self, index: int) -> list[str]:
        """Tags of clip `index`."""
        return [
            tag
            for tag, has in zip(self.etude.tags, self.etude.labels[index % len(self.etude)], strict=True)
            if has
        ]


@functools.cache
def _etude(seed: int) -> datasets.MusicDataset:
    return datasets.load("etude", num_tracks=32, clips_per_track=2, clip_seconds=4, seed=seed)


def write(path: Path, samples: np.ndarray, rate: int, channels: int = 1) -> None:
    """Write audio; two channels differ a little in level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = samples if channels == 1 else np.column_stack([samples, 0.8 * samples])
    kind = {".mp3": "MP3", ".ogg": "OGG"}.get(path.suffix)
    soundfile.write(path, data, rate, format=kind)


def write_table(path: Path, rows: Iterable[Iterable], **dialect) -> None:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **{"lineterminator": "\n", **dialect}).writerows(rows)


def gtzan(root: Path, sounds: Sounds) -> None:
    """genres/blues/blues.00000.wav, 10 × 100 files; jazz.00054.wav is damaged, as in the common copy."""
    for genre in GTZAN_GENRES:
        for number in range(100):
            write(root / "genres" / genre / f"{genre}.{number:05d}.wav", sounds.melody(22_050), 22_050)
    (root / "genres" / "jazz" / "jazz.00054.wav").write_bytes(b"\x00\x01 not audio" * 40)
    (root / "genres" / ".DS_Store").write_bytes(b"\0")


def magnatagatune(root: Path, sounds: Sounds) -> None:
    """0/…mp3 to f/…mp3 beside two tables of quoted cells between tabs. Two tracks of two clips in each folder."""
    columns = [*dict.fromkeys((*MTAT_RARE, *sorted(tags.MAGNATAGATUNE)))]
    clips, info = [], []
    for index in range(len(sounds.etude)):
        track, take = divmod(index, 2)
        artist = int(sounds.etude.artist_ids[index])
        folder = "0123456789abcdef"[track % 16]
        path = (
            f"{folder}/artist_{artist}-album_{artist}-{track:02d}-title_{track}-{29 * take}-{29 * take + 29}.mp3"
        )
        found = sounds.tags(index) or ["guitar"]
        if index % 16 == 5:
            found = ["bongos"]  # no frequent tag: left out of the usual fifty
        elif index % 16 == 6:
            found = ["clasical", "female singing"]  # synonyms alone
        clips.append((path, found))
        write(root / path, sounds.clip(index, 16_000), 16_000)
    for path in MTAT_EMPTY:
        clips.append((path, ["quiet", "solo"]))
        (root / path).write_bytes(b"")
    for path, _ in clips:
        artist, album, number, title, start, end = Path(path).stem.split("-")
        names = [text.replace("_", " ").title() for text in (title, artist, album)]
        url = f"http://he3.magnatune.com/all/{number}-{title}.mp3"
        info.append((number, *names, "http://www.magnatune.com/", start, end, url, path))
    quoted = {"delimiter": "\t", "quoting": csv.QUOTE_ALL}
    rows = [
        (number, *(int(tag in found) for tag in columns), path) for number, (path, found) in enumerate(clips, 2)
    ]
    write_table(root / "annotations_final.csv", [("clip_id", *columns, "mp3_path"), *rows], **quoted)
    header = words("clip_id track_number title artist album url segmentStart segmentEnd original_url mp3_path")
    rows = [(number, *row) for number, row in enumerate(info, 2)]
    write_table(root / "clip_info_final.csv", [header, *rows], **quoted)


JAMENDO_KINDS = {"genre": "_genre", "instrument": "_instrument", "mood/theme": "_moodtheme"}


def mtg_jamendo(root: Path, sounds: Sounds) -> None:
    """data/splits/split-N/autotagging…tsv, a cell for each tag; audio/NN/ID.mp3 of 44.1 kHz, stereo."""
    tracks = []
    for index in range(0, 48, 2):
        number = 1000 + 37 * index
        artist, path = int(sounds.etude.artist_ids[index]), f"{number % 100:02d}/{number}.mp3"
        found = [f"genre---{('rock', 'jazz', 'ambient')[index // 2 % 3]}"]
        found += [f"instrument---{('piano', 'guitar')[index // 2 % 2]}"] * (index // 2 % 4 != 3)
        found += [f"mood/theme---{('happy', 'relaxing')[index // 4 % 2]}"] * (index // 2 % 3 != 2)
        row = (f"track_{number:07d}", f"artist_{artist:06d}", f"album_{index:06d}", path, f"{sounds.seconds:.1f}")
        tracks.append((artist, row, found))
        write(root / "audio" / path, sounds.clip(index, 44_100), 44_100, channels=2)
    header = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")
    subsets: dict[str, Callable[[str], bool]] = {
        "": lambda tag: True,
        "_top50tags": lambda tag: tag in tags.JAMENDO,
    }
    for kind, name in JAMENDO_KINDS.items():
        subsets[name] = lambda tag, kind=kind: tag.startswith(kind)
    for name, keeps in subsets.items():
        rows = [(artist, (*row, *kept)) for artist, row, found in tracks if (kept := [*filter(keeps, found)])]
        plain = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
        write_table(root / "data" / f"autotagging{name}.tsv", [header, *(row for _, row in rows)], **plain)
        for split in range(5):
            for part, members in (("train", (0, 1, 2, 3)), ("validation", (4,)), ("test", (5,))):
                path = root / "data" / "splits" / f"split-{split}" / f"autotagging{name}-{part}.tsv"
                write_table(path, [header, *(row for a, row in rows if (a + split) % 6 in members)], **plain)


def million_song(root: Path, sounds: Sounds) -> None:
    """splits/train_ids.npy and train_binaries.npy (CALS), audio/A/B/C/TRABC….wav; the older split as pickles."""
    (root / "splits").mkdir()
    ids = [f"TR{chr(65 + i % 3)}{chr(65 + i % 5)}{chr(65 + i % 7)}{i:02d}128F42{i:04X}9"[:18] for i in range(40)]
    parts = {"train": ids[:16], "valid": ids[16:22], "test": ids[22:30], "student": ids[30:36], "none": ids[36:]}
    for part, members in parts.items():
        np.save(root / "splits" / f"{part}_ids.npy", np.array(members))
        if part in ("train", "valid", "test"):
            binaries = np.eye(50, dtype=np.int64)[[ids.index(one) % 5 for one in members]]
            binaries[:, 5] = np.arange(len(members)) % 2
            np.save(root / "splits" / f"{part}_binaries.npy", binaries)
    for index, one in enumerate(ids):
        path = root / "audio" / one[2] / one[3] / one[4] / f"{one}.wav"
        write(path, sounds.clip(2 * index, 22_050), 22_050)
    with (root / "splits" / "50tagList.txt").open("w", newline="\n") as file:
        file.writelines(f"{tag}\n" for tag in tags.MSD)
    # As Python 2 wrote them: byte strings, and arrays of shape (50, 1).
    for name, members in (("train", ids[:22]), ("test", ids[22:30])):
        lines = b"".join(b"S'%s'\na" % one.encode() for one in members)
        (root / "splits" / f"filtered_list_{name}.cP").write_bytes(b"(l" + lines + b".")
    vectors = {one.encode(): np.eye(50)[[i % 6]].T for i, one in enumerate(ids[:30])}
    (root / "splits" / "msd_id_to_tag_vector.cP").write_bytes(pickle.dumps(vectors, protocol=2))


def fma(root: Path, sounds: Sounds) -> None:
    """fma_metadata with three header rows in tracks.csv; fma_small (medium, large) with 000/000002.mp3."""
    columns = [(group, name) for group, names in FMA_COLUMNS.items() for name in names.split()]
    parents = {genre: parent for genre, _, parent, *_ in FMA_GENRES}
    titles = {genre: title for genre, _, _, title, _ in FMA_GENRES}
    rows = []
    for index in range(36):
        number = (2, 5, 10, 140, 1049)[index % 5] + 1000 * (index // 5)
        leaf = (181, 89, 76, 12)[index % 4]
        lineage = [leaf]
        while parents[lineage[-1]]:
            lineage.append(parents[lineage[-1]])
        # several roots: no genre_top
        genres, above = ([leaf, 107], [1235]) if index % 9 == 8 else ([leaf], [])
        subset = (
            "small" if index < 24 and index % 9 != 8 else "medium" if index < 30 and index % 9 != 8 else "large"
        )
        cells = {
            ("album", "id"): index // 2, ("artist", "id"): int(sounds.etude.artist_ids[2 * (index % 32)]),
            ("artist", "bio"): "Born in a town,\nplays \"the\" guitar", ("artist", "name"): "Böse Büben",
            ("set", "split"): ("training", "training", "training", "validation", "test")[index // 4 % 5],
            ("set", "subset"): subset, ("track", "duration"): 168,
            ("track", "genre_top"): "" if index % 9 == 8 else titles[lineage[-1]],
            ("track", "genres"): genres, ("track", "genres_all"): sorted({*lineage, *genres, *above}),
            ("track", "title"): f"Title {index}",
        }  # fmt: skip
        rows.append((number, *(cells.get(column, "") for column in columns)))
        place = Path(f"{number // 1000:03d}", f"{number:06d}.mp3")
        write(root / "fma_large" / place, sounds.clip(2 * index + index // 32, 44_100), 44_100, channels=2)
        for size in {"small": ("small", "medium"), "medium": ("medium",), "large": ()}[subset]:
            (root / f"fma_{size}" / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / "fma_large" / place, root / f"fma_{size}" / place)
    header = [("", *(group for group, _ in columns)), ("", *(name for _, name in columns))]
    empty = ("track_id", *("" for _ in columns))
    write_table(root / "fma_metadata" / "tracks.csv", [*header, empty, *rows])
    names = ("genre_id", "#tracks", "parent", "title", "top_level")
    write_table(root / "fma_metadata" / "genres.csv", [names, *FMA_GENRES])


def audioset(root: Path, sounds: Sounds) -> None:
    """ontology.json; segments under three lines of comments, a blank after each comma, labels in quotes."""
    entries = [
        {"id": one, "name": name, "description": "", "citation_uri": "", "positive_examples": [],
         "child_ids": children, "restrictions": restrictions}
        for one, name, children, restrictions in AUDIOSET_ONTOLOGY
    ]  # fmt: skip
    (root / "ontology.json").write_text(json.dumps(entries, indent=2))
    labels = ("/m/04rlf,/m/0342h", "/m/05r5c", "/m/09x0r", "/m/04rlf,/m/03_d0,/m/064t9", "/m/09x0r,/m/04rlf")
    counter = iter(range(10_000))
    for part, size in (("balanced_train", 20), ("unbalanced_train", 10), ("eval", 10)):
        lines = [
            "# Segments csv created Sun Mar  5 10:54:31 2017",
            f"# num_ytids={size}, num_segs={size}, num_unique_labels=6, num_positive_labels={2 * size}",
            "# YTID, start_seconds, end_seconds, positive_labels",
        ]
        for _ in range(size):
            index = next(counter)
            video, start = f"{'-_aZ'[index % 4]}{index:02d}PJHxph{'wW'[index % 2]}E", 10.0 * (index % 7)
            lines.append(f'{video}, {start:.3f}, {start + 10:.3f}, "{labels[index % 5]}"')
            write(root / "audio" / f"{video}_{start:.3f}.wav", sounds.clip(index, 32_000), 32_000)
        (root / f"{part}_segments.csv").write_text("\n".join(lines) + "\n")


def nsynth(root: Path, sounds: Sounds) -> None:
    """nsynth-train, -valid and -test, each with examples.json and audio/; test and valid share instruments."""
    sources = ("acoustic", "electronic", "synthetic")
    for part, families, instruments in (("train", 11, (0, 1)), ("valid", 10, (2,)), ("test", 10, (2,))):
        examples = {}
        for family in range(families):
            name = NSYNTH_FAMILIES[family if families == 11 or family < 9 else family + 1]
            for instrument in instruments:
                for pitch in (60, 64) if part != "test" else (67,):
                    text = f"{name}_{sources[instrument]}_{instrument:03d}"
                    note = f"{text}-{pitch:03d}-100"
                    examples[note] = {
                        "note": len(examples), "note_str": note, "instrument": 11 * instrument + family,
                        "instrument_str": text, "pitch": pitch, "velocity": 100, "sample_rate": 16_000,
                        "qualities": [0] * 10, "qualities_str": [],
                        "instrument_family": NSYNTH_FAMILIES.index(name), "instrument_family_str": name,
                        "instrument_source": instrument, "instrument_source_str": sources[instrument],
                    }  # fmt: skip
                    write(root / f"nsynth-{part}" / "audio" / f"{note}.wav", sounds.melody(16_000), 16_000)
        (root / f"nsynth-{part}" / "examples.json").write_text(json.dumps(examples, indent=4))


OPENMIC = words(
    "accordion banjo bass cello clarinet cymbals drums flute guitar mallet_percussion mandolin organ piano "
    "saxophone synthesizer trombone trumpet ukulele violin voice"
)


def openmic(root: Path, sounds: Sounds) -> None:
    """openmic-2018/: three tables, a class map, lists without header, audio/000/000046_3840.ogg."""
    root = root / "openmic-2018"
    meta, labels, keys = [], [], []
    for index in range(40):
        track = 46 + 91 * index
        key = f"{track:06d}_{3840 * (index % 5)}"
        keys.append(key)
        artist = int(sounds.etude.artist_ids[2 * (index % 32)])
        meta.append((artist, f"Artist {artist}", "CC BY", "[]", track, f"Title {index}", key, 3.84 * (index % 5)))
        for instrument in (index % 20, (index + 7) % 20):
            labels.append(
                (key, OPENMIC[instrument], (0.93, 0.5, 0.08, 1.0)[(index + instrument) % 4], 3 + index % 3)
            )
        write(root / "audio" / key[:3] / f"{key}.ogg", sounds.clip(index, 44_100), 44_100, channels=2)
    header = words("artist_id artist_name license_title track_genres track_id track_title sample_key start_time")
    write_table(root / "openmic-2018-metadata.csv", [header, *meta])
    header = words("sample_key instrument relevance num_responses")
    write_table(root / "openmic-2018-aggregated-labels.csv", [header, *labels])
    (root / "class-map.json").write_text(json.dumps({name: i for i, name in enumerate(OPENMIC)}))
    tests = [key for key, row in zip(keys, meta, strict=True) if row[0] >= 6]
    write_table(root / "partitions" / "split01_train.csv", [(key,) for key in keys if key not in tests])
    write_table(root / "partitions" / "split01_test.csv", [(key,) for key in tests])


BUILDERS = {
    one.__name__: one for one in (gtzan, magnatagatune, mtg_jamendo, million_song, fma, audioset, nsynth, openmic)
}


@pytest.fixture(scope="session")
def mini(tmp_path_factory) -> Callable[[str], Path]:
    """A function that builds a miniature once and returns its root; tests that change it copy it first."""
    _etude(0)
    return functools.cache(lambda name: build(name, tmp_path_factory.mktemp(name)))


@pytest.fixture
def changed(mini, tmp_path) -> Callable[[str], Path]:
    """A function that returns a copy of a miniature to spoil."""
    return lambda name: Path(shutil.copytree(mini(name), tmp_path / name))


@pytest.fixture
def home(mini, tmp_path, monkeypatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
