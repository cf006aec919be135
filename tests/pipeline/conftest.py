"""A clone: the repository's own code in a folder of its own, with a profile so small that stages take seconds."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.run import paths
from pipeline.studies.stages import STAGES
from pipeline.track.store import Store

EPISODES = {"views": ["projected"], "inputs": [3], "classes": [2], "length": 4, "population": 2}
TINY = {
    "learner": {"hidden": 4, "message": 2},
    "curriculum": [{"steps": 12, "episodes": [EPISODES]}, {"steps": 8, "episodes": [EPISODES | {"length": 6}]}],
    "estimator": {"name": "backprop", "segment": None, "at_once": 1},
}
# Compiles in half of the time, as in tests/conftest.py.
COMPILES_FASTER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
XLA_FLAGS = f"--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 {COMPILES_FASTER}"


class Clone:
    """A copy of the repository at `root`, and a door to it: commands run there, as its users would run them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._planned: Any = None
        unwritten = (name for name in os.environ if name.startswith(("GIT_", "DVC_", "MLFLOW_")))
        kept = {name: value for name, value in os.environ.items() if name not in set(unwritten)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self.env = kept | {"PYTHONPATH": str(root), "PATH": path, "XLA_FLAGS": XLA_FLAGS, "VSML_UPLOAD": "later"}

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """Start a command; before a stage run by hand a plan that is out of date is made again, as by `dvc repro`."""
        pipe = subprocess.PIPE
        if command[:3] == ("python", "-m", "pipeline") and command[3] in STAGES:
            sources = [path for folder in ("pipeline", "vsml") for path in (self.root / folder).rglob("*.py")]
            own = [path for path in (self.root / "params.yaml", *sources) if path.exists()]
            now = env, {path: path.stat().st_mtime_ns for path in own}
            if now != self._planned:
                self.run("python", "-m", "pipeline", "plan", **env)
                self._planned = now
        return subprocess.Popen(command, cwd=self.root, env=self.env | env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *command: str, **env: str) -> str:
        """Its stdout; fails with all that it said unless it succeeds."""
        with self.start(*command, **env) as process:
            try:
                out, error = process.communicate(timeout=600)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, out + error
        return out

    def stages(self, *items: str, **env: str) -> str:
        """Run the plan and then items by their words, in one process: to import JAX and to compile takes seconds."""
        code = "import sys\nfrom pipeline.__main__ import main\nfor words in sys.argv[1:]: main(words.split())"
        return self.run("python", "-c", code, "plan", *items, **env)

    def copy(self, folder: Path) -> "Clone":
        """A copy of all that is in it, under the same name in another folder."""
        return Clone(shutil.copytree(self.root, folder / self.root.name))

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "now")


@pytest.fixture(scope="session")
def tiniest() -> dict[str, Any]:
    """The params of the smoke profile, smaller still, with one experiment."""
    tree = YAML(typ="safe", pure=True).load(paths.ROOT / "profiles/smoke/params.yaml")
    tree["root"] = "."
    tree["items"]["experiments"] = ["vsml"]
    tree["experiments"] = {"vsml": tree["experiments"]["vsml"]}
    tree["defaults"] |= {"curriculum": TINY["curriculum"], "estimator": TINY["estimator"]}
    tree["defaults"]["learner"] |= TINY["learner"]
    return tree


@pytest.fixture
def tiny(tiniest) -> dict[str, Any]:
    """These params, to be changed."""
    return copy.deepcopy(tiniest)


CODE = ("vsml", "pipeline", "dvc.yaml", "claims.yaml", "datasets.lock", "requirements.lock")
HIDDEN = (".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")


def copy_code(root: Path) -> None:
    """Copy what a profile in a new folder needs, but for its params.yaml; with bytecode, as far as there is any."""
    for name in (*CODE, *HIDDEN):
        source, target = paths.ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)


@pytest.fixture(scope="session")
def first_clone(tmp_path_factory, tiniest) -> Clone:
    """The clone that every test has a copy of."""
    made = Clone(tmp_path_factory.mktemp("first") / "a clone")  # with a space, as users have
    copy_code(made.root)
    write_yaml(made.root / "params.yaml", tiniest)
    made.run("git", "init", "-q")
    made.commit()
    return made


@pytest.fixture
def clone(tmp_path, first_clone) -> Clone:
    return first_clone.copy(tmp_path)


@pytest.fixture(scope="session")
def first_small(first_clone, tiniest, tmp_path_factory) -> Clone:
    """A clone whose only items are two data sets, so that plans are made and dvc.yaml is read in no time."""
    made = first_clone.copy(tmp_path_factory.mktemp("small"))
    items = {kind: [] for kind in tiniest["items"]} | {"test_sets": ["iris", "wine"]}
    items |= {"figures": {study: [] for study in tiniest["items"]["figures"]}}
    write_yaml(made.root / "params.yaml", {"root": ".", "items": items})
    (made.root / "dvc.yaml").write_text((made.root / "dvc.yaml").read_text().split("  meta_train:")[0])
    made.commit()
    return made


@pytest.fixture
def small(tmp_path, first_small) -> Clone:
    return first_small.copy(tmp_path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database without runs: to make its tables anew takes MLflow as long as all that a test does with them."""
    folder = tmp_path_factory.mktemp("store")
    Store(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


def write_yaml(path: Path, tree: Any) -> None:
    yaml = YAML()
    yaml.default_flow_style = False
    with path.open("w") as file:
        yaml.dump(tree, file)


@pytest.fixture
def write_params():
    return write_yaml
