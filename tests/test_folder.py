"""Anybody's own audio: labels from folders, tables and names; splits; what is refused."""

import unicodedata
from collections import Counter
from pathlib import Path

import bad_audio
import numpy as np
import pytest
import soundfile
import torch

from mclass import audio, datasets
from mclass.errors import DatasetError

NSYNTH = Path(__file__).parents[2] / "shared" / "data" / "nsynth-mini"
NSYNTH_PATTERN = r"(?P<artist>(?P<label>[a-z]+)_[a-z]+_\d+)-"


def make(root, *names, seconds=0.1, rate=16_000):
    for number, name in enumerate(names):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, bad_audio.sweep(seconds, rate, seed=number), rate)
    return root


def table(root, text, name="labels.csv", encoding="utf-8"):
    (root / name).write_bytes(text.encode(encoding))
    return root / name


def load(root, **options):
    return datasets.load("folder", root=root, **options)


# --- labels ---------------------------------------------------------------------------------------------------


def test_labels_from_folders(tmp_path):
    make(tmp_path, "b/2.wav", "a/x/1.flac", "a/0.wav", "b/.hidden.wav", ".trash/c.wav")
    (tmp_path / "a" / "cover.jpg").write_bytes(b"not audio")
    ds = load(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in ds.paths] == ["a/0.wav", "a/x/1.flac", "b/2.wav"]
    assert ds.tags == ["a", "b"]
    assert ds.labels.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert ds.labels.dtype == np.uint8
    assert not ds.multilabel
    assert ds.skipped == []


def test_links_are_followed_once(tmp_path):
    make(tmp_path, "a/0.wav", "b/1.wav")
    try:
        (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system does not allow symbolic links")
    assert len(load(tmp_path)) == 2


def test_labels_from_a_pattern(tmp_path):
    make(tmp_path, "bass_01-a.wav", "bass_02-a.wav", "deep/flute_01-b.wav")
    ds = load(tmp_path, labels=r"^(?P<artist>(?P<label>[a-z]+)_\d+)-")
    assert ds.tags == ["bass", "flute"]
    assert ds.artist_ids.tolist() == ["bass_01", "bass_02", "flute_01"]
    by_path = load(tmp_path, labels=r"(?P<label>flute|bass)_", group=r"(?P<artist>deep)/|(?P<track>b)ass_")
    assert by_path.artist_ids.tolist() == ["b", "b", "deep"]
    several = load(tmp_path, labels=r"(?P<tags>.*)_")
    assert several.tags == ["bass", "flute"]


CSV = "path,tags,artist,split\na/0.wav,guitar|slow,X,train\na/1.wav,guitar,Y,valid\nb.wav,fast;guitar,Z,test\n"


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        (CSV, "l.csv", "utf-8"),
        (CSV.replace("\n", "\r\n"), "l.csv", "utf-8-sig"),
        (CSV.replace(",", "\t"), "l.tsv", "utf-16"),
        (CSV.replace(";", "|").replace(",", ";"), "l.csv", "cp1252"),
        (CSV.replace("a/", "a\\").replace("path,", " Path ,") + "\n,,,\n", "l.csv", "utf-8"),
        (CSV.replace("guitar|slow", '"guitar, slow"'), "l.csv", "utf-8"),
    ],
)
def test_labels_from_a_table(tmp_path, text, name, encoding):
    make(tmp_path, "a/0.wav", "a/1.wav", "b.wav", "not-listed.wav")
    ds = load(tmp_path, labels=table(tmp_path, text, name, encoding))
    assert ds.tags == ["fast", "guitar", "slow"]
    assert ds.labels.tolist() == [[0, 1, 1], [0, 1, 0], [1, 1, 0]]
    assert ds.multilabel
    assert ds.artist_ids.tolist() == ["X", "Y", "Z"]
    for by in (None, "published"):
        assert [part.indices.tolist() for part in ds.splits(by=by)] == [[0], [1], [2]]


def test_accents_in_an_old_encoding_and_a_table_named_from_the_root(tmp_path):
    make(tmp_path, "é.wav", "e.wav")
    table(tmp_path, "path,tags\né.wav,café\ne.wav,thé\n", encoding="cp1252")
    assert load(tmp_path, labels="labels.csv").tags == ["café", "thé"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_composed_in_one_place_and_not_in_the_other(tmp_path, forms):
    in_table, on_disk = (unicodedata.normalize(form, "Lärm/é.wav") for form in forms)
    make(tmp_path, on_disk, "e.wav")
    ds = load(tmp_path, labels=table(tmp_path, f"path,tags\n{in_table},a\ne.wav,b\n"))
    assert ds.labels.tolist() == [[1, 0], [0, 1]]
    assert len(ds.waveform(0)) == 1600


def test_rows_without_a_tag_are_negatives_in_multilabel_data(tmp_path):
    make(tmp_path, "0.wav", "1.wav")
    labels = table(tmp_path, "path,tags\n0.wav,a|b\n1.wav,\n")
    assert load(tmp_path, labels=labels).labels.tolist() == [[1, 1], [0, 0]]
    with pytest.raises(DatasetError, match="multilabel=True"):
        load(tmp_path, labels=labels, multilabel=False)


def test_tags_can_be_declared(tmp_path):
    make(tmp_path, "a/0.wav", "b/1.wav")
    assert load(tmp_path, tags=["b", "a"]).labels.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DatasetError, match="no file has 'c'"):
        load(tmp_path, tags=["a", "b", "c"])
    with pytest.raises(DatasetError, match="unknown tag 'b'"):
        load(tmp_path, tags=["a"])


# --- audio ----------------------------------------------------------------------------------------------------


def test_waveforms_are_parts_at_the_declared_rate(tmp_path):
    make(tmp_path, "a/0.wav", "b/1.flac", seconds=1.0, rate=44_100)
    ds = load(tmp_path, sample_rate=22_050)
    assert ds.num_samples(1) == 22_050
    torch.testing.assert_close(
        ds.waveform(1, 5000, 100), audio.read(ds.paths[1], 22_050)[5000:5100], atol=1e-4, rtol=0
    )
    crops = datasets.RandomCrops(ds, 1000)
    assert crops[0][0].shape == (1000,)
    with pytest.raises(ValueError, match=r"b.1\.flac: samples 22000 to 22100 asked for"):
        ds.waveform(1, 22_000, 100)
    with pytest.raises(ValueError, match=r"start is a whole number of samples, got 0\.5 .*multiply by 22050"):
        ds.waveform(1, 0.5, 100)


# --- splits ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Three labels; a has 6 artists of 2 files each, b has 3, c has 2."""
    root = tmp_path_factory.mktemp("many")
    names = [
        f"{label}/{label}{k}-{take}.wav"
        for label, n in (("a", 6), ("b", 3), ("c", 2))
        for k in range(n)
        for take in "xy"
    ]
    return load(make(root, *names), group=r"(?P<artist>\w\d)-")


@pytest.mark.parametrize("by", ["artist", "track", "clip"])
@pytest.mark.parametrize("seed", range(4))
def test_splits_are_disjoint_and_hold_every_label(many, by, seed):
    ds = load(many.root, group=r"(?P<artist>\w\d)-", seed=seed)
    parts = ds.splits(by=by)
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(len(ds)))
    if by == "artist":
        artists = [set(part.artist_ids) for part in parts]
        assert sum(map(len, artists)) == len(set.union(*artists))
    present = [part.labels.any(axis=0).tolist() for part in parts]
    enough = by != "artist"  # c has two artists: for training and test
    assert present == [[True, True, True], [True, True, enough], [True, True, True]]
    assert [part.indices.tolist() for part in parts] == [part.indices.tolist() for part in ds.splits(by=by)]


def test_unknown_split(many):
    with pytest.raises(ValueError, match=r"unknown split 'artists' .*'artist'"):
        many.splits(by="artists")


def test_artists_with_several_labels_still_split(tmp_path):
    make(tmp_path, *[f"{label}/{k}.wav" for label in "ab" for k in range(5)])
    parts = load(tmp_path, group=r"(?P<artist>\d)\.wav").splits()
    assert [len(part) for part in parts] == [6, 2, 2]
    assert not set(parts[0].artist_ids) & set(parts[2].artist_ids)


@pytest.mark.skipif(not NSYNTH.is_dir(), reason="the NSynth notes are not beside the repository")
def test_nsynth():
    ds = load(NSYNTH, labels=NSYNTH_PATTERN)
    assert Counter(ds.labels.argmax(1)) == dict.fromkeys(range(10), 40)
    assert ds.artist_ids[0] == "bass_electronic_000"
    train, valid, test = ds.splits()
    assert not set(train.artist_ids) & set(test.artist_ids)
    for part in (train, valid, test):
        assert part.labels.any(axis=0).all()
    assert len(train) > 240
    assert ds.check() == {"silent": [], "problems": []}


# --- what is refused ------------------------------------------------------------------------------------------


def test_bad_files_are_listed_or_skipped_with_a_count(tmp_path):
    make(tmp_path, "a/good.wav", "b/good.wav")
    bad = bad_audio.bad_files(tmp_path / "a")
    bad_audio.with_nan(tmp_path / "a")
    on_disk = sum(path.is_file() and path.suffix in audio.SUFFIXES for path, _ in bad.values()) + 1
    with pytest.raises(
        DatasetError, match=rf"{on_disk} of {on_disk + 2} files cannot be used: .*; and {on_disk - 3} more"
    ) as caught:
        load(tmp_path)
    assert "on_error='skip'" in str(caught.value)
    with pytest.warns(UserWarning, match=f"{on_disk} of {on_disk + 2} files cannot be used and were skipped"):
        ds = load(tmp_path, on_error="skip")
    assert [path.name for path in ds.paths] == ["good.wav", "good.wav"]
    reasons = dict(ds.skipped)
    assert len(reasons) == on_disk
    assert "empty" in reasons["a/empty.wav"]
    assert reasons["a/nan.wav"].startswith("3 samples from 0.00 s on are NaN")


def test_short_files(tmp_path):
    make(tmp_path, "a/0.wav", "b/0.wav")
    make(tmp_path, "a/long.wav", "b/long.wav", seconds=0.5)
    with pytest.raises(DatasetError, match=r"lasts 0.10 s, less than 0.3 s"):
        load(tmp_path, min_seconds=0.3)
    with pytest.warns(UserWarning, match="2 of 4 files"):
        assert len(load(tmp_path, min_seconds=0.3, on_error="skip")) == 2


def test_check_counts_silent_and_damaged_files(tmp_path):
    make(tmp_path, "a/0.wav", "b/0.wav")
    soundfile.write(tmp_path / "a" / "silent.flac", np.zeros(1000), 16_000)
    ds = load(tmp_path)
    ds.paths[0].write_bytes(ds.paths[0].read_bytes()[:1000])  # damaged after the scan
    found = ds.check()
    assert [path.name for path in found["silent"]] == ["silent.flac"]
    assert [(path.name, "truncated" in reason) for path, reason in found["problems"]] == [("0.wav", True)]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "no audio files in this folder or below"),
        (["0.wav", "1.wav"], {}, "no sub-folders to take labels from"),
        (["0.wav", "a/1.wav", "b/1.wav"], {}, "1 of 3 files cannot be used: 0.wav: lies beside the label folders"),
        (["a/0.wav", "a/1.wav"], {}, "needs at least two"),
        (["a/0.wav", "b/1.wav"], {"labels": "folder"}, "allowed: 'folders'"),
        (["a/0.wav", "b/1.wav"], {"labels": "absent.csv"}, "no such file"),
        (["a.wav"], {"labels": "(?P<label>[a-z"}, "not a regular expression"),
        (["a.wav"], {"labels": "([a-z]+)"}, r"no named group; .*\(\?P<label>"),
        (["a.wav"], {"labels": "(?P<genre>[a-z]+)"}, "has the group 'genre'"),
        (["a.wav"], {"labels": "(?P<artist>[a-z]+)"}, "no group for the label"),
        (["a.wav", "b.wav"], {"labels": r"(?P<label>\d+)_"}, "matches none of 2 file names, the first is 'a.wav'"),
        (["a1.wav", "b.wav"], {"labels": r"(?P<label>[a-z])\d"}, "b.wav: its name does not match the pattern"),
        (["a/0.wav", "b/1.wav"], {"group": r"(?P<artist>0)"}, "does not match the group pattern"),
        (["a/0.wav", "b/1.wav"], {"on_error": "ignore"}, "unknown on_error 'ignore'"),
        (["a/0.wav", "b/1.wav"], {"fractions": (0.9, 0.1, 0.1)}, "sum to 1"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(tmp_path, names, options, message):
    make(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'. Found: nothing"),
        ("filename,tags\n0.wav,a\n", "Rename 'filename' to 'path'"),
        ("path,label\n0.wav,a\n", "label; needed: path, tags; optional: track, artist, split. Rename 'label'"),
        ("path,tags,artits\n0.wav,a,X\n", "'artits': did you mean 'artist'"),
        ("path,tags,tags\n0.wav,a,b\n", "two columns are named 'tags'"),
        ("path,tags\n", "no rows below its header"),
        ("path,tags\n0.wav,a,b\n", "row 2: 3 cells under 2 column names"),
        ("path,tags\n0.wav,a\n0.wav,b\n", "1 rows repeat a path, first '0.wav'"),
        ("path,tags\n0.wav,a\nno.wav,b\n", "1 of 2 files cannot be used: no.wav: no such file"),
        ("path,tags\n../0.wav,a\n", "row 2: path '../0.wav'; paths are relative"),
        ("path,tags\n/etc/0.wav,a\n", "paths are relative"),
        ("path,tags\nC:\\music\\0.wav,a\n", "paths are relative"),
        ("path,tags\n,a\n", "paths are relative"),
        ("path,tags,split\n0.wav,a,tain\n", "row 2: split 'tain'"),
        ("path,tags,split\n0.wav,a,train\n1.wav,b,\n", "1 of 2 rows have no split"),
        ("path,tags\n0.wav,\n1.wav,\n", "a single-label data set has one for each file"),
        ("path\0,tags\n", "is not text"),
        ('path,tags\n0.wav,a\n"1.wav,b\n' + 20_000 * "2.wav,c\n", "line 3: field larger than field limit"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(tmp_path, text, message):
    make(tmp_path, "0.wav", "1.wav")
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, labels=table(tmp_path, text))
    assert message in str(caught.value)


def test_a_split_column_that_leaves_a_part_empty(tmp_path):
    make(tmp_path, "0.wav", "1.wav")
    ds = load(tmp_path, labels=table(tmp_path, "path,tags,split\n0.wav,a,train\n1.wav,b,test\n"))
    with pytest.raises(DatasetError, match="train 1, valid 0, test 1"):
        ds.splits()


def test_a_split_that_is_asked_for_is_not_that_of_the_column(tmp_path):
    make(tmp_path, *[f"{k}.wav" for k in range(20)])
    parts = ["train"] * 10 + ["valid"] * 5 + ["test"] * 5
    rows = "".join(f"{k}.wav,{'ab'[k % 2]},{k % 10},{part}\n" for k, part in enumerate(parts))
    ds = load(tmp_path, labels=table(tmp_path, "path,tags,artist,split\n" + rows))
    train, valid, test = ds.splits(by="artist")
    assert not set(train.artist_ids) & {*valid.artist_ids, *test.artist_ids}
    assert [len(part) for part in (train, valid, test)] != [10, 5, 5]


def test_no_published_split(many):
    with pytest.raises(DatasetError, match="no split is published with it"):
        many.splits(by="published")


def test_root_that_is_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        load(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="is a file"):
        load(tmp_path / "file")
