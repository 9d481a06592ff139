"""The published data sets, in miniature: clips, labels, artists and splits as the originals define them."""

import contextlib
import json
import os
import warnings
from pathlib import Path

import miniatures
import numpy as np
import pytest
import soundfile
import torch
from miniatures import changed, home, mini  # noqa: F401

from mclass import audio, datasets, tags
from mclass.datasets.published import gtzan, magnatagatune
from mclass.datasets.published.reading import audio_files as files
from mclass.errors import DatasetError

NSYNTH = Path(__file__).parents[2] / "shared" / "data" / "nsynth-mini"
LOADS = {  # name -> options that load the miniature as it is
    "gtzan": {"on_error": "skip"},
    "magnatagatune": {"on_error": "skip"},
    "mtg_jamendo": {},
    "million_song": {},
    "fma": {},
    "audioset": {},
    "nsynth": {},
    "openmic": {},
}
BROKEN = {"gtzan": ["jazz/jazz.00054.wav"], "magnatagatune": miniatures.MTAT_EMPTY}
pytestmark = pytest.mark.usefixtures("home")


def load(root, name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return datasets.load(name, root=root, **LOADS[name] | options)


def parts(data, **options):
    return [len(part) for part in data.splits(**options)]


@pytest.mark.parametrize("name", LOADS)
def test_interface(mini, name):  # noqa: F811
    data = load(mini(name), name)
    assert data.labels.shape == (len(data), len(data.tags))
    assert data.labels.dtype == np.uint8
    assert len(data.track_ids) == len(data.artist_ids) == len(data.paths) == len(data)
    if not data.multilabel:
        assert (data.labels.sum(1) == 1).all()
    whole = data.waveform(2)
    assert whole.shape == (data.num_samples(2),)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(data.waveform(2, 1000, 500), whole[1000:1500], atol=1e-4, rtol=0)
    assert str(data.root) in data.describe(0)
    train, valid, test = data.splits()
    indices = np.concatenate([part.indices for part in (train, valid, test)])
    assert len(set(indices)) == len(indices)
    assert test.labels.any()
    crops = datasets.RandomCrops(train, 4000)
    assert crops[0][0].shape == (4000,)
    assert load(mini(name), name, sample_rate=8000).num_samples(2) == -(-data.num_samples(2) // 2)


@pytest.mark.parametrize("name", LOADS)
def test_loading_opens_no_header_but_those_known_to_be_bad(mini, name, monkeypatch):  # noqa: F811
    opened = []
    info = audio.info
    monkeypatch.setattr(audio, "info", lambda path: opened.append(path) or info(path))
    monkeypatch.setattr(audio, "read", None)
    with pytest.raises(DatasetError, match="on_error='skip'") if LOADS[name] else contextlib.nullcontext():
        datasets.load(name, root=mini(name))
    assert len(opened) == len(BROKEN.get(name, ()))


# --- GTZAN ----------------------------------------------------------------------------------------------------


def test_gtzan_filtered_split_is_torchaudio_s():
    reference = pytest.importorskip("torchaudio.datasets.gtzan")
    ours = gtzan.filtered_split()
    for part in files.PARTS:
        assert [name for name in ours if ours[name] == part] == sorted(getattr(reference, f"filtered_{part}"))


def test_gtzan(mini):  # noqa: F811
    data = load(mini("gtzan"), "gtzan")
    assert len(data) == 999
    assert data.skipped[0][0] == "jazz/jazz.00054.wav"
    assert parts(data) == [442, 197, 290]  # of 443: the broken one belongs to training
    assert parts(data, by="clip") == [699, 100, 200]
    assert data.tags == list(gtzan.GENRES)
    assert [data.tags[i] for i in data.labels[[0, 150, 998]].argmax(1)] == ["blues", "classical", "rock"]
    with pytest.raises(DatasetError, match="which clips share an artist"):
        data.splits(by="artist")


def test_gtzan_complete_and_repaired(changed):  # noqa: F811
    root = changed("gtzan")
    good = root / "genres" / "jazz" / "jazz.00053.wav"
    (root / "genres" / "jazz" / "jazz.00054.wav").write_bytes(good.read_bytes())
    data = datasets.load("gtzan", root=root)  # no warning
    assert parts(data) == [gtzan.GTZAN.PUBLISHED_SIZES[part] for part in files.PARTS]


def test_gtzan_as_other_copies_have_it(changed):  # noqa: F811
    root = changed("gtzan")
    (root / "Data").mkdir()
    (root / "genres").rename(root / "Data" / "genres_original")
    for path in (root / "Data" / "genres_original" / "blues").glob("*.wav"):
        path.rename(path.with_suffix(".au"))
    data = load(root, "gtzan")
    assert len(data) == 999
    assert data.paths[0].suffix == ".au"
    assert len(load(root / "Data" / "genres_original", "gtzan")) == 999


# --- MagnaTagATune --------------------------------------------------------------------------------------------


def by_hand(root):
    """Clip paths and tags, read with pandas."""
    import pandas

    table = pandas.read_csv(root / "annotations_final.csv", sep="\t")
    return {
        row.pop("mp3_path"): {tag for tag, has in row.items() if tag != "clip_id" and has}
        for row in table.to_dict("records")
    }


def test_magnatagatune(mini):  # noqa: F811
    root = mini("magnatagatune")
    data = load(root, "magnatagatune")
    assert tuple(data.tags) == tags.MAGNATAGATUNE
    truth = {path: found & {*tags.MAGNATAGATUNE} for path, found in by_hand(root).items()}
    truth = {path: found for path, found in truth.items() if found and path not in miniatures.MTAT_EMPTY}
    assert {path.relative_to(root).as_posix() for path in data.paths} == {*truth}
    for path, row in zip(data.paths, data.labels, strict=True):
        assert {tag for tag, has in zip(data.tags, row, strict=True) if has} == truth[
            path.relative_to(root).as_posix()
        ]
    for part, letters in zip(data.splits(), ("0123456789ab", "c", "def"), strict=True):
        assert {data.paths[i].parent.name for i in part.indices} == {*letters}
    assert len(set(data.track_ids)) == 32  # two clips each, but for some without a tag
    assert data.artist_ids[0].startswith("Artist ")
    assert [path for path, _ in data.skipped] == sorted(miniatures.MTAT_EMPTY)


def test_magnatagatune_homework_subset(mini):  # noqa: F811
    data = datasets.load(
        "magnatagatune", root=mini("magnatagatune"), subset="homework"
    )  # the empty files lie elsewhere
    assert [{data.paths[i].parent.name for i in part.indices} for part in data.splits()] == [
        {*"012ab"},
        {"c"},
        {"d"},
    ]


def test_magnatagatune_synonyms(mini):  # noqa: F811
    root = mini("magnatagatune")
    data = load(root, "magnatagatune", merge_synonyms=True)
    assert len(data.tags) == 50
    groups = {tag: {tag} for tag in data.tags}
    for group in magnatagatune.SYNONYMS:
        assert len({*group} & {*data.tags}) <= 1
        for tag in {*group} & {*data.tags}:
            groups[tag] = {*group}
    truth = by_hand(root)
    for path, row in zip(data.paths, data.labels, strict=True):
        found = truth[path.relative_to(root).as_posix()]
        assert [bool(groups[tag] & found) for tag in data.tags] == row.astype(bool).tolist()
    clips = load(root, "magnatagatune")
    assert len(data) > len(clips)  # some have synonyms of a frequent tag alone


def test_magnatagatune_tags_of_your_own(mini):  # noqa: F811
    data = load(mini("magnatagatune"), "magnatagatune", tags=["slow", "bongos"])
    assert data.tags == ["slow", "bongos"]
    assert data.labels.any(1).all()
    assert len(load(mini("magnatagatune"), "magnatagatune", tags="all")) == 64
    with pytest.raises(DatasetError, match=r"unknown tag 'guitarre' \(did you mean 'guitar'"):
        load(mini("magnatagatune"), "magnatagatune", tags=["guitarre"])


def test_magnatagatune_artists_without_the_second_table(changed):  # noqa: F811
    root = changed("magnatagatune")
    with_table = load(root, "magnatagatune")
    (root / "clip_info_final.csv").unlink()
    without = load(root, "magnatagatune")
    assert len(set(zip(with_table.artist_ids, without.artist_ids, strict=True))) == len(set(without.artist_ids))


@pytest.mark.parametrize(("valid", "warns"), [(1529, False), (1530, True)])
def test_magnatagatune_published_counts(tmp_path, valid, warns):
    """A table as large as the real one, with the published number of clips with frequent tags in each part."""
    counts = {"0": 15_247, "c": valid, "d": 4332}
    paths = [f"{folder}/a-b-01-t-0-{i}.mp3" for folder, count in counts.items() for i in range(count)]
    rows = ["\t".join(["clip_id", *tags.MAGNATAGATUNE, "mp3_path"])]
    some, none = "\t".join(["1"] + ["0"] * 49), "\t".join(["0"] * 50)
    rows += [f"{i}\t{some}\t{path}" for i, path in enumerate(paths)]
    rows += [f"{i}\t{none}\te/a-b-02-t-0-{i}.mp3" for i in range(len(paths), 25_863)]
    (tmp_path / "annotations_final.csv").write_text("\n".join(rows))
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.load("magnatagatune", root=tmp_path)
    assert len(data) == len(paths)
    assert [str(one.message).startswith("MagnaTagATune: the valid part has 1,530") for one in caught] == [
        True
    ] * warns


@pytest.mark.skipif("MCLASS_MAGNATAGATUNE" not in os.environ, reason="MCLASS_MAGNATAGATUNE names no real copy")
def test_magnatagatune_itself():
    data = load(os.environ["MCLASS_MAGNATAGATUNE"], "magnatagatune")
    assert parts(data)[1:] == [1529, 4332]


# --- MTG-Jamendo ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", ["top50", "genre", "instrument", "moodtheme", "all"])
def test_jamendo(mini, subset):  # noqa: F811
    root = mini("mtg_jamendo")
    data = load(root, "mtg_jamendo", subset=subset, split=1)
    suffix = {"top50": "_top50tags", "all": ""}.get(subset, f"_{subset}")
    truth = {}
    for part, name in zip(files.PARTS, ("train", "validation", "test"), strict=True):
        lines = (root / f"data/splits/split-1/autotagging{suffix}-{name}.tsv").read_text().splitlines()[1:]
        truth |= {line.split("\t")[0]: (part, line.split("\t")[1], {*line.split("\t")[5:]}) for line in lines}
    assert {*data.track_ids} == {*truth}
    for track, artist, part, row in zip(data.track_ids, data.artist_ids, data.parts, data.labels, strict=True):
        assert truth[track] == (part, artist, {tag for tag, has in zip(data.tags, row, strict=True) if has})
    artists = [{*part.artist_ids} for part in data.splits()]
    assert not artists[0] & artists[2]
    assert not artists[0] & artists[1]
    other = load(root, "mtg_jamendo", subset=subset, split=0)
    assert {*zip(data.track_ids, data.parts, strict=True)} != {*zip(other.track_ids, other.parts, strict=True)}


def test_jamendo_small_version_of_the_audio(changed):  # noqa: F811
    root = changed("mtg_jamendo")
    (root / "audio").rename(root / "audio-low")
    for path in [*(root / "audio-low").rglob("*.mp3")]:
        path.rename(path.with_suffix(".low.mp3"))
    data = load(root, "mtg_jamendo")
    assert data.paths[0].name.endswith(".low.mp3")
    (root / "audio-low").rename(root.parent / "elsewhere")
    assert len(load(root, "mtg_jamendo", audio=root.parent / "elsewhere")) == len(data)
    assert len(load(root / "data", "mtg_jamendo", audio=root.parent / "elsewhere")) == len(data)


def test_jamendo_options():
    with pytest.raises(ValueError, match="unknown subset 'moods'"):
        datasets.load("mtg_jamendo", root=".", subset="moods")
    with pytest.raises(ValueError, match="split=5; the five official splits are 0 to 4"):
        datasets.load("mtg_jamendo", root=".", split=5)


# --- Million Song ---------------------------------------------------------------------------------------------


def test_million_song_cals(mini):  # noqa: F811
    root = mini("million_song")
    data = load(root, "million_song")
    assert tuple(data.tags) == tags.MSD_CALS
    assert parts(data) == [16, 6, 8]
    binaries = np.load(root / "splits" / "valid_binaries.npy")
    np.testing.assert_array_equal(data.splits()[1].labels, binaries)
    student = load(root, "million_song", student=True)
    assert len(student) == 6
    assert not student.labels.any()
    assert not student.known.any()  # nobody said no
    with pytest.raises(ValueError, match="has no student part"):
        load(root, "million_song", split="lastfm", student=True)


def test_million_song_older_split(mini):  # noqa: F811
    data = load(mini("million_song"), "million_song", split="lastfm")
    assert tuple(data.tags) == tags.MSD
    assert parts(data) == [21, 1, 8]  # 22 of train and valid, in the published proportion
    np.testing.assert_array_equal(data.labels.argmax(1), np.arange(30) % 6)


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "npz"])
def test_million_song_with_lists_of_your_own(changed, kind):  # noqa: F811
    root = changed("million_song")
    ids = np.load(root / "splits" / "train_ids.npy").tolist()[:6]
    names = ["train", "training", "train", "valid", "validation", "test"]
    found = [["a", "b"], ["a"], ["b"], ["a"], [], ["b"]]
    path = root / f"mine.{kind}"
    if kind == "json":
        rows = zip(ids, names, found, strict=True)
        path.write_text(json.dumps({one: {"split": part, "tags": row} for one, part, row in rows}))
    elif kind == "npz":
        labels = np.array([["a" in row, "b" in row] for row in found])
        np.savez(path, track_id=np.array(ids), split=np.array(names), labels=labels, tags=np.array(["a", "b"]))
    else:
        rows = [(one, part, "|".join(row)) for one, part, row in zip(ids, names, found, strict=True)]
        delimiter = {"csv": ",", "tsv": "\t"}[kind]
        miniatures.write_table(path, [("track_id", "split", "tags"), *rows], delimiter=delimiter)
    data = load(root, "million_song", split=f"mine.{kind}")
    assert data.tags == ["a", "b"]
    assert data.labels.tolist() == [[1, 1], [1, 0], [0, 1], [1, 0], [0, 0], [0, 1]]
    assert parts(data) == [3, 2, 1]


def test_million_song_places_of_the_audio_and_artists(changed):  # noqa: F811
    root = changed("million_song")
    ids = np.load(root / "splits" / "train_ids.npy").tolist()
    for path in [*(root / "audio").rglob("*.wav")]:
        path.rename(root / "audio" / path.name)
    (root / "splits" / "unique_tracks.txt").write_text(
        "".join(f"{one}<SEP>SO<SEP>Sigur Rós<SEP>x\n" for one in ids[:2])
    )
    data = load(root, "million_song")
    assert data.artist_ids[:3].tolist() == ["Sigur Rós", "Sigur Rós", ids[2]]
    # as 7digital numbered its previews
    import pickle

    numbers = {one: 7000 + i for i, one in enumerate(ids)}
    for name, content in (
        ("MSD_id_to_7D_id.pkl", {one: str(number) for one, number in numbers.items()}),
        ("7D_id_to_path.pkl", {str(number): f"7/0/{number}.clip.mp3" for number in numbers.values()}),
    ):
        (root / "splits" / name).write_bytes(pickle.dumps(content, protocol=2))
    (root / "audio" / "7" / "0").mkdir(parents=True)
    for one, number in numbers.items():
        (root / "audio" / f"{one}.wav").rename(root / "audio" / "7" / "0" / f"{number}.clip.wav")
    assert load(root, "million_song").paths[1].name == "7001.clip.wav"


# --- FMA ------------------------------------------------------------------------------------------------------


def test_fma_sizes_and_tree(mini):  # noqa: F811
    import pandas

    root = mini("fma")
    truth = pandas.read_csv(root / "fma_metadata" / "tracks.csv", index_col=0, header=[0, 1])
    subsets = truth["set", "subset"]
    for size, members in (("small", ["small"]), ("medium", ["small", "medium"])):
        data = load(root, "fma", size=size)
        wanted = truth[subsets.isin(members) & truth["track", "genre_top"].notna()]
        assert [int(track) for track in data.track_ids] == wanted.index.tolist()
        assert [data.tags[i] for i in data.labels.argmax(1)] == wanted["track", "genre_top"].tolist()
        assert data.artist_ids.tolist() == wanted["artist", "id"].astype(int).astype(str).tolist()
        assert data.parts.tolist() == [
            {"training": "train", "validation": "valid"}.get(p, p) for p in wanted["set", "split"]
        ]
        assert data.paths[0].parent.parent.name == f"fma_{size}"
    large = load(root, "fma", size="large")
    assert large.multilabel
    assert len(large) == 36
    assert large.ancestors("Post-Punk") == ["Punk", "Rock"]
    assert large.genres["Techno"].top == "Electronic"
    for row in large.labels:  # "all" holds every genre above the others
        found = {tag for tag, has in zip(large.tags, row, strict=True) if has}
        assert {above for tag in found for above in large.ancestors(tag)} <= found
    leaf = load(root, "fma", size="large", labels="leaf")
    assert leaf.labels.sum() < large.labels.sum()
    with pytest.raises(ValueError, match="unknown genre 'Rok'"):
        large.ancestors("Rok")


# --- AudioSet -------------------------------------------------------------------------------------------------


def test_audioset(mini):  # noqa: F811
    data = load(mini("audioset"), "audioset")
    assert data.tags[:3] == ["Music", "Musical instrument", "Plucked string instrument"]
    assert "Music genre" not in data.tags
    assert "Speech" not in data.tags
    assert (data.parts == "train").sum() == 16
    assert (data.parts == "test").sum() == 8
    train, valid, test = data.splits()
    assert len(train) + len(valid) == 16
    assert len(test) == 8
    assert not {*train.track_ids} & {*valid.track_ids}
    assert len(load(mini("audioset"), "audioset", train="both")) == 32
    guitars = load(mini("audioset"), "audioset", branch="Guitar")
    assert guitars.tags == ["Guitar"]
    assert len(guitars) == 6
    column = data.tags.index("Musical instrument")
    assert not data.labels[:, column].any()
    assert load(mini("audioset"), "audioset", ancestors=True).labels[:, column].any()
    assert data.parents["Guitar"] == ["Plucked string instrument"]


@pytest.mark.parametrize("pattern", ["Y{video}", "{video}_{start:g}_{end:g}", "{video}_{ms}", "bal_train/{video}"])
def test_audioset_names_of_files(changed, pattern):  # noqa: F811
    root = changed("audioset")
    for path in [*(root / "audio").iterdir()]:
        video, _, start = path.stem.rpartition("_")
        start = float(start)
        name = pattern.format(video=video, start=start, end=start + 10, ms=round(1000 * start))
        target = root / "audio" / f"{name}.wav"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    assert len(load(root, "audioset")) == 24


# --- NSynth and OpenMIC ---------------------------------------------------------------------------------------


def test_nsynth(mini, changed):  # noqa: F811
    data = load(mini("nsynth"), "nsynth")
    assert parts(data) == [44, 20, 10]
    assert len(data.tags) == 11
    assert data.tags[9] == "synth_lead"
    assert {*data.pitches} == {60, 64, 67}
    assert {*data.velocities} == {100}
    train, valid, test = ({*part.artist_ids} for part in data.splits())
    assert not train & valid
    assert test <= valid
    by_instrument = [{*part.artist_ids} for part in data.splits(by="artist")]
    assert not by_instrument[1] & by_instrument[2]
    assert load(mini("nsynth"), "nsynth", label="source").tags == ["acoustic", "electronic", "synthetic"]
    root = changed("nsynth")
    for part in files.PARTS:
        (root / f"nsynth-{part}").rename(root / part)
    assert parts(load(root, "nsynth")) == [44, 20, 10]


@pytest.mark.skipif(not NSYNTH.is_dir(), reason="the NSynth notes are not beside the repository")
def test_nsynth_real_notes_in_a_folder():
    data = datasets.load("nsynth", root=NSYNTH)
    assert len(data) == 400
    assert (data.labels.sum(0) == 40).all()
    assert sum(parts(data)) == 400
    groups = [{*part.artist_ids} for part in data.splits()]
    assert not groups[0] & groups[2]
    with pytest.raises(DatasetError, match="no split is published"):
        data.splits(by="published")


def test_openmic(mini):  # noqa: F811
    root = mini("openmic")
    data = load(root, "openmic")
    truth = {}
    for line in (root / "openmic-2018" / "openmic-2018-aggregated-labels.csv").read_text().splitlines()[1:]:
        key, instrument, relevance, _ = line.split(",")
        truth[key, instrument] = float(relevance)
    for path, labels, known in zip(data.paths, data.labels, data.known, strict=True):
        for tag, has, sure in zip(data.tags, labels, known, strict=True):
            assert sure == ((path.stem, tag) in truth)
            assert has == (truth.get((path.stem, tag), 0) > 0.5)
    assert not (data.labels.astype(bool) & ~data.known).any()
    train, valid, test = data.splits()
    assert len(test) == 8
    assert not {*train.artist_ids} & {*valid.artist_ids}
    np.testing.assert_array_equal(test.known, data.known[test.indices])
    np.testing.assert_array_equal(test.subset([1, 0]).known, test.known[[1, 0]])
    assert np.isfinite(data.relevance).all()
    assert len(load(root / "openmic-2018", "openmic")) == len(data)


# --- cards ----------------------------------------------------------------------------------------------------


def test_every_published_data_set_has_a_card():
    assert {*LOADS, "mirdata", "etude"} == {*datasets.info.__globals__["CARDS"]}
    for name in LOADS:
        text = str(datasets.info(name))
        assert max(map(len, text.splitlines())) <= 130


def test_cards_cite_what_the_bibliography_has():
    bibliography = (Path(__file__).parents[1] / "book" / "references.bib").read_text(encoding="utf-8")
    for name in LOADS:
        for key in datasets.info(name).cite:
            assert f"{{{key}," in bibliography


def test_numbers_of_cards_are_those_of_loaders():
    for name, keys in (
        ("gtzan", ("train", "valid", "test")),
        ("magnatagatune", ("valid", "test")),
        ("fma", ("small",)),
    ):
        sizes = load_class(name).PUBLISHED_SIZES
        card = datasets.info(name)
        for key in keys:
            assert f"{sizes[key]:,}" in card.split + card.size


def load_class(name):
    module, cls = datasets.load.__globals__["_DATASETS"][name]
    return getattr(__import__(module, fromlist=[cls]), cls)


# --- headers --------------------------------------------------------------------------------------------------


def test_headers_are_read_once_and_again_when_a_file_changes(changed, home, monkeypatch):  # noqa: F811
    root = changed("nsynth")
    opened = []
    info = audio.info
    monkeypatch.setattr(audio, "info", lambda path: opened.append(path) or info(path))
    first = datasets.load("nsynth", root=root)
    lengths = [first.num_samples(i) for i in range(len(first))]
    assert len(opened) == len(first) + files._FEW  # a few one by one, then all
    assert len([*(home / "lengths").iterdir()]) == 1
    opened.clear()
    again = datasets.load("nsynth", root=root)
    assert again.read_lengths().tolist() == lengths
    assert opened == []
    soundfile.write(again.paths[5], np.zeros(1234), 16_000)
    third = datasets.load("nsynth", root=root)
    assert third.read_lengths()[5] == 1234
    assert opened == [third.paths[5]]
    next((home / "lengths").iterdir()).write_text("{damaged")
    assert datasets.load("nsynth", root=root).read_lengths()[5] == 1234
