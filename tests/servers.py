"""What tests of several rooms start and wait for."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(done, what: str, seconds: float = 60.0):
    """Wait until something is so, and return it."""
    give_up = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < give_up, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return found


def says(process: subprocess.Popen[str], what: str) -> str:
    """Wait until a process says something, and return the line."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if what in line:
            return line
    raise AssertionError(f"it ended and did not say {what!r}, but: {''.join(said)}{process.communicate()}")


@contextlib.contextmanager
def mlflow_server(folder: Path, *options: str, port: int | None = None, env: Mapping[str, str] = {}) -> Iterator[str]:
    """The address of a real MLflow server, which keeps the files of runs in `folder`/served."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1", *options]
    command += [f"--backend-store-uri=sqlite:///{folder}/server.db", f"--artifacts-destination={folder}/served"]
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        told = {"cwd": folder, "env": {**os.environ, **own, **env}, "stdout": log, "stderr": log}
        server = subprocess.Popen(command, start_new_session=True, **told)

    def up() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
        return False

    try:
        until(up, "the start of MLflow", 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def kubeconfig(path: Path, port: int, **context: str) -> None:
    """Write one whose cluster `test` answers at a port of this machine."""
    named = {
        "contexts": {"context": {"cluster": "test", "user": "test"} | context},
        "clusters": {"cluster": {"server": f"http://127.0.0.1:{port}"}},
        "users": {"user": {"token": "secret"}},
    }
    lists = {kind: [{"name": "test"} | one] for kind, one in named.items()}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "test"} | lists))
