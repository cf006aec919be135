"""`python -m pipeline uploads` takes the runs that wait on this machine to MLflow, in order: what tracking wrote.

Runs go up in the order in which they ended, and none before those that it depends on, to which `lineage` ties it.
If MLflow is away or refuses one, those after it wait. A run that goes on gets its MLflow run with the first row of its
curve.

It may be killed at any moment. An MLflow run has the id of the run on disk as a tag from the moment it exists, so that
whoever takes over finds it; rows are logged from the last that MLflow has; files and tags are written again to the same
effect; and the folder is removed when all of it is up. A lock lets one process at a time do this.

A run whose process was killed goes up as KILLED, with its curve. If a process resumes it later, from a checkpoint, the
MLflow run is opened again and goes on.
"""

import functools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from pipeline.run import artifacts, checkpoints, paths
from pipeline.track import lineage, tracking
from pipeline.track.store import IN_REPOSITORY, IntegrityError, MissingInStoreError, Store, TrackerAway, TrackingError

ON_DISK = "run_on_disk"  # a tag: the id of the run in .runs/
PASS_LOCK = "pass.lock"
LOOK_EVERY_S, AGAIN_AFTER_S = 1.0, 10.0  # the latter where MLflow is away
CURVES_EVERY_S = 5.0  # of runs that go on: each time costs the processors that compute, too
STAYS_IDLE_S, STAYS_WITH_MLFLOW_AWAY_S = 30.0, 300.0
STARTS_WITHIN_S = 2.0  # others hold the lock for a moment, to see whether it is free
CHECKPOINT_EVERY_S = 30.0
AFTER_FAILURE_S = 15.0
HELD = {  # the keys that are read, and the type of each
    tracking.BEGIN: dict.fromkeys(("id", "uri", "name"), "str")
    | dict.fromkeys(("tags", "params", "machine"), "dict")
    | {"began_ms": "int"},
    tracking.END: {"status": "str", "ended_ns": "int"},
}
EMPTY: dict[str, Any] = {"stage": "", "fingerprint": "", "deps": {}, "outs": {}}  # of a manifest
TAG, FOLDER = "checkpoints", "checkpoints"
NAME = re.compile(r"[0-9a-f]{64}/\d{8,}-[0-9a-f]{64}\.npz")  # fingerprint of the machine's job / step - sha256


def main(here: bool, stay: bool) -> None:
    _stay() if stay else flush(here)


def flush(all_here: bool = False) -> None:
    """Take up the runs that have ended, so that whoever reads MLflow next finds them.

    It is the runs that are meant for the MLflow store which the environment names; or, with `all_here`, all of them.

    Raises:
      TrackingError: MLflow is away or refuses; what is not up waits.
    """
    own, command = tracking.store_uri(), "python -m pipeline uploads"

    def waiting() -> list[str]:
        return [one.begin.get("uri", own) for one in written() if one.end is not None]

    uris = waiting()
    if own in uris or (all_here and uris):
        errors = Uploads(own if all_here else None).go(None if all_here else own, live=False)
        for error in errors.values():
            left = [uri for uri in waiting() if all_here or uri == own]
            remedy = f"Runs that wait for it in {paths.RUNS}: {len(left)}; `{command}` tries again."
            raise type(error)(f"{error} {remedy}") from error
    for uri in [] if all_here else sorted({*uris} - {own}):
        there, here = f"`MLFLOW_TRACKING_URI={uri} {command}`", f"`{command} --here`"
        where = f"Runs that wait for another MLflow, at {uri or IN_REPOSITORY}: {uris.count(uri)}."
        print(f"{where} {there} takes them there, {here} to {own or IN_REPOSITORY}.", file=sys.stderr)


class Written(NamedTuple):
    """A run on disk; `end` is None while its process lives, and `begin` is empty if there is nothing more to take up.

    The latter is of a process that was killed before it had begun a run, or of an uploader that was killed when it had
    taken one up and had not removed all of it.
    """

    folder: Path
    begin: dict[str, Any]
    end: dict[str, Any] | None


def written() -> list[Written]:
    """The runs on disk in the order of their ends, and each after those that it depends on; last, those that go on.

    What depends on a run begins after its end. So the folders are listed before any is looked at: one that is seen
    here can have read nothing from one that had not ended. One that is damaged is named, and stays.
    """
    found = []
    for folder in [path for path in paths.RUNS.glob("*") if path.is_dir()]:
        begun, ended = folder / tracking.BEGIN, folder / tracking.END
        try:
            free = None if ended.exists() else tracking.lock(folder.with_suffix(".lock"))
            if free is not None:
                os.close(free)
            if ended.exists():  # by now, maybe: it may have ended between the two looks
                end = _said(folder, tracking.END)
            elif free is not None:  # it was killed, after it had last written something
                last_ns = max((path.stat().st_mtime_ns for path in folder.glob("*.json*")), default=0)
                end = {"status": "KILLED", "ended_ns": last_ns}
            else:
                end = None
            begin = _said(folder, tracking.BEGIN) if begun.exists() else {}
            if begin or end is not None:
                found.append(Written(folder, begin, end))
        except FileNotFoundError:  # just removed by another process
            continue
        except ValueError as error:
            _say_damaged(folder, error)
    return _makers_first(sorted(found, key=lambda one: float("inf") if one.end is None else one.end["ended_ns"]))


def _makers_first(found: list[Written]) -> list[Written]:
    """The same, but each after those that it depends on: the clock may have been set back between their ends."""
    makers: dict[str, list[Written]] = {}
    for one in found:
        for name in _left(one):
            makers.setdefault(name, []).append(one)
    reached, ordered = set[Path](), list[Written]()

    def place(one: Written) -> None:
        if one.folder not in reached:
            reached.add(one.folder)
            for name in _read(one):
                for maker in makers.get(name, []):
                    place(maker)
            ordered.append(one)

    for one in found:
        place(one)
    return ordered


def _left(one: Written) -> set[str]:
    """What others depend on: the digests of the outs, and of which repro the run is a part."""
    outs, part_of = (one.end or {}).get("manifest", EMPTY)["outs"], one.begin.get("tags", {}).get(tracking.PART_OF)
    return {*outs.values()} | ({part_of} if part_of else set())


def _read(one: Written) -> set[str]:
    """What a run depends on: the digests of what it read or, if it is that of a repro, the runs that are part of it."""
    made = (one.end or {}).get("manifest", EMPTY)
    return {made["fingerprint"]} if made["stage"] == "repro" else {*made["deps"].values()}


def _said(folder: Path, name: str) -> dict[str, Any]:
    """What begin.json or end.json says, if it has all that is read here."""
    found = tracking.read(folder, name)
    kinds = {key: type(found.get(key)).__name__ for key in HELD[name]} if isinstance(found, dict) else {}
    if kinds != HELD[name]:
        raise ValueError(f"{name} must hold {HELD[name]}, and holds {kinds or 'nothing of it'}")
    made = found.get("manifest", EMPTY)
    if not isinstance(made, dict) or any(not isinstance(made.get(key), type(EMPTY[key])) for key in EMPTY):
        raise ValueError(f"its manifest must hold the kinds of {EMPTY}")
    return found


def _say_damaged(folder: Path, error: Exception) -> None:
    _say_once(f"{folder} cannot be taken up and stays where it is: {error}. If its files are damaged, remove it.")


@functools.cache
def _say_once(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


class Uploads:
    """Takes runs to the MLflow stores that they are meant for, or all of them to the store `to`."""

    def __init__(self, to: str | None = None) -> None:
        self._to = to
        self._stores: dict[str, Store] = {}
        self._open: dict[tuple[str, str], Curve] = {}  # MLflow runs by store and id on disk

    def go(self, only: str | None = None, live: bool = True) -> dict[str, TrackingError]:
        """Take up all that is new, or what is meant for the store `only`; what went wrong, by store."""
        errors: dict[str, TrackingError] = {}
        paths.RUNS.mkdir(parents=True, exist_ok=True)
        with FileLock(paths.RUNS / PASS_LOCK):
            for one in written():
                if not one.begin:
                    _remove(one.folder)
                    continue
                uri = one.begin["uri"] if self._to is None else self._to
                if uri in errors or only not in (None, one.begin["uri"]):
                    continue
                try:
                    if one.end is not None:
                        self._take(one, uri, one.end)
                    elif live and (one.folder / tracking.CURVE).exists():
                        self._run(one, uri).log(one.folder)
                except TrackingError as error:
                    errors[uri] = error
                except ValueError as error:
                    _say_damaged(one.folder, error)
        return errors

    def _take(self, one: Written, uri: str, end: Mapping[str, Any]) -> None:
        """Take up a run that has ended. Its outs become known by their digests last: who finds one finds it whole."""
        curve = self._run(one, uri)
        store, run = curve.store, curve.run
        try:
            curve.log(one.folder)
            if (made := end.get("manifest")) is not None:
                for kind in ("deps", "outs"):
                    store.upload_folder(run, kind, one.folder / kind)
                store.write(run, "manifest.json", made)
                lineage.describe(store, run, made, one.folder / "outs", one.folder / "deps")
                store.tag(run, tracking.by_digest("outs", made["outs"]))
        except TrackerAway:
            raise
        except Exception:  # it may never be taken, and must not seem to run until then
            store.end(run, "FAILED")
            raise
        store.end(run, end["status"], end["ended_ns"] // 10**6)
        for other in store.find({ON_DISK: one.begin["id"]}):
            if other.id != run:  # made by a request whose answer was lost, and which arrived after the next
                store.forget(other.id)
        del self._open[uri, one.begin["id"]]
        (one.folder / tracking.BEGIN).unlink()  # now it is no run any more, whatever else is still there
        _remove(one.folder)
        print(f"{one.begin['name']}: {end['status']} in MLflow run {run}", file=sys.stderr, flush=True)

    def _run(self, one: Written, uri: str) -> "Curve":
        """The MLflow run of a run, found or made."""
        begin, key = one.begin, (uri, one.begin["id"])
        if key not in self._open:
            if uri not in self._stores:  # that which the environment names has a user and a password there, if any
                self._stores[uri] = Store(None if uri == tracking.store_uri() else uri or IN_REPOSITORY)
            store = self._stores[uri]
            if found := store.find({ON_DISK: begin["id"]}):
                run = found[0].id
                store.reopen(run)
            else:
                tags = begin["tags"] | begin["machine"] | {ON_DISK: begin["id"]}
                run = store.create(begin["name"], tags, begin["began_ms"])
            # Of one that was found, too: whoever made it may have come no further.
            store.log_params(run, begin["params"])
            if begin.get("resumed"):
                part_of = {key: begin["tags"][key] for key in (tracking.PART_OF,) if key in begin["tags"]}
                store.tag(run, {"resumed": "true"} | part_of)
            self._open[key] = Curve(store, run)
        return self._open[key]


class Curve:
    """Logs the curve of one run: each row once, whatever answers are lost and whatever requests come late.

    Who gets no answer asks how far it is logged and goes on from there. What had no answer may yet arrive, after that
    question; so a row bears the time at which it was written, and MLflow keeps one of two that are the same.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self._logged: int | None = None  # rows, if that is known
        self._size = 0  # of the file, when all of it was logged

    def log(self, folder: Path) -> None:
        """Log those rows of the run in `folder` that are not yet logged."""
        path = folder / tracking.CURVE
        size = path.stat().st_size if path.exists() else 0
        if self._logged is not None and size == self._size:
            return
        first = self.store.last_step(self.run) if self._logged is None else self._logged
        self._logged, new = None, tracking.rows(folder, first)
        self.store.log_rows(self.run, first, new)
        self._logged, self._size = first + len(new), size


class LiveUpload(Curve):
    """Takes what a stage in a pod says while it runs to its MLflow run: the curve, and checkpoints at a bounded pace.

    A run refers to its last two checkpoints, in a tag, by names that hold step and sha256; older ones are removed.
    Whoever takes the run over on another machine unpacks them: if the newest is damaged or missing, the one before it
    serves.
    """

    def __init__(self, store: Store, run: str, folder: Path) -> None:
        super().__init__(store, run)
        self._folder, self._sent = folder, []
        self._not_before = self._next_checkpoint = 0.0

    def unpack(self) -> None:
        """Fetch the checkpoints that an earlier attempt left."""
        self._sent = []
        for name in json.loads(self.store.get(self.run).tags.get(TAG, "[]")):
            if not NAME.fullmatch(name):
                print(f"{name!r}, to which run {self.run} refers, is no name of a checkpoint.", flush=True)
                continue
            try:
                with artifacts.atomic(paths.CHECKPOINTS / name) as temporary:
                    self.store.download(self.run, f"{FOLDER}/{name}", temporary, Path(name).stem.split("-")[1])
                self._sent.append(name)
            except (IntegrityError, MissingInStoreError) as error:
                print(f"Checkpoint {name} of run {self.run} is damaged or missing: going back before it. {error}")

    def send(self, now: bool = False) -> None:
        """Send what is new, unless MLflow was away a moment ago; what is not taken is sent later."""
        if time.monotonic() < self._not_before and not now:
            return
        try:
            self.log(self._folder)
            if now or time.monotonic() >= self._next_checkpoint:
                self._send_checkpoint()
        except TrackingError as error:
            print(f"MLflow takes nothing now ({error}); it is kept here and sent later.", flush=True)
            self._not_before = time.monotonic() + AFTER_FAILURE_S

    def refer_to(self, names: list[str]) -> None:
        """Have the run refer to these checkpoints and to no other; to none when the outs are committed."""
        self.store.tag(self.run, {TAG: json.dumps(names)})
        for old in (name for name in self._sent if name not in names):
            self.store.remove(self.run, f"{FOLDER}/{old}")
        self._sent = names

    def _send_checkpoint(self) -> None:
        held = self._folder / "checkpoint"  # so that it stays while the stage may remove its name
        held.unlink(missing_ok=True)
        try:
            found = [path for path in paths.CHECKPOINTS.glob("*/*.npz") if NAME.fullmatch("/".join(path.parts[-2:]))]
            # By its step, and not by its time: the clock may have been set back.
            newest = max(found, key=checkpoints.step_of, default=held)
            name = "/".join(newest.parts[-2:])
            if newest == held or name in self._sent:
                return
            os.link(newest, held)
        except FileNotFoundError:  # the stage has just removed one, for there is a newer one
            return
        self.store.upload(self.run, f"{FOLDER}/{name}", held)
        self.refer_to([name, *self._sent][: checkpoints.KEEP])
        self._next_checkpoint = time.monotonic() + CHECKPOINT_EVERY_S


def _stay() -> None:
    """The uploader of this machine: take up whatever comes, until nothing has come for a while or MLflow stays away."""
    os.nice(5)  # computations come first
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    uploads, said, give_up = Uploads(), [], time.monotonic() + STARTS_WITHIN_S
    while True:
        while (held := tracking.lock(paths.RUNS / tracking.UPLOADER_LOCK)) is None:
            if time.monotonic() > give_up:
                return
            time.sleep(0.1)
        print(f"Process {os.getpid()} takes runs up.", flush=True)
        now = busy = answered = time.monotonic()
        followed = -CURVES_EVERY_S
        while now - busy <= STAYS_IDLE_S:
            # What went wrong is tried again as a whole.
            live = bool(said) or time.monotonic() - followed >= CURVES_EVERY_S
            followed = time.monotonic() if live else followed
            errors = [str(error) for error in uploads.go(live=live).values()]
            if errors != said:
                print(*errors, sep="\n", flush=True)
                said = errors
            now = time.monotonic()
            busy, answered = (now if written() else busy), (answered if errors else now)
            if now - answered > STAYS_WITH_MLFLOW_AWAY_S:
                return
            time.sleep(AGAIN_AFTER_S if errors else LOOK_EVERY_S)
        os.close(held)
        # Whoever began a run a moment ago has seen the lock held and started no uploader: so look once more.
        if not written():
            return


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.with_suffix(".lock").unlink(missing_ok=True)
