"""Audio as it lies on other people's disks, compared with libsndfile and ffmpeg on their own."""

import collections
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import audio_cases
import pytest

STALLED = 60  # seconds without a word about files of one or two seconds


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What came of each file. They are read in a process of their own, which a file may end or stop."""
    command = [sys.executable, Path(audio_cases.__file__), tmp_path_factory.mktemp("cases")]
    lines, found, now = queue.Queue(), [], "the imports"

    def listen(stream):
        for line in stream:
            lines.put(json.loads(line))
        lines.put(None)

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        threading.Thread(target=listen, args=(process.stdout,), daemon=True).start()
        try:
            while (row := lines.get(timeout=STALLED)) is not None:
                now = row.get("begins", now)
                if "format" in row:
                    found.append(row)
        except queue.Empty:
            process.kill()
            pytest.fail(f"nothing happened for {STALLED} s at {now}")
    assert process.returncode == 0, f"the process ended at {now}"
    return found


def name(row):
    lengths = ", ".join(f"{who} {row[who]:.3f} s" for who in ("ours", "libsndfile", "ffmpeg"))
    return f"{row['format']}: {row['kind']}: {lengths} {row['warning']}{row['error']}"


def test_there_are_enough_and_the_decoders_can_read_most(rows):
    counts = collections.defaultdict(collections.Counter)
    for row in rows:
        counts[row["format"]] += collections.Counter(
            files=1,
            ours=row["ours"] > 0,
            libsndfile=row["libsndfile"] > 0,
            ffmpeg=row["ffmpeg"] > 0,
            both=row["libsndfile"] > 0 and row["ffmpeg"] > 0,
            warned=bool(row["warning"]),
            refused=bool(row["error"]),
        )
    columns = ("files", "ours", "libsndfile", "ffmpeg", "both", "warned", "refused")
    print("\n" + " ".join(f"{title:>10s}" for title in ("format", *columns)))
    for suffix, count in counts.items():
        print(f"{suffix:>10s} " + " ".join(f"{count[column]:10d}" for column in columns))
    assert len(rows) >= 500
    assert len(counts) == 8
    assert all(count["both"] > count["files"] // 4 for count in counts.values())


def test_never_shorter_than_the_longer_of_the_two_without_a_warning(rows):
    def shorter(row):
        slack = audio_cases.SLACK.get(row["format"].rpartition(".")[2], 0) + 1e-6
        return row["ours"] < max(row["libsndfile"], row["ffmpeg"]) - slack

    assert not [name(row) for row in rows if shorter(row) and not row["warning"] and not row["error"]]


def test_never_refused_where_both_read(rows):
    assert not [name(row) for row in rows if row["error"] and row["libsndfile"] and row["ffmpeg"]]


def test_refused_by_name_and_never_nan(rows):
    assert all(row["finite"] for row in rows)
    assert not [name(row) for row in rows if row["error"] and "cases" not in row["error"]]
    assert not [name(row) for row in rows if not row["error"] and not row["ours"]]


def test_where_the_two_agree_in_their_samples_so_do_we(rows):
    agreed = [row for row in rows if row.get("they agree", 0) > 0.999]
    assert len(agreed) > 200
    assert not [name(row) for row in agreed if row["we agree"] < 0.999]


def test_whole_files_are_as_long_as_they_were_written_and_nothing_is_said(rows):
    whole = [row for row in rows if row["kind"].startswith("whole")]
    assert len(whole) == 16
    for row in whole:
        assert row["ours"] == pytest.approx(audio_cases.FORMATS[row["format"]][2], abs=1e-9), name(row)
        assert not row["warning"]
