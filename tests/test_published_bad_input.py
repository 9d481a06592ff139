"""Published data sets that are not as published: wrong root, partial copies, damaged tables, hostile files."""

import pickle
import warnings

import numpy as np
import pytest
import soundfile
from miniatures import changed, home, mini  # noqa: F401

from mclass import datasets
from mclass.datasets.published.reading import tables
from mclass.errors import AudioError, DatasetError

pytestmark = pytest.mark.usefixtures("home")
NAMES = ("gtzan", "magnatagatune", "mtg_jamendo", "million_song", "fma", "audioset", "nsynth", "openmic")
SKIPS = {"gtzan": {"on_error": "skip"}, "magnatagatune": {"on_error": "skip"}}


def load(root, name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return datasets.load(name, root=root, **SKIPS.get(name, {}) | options)


# --- the root -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_root_one_level_too_high(mini, name, tmp_path):  # noqa: F811
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "other").mkdir()
    (tmp_path / "around" / "copy").symlink_to(mini(name), target_is_directory=True)
    with pytest.raises(DatasetError, match=rf"Did you mean root='{tmp_path}/around/copy'\?"):
        load(tmp_path / "around", name)


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("gtzan", "genres/blues"),
        ("magnatagatune", "3"),
        ("mtg_jamendo", "audio"),
        ("million_song", "audio"),
        ("fma", "fma_small"),
        ("audioset", "audio"),
        ("nsynth", "nsynth-train"),
        ("nsynth", "nsynth-train/audio"),
        ("openmic", "openmic-2018/audio"),
    ],
)
def test_root_one_level_too_deep(mini, name, below):  # noqa: F811
    with pytest.raises(DatasetError, match=r"Did you mean root='"):
        load(mini(name) / below, name)


@pytest.mark.parametrize("name", NAMES)
def test_root_that_is_no_folder(tmp_path, name):
    with pytest.raises(DatasetError, match="no such folder"):
        load(tmp_path / "absent", name)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="is a file"):
        load(tmp_path / "file", name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"does not look like .*but no folders"):
        load(tmp_path / "empty", name)


# --- the copy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_partial_copy(changed, name):  # noqa: F811
    root = changed(name)
    whole = load(root, name)
    gone = whole.paths[1::7]
    for path in gone:
        path.unlink()
    stem = gone[0].relative_to(whole.root).as_posix().rpartition(".")[0]
    with pytest.raises(DatasetError) as caught:
        load(root, name)
    assert f"{len(gone)} of " in str(caught.value)
    assert stem in str(caught.value)
    assert "missing='skip'" in str(caught.value)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        data = datasets.load(name, root=root, missing="skip", **SKIPS.get(name, {}))
    assert f"{len(gone)} of " in str(heard[0].message)
    assert len(data) == len(whole) - len(gone)
    assert [reason for _, reason in data.skipped].count("missing") == len(gone)
    assert not {*data.paths} & {*gone}
    kept = [i for i, path in enumerate(whole.paths) if path not in gone]
    np.testing.assert_array_equal(data.labels, whole.labels[kept])
    assert [*data.artist_ids] == [*whole.artist_ids[kept]]


def test_labels_that_are_known_are_kept_in_step(changed):  # noqa: F811
    root = changed("openmic")
    whole = load(root, "openmic")
    whole.paths[0].unlink()
    np.testing.assert_array_equal(load(root, "openmic", missing="skip").known, whole.known[1:])


@pytest.mark.parametrize("name", NAMES)
def test_no_audio_at_all(changed, name):  # noqa: F811
    root = changed(name)
    for path in [*root.rglob("*")]:
        if path.suffix in (".wav", ".mp3", ".ogg"):
            path.unlink()
    with pytest.raises(
        DatasetError, match=r"none of the \d+ audio files of .* is here.*Give the folder of the audio"
    ):
        load(root, name, missing="skip")


def test_a_renamed_folder_is_guessed(changed):  # noqa: F811
    root = changed("gtzan")
    (root / "genres" / "hiphop").rename(root / "genres" / "Hip-Hop")
    with pytest.raises(DatasetError, match=r"100 of 1000 .* There is no folder 'hiphop'; rename 'Hip-Hop'\?"):
        load(root, "gtzan")


def test_a_part_of_the_published_split_is_gone(changed):  # noqa: F811
    root = changed("magnatagatune")
    for path in (root / "c").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"has no files: train .*, valid 0, test"):
        load(root, "magnatagatune", missing="skip").splits()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_do_not_belong_and_loops_of_links_are_passed_over(changed, name):  # noqa: F811
    root = changed(name)
    whole = load(root, name)
    folder = whole.paths[0].parent
    (folder / "my own.mp3").write_bytes(b"not audio")
    (folder / "._hidden.wav").write_bytes(b"not audio")
    (folder / "loop").symlink_to(root, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert load(root, name).paths == whole.paths


def test_broken_files(changed):  # noqa: F811
    root = changed("nsynth")
    path = load(root, "nsynth").paths[4]
    path.write_bytes(b"")
    data = load(root, "nsynth")  # nothing is opened: not noticed yet
    with pytest.raises(AudioError, match=r"empty .*on_error='skip'"):
        data.num_samples(4)
    with pytest.raises(AudioError, match="1 of 74 files of nsynth cannot be used, first"):
        data.read_lengths()
    with pytest.warns(UserWarning, match=r"1 of the files cannot be used: .* They are left out"):
        data = datasets.load("nsynth", root=root, on_error="skip")
    assert len(data) == 73
    assert data.skipped[0][0] == path.relative_to(root).as_posix()


def test_known_faults_are_refused_with_advice(mini):  # noqa: F811
    with pytest.raises(
        DatasetError, match=r"3 of the files cannot be used: 6/norine.*published copy itself is at fault"
    ):
        datasets.load("magnatagatune", root=mini("magnatagatune"))
    assert datasets.load("magnatagatune", root=mini("magnatagatune"), subset="homework")  # without them


@pytest.mark.parametrize("option", ["on_error", "missing"])
def test_options(mini, option):  # noqa: F811
    with pytest.raises(ValueError, match=rf"unknown {option} 'ignore'.*raise, skip"):
        load(mini("nsynth"), "nsynth", **{option: "ignore"})
    with pytest.raises(ValueError, match=r"unknown split 'artists' \(did you mean 'artist'"):
        load(mini("nsynth"), "nsynth").splits(by="artists")


# --- the tables -----------------------------------------------------------------------------------------------

JAMENDO = "data/splits/split-0/autotagging_top50tags-train.tsv"
OPENMIC = "openmic-2018/openmic-2018-aggregated-labels.csv"
TABLES = [
    ("magnatagatune", "annotations_final.csv"),
    ("magnatagatune", "clip_info_final.csv"),
    ("mtg_jamendo", JAMENDO),
    ("fma", "fma_metadata/tracks.csv"),
    ("fma", "fma_metadata/genres.csv"),
    ("audioset", "balanced_train_segments.csv"),
    ("openmic", OPENMIC),
    ("openmic", "openmic-2018/openmic-2018-metadata.csv"),
    ("openmic", "openmic-2018/partitions/split01_test.csv"),
]


@pytest.mark.parametrize(("name", "table"), TABLES)
@pytest.mark.parametrize("change", ["windows", "bom", "utf-16", "blank lines"])
def test_tables_saved_anew(changed, name, table, change):  # noqa: F811
    root = changed(name)
    before = load(root, name)
    text = (root / table).read_text(encoding="utf-8")
    content = {
        "windows": text.replace("\n", "\r\n").encode(),
        "bom": text.encode("utf-8-sig"),
        "utf-16": text.encode("utf-16"),
        "blank lines": (text + "\n\n").encode(),
    }[change]
    (root / table).write_bytes(content)
    after = load(root, name)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.tags == before.tags
    assert [*after.artist_ids] == [*before.artist_ids]


def test_an_old_encoding(changed):  # noqa: F811
    root = changed("magnatagatune")
    table = root / "clip_info_final.csv"
    table.write_bytes(table.read_text().replace("Artist 0", "Sœur Zoë").encode("cp1252"))
    assert "Sœur Zoë" in load(root, "magnatagatune").artist_ids


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_a_table_that_is_missing_or_a_web_page(changed, name, table):  # noqa: F811
    root = changed(name)
    (root / table).write_text("<!DOCTYPE html><html><body>Not found</body></html>\n")
    with pytest.raises(DatasetError, match="web page"):
        load(root, name)
    (root / table).write_bytes(b"")
    with pytest.raises(DatasetError, match="is not a table but empty"):
        load(root, name)
    if table not in ("annotations_final.csv", "clip_info_final.csv", "fma_metadata/tracks.csv", OPENMIC):
        (root / table).unlink()
        with pytest.raises(DatasetError, match="no such file"):
            load(root, name)


@pytest.mark.parametrize(
    ("name", "table", "old", "new", "message"),
    [
        ("magnatagatune", "annotations_final.csv", '"clip_id"', '"id"', "the columns are clip_id, 188 tags"),
        ("magnatagatune", "annotations_final.csv", '"guitar"', '"gitarre"', "unknown tag 'guitar'"),
        ("magnatagatune", "annotations_final.csv", '\n"5"\t"', '\n"5"\t"x', "row 5: is damaged"),
        ("mtg_jamendo", JAMENDO, "TRACK_ID", "ID", "does not begin with TRACK_ID"),
        ("mtg_jamendo", JAMENDO, "---", "-", "no tags .kind---tag. from"),
        ("fma", "fma_metadata/tracks.csv", "genre_top", "genre", "there is no column 'track genre_top'"),
        ("fma", "fma_metadata/tracks.csv", "track_id", "2", "the third begins with '2'"),
        ("fma", "fma_metadata/genres.csv", "parent", "parents", "unknown column 'parent' .did you mean 'parents'"),
        ("fma", "fma_metadata/genres.csv", "107,4,1235", "107,4,9", "genre 9 is a parent but has no row"),
        ("audioset", "eval_segments.csv", "10.000", "ten", "is not: video, start, end"),
        ("audioset", "ontology.json", '"name"', '"title"', "is not the ontology: KeyError"),
        ("audioset", "ontology.json", "]", "", "is not JSON"),
        ("nsynth", "nsynth-test/examples.json", "bass_synthetic", "bass-synthetic", "is not a name of NSynth's"),
        ("nsynth", "nsynth-test/examples.json", "bass_", "bas_", "unknown family 'bas'|unknown family"),
        ("openmic", OPENMIC, "banjo", "banjoo", "are not in the metadata"),
        ("openmic", OPENMIC, "0.93", "yes", "relevance 'yes' is no number"),
    ],
)  # fmt: skip
def test_damaged_tables(changed, name, table, old, new, message):  # noqa: F811
    root = changed(name)
    path = root / table
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load(root, name)


@pytest.mark.parametrize(
    ("name", "table"), [("magnatagatune", "annotations_final.csv"), ("fma", "fma_metadata/tracks.csv")]
)
def test_a_table_that_was_cut_off(changed, name, table):  # noqa: F811
    root = changed(name)
    content = (root / table).read_bytes()
    (root / table).write_bytes(content[: len(content) // 2 + 3])
    with pytest.raises(DatasetError, match="cut off"):
        load(root, name)


def test_a_huge_cell_does_not_stop_a_table_and_the_limit_is_put_back(tmp_path):
    import csv

    limit = csv.field_size_limit()
    (tmp_path / "t.csv").write_text(f"a,b\n1,{'x' * 200_000}\n")
    assert tables.read_columns(tmp_path / "t.csv", ["a"])["a"] == ["1"]
    assert csv.field_size_limit() == limit
    (tmp_path / "b.csv").write_bytes(b"a,b\n\0\0,\0\n")
    with pytest.raises(DatasetError, match="is not a table"):
        tables.read_columns(tmp_path / "b.csv", ["a"])


# --- lists that hold code -------------------------------------------------------------------------------------


class Evil:
    """What a pickle may do when it is loaded."""

    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


class EvilArray(np.ndarray):
    pass


@pytest.mark.parametrize(
    "content",
    [
        [Evil()],
        {"TRAAA": Evil()},
        np.array([Evil()], dtype=object),
        np.zeros(3).view(EvilArray),
        np.array(["text"]),
    ],
    ids=["code", "code in a dictionary", "array of objects", "class of one's own", "array of text"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_run_no_code(changed, content, protocol):  # noqa: F811
    root = changed("million_song")
    (root / "splits" / "filtered_list_train.cP").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(DatasetError, match=r"refused: .* is not plain data.*CSV, JSON or npz|is damaged"):
        load(root, "million_song", split="lastfm")
    assert not Evil.ran


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("code", ["f8", "f4", ">f8", "i8", "u1", "?"])
def test_plain_pickles_are_read(tmp_path, protocol, code):
    from mclass.datasets.published.reading import pickles as _pickles

    array = np.arange(6).reshape(2, 3).astype(code)
    content = {
        "list": [1, 2.5, "text", b"bytes", None, True, (1,)],
        "array": array,
        "columns": np.asfortranarray(array),
    }
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = _pickles.read(tmp_path / "p.pkl")
    assert found["list"] == content["list"]
    for name in ("array", "columns"):
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_arrays_with_objects_are_not_loaded(changed):  # noqa: F811
    root = changed("million_song")
    np.save(root / "splits" / "train_ids.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="holds Python objects, which are not loaded"):
        load(root, "million_song")
    assert not Evil.ran


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", b"track,split,tags\n", "unknown column 'track_id'"),
        ("mine.csv", b"track_id,split,tags\nTRAAAAW128F429D538,tain,a\n", "unknown split 'tain'"),
        ("mine.csv", b"track_id,split,tags\nsong.mp3,train,a\n", "'song.mp3' is no track"),
        ("mine.json", b'{"TRAAAAW128F429D538": {"tags": []}}', "is not {track_id"),
        ("mine.txt", b"", "unknown split"),
    ],
)
def test_lists_of_your_own_that_do_not_fit(changed, name, content, message):  # noqa: F811
    root = changed("million_song")
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(root, "million_song", split=name)


def test_lists_that_do_not_belong_together(changed):  # noqa: F811
    root = changed("million_song")
    np.save(root / "splits" / "train_binaries.npy", np.zeros((3, 50)))
    with pytest.raises(DatasetError, match=r"shape \(3, 50\), for 16 tracks"):
        load(root, "million_song")
    np.save(root / "splits" / "train_binaries.npy", np.zeros((16, 50)))
    (root / "splits" / "valid_ids.npy").unlink()
    with pytest.raises(DatasetError, match="no such file"):
        load(root, "million_song")


# --- another data set's folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("skip", [False, True])
def test_nothing_else_is_taken_for_the_data_set(mini, name, skip, tmp_path):  # noqa: F811
    """Other recordings, with one that NSynth could have named, and each of the other data sets."""
    for path in ("rock/0.wav", "jazz/1.wav", "bass_electronic_000-036-100.wav", "song.wav"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / path, np.zeros(100), 16_000)
    options = {"on_error": "skip", "missing": "skip"} if skip else {}
    for root in (tmp_path, *(mini(other) for other in NAMES if other != name)):
        with pytest.raises(
            DatasetError,
            match=r"does not look like|none of the 1000 audio files|do not have the names of NSynth's",
        ):
            load(root, name, **options)


def test_a_folder_of_notes_alone_is_nsynth(tmp_path):
    for note in ("bass_electronic_000-036-100", "flute_acoustic_002-060-050"):
        soundfile.write(tmp_path / f"{note}.wav", np.zeros(100), 16_000)
    assert load(tmp_path, "nsynth").tags == ["bass", "flute"]
