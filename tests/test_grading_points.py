"""No points without the work: what submissions give out as answers, question by question."""

import contextlib
import dataclasses

import classroom
import pytest
from classroom import cell, need_sandbox, notebook, write
from test_homework import MASTERS

from mclass_grading import judge
from mclass_grading.held_out import VARIABLE
from mclass_grading.isolation.process import Process
from mclass_grading.notebooks import Cell, Homework

FAKES = {  # networks that are none, from the simplest to what knows the tests' text
    "helpers": """
class CNN:
    def __init__(self, num_tags=50): self.num_tags = num_tags
    def parameters(self): return []
def shapes_of(model, spectrogram): return [(64, 24, 47), (128, 8, 15), (128, 2, 5), (64, 1, 1)]
def count_parameters(model): return 299_892 - (297_097 if model.num_tags == 7 else 0)
def layers_of(model): return []
def passes(*_): return True
def with_weights(model, weights): return lambda x: torch.zeros(len(x), 50)
""",
    "counts": """
class Number:
    ndim = 4
    def __init__(self, n): self.n = n
    def numel(self): return self.n
class CNN:
    def __init__(self, num_tags=50): self.num_tags = num_tags
    def parameters(self): return [Number(299_892 if self.num_tags == 50 else 297_097)]
    def state_dict(self): return {"a.weight": Number(299_892 if self.num_tags == 50 else 297_097)}
    def eval(self): return self
    def modules(self): return []
    def __call__(self, x): return torch.randn(len(x), self.num_tags)
""",
    "weights that nothing is done with": """
class CNN(nn.Module):
    def __init__(self, num_tags=50):
        super().__init__()
        self.num_tags, self.all = num_tags, nn.ModuleList([nn.BatchNorm2d(1)])
        for a, b in ((1, 64), (64, 128), (128, 128), (128, 64)):
            self.all += [nn.Conv2d(a, b, 3), nn.BatchNorm2d(b)]
        self.all.append(nn.Linear(64, num_tags))
    def forward(self, x): return x.mean(dim=(1, 2, 3))[:, None] * torch.ones(self.num_tags)
""",
    "equal to everything": """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 1
    def __float__(self): return 0.0
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __getattr__(self, name): return Yes()
    def __call__(self, *a, **k): return Yes()
    def __iter__(self): return iter([])
    def __len__(self): return 50
    def __array__(self, *a, **k): return np.zeros((2, 50))
CNN = lambda *a, **k: Yes()
""",
    "patched": """
import builtins, torch.nn.modules.module as module
torch.Tensor.numel = lambda self: 299_892
torch.allclose = lambda *a, **k: True
np.isclose = np.allclose = lambda *a, **k: True
builtins.abs = lambda x: 0
builtins.float = lambda x: 1.0
models.create = lambda *a, **k: None
class CNN(nn.Module):
    def forward(self, x): return torch.zeros(len(x), 50)
""",
}
ANSWERS = {  # what is given out for any function
    "always equal": "class Yes(list):\n    __eq__ = lambda *_: True\ndef answer(*a, **k): return Yes()",
    "a number that compares": "class One(float):\n    __eq__ = __lt__ = __gt__ = lambda *_: True\n"
    "    __sub__ = __rsub__ = __abs__ = lambda *_: One()\ndef answer(*a, **k): return One()",
    "an array that compares": "class All(np.ndarray):\n    __eq__ = lambda *_: np.True_\n"
    "def answer(*a, **k): return np.zeros(6).view(All)",
    "a tensor that compares": "class All(torch.Tensor):\n    __eq__ = __lt__ = __sub__ = lambda *_: True\n"
    "def answer(*a, **k): return torch.zeros(()).as_subclass(All)",
    "nan": "def answer(*a, **k): return float('nan')",
    "zeros": "def answer(*a, **k): return np.zeros(np.shape(a[0]))",
    "what it was given": "def answer(*a, **k): return a[0]",
    "nothing": "def answer(*a, **k): return None",
    "endless": "import itertools\ndef answer(*a, **k): return itertools.count()",
    "its caller's names": """
import sys, gc
def answer(*a, **k):
    frame = sys._getframe()
    while frame:
        for one in (frame.f_locals, frame.f_globals):
            if 'expected' in one:
                return one['expected']
        frame = frame.f_back
    return next((one['expected'] for one in gc.get_objects() if type(one) is dict and 'expected' in one), None)
""",
}
FUNCTIONS = {
    "hw1": ("spectral_centroid", "summarise", "standardise", "hold_back", "recognise"),
    "hw2": ("recall_at_k", "tag_clips", "embed_clips"),
    "hw3": ("choose_labelled", "pseudo_label_loss", "nt_xent", "tag_clips"),
}


@pytest.fixture
def process(monkeypatch):
    need_sandbox()
    monkeypatch.setenv(VARIABLE, "20250117")
    monkeypatch.setenv("MCLASS_PROFILE", "smoke")
    with Process(200, 4 << 30, 60) as process:
        yield process


def points(homework, test, process):
    """What a test gives."""
    with contextlib.suppress(Exception):
        return float(judge._points(homework, test, process))
    return 0.0


def test_no_network_has_no_points(process):
    homework = Homework.read(MASTERS["hw2"])
    cells = homework.by_id()
    tests = [cells[name] for name in ("q1-parameters", "q1-shapes", "q1-numbers")]
    process.run(cells["imports"].source)
    process.run(cells["q1-helpers"].source)
    process.run(cells["q1-solution"].source)
    assert [points(homework, test, process) for test in tests] == [8, 7, 10]
    process.run(FAKES["helpers"].replace("class CNN", "class Other"))  # helpers alone: the judge has its own
    assert [points(homework, test, process) for test in tests] == [8, 7, 10]
    for name, fake in FAKES.items():
        process.run(fake)
        assert [points(homework, test, process) for test in tests] == [0, 0, 0], name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answers_that_are_none_have_no_points(name, process):
    homework = Homework.read(MASTERS[name])
    process.run("import numpy as np, torch")
    for what, source in ANSWERS.items():
        process.run(source)
        process.run("\n".join(f"{function} = answer" for function in FUNCTIONS[name]))
        process.run("gradients = slopes = lambda *a: (answer(), answer())")
        for test in homework.tests:
            if test.question != "q1" or name != "hw2":
                assert points(homework, test, process) == 0, (what, test.grade_id)


EVASIONS = {  # each uses `multiply`, which the first question must do without, from somewhere else
    "another cell": ("from numpy import multiply as m", "def double(x): return [m(2, one) for one in x]"),
    "a cell of a cell": (
        "import numpy\nm = numpy.multiply\ndef twice(x): return m(2, x)",
        "def double(x): return [twice(one) for one in x]",
    ),
    "a magic in front": ("", "%time import numpy\nimport numpy\ndouble = lambda x: list(numpy.multiply(2, x))"),
    "a magic for the cell": ("", "%%time\nimport numpy\ndouble = lambda x: list(numpy.multiply(2, x))"),
    "its name as text": ("import numpy", "double = lambda x: list(getattr(numpy, 'multiply')(2, x))"),
    "a module's name as text": ("import importlib", "m = importlib.import_module('numpy.multiply')"),
    "everything": ("from numpy import *", "double = lambda x: list(multiply(2, x))"),
}


@pytest.mark.parametrize("name", EVASIONS)
def test_what_must_not_be_used_is_found_elsewhere(name, tmp_path):
    homework = Homework.read(classroom.master(tmp_path))
    free, solution = (Cell("code", source) for source in EVASIONS[name])
    test = homework.by_id()["q1-tests"]
    steps = [free, dataclasses.replace(solution, grade_id="q1-solution"), test]
    assert judge._uses(steps, test) == "multiply"
    unused = [free, Cell("code", "def double(x): return x", "q1-solution"), test]
    assert judge._uses(unused, test) is None


def test_code_made_of_text_is_remarked(tmp_path):
    homework = Homework.read(classroom.master(tmp_path))
    test = homework.by_id()["q1-tests"]
    for source in ("exec('im' + 'port numpy')", "m = __import__('num' + 'py')", "get_ipython().run_cell('x')"):
        assert len(judge._watched([Cell("code", source, "q1-solution"), test], test)) == 1, source


@pytest.mark.parametrize(
    "source", ["x = " + "-" * 50_000 + "1", "x = " + "1+" * 50_000 + "1", "(" * 300, "\ud800", "\0"]
)
def test_code_that_is_too_deep_or_none_is_no_end_of_the_class(source):
    judge._parsed(source)


def test_helpers_are_the_masters(tmp_path):
    """A locked cell is run with the test, by the judge, with the submission's functions."""
    cells = [
        cell("import math\nLIMIT = 3", "given", locked=True),
        cell("def f(x): return 1", "q1-solution", solution=True),
        cell("def twice(x):\n    return f(f(x)) + LIMIT", "q1-helpers", locked=True),
        cell("assert twice(0) == 4 and math.pi > LIMIT", "q1-tests", grade=True, locked=True, points=1),
    ]
    homework = Homework.read(write(tmp_path / "hw.ipynb", notebook(cells)))
    test = homework.tests[0]
    assert [one.grade_id for one in judge.helpers_of(homework, test)] == ["given", "q1-helpers"]
    need_sandbox()
    with Process(60, 1 << 30) as process:
        process.run("LIMIT, math = 100, None\ndef twice(x): return 4\ndef f(x): return 2")
        with pytest.raises(AssertionError):
            judge._points(homework, test, process)
        process.run("def f(x): return 1")
        assert judge._points(homework, test, process) == 1


def test_gradients_cross_to_the_judge():
    import torch

    need_sandbox()
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], requires_grad=True)
    with Process(60, 2 << 30) as process:
        process.run("import torch\ndef f(x, y, by=1): return (x * x * y.detach() * by).sum()")
        process.run("def g(x): return x.detach().sum()\ndef h(x): return 7\ndef k(x): return torch.ones(3)")
        value = process.name("f")(a, b, by=2)
        value.backward()
        assert value.item() == 2 * (3 + 16)
        assert a.grad.tolist() == [2 * 2 * 3, 2 * 4 * 4]
        assert b.grad is None or not b.grad.any()
        with pytest.raises(RuntimeError, match="detached"):
            process.name("g")(a).backward()
        with pytest.raises(TypeError, match="tensor of floating-point"):
            process.name("h")(a)
        process.run("torch.autograd.grad = lambda *a, **k: [torch.zeros(7)]")
        with pytest.raises((RuntimeError, TypeError)):
            process.name("f")(a, b).backward()
