"""The house: who may import whom, one importing place for each heavy tool, one name for each stage."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mutants

ROOT = Path(__file__).parents[1]
FILES = [path for room in ("vsml", "pipeline") for path in sorted((ROOT / room).rglob("*.py"))]
ONE_PLACE = {
    "mlflow": {"pipeline/track/store.py"},
    "matplotlib": {"pipeline/show/style.py"},
    "kubernetes": {"pipeline/cluster/connection.py"},
    "ruamel": {"pipeline/run/params.py", "pipeline/cluster/deploy.py"},
    "sklearn": {"vsml/classifier.py"},  # the pipeline takes the data in its wheel, and needs none of its code
    # What mirrors, MLflow's own client and the doctor meet are errors of requests.
    "requests": {"pipeline/data/download.py", "pipeline/track/store.py", "pipeline/cluster/doctor.py"},
    "PIL": {"pipeline/data/parsers.py", "pipeline/audit/whence.py"},
    "scipy": {"pipeline/data/parsers.py", "pipeline/audit/replay.py", "pipeline/show/style.py"},
    "dvc": {"pipeline/audit/cache.py", "pipeline/run/repro.py"},  # whose Python interface is no stable one
}

# Modules of vsml that meet packages which it does not need, and what else they import.
ADAPTERS = {
    "__init__.py": {"importlib", "os"},
    "classifier.py": {"sklearn"},
    "online.py": {"json"},
    "river.py": {"river"},
}


@functools.cache
def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ONE_PLACE)
def test_each_tool_has_one_importing_place(package):
    assert {str(path.relative_to(ROOT)) for path in FILES if package in imported(path)} <= ONE_PLACE[package]


def test_the_science_touches_no_file_no_network_no_clock():
    allowed = {"vsml", "jax", "flax", "optax", "numpy", "jaxtyping"}
    for path in FILES:
        if path.is_relative_to(ROOT / "vsml"):
            foreign = imported(path) - allowed - {"collections", "functools", "itertools", "math", "numbers", "typing"}
            if path.is_relative_to(ROOT / "vsml/zoo"):  # whose rules are files
                foreign -= {"importlib", "io", "json", "os", "pathlib", "tokenize", "zipfile", "zlib"}
            foreign -= ADAPTERS.get(path.name, set())
            assert not foreign, f"{path} imports {foreign}"


def test_import_directions():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_each_mutant_changes_is_there_once():
    for one in mutants.MUTANTS:
        assert (ROOT / one.file).read_text().count(one.old) == 1, one.name
