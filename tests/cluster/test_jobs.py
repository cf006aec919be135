"""The smoke profile as real Jobs: on a cluster with the PodTemplates, whose image holds the commit that is tested.

KUBECONFIG=… VSML_NAMESPACE=… MLFLOW_TRACKING_URI=… pytest -n 0 -m cluster tests/cluster
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import artifacts
from pipeline.executors.api import CORE, Api
from pipeline.executors.following import outcome
from pipeline.store import Store

ROOT = Path(__file__).parents[2]
PROFILE = "profiles/smoke"
pytestmark = pytest.mark.cluster


class Checkout:
    """A clone with a smoke profile that has never run: its numbers are of no other run, and its code is committed."""

    def __init__(self, folder: Path, steps: int = 3000) -> None:
        self.root, self.profile = folder, folder / PROFILE
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        yaml = YAML()
        tree = yaml.load(self.profile / "params.yaml")
        tree["defaults"]["curriculum"][0]["steps"] = steps
        tree["experiments"]["vsml"]["optimizer"]["learning_rate"] = random.uniform(0.004, 0.005)
        yaml.dump(tree, self.profile / "params.yaml")

    def start(self, *command: str, executor: str = "kubernetes", **env: str) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(self.root), "PIPELINE_EXECUTOR": executor, "PIPELINE_ALLOW_DIRTY": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.profile, env=os.environ | own | env, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *command: str, executor: str = "kubernetes", **env: str) -> str:
        process = self.start(*command, executor=executor, **env)
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out
        return out

    def digests(self) -> dict[str, str]:
        found = sorted((self.profile / "artifacts").rglob("*.*"))
        return {p.name: artifacts.sha256_file(p) for p in found if not p.name.startswith(".")}


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "clone")


def _until(done, what, seconds=300.0):
    give_up = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < give_up, f"{what} did not happen within {seconds} s"
        time.sleep(0.5)
    return found


def _job(api, name):
    found = api.job(name)
    assert found is not None
    return found


def _says(process, what):
    for line in process.stdout:
        if what in line:
            return line
    raise AssertionError(f"it ended with exit code {process.wait()} and did not say {what!r}")


def test_meta_training_loses_its_driver_its_pod_and_its_job_and_ends_as_if_nothing_had_happened(checkout):
    """Down to the bit, and with no second training; then DVC has nothing to do here."""
    api, store = Api(), Store()
    checkout.run("dvc", "repro", "train_data@digits")
    driver = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "0")
    name = _says(driver, "Submitted Job").split()[2]
    run = _job(api, name)["metadata"]["annotations"]["vsml/run"]
    _until(lambda: "checkpoints" in store.get(run).tags, "the first checkpoint")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (pod,) = api.pods(name)[0]
    api._patiently("DELETE", CORE, f"pods/{pod['metadata']['name']}", body={"gracePeriodSeconds": 0})

    again = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "0")
    _says(again, "Attached to Job")
    _says(again, "Going on from the checkpoint")
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate()
    assert again.returncode == 143 and "Detached" in out
    assert _until(lambda: outcome(_job(api, name)), "the end of the Job") == "Complete"
    api.delete(name)
    _until(lambda: api.job(name) is None, "that the Job is gone")

    out = checkout.run("dvc", "repro", "--single-item", "meta_train@vsml-0")
    assert f"Collected from MLflow run {run}" in out
    assert "up to date" in checkout.run("dvc", "repro", "meta_train@vsml-0", executor="local")
    collected = checkout.digests()
    sqlite = f"sqlite:///{checkout.root}/mlflow.db"
    checkout.run("python", "-m", "pipeline", "meta_train", "vsml", "0", executor="local", MLFLOW_TRACKING_URI=sqlite)
    assert checkout.digests() == collected


def test_a_cancelled_job_is_gone_and_says_so(checkout):
    api = Api()
    checkout.run("dvc", "repro", "train_data@digits")
    driver = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "1")
    name = _says(driver, "Submitted Job").split()[2]
    assert name in checkout.run("python", "-m", "pipeline", "jobs")
    checkout.run("python", "-m", "pipeline", "jobs", "cancel", name)
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1 and "was cancelled" in out
    _until(lambda: api.job(name) is None, "that the Job is gone")


def test_the_whole_profile_down_to_the_figures(tmp_path):
    """Four items at once; then DVC has nothing to do here."""
    checkout = Checkout(tmp_path / "clone", steps=20)
    lines = checkout.run("python", "-m", "pipeline", "repro", "--jobs", "4").splitlines()
    done, _, total = lines[-1].split()[:3]
    assert done == total, "\n".join(lines)
    assert (checkout.profile / "artifacts/report/index.html").exists()
    assert "Data and pipelines are up to date." in checkout.run("dvc", "repro", executor="local")
