"""The run of a job, on disk: what ran, on what, from what, how it went and what came out.

A stage writes its run here, and `uploads` takes it to MLflow from another process. So a stage imports no
mlflow, and a tracker that is away can neither fail nor slow down a computation. A run is a folder:

    begin.json   id, name, tags, params, machine, the MLflow store that it is meant for, when it began
    curve.jsonl  one line per row of the curve: [ms since 1970 at which it was written, {name: value}]
    deps/        copies of the deps of up to 1 MiB, as they were when the job began
    outs/        hard links to the outs (copies where a file system has none), so that no later repro changes them
    end.json     status and time of the end, and the manifest of a finished run, with its metrics; written last, and
                 atomically

The runs of this machine lie in .runs/. A process holds the lock .runs/NAME.lock while it lives, and the kernel frees it
however the process ends: so a folder without end.json whose lock is free is of a process that was killed.

A resumed job goes on in the same MLflow run: it writes a folder of its own under the id that the checkpoint names, with
the whole curve, and uploads.py logs only the rows that MLflow does not have.

In a pod, VSML_SPOOL names the folder and VSML_RUN the MLflow run, which exists already; the parent process takes it up.

Elsewhere VSML_UPLOAD says when finished runs go up. `background`, the default: one detached process per machine takes
them up, and curves while they grow. `now`: a child process does it before the stage process ends, for tests and CI.
`later`: nobody does, until a command that reads MLflow or `python -m pipeline uploads` is run.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel

from pipeline.run import artifacts, paths
from pipeline.run.job import Job, dep_files, git, versions
from pipeline.run.params import digest

FOLDER, RUN = "VSML_SPOOL", "VSML_RUN"  # environment of a stage in a pod
REPRO, PART_OF = "VSML_REPRO", "repro"  # environment of the items of a `make repro`, and a tag: which one it is
UPLOAD, MODES = "VSML_UPLOAD", ("background", "now", "later")
BEGIN, CURVE, END = "begin.json", "curve.jsonl", "end.json"
UPLOADER_LOCK, LOG = "uploader.lock", "uploader.log"  # in .runs/
KEPT_UP_TO_BYTES = 2**20  # deps; larger ones are named by digest in the manifest. Outs are always kept


class Run:
    """A run on disk; that of a job, as its stage sees it."""

    def __init__(self, folder: Path, about: dict[str, Any], deps: Mapping[str, Path] = {}) -> None:
        self.id: str = about["id"]
        self.last_acts: list[Callable[[], None]] = []
        self._folder, self._about, self._written = folder, about, 0
        self._metrics: dict[str, float] = {}
        for name in ("deps", "outs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, path in deps.items():
            if path.stat().st_size <= KEPT_UP_TO_BYTES:
                shutil.copyfile(path, self._place("deps", name))
        artifacts.write_json(folder / BEGIN, about)

    def resume(self, run_id: str) -> None:
        """Go on in the run that a checkpoint names. In a pod, the run is the same on every machine anyway."""
        if FOLDER not in os.environ:
            self.id = run_id
        artifacts.write_json(self._folder / BEGIN, self._about | {"id": self.id, "resumed": True})

    def follow(self, curve: dict[str, list[Any]]) -> None:
        """Write the rows of `curve` (equally long lists by name) that are not yet written."""
        now_ms, rows = time.time_ns() // 10**6, range(self._written, len(curve["loss"]))
        lines = (json.dumps([now_ms, {name: float(curve[name][row]) for name in curve}]) for row in rows)
        with (self._folder / CURVE).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        self._written = len(curve["loss"])

    def measure(self, metrics: dict[str, float]) -> None:
        """Have these numbers be the metrics of the run, by which it is compared with others."""
        self._metrics = metrics

    def at_end(self, act: Callable[[], None]) -> None:
        """Have `act` done when the outs are written and kept."""
        self.last_acts.append(act)

    def finish(self, job: Job) -> None:
        """Keep the outs from being changed, and write down that they are all there."""
        outs = {}
        for name in job.flow.outs:
            kept = self._place("outs", name)
            try:
                os.link(name, kept)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(name, kept)
            outs[name] = artifacts.sha256_file(kept)
        self.end("FINISHED", manifest=manifest(job, outs) | {"metrics": self._metrics})

    def end(self, status: str, **more: Any) -> None:
        artifacts.write_json(self._folder / END, {"status": status, "ended_ns": time.time_ns(), **more})

    def _place(self, kind: str, name: str) -> Path:
        path = self._folder / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextlib.contextmanager
def run(job: Job) -> Iterator[Run]:
    """Track a job: FINISHED with all its outs, FAILED on an error, KILLED on an interrupt.

    Whatever happens to MLflow, it neither fails nor delays the job.

    Raises:
      ValueError: VSML_UPLOAD is none of its three values.
    """
    when, held, name = os.environ.get(UPLOAD) or MODES[0], None, uuid.uuid4().hex
    if when not in MODES:
        raise ValueError(f"{UPLOAD} is {when!r}, expected one of {list(MODES)}; unset, it is {MODES[0]}.")
    machine = {"xla_flags": os.environ.get("XLA_FLAGS", ""), "device": job.device}
    machine |= {f"version.{name}": version for name, version in versions().items()}
    about, deps = {"machine": machine, "began_ms": time.time_ns() // 10**6}, dep_files(job.flow, job.params.root)
    if FOLDER in os.environ:
        when, tracked = "later", Run(Path(os.environ[FOLDER]), about | {"id": os.environ[RUN]}, deps)
    else:
        held = _alive(name)
        tracked = Run(paths.RUNS / name, about | facts(job) | {"id": name, "uri": store_uri()}, deps)
    try:
        if when == "background":
            _start_uploader()
        yield tracked
        tracked.finish(job)
    except BaseException as error:
        tracked.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    else:
        for act in tracked.last_acts:
            act()
    finally:
        if held is not None:
            os.close(held)
        if when == "background":
            _start_uploader()  # again, since it ends when it has had nothing to do for a while
        elif when == "now":
            subprocess.run([sys.executable, "-m", "pipeline", "uploads"], check=False)


def whole(name: str, begin: dict[str, Any], end: dict[str, Any]) -> None:
    """Write down a run of no job, which has ended: begin.json and end.json say this, beside its id and its end."""
    held = _alive(name)
    Run(paths.RUNS / name, {"id": name, "uri": store_uri(), "params": {}, "machine": {}} | begin).end(**end)
    if held is not None:
        os.close(held)


def _alive(name: str) -> int | None:
    """Take the lock of a run before there is a folder: without its lock, it is of a dead process."""
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    return lock(paths.RUNS / f"{name}.lock")


def facts(job: Job) -> dict[str, Any]:
    """The run of a job as it is made: its name, its tags, and its params with the digests that decide its outs."""
    params = job.plan["params"]
    tags = {"fingerprint": job.fingerprint, "params_digest": digest(params)}
    tags |= {"plan": job.deps[job.flow.plan.as_posix()]}
    tags |= {PART_OF: os.environ[REPRO]} if REPRO in os.environ else {}
    return {
        "name": " ".join((job.stage, *job.item)),
        "tags": {"stage": job.stage, **job.flow.names, **git(), **tags},
        "params": flat(params) | {"digest/params": digest(params), "digest/fingerprint": job.fingerprint},
    }


def manifest(job: Job, outs: dict[str, str]) -> dict[str, Any]:
    """What a job read and left, by sha256."""
    own = {"stage": job.stage, "item": list(job.item), "fingerprint": job.fingerprint}
    return own | {"code": job.code, "deps": job.deps, "outs": outs}


def _place(name: str) -> str:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{name!r} is no place in a profile")
    return name


Place = Annotated[str, AfterValidator(_place)]
Files = dict[Place, str]  # sha256 by name


class Manifest(BaseModel):
    """What a job read and left, as far as it is read again."""

    stage: str = ""
    item: list[str] = []
    fingerprint: str = ""
    code: Files = {}
    deps: Files = {}
    outs: Files = {}


def by_digest(folder: str, digests: dict[str, str]) -> dict[str, str]:
    """Tags by which the files in a folder of a run are found again: their digests, and the path of each."""
    return {f"sha256.{digest}": f"{folder}/{name}" for name, digest in digests.items()}


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested params as `curriculum.0.steps`: one MLflow param each."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return {prefix: str(value)} if prefix else {}
    pairs: dict[str, str] = {}
    for name, inner in value.items():
        pairs |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return pairs


def store_uri() -> str:
    """The MLflow store that the environment names, without user and password; empty for the one in the repository.

    Those of a server move to the variables that MLflow has for them: its address is in many texts, also of others.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    plain = without_secrets(named)
    scheme, _, rest = named.partition("://")
    if scheme.lower() not in ("http", "https"):
        return plain
    if "@" in rest:
        whose, at, _ = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
        if not at or re.search(r"[@\[\]]", whose):
            raise ValueError(
                "The user or the password in MLFLOW_TRACKING_URI has a character that ends it in an address: write "
                "/ as %2F, # as %23, ? as %3F, @ as %40, [ as %5B and ] as %5D."
            )
        user, has_password, password = whose.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = urllib.parse.unquote(user)
        if has_password or "MLFLOW_TRACKING_PASSWORD" not in os.environ:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = urllib.parse.unquote(password)
    os.environ["MLFLOW_TRACKING_URI"] = plain
    return plain


def without_secrets(uri: str) -> str:
    """An address without user and password, wherever in it they stand, whether or not it is a sound one."""
    scheme, there, rest = uri.partition("://")
    if not there or rest.startswith("/"):  # a file
        return uri
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def read(folder: Path, name: str) -> dict[str, Any]:
    """What begin.json or end.json of a run says."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def rows(folder: Path, first: int) -> list[tuple[int, dict[str, float]]]:
    """The rows of the curve from number `first` on, as far as they are written out, each with its time in ms."""
    path = folder / CURVE
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    return [(at_ms, row) for at_ms, row in map(json.loads, lines[first:])]


def lock(path: Path) -> int | None:
    """An open file that holds a lock until it is closed or this process ends; None if another process holds it.

    flock rather than the package filelock, which takes 40 ms to import.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _start_uploader() -> None:
    """Start the uploader of this machine unless it runs. It outlives this process, and the `dvc repro` above it."""
    held = lock(paths.RUNS / UPLOADER_LOCK)
    if held is None:
        return
    os.close(held)
    command = [sys.executable, "-m", "pipeline", "uploads", "--stay"]
    with (paths.RUNS / LOG).open("ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
