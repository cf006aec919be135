"""`python -m pipeline uploads` takes the runs that wait on this machine to MLflow: what `tracking` wrote, in order.

Runs go up in the order in which they ended, since `lineage` ties a run to those that left what it read. If MLflow is
away or refuses one, those after it wait. A run that goes on gets its MLflow run with the first row of its curve.

It may be killed at any moment. An MLflow run has the id of the run on disk as a tag from the moment it exists, so that
whoever takes over finds it; rows are logged from the last that MLflow has; files and tags are written again to the same
effect; and the folder is removed when all of it is up. A lock lets one process at a time do this.

A run whose process was killed goes up as KILLED, with its curve. If a process resumes it later, from a checkpoint, the
MLflow run is opened again and goes on.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.run import artifacts, checkpoints, paths
from pipeline.track import lineage, tracking
from pipeline.track.store import MissingInStoreError, Store, TrackingError

ON_DISK = "run_on_disk"  # a tag: the id of the run in .runs/
PASS_LOCK = "pass.lock"
LOOK_EVERY_S, AGAIN_AFTER_S = 1.0, 10.0  # the latter where MLflow is away
STAYS_IDLE_S, STAYS_WITH_MLFLOW_AWAY_S = 30.0, 300.0
STARTS_WITHIN_S = 2.0  # others hold the lock for a moment, to see whether it is free
CHECKPOINT_EVERY_S = 30.0
AFTER_FAILURE_S = 15.0
TAG, FOLDER = "checkpoints", "checkpoints"
NAME = re.compile(r"[0-9a-f]{64}/\d{8,}-[0-9a-f]{64}\.npz")  # fingerprint of the machine's job / step - sha256


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline uploads", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--here", action="store_true", help="runs that are meant for other MLflow stores as well")
    where.add_argument("--stay", action="store_true", help="go on as long as there is something to do, for any store")
    given = parser.parse_args(words)
    if given.stay:
        return _stay()
    try:
        flush(given.here)
    except TrackingError as error:
        sys.exit(str(error))


def flush(all_here: bool = False) -> None:
    """Take up the runs that have ended, so that whoever reads MLflow next finds them.

    It is the runs that are meant for the MLflow store which the environment names; or, with `all_here`, all of them.

    Raises:
      TrackingError: MLflow is away or refuses; what is not up waits.
    """
    own = tracking.store_uri()
    waiting = [one for one in written() if one.end is not None]
    others = {one.uri for one in waiting if one.uri != own and not all_here}
    if any(one.uri not in others for one in waiting) or _leftovers():
        errors = Uploads(own if all_here else None).go(None if all_here else own, live=False)
        for error in errors.values():
            left = sum(one.end is not None and one.uri not in others for one in written())
            remedy = f"Runs that wait for it in {paths.RUNS}: {left}; `python -m pipeline uploads` tries again."
            raise type(error)(f"{error} {remedy}") from error
    for uri in sorted(others):
        count, command = sum(one.uri == uri for one in waiting), "python -m pipeline uploads"
        remedy = f"`MLFLOW_TRACKING_URI={uri} {command}` takes them there, `{command} --here` to {own or _default()}."
        print(f"Runs that wait for another MLflow, at {uri or _default()}: {count}. {remedy}", file=sys.stderr)


class Written(NamedTuple):
    """A run on disk; `end` is None while its process lives."""

    folder: Path
    begin: dict[str, Any]
    end: dict[str, Any] | None

    @property
    def uri(self) -> str:
        return self.begin["uri"]


def written() -> list[Written]:
    """The runs on disk in the order of their ends; last, those that go on.

    What depends on a run begins after its end. So the folders are listed before any is looked at: one that is seen
    here can have read nothing from one that had not ended.
    """
    found = []
    for folder in _folders():
        with contextlib.suppress(FileNotFoundError):  # not a run yet, or just taken up by another process
            found.append(Written(folder, tracking.read(folder, tracking.BEGIN), _end(folder)))
    return sorted(found, key=lambda one: float("inf") if one.end is None else one.end["ended_ns"])


class Uploads:
    """Takes runs to the MLflow stores that they are meant for, or all of them to the store `to`."""

    def __init__(self, to: str | None = None) -> None:
        self._to = to
        self._stores: dict[str, Store] = {}
        self._open: dict[tuple[str, str], tuple[str, Curve]] = {}  # MLflow runs by store and id on disk

    def go(self, only: str | None = None, live: bool = True) -> dict[str, TrackingError]:
        """Take up all that is new, or what is meant for the store `only`; what went wrong, by store."""
        errors: dict[str, TrackingError] = {}
        with _alone():
            for one in written():
                uri = one.uri if self._to is None else self._to
                if uri in errors or only not in (None, one.uri):
                    continue
                try:
                    if one.end is not None:
                        self._take(one, uri, one.end)
                    elif live and (one.folder / tracking.CURVE).exists():
                        self._run(one, uri)[1].send(one.folder)
                except TrackingError as error:
                    errors[uri] = error
            for folder in _leftovers():
                _remove(folder)
        return errors

    def _take(self, one: Written, uri: str, end: Mapping[str, Any]) -> None:
        """Take up a run that has ended. Its outs become known by their digests last: who finds one finds it whole."""
        run, curve = self._run(one, uri)
        store = self._stores[uri]
        curve.send(one.folder)
        if end["status"] == "FINISHED":
            made = end["manifest"]
            for kind in ("deps", "outs"):
                store.upload_folder(run, kind, one.folder / kind)
            store.write(run, "manifest.json", made)
            lineage.describe(store, run, made, one.folder / "outs", one.folder / "deps")
            store.tag(run, tracking.by_digest("outs", made["outs"]))
        store.end(run, end["status"], end["ended_ns"] // 10**6)
        for other in store.find({ON_DISK: one.begin["id"]}):
            if other.id != run:  # made by a request whose answer was lost, and which arrived after the next
                store.forget(other.id)
        del self._open[uri, one.begin["id"]]
        (one.folder / tracking.BEGIN).unlink()  # now it is no run any more, whatever else is still there
        _remove(one.folder)
        print(f"{one.begin['name']}: {end['status']} in MLflow run {run}", file=sys.stderr, flush=True)

    def _run(self, one: Written, uri: str) -> tuple[str, "Curve"]:
        """The MLflow run of a run, found or made, and how far its curve is logged."""
        key = uri, one.begin["id"]
        if key not in self._open:
            if uri not in self._stores:
                self._stores[uri] = _store(uri)
            store = self._stores[uri]
            found = store.find({ON_DISK: one.begin["id"]})
            if found:
                run = found[0].id
                store.log_params(run, one.begin["params"])  # whoever made it may have come no further
                store.reopen(run)
            else:
                tags = one.begin["machine"] | {ON_DISK: one.begin["id"]}
                run = begin(store, one.begin, tags, one.begin["began_ms"])
            if one.begin.get("resumed"):
                store.tag(run, {"resumed": "true"})
            curve = Curve(store, run)
            curve.look()
            self._open[key] = run, curve
        return self._open[key]


class Curve:
    """How far the curve of one run is logged: each row once, whatever answers are lost and whatever requests come late.

    Who gets no answer asks how far it is logged and goes on from there. What had no answer may yet arrive, after that
    question; so a row bears the time at which it was written, and MLflow keeps one of two that are the same.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._logged, self._unsure = 0, False
        self._size = -1  # of the file, when all of it was logged

    def look(self) -> None:
        """Learn how far it is logged."""
        self._logged = self._store.last_step(self._run)

    def send(self, folder: Path) -> None:
        """Log those rows of the run in `folder` that are not yet logged."""
        path = folder / tracking.CURVE
        size = path.stat().st_size if path.exists() else 0
        if size == self._size and not self._unsure:
            return
        if self._unsure:
            self.look()
        self._unsure = True
        new = tracking.rows(folder, self._logged)
        for last in self._store.log_rows(self._run, self._logged, [row for _, row in new], [at_ms for at_ms, _ in new]):
            self._logged = last
        self._unsure, self._size = False, size


class Courier:
    """Takes what a stage in a pod says while it runs to its MLflow run: the curve, and checkpoints at a bounded pace.

    A run refers to its last two checkpoints, in a tag, by names that hold step and sha256; older ones are removed.
    Whoever takes the run over on another machine unpacks them: if the newest is damaged or missing, the one before it
    serves.
    """

    def __init__(self, store: Store, run: str, folder: Path) -> None:
        self._store, self._run, self._folder = store, run, folder
        self._curve, self._sent = Curve(store, run), []
        self._not_before = self._next_checkpoint = 0.0

    def unpack(self) -> None:
        """Fetch the checkpoints that an earlier attempt left, and learn how much of the curve is logged."""
        self._curve.look()
        for name in json.loads(self._store.get(self._run).tags.get(TAG, "[]")):
            if not NAME.fullmatch(name):
                print(f"{name!r}, to which run {self._run} refers, is no name of a checkpoint.", flush=True)
            elif self._fetched(name):
                self._sent.append(name)

    def send(self, now: bool = False) -> None:
        """Send what is new, unless MLflow was away a moment ago; what is not taken is sent later."""
        if time.monotonic() < self._not_before and not now:
            return
        try:
            self._curve.send(self._folder)
            if now or time.monotonic() >= self._next_checkpoint:
                self._send_checkpoint()
        except TrackingError as error:
            print(f"MLflow takes nothing now ({error}); it is kept here and sent later.", flush=True)
            self._not_before = time.monotonic() + AFTER_FAILURE_S

    def finish(self) -> None:
        """Send what is left of the curve."""
        self._curve.send(self._folder)

    def drop_checkpoints(self) -> None:
        """Once the outs are committed, no one goes on from here."""
        self._refer_to([])

    def _send_checkpoint(self) -> None:
        found = sorted(paths.CHECKPOINTS.glob("*/*.npz"), key=lambda path: path.stat().st_mtime_ns)
        names = [path.relative_to(paths.CHECKPOINTS).as_posix() for path in found]
        if not names or names[-1] in self._sent or not NAME.fullmatch(names[-1]):
            return
        held = self._folder / "checkpoint"  # so that it stays while the stage may remove its name
        held.unlink(missing_ok=True)
        os.link(found[-1], held)
        self._store.upload(self._run, f"{FOLDER}/{names[-1]}", held)
        self._refer_to([names[-1], *self._sent][: checkpoints.KEEP])
        self._next_checkpoint = time.monotonic() + CHECKPOINT_EVERY_S

    def _refer_to(self, names: list[str]) -> None:
        self._store.tag(self._run, {TAG: json.dumps(names)})
        for old in (name for name in self._sent if name not in names):
            self._store.remove(self._run, f"{FOLDER}/{old}")
        self._sent = names

    def _fetched(self, name: str) -> bool:
        expected = Path(name).stem.split("-")[1]
        try:
            with artifacts.atomic(paths.CHECKPOINTS / name) as temporary:
                self._store.download(self._run, f"{FOLDER}/{name}", temporary)
                found = artifacts.sha256_file(temporary)
                if found != expected:
                    raise MissingInStoreError(f"Its sha256 is {found}.")
        except MissingInStoreError as error:
            print(f"Checkpoint {name} of run {self._run} is damaged or missing: going back before it. {error}")
            return False
        return True


def begin(store: Store, facts: Mapping[str, Any], tags: Mapping[str, str], began_ms: int | None = None) -> str:
    """Make the MLflow run of a job from `tracking.facts` and more tags; return its id."""
    run = store.create(facts["name"], facts["tags"] | tags, began_ms)
    store.log_params(run, facts["params"])
    return run


def _stay() -> None:
    """The uploader of this machine: take up whatever comes, until nothing has come for a while or MLflow stays away."""
    os.nice(5)  # computations come first
    uploads, give_up = Uploads(), time.monotonic() + STARTS_WITHIN_S
    while True:
        while (held := tracking.lock(paths.RUNS / tracking.UPLOADER_LOCK)) is None:
            if time.monotonic() > give_up:
                return
            time.sleep(0.1)
        print(f"Process {os.getpid()} takes runs up.", flush=True)
        done = _work(uploads)
        os.close(held)
        # Whoever began a run a moment ago has seen the lock held and started no uploader: so look once more.
        if not done or not written():
            return


def _work(uploads: Uploads) -> bool:
    """Take up what comes; say whether all is up, or MLflow was away for too long."""
    busy = answered = time.monotonic()
    said: list[str] = []
    while True:
        errors = [str(error) for error in uploads.go().values()]
        if errors != said:
            print(*errors, sep="\n", flush=True)
            said = errors
        now = time.monotonic()
        busy, answered = (now if written() else busy), (answered if errors else now)
        if now - answered > STAYS_WITH_MLFLOW_AWAY_S:
            return False
        if now - busy > STAYS_IDLE_S:
            return True
        time.sleep(AGAIN_AFTER_S if errors else LOOK_EVERY_S)


def _end(folder: Path) -> dict[str, Any] | None:
    """How a run ended; None while its process lives. One that was killed ended when it last wrote something."""
    path = folder / tracking.END
    if not path.exists():
        held = tracking.lock(folder.with_suffix(".lock"))
        if held is None:
            return None
        os.close(held)
        if not path.exists():  # else it has ended between the two looks
            curve = folder / tracking.CURVE
            last = curve if curve.exists() else folder / tracking.BEGIN
            return {"status": "KILLED", "ended_ns": last.stat().st_mtime_ns}
    return tracking.read(folder, tracking.END)


def _folders() -> list[Path]:
    return [path for path in paths.RUNS.glob("*") if path.is_dir()]


def _leftovers() -> list[Path]:
    """Folders that are no runs: of processes killed before they had begun one, or had removed all of it."""
    found = []
    for folder in _folders():
        held = None if (folder / tracking.BEGIN).exists() else tracking.lock(folder.with_suffix(".lock"))
        if held is not None:
            os.close(held)
            if not (folder / tracking.BEGIN).exists():  # else it was begun, and has ended, between the two looks
                found.append(folder)
    return found


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.with_suffix(".lock").unlink(missing_ok=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes from taking runs up meanwhile."""
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    held = tracking.lock(paths.RUNS / PASS_LOCK, wait=True)
    assert held is not None
    try:
        yield
    finally:
        os.close(held)


def _store(uri: str) -> Store:
    """The store of a URI; that which the environment names with its user and password, if any."""
    return Store() if uri == tracking.store_uri() else Store(uri or _default())


def _default() -> str:
    return f"sqlite:///{paths.MLFLOW_DATABASE}"
