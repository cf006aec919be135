"""What a cluster does to a Job, done to one for real: it ends with the bytes of the undisturbed one.

On the node itself, as root: containers are killed by `ctr`, servers are stopped by their process ids.
.ci/cluster pytest -n 0 -s -m "cluster and slow" tests/cluster
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipeline.cluster.connection import Api
from pipeline.cluster.following import outcome
from pipeline.run import artifacts
from pipeline.track.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
STEPS, POPULATION = 4000, 16  # for a minute or so
AWAY_S = 120.0
CURVE = "artifacts/meta_train/vsml-0/curve.npz"
HOGS = """
import os, time
for _ in range(40):
    if not os.fork():
        held = bytearray(2**26)
        time.sleep(60)
        os._exit(0)
"""


class Watched:
    """A driver with a Job, and all that it says while it runs."""

    def __init__(self, checkout) -> None:
        self._api = Api()
        for left in (checkout.profile / "artifacts/meta_train", checkout.root / ".checkpoints"):
            shutil.rmtree(left, ignore_errors=True)
        self.driver = checkout.start("python", "-u", "-m", "pipeline", "meta_train", "vsml", "0")
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.name = self.until_said("Submitted Job").split()[2]
        self.run = self._job()["metadata"]["annotations"]["vsml/run"]

    def until_said(self, what: str, times: int = 1) -> str:
        """Wait until this is said so many times; the last line that says so."""
        while len(found := [line for line in list(self.said) if what in line]) < times:
            assert self.driver.poll() is None or self._listener.is_alive(), "\n".join(self.said)
            time.sleep(0.1)
        return found[times - 1]

    def pod(self) -> dict:
        (pod,) = [one for one in self._api.pods(self.name) if one["status"]["phase"] == "Running"]
        return pod

    def container(self) -> str:
        return self.pod()["status"]["containerStatuses"][0]["containerID"].split("//")[1]

    def ends(self) -> None:
        """Wait for the end, which is a good one."""
        self._listener.join(900)
        assert self.driver.wait(10) == 0, "\n".join(self.said)
        assert self.driver.stdout is not None
        self.driver.stdout.close()
        assert outcome(self._job()) == "Complete"

    def forget(self) -> None:
        """Have no one know of the Job and of what it left: the same work is then done again."""
        Store().forget(self.run)
        self._api.delete(self.name)
        while self._api.job(self.name) is not None:
            time.sleep(0.3)

    def logs(self) -> list[str]:
        """What the kubelet has of all pods that are still there, the oldest first."""
        names = [pod["metadata"]["name"] for pod in self._api.pods(self.name)]
        return [line for name in names for line in kubectl("logs", name).splitlines()]

    def _job(self) -> dict:
        return self._api.job(self.name) or {}

    def _listen(self) -> None:
        for line in self.driver.stdout or ():
            self.said.append(line.rstrip("\n"))
            print(f"{time.strftime('%H:%M:%S')} {line}", end="", flush=True)


@pytest.fixture(scope="module", autouse=True)
def on_the_node():
    if os.geteuid() or shutil.which("ctr") is None or subprocess.run(["ctr", "-n", "k8s.io", "tasks", "ls"]).returncode:
        pytest.skip("these tests want to be root on the node, where containerd answers to `ctr`")


@pytest.fixture(scope="module")
def course(checkout_of, tmp_path_factory):
    """A clone with its data, and what the undisturbed Job left in it."""
    checkout = checkout_of(tmp_path_factory.mktemp("faults") / "clone", steps=STEPS, population=POPULATION)
    checkout.run("dvc", "repro", "train_data@digits", executor="local")
    watched = Watched(checkout)
    watched.ends()
    expected = trained(checkout)
    assert expected
    watched.forget()
    return checkout, expected


@pytest.fixture
def watched(course):
    checkout, expected = course
    found = Watched(checkout)
    found.until_said(": meta-step")
    time.sleep(random.uniform(5, 25))
    print(f"FAULT at {found.said[-1]!r}", flush=True)
    yield found
    found.ends()
    assert trained(checkout) == expected
    in_order(found.said)
    assert logged(found.run) == list(range(1, len(artifacts.read_arrays(checkout.profile / CURVE)["loss"]) + 1))
    found.forget()


def test_a_killed_pod(watched):
    subprocess.run(["ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", watched.container()], check=True)
    watched.until_said("Going on from the checkpoint")
    assert "exit code 137" in watched.until_said("ended: ")


def test_a_pod_whose_stage_meets_the_limit_of_its_memory_is_not_followed_by_others_that_would(course):
    """Many small processes take the memory, so that the kernel chooses the stage, which it is told to prefer."""
    watched = Watched(course[0])
    watched.until_said(": meta-step")
    name, stage = watched.pod()["metadata"]["name"], stage_of(watched.container())
    Path(f"/proc/{stage}/oom_score_adj").write_text("1000")
    with subprocess.Popen(["kubectl", "exec", "-n", Api().namespace, name, "--", "python", "-c", HOGS]):
        watched.until_said("needs more memory than its PodTemplate gives it")
    assert watched.driver.wait(60) == 1 and Store().get(watched.run).status == "FAILED"
    watched.forget()


def test_a_stage_is_given_no_login_and_cannot_read_that_of_the_process_that_watches_it(watched):
    def environment(process: int) -> str:
        return kubectl("exec", pod, "--", "sh", "-c", f"tr '\\0' '\\n' < /proc/{process}/environ || echo REFUSED")

    pod = watched.pod()["metadata"]["name"]
    inside = kubectl("exec", pod, "--", "sh", "-c", "grep -l meta_train /proc/[0-9]*/cmdline").split()
    first, stage = sorted(int(path.split("/")[2]) for path in inside if path.split("/")[2].isdecimal())[:2]
    assert first == 1 and environment(first).strip() == "REFUSED"
    assert "PIPELINE_EXECUTOR=local" in environment(stage) and "MLFLOW_" not in environment(stage)


def test_a_drained_node(watched):
    node = watched.pod()["spec"]["nodeName"]
    try:
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")
    finally:
        kubectl("uncordon", node)
    watched.until_said("This pod has to go")
    watched.until_said("Going on from the checkpoint")


def test_an_api_server_that_stops_for_two_minutes(watched):
    stopped("kube-apiserver")
    watched.until_said(": meta-step", times=sum(": meta-step" in line for line in watched.said) + 1)
    said_as_logged(watched)


def test_an_mlflow_that_stops_for_two_minutes(watched):
    stopped("mlflow server")
    watched.until_said("MLflow takes nothing now")
    said_as_logged(watched)


def stopped(*names: str) -> None:
    """Stop all processes of these commands for a while, and those that they have started."""
    every = [(one, " ".join(one.info["cmdline"] or ())) for one in psutil.process_iter(["cmdline"])]
    found = [one for one, command in every if any(name in command for name in names)]
    assert found, f"no process of {names}"
    found = list({one.pid: one for first in found for one in (first, *first.children(recursive=True))}.values())
    with contextlib.ExitStack() as going_on:
        for process in found:
            process.send_signal(signal.SIGSTOP)
            going_on.callback(process.send_signal, signal.SIGCONT)
        time.sleep(AWAY_S)
    print(f"{len(found)} processes of {names} go on after {AWAY_S:.0f} s", flush=True)


def stage_of(container: str) -> int:
    """The process of the stage in a container: the child of the one that watches it."""
    listed = subprocess.run(["ctr", "-n", "k8s.io", "tasks", "ps", container], check=True, capture_output=True)
    inside = {int(line.split()[0]) for line in listed.stdout.splitlines()[1:]}
    (stage,) = [one for one in inside if psutil.Process(one).ppid() in inside]
    return stage


def said_as_logged(watched: Watched) -> None:
    """Once it is over, all that the pod has logged was said, each line once and in this order."""
    watched.ends()
    lines = watched.logs()
    known = set(lines)
    assert [line for line in watched.said if line in known] == lines


def in_order(said: list[str]) -> None:
    """Meta-steps rise; they go back only to the checkpoint from which a successor goes on."""
    last = 0
    for line in said:
        if "Going on from the checkpoint of meta-step" in line:
            last = int(line.split()[-1])
        elif ": meta-step " in line:
            step = int(line.split("meta-step ")[1].split()[0])
            assert step > last, line
            last = step


def logged(run: str) -> list[int]:
    """The rows of the curve that MLflow has."""
    return sorted(seen.step for seen in Store()._client.get_metric_history(run, "loss"))


def trained(checkout) -> dict[str, str]:
    return {name: digest for name, digest in checkout.digests().items() if name.startswith("meta_train/")}


def kubectl(*words: str) -> str:
    command = ["kubectl", "-n", Api().namespace, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
