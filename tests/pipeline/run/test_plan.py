"""What counts as the same code: a digest of syntax is a notion of sameness of its own, and needs its own tests."""

from pathlib import Path

import pytest

from pipeline.run import plan

START = "vsml.start"
FILES = {
    "vsml/__init__.py": '"""The package."""\n\n\ndef load():\n    from vsml import unused\n',
    "vsml/unused.py": "X = 1\n",
    "vsml/start.py": '''"""A stage."""

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vsml.inner import COUNT, front
from vsml.inner.twin import rate
from vsml.helper import by_name

if TYPE_CHECKING:
    from vsml.unused import X


def main(scale: float = 2.0) -> float:
    """Runs."""
    total = partial(front, scale)(COUNT)
    return by_name["double"](total) + rate(np.float32(1)) + math.pi
''',
    "vsml/inner/__init__.py": "from vsml.inner.cell import COUNT, front\n",
    "vsml/inner/cell.py": '''"""A cell."""

import functools

COUNT = 3


@functools.cache
def front(scale, count):
    # why
    return scale * count
''',
    "vsml/inner/twin.py": "def rate(x):\n    return x / 2\n\n\ndef front(scale, count):\n    return scale * count\n",
    "vsml/helper.py": """state = 0


def _double(x):
    global state
    state = 1
    return 2 * x


by_name = {"double": _double}
""",
}


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(root: Path, start: str = START) -> str:
    return plan.Tree(root).code([start]).digest


def edit(root: Path, name: str, *changes: tuple[str, str]) -> None:
    text = (root / name).read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (root / name).write_text(text)


def comment(root: Path) -> None:
    for path in root.rglob("*.py"):
        lines = (f"{line}  # a thought" * bool(line) for line in path.read_text().split("\n"))
        path.write_text("\n".join(("# first", *lines)))


def moved_module(root: Path) -> None:
    (root / "vsml/deep").mkdir()
    (root / "vsml/deep/__init__.py").write_text('"""A room."""\n')
    (root / "vsml/helper.py").rename(root / "vsml/deep/helper.py")
    edit(root, "vsml/start.py", ("from vsml.helper import", "from vsml.deep.helper import"))


def moved_package(root: Path) -> None:
    (root / "pipeline").mkdir()
    (root / "vsml/inner").rename(root / "pipeline/cells")
    for path in root.rglob("*.py"):
        path.write_text(path.read_text().replace("vsml.inner", "pipeline.cells"))


MOVES = {"comment": comment, "moved module": moved_module, "moved package": moved_package}
IMPORT = "from vsml.inner.twin import"
SAME = {  # edits of a file, by what they do
    "docstring": ("start", ('"""Runs."""', '"""Runs,\n\n    told better.\n    """'), ('"""A stage."""\n', "")),
    "formatting": ("start", ("2.0", "2.00"), ('["double"]', "['double']"), ("(total)", "(\n        total,\n    )")),
    "blank lines": ("inner/cell", ("\n\n\n@", "\n@"), ("return scale * count", "return (scale * count)")),
    "order of imports": (
        "start",
        ("import math\nfrom functools import partial\n", "from functools import partial\nimport math\n"),
        ("from vsml.inner import COUNT, front\n", "from vsml.inner import front\nfrom vsml.inner import COUNT\n"),
    ),
    "import for types": ("start", ("    from vsml.unused import X\n", "    from vsml.unused import X as Y\n")),
    "what is imported for types": ("unused", ("1", "2")),
    "function of the package": ("__init__", ("from vsml import unused", "return 3")),
}
OTHER = {
    "constant": ("inner/cell", ("COUNT = 3", "COUNT = 4")),
    "kind of constant": ("inner/cell", ("COUNT = 3", "COUNT = 3.0")),
    "default argument": ("start", ("scale: float = 2.0", "scale: float = 3.0")),
    "decorator": ("inner/cell", ("@functools.cache\n", "")),
    "operator": ("inner/twin", ("x / 2", "x * 2")),
    "function called through a dict": ("helper", ("2 * x", "3 * x")),
    "global statement": ("helper", ("    global state\n", "")),
    # another function of the same name and text, from another module, in what a package gives out
    "re-export": ("inner/__init__", ("import COUNT, front", f"import COUNT\n{IMPORT} front")),
    "import that shadows": ("start", ("import by_name\n", f"import by_name\n{IMPORT} front\n")),
    "import after what it shadows": ("helper", ("\n\n\nby_name", f"\n\n\n{IMPORT} rate as _double\n\nby_name")),
    # what the package does when it is imported: as a setting of JAX in `vsml/__init__.py`
    "effect of a package": ("__init__", ("\n\n\ndef", '\nimport os\nos.environ["A"] = "1"\n\n\ndef')),
    "other package": ("start", ("import numpy as np", "import jax.numpy as np")),
}


@pytest.mark.parametrize("change", [*MOVES, *SAME, *OTHER])
def test_only_what_may_change_a_number_is_other_code(root, change):
    before = digest(root)
    if change in MOVES:
        MOVES[change](root)
    else:
        name, *edits = (SAME | OTHER)[change]
        edit(root, f"vsml/{name}.py", *edits)
    assert (digest(root) != before) == (change in OTHER)


def test_only_what_an_item_runs_counts(root):
    before, other = digest(root), digest(root, "vsml.helper")
    edit(root, "vsml/inner/cell.py", ("COUNT = 3", "COUNT = 4"))
    assert digest(root) != before and digest(root, "vsml.helper") == other
    assert "vsml/unused.py" not in plan.Tree(root).code([START]).files
    with pytest.raises(ValueError, match=r"vsml\.gone is no module under"):
        digest(root, "vsml.gone")


@pytest.mark.parametrize(
    ("name", "carries"),
    [("run/flow", True), ("track/store", True), ("studies/recall/params", True), ("run/other", False)],
)
def test_what_only_carries_a_stage_does_not_count(root, name, carries):
    (path := root / f"pipeline/{name}.py").parent.mkdir(parents=True)
    path.write_text("X = 1\n")
    edit(root, "vsml/helper.py", ("state = 0", f"from pipeline.{name.replace('/', '.')} import X\n\nstate = X"))
    before = digest(root)
    path.write_text("X = 2\n")
    assert (digest(root) == before) == carries


def test_modules_that_import_each_other_have_a_digest(root):
    edit(root, "vsml/helper.py", ("    state = 1", "    from vsml.inner.cell import COUNT\n    state = COUNT"))
    edit(root, "vsml/inner/cell.py", ("    # why\n", "    from vsml.helper import state\n"))
    before = digest(root)
    edit(root, "vsml/helper.py", ("2 * x", "3 * x"))
    assert digest(root) != before


SYNTAX = """
import os.path as places
from collections import *
from typing import NamedTuple, Protocol as P

async def gather(*args: int, key: "str" = 'a', **kw) -> None:
    async with open(f"{args[0]!r:>{len(kw)}} {key=}") as f, lock:
        async for x in f: await x
    return

class Point(NamedTuple, metaclass=type):
    x: int = -1_000
    y: float = 1e-400
    z: complex = 2j

    @property
    def size(self, /, a=(), *, b=None): return (self.x ** 2 + self.y @ self.x) // ~3 if not a else b"\\xff\\0"

def match_it(value):
    match value:
        case {"a": [1, *rest], **more} | Point(x=0) as found if found: yield from rest
        case None | True | "\u00e9\\U0001fae8": yield ...
        case _: pass
    try:
        assert value, "why"
        del value[1:2, ::3]
    except* (ValueError, KeyError) as error: raise RuntimeError from error
    finally:
        nonlocal_ = lambda x, *y: [*y, {**x}, {k: v for k, v in x if k for v in y}, {1, 2}, (i for i in x)]
    while (n := value) < 10 <= n is not None and n not in (1,) or n:
        n += 1; n <<= 2; continue
    else:
        print(n, sep="", **{})
    with a, b as c: break_ = c[...]
    global G; G = x = y, *z = 0x10, 0b11, 1__0 if False else "a" "b" f"{x}c" 'd'
""".replace("1__0", "1_0")


def test_every_version_of_python_agrees(root):
    """All that Python 3.11 can say, in one module; the digest is a constant that any later version must find again."""
    (root / "vsml/syntax.py").write_text(SYNTAX)
    assert digest(root, "vsml.syntax") == "1773656106e8cf9d6572ad966defd01184bc1a83eda74ee50aa965f8b2bdc1cf"


def test_versions_and_settings_are_those_that_change_numbers(root, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.setenv("XLA_FLAGS", "--b=2 --xla_cpu_parallel_codegen_split_count=3 --a=1")
    made = plan.plan(plan.Tree(root), [START], {"rate": 1})
    assert (made["settings"], list(made["versions"])) == ({}, ["numpy"])  # JAX is none of its packages
    edit(root, "vsml/start.py", ("import numpy", "import jax\nimport numpy"))
    made = plan.plan(plan.Tree(root), [START], {"rate": 1})
    assert (made["settings"], list(made["versions"])) == ({"XLA_FLAGS": "--a=1 --b=2"}, ["jax", "jaxlib", "numpy"])
    settings = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "JAX_THREEFRY_PARTITIONABLE": "0",  # which is on unless it is set
        "JAX_A_FLAG_OF_TOMORROW": "1",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F",
        "OPENBLAS_CORETYPE": "Haswell",
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    for name, value in {**settings, "JAX_LOG_COMPILES": "1", "JAX_PLATFORMS": "cpu"}.items():
        monkeypatch.setenv(name, value)
    again = plan.plan(plan.Tree(root), [START], {"rate": 2})
    assert plan.differences(made, again) == ["params.rate", *(f"settings.{name}" for name in sorted(settings))]
