"""A run of MLflow for every job: what ran, on what, from what, how it went and what came out."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts, lineage
from pipeline.curve import Curve
from pipeline.params import digest
from pipeline.patience import patiently
from pipeline.provenance import Job, dep_files, git, versions
from pipeline.store import MissingInStoreError, Store, TrackingError

UPLOADED_UP_TO_BYTES = 2**20  # deps; larger ones are named by digest in the manifest. Outs are always uploaded
PATIENCE_S = 15 * 60  # when all is computed and MLflow is away


class Run:
    """The run of one job; its curve goes up while it runs, its deps and outs at the end."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job, self._not_before = store, job, 0.0
        self._curve: dict[str, list[Any]] = {"loss": []}
        self._last_acts: list[Callable[[], None]] = []
        self.id = begin(store, job, machine(job))
        self._sent = Curve(store, self.id)

    def resume(self, run_id: str) -> None:
        """Go on in the run that a checkpoint names; if this store has no such run, stay in the new one."""
        try:
            sent = Curve(self._store, run_id)
            sent.look()
            self._store.tag(run_id, {"resumed": "true"})
            self._store.reopen(run_id)
        except MissingInStoreError:
            print(f"This MLflow store has no run {run_id}, so its curve goes into a new one, from the first step on.")
            return
        self._store.forget(self.id)
        self.id, self._sent = run_id, sent

    def follow(self, curve: dict[str, list[Any]]) -> None:
        """Log the rows of `curve` that are not yet logged. What does not go up now goes up with a later call.

        A server that is away takes time to say so; it is asked so seldom then that training loses at most a tenth.
        """
        self._curve, began = curve, time.monotonic()
        if began < self._not_before:
            return
        try:
            self._log_curve()
        except TrackingError as error:
            print(f"MLflow does not take the curve now ({error}); training goes on and it is tried again later.")
            self._not_before = time.monotonic() + 9 * (time.monotonic() - began)

    def at_end(self, act: Callable[[], None]) -> None:
        """Have `act` done when outs are written and logged."""
        self._last_acts.append(act)

    def finish(self) -> None:
        """Log every dep and out, then the manifest with the sha256 of each, and close the run.

        The outs become known by their digests last, so that who finds one by its digest finds it whole.
        """
        job, store = self._job, self._store
        self._log_curve()
        outs = {out: Path(out) for out in job.flow.outs}
        for name, path in dep_files(job.flow, job.params.root).items():
            if path.stat().st_size <= UPLOADED_UP_TO_BYTES:
                store.upload(self.id, f"deps/{name}", path)
        for name, path in outs.items():
            store.upload(self.id, f"outs/{name}", path)
        digests = {name: artifacts.sha256_file(path) for name, path in outs.items()}
        made = manifest(job, digests)
        store.write(self.id, "manifest.json", made)
        lineage.describe(store, self.id, made, Path.cwd())
        store.tag(self.id, by_digest("outs", digests))
        store.end(self.id, "FINISHED")

    def _log_curve(self) -> None:
        end = len(self._curve["loss"])
        self._sent.send(lambda first: [{n: self._curve[n][row] for n in self._curve} for row in range(first, end)])

    def last_acts(self) -> None:
        for act in self._last_acts:
            act()


@contextlib.contextmanager
def run(job: Job) -> Iterator[Run]:
    """Track a job: FINISHED with all its deps and outs, FAILED on an error, KILLED on an interrupt.

    Raises:
      TrackingError: MLflow is away at the start, or for many minutes at the end, when outs are on disk.
    """
    with _explained("Nothing has run yet"):
        store = Store()
        tracked = Run(store, job)
    try:
        yield tracked
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            store.end(tracked.id, status)
        except TrackingError as also:
            error.add_note(f"MLflow did not take the status {status} of run {tracked.id} either: {also}")
        raise
    with _explained("The outputs are written and any checkpoint is kept, so running again costs little"):
        patiently(tracked.finish, "All is computed", PATIENCE_S)
    tracked.last_acts()


def begin(store: Store, job: Job, tags: dict[str, str]) -> str:
    """Make the run of a job, with its params and with what decides its outs; return its id."""
    facts = {"stage": job.stage, **job.flow.names, **git(), "fingerprint": job.fingerprint}
    facts["plan"] = job.deps[job.flow.plan.as_posix()]
    facts["params_digest"] = digest(job.plan["params"])
    run = store.create(" ".join((job.stage, *job.item)), facts | tags)
    params = {"digest/params": digest(job.plan["params"]), "digest/fingerprint": job.fingerprint}
    store.log_params(run, flat(job.plan["params"]) | params)
    return run


def machine(job: Job) -> dict[str, str]:
    """Tags that say on what a job runs."""
    flags = {"xla_flags": os.environ.get("XLA_FLAGS", "")}
    return flags | {"device": job.device} | {f"version.{name}": version for name, version in versions().items()}


def manifest(job: Job, outs: dict[str, str]) -> dict[str, Any]:
    """What a job read and left, by sha256."""
    own = {"stage": job.stage, "item": list(job.item), "fingerprint": job.fingerprint}
    return own | {"code": job.code, "deps": job.deps, "outs": outs}


def by_digest(folder: str, digests: dict[str, str]) -> dict[str, str]:
    """Tags by which the files in a folder of a run are found again: their digests, and the path of each."""
    return {f"sha256.{digest}": f"{folder}/{name}" for name, digest in digests.items()}


@contextlib.contextmanager
def _explained(state: str) -> Iterator[None]:
    try:
        yield
    except TrackingError as error:
        remedy = "Start that server (or unset MLFLOW_TRACKING_URI to log into mlflow.db) and run the same command again"
        raise type(error)(f"{error} {state}. {remedy}.") from error


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested params as `curriculum.0.steps`: one MLflow param each."""
    if isinstance(value, dict) and value:
        items: Sequence[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = list(enumerate(value))
    else:
        return {prefix: str(value)} if prefix else {}
    pairs: dict[str, str] = {}
    for name, inner in items:
        pairs |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return pairs
