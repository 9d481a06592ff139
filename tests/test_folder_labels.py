"""Labels as other programs and people write them: lists, columns, commas, look-alikes, folders of a split."""

import json
import re
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from test_folder import load, make, table

from mclass import cli, datasets
from mclass.errors import DatasetError

LISTS = [["rock", "pop"], ["pop"], ["hip hop", "R&B"], ["don't", 'say "so"'], ["Folk, World, & Country"]]
FOUND = sorted({tag for row in LISTS for tag in row})


@pytest.fixture
def five(tmp_path):
    return make(tmp_path, *[f"{i}.wav" for i in range(5)])


def tags_of(ds):
    return [[tag for tag, has in zip(ds.tags, row, strict=True) if has] for row in ds.labels]


def written(root, cells, **options):
    pd.DataFrame({"path": [f"{i}.wav" for i in range(len(cells))], "tags": cells}).to_csv(
        root / "t.csv", index=False, **options
    )
    return load(root, labels=str(root / "t.csv"))


# --- several tags in a cell -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        list,
        tuple,
        np.array,
        json.dumps,
        lambda row: json.dumps(row, ensure_ascii=True, indent=1),
        lambda row: repr(np.array(row, dtype=object)),
        lambda row: repr([np.str_(tag) for tag in row]),
        lambda row: str(pd.Series(row).to_numpy()),
    ],
    ids=["list", "tuple", "array", "json", "indented json", "repr of an array", "numpy strings", "series"],
)
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_lists_as_programs_write_them(five, write, sep):
    cells = pd.Series([write(row) for row in LISTS], dtype=object)
    ds = written(five, cells, sep=sep)
    assert ds.tags == FOUND
    assert [sorted(row) for row in tags_of(ds)] == [sorted(row) for row in LISTS]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("[]", []),
        ("[rock, hip hop]", ["hip hop", "rock"]),
        ("[1 2]", ["1", "2"]),
        ("['a', nan]", ["a"]),
        ("{'a', 'b'}", ["a", "b"]),
        ("(What's the Story)", ["(What's the Story)"]),
        ("guitar| slow;guitar, ", ["guitar", "slow"]),
        ("['caf\\u00e9']", ["café"]),
        ("[print('ran')]", ["print('ran')"]),
        ("guitar\nslow", ["guitar", "slow"]),
        ("R&amp;B; pop", ["R&B", "pop"]),
        ("set()", []),
    ],
)
def test_cells(five, cell, found):
    ds = written(five, [cell, "x|y", "x"])
    assert tags_of(ds)[0] == found


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("['rock', 'pop'", "begins like a list of names and is none"),
        ("['a' 'b' ... 'z']", "is a list of something else than names"),
        ("[1, 2, ..., 9]", "was abbreviated"),
        ("[['rock'], ['pop']]", "is a list of something else than names"),
        ("[{'genre_id': 21, 'title': 'rock'}]", "is a list of something else than names"),
        ('{"genre": "rock"}', "begins like a list of names and is none"),
        ("[" * 5000 + "]" * 5000, "is a list of something else than names"),
    ],
)
def test_lists_that_are_none(five, cell, message):
    with pytest.raises(DatasetError, match=rf"t\.csv, row 2: .*{message}\. Write the tags between"):
        written(five, [cell, "x", "y"])


def test_names_of_files_that_hold_no_list(tmp_path):
    make(tmp_path, "['rock'-0.wav", "pop,jazz-1.wav")
    with pytest.raises(DatasetError, match="what the pattern finds in its name begins like a list of names"):
        load(tmp_path, labels="(?P<tags>.*)-")


DISCOGS = "Folk, World, & Country"


@pytest.mark.parametrize("sep", [";", "\t"])
def test_a_comma_is_part_of_a_name_where_it_does_not_separate_cells(five, sep):
    ds = written(five, [DISCOGS, "Rock", "Rock|Pop"], sep=sep)
    assert tags_of(ds) == [[DISCOGS], ["Rock"], ["Pop", "Rock"]]
    with pytest.warns(UserWarning, match="'Pop, Rock' is taken for one tag, but 'Rock' is one of its own"):
        assert "Pop, Rock" in written(five, ["Pop, Rock", "Rock", DISCOGS], sep=sep).tags
    with pytest.warns(UserWarning, match=r"'Pop, Rock' is taken for one tag\. If commas separate tags, say so"):
        written(five, ["Pop, Rock", "Jazz", DISCOGS], sep=sep)


def test_a_comma_that_may_be_part_of_a_name_is_named_and_can_be_decided(five):
    with pytest.warns(
        UserWarning, match="'Folk, World, & Country' is taken for 3 tags, 'Folk', 'World', '& Country'"
    ):
        assert len(written(five, [DISCOGS, "Rock", "Rock"]).tags) == 4
    for options in ({"separator": "|"}, {"separator": ""}, {"multilabel": False}):
        assert load(five, labels=str(five / "t.csv"), **options).tags == [DISCOGS, "Rock"]
    assert len(load(five, labels=str(five / "t.csv"), separator=",").tags) == 4
    assert written(five, ["rock, pop", "rock", "pop, jazz"]).tags == ["jazz", "pop", "rock"]  # clear enough


@pytest.mark.parametrize(
    "write",
    [str, lambda row: repr(np.array(row)), lambda row: str(np.array(row)), lambda row: "|".join(map(str, row))],
)
def test_vectors_in_a_cell_have_no_names(five, write):
    with pytest.raises(
        DatasetError, match=r"hold zeros and ones, .* and no names\. Give each tag a column of its own"
    ):
        written(five, [write(row) for row in ([0, 1, 0], [1, 1, 0], [0, 0, 0])])
    assert written(five, ["0", "1", "0"]).tags == ["0", "1"]


def test_a_separator_is_what_is_asked_for(five):
    labels = str(table(five, "path,tags\n0.wav,a/b|c\n1.wav,b\n2.wav,b/d\n"))
    assert tags_of(load(five, labels=labels, separator="/")) == [["a", "b|c"], ["b"], ["b", "d"]]
    with pytest.raises(ValueError, match=r"separator is text, .*, got 5"):
        load(five, labels=labels, separator=5)
    with pytest.raises(ValueError, match="separator=';' is for the cells of a table, not for labels='folders'"):
        load(five, separator=";")


def test_a_separator_from_the_command_line(five, tmp_path, capsys):
    table(five, "path,tags\n" + "".join(f'{i}.wav,"{(DISCOGS, "Rock")[i % 2]}"\n' for i in range(5)))
    given = ["data", "check", "folder", "--root", str(five), "--labels", f"{five}/labels.csv"]
    cli.main([*given, "--option", "separator=|", "--option", "multilabel=false"])
    assert "2 tags" in capsys.readouterr().out


# --- a column for each tag ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["numbers", "floats", "words"])
def test_columns_of_zeros_and_ones(five, kind):
    truth = pd.DataFrame({"Rock": [1, 0, 0, 1, 0], "Jazz": [0, 1, 1, 0, 1]})
    cells = {"numbers": truth, "floats": truth.astype(float), "words": truth.astype(bool)}[kind]
    cells.insert(0, "path", [f"{i}.wav" for i in range(5)])
    cells["title"] = "Opus"
    cells.to_csv(five / "t.csv")  # with the index that pandas adds
    ds = load(five, labels=str(five / "t.csv"))
    assert ds.tags == ["Jazz", "Rock"]
    np.testing.assert_array_equal(ds.labels, truth[ds.tags])
    assert ds.known is None
    assert not ds.multilabel


@pytest.mark.parametrize("gap", ["", "?", "-1", "-1.0", "nan", "None"])
def test_cells_that_say_nothing_are_unknown(five, gap):
    labels = str(table(five, f"path,a,b\n0.wav,1,0\n1.wav,{gap},1\n2.wav,0,{gap}\n"))
    ds = load(five, labels=labels)
    assert ds.labels.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert ds.known.tolist() == [[True, True], [False, True], [True, False]]
    assert ds.multilabel
    with pytest.raises(DatasetError, match="some labels are unknown, which single-label data cannot have"):
        load(five, labels=labels, multilabel=False)


def test_a_column_without_a_yes_is_named(five):
    with pytest.warns(UserWarning, match="no row says yes to 'harp', so nothing can be learned of it"):
        assert load(five, labels=str(table(five, "path,a,harp\n0.wav,1,0\n1.wav,0,0\n"))).tags == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,a,b\n0.wav,1,0\n1.wav,0.3,1\n", "row 3: '0.3' below 'a'; a column for each tag holds 1, 0"),
        ("path,a,bpm\n0.wav,1,1\n1.wav,0,120\n", "row 3: '120' below 'bpm'"),
        ("path,a,b\n0.wav,1,-1\n1.wav,-1,1\n", "no cell below a, b says no. Write 0 for no; -1 and empty"),
        ("path,a,b\n0.wav,1,\n1.wav,,1\n", "no cell below a, b says no"),
        ("path,title\n0.wav,x\n1.wav,y\n", "no column 'tags'"),
    ],
)  # fmt: skip
def test_columns_that_are_none_of_tags(five, text, message):
    with pytest.raises(DatasetError, match=message):
        load(five, labels=str(table(five, text)))


# --- the same label twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", unicodedata.normalize("NFD", "café")),
        ("rock", " rock"),
        ("rock", "rock\u00a0"),
        ("hip hop", "hip\u00a0hop"),
        ("hip hop", "hip  hop"),
        ("hip hop", "hip\u3000hop"),
        ("rock", "\ufeffrock"),
        ("rock", "ro\u200bck"),
    ],
)
@pytest.mark.parametrize("where", ["table", "folders", "list"])
def test_labels_that_look_the_same_are_one(tmp_path, one, other, where):
    if where == "folders":
        make(tmp_path, f"{one}/0.wav", f"{other}/1.wav", "jazz/2.wav")
        ds = load(tmp_path)
    else:
        make(tmp_path, "0.wav", "1.wav", "2.wav")
        row = '{}.wav,"{}"\n' if where == "table" else "{}.wav,\"['{}']\"\n"
        text = "path,tags\n" + "".join(row.format(i, tag) for i, tag in enumerate((one, other, "jazz")))
        ds = load(tmp_path, labels=str(table(tmp_path, text)))
    assert ds.tags == sorted([one, "jazz"])
    assert len(ds) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [("Rock", "rock"), ("hip-hop", "hip hop"), ("Hip Hop", "hiphop"), ("ｒｏｃｋ", "rock"), ("1", "1.0"),
     ("hip\u2011hop", "hip-hop"), ("straße", "STRASSE"), ("drum_and_bass", "drum and bass"),
     ("Drum & Bass", "drum and bass"), ("R & B", "R&B"), ("'rock'", "rock")],
)  # fmt: skip
@pytest.mark.parametrize("where", ["table", "folders"])
def test_labels_that_may_be_one_are_named(tmp_path, one, other, where):
    options = {}
    if where == "folders":
        make(tmp_path, f"{one}/0.wav", f"{other}/1.wav", "jazz/2.wav")
    else:
        make(tmp_path, "0.wav", "1.wav", "2.wav")
        options["labels"] = str(table(tmp_path, f"path,tags\n0.wav,{one}\n1.wav,{other}\n2.wav,jazz\n"))
    first, second = sorted([one, other])
    with pytest.warns(UserWarning, match=re.escape(f"{first!r} and {second!r} may be the same label")):
        ds = load(tmp_path, **options)
    assert len(ds.tags) == 3
    assert load(tmp_path, tags=ds.tags, **options).tags == ds.tags  # said to differ: no warning


def test_labels_that_differ(tmp_path):
    names = ["C", "C#", "C++", "Cm", "1.5", "15", "a1", "a 1", "R&B", "RB", "no vocal", "vocal", "cafe", "café"]
    make(tmp_path, *[f"{i}.wav" for i in range(len(names))])
    assert load(
        tmp_path,
        labels=str(table(tmp_path, "path,tags\n" + "".join(f"{i}.wav,{name}\n" for i, name in enumerate(names)))),
    ).tags == sorted(names)


@pytest.mark.parametrize("cell", ["nan", "NaN", "None", "null", "<NA>", "N/A"])
def test_words_for_nothing_are_no_labels(five, cell):
    with pytest.warns(UserWarning, match=rf"taken for no tag: '{cell}' \(1\)"):
        ds = written(five, ["rock|pop", cell, "rock"])
    assert ds.tags == ["pop", "rock"]
    assert tags_of(ds)[1] == []
    with (
        pytest.warns(UserWarning, match="taken for no tag"),
        pytest.raises(DatasetError, match=r"1\.wav has 0 tags"),
    ):
        written(five, ["pop", cell, "rock"])


def test_artists_who_look_the_same_are_one_and_nothing_is_no_artist(tmp_path):
    artists = ["Björk", unicodedata.normalize("NFD", "Björk "), "Bjo\u0308rk\u00a0", "nan", "", "None"]
    make(tmp_path, *[f"{i}.wav" for i in range(6)])
    rows = "".join(f"{i}.wav,{'ab'[i % 2]},{artist}\n" for i, artist in enumerate(artists))
    ds = load(tmp_path, labels=str(table(tmp_path, "path,tags,artist\n" + rows)))
    assert ds.artist_ids.tolist() == ["Björk"] * 3 + ["3.wav", "4.wav", "5.wav"]


# --- paths in a table -----------------------------------------------------------------------------------------


def test_paths_are_found_as_the_disk_writes_them(tmp_path):
    make(tmp_path, "Lärm/A b.WAV", "x.wav")
    for path in ("Lärm/A b.WAV", "Lärm\\A b.WAV", "./lärm//a B.wav", unicodedata.normalize("NFD", "LÄRM/A b.wav")):
        ds = load(tmp_path, labels=str(table(tmp_path, f"path,tags\n{path},a\nx.wav,b\n")))
        assert [p.name for p in ds.paths] == ["A b.WAV", "x.wav"]


@pytest.mark.parametrize("again", ["0.wav", "./0.wav", "0.WAV"])
def test_rows_that_contradict_each_other_are_named(five, again):
    labels = str(table(five, f"path,tags\n0.wav,rock\n1.wav,pop\n{again},jazz\n"))
    with pytest.raises(DatasetError, match=r"repeat a path, first '0\.wav': row 2 \(rock\) and row 4 \(jazz\)"):
        load(five, labels=labels)


@pytest.mark.parametrize(
    "path", ["../0.wav", "a/../../0.wav", "a\\..\\..\\0.wav", "/0.wav", "C:/0.wav", "\\\\host\\0.wav"]
)
def test_paths_stay_in_the_folder(five, path):
    with pytest.raises(DatasetError, match=r"row 2: path .* paths are relative to the root folder, inside it"):
        load(five, labels=str(table(five, f"path,tags\n{path},rock\n1.wav,pop\n")))


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: text.replace("\n", "\r"), "utf-8"),
        (lambda text: text.replace("\n", "\r\n"), "utf-16"),
        (lambda text: "sep=;\r\n" + text.replace(",", ";"), "utf-8-sig"),
        (lambda text: text.replace(",", "\t"), "utf-16"),
    ],
    ids=["old mac", "unicode text", "sep", "tabs"],
)
def test_tables_of_other_programs(five, change, encoding):
    text = change("path,tags\n0.wav,café\n1.wav,rock\n2.wav,rock\n")
    assert load(five, labels=str(table(five, text, encoding=encoding))).tags == ["café", "rock"]


# --- folders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        (("train", "valid", "test"), "{part}/{label}/{i}.wav"),
        (("Training_Set", "VAL", "Test"), "{part}/{label}/x/{i}.wav"),
        (("genres-train", "genres-dev", "genres-eval"), "{part}/{label}/{i}.wav"),
        (("train", "validation", "test"), "{label}/{part}/{i}.wav"),
    ],
)
def test_folders_of_a_split_are_the_split(tmp_path, parts, where):
    names = [
        where.format(part=part, label=label, i=f"{part}{i}")
        for part in parts
        for label in ("jazz", "rock")
        for i in range(3)
    ]
    ds = load(make(tmp_path, *names))
    assert ds.tags == ["jazz", "rock"]
    for part, view in zip(parts, ds.splits(), strict=True):
        assert len(view) == 6
        assert all(part in view.describe(i) for i in range(6))
        assert view.labels.sum(0).tolist() == [3, 3]
    assert {len(view) for view in ds.splits(by="clip")} != {6}


def test_a_split_without_validation_draws_it_from_training(tmp_path):
    names = [f"{part}/{label}/{i}.wav" for part in ("train", "test") for label in "ab" for i in range(10)]
    train, valid, test = load(make(tmp_path, *names)).splits()
    assert [len(part) for part in (train, valid, test)] == [18, 2, 20]
    assert all("/train/" in valid.describe(i) for i in range(2))
    assert not set(train.artist_ids) & set(valid.artist_ids)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/0.wav", "test/b/1.wav", "rock/2.wav"], "are parts of a split, and beside them is 'rock'"),
        (["train/0.wav", "test/1.wav"], "'test', 'train' are parts of a split, and there are no label folders"),
        (["train/a/0.wav", "train/b/1.wav", "test/2.wav"], "test/2.wav: lies in 'test', a part of the split"),
        (["fold1/0.wav", "fold2/1.wav"], "are folds of a cross-validation, not labels"),
        (["audio/a/0.wav", "audio/b/1.wav"], r"Did you mean root='.*/audio'\?"),
        (["train/a/0.wav", "train/b/1.wav"], r"Did you mean root='.*/train'\?"),
    ],
)  # fmt: skip
def test_folders_that_are_no_labels(tmp_path, names, message):
    with pytest.raises(DatasetError, match=message):
        load(make(tmp_path, *names))


def test_folders_that_this_package_wrote(tmp_path):
    ds = load(make(tmp_path / "own", *[f"{label}/{i}.wav" for label in "ab" for i in range(4)]))
    datasets.prepare(ds, tmp_path / "prepared", "flac", progress=False, workers=1)
    datasets.shard(ds, tmp_path / "shards", progress=False, workers=1)
    for name, command in (("prepared", "prepare"), ("shards", "shard")):
        with pytest.raises(DatasetError, match=rf"written by mclass data {command}; .* --dataset {name}\)"):
            load(tmp_path / name)


def test_numbered_folders_may_be_no_labels(tmp_path):
    with pytest.warns(UserWarning, match=r"folders 000, 001, … are taken for labels\. If they only keep"):
        assert load(make(tmp_path / "fma", "000/0.wav", "001/1.wav")).tags == ["000", "001"]
    assert load(make(tmp_path / "digits", "0/0.wav", "1/1.wav")).tags == ["0", "1"]


def test_labels_with_words_of_a_split_in_their_names(tmp_path):
    make(tmp_path, "train/0.wav", "plane/1.wav", "test tone/2.wav", "train whistle/3.wav", "evaluate/4.wav")
    assert load(tmp_path).tags == ["evaluate", "plane", "test tone", "train", "train whistle"]


def test_folders_that_give_no_label_are_named(tmp_path):
    make(tmp_path, "rock/0.wav", "jazz/1.wav", "__MACOSX/pop/2.wav", ".cache/3.wav", "@eaDir/4.wav")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path).tags == ["jazz", "rock"]
    (tmp_path / "pop").mkdir()
    try:
        (tmp_path / "fusion").symlink_to(tmp_path / "jazz", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not allow symbolic links")
    with pytest.warns(UserWarning, match="folders without audio of their own become no label: 'fusion', 'pop'"):
        assert len(datasets.load("folder", root=tmp_path)) == 2
