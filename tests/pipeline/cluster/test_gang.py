"""Meta-training shared by the pods of an Indexed Job: one is killed or hangs, and the result is the same to the bit."""

import functools
import hashlib
import random
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from pipeline.cluster.gang import LOST, STALLED_AFTER
from pipeline.cluster.manifest import PODS
from pipeline.run import artifacts
from pipeline.track.store import Store

pytestmark = pytest.mark.slow
STEPS, STALLED_AFTER_S = 400, 120  # some ten seconds of computing, and longer than a loaded machine takes to start


class Site:
    """A clone whose meta-training runs on the cluster, on two pods with a device each."""

    def __init__(self, clone, cluster, mlflow) -> None:
        self.clone, self.cluster, self.uri, self.store = clone, cluster, mlflow, Store(mlflow)
        (clone.root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")  # which DVC would write
        clone.run("git", "add", "-A")
        clone.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "now")
        commit = clone.run("git", "rev-parse", "HEAD").strip()
        own = {"MLFLOW_TRACKING_URI": mlflow, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        env = own | {"VSML_COMMIT": commit, "TF_CPP_MIN_LOG_LEVEL": "3"}
        env["JAX_COMPILATION_CACHE_DIR"] = str(cluster.folder / "compiled")  # no compiling under the watchdog
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0"
        cluster.base = {name: clone.env[name] for name in ("PATH", "HOME", "PYTHONPATH")}
        cluster.template("vsml-large", env)
        cluster.templates["vsml-large"]["metadata"]["annotations"] = {PODS: "2"}
        cluster.templates["vsml-large"]["template"]["spec"]["subdomain"] = "vsml-gang"
        self.env = own | {"PIPELINE_EXECUTOR": "kubernetes", "KUBECONFIG": str(cluster.kubeconfig)}

    def start(self) -> subprocess.Popen[str]:
        return self.clone.start("python", "-m", "pipeline", "meta_train", "vsml", "0", **self.env)

    def outs(self) -> dict[str, str]:
        """Their digests; all traces of the run are removed, so that the next one computes all of it again."""
        folder = self.clone.root / "artifacts/meta_train/vsml-0"
        found = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        (name,) = self.cluster.jobs
        self.store.forget(self.run())
        self.cluster.delete(name)
        shutil.rmtree(folder)
        return found

    def run(self) -> str:
        (job,) = self.cluster.jobs.values()
        return job["metadata"]["annotations"]["vsml/run"]


@pytest.fixture
def site(clone, tiny, write_params, cluster, mlflow):
    tiny["defaults"]["curriculum"][0]["steps"] = STEPS - 8
    tiny["defaults"]["curriculum"][0]["lives"][0]["population"] = 128
    write_params(clone.root / "params.yaml", tiny)
    clone.run("python", "-m", "pipeline", "train_data", "digits")
    return Site(clone, cluster, mlflow)


def _ends(driver):
    out, error = driver.communicate(timeout=900)
    assert driver.returncode == 0, out + error
    return out


def _over(pods):
    return all(pod.ended() for pod in pods)


def _log(pod):
    return b"".join(line for _, line in pod.log).decode()


def test_a_pod_is_killed_another_hangs_and_nothing_is_lost(site, cluster):
    out = _ends(site.start())
    assert out.count(f"meta-step {STEPS} of {STEPS}") == 1, "one process speaks for both"
    assert [pod.index for pod in cluster.pods] == [0, 1] and [pod.ended() for pod in cluster.pods] == [0, 0]
    assert site.store.get(site.run()).tags["device"].startswith("2 x cpu")
    curve = artifacts.read_table(site.clone.root / "artifacts/meta_train/vsml-0/curve.npz").arrays["loss"]
    assert len(curve) == site.store.last_step(site.run()) == STEPS
    undisturbed = site.outs()

    (container,) = cluster.templates["vsml-large"]["template"]["spec"]["containers"]
    container["env"].append({"name": STALLED_AFTER, "value": str(STALLED_AFTER_S)})
    for blow, victim in ((signal.SIGKILL, random.randrange(2)), (signal.SIGSTOP, random.randrange(2))):
        driver = site.start()
        assert any("Submitted" in line for line in driver.stdout), driver.communicate()
        _until(lambda: "checkpoints" in site.store.get(site.run()).tags, "the first checkpoint")
        time.sleep(random.uniform(0, 3))
        first = dict(enumerate(cluster.pods))
        struck = time.monotonic()
        if blow == signal.SIGKILL:
            first[victim].kill()
        else:
            (stage,) = psutil.Process(first[victim].process.pid).children()
            stage.suspend()
        _until(functools.partial(_over, first.values()), "the end of both pods")
        took_s = time.monotonic() - struck
        print(blow, victim, f"{took_s:.1f} s", [pod.ended() for pod in first.values()], _log(first[1 - victim])[-600:])
        assert took_s < STALLED_AFTER_S + 30
        assert first[1 - victim].ended() == LOST
        assert first[victim].ended() == (137 if blow == signal.SIGKILL else LOST)
        out = _ends(driver)
        assert re.search(r"Going on from the checkpoint of meta-step [1-9]", out)
        assert "all of them go on from the last checkpoint" in out
        assert [pod.index for pod in cluster.pods].count(victim) == 2
        assert site.outs() == undisturbed, blow


def _until(done, what, seconds=300.0):
    give_up = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < give_up, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return found
