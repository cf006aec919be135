"""A repository with results, a DVC cache, a DVC remote and a real MLflow server, to be tampered with and audited."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.run import paths
from pipeline.run.params import read_yaml
from tests.pipeline.conftest import Clone, copy_code, write_yaml
from tests.pipeline.studies import conftest as made_up
from tests.servers import mlflow_server

COMMIT = ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam")
FIGURES = {"learning": ["meta_training"], "unification": [], "cloning": ["cloning"], "recall": [], "feedback": []}
# A few of every stage.
ITEMS = {"seeds": [0, 1], "figures": FIGURES, "recall": ["direct"], "recall_seeds": [0], "feedback": ["flp_on_sines"]}


def flipped(data: bytes) -> bytes:
    """With one bit in the middle the other way."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@contextlib.contextmanager
def edited(path: Path, change: Callable[[bytes], bytes] = flipped) -> Iterator[None]:
    """Other bytes, under the same size (if `change` keeps it), mode and mtime."""
    before, status = path.read_bytes(), path.stat()

    def write(data: bytes) -> None:
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(status.st_mode)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    write(change(before))
    yield
    write(before)


class Audited:
    """The repository at `root`, whose server keeps its artifacts in `served`, and a door to a process in it."""

    def __init__(self, root: Path, served: Path, remote: Path, uri: str) -> None:
        self.root, self.served, self.remote, self.uri = root, served, remote, uri
        env = Clone(root).env | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        env |= {"PYTHONPATH": f"{root}{os.pathsep}{paths.ROOT}", "VSML_UPLOAD": "later"}
        pipe, door = subprocess.PIPE, str(Path(__file__).with_name("door.py"))
        self._log = (root.parent / "door.log").open("w+")
        command = [sys.executable, door]
        self._door = subprocess.Popen(command, cwd=root, env=env, stdin=pipe, stdout=pipe, stderr=self._log, text=True)

    def run(self, *command: str) -> str:
        """Its stdout; fails with all that it said unless it succeeds."""
        status, out, error = self.end(*command)
        assert status == 0, out + error
        return out

    def end(self, *command: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """How a command ends, in a copy of the repository with the copy's code, and what it says."""
        process = Clone(cwd or self.root).start(*command, MLFLOW_TRACKING_URI=self.uri)
        out, error = process.communicate(timeout=600)
        return process.returncode, out, error

    def lock(self) -> dict[str, Any]:
        """What dvc.lock has of each item."""
        return read_yaml(self.root / "dvc.lock")["stages"]

    def kept(self, item: str, folder: Path | None = None) -> Path:
        """The first out of an item in DVC's cache, or in the remote."""
        md5 = self.lock()[item]["outs"][0]["md5"]
        return (folder or self.root / ".dvc/cache") / "files/md5" / md5[:2] / md5[2:]

    def audit(self, remote: bool = False) -> dict[str, Any]:
        return self._ask({"remote": remote})

    def do(self, code: str) -> Any:
        """Run code beside `store`, the Store of the server; what it calls `answer` comes back."""
        return self._ask({"do": code})

    def here(self, *words: str) -> tuple[int, str, str]:
        """As `end`, of a command of the pipeline in that process, which has imported all that it needs."""
        return self._ask({"command": words})

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
    root, remote = folder / "a clone", folder / "remote"
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
    with mlflow_server(folder) as uri, contextlib.closing(Audited(root, folder / "served", remote, uri)) as made:
        assert made._line() == "ready"
        made.run("dvc", "commit", "--force", "--quiet")
        made.run("dvc", "push", "--quiet")
        yield made
