"""Audio as it lies on other people's disks, compared with libsndfile and ffmpeg on their own."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import audio_cases
import pytest


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What came of each file. They are read in a process of their own, which a file may end or stop."""
    command = [sys.executable, Path(audio_cases.__file__), tmp_path_factory.mktemp("cases")]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0, f"the process ended at {found[-1:]}: {result.stderr[-1500:]}"
    return [row for row in found if "format" in row]


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
