"""Items as Jobs, from the command that DVC records to the outs: real pods (processes), a real MLflow, a real DVC."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from pipeline.run import artifacts
from pipeline.track.store import Store
from tests.pipeline.cluster.conftest import Site
from tests.servers import says, until

pytestmark = pytest.mark.slow

# A stage that can be halted at a step, goes on from checkpoints, and whose curve and out tell whether it went on well.
SLOW = '''
"""Adds up, slowly."""
import os, time
from pathlib import Path
import numpy as np
from pipeline.run import artifacts, paths
from pipeline.run.checkpoints import Folder

def main(job, run):
    folder, (name,) = Folder(paths.CHECKPOINTS / job.fingerprint), job.item
    last = folder.load()
    step, total, curve = 0, len(name), {"loss": []}
    if last is not None:
        run.resume(last.facts["run"])
        step, total, curve = last.step, int(last.arrays["total"]), {"loss": last.arrays["loss"].tolist()}
        print(f"going on from step {step}", flush=True)
    while step < 9:
        step, total = step + 1, (3 * total + 1) % 10007
        curve["loss"].append(float(total))
        run.follow(curve)
        folder.save(step, {"total": total, "loss": np.asarray(curve["loss"])}, {"run": run.id})
        print(f"step {step} total {total}", flush=True)
        gate = Path(os.environ["GATES"], name)
        while step >= 5 and gate.exists():
            time.sleep(0.02)
    artifacts.write_arrays(paths.test_data(name), {"total": total})
    run.at_end(folder.remove)
'''
DRIVER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); from pipeline.__main__ import main; main({!r})"


class Slow(Site):
    """A clone whose stages run on the cluster, by drivers that have no jax."""

    def __init__(self, clone, cluster, mlflow, gates) -> None:
        super().__init__(clone, cluster, mlflow)
        self.gates, none = gates, gates.parent / "no jax"
        none.mkdir()
        (none / "jax.py").write_text("raise ImportError('who only submits needs no jax')")
        self.env["PYTHONPATH"] = f"{clone.root}{os.pathsep}{none}"
        self.deploy()

    def deploy(self) -> None:
        self.cluster.template("vsml-small", self.own | {"GATES": str(self.gates)} | self.commit())

    def start(self, *words: str, stdin=None, **env: str) -> subprocess.Popen[str]:
        """A stage item, by the words that DVC runs."""
        self.clone.run("python", "-m", "pipeline", "plan")
        command = [sys.executable, "-c", DRIVER.format(list(words))]
        own, pipe = self.clone.env | self.env | env, subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.root, env=own, stdin=stdin, stdout=pipe, stderr=pipe, start_new_session=True, text=True
        )

    def close_gate(self, name: str) -> None:
        self.gates.mkdir(exist_ok=True)
        (self.gates / name).touch()

    def open_gate(self, name: str) -> None:
        (self.gates / name).unlink()

    def total(self, name: str) -> int:
        return int(artifacts.read_arrays(self.root / f"artifacts/test_data/{name}.npz")["total"])


@pytest.fixture
def site(clone, cluster, mlflow, tmp_path):
    return Slow(clone, cluster, mlflow, tmp_path / "gates")


@pytest.fixture
def slow(site):
    (site.root / "pipeline/data/splits.py").write_text(SLOW)
    site.deploy()
    return site


def _ends(process, status=0, seconds=90):
    """What it says until it ends with this status; `communicate` would miss the lines that are read ahead."""
    give_up = threading.Timer(seconds, process.kill)
    give_up.start()
    out, error = process.stdout.read(), process.stderr.read()
    process.communicate()
    give_up.cancel()
    assert process.returncode == status, out + error
    return out, error


def _total(name):
    total = len(name)
    for _ in range(9):
        total = (3 * total + 1) % 10007
    return total


def test_dvc_repro_on_the_cluster_leaves_what_it_leaves_here(site, cluster):
    """The same command, lock and bytes, from an API that stumbles, by a driver that never imports jax."""
    cluster.fail("POST", 500)
    cluster.fail("POST", "lost")
    cluster.fail("GET .*podtemplates", 429)
    cluster.fail(r"/log\?", "reset")
    out = site.clone.run("dvc", "repro", "test_data@iris", **site.env)
    assert "Submitted Job vsml-test-data-" in out
    assert not [fault for fault in cluster.faults if "log" not in fault.asked]
    assert "Data and pipelines are up to date." in site.clone.run("dvc", "repro", "test_data@iris")
    assert cluster.created == 1

    out = site.root / "artifacts/test_data/iris.npz"
    from_pod = out.read_bytes()
    out.unlink()
    site.clone.run("python", "-m", "pipeline", "test_data", "iris")
    assert out.read_bytes() == from_pod


def test_driver_and_pods_are_killed_and_nothing_is_lost(slow, cluster, served, mlflow):
    """Driver killed, pod killed; attached, collected when the Job is gone, remade when the result is not whole."""
    slow.close_gate("wine")
    first = slow.start("test_data", "wine")
    says(first, "step 5 total")
    first.kill()
    first.communicate()
    (pod,) = cluster.pods
    store = Store(mlflow)
    (run,) = (found.id for found in store.find({"stage": "test_data", "set": "wine"}))
    until(lambda: "checkpoints" in store.get(run).tags, "the first checkpoint")
    pod.kill()

    second = slow.start("test_data", "wine")
    assert "Attached to Job" in says(second, "Attached")
    line = says(second, "going on from step")
    slow.open_gate("wine")
    out, _ = _ends(second)
    assert int(line.split()[-1]) >= 1
    said = re.findall(r"^step (\d+)", out, re.MULTILINE)
    assert said == [str(step) for step in range(int(line.split()[-1]) + 1, 10)], "each line once, in order"
    assert slow.total("wine") == _total("wine")
    assert store.get(run).status == "FINISHED" and store.last_step(run) == 9
    assert store.get(run).tags["resumed"] == "true"
    history = [metric.step for metric in store._client.get_metric_history(run, "loss")]
    assert sorted(history) == list(range(1, 10)), "no row of the curve is lost, none is there twice"

    cluster.delete(slow.job()["metadata"]["name"])
    shutil.rmtree(slow.root / "artifacts")
    out, error = _ends(slow.start("test_data", "wine"))
    assert f"Collected from MLflow run {run}" in out, out + error
    assert (slow.total("wine"), cluster.created) == (_total("wine"), 1)

    (kept,) = served[1].rglob(f"{run}/artifacts/attempts/*/outs/artifacts/test_data/wine.npz")
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    out, _ = _ends(slow.start("test_data", "wine"))
    assert "is not what it says and is set aside" in out and "Submitted Job" in out
    assert (slow.total("wine"), cluster.created) == (_total("wine"), 2)


def test_two_pods_of_one_job_cannot_mix_and_a_tracker_that_is_away_is_waited_for(slow, cluster, wire, mlflow):
    slow.close_gate("iris")
    cluster.at_once = 2
    driver = slow.start("test_data", "iris")
    says(driver, "step 5 total")
    until(lambda: all(any(b"step 5" in line for _, line in pod.log) for pod in cluster.pods), "both pods")
    wire.cut = True
    slow.open_gate("iris")
    until(lambda: any(b"All is computed" in line for _, line in cluster.pods[0].log), "a pod that waits")
    wire.cut = False
    _ends(driver)
    assert slow.total("iris") == _total("iris")
    until(lambda: all(pod.ended() == 0 for pod in cluster.pods), "the end of both pods")
    said = b"".join(line for pod in cluster.pods for _, line in pod.log)
    assert said.count(b"Another pod of this Job was faster") == 1
    fingerprint = slow.job()["metadata"]["annotations"]["vsml/fingerprint"]
    (found,) = Store(mlflow).find({"stage": "test_data", "set": "iris", "fingerprint": fingerprint})
    winner = found.params["committed"].split()[0].removeprefix("attempts/")
    assert winner in {pod.uid for pod in cluster.pods}
    assert Store(mlflow).last_step(found.id) == 9


def test_detached_evicted_listed_cancelled(slow, cluster, mlflow):
    slow.close_gate("digits")
    first = slow.start("test_data", "digits")
    says(first, "step 5 total")
    first.send_signal(signal.SIGTERM)
    assert "Detached from Job" in _ends(first, 143)[0]

    near, far = pty.openpty()
    with os.fdopen(near, "w") as keys, os.fdopen(far) as terminal:
        second = slow.start("test_data", "digits", stdin=terminal)
        says(second, "step 5 total")
        second.send_signal(signal.SIGINT)
        keys.write("\n")  # go on
        keys.flush()
        (pod,) = cluster.pods
        pod.process.terminate()  # as the first process of a pod is told to go
        says(second, "This pod has to go.")
        says(second, "going on from step 5")
        listed = slow.clone.run("python", "-m", "pipeline", "jobs", **slow.env)
        name = slow.job()["metadata"]["name"]
        assert re.search(rf"{name}  test_data digits  0:\d\d:\d\d  Running, 1 pods lost", listed)
        slow.clone.run("python", "-m", "pipeline", "jobs", "cancel", name[-6:], **slow.env)
        assert "was cancelled. The same command starts it anew." in _ends(second, 1)[1]
    assert not cluster.jobs


def test_a_job_that_is_refused_or_gets_no_pod_leaves_no_run_that_seems_to_go_on(slow, cluster, mlflow):
    cluster.fail("POST .*/jobs", 403)
    assert "403" in _ends(slow.start("test_data", "iris"), 1)[1]
    refused = 'Error creating: pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    cluster.at_once, cluster.events = 0, [{"reason": "FailedCreate", "message": refused}]
    assert f"gets no pod: FailedCreate: {refused}" in _ends(slow.start("test_data", "iris"), 1)[1]
    assert not cluster.jobs
    runs = Store().find({"stage": "test_data", "set": "iris", "executor": "kubernetes"})
    assert {run.status for run in runs[:2]} == {"FAILED"}


def test_a_run_whose_driver_dies_before_its_job_is_made_or_whose_job_ends_unwatched_is_closed(slow, cluster, mlflow):
    def statuses():
        (newest, *_) = Store().find({"stage": "test_data", "set": "wine", "executor": "kubernetes"})
        return [run.status for run in Store().find({"fingerprint": newest.tags["fingerprint"]})]

    cluster.fail("POST .*/jobs", "silent")
    driver = slow.start("test_data", "wine")
    until(lambda: not cluster.faults, "a request to make a Job")
    driver.kill()
    driver.communicate()
    assert (cluster.created, statuses()) == (0, ["RUNNING"])

    slow.close_gate("wine")
    driver = slow.start("test_data", "wine")
    says(driver, "step 5 total")
    assert statuses() == ["RUNNING", "FAILED"]
    driver.kill()
    driver.communicate()
    cluster.delete(slow.job()["metadata"]["name"])

    slow.open_gate("wine")
    _ends(slow.start("test_data", "wine"))
    assert (statuses(), cluster.created) == (["FINISHED", "FAILED", "FAILED"], 2)
    assert slow.total("wine") == _total("wine")
    assert {run.status for run in Store().find({"stage": "upload"})} == {"FINISHED"}


def _write_more(root):
    with (root / "pipeline/run/artifacts.py").open("a") as code:
        code.write("\nMORE = 1\n")


def test_other_code_in_the_image_is_refused_by_the_driver_and_by_the_pod(slow, cluster, mlflow):
    _write_more(slow.root)
    _, error = _ends(slow.start("test_data", "breast_cancer"), 1)
    assert "The working tree is dirty at commit" in error and "PIPELINE_ALLOW_DIRTY=1" in error
    assert not cluster.created
    slow.deploy()

    other = slow.root.parent / "other code"
    shutil.copytree(slow.root, other, ignore=shutil.ignore_patterns(".git", "artifacts"))
    _write_more(other)
    cluster.base["PYTHONPATH"] = str(other)
    out, error = _ends(slow.start("test_data", "breast_cancer"), 1)
    assert "code in the image are not as planned (files: pipeline/run/artifacts.py)" in out
    assert "PodFailurePolicy" in error and len(cluster.pods) == 1

    (slow.root / "note").touch()
    out, error = _ends(slow.start("test_data", "breast_cancer", PIPELINE_ALLOW_DIRTY="1"))
    assert "The run is marked as not auditable." in out, out + error
    (newest, *_) = Store(mlflow).find({"stage": "test_data", "set": "breast_cancer"})
    assert newest.tags["auditable"] == "false"
