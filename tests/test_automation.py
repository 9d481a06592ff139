"""Workflows, hooks and containers agree with the Makefile, the lock and the address that they are made for."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SETUP = ROOT / ".github" / "actions" / "setup" / "action.yml"
MAKE = re.compile(r"(?:^|run: |&& |`)make ([a-z]+)", re.MULTILINE)


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def version_of(package: str) -> str:
    return re.search(rf"^{package}==(\S+)", read("requirements.txt"), re.MULTILINE)[1]


def steps() -> list[dict]:
    """Every step of every workflow, and of the action that they share."""
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(read(path))["jobs"].values()]
    return [step for job in [*jobs, yaml.safe_load(read(SETUP))["runs"]] for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_can_do_little_for_a_limited_time_and_one_at_a_time(path):
    workflow = yaml.safe_load(read(path))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"].startswith("${{ github.workflow }}")
    for name, job in workflow["jobs"].items():
        assert 1 <= job["timeout-minutes"] <= 240, name
        more = {"pages": "write", "id-token": "write"} if name == "deploy" else None
        assert job.get("permissions") == more, name


def test_commands_of_workflows_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    used = {name for step in steps() for name in MAKE.findall(step.get("run", ""))}
    used |= set(MAKE.findall(json.loads(read(".devcontainer/devcontainer.json"))["updateContentCommand"]))
    assert used <= targets
    ci = set(re.findall(r"^make ([a-z]+)", read(".ci/run"), re.MULTILINE))
    prerequisites = set(re.search(r"^test: ([a-z ]+)", read("Makefile"), re.MULTILINE)[1].split())
    assert prerequisites == {"unit", "notebooks"}
    assert (ci - {"test"}) | prerequisites <= used  # a change is judged by all that .ci/run does


def test_actions_are_github_s_own_at_a_major_version_or_ours():
    used = {step["uses"] for step in steps() if "uses" in step}
    assert all(re.fullmatch(r"actions/[\w/-]+@v\d+|\./\.github/actions/setup", name) for name in used), used
    names = [name.split("@") for name in used if "@" in name]
    majors = {action.split("/")[1]: version for action, version in names}
    assert all(majors[action.split("/")[1]] == version for action, version in names)  # cache and cache/restore


def test_the_unit_tests_run_with_every_python_that_the_readme_names():
    matrix = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]["unit"]["strategy"]["matrix"]
    named = re.search(r"Python ((?:3\.\d+(?:, | or )?)+)", read("README.md"))[1]
    assert matrix["python"] == re.findall(r"3\.\d+", named)


def test_the_book_is_restored_from_the_cache_it_was_stored_in():
    book, links = (
        next(step["with"] for step in yaml.safe_load(read(f".github/workflows/{name}.yml"))["jobs"][job]["steps"]
             if step.get("uses", "").startswith("actions/cache"))
        for name, job in (("book", "build"), ("links", "links"))
    )  # fmt: skip
    assert book == links


def test_hooks_format_as_make_lint_does():
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    ruff = next(one for one in hooks if one["repo"].endswith("ruff-pre-commit"))
    assert ruff["rev"] == f"v{version_of('ruff')}"


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", read("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert all(date for _, date in sections[1:])
    assert version == (sections[1][0] if len(sections) > 1 else "0.1.0")


def test_the_address_stands_only_where_it_is_carried_to():
    spec = importlib.util.spec_from_file_location("book_address", ROOT / "book" / "address.py")
    address = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(address)
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    slug = address.slug(address.repository()[0])
    carried = {path for pattern in address.PROSE for path in ROOT.glob(pattern)} | {ROOT / "_config.yml"}
    repository = re.compile(rf"[\w.-]+/{re.escape(slug.split('/')[1])}(?![\w-])".encode())
    found = {}
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        for match in repository.findall(path.read_bytes()) if path.is_file() else ():
            found.setdefault(path, set()).add(match.decode())
    assert set(found) <= carried
    assert {name for names in found.values() for name in names} == {slug}
