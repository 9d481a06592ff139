"""What the contract in pyproject.toml cannot say: private modules and names stay inside their package."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOR_ALL = {"mclass._utils", "mclass._deprecated"}
FILES = sorted(path for package in ("mclass", "mclass_grading") for path in (ROOT / package).rglob("*.py"))


def borrowed(source, package):
    """What a module in `package` imports although it is private to another one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            paths = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            paths = [f"{node.module}.{name.name}" for name in node.names]
        else:
            continue
        for path in paths:
            parts = path.split(".")
            if parts[0] not in ("mclass", "mclass_grading") or ".".join(parts[:2]) in FOR_ALL:
                continue
            for depth, part in enumerate(parts):
                owner = parts[:depth]  # a private module belongs to its package, a private name to its module's
                if (ROOT / Path(*owner)).with_suffix(".py").is_file():
                    owner = owner[:-1]
                if part.startswith("_") and package[: len(owner)] != owner:
                    yield path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).with_suffix("").as_posix())
def test_nothing_private_is_imported_from_another_package(path):
    package = list(path.relative_to(ROOT).parent.parts)
    assert not list(borrowed(path.read_text(encoding="utf-8"), package))


@pytest.mark.parametrize(
    ("line", "package", "found"),
    [
        ("from mclass.audio._source import Source", "mclass.audio", False),
        ("from mclass.audio._source import Source", "mclass.datasets", True),
        ("from mclass.audio import _source", "mclass.datasets", True),
        ("import mclass.audio._source", "mclass.cli", True),
        ("from mclass.losses.base import _norm", "mclass.losses", False),
        ("from mclass.losses.base import _norm", "mclass.training.tasks", True),
        ("from mclass.datasets.folder._cells import clean", "mclass.datasets.folder", False),
        ("from mclass.datasets.folder._cells import clean", "mclass.datasets.published", True),
        ("from mclass._utils.files import replacing", "mclass_grading", False),
        ("from torch.nn.modules.batchnorm import _BatchNorm", "mclass.models", False),
    ],
)
def test_the_check_finds_what_is_private(line, package, found):
    assert bool(list(borrowed(line, package.split(".")))) == found
