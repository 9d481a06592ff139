"""The package keeps its promises to readers: a cheap import, and a docstring for whatever is public."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

import mclass
import mclass_grading

COURSE = {
    "01_representations",
    "02_datasets",
    "03_evaluation",
    "04_supervised",
    "05_augmentation",
    "06_semi_supervised",
    "07_clmr",
    "08_metric_learning",
}
MODULES = sorted(
    module.name
    for package in (mclass, mclass_grading)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not any(part.startswith("_") for part in module.name.split("."))
)
# Modules that no notebook teaches: Etude's workings are taught as one (see the package's own docstring), and what
# is for the homework and its grading belongs to the homework.
UNTAUGHT = re.compile(r"mclass\.errors|mclass\.datasets\.etude(\.\w+)+|mclass_grading(\.\w+)*")
LAYERS = {"forward", "extra_repr"}  # what torch calls: a layer's class says what it does


def public(module):
    """Public functions and classes that the module defines, and their public methods: (name, object)."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for method, function in vars(value).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{method}", getattr(value, method)


def test_import_is_cheap():
    code = (
        "import sys, mclass; print(sorted({'torch', 'lightning', 'sklearn', 'matplotlib'} & {*sys.modules}));"
        "mclass.datasets; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["[]", "True"]  # the second shows that the first can fail


def test_every_name_that_is_promised_exists():
    for name in mclass.__all__:
        assert getattr(mclass, name) is not None
    assert set(mclass.__all__) <= set(dir(mclass))
    with pytest.raises(AttributeError, match="it has audio, augmentations, datasets"):
        mclass.datasetts  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_documented(name):
    module = importlib.import_module(name)
    for promised in getattr(module, "__all__", ()):
        assert inspect.getdoc(getattr(module, promised)), f"{name}.{promised}"
    # inspect.getdoc also finds the docstring of the method that a method overrides.
    bare = [member for member, value in public(module) if not inspect.getdoc(value)]
    assert not [member for member in bare if member.rpartition(".")[2] not in LAYERS]


@pytest.mark.parametrize("name", [name for name in MODULES if not UNTAUGHT.fullmatch(name)])
def test_every_module_says_which_notebook_teaches_it(name):
    taught = re.search(r"^Taught in: ([\w, ]+)\.$", importlib.import_module(name).__doc__, re.M)
    assert taught, f"{name}: its docstring ends with a line like 'Taught in: 04_supervised.'"
    assert set(taught[1].split(", ")) <= COURSE
