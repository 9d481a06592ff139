"""Paths as people write them: ``~`` at the start of a name, or of the name of a home folder."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mclass import audio, cli, models
from mclass._utils.files import user_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a home folder elsewhere."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("given", ["~", "~/music", "~/~"])
def test_the_home_folder(here, given):
    assert str(user_path(given)) == os.path.expanduser(given)


@pytest.mark.parametrize(
    "given", ["~nobody-of-that-name", "~no-such-user/x", "~~", "~ x", "a/~", "./~", "", "~\0"]
)
def test_what_is_no_home_folder_stays(here, given):
    assert user_path(given) == Path(given)


@pytest.mark.parametrize("name", ["~", "~song", "~root", "~~.wav"])
def test_what_is_there_by_that_very_name_wins(here, name):
    (here / name).write_text("")
    assert user_path(name) == Path(name)


def test_a_file_whose_name_begins_with_a_tilde(here, capsys):
    tone = (0.1 * (-1.0) ** (np.arange(60_000) // 20)).astype("float32")
    for name in ("~after hours~.flac", "~root.wav", "zz.flac"):
        soundfile.write(here / name, tone, 16_000)
    model = models.create("cnn_1d", num_tags=2)
    models.save(model, here / "~model.pt", tags=["a", "b"])
    assert audio.read("~root.wav", 16_000).shape == (60_000,)
    arguments = ["--model", "~model.pt", "--top", "1"]
    assert cli.main(["tag", "~root.wav", ".", *arguments, "--html", "~page.html"]) == 0
    captured = capsys.readouterr()
    assert [line for line in captured.out.splitlines() if not line.startswith("  ")] == [
        "~root.wav",
        "./zz.flac",
        "./~after hours~.flac",  # and ~root.wav once
    ]
    assert not captured.err
    assert (here / "~page.html").is_file()
    assert cli.main(["embed", "~after hours~.flac", "zz.flac", "--out", "~/x.npz", "--model", "~model.pt"]) == 0
    assert (Path.home() / "x.npz").is_file()
    assert cli.main(["search", "~after hours~.flac", "--index", "~/x.npz"]) == 0
    assert "zz.flac" in capsys.readouterr().out
