"""A repository with results, a DVC cache, a DVC remote and a real MLflow server, to be tampered with and audited."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.run import paths
from tests.pipeline.conftest import Clone, copy_code, write_yaml
from tests.pipeline.studies import conftest as made_up

COMMIT = ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm")
FIGURES = {"learning": ["meta_training"], "unification": [], "cloning": ["cloning"], "recall": [], "feedback": []}
# A few of every stage.
ITEMS = {"seeds": [0, 1], "figures": FIGURES, "recall": ["direct"], "recall_seeds": [0], "feedback": ["flp_on_sines"]}


class Audited:
    """The repository at `root`, whose server keeps its artifacts in `served`, and a door to a process in it."""

    def __init__(self, root: Path, served: Path, remote: Path, uri: str) -> None:
        self.root, self.served, self.remote, self.uri = root, served, remote, uri
        self._clone = Clone(root)
        self._clone.env |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        env = self._clone.env | {"PYTHONPATH": f"{root}{os.pathsep}{paths.ROOT}", "VSML_UPLOAD": "later"}
        pipe, door = subprocess.PIPE, str(Path(__file__).with_name("door.py"))
        self._log = (root.parent / "door.log").open("w+")
        command = [sys.executable, door]
        self._door = subprocess.Popen(command, cwd=root, env=env, stdin=pipe, stdout=pipe, stderr=self._log, text=True)

    def wait(self) -> None:
        assert self._line() == "ready"

    def run(self, *command: str) -> str:
        """Its stdout; fails with all that it said unless it succeeds."""
        status, said = self.tell(self.start(*command, cwd=self.root))
        assert status == 0, said
        return said

    def start(self, *command: str, cwd: Path) -> subprocess.Popen[str]:
        """Start a command in a copy of the repository, with the copy's code."""
        other = Clone(cwd)
        other.env |= {"MLFLOW_TRACKING_URI": self.uri}
        return other.start(*command)

    def tell(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """How a process ended; its stdout, then, if it failed, its stderr."""
        out, error = process.communicate(timeout=600)
        return process.returncode, out + error * bool(process.returncode)

    def audit(self, remote: bool = False) -> dict[str, Any]:
        return self._ask({"remote": remote})

    def do(self, code: str) -> Any:
        """Run code beside `store`, the Store of the server; what it calls `answer` comes back."""
        return self._ask({"do": code})

    def run_of(self, stage: str, **names: str) -> str:
        """The id of the run of an item."""
        tags = {"stage": stage, **names}
        return self.do(f"answer = [run.id for run in store.find({tags!r})][0]")

    def artifact(self, run: str, name: str) -> Path:
        """A file of a run, where the server keeps it."""
        (path,) = self.served.rglob(f"{run}/artifacts/{name}")
        return path

    def close(self) -> None:
        with self._door:  # closes its pipes, at which it ends
            pass
        self._log.close()

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._door.stdin is not None
        self._door.stdin.write(json.dumps(question) + "\n")
        self._door.stdin.flush()
        answered = json.loads(self._line())
        assert "error" not in answered, answered["error"]
        return answered["answer"]

    def _line(self) -> str:
        assert self._door.stdout is not None
        line = self._door.stdout.readline().strip()
        if not line:
            self._log.seek(0)
            raise AssertionError(f"the process in the clone is gone; it said:\n{self._log.read()[-4000:]}")
        return line


@pytest.fixture(scope="session")
def audited(tmp_path_factory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    root, served, remote = folder / "a clone", folder / "served", folder / "remote"
    copy_code(root)
    with contextlib.chdir(root):
        made_up._write_params("default")
    tree = json.loads((root / "params.yaml").read_text())
    tree["items"] |= ITEMS
    write_yaml(root / "params.yaml", tree)
    git = Clone(root)
    git.run("git", "init", "-q")
    git.run("dvc", "remote", "add", "--local", "-d", "second", str(remote))
    git.run("git", "add", "-A")
    git.run("git", *COMMIT, "clone")
    with _server(git, folder, served) as uri:
        made = Audited(root, served, remote, uri)
        try:
            made.wait()
            made.run("dvc", "commit", "--force", "--quiet")
            made.run("dvc", "push", "--quiet")
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def _server(git: Clone, folder: Path, served: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ("--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(served))
    command = ["mlflow", "server", "--port", str(port), "--workers", "1", *store]
    env, nothing = git.env | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=git.root, env=env, stdout=nothing, stderr=nothing)
    uri, give_up = f"http://127.0.0.1:{port}", time.monotonic() + 600
    try:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health"):
                break
            assert time.monotonic() < give_up and server.poll() is None, "the server did not start"
            time.sleep(0.2)
        yield uri
    finally:
        server.terminate()
        server.wait(30)
