"""The repository agrees with itself: notebooks, contents, address, lock, README; and its checks can fail."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml

from mclass import listen

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEXT = {".py", ".md", ".ipynb", ".yml", ".toml", ".txt", ".cff", ".bib", ".svg", ".css", ".cfg", ""}


def script(name: str):
    """Import book/<name>.py, which is no package."""
    spec = importlib.util.spec_from_file_location(f"book_{name}", ROOT / "book" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


address, build, chapters, clean, extension, figures = map(
    script, ("address", "build", "chapters", "clean", "extension", "figures")
)


def tracked() -> list[Path]:
    """Files in git; all files where there is no git (an unpacked archive)."""
    try:
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in names.decode().split("\0") if name]
    return [path for path in files if path.is_file() and path.suffix in TEXT]


def toc_files(node) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in toc_files(item)]
    if isinstance(node, dict):
        own = [node[key] for key in ("file", "root") if key in node]
        return own + [name for value in node.values() for name in toc_files(value)]
    return []


# Pages to look something up in; all others teach.
REFERENCE = {
    *("intro", "how_to_use", "homework", "instructors", "glossary"),
    *("code", "contributing", "style", "references"),
}
TAUGHT = [
    name
    for name in toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    if Path(name).name not in REFERENCE
]


# Notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_starts_with_the_setup_cell(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert "".join(first["source"]) == address.setup_cell(), "run `python book/address.py`"
    assert {"setup", "remove-cell"} <= set(first["metadata"]["tags"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_clean(path):
    text = path.read_text(encoding="utf-8")
    assert clean.cleaned(text) == text, "run `python book/clean.py`"
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", source
            assert set(output.get("data", {"text/plain": ""})) == {"text/plain"}, source
        if cell["cell_type"] == "code" and clean.COMPARED in source:
            assert cell["outputs"], f"nbval has nothing to compare with; run the cell and save:\n{source}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_s_text_shows_outside_the_book(path):
    """Colab and JupyterLab print MyST's fences as they stand, the answers of a quiz included."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            assert not re.search(r"^(:::|```\{)|\[\]\(", text, re.MULTILINE), text
            assert text.count("<details>") == text.count("</details>")


def prose_and_sections(path: Path) -> tuple[str, list[int]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return prose, [int(number) for number in re.findall(r"^## (\d+)\. ", prose, re.MULTILINE)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_s_sections_are_numbered_and_those_referred_to_exist(path):
    prose, numbers = prose_and_sections(path)
    assert numbers == list(range(1, len(numbers) + 1))
    elsewhere = re.compile(r"\]\((\w+\.ipynb)\), section (\d+)")
    for other, number in elsewhere.findall(prose):
        assert int(number) in prose_and_sections(path.parent / other)[1], (other, number)
    own = re.findall(r"[Ss]ections? (\d+)(?!\.?\d)", elsewhere.sub("", prose))
    assert {int(number) for number in own} <= set(numbers)


def test_cleaning_keeps_what_is_compared_and_nothing_else():
    figure = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    number = {
        "output_type": "execute_result",
        "data": {"text/plain": ["2"]},
        "execution_count": 9,
        "metadata": {"x": 1},
    }
    cells = [
        {"cell_type": "code", "source": ["plot()"], "outputs": [figure], "metadata": {"tags": ["a"]}},
        {
            "cell_type": "code",
            "source": [f"# {clean.COMPARED}"],
            "outputs": [number],
            "metadata": {"scrolled": True},
        },
        {"cell_type": "markdown", "source": ["text"], "metadata": {}},
    ]
    metadata = {"kernelspec": {"name": ".venv"}, "widgets": {}}
    once = clean.cleaned(json.dumps({"cells": cells, "metadata": metadata}))
    plot, compared, text = json.loads(once)["cells"]
    assert (plot["outputs"], plot["execution_count"], plot["metadata"]) == ([], None, {"tags": ["a"]})
    assert compared["outputs"] == [number | {"execution_count": 1, "metadata": {}}]
    assert compared["execution_count"] == 1
    assert compared["metadata"] == {}
    assert text == cells[2]
    assert json.loads(once)["metadata"]["kernelspec"]["name"] == "python3"
    assert clean.cleaned(once) == once


def test_table_of_contents_lists_every_notebook_and_only_what_exists():
    listed = toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    assert len(listed) == len(set(listed))
    for name in listed:
        assert any((ROOT / f"{name}{suffix}").exists() for suffix in (".md", ".ipynb")), name
    assert {f"notebooks/{path.stem}" for path in NOTEBOOKS} <= set(listed)


def test_setup_cell_is_python_and_does_nothing_here():
    called = []
    exec(compile(address.setup_cell(), "setup", "exec"), {"get_ipython": lambda: called.append(1)})
    assert called == []


# Address


def test_address_is_carried_everywhere():
    assert not [str(path.relative_to(ROOT)) for path in address.updated()], "run `python book/address.py`"
    slug = address.slug(address.repository()[0])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for link in (
        f"git clone https://github.com/{slug}",
        f"https://colab.research.google.com/github/{slug}/",
        f"https://mybinder.org/v2/gh/{slug}/",
        f"git+https://github.com/{slug}",
    ):
        assert link in readme


def test_a_new_address_is_carried_through_once_and_for_all(tmp_path):
    for name in ("_config.yml", "CITATION.cff", "README.md"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "notebooks").mkdir()
    bare = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["# Title"]}], "metadata": {}}
    (tmp_path / "notebooks" / "01.ipynb").write_text(json.dumps(bare))
    old = address.slug(address.repository(tmp_path)[0])
    config = (tmp_path / "_config.yml").read_text(encoding="utf-8")
    (tmp_path / "_config.yml").write_text(config.replace(old, "someone/fork.of-it"), encoding="utf-8")

    assert address.main(["--check"], tmp_path) == 1
    assert address.main([], tmp_path) == 0
    assert address.main(["--check"], tmp_path) == 0
    for path in tmp_path.rglob("*.*"):
        if path.is_file() and path.name != "_config.yml":
            text = path.read_text(encoding="utf-8")
            assert old not in text
            assert "someone/fork.of-it" in text
    cells = json.loads((tmp_path / "notebooks" / "01.ipynb").read_text())["cells"]
    assert [cell["cell_type"] for cell in cells] == ["code", "markdown"]


def test_an_address_that_is_not_a_repository_is_refused(tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: https://example.org/course, branch: main}")
    with pytest.raises(ValueError, match="owner/name"):
        address.repository(tmp_path)


# Files


def test_no_path_of_somebody_s_machine():
    # Spelled in pieces, so that this file does not find itself.
    pattern = re.compile(
        "|".join(("/ho" + r"me/\w", "/Use" + r"rs/\w", "/ro" + "ot/", "/wo" + "rk/", r"[A-Z]:\\Use" + "rs"))
    )
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[:100]}")
    assert not found


def test_lock_holds_every_direct_dependency_at_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = project["dependencies"] + [
        one for extra in project["optional-dependencies"].values() for one in extra
    ]
    normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()  # noqa: E731
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(match[1]) for line in lines if (match := re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==\S+", line))}
    missing = [one for one in direct if normal(re.match(r"[\w.-]+", one)[0]) not in pinned]
    assert not missing, "run `make lock`"


def test_commands_in_the_prose_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split())
    assert targets - phony == set()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "book").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        used = set(re.findall(r"(?:^|`|&& |[A-Z]=\w+ )make ([a-z]+)", text, re.M))
        assert used <= targets, f"{path.name}: make {', '.join(used - targets)}"
        for file in re.findall(r"python[ ]+((?:book|benchmarks)[/\\][\w./\\]+\.py)", text):
            assert (ROOT / file.replace("\\", "/")).exists(), f"{path.name}: {file}"


def test_every_citation_is_used():
    defined = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M)
    cited = {key for path in NOTEBOOKS for key in re.findall(r"\]\(#(\w+)\)", path.read_text(encoding="utf-8"))}
    for path in (ROOT / "book").glob("*.md"):
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text(encoding="utf-8")):
            cited |= {key.strip() for key in keys.split(",")}
    assert set(defined) - cited == set()


# Chapters


def test_the_table_of_chapters_is_what_they_hold():
    assert chapters.TABLE.read_text(encoding="utf-8") == chapters.table(), "run `python book/chapters.py`"


@pytest.mark.parametrize("name", TAUGHT)
def test_a_chapter_has_goals_a_quiz_a_summary_and_says_what_comes_before(name):
    row = chapters.counted(ROOT / name)
    assert row["goals"] >= 3
    assert row["questions"] >= 2
    assert row["exercises"] >= 3 or not name.startswith("notebooks/")
    prose = chapters.read(ROOT / name)[0]
    assert "Before:" in prose
    for title in ("Summary", "Further reading"):
        assert len(chapters.section(prose, title).split()) >= 20, title


@pytest.mark.parametrize("name", figures.FIGURES)
def test_diagrams_are_what_the_code_draws(name):
    stored = (ROOT / "book" / "images" / name).read_text(encoding="utf-8")
    assert stored == figures.FIGURES[name](), "run `python book/figures.py`"


# The builder's stamps


@pytest.fixture
def small_tree(tmp_path):
    (tmp_path / "mclass" / "__pycache__").mkdir(parents=True)
    (tmp_path / "mclass" / "a.py").write_text("1")
    (tmp_path / "lock.txt").write_text("torch==1")
    return tmp_path


def test_digest_sees_contents_names_and_settings_but_not_byte_code(small_tree):
    names = ("mclass", "lock.txt")
    first = build.digest(names, "smoke", root=small_tree)
    assert first == build.digest(names, "smoke", root=small_tree)
    assert first != build.digest(names, "cpu", root=small_tree)
    (small_tree / "mclass" / "__pycache__" / "a.pyc").write_text("x")
    assert first == build.digest(names, "smoke", root=small_tree)
    (small_tree / "mclass" / "a.py").rename(small_tree / "mclass" / "b.py")
    renamed = build.digest(names, "smoke", root=small_tree)
    assert renamed != first
    (small_tree / "lock.txt").write_text("torch==2")
    assert build.digest(names, "smoke", root=small_tree) != renamed


def test_a_failed_build_leaves_no_stamp_and_says_so(tmp_path, monkeypatch):
    for name in (*build.EXECUTED_WITH, *build.WRITTEN_FROM):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    output = tmp_path / "_build"
    (output / "html").mkdir(parents=True)
    for step in ("prepare_etude", "prepare_fonts", "check_kernel"):
        monkeypatch.setattr(build, step, lambda: None)
    monkeypatch.setattr(build, "run_jupyter_book", lambda root: 1)
    (output / "stamp.json").write_text("{}")
    with pytest.raises(SystemExit, match="NOT built"):
        build.build(tmp_path)
    assert not (output / "stamp.json").exists()


def test_the_cache_is_emptied_only_when_package_lock_or_results_change(tmp_path, monkeypatch, capsys):
    for name in (*build.EXECUTED_WITH, *build.WRITTEN_FROM):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    kept = tmp_path / "_build" / ".jupyter_cache" / "executed.ipynb"
    runs = []

    def run(root):
        runs.append(kept.exists())
        for path in (kept, root / "_build" / "html" / "index.html"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("page")
        return 0

    for step in ("prepare_etude", "prepare_fonts", "check_kernel"):
        monkeypatch.setattr(build, step, lambda: None)
    monkeypatch.setattr(build, "cache_records", lambda _: [])
    monkeypatch.setattr(build, "run_jupyter_book", run)
    build.build(tmp_path)
    build.build(tmp_path)
    assert runs == [False]  # the second time nothing is done
    assert "up to date" in capsys.readouterr().out
    (tmp_path / "_toc.yml").write_text("changed")
    build.build(tmp_path)
    assert runs == [False, True]  # pages are written again, from the cache
    (tmp_path / "requirements.txt").write_text("changed")
    build.build(tmp_path)
    assert runs == [False, True, False]  # everything is executed again


# The page check: a small site with every kind of fault


FAULTS = [  # page, what is on it, what must be said about it
    ("scripts", "<script>console.error('ouch')</script>", "console error: ouch"),
    ("scripts", "<script>throw new Error('broken')</script>", "script error: broken"),
    ("scripts", "<img src='https://example.org/a.png' alt='a'>", "external request: https://example.org/a.png"),
    ("scripts", "<script src='https://example.org/b.js'></script>", "external request: https://example.org/b.js"),
    ("scripts", "<script src='gone.js'></script>", "missing file: /gone.js"),
    ("media", "<img src='data:image/png;base64,AAAA' alt='a picture'>", "image not loaded"),
    ("media", "<img src='dot.svg'>", "image without alternative text: dot.svg"),
    ("media", "<img src='dot.svg?2' alt='_images/dot.svg'>", "image without alternative text: dot.svg?2"),
    (
        "media",
        "<audio controls aria-label='x' src='data:audio/mpeg;base64,AAAA'></audio>",
        "without a duration: x",
    ),
    ("media", "<audio controls src='AUDIO'></audio>", "player without a label"),
    ("text", "<span class='math'>\\(x^2\\)</span>", "formula not typeset"),
    ("text", "<mjx-merror>Undefined</mjx-merror>", "formula with an error"),
    ("text", "<a href='nowhere.html'>x</a>", "broken link: nowhere.html"),
    ("text", "<a href='good.html#nothing'>x</a>", "no anchor good.html#nothing"),
    ("text", "<div class='output stderr'>UserWarning</div>", "stderr: UserWarning"),
    ("text", "<style>html body {background: white !important}</style>", "bright background in dark mode"),
    ("text", "<div style='width:3000px'>x</div>", "pixels wider than the window"),
    ("text", "<article><table><tr><th></th></tr></table></article>", "accessibility: empty-table-header at th"),
    (
        "media",
        "<article><p style='color: #999; background: #fff'>pale</p></article>",
        "accessibility: color-contrast at p",
    ),
    ("text", "<p>" + "x" * 2_100_000 + "</p>", "2.1 MB of HTML"),
    (
        "mute",
        "<audio controls tabindex=-1 aria-label='a tone' src='AUDIO'></audio>",
        "the keyboard does not reach",
    ),
    (
        "jumps",
        "<div id=late></div><p style='height: 400px; background: #767676'>text</p>"
        "<script>addEventListener('load', () => setTimeout(() => { late.style.height = '400px'; }, 200))</script>",
        "jumps while it loads",
    ),
    ("fonts", "<p style='font-family: thin; white-space: nowrap'>" + "wide " * 10 + "</p>", "390 in a wide font"),
]
GOOD = (
    "<article><h1 id='top'>x</h1><a href='#top'>x</a><a href='media.html'>x</a><a href='https://example.org/'>x</a>"
    "<img src='dot.svg' alt='a dot'><audio controls aria-label='tone' src='AUDIO'></audio></article>"
    "<div class='output stderr'>[src/libmpg123/layer3.c:1774] error: of a damaged mp3</div>"
)


def test_page_check_finds_each_kind_of_fault(tmp_path):
    check = script("check")
    browser = check.find_browser()
    if not browser:
        pytest.skip("no Chromium or Chrome installed")
    audio = re.search(r'src="([^"]+)"', listen.player(np.zeros(8000), 16_000)._repr_html_())[1]
    style = (
        "<style>@media (prefers-color-scheme: dark) {body {background: #111}} p {overflow-wrap: anywhere}</style>"
    )
    thin = check.force_family("narrow").splitlines()[0].replace("forced-narrow", "thin").replace("75%", "40%")
    (tmp_path / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    bodies = {"good": GOOD, "fonts": f"<style>{thin}</style>"}
    for name, body, _ in FAULTS:
        bodies[name] = bodies.get(name, "") + body
    for name, body in bodies.items():
        page = f"<!doctype html><link rel=icon href=data:,><meta charset=utf-8>{style}<body>{body}</body>"
        (tmp_path / f"{name}.html").write_text(page.replace("AUDIO", audio))
    found = {page.name: page.problems for page in check.check_site(tmp_path, browser)}
    assert found["good.html"] == []
    for name, _, problem in FAULTS:
        assert any(problem in one for one in found[f"{name}.html"]), (problem, found[f"{name}.html"])
    assert len(found["fonts.html"]) == 1  # it fits in the page's own font, and in a narrow one


def test_the_book_is_printed_in_its_order_with_answers_unfolded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book")
    pdf = script("pdf")
    browser = pdf.find_browser()
    if not browser:
        pytest.skip("no Chromium or Chrome installed")
    from pypdf import PdfReader

    for name, words in (
        ("intro", "<a href='b.html'>first</a>"),
        ("b", "<details>folded</details>"),
        ("a", "last"),
    ):
        head = f"<!doctype html><link rel=icon href=data:,><title>{name}</title>"
        (tmp_path / f"{name}.html").write_text(f"{head}<article><h1>{name}</h1>{words}</article>")
    toc = {"root": "intro", "parts": [{"caption": "Part", "chapters": [{"file": "b"}, {"file": "a"}]}]}
    assert pdf.print_book(tmp_path, toc, tmp_path / "new" / "book.pdf", browser) == 3
    book = PdfReader(tmp_path / "new" / "book.pdf")
    texts = [unicodedata.normalize("NFKC", page.extract_text()) for page in book.pages]  # some fonts join fi
    for text, words in zip(texts, ("first", "folded", "last"), strict=True):
        assert words in text
    assert not book.pages[0].get("/Annots")  # no link to a server that is gone
    intro, part, (b, a) = book.outline
    assert [one.title for one in (intro, part, b, a)] == ["intro", "Part", "b", "a"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["book.pdf"]
    with pytest.raises(FileNotFoundError, match="no page for c"):
        pdf.print_book(tmp_path, {"root": "c"}, tmp_path / "c.pdf", browser)


@pytest.mark.parametrize(
    "other", ["<p>[0.1, 0.2]</p>", '<td><img alt="[0.1, 0.2]"></td>', "<script>[0.1, 0.2]</script>"]
)
def test_intervals_are_marked_in_the_text_of_tables_and_nowhere_else(other):
    plain = "<td>+0.1 {}[-0.2, +0.4]{}</td><td>{}0.5 ± 0.1{}</td>"
    cells, expected = plain.format(*[""] * 4), plain.format(*['<span class="range">', "</span>"] * 2)
    assert extension.marked(other + cells + other) == other + expected + other
