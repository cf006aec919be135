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

EPISODES = {"views": ["projected"], "inputs": [3], "classes": [2], "length": 4, "population": 2}
TINY = {
    "learner": {"hidden": 4, "message": 2},
    "curriculum": [{"steps": 12, "episodes": [EPISODES]}, {"steps": 8, "episodes": [EPISODES | {"length": 6}]}],
    "estimator": {"name": "backprop", "segment": None, "at_once": 1},
}
XLA_FLAGS = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"  # compiles faster


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

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "now")


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The params of the smoke profile, smaller still, with one experiment."""
    tree = YAML(typ="safe", pure=True).load(paths.ROOT / "profiles/smoke/params.yaml")
    tree["root"] = "."
    tree["items"]["experiments"] = ["vsml"]
    tree["experiments"] = {"vsml": tree["experiments"]["vsml"]}
    tree["defaults"] |= {"curriculum": TINY["curriculum"], "estimator": TINY["estimator"]}
    tree["defaults"]["learner"] |= TINY["learner"]
    return copy.deepcopy(tree)


CODE = ("vsml", "pipeline", "dvc.yaml", "claims.yaml", "datasets.lock", "requirements.lock")
HIDDEN = (".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")


def copy_code(root: Path) -> None:
    """Copy what a profile in a new folder needs, but for its params.yaml."""
    for name in (*CODE, *HIDDEN):
        source, target = paths.ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


@pytest.fixture
def clone(tmp_path, tiny) -> Clone:
    root = tmp_path / "a clone"  # with a space, as users have
    copy_code(root)
    write_yaml(root / "params.yaml", tiny)
    made = Clone(root)
    made.run("git", "init", "-q")
    made.commit()
    return made


def write_yaml(path: Path, tree: Any) -> None:
    yaml = YAML()
    yaml.default_flow_style = False
    with path.open("w") as file:
        yaml.dump(tree, file)


@pytest.fixture
def write_params():
    return write_yaml
