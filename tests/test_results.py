"""The measured tables are found in a clone and in an installed package, and a wrong name is explained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mclass import results

ROOT = Path(__file__).resolve().parents[1]
STORED = {path.stem for path in (ROOT / "experiments" / "results").glob("*.csv")}


def test_every_stored_table_can_be_read():
    assert set(results.names()) == STORED
    for name in results.names():
        assert len(results.table(name)) > 0, name


def test_a_wrong_name_is_explained():
    with pytest.raises(ValueError, match="did you mean 'representations'"):
        results.table("representation")
    with pytest.raises(ValueError, match="unknown table"):
        results.table("../results/representations")


def test_an_incomplete_installation_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDERS", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(FileNotFoundError, match="Install the package again"):
        results.table("representations")


def test_what_is_installed_without_the_repository_has_the_tables(tmp_path):
    pytest.importorskip("setuptools")
    built = tmp_path / "site"
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    code = "from mclass import results; print(results.names(), results._folder())"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=built, check=True, capture_output=True, text=True
    ).stdout
    assert str(built) in told
    assert all(f"'{name}'" in told for name in STORED)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_read_nothing_by_a_path_that_depends_on_where_they_run(path):
    code = "\n".join(
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    )
    assert not re.search(r"""["'](\.\./|\./|experiments/|book/|notebooks/)""", code)
    for name in re.findall(r"""\bmeasured\(\s*["'](\w+)["']""", code):
        assert name in STORED
