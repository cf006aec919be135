"""A clone whose items run as Jobs where KUBECONFIG, VSML_NAMESPACE and MLFLOW_TRACKING_URI point to."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.run import artifacts

ROOT = Path(__file__).parents[2]
PROFILE = "profiles/smoke"
STAGES = ("plan", "train_data", "test_data", "meta_train", "meta_test", "baseline", "learning_figure")
FEW = {"experiments": ["vsml"], "seeds": [0], "baselines": ["sgd"]}
DRAWN = ["meta_training", "online_learning"]


class Checkout:
    """A clone with a part of the smoke profile, from raw files to figures, that has never run.

    Its numbers are of no other run, and its code is committed.
    """

    def __init__(self, folder: Path, steps: int = 2000, population: int = 4) -> None:
        self.root, self.profile = folder, folder / PROFILE
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        yaml = YAML()
        tree = yaml.load(self.profile / "params.yaml")
        tree["items"] |= FEW | {"figures": {study: [] for study in tree["items"]["figures"]} | {"learning": DRAWN}}
        first = tree["defaults"]["curriculum"][0]
        first["steps"], first["episodes"][0]["population"] = steps, population
        tree["defaults"]["optimizer"]["learning_rate"] = random.uniform(0.004, 0.005)
        yaml.dump(tree, self.profile / "params.yaml")
        pipeline = yaml.load(self.profile / "dvc.yaml")
        pipeline["stages"] = {name: pipeline["stages"][name] for name in STAGES}
        yaml.dump(pipeline, self.profile / "dvc.yaml")

    def start(self, *command: str, executor: str = "kubernetes", **env: str) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(self.root), "PIPELINE_EXECUTOR": executor, "PIPELINE_ALLOW_DIRTY": "1"}
        # Those of the tests change numbers, and pods have not got them.
        usual = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(command, cwd=self.profile, env=usual | own | env, stdout=pipe, stderr=out, text=True)

    def run(self, *command: str, executor: str = "kubernetes", **env: str) -> str:
        process = self.start(*command, executor=executor, **env)
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out
        return out

    def digests(self) -> dict[str, str]:
        """The sha256 of all that stages have left."""
        found = sorted((self.profile / "artifacts").rglob("*.*"))
        named = {path.relative_to(self.profile / "artifacts").as_posix(): path for path in found}
        return {name: artifacts.sha256_file(path) for name, path in named.items() if not path.name.startswith(".")}

    def lock(self) -> dict:
        """What dvc.lock says of each item: its command, and the md5 of each dep, each out and each param."""
        return YAML(typ="safe", pure=True).load(self.profile / "dvc.lock")["stages"]


@pytest.fixture(scope="session")
def checkout_of():
    return Checkout


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "clone")
