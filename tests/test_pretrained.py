"""Published weights: found, downloaded, checked, refused. The server is a local one."""

import hashlib
import http.server
import threading

import pytest
import torch

from mclass import pretrained, tags
from mclass._utils.download import download
from mclass.errors import DownloadError, ModelError
from mclass.models.fast import accelerated
from mclass.models.pretrained import catalogue
from tests import published

needs_shared = pytest.mark.skipif(not published.PARITY.is_dir(), reason="../shared/parity is absent")


@pytest.fixture(autouse=True)
def no_local_files(monkeypatch, tmp_path):
    monkeypatch.delenv("MCLASS_CHECKPOINTS", raising=False)
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))


def original_fcn(num_tags=50) -> dict:
    """Weights of a small-numbered FCN under its original names."""
    generator = torch.Generator().manual_seed(0)
    weights, channels = {"spec.mel_scale.fb": torch.zeros(257, 96)}, (1, 64, 128, 128, 128, 64)
    for i in range(1, 6):
        weights[f"layer{i}.conv.weight"] = 0.05 * torch.randn(
            channels[i], channels[i - 1], 3, 3, generator=generator
        )
        weights[f"layer{i}.conv.bias"] = torch.zeros(channels[i])
    for name, size in {"spec_bn": 1, **{f"layer{i}.bn": channels[i] for i in range(1, 6)}}.items():
        weights |= {f"{name}.{part}": torch.zeros(size) for part in ("bias", "running_mean")}
        weights |= {f"{name}.{part}": torch.ones(size) for part in ("weight", "running_var")}
    return weights | {
        "dense.weight": torch.randn(num_tags, 64, generator=generator),
        "dense.bias": torch.zeros(num_tags),
    }


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under every path; `requests` are the Range headers it saw."""

    content, ranges, cut = b"", True, None

    def __init__(self):
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/best_model.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        start = int(asked.split("=")[1].rstrip("-")) if asked and server.ranges else 0
        if self.path == "/absent":
            self.send_error(404)
            return
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.cut] if server.cut is not None else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def one_model(server, monkeypatch, tmp_path):
    """`mtat/fcn` comes from the local server, with the right checksum."""
    torch.save(original_fcn(), tmp_path / "fcn.pth")
    server.content = (tmp_path / "fcn.pth").read_bytes()

    def publish(sha256):
        monkeypatch.setattr(catalogue.Checkpoint, "url", server.url)
        entry = catalogue.Checkpoint(
            "mtat/fcn", "fcn", "models/mtat/fcn/best_model.pth", sha256, tags.MAGNATAGATUNE
        )
        monkeypatch.setitem(catalogue.CATALOGUE, "mtat/fcn", entry)
        return tmp_path / "home" / "checkpoints" / "mtat" / "fcn.pth"

    return publish


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_catalogue():
    others = ("pons/", "etude/")  # see test_pons and test_shipped
    names = [name for name in pretrained.list() if not name.startswith(others)]
    assert len(names) == 3 * 9 - 1 == len(set(names))
    assert sum(pretrained.info(name).sha256 is not None for name in names) == 8
    for name in names:
        entry = pretrained.info(name)
        assert len(entry.tags) == len(set(entry.tags)) == 50
        assert 0.2 < entry.pr_auc < 0.5 < 0.79 < entry.roc_auc < 0.92
        assert entry.url.startswith(
            f"https://github.com/minzwon/sota-music-tagging-models/raw/{catalogue.COMMIT}/models/"
        )
    assert pretrained.info("msd/musicnn").architecture == "musicnn_msd"
    with pytest.raises(ModelError, match="did you mean 'mtat/musicnn'"):
        pretrained.load("mtat/musicn")
    with pytest.raises(ModelError, match=r"with path=, also: .*fcn"):
        pretrained.load("resnet", path="x.pth")


@pytest.fixture
def defaults(server, one_model, monkeypatch):
    """`mtat/fcn` from the local server after weights of a package index that has none."""
    path = one_model(digest(server.content))
    monkeypatch.setattr(pretrained, "DEFAULTS", ("pons/mtt_musicnn", "mtat/fcn"))
    monkeypatch.setattr(pretrained.pons.importlib.util, "find_spec", lambda name: None)

    def unreachable(progress):
        server.requests.append("pip")
        raise DownloadError("pip cannot fetch musicnn")

    monkeypatch.setattr(pretrained.pons, "fetch", unreachable)
    return path


def test_the_default_is_what_can_be_fetched_first(server, defaults):
    assert pretrained.default() == "mtat/fcn"
    assert server.requests == ["pip", None]  # the package index was asked first
    assert defaults.exists()
    assert pretrained.default() == "mtat/fcn"
    assert server.requests == ["pip", None]  # what is here needs no network


def test_the_default_is_the_first_that_is_here(server, defaults, monkeypatch, tmp_path):
    pretrained.default()
    wheel = tmp_path / "home" / "checkpoints" / "pons" / pretrained.pons.WHEEL
    wheel.parent.mkdir()
    wheel.touch()
    assert pretrained.default() == "pons/mtt_musicnn"


def test_without_a_network_there_is_one_message(server, defaults):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError) as caught:
        pretrained.default()
    message = str(caught.value)
    assert message.startswith("no published weights can be had")
    assert "pons/mtt_musicnn: pip cannot fetch musicnn | mtat/fcn: cannot download http" in message


def test_download_once(server, one_model):
    path = one_model(digest(server.content))
    model = pretrained.load("mtat/fcn")
    assert model.tags == list(tags.MAGNATAGATUNE)
    assert (model.sample_rate, model.num_samples, model.training) == (16000, 464000, False)
    assert path.read_bytes() == server.content
    assert torch.equal(model.head[1].weight, original_fcn()["dense.weight"])
    pretrained.load("mtat/fcn")
    assert server.requests == [None]  # the second time nothing is asked for
    assert not list(path.parent.glob("*.part"))


def test_download_goes_on_where_it_stopped(server, one_model):
    path = one_model(digest(server.content))
    server.cut = 200_000
    with pytest.raises(DownloadError, match="connection broke"):
        pretrained.load("mtat/fcn")
    part = path.with_name("fcn.pth.part")
    assert not path.exists()
    got = part.stat().st_size
    assert 100_000 < got <= 200_000
    assert part.read_bytes() == server.content[:got]
    server.cut = None
    pretrained.load("mtat/fcn")
    assert server.requests == [None, f"bytes={got}-"]
    assert path.read_bytes() == server.content
    assert not part.exists()


@pytest.mark.parametrize(("part", "ranges"), [(b"old", False), ("all", True), ("more", True)])
def test_download_after_odd_leftovers(server, tmp_path, part, ranges):
    """A server that cannot resume; a finished part; a part that is longer than the file is now."""
    server.content, server.ranges = b"0123456789" * 10, ranges
    path = tmp_path / "file"
    content = {"all": server.content, "more": server.content + b"x"}.get(part, part)
    path.with_name("file.part").write_bytes(content)
    download(server.url, path, digest(server.content))
    assert path.read_bytes() == server.content


def test_wrong_checksum_is_kept_aside(server, one_model):
    path = one_model("0" * 64)
    with pytest.raises(DownloadError, match=r"expected 0{64}.*kept as .*fcn\.pth\.rejected"):
        pretrained.load("mtat/fcn")
    assert not path.exists()
    assert path.with_name("fcn.pth.rejected").read_bytes() == server.content
    with pytest.raises(DownloadError):  # starts afresh
        pretrained.load("mtat/fcn")
    assert server.requests == [None, None]


def test_unknown_checksum_is_trusted_once(server, one_model):
    path = one_model(None)
    with pytest.warns(UserWarning, match="no checksum is known for mtat/fcn"):
        pretrained.load("mtat/fcn")
    pretrained.load("mtat/fcn")  # no warning: it is known now
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DownloadError, match="not the file that belongs there"):
        pretrained.load("mtat/fcn")


def test_no_network(server, one_model):
    path = one_model(digest(server.content))
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"no connection.*By hand: save it as .*fcn\.pth") as caught:
        pretrained.load("mtat/fcn")
    assert server.url in str(caught.value)
    assert str(path) in str(caught.value)


def test_absent_on_the_server(server, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        download(server.url.replace("best_model.pth", "absent"), tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("layout", ["mtat/fcn/best_model.pth", "mtat_fcn.pth", "mtat/fcn.pth", None])
def test_local_files(one_model, server, monkeypatch, tmp_path, layout):
    one_model(digest(server.content))
    path = tmp_path / "checkpoints" / (layout or "any_name")
    path.parent.mkdir(parents=True)
    path.write_bytes(server.content)
    monkeypatch.setenv("MCLASS_CHECKPOINTS", str(tmp_path / "checkpoints" if layout else path))
    assert pretrained.load("mtat/fcn").tags[0] == "guitar"
    assert accelerated(pretrained.load("mtat/fcn"))
    assert not accelerated(pretrained.load("mtat/fcn", fast=False))
    assert server.requests == []
    path.write_bytes(server.content + b" ")
    with pytest.raises(ModelError, match="not the published mtat/fcn"):
        pretrained.load("mtat/fcn")
    assert pretrained.load("mtat/fcn", path=path).num_tags == 50  # on the reader's own word


def test_local_folder_without_the_file(one_model, server, monkeypatch, tmp_path):
    one_model(digest(server.content))
    monkeypatch.setenv("MCLASS_CHECKPOINTS", str(tmp_path))
    pretrained.load("mtat/fcn")
    assert server.requests == [None]  # downloaded
    monkeypatch.setenv("MCLASS_CHECKPOINTS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="neither a folder nor a file"):
        pretrained.load("mtat/fcn")


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in the file ran')",))


@pytest.mark.parametrize("old_format", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Evil(), "run code"),
        ({"layer1.conv.weight": torch.zeros(64, 1, 3, 3)}, "parts are missing"),
        ({"features.0.weight": torch.zeros(1)}, "the original has no 'features.0.weight'"),
        (
            original_fcn() | {"layer1.conv.weight": torch.zeros(64, 1, 5, 5)},
            r"shape \(64, 1, 5, 5\), expected \(64, 1, 3, 3\)",
        ),
        (original_fcn(10), "10 outputs; fcn was published with 50"),
        ({"epoch": 3}, "does not hold the weights"),
        ([torch.zeros(1)], "does not hold the weights"),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, message, old_format):
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(ModelError, match=message):
        pretrained.load("mtat/fcn", path=path)


@pytest.mark.parametrize("old_format", [True, False])
def test_damaged_files_are_refused(tmp_path, old_format):
    path = tmp_path / "x.pth"
    torch.save(original_fcn(), path, _use_new_zipfile_serialization=not old_format)
    whole = path.read_bytes()
    for content in (whole[:40], whole[:2000], whole[: len(whole) // 2], whole[:-20], b"", b"<html>404</html>"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"damaged|empty"):
            pretrained.load("mtat/fcn", path=path)
    with pytest.raises(FileNotFoundError):
        pretrained.load("mtat/fcn", path=tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="is a folder"):
        pretrained.load("mtat/fcn", path=tmp_path)


@pytest.mark.parametrize("wrap", [lambda w: {"state_dict": {f"network.{k}": v for k, v in w.items()}, "epoch": 1},
                                  lambda w: {f"module.{k}": v for k, v in w.items()},
                                  lambda w: {"model": w}])  # fmt: skip
def test_files_of_training_code(tmp_path, wrap):
    torch.save(wrap(original_fcn()), tmp_path / "x.pth")
    model = pretrained.load("fcn", path=tmp_path / "x.pth")
    assert torch.equal(model.head[1].weight, original_fcn()["dense.weight"])


def test_an_encoder_without_an_output_layer():
    weights = {key: value for key, value in original_fcn().items() if not key.startswith("dense")}
    with pytest.warns(UserWarning, match="its head is not trained"):
        model = pretrained.from_original("fcn", weights)
    assert model.num_tags == 50
    del weights["layer3.conv.bias"]
    with pytest.raises(ModelError, match=r"parts are missing, such as 'blocks\.2\.conv\.bias'"):
        pretrained.from_original("fcn", weights)


def test_fewer_outputs():
    assert pretrained.from_original("fcn", original_fcn(7)).num_tags == 7
