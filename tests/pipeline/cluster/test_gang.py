"""What a process of a gang knows without the others; and meta-training that the pods of an Indexed Job share."""

import random
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from pipeline.cluster import gang
from pipeline.run import artifacts
from pipeline.track import tracking
from pipeline.track.store import Store
from tests.pipeline.cluster.conftest import Site
from tests.pipeline.conftest import XLA_FLAGS
from tests.servers import until

STEPS, STALLED_AFTER_S = 400, 75  # some ten seconds of computing, and longer than a loaded machine takes to start


@pytest.mark.parametrize(
    ("number", "address", "is_one"),
    [("2", "a:1", True), ("3", "a:1", False), ("", "a:1", False), ("-1", "a:1", False), ("0", "", False)],
)
def test_a_process_is_alone_unless_told_otherwise_and_numbered_by_kubernetes(monkeypatch, number, address, is_one):
    assert gang.member() == gang.Member(0, 1, "") and gang.member().alone and gang.member().leads
    monkeypatch.setenv(gang.PROCESSES, "3")
    monkeypatch.setenv(gang.COORDINATOR, address)
    monkeypatch.setenv(gang.NUMBER, number)
    if is_one:
        assert gang.member() == gang.Member(2, 3, "a:1") and not gang.member().alone and not gang.member().leads
    else:
        with pytest.raises(ValueError, match=r"expected a number from 0 to 2 and an address.*Indexed"):
            gang.member()


def test_the_watchdog_waits_for_others_longer_than_for_a_step_and_rows_are_progress(monkeypatch, tmp_path):
    monkeypatch.setenv(gang.STALLED_AFTER, "0.3")
    several = gang.Member(0, 2, "a:1")
    watchdog = gang.Watchdog(tmp_path, several)
    time.sleep(0.4)
    assert not watchdog.stalled(), "it waits for the others"
    (tmp_path / tracking.BEGIN).touch()
    assert not watchdog.stalled(), "it has just joined them"
    time.sleep(0.2)
    (tmp_path / tracking.CURVE).write_text("{}\n")
    assert not watchdog.stalled()
    time.sleep(0.2)
    assert not watchdog.stalled(), "the row was progress"
    time.sleep(0.2)
    assert "No meta-step was finished in 0 s" in watchdog.stalled()

    monkeypatch.setattr(gang, "JOINED_WITHIN_S", 0.1)
    deserted = gang.Watchdog(tmp_path / "nothing", several)
    monkeypatch.delenv(gang.STALLED_AFTER)
    monkeypatch.setattr(gang, "STALLED_AFTER_S", 0.1)
    alone = gang.Watchdog(tmp_path, gang.Member())
    time.sleep(0.5)
    assert deserted.stalled(), "the others never came"
    assert not alone.stalled(), "one that is alone has more time"
    monkeypatch.setattr(gang, "ALONE_AFTER_S", 0.1)
    hangs = gang.Watchdog(tmp_path, gang.Member())
    assert not hangs.stalled()
    time.sleep(0.2)
    assert hangs.stalled()
    monkeypatch.setenv(gang.STALLED_AFTER, "abc")
    with pytest.raises(ValueError, match="VSML_STALLED_AFTER_S is 'abc', expected a number of seconds; unset, it is"):
        gang.Watchdog(tmp_path, several)


class Gang(Site):
    """A clone whose meta-training runs on two pods with a device each."""

    def __init__(self, clone, cluster, mlflow) -> None:
        super().__init__(clone, cluster, mlflow)
        self.store = Store(mlflow)
        env = self.own | self.commit() | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        env["JAX_COMPILATION_CACHE_DIR"] = str(cluster.folder / "compiled")  # no compiling under the watchdog
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        env["XLA_FLAGS"] = XLA_FLAGS.replace("count=2", "count=1")
        cluster.template("vsml-large", env)
        cluster.gang(2)

    def start(self) -> subprocess.Popen[str]:
        return self.clone.start("python", "-m", "pipeline", "meta_train", "vsml", "0", **self.env)

    def outs(self) -> dict[str, str]:
        """Their digests; all traces of the run are removed, so that the next one computes all of it again."""
        folder = self.root / "artifacts/meta_train/vsml-0"
        found = {path.name: artifacts.sha256_file(path) for path in folder.iterdir()}
        self.store.forget(self.run())
        self.cluster.delete(self.job()["metadata"]["name"])
        shutil.rmtree(folder)
        return found

    def run(self) -> str:
        return self.job()["metadata"]["annotations"]["vsml/run"]


@pytest.fixture
def site(clone, tiny, write_params, cluster, mlflow):
    tiny["defaults"]["curriculum"][0]["steps"] = STEPS - 8
    tiny["defaults"]["curriculum"][0]["episodes"][0]["population"] = 128
    write_params(clone.root / "params.yaml", tiny)
    clone.run("python", "-m", "pipeline", "train_data", "digits")
    return Gang(clone, cluster, mlflow)


def _ends(driver):
    out, error = driver.communicate(timeout=900)
    assert driver.returncode == 0, out + error
    return out


def _log(pod):
    return b"".join(line for _, line in pod.log).decode()


def _goes_on(pods):
    """Whether the newest process that speaks for all has found a checkpoint."""
    *_, leads = (pod for pod in pods if pod.index == 0)
    return re.search(r"Going on from the checkpoint of meta-step [1-9]", _log(leads))


@pytest.mark.slow
def test_a_pod_is_killed_another_hangs_and_nothing_is_lost(site, cluster):
    out = _ends(site.start())
    assert out.count(f"meta-step {STEPS} of {STEPS}") == 1, "one process speaks for both"
    assert [pod.index for pod in cluster.pods] == [0, 1] and [pod.ended() for pod in cluster.pods] == [0, 0]
    assert site.store.get(site.run()).tags["device"].startswith("2 x cpu")
    curve = artifacts.read_table(site.clone.root / "artifacts/meta_train/vsml-0/curve.npz").arrays["loss"]
    assert len(curve) == site.store.last_step(site.run()) == STEPS

    whole = site.store.get(site.run()).tags
    known = next(key for key in whole if key.startswith("sha256."))
    site.store._client.delete_tag(site.run(), known)  # as if the first pod had been lost right after its commit
    cluster.start(site.job(), 0)
    until(lambda: cluster.pods[2].ended() == 0, "the end of its successor, which waits for no other", 120)
    assert "meta-step" not in _log(cluster.pods[2]) and site.store.get(site.run()).tags == whole
    undisturbed = site.outs()

    (container,) = cluster.templates["vsml-large"]["template"]["spec"]["containers"]
    container["env"].append({"name": gang.STALLED_AFTER, "value": str(STALLED_AFTER_S)})
    driver = site.start()
    assert any("Submitted" in line for line in driver.stdout), driver.communicate()
    until(lambda: "checkpoints" in site.store.get(site.run()).tags, "the first checkpoint", 300)
    for pods, blow in ((4, signal.SIGKILL), (6, signal.SIGSTOP)):
        victim = random.randrange(2)
        time.sleep(random.uniform(0, 3))
        struck, now = time.monotonic(), {pod.index: pod for pod in cluster.pods}
        if blow == signal.SIGKILL:
            now[victim].kill()
        else:
            (stage,) = psutil.Process(now[victim].process.pid).children()
            stage.suspend()
        until(lambda now=now: all(pod.ended() for pod in now.values()), "the end of both pods", 300)
        took_s = time.monotonic() - struck
        print(blow, victim, f"{took_s:.1f} s", [pod.ended() for pod in now.values()], _log(now[1 - victim])[-600:])
        assert took_s < STALLED_AFTER_S + 30
        assert now[1 - victim].ended() == gang.LOST
        assert now[victim].ended() == (137 if blow == signal.SIGKILL else gang.LOST)
        until(lambda pods=pods: len(cluster.pods) == pods and _goes_on(cluster.pods), "going on", 300)
    out = _ends(driver)
    assert out.count("all of them go on from the last checkpoint") == 3, "the one beside the dead one, and both"
    assert sorted(pod.index for pod in cluster.pods) == [0, 0, 0, 1, 1, 1]
    assert site.outs() == undisturbed
