"""Audio as it lies on other people's disks, compared with libsndfile and ffmpeg on their own."""

import collections
import contextlib
import json
import re
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import audio_cases
import numpy as np
import pytest
import soundfile

from mclass import audio
from mclass.audio import _containers
from mclass.errors import AudioError


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


def test_a_part_equals_the_same_part_of_the_whole(rows):
    assert not [name(row) for row in rows if not row["part"]]


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


# --- relatives of mp3 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mp3(tmp_path_factory):
    """Frames of a variable and of a constant bit rate, one by one, 3 s."""
    folder, found = tmp_path_factory.mktemp("mp3"), {}
    for suffix in ("mp3", "vbr.mp3"):
        options, _, _ = audio_cases.FORMATS[suffix]
        soundfile.write(folder / "a.mp3", audio_cases.sound(3, 44_100, 2, 1), 44_100, **options)
        data, frames = (folder / "a.mp3").read_bytes(), []
        data = data[data.index(data[:2], 4) :]
        while data:
            length = 144_000 * KBITS[data[2] >> 4] // 44_100 + (data[2] >> 1 & 1)
            frames.append(data[:length])
            data = data[length:]
        found[suffix] = frames
    return found


KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def vbri(frames, count):
    """Fraunhofer's tag, in a frame of its own."""
    tag = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 75, sum(map(len, frames)), count, 1, 1, 2, 1)
    return (frames[0][:4] + bytes(32) + tag).ljust(len(frames[0]), b"\0")


def free(frames):
    """Free format: the header does not say the bit rate, all frames are of one length."""
    length = min(map(len, frames))
    return b"".join(bytes([one[0], one[1], one[2] & 0x0D, one[3]]) + one[4:length] for one in frames)


def in_wav(data):
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44_100, 16_000, 1, 0, 12, 1, 2, 417, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


RELATIVES = {
    **{
        f"VBRI, {n:+d}": lambda cbr, vbr, n=n: vbri(vbr, len(vbr) + n) + b"".join(vbr) for n in (-60, -1, 0, 1, 99)
    },
    "VBRI of 0": lambda cbr, vbr: audio_cases.ID3V2 + vbri(vbr, 0) + b"".join(vbr),
    "free format": lambda cbr, vbr: free(cbr),
    "many zeros in front": lambda cbr, vbr: bytes(10**6) + b"".join(vbr),
    "a tag longer than it says": lambda cbr, vbr: b"ID3\3\0\0\0\0\0\x10" + bytes(3000) + b"".join(cbr),
    "both ends cut": lambda cbr, vbr: b"".join(vbr)[5000:-3000],
    "another rate of bits": lambda cbr, vbr: b"".join(cbr + vbr + cbr),
    "ID3v1, APE and zeros between": lambda cbr, vbr: (
        b"".join(cbr) + audio_cases.ID3V1 + audio_cases.APE + bytes(999) + b"".join(vbr)
    ),
    "in a wav": lambda cbr, vbr: in_wav(b"".join(cbr)),
}


@pytest.mark.parametrize("kind", RELATIVES)
def test_relatives_of_mp3(tmp_path, mp3, kind):
    path = tmp_path / ("a.wav" if kind == "in a wav" else "a.mp3")
    path.write_bytes(RELATIVES[kind](mp3["mp3"], mp3["vbr.mp3"]))
    row = audio_cases.compare("mp3", kind, path)
    truth = 3.0 * (3 if "another" in kind else 2 if "between" in kind else 1)
    if kind != "both ends cut":
        assert truth <= row["ours"] < truth + 0.15, name(row)
    assert row["ours"] > max(row["libsndfile"], row["ffmpeg"]) - 0.03, name(row)
    assert row["part"]
    assert bool(row["warning"]) == (kind == "VBRI, +99")
    assert row.get("we agree", 1) > 0.99 or row.get("they agree", 0) < 0.99


def test_gsm_in_which_libsndfile_cannot_seek(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, audio_cases.sound(1, 8000, 1, 0), 8000, subtype="GSM610")
    row = audio_cases.compare("wav", "GSM", path)
    assert row["ours"] == row["libsndfile"] >= 1
    assert row["part"]
    assert not row["warning"]


def test_a_part_of_an_ogg_costs_the_checksums_of_its_own_pages_and_notices_damage_in_them(tmp_path, monkeypatch):
    rate = 16_000
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 60 * rate)
    soundfile.write(tmp_path / "whole.ogg", samples, rate)
    data = bytearray((tmp_path / "whole.ogg").read_bytes())
    data[len(data) // 2] ^= 255  # about 30 s
    (tmp_path / "damaged.ogg").write_bytes(data)
    checked = []
    real = _containers._checksum
    monkeypatch.setattr(_containers, "_checksum", lambda page: checked.append(len(page)) or real(page))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for second in (2, 50):
            part = audio.read(tmp_path / "damaged.ogg", rate, second * rate, 3 * rate)
            expected, _ = soundfile.read(tmp_path / "whole.ogg", 3 * rate, second * rate)
            np.testing.assert_allclose(part.numpy(), expected, atol=1e-5)
    assert 0 < sum(checked) < 0.4 * len(data)
    with pytest.warns(UserWarning, match="truncated or damaged"):
        audio.read(tmp_path / "damaged.ogg", rate, 28 * rate, 4 * rate)


def test_the_length_of_an_ogg_costs_the_checksums_of_its_ends_and_what_reads_it_notices_damage(
    tmp_path, monkeypatch
):
    rate = 16_000
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 60 * rate)
    soundfile.write(tmp_path / "whole.ogg", samples, rate)
    whole = (tmp_path / "whole.ogg").read_bytes()

    def damaged(name, position):
        data = bytearray(whole)
        data[position] ^= 255
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    real, checked = _containers._checksum, []
    monkeypatch.setattr(_containers, "_checksum", lambda page: checked.append(len(page)) or real(page))
    for name in ("read.ogg", "problem.ogg", "blocks.ogg"):
        checked.clear()
        assert audio.info(damaged(name, len(whole) // 2)).num_samples == 60 * rate
        assert 0 < sum(checked) < 0.2 * len(whole)
    with pytest.warns(UserWarning, match="truncated or damaged"):
        found = len(audio.read(tmp_path / "read.ogg", rate))
    with pytest.warns(UserWarning, match="truncated or damaged"):
        blocks = audio.blocks(tmp_path / "blocks.ogg", rate)
    assert sum(map(len, blocks)) == found < 60 * rate
    assert "truncated or damaged" in audio.problem(tmp_path / "problem.ogg")
    for name in ("read.ogg", "problem.ogg", "blocks.ogg"):
        assert audio.info(tmp_path / name).num_samples == found  # known from then on
    pages = [found.start() for found in re.finditer(b"OggS", whole)]
    first = next(page for page in pages if struct.unpack("<q", whole[page + 6 : page + 14])[0] > 0)
    for page in (first, pages[-1]):  # those are looked at
        assert audio.info(damaged(f"{page}.ogg", page + 100)).num_samples < 60 * rate


def test_a_chunk_that_claims_to_end_nowhere_is_a_damaged_file_and_no_traceback(tmp_path, capfd):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 100_000)
    for at in range(40, 400, 24):  # in and behind the heads of chunks: one becomes longer than any file
        path = tmp_path / f"{at}.w64"
        soundfile.write(path, samples, 16_000, format="W64")
        data = path.read_bytes()
        path.write_bytes(data[:at] + b"\xff" * 600 + data[at:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(AudioError):  # some cannot be read at all
                assert audio.read(path, 16_000).isfinite().all()
    assert "Traceback" not in capfd.readouterr().err
