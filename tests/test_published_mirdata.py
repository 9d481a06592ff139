"""The adapter for mirdata, with a library of the same interface in its place."""

import json
import sys
import types

import miniatures
import numpy as np
import pytest
from miniatures import home, mini  # noqa: F401

from mclass import datasets
from mclass.errors import DatasetError

pytestmark = pytest.mark.usefixtures("home")


class Track:
    """What a track of mirdata offers: paths, and attributes that some data sets read from a file when asked."""

    def __init__(self, root, index):
        self.track_id = f"t{index}"
        self.audio_path = str(root / "audio" / f"{index}.wav") if index != 7 else None
        self.song_id = index // 2
        self.split = self.subset = ("training", "training", "validation", "test", "unknown")[index % 5]
        self.index = index

    @property
    def instrument(self):
        return ["flute", "violin"][: 1 + self.index % 2] if self.index != 8 else None

    @property
    def beats(self):
        raise FileNotFoundError("beats.txt")


@pytest.fixture
def library(tmp_path, monkeypatch):
    for index in range(20):
        if index != 7:
            miniatures.write(tmp_path / "audio" / f"{index}.wav", np.full(4000, 0.1), 16_000)

    def initialize(name, data_home=None, version="default"):
        if name == "tinysol":
            raise FileNotFoundError("This dataset's index must be downloaded. Did you run .download()?")
        return types.SimpleNamespace(load_tracks=lambda: {f"t{i}": Track(tmp_path, i) for i in range(20)})

    fake = types.SimpleNamespace(
        initialize=initialize, list_datasets=lambda: ["medley_solos_db", "irmas", "tinysol", "other"]
    )
    monkeypatch.setitem(sys.modules, "mirdata", fake)
    return tmp_path


def test_a_known_data_set(library):
    data = datasets.load("mirdata", root=library, dataset="medley_solos_db")
    assert data.name == "mirdata:medley_solos_db"
    assert data.tags == ["flute", "violin"]
    assert len(data) == 18  # one has no audio, one no label
    assert data.multilabel
    assert data.labels[:3].tolist() == [[1, 0], [1, 1], [1, 0]]
    assert data.artist_ids[:4].tolist() == ["0", "0", "1", "1"]
    assert [len(part) for part in data.splits()] == [8, 3, 3]
    assert data.waveform(0, 0, 100).shape == (100,)
    by_song = [{*part.artist_ids} for part in data.splits(by="artist")]
    assert not by_song[0] & by_song[2]


def test_any_other_with_a_label(library):
    data = datasets.load(
        "mirdata", root=library, dataset="other", label=lambda track: "even" if track.index % 2 == 0 else "odd"
    )
    assert data.tags == ["even", "odd"]
    assert not data.multilabel
    assert len(data) == 19
    with pytest.raises(ValueError, match=r"unknown dataset 'other'.*label='genre', or"):
        datasets.load("mirdata", root=library, dataset="other")
    with pytest.raises(DatasetError, match=r"unknown attribute of a track 'instrumet' .did you mean 'instrument'"):
        datasets.load("mirdata", root=library, dataset="other", label="instrumet")
    with pytest.raises(DatasetError, match=r"the beats of a track cannot be read: beats\.txt"):
        datasets.load("mirdata", root=library, dataset="other", label="beats")


def test_what_is_not_there(library):
    with pytest.raises(DatasetError, match=r"must be downloaded.*mirdata\.initialize\('tinysol'"):
        datasets.load("mirdata", root=library, dataset="tinysol")
    with pytest.raises(ValueError, match=r"unknown dataset 'irma'.*did you mean 'irmas'"):
        datasets.load("mirdata", root=library, dataset="irma", label="instrument")
    (library / "audio" / "3.wav").unlink()
    with pytest.raises(DatasetError, match="1 of 18 audio files are missing: audio/3"):
        datasets.load("mirdata", root=library, dataset="irmas")
    with pytest.raises(DatasetError, match="Give its data_home"):
        datasets.load("mirdata", root=library / "audio" / "...", dataset="irmas")


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(DatasetError, match="pip install mirdata"):
        datasets.load("mirdata", root=tmp_path, dataset="irmas")


INDEXES = {  # what mirdata's index of each data set names, and the table that belongs to it
    "irmas": {
        "0__1": "IRMAS-TrainingData/cel/[cel][cla]0001__1.wav",
        "1__1": "IRMAS-TrainingData/flu/[flu][cla]0002__1.wav",
        "0": "IRMAS-TestingData-Part1/Part1/one.wav",
    },
    "medley_solos_db": {f"u{i}": f"audio/Medley-solos-DB_{i}_u{i}.wav" for i in range(3)},
    "tinysol": {"Fl-ord-C4": "audio/Winds/Flute/ordinario/Fl-ord-C4.wav", "Vc-ord-C2": "audio/Vc-ord-C2.wav"},
}
TABLES = {
    "irmas": ("IRMAS-TestingData-Part1/Part1/one.txt", ["cel\t\n", "flu\t\n"]),
    "medley_solos_db": (
        "annotation/Medley-solos-DB_metadata.csv",
        [
            "subset,instrument,instrument_id,song_id,uuid4\n",
            "training,flute,3,0,u0\n",
            "validation,piano,4,1,u1\n",
            "test,flute,3,2,u2\n",
        ],
    ),
    "tinysol": (
        "annotation/TinySOL_metadata.csv",
        [
            "Path,Fold,Family,a,Instrument,b,c,Pitch,n,Dynamics,m,i,s,Resampled\n",
            "Winds/Fl-ord-C4.wav,0,Winds,Fl,Flute,ord,ordinario,C4,60,mf,2,0,,FALSE\n",
            "Strings/Vc-ord-C2.wav,1,Strings,Vc,Cello,ord,ordinario,C2,36,mf,2,0,4.0,FALSE\n",
        ],
    ),
}
EXPECTED = {
    "irmas": (["cel", "flu"], [[1, 0], [0, 1], [1, 1]], ["train", "train", "test"]),
    "medley_solos_db": (["flute", "piano"], [[1, 0], [0, 1], [1, 0]], ["train", "valid", "test"]),
    "tinysol": (["Cello", "Flute"], [[0, 1], [1, 0]], ["", ""]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_the_library_itself(tmp_path, monkeypatch, name):
    core = pytest.importorskip("mirdata.core", reason="mirdata is not installed")
    for path in INDEXES[name].values():
        miniatures.write(tmp_path / path, np.full(4000, 0.1), 16_000)
    table, lines = TABLES[name]
    (tmp_path / table).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / table).write_text("".join(lines))
    tracks = {track: {"audio": [path, ""], "annotation": [table, ""]} for track, path in INDEXES[name].items()}
    (tmp_path / "index.json").write_text(json.dumps({"version": "1.0", "tracks": tracks}))
    monkeypatch.setattr(core.Index, "get_path", lambda self: str(tmp_path / "index.json"))
    data = datasets.load("mirdata", root=tmp_path, dataset=name)
    assert (data.tags, data.labels.tolist(), data.parts.tolist()) == EXPECTED[name]
