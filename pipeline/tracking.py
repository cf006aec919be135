"""A run of MLflow for every job: what ran, on what, from what, how it went and what came out. Only importer of mlflow.

By default runs go to mlflow.db and mlartifacts/ in the repository; MLFLOW_TRACKING_URI names a server instead.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline import artifacts, paths
from pipeline.params import digest
from pipeline.provenance import Job, dep_files, git, versions

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default of 7 holds training up for four minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

PROJECT = "vsml"
UPLOADED_UP_TO_BYTES = 2**20  # deps; larger ones are named by digest in the manifest. Outs are always uploaded
METRICS_A_BATCH = 1000  # the limits of MLflow
PARAMS_A_BATCH = 100


class TrackingError(RuntimeError):
    """MLflow cannot be reached or refuses."""


class Run:
    """The run of one job; its curve goes up while it runs, its deps and outs at the end."""

    def __init__(self, client: MlflowClient, experiment: str, job: Job) -> None:
        self._client, self._job, self._logged = client, job, 0
        self._last_acts: list[Callable[[], None]] = []
        name = " ".join((job.stage, *job.item))
        self.id: str = client.create_run(experiment, run_name=name, tags=_tags(job)).info.run_id
        params = [Param(key, value) for key, value in _flat(job.flow.params).items()]
        params += [Param("digest/params", digest(job.flow.params)), Param("digest/fingerprint", job.fingerprint)]
        for start in range(0, len(params), PARAMS_A_BATCH):
            client.log_batch(self.id, params=params[start : start + PARAMS_A_BATCH])

    def resume(self, run_id: str) -> None:
        """Go on in the run that a checkpoint names; if this store has no such run, stay in the new one."""
        try:
            seen = self._client.get_metric_history(run_id, "loss")
            self._client.set_tag(run_id, "resumed", "true")
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            print(f"This MLflow store has no run {run_id}, so its curve goes into a new one, from the first step on.")
            return
        self._client.delete_run(self.id)
        self.id, self._logged = run_id, max((metric.step for metric in seen), default=0)

    def follow(self, curve: dict[str, list[Any]]) -> None:
        """Log the rows of `curve` that are not yet logged. Rows that do not go up now go up with the next call."""
        now, rows = int(time.time() * 1000), range(self._logged, len(curve["loss"]))
        size = METRICS_A_BATCH // len(curve)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            metrics = [Metric(name, float(curve[name][row]), now, row + 1) for row in batch for name in curve]
            try:
                self._client.log_batch(self.id, metrics=metrics)
            except MlflowException as error:
                print(f"MLflow does not take the curve now ({error}); training goes on and it is tried again later.")
                return
            self._logged = batch[-1] + 1

    def at_end(self, act: Callable[[], None]) -> None:
        """Have `act` done when outs are written and logged."""
        self._last_acts.append(act)

    def finish(self) -> None:
        """Log every dep and out, last the manifest with the sha256 of each, and close the run."""
        job = self._job
        deps = dep_files(job.stage, job.flow, job.params.root)
        outs = {path.as_posix(): path for path in job.flow.outs}
        for name, path in deps.items():
            if path.stat().st_size <= UPLOADED_UP_TO_BYTES:
                self._upload("deps", name, path)
        for name, path in outs.items():
            self._upload("outs", name, path)
        manifest = {
            "stage": job.stage,
            "item": list(job.item),
            "fingerprint": job.fingerprint,
            "deps": job.deps,
            "outs": {name: artifacts.sha256_file(path) for name, path in outs.items()},
        }
        with tempfile.TemporaryDirectory() as folder:
            artifacts.write_json(Path(folder) / "manifest.json", manifest)
            self._client.log_artifact(self.id, str(Path(folder) / "manifest.json"))
        self._client.set_terminated(self.id, "FINISHED")
        for act in self._last_acts:
            act()

    def end_as(self, status: str) -> None:
        self._client.set_terminated(self.id, status)

    def _upload(self, kind: str, name: str, path: Path) -> None:
        self._client.log_artifact(self.id, str(path), (Path(kind) / name).parent.as_posix())


@contextlib.contextmanager
def run(job: Job) -> Iterator[Run]:
    """Track a job: FINISHED with all its deps and outs, FAILED on an error, KILLED on an interrupt.

    Raises:
      TrackingError: MLflow is away, at the start or at the end. Outs, and checkpoints, are on disk by then.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.MLFLOW_DATABASE}"
    with _explained(uri, "Nothing has run yet"):
        tracked = Run(*_open(uri), job)
    try:
        yield tracked
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            tracked.end_as(status)
        except MlflowException as also:
            error.add_note(f"MLflow did not take the status {status} of run {tracked.id} either: {also}")
        raise
    with _explained(uri, "The outputs are written and any checkpoint is kept, so running again costs little"):
        tracked.finish()


def _open(uri: str) -> tuple[MlflowClient, str]:
    """A client and the id of the project's MLflow experiment; one process at a time makes what is not there yet."""
    local = uri == f"sqlite:///{paths.MLFLOW_DATABASE}"
    lock = FileLock(paths.MLFLOW_DATABASE.with_suffix(".lock")) if local else contextlib.nullcontext()
    with lock:
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(PROJECT)
        if known is not None:
            return client, known.experiment_id
        try:
            return client, client.create_experiment(PROJECT, paths.MLFLOW_ARTIFACTS.as_uri() if local else None)
        except MlflowException as error:
            known = client.get_experiment_by_name(PROJECT)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or known is None:  # else another client was faster
                raise
            return client, known.experiment_id


@contextlib.contextmanager
def _explained(uri: str, state: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise TrackingError(
            f"MLflow at {uri} does not answer or refuses: {error}. {state}. Start that server (or unset "
            "MLFLOW_TRACKING_URI to log into mlflow.db) and run the same command again."
        ) from error


def _tags(job: Job) -> dict[str, str]:
    facts = {"stage": job.stage, **job.flow.names, **git(), "device": job.device, "fingerprint": job.fingerprint}
    facts["params_digest"] = digest(job.flow.params)
    return facts | {f"version.{name}": version for name, version in versions().items()}


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested params as `curriculum.0.steps`: one MLflow param each."""
    if isinstance(value, dict) and value:
        items: Sequence[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = list(enumerate(value))
    else:
        return {prefix: str(value)} if prefix else {}
    flat: dict[str, str] = {}
    for name, inner in items:
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat
