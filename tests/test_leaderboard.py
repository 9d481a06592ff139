"""The leaderboard: right scores, a page that shows them to everybody, and files that cannot harm."""

import json
import os
import re
import threading
import zipfile
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sklearn.metrics
from bs4 import BeautifulSoup

from mclass import cli
from mclass.errors import DatasetError
from mclass_grading import board, held_out

IDS = np.array([f"clip{i}" for i in range(12)])
TAGS = np.array(["rock", "harp", "slow"])
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def labels(tmp_path):
    values = np.random.default_rng(0).integers(0, 2, size=(12, 3))
    values[:2] = [[0, 1, 0], [1, 0, 1]]
    np.savez(tmp_path / "labels.npz", ids=IDS, tags=TAGS, labels=values)
    return values


def predict(path, scores, ids=IDS, tags=TAGS):
    np.savez(path, ids=ids, tags=tags, scores=scores)
    return path


def test_scores_do_not_depend_on_the_order(labels, tmp_path):
    scores = np.random.default_rng(1).random((12, 3))
    rows, columns = np.random.default_rng(2).permutation(12), [2, 0, 1]
    predict(tmp_path / "p.npz", scores[rows][:, columns], IDS[rows], TAGS[columns])
    entry = board.submit(tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board", "Ada", NOON)
    assert entry.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
    assert entry.pr_auc == pytest.approx(sklearn.metrics.average_precision_score(labels, scores))


def test_the_page(labels, tmp_path):
    def hand_in(name, scores, hours):
        predict(tmp_path / "p.npz", scores)
        now = NOON + timedelta(hours=hours)
        return board.submit(tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board", name, now)

    noise = np.random.default_rng(0).random((12, 3))
    hand_in("Zoe", labels + 0.1, 0)
    worse = hand_in("Zoe", noise, 2)
    hand_in("Ada", labels, 1)
    hand_in("<script>alert(1)</script>", -labels, 3)
    text = (tmp_path / "board" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    page = BeautifulSoup(text, "html.parser")
    rows = [[cell.get_text() for cell in row.find_all(["td", "th"])] for row in page.tbody.find_all("tr")]
    assert [row[:2] for row in rows] == [["1", "Zoe"], ["1", "Ada"], ["3", "<script>alert(1)</script>"]]
    assert rows[0][2:] == ["1.0000", "1.0000", "2025-03-01 12:00", f"{worse.roc_auc:.4f}", "2025-03-01 14:00", "2"]
    # What a screen reader needs.
    assert page.html["lang"] == "en"
    assert page.title.string
    assert page.caption
    assert all(cell["scope"] == "col" for cell in page.thead.find_all("th"))
    assert all(row.find("th")["scope"] == "row" for row in page.tbody.find_all("tr"))
    assert page.find("main").find("h1")
    assert not page.find_all(["script", "link", "img"])
    stored = json.loads((tmp_path / "board" / "board.json").read_text(encoding="utf-8"))
    assert len(stored["entries"]) == 4
    assert not [one.name for one in (tmp_path / "board").iterdir() if one.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.full((12, 3), np.nan)}, "must be finite, found nan for clip 'clip0', tag 'rock'"),
        ({"scores": np.zeros((12, 4))}, r"shape \(12 ids, 3 tags\), got shape \(12, 4\)"),
        ({"scores": np.zeros(12)}, "got shape"),
        ({"scores": np.zeros((12, 3), complex)}, "of complex"),
        (
            {"tags": np.array(["rock", "harp", "fast"])},
            "other tags: 1 of 3 are missing .first 'slow'.*first 'fast'",
        ),
        ({"tags": np.array(["rock", "harp", "harp"])}, "'harp' is there twice"),
        ({"ids": IDS[::-1].astype("U3")}, "is there twice"),
        ({"ids": np.arange(12)}, "list of text"),
        ({"ids": np.array([f"song{i}" for i in range(12)])}, "other clips: 12 of 12 are missing"),
        ({"ids": IDS.astype(object)}, "Python objects"),
    ],
)
def test_predictions_that_do_not_fit(labels, tmp_path, change, message):
    arrays = {"ids": IDS, "tags": TAGS, "scores": np.zeros((12, 3))} | change
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(DatasetError, match=message):
        board.submit(tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board", "Ada")
    assert not (tmp_path / "board").exists()


def test_files_that_are_something_else(labels, tmp_path):
    for name, content in (
        ("empty", b""),
        ("text", b"hello"),
        ("pickle", b"\x80\x04]q."),
        ("cut", b"PK\x03\x04" * 9),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=r"not an .npz file"):
            board.read(tmp_path / name, "scores")
    with pytest.raises(FileNotFoundError, match="no such file"):
        board.read(tmp_path / "gone.npz", "scores")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DatasetError, match="has no array 'ids', only a"):
        board.read(tmp_path / "other.npz", "scores")
    np.savez(tmp_path / "none.npz", ids=np.array([], "U1"), tags=TAGS, scores=np.zeros((0, 3)))
    with pytest.raises(DatasetError, match="must be numbers of shape"):
        board.read(tmp_path / "none.npz", "scores")
    np.savez(tmp_path / "bad.npz", ids=IDS, tags=TAGS, labels=labels * 0.5)
    with pytest.raises(DatasetError, match="0 or 1"):
        board.read(tmp_path / "bad.npz", "labels")


def test_archives_that_lie_or_are_locked(labels, tmp_path):
    predict(tmp_path / "p.npz", labels)
    whole = (tmp_path / "p.npz").read_bytes()
    signs = ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8))  # where an entry's flags are, here and in the directory
    for place, value in ((0, 1), (2, 1), (2, 99)):  # locked; packed in a way nobody knows
        data = bytearray(whole)
        for head in range(len(whole)):
            for sign, flags in signs:
                if whole[head : head + 4] == sign:
                    data[head + flags + place] = value
        (tmp_path / "bad.npz").write_bytes(data)
        with pytest.raises(DatasetError, match=r"not an \.npz file"):
            board.read(tmp_path / "bad.npz", "scores")
    for shape in ("(99999999999, 3)", "(-1, 3)", "(1, " * 500 + ")" * 500, "'x'", "(10**9, 10**9)", "lambda"):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
        array = b"\x93NUMPY\x02\0" + len(header).to_bytes(4, "little") + header
        with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
            for name in ("ids", "tags", "scores"):
                archive.writestr(f"{name}.npy", array)
        with pytest.raises(DatasetError):
            board.read(tmp_path / "bad.npz", "scores")
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("\x1b[2J.npy", b"")
    with pytest.raises(DatasetError) as caught:
        board.read(tmp_path / "bad.npz", "scores")
    assert str(caught.value).isprintable()


def test_a_file_that_unpacks_to_much_more_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("scores.npy", b"\0" * (1 << 21))
    with pytest.raises(DatasetError, match="at most"):
        board.read(tmp_path / "bomb.npz", "scores")


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\u202eb", "a\0b"])
def test_names_that_cannot_be_shown(labels, tmp_path, name):
    predict(tmp_path / "p.npz", labels)
    with pytest.raises(ValueError, match="a name has 1 to 40 characters"):
        board.submit(tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board", name)


def test_one_board_one_set_of_labels_and_no_damage(labels, tmp_path):
    predict(tmp_path / "p.npz", labels)
    arguments = (tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board", "Ada")
    board.submit(*arguments)
    order = [2, 1, 0]  # the same labels in another order are the same labels
    np.savez(tmp_path / "labels.npz", ids=IDS, tags=TAGS[order], labels=labels[:, order])
    board.submit(*arguments)
    np.savez(tmp_path / "labels.npz", ids=IDS, tags=TAGS, labels=1 - labels)
    with pytest.raises(DatasetError, match="made with other labels"):
        board.submit(*arguments)
    good = '{"name": "a", "date": "2025-03-01T12:00:00+00:00", "roc_auc": 0.5, "pr_auc": 0.5}'
    changes = [
        ('"a"', "7"), ('"a"', '"\\u202e"'), ("2025-03", "soon"), ("+00:00", ""), ("0.5", "NaN"), ("0.5", "1e999"),
        ("0.5", '"0.5"'), ("0.5", "9" * 400), ("0.5", "9" * 5000), ("0.5", "[" * 10_000), ('"a"', '{"b": []}'),
    ]  # fmt: skip
    entries = [good.replace(old, new, 1) for old, new in changes]
    for text in (
        "{", "[]", "null", '{"entries": []}', '{"labels": [], "entries": []}', '{"labels": "x", "entries": {}}',
        '{"labels": "x", "entries": [{"name": "a"}]}',
        *(f'{{"labels": "x", "entries": [{one}]}}' for one in entries),
    ):  # fmt: skip
        (tmp_path / "board" / "board.json").write_text(text)
        with pytest.raises(DatasetError, match="damaged"):
            board.submit(*arguments)


def test_two_at_once_are_both_entered(labels, tmp_path):
    predict(tmp_path / "p.npz", labels)
    arguments = (tmp_path / "p.npz", tmp_path / "labels.npz", tmp_path / "board")
    threads = [threading.Thread(target=board.submit, args=(*arguments, f"team {i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = json.loads((tmp_path / "board" / "board.json").read_text(encoding="utf-8"))
    assert sorted(one["name"] for one in stored["entries"]) == [f"team {i}" for i in range(8)]


def test_from_composing_to_the_board(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MCLASS_HELD_OUT_SEED", "")
    assert cli.main(["held-out", str(tmp_path / "h"), "--num-tracks", "20"]) == 2
    assert "--held-out-seed" in capsys.readouterr().err
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    assert cli.main(["held-out", str(tmp_path / "h"), "--num-tracks", "20", "--held-out-seed", "123456"]) == 0
    assert os.environ["MCLASS_HELD_OUT_SEED"] == ""  # whoever called the command in Python keeps no seed
    monkeypatch.setenv("MCLASS_HELD_OUT_SEED", "123456")
    capsys.readouterr()
    with np.load(tmp_path / "h" / "clips.npz", allow_pickle=False) as clips:
        assert "labels" not in clips
        assert clips["waveforms"].shape == (20, 96_000)
        assert not re.search(r"\d{5}", " ".join(clips["ids"]))  # nothing that leads back to the seed
        # What is handed out is not what the tests of the same seed ask.
        graded, again = held_out.etude(20, 6.0), held_out.etude(20, 6.0, name="leaderboard")
        composed = [again.waveform(i).numpy() for i in range(20)]
        np.testing.assert_allclose(clips["waveforms"] / 32767, composed, atol=1e-4)
        assert not np.allclose(composed, [graded.waveform(i).numpy() for i in range(20)], atol=0.1)
        predict(tmp_path / "p.npz", np.random.default_rng(0).random((20, 50)), clips["ids"], clips["tags"])
    arguments = [
        "submit",
        tmp_path / "p.npz",
        "--labels",
        tmp_path / "h" / "labels.npz",
        "--board",
        tmp_path / "b",
    ]
    assert cli.main([*map(str, arguments), "--name", "Ada"]) == 0
    assert re.match(r"Ada: ROC-AUC 0\.\d{4}, PR-AUC 0\.\d{4}", capsys.readouterr().out)
    assert cli.main([*map(str, arguments), "--name", ""]) == 2
