"""A cluster small enough for a test: an API that can be told to fail, and a kubelet that truly runs what it is given.

The API speaks the few paths that are needed, over HTTP. Pods are processes of this machine, in folders of their own.
MLflow is a real server behind a wire that can be cut.
"""

import contextlib
import datetime
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.cluster.following import outcome
from pipeline.cluster.manifest import PODS
from tests.servers import free_port, kubeconfig, mlflow_server


class Fault(NamedTuple):
    """What is to go wrong with the next request that matches: a status, `reset`, `lost`, `silent`, `cut` in time."""

    asked: str = ""  # a regular expression on "METHOD path?query"
    how: int | str = ""
    after: int = 0


class Pod:
    """A process with a log, stamped line by line as a container runtime does it."""

    def __init__(self, number: int, job: dict, folder: Path, base: dict[str, str], index: int | None = None) -> None:
        self.name, self.uid = f"{job['metadata']['name']}-{number}", str(uuid.uuid4())
        self.job, self.log, self.began, self.index = job, [], now(), index
        (container,) = job["spec"]["template"]["spec"]["containers"]
        env = base | {entry["name"]: entry.get("value", self.uid) for entry in container["env"]}
        if index is not None:
            env["JOB_COMPLETION_INDEX"] = str(index)
            first = f"{job['metadata']['name']}-0.{job['spec']['template']['spec']['subdomain']}:"
            assert env["VSML_COORDINATOR"].startswith(first), "what DNS knows"
            env["VSML_COORDINATOR"] = f"127.0.0.1:{job['port']}"
        folder.mkdir(parents=True)
        command, pipe = [*container["command"], *container["args"]], subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append((now(), line))
        self.process.stdout.close()

    def ended(self) -> int | None:
        status = self.process.poll()
        if status is None or self._pump.is_alive():
            return None
        return status if status >= 0 else 128 - status

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def as_dict(self) -> dict[str, Any]:
        code = self.ended()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "reason": "Error"}}
        stages = [{"name": "stage", "state": state}]
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        number = {} if self.index is None else {"batch.kubernetes.io/job-completion-index": str(self.index)}
        about = {"name": self.name, "creationTimestamp": self.began, "annotations": number}
        return {"metadata": about, "status": {"phase": phase, "containerStatuses": stages}}


class Cluster:
    """State, kubelet and API of one namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.templates, self.jobs, self.pods = folder, {}, {}, []
        self.base: dict[str, str] = {}  # environment of every pod, as an image has one
        self.faults: list[Fault] = []
        self.answers: dict[str, tuple[int, Any]] = {}  # status and body, by path: what stands above all else
        self.denied: set[tuple[str, str]] = set()  # rights: verb and resource
        self.created = 0
        self.at_once = 1  # pods that a Job starts with: "may sometimes be started twice"
        self.events: list[dict[str, str]] = []  # of the only Job
        self.token: str | None = None  # that a request must bear, if any
        self.down = False
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"cluster": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._kubelet, daemon=True).start()
        self.kubeconfig = folder / "kubeconfig"
        kubeconfig(self.kubeconfig, self.server.server_port, namespace="test")

    def template(self, name: str, env: dict[str, str], gpus: int = 0) -> None:
        entries = [{"name": key, "value": value} for key, value in env.items()]
        limits = {"limits": {"nvidia.com/gpu": str(gpus)} if gpus else {}}
        container = {"name": "stage", "image": "vsml@sha256:0", "env": entries, "resources": limits}
        spec = {"containers": [container], "restartPolicy": "Never"}
        self.templates[name] = {"metadata": {"name": name}, "template": {"metadata": {}, "spec": spec}}

    def gang(self, pods: int) -> None:
        """Have the large template spread a population over so many pods."""
        self.templates["vsml-large"]["metadata"]["annotations"] = {PODS: str(pods)}
        self.templates["vsml-large"]["template"]["spec"]["subdomain"] = "vsml-gang"

    def create(self, job: dict) -> bool:
        with self.lock:
            name = job["metadata"]["name"]
            if name in self.jobs:
                return False
            self.created += 1
            job["metadata"] |= {"creationTimestamp": now(), "uid": str(uuid.uuid4())}
            job["status"] = {"active": 1, "failed": 0}
            self.jobs[name] = job
            job["port"] = free_port()  # of the coordinator of a gang
            indexed = job["spec"].get("completionMode") == "Indexed"
            for index in range(job["spec"]["parallelism"]) if indexed else [None] * self.at_once:
                self.start(job, index)
            return True

    def delete(self, name: str) -> None:
        """As `kubectl delete job`, and as what happens to a finished Job when its time is over."""
        with self.lock:
            self.jobs.pop(name, None)
            for pod in self.pods_of(name):
                pod.kill()
                self.pods.remove(pod)

    def pods_of(self, name: str) -> list[Pod]:
        with self.lock:
            return [pod for pod in self.pods if pod.job["metadata"]["name"] == name]

    def fail(self, asked: str, how: int | str, after: int = 0) -> None:
        """Have the next request that matches go wrong."""
        self.faults.append(Fault(asked, how, after))

    def fault(self, asked: str) -> Fault:
        with self.lock:
            if self.down:
                return Fault(how="reset")
            found = next((fault for fault in self.faults if re.search(fault.asked, asked)), Fault())
            self.faults = [fault for fault in self.faults if fault is not found]
            return found

    def start(self, job: dict, index: int | None = None) -> None:
        number = len(self.pods) + 1
        self.pods.append(Pod(number, job, self.folder / f"pod{number}" / str(uuid.uuid4()), self.base, index))

    def _kubelet(self) -> None:
        """The Job controller too: pods that fail have successors, until policy or limit say no."""
        while not self.closed.wait(0.02):
            with self.lock:
                for job in list(self.jobs.values()):
                    if outcome(job) is None:
                        self._control(job)

    def _control(self, job: dict) -> None:
        pods, policy = self.pods_of(job["metadata"]["name"]), job["spec"]["podFailurePolicy"]
        codes = [pod.ended() for pod in pods]
        indexed = job["spec"].get("completionMode") == "Indexed"
        if None in codes and not indexed:
            return
        last = {pod.index: code for pod, code in zip(pods, codes, strict=True)}  # of each index
        failed = [code for code in codes if code]
        if all(code == 0 for code in last.values()) if indexed else 0 in codes:
            end = {"type": "Complete"}
        elif set(failed) & set(policy["rules"][1]["onExitCodes"]["values"]):
            end = {"type": "Failed", "reason": "PodFailurePolicy", "message": f"exit codes {failed}"}
        elif len(failed) > job["spec"]["backoffLimit"]:
            end = {"type": "Failed", "reason": "BackoffLimitExceeded", "message": "too many"}
        else:
            job["status"]["failed"] = len(failed)
            for index in [index for index, code in last.items() if code]:
                self.start(job, index)
            return
        job["status"] = {"active": 0, "failed": len(failed), "conditions": [end | {"status": "True"}]}

    def close(self) -> None:
        self.closed.set()
        for pod in self.pods:
            pod.kill()
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """The paths of the API that are needed."""

    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *words) -> None:
        pass

    def _answer(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # clients come and go
            self._route()

    def _route(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        fault = self.cluster.fault(f"{self.command} {self.path}")
        if isinstance(fault.how, int):
            return self._json({"message": "scripted"}, fault.how)
        if fault.how == "silent" and not self.path.partition("?")[0].endswith("/log"):
            self.cluster.closed.wait(60)
        if fault.how == "reset":
            return self._reset()
        if self.cluster.token is not None and self.headers.get("Authorization") != f"Bearer {self.cluster.token}":
            return self._json({"message": "Unauthorized"}, 401)
        split = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(split.query))
        kind, name, *_ = [*split.path.partition("/namespaces/test/")[2].split("/"), "", ""]
        if split.path in self.cluster.answers:
            self._json(*reversed(self.cluster.answers[split.path]))
        elif split.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            right = body["spec"]["resourceAttributes"]
            asked = right["verb"], "/".join(filter(None, (right["resource"], right["subresource"])))
            allowed = right["namespace"] == "test" and asked not in self.cluster.denied
            self._json(body | {"status": {"allowed": allowed}}, 201)
        elif split.path.endswith("/log"):
            self._log(name, query, fault)
        elif kind == "events":
            name = query["fieldSelector"].removeprefix("involvedObject.name=")
            uid = self.cluster.jobs.get(name, {}).get("metadata", {}).get("uid")
            about = {"involvedObject": {"name": name, "uid": uid}}
            self._json({"items": [about | event for event in self.cluster.events if name in self.cluster.jobs]})
        elif kind in ("podtemplates", "jobs") and self.command == "GET" and name:
            found = (self.cluster.templates if kind == "podtemplates" else self.cluster.jobs).get(name)
            self._json(found or {"message": "NotFound"}, 200 if found else 404)
        elif kind == "pods":
            pods = self.cluster.pods_of(query["labelSelector"].removeprefix("job-name="))
            self._json({"items": [pod.as_dict() for pod in pods]})
        elif kind != "jobs":
            self._json({"message": "NotFound"}, 404)
        elif self.command == "POST":
            created = self.cluster.create(body)
            if fault.how == "lost":  # done, but the answer does not arrive
                return self._reset()
            self._json(body if created else {"message": "AlreadyExists"}, 201 if created else 409)
        elif not name:
            self._json({"items": list(self.cluster.jobs.values())})
        else:
            self.cluster.delete(name)
            self._json({})

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def _json(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _log(self, name: str, query: dict[str, str], fault: Fault) -> None:
        """Stamped lines; `sinceTime` counts in whole seconds, as with a kubelet, so lines come again."""
        (pod,) = [pod for pod in self.cluster.pods if pod.name == name] or [None]
        if pod is None:
            return self._json({"message": "NotFound"}, 404)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        since, sent, place = query.get("sinceTime", "")[:19], 0, 0
        while not self.cluster.closed.wait(0.02):
            over = pod.ended() is not None
            lines, place = pod.log[place:], len(pod.log)
            for stamp, line in lines:
                if stamp[:19] < since:
                    continue
                data = f"{stamp} ".encode() + line
                too_far = sent + len(data) > fault.after
                if fault.how == "cut" and too_far:
                    self._chunk(data[: fault.after - sent])
                if fault.how == "silent" and too_far:
                    self.cluster.closed.wait(5)
                if self.cluster.down or (fault.how in ("cut", "silent") and too_far):
                    return self._reset()
                sent += len(data)
                self._chunk(data)
            if over or query["follow"] == "false":
                return self._chunk(b"")


def now() -> str:
    """With nanoseconds, of which the clock's last digits are zero and left out, as container runtimes do."""
    moment = datetime.datetime.now(datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}".rstrip("0").rstrip(".") + "Z"


class Site:
    """A clone whose items run as Jobs: `own` is what pods and drivers know, `env` what a driver is given."""

    def __init__(self, clone, cluster: Cluster, mlflow: str) -> None:
        self.clone, self.cluster, self.root = clone, cluster, clone.root
        self.own = {"MLFLOW_TRACKING_URI": mlflow, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        self.env = self.own | {"PIPELINE_EXECUTOR": "kubernetes", "KUBECONFIG": str(cluster.kubeconfig)}
        cluster.base = {name: clone.env[name] for name in ("PATH", "HOME", "PYTHONPATH")}

    def commit(self) -> dict[str, str]:
        """Commit all that is in the clone, as what an image holds."""
        (self.root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")  # which DVC would write
        self.clone.run("git", "add", "-A")
        self.clone.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "now", "--allow-empty")
        return {"VSML_COMMIT": self.clone.run("git", "rev-parse", "HEAD").strip()}

    def job(self) -> dict:
        (job,) = self.cluster.jobs.values()
        return job


class Wire:
    """Connections to a server, all of which can be cut and refused; what is sent while `late` is set waits for it.

    Each part of an answer comes after `answers_after_s`.
    """

    def __init__(self, target: int) -> None:
        self.target, self.cut, self.answers_after_s = target, False, 0.0
        self.late: threading.Event | None = None
        self.answer_to_late = b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self.cut:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as far:
                while not self.cut:
                    ready, _, _ = select.select([near, far], [], [], 0.05)
                    for end in ready:
                        data = end.recv(2**16)
                        if not data:
                            return
                        if end is near and self.late is not None:
                            self.late.wait()
                            while data:
                                far.sendall(data)
                                data = near.recv(2**16)
                            self.answer_to_late = far.recv(2**16)
                            return
                        if end is far:
                            time.sleep(self.answers_after_s)
                        (far if end is near else near).sendall(data)


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The address and the folder of artifacts of a real MLflow server."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as uri:
        yield uri, folder / "served"


@pytest.fixture
def wire(served):
    wire = Wire(urllib.parse.urlsplit(served[0]).port)
    yield wire
    wire.cut = True
    wire.socket.close()


@pytest.fixture
def mlflow(wire, monkeypatch):
    """The address of MLflow, over the wire; each test has runs of its own, by the fingerprints of its code."""
    uri = f"http://127.0.0.1:{wire.port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # then tries are ours alone, and quick
    return uri


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    monkeypatch.setattr("pipeline.track.patience.FIRST_PAUSE_S", 0.02)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig))
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)
