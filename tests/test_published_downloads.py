"""Downloads from a server on this machine; archives that are not what they should be."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile

import pytest

from mclass import datasets
from mclass.datasets.published.getting import archives, downloads
from mclass.datasets.published.getting.downloads import Remote
from mclass.errors import DownloadError


@pytest.fixture
def server(tmp_path):
    """(folder that is served, its address, paths asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def digest(path, kind):
    return f"{kind}:{hashlib.new(kind, path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("kind", ["sha1", "md5", "sha256", None])
def test_download_checks_unpacks_and_is_done_once(server, tmp_path, monkeypatch, capsys, kind):
    folder, url, asked = server
    archive = zipped(folder / "fma_small.zip", {"fma_small/000/000002.mp3": b"x" * 50, "fma_small/README": b"y"})
    remote = Remote(f"{url}/fma_small.zip", kind and digest(archive, kind), "")
    monkeypatch.setitem(downloads.REMOTES, "fma", {"small": (remote,)})
    root = datasets.download("fma", tmp_path / "root", parts=["small"], accept_licence=True, progress=False)
    assert (root / "fma_small" / "000" / "000002.mp3").read_bytes() == b"x" * 50
    assert "metadata: CC BY 4.0" in capsys.readouterr().out
    assert sorted(path.name for path in root.iterdir()) == [
        ".fma_small.zip.unpacked",
        "fma_small",
    ]
    asked.clear()
    datasets.download("fma", root, parts="small", accept_licence=True, progress=False)
    assert asked == []


def test_an_archive_in_pieces(server, tmp_path, monkeypatch):
    folder, url, _ = server
    content = zipped(folder / "mp3.zip", {f"{one}/a-b-01-t-0-29.mp3": one * 999 for one in "0f"}).read_bytes()
    for number, start in enumerate((0, 100, 200), start=1):
        end = None if number == 3 else start + 100
        (folder / f"mp3.zip.{number:03d}").write_bytes(content[start:end])
    remotes = tuple(Remote(f"{url}/mp3.zip.{n:03d}", None, "mp3", "mp3.zip") for n in (1, 2, 3))
    monkeypatch.setitem(downloads.REMOTES, "magnatagatune", {"audio": remotes})
    root = datasets.download("magnatagatune", tmp_path / "root", accept_licence=True, progress=False)
    assert (root / "mp3" / "f" / "a-b-01-t-0-29.mp3").read_text() == "f" * 999
    assert not [*root.glob("mp3.zip*")]


def test_jamendo_by_the_checksums_of_its_repository(server, tmp_path, monkeypatch):
    folder, url, _ = server
    root = tmp_path / "root"
    lists = root / "data" / "download" / "raw_30s_audio-low_sha256_tars.txt"
    with tarfile.open(folder / "raw_30s_audio-low-00.tar", "w") as file:
        member = tarfile.TarInfo("00/100.low.mp3")
        member.size = 3
        file.addfile(member, io.BytesIO(b"abc"))
    monkeypatch.setattr(downloads, "_JAMENDO", f"{url}/")
    with pytest.raises(DownloadError, match=r"must be a copy of the data set's repository.*git clone"):
        datasets.download("mtg_jamendo", root, accept_licence=True)
    lists.parent.mkdir(parents=True)
    checksum = digest(folder / "raw_30s_audio-low-00.tar", "sha256").removeprefix("sha256:")
    lists.write_text(f"{checksum} raw_30s_audio-low-00.tar\n")
    datasets.download("mtg_jamendo", root, accept_licence=True, progress=False)
    assert (root / "audio-low" / "00" / "100.low.mp3").read_bytes() == b"abc"


def test_the_licence_comes_first(server, tmp_path, capsys):
    with pytest.raises(DownloadError, match=r"its licence is: .*CC BY 4\.0.* accept_licence=True"):
        datasets.download("openmic", tmp_path / "root")
    assert not (tmp_path / "root").exists()
    assert "CC BY 4.0" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gtzan", "million_song", "mirdata", "etude"])
def test_where_it_cannot_be_done_it_says_how(tmp_path, name):
    with pytest.raises(DownloadError) as caught:
        datasets.download(name, tmp_path, accept_licence=True)
    assert datasets.info(name).get in str(caught.value)


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"unknown data set 'gtzen'.*did you mean 'gtzan'"):
        datasets.download("gtzen", tmp_path)
    with pytest.raises(ValueError, match=r"unknown part 'smal'.*did you mean 'small'"):
        datasets.download("fma", tmp_path, parts=["smal"], accept_licence=True)


@pytest.mark.parametrize("kind", ["sha1", "md5", "sha256"])
def test_a_wrong_checksum(server, tmp_path, monkeypatch, kind):
    folder, url, _ = server
    archive = zipped(folder / "a.zip", {"x": b"x"})
    remote = Remote(f"{url}/a.zip", digest(archive, kind), "")
    archive.write_bytes(archive.read_bytes() + b"!")
    monkeypatch.setitem(downloads.REMOTES, "openmic", {"all": (remote,)})
    with pytest.raises(DownloadError, match=rf"has the {kind.upper().replace('SHA2', 'SHA-2')} .* Another way: "):
        datasets.download("openmic", tmp_path / "root", accept_licence=True, progress=False)
    assert (tmp_path / "root" / "a.zip.rejected").exists()
    assert not (tmp_path / "root" / "x").exists()


def test_a_dead_host(tmp_path, monkeypatch):
    monkeypatch.setitem(downloads.REMOTES, "openmic", {"all": (Remote("http://127.0.0.1:9/a.zip", None, ""),)})
    with pytest.raises(
        DownloadError, match=r"no connection to the server.*By hand: save it as.*Another way: .*zenodo"
    ):
        datasets.download("openmic", tmp_path, accept_licence=True, progress=False)


def test_a_file_that_is_gone(server, tmp_path, monkeypatch):
    monkeypatch.setitem(downloads.REMOTES, "openmic", {"all": (Remote(f"{server[1]}/gone.zip", None, ""),)})
    with pytest.raises(DownloadError, match="the server says 404"):
        datasets.download("openmic", tmp_path, accept_licence=True, progress=False)


# --- archives -------------------------------------------------------------------------------------------------


def tarred(path, *members):
    with tarfile.open(path, "w:gz") as file:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            file.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return path


REG = tarfile.REGTYPE


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../evil", b"x", REG)], "leads out of the folder"),
        ([("a/../../evil", b"x", REG)], "leads out of the folder"),
        ([("/evil", b"x", REG)], "leads out of the folder"),
        ([("C:/evil", b"x", REG)], "leads out of the folder"),
        ([("..\\evil", b"x", REG)], "leads out of the folder"),
        ([("link", "/etc", tarfile.SYMTYPE), ("link/evil", b"x", REG)], "'link' is a link"),
        ([("good", b"x", REG), ("hard", "good", tarfile.LNKTYPE)], "'hard' is a link"),
        ([("pipe", "", tarfile.FIFOTYPE)], "'pipe' is a device"),
        ([(str(i), b"x", REG) for i in range(6)], "more than 5 files"),
    ],
)
def test_hostile_archives(tmp_path, members, message):
    archive = tarred(tmp_path / "a.tar.gz", ("fine.txt", b"x", REG), *members)
    with pytest.raises(DownloadError, match=message):
        archives.unpack(archive, tmp_path / "out", max_files=5)
    assert [*(tmp_path / "out").iterdir()] == []  # not even what was fine
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_hostile_zip_names(tmp_path, name):
    with pytest.raises(DownloadError, match="leads out of the folder"):
        archives.unpack(zipped(tmp_path / "a.zip", {"fine": "x", name: "x"}), tmp_path / "out")
    assert not [*tmp_path.rglob("evil")]


def test_a_link_in_a_zip(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DownloadError, match="'link' is a link"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "_SMALL", 1 << 20)
    zeros = b"\0" * (4 << 20)  # 4 MB in 4 kB
    if kind == "zip":
        archive = zipped(tmp_path / "a.zip", {"zeros": zeros})
    else:
        archive = tarred(tmp_path / "a.tar.gz", ("zeros", zeros, REG))
    with pytest.raises(DownloadError, match="refused: grows from"):
        archives.unpack(archive, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_bomb_that_lies_about_its_size(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", {"zeros": b"\0" * (4 << 20)})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = (1000).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=r"larger than it says|damaged"):
        archives.unpack(archive, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_no_archive(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="is damaged or no archive"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_cut_archive(tmp_path):
    import random

    noise = random.Random(0).randbytes(50_000)
    archive = tarred(tmp_path / "a.tar.gz", ("a", noise, REG), ("b", noise, REG))
    archive.write_bytes(archive.read_bytes()[:60_000])
    with pytest.raises(DownloadError, match="is damaged or no archive"):
        archives.unpack(archive, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


def test_unpacking_again_replaces_files_and_keeps_others(tmp_path):
    archives.unpack(zipped(tmp_path / "a.zip", {"d/old": "1", "d/same": "1"}), tmp_path / "out")
    archives.unpack(zipped(tmp_path / "b.zip", {"d/new": "2", "d/same": "2"}), tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out" / "d").iterdir()} == {
        "old": "1",
        "same": "2",
        "new": "2",
    }
    with pytest.raises(DownloadError, match="is in the way"):
        archives.unpack(zipped(tmp_path / "c.zip", {"d": "a file"}), tmp_path / "out")
