"""MLflow as this project uses it: runs, their tags, params and curves, and files by path. Only importer of mlflow.

By default runs go to mlflow.db and mlartifacts/ in the repository; MLFLOW_TRACKING_URI names a server instead. What
goes wrong comes as a TrackingError, and as a TrackerAway if the same request may succeed later.
"""

import contextlib
import gc
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from filelock import FileLock

from pipeline.run import artifacts, paths
from pipeline.track.patience import Away

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default of 7 holds training up for four minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Through the server, always: where S3 is behind it, it would hand out presigned URLs, and pods have no way to S3.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

PROJECT = "vsml"
METRICS_A_BATCH = 1000  # the limits of MLflow
PARAMS_A_BATCH = TAGS_A_BATCH = 100
DIGEST_LETTERS = 36
FOR_GOOD = {  # errors of a server that is there and will say the same again
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "BAD_REQUEST",
}


class TrackingError(RuntimeError):
    """MLflow cannot be reached or refuses."""


class TrackerAway(TrackingError, Away):  # noqa: N818 - as Away
    """MLflow does not answer, or not now."""


class MissingInStoreError(TrackingError):
    """MLflow has no such run or file."""


class Found(NamedTuple):
    """What the store knows of a run."""

    id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]


class Store:
    """The runs of this project in one MLflow store."""

    def __init__(self, uri: str | None = None) -> None:
        self._mlflow, self._repository = _imported()
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.MLFLOW_DATABASE}"
        self._served = self.uri.startswith("http")
        self._folders: dict[str, str] = {}  # of a run's files, which never move
        with self._explained(), _all_stays():  # much of mlflow is imported by its client only
            self._client, self._experiment = self._open()

    def create(self, name: str, tags: Mapping[str, str], began_ms: int | None = None) -> str:
        """Make a run that began at a time in ms since 1970, or begins now; return its id."""
        with self._explained():
            return self._client.create_run(self._experiment, began_ms, dict(tags), name).info.run_id

    def find(self, tags: Mapping[str, str]) -> list[Found]:
        """The runs that have all these tags, the newest first."""
        words = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        with self._explained():
            runs = self._client.search_runs([self._experiment], words, order_by=["attributes.start_time DESC"])
        return [self._found(run) for run in runs]

    def every(self) -> list[Found]:
        """All runs that are not deleted, the newest first."""
        runs, token = [], None
        with self._explained():
            while True:
                order = ["attributes.start_time DESC"]
                page = self._client.search_runs([self._experiment], order_by=order, page_token=token)
                runs += page
                token = page.token
                if not token:
                    return [self._found(run) for run in runs]

    def having(self, digest: str) -> tuple[str, str] | None:
        """A finished run that has a file of this sha256 (`tracking.by_digest` makes it known), and the file's path."""
        words = f"tags.`sha256.{digest}` LIKE '%' and attributes.status = 'FINISHED'"
        with self._explained():
            runs = self._client.search_runs([self._experiment], words, max_results=1)
        return (runs[0].info.run_id, runs[0].data.tags[f"sha256.{digest}"]) if runs else None

    def get(self, run: str) -> Found:
        with self._explained():
            return self._found(self._client.get_run(run))

    def log_params(self, run: str, params: Mapping[str, str]) -> None:
        pairs = [self._mlflow.entities.Param(key, value) for key, value in params.items()]
        with self._explained():
            for start in range(0, len(pairs), PARAMS_A_BATCH):
                self._client.log_batch(run, params=pairs[start : start + PARAMS_A_BATCH])

    def log_rows(
        self, run: str, first: int, rows: Sequence[Mapping[str, float]], at_ms: Sequence[int]
    ) -> Iterator[int]:
        """Log rows of a curve, the first as step `first` + 1, and say after each batch which step was the last."""
        size, metric = METRICS_A_BATCH // max((len(row) for row in rows), default=1), self._mlflow.entities.Metric
        for start in range(0, len(rows), size):
            batch = range(start, min(start + size, len(rows)))
            metrics = [
                metric(name, float(value), at_ms[number], first + number + 1)
                for number in batch
                for name, value in rows[number].items()
            ]
            with self._explained():
                self._client.log_batch(run, metrics=metrics)
            yield first + batch[-1] + 1

    def last_step(self, run: str, metric: str = "loss") -> int:
        with self._explained():
            return max((seen.step for seen in self._client.get_metric_history(run, metric)), default=0)

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        pairs = [self._mlflow.entities.RunTag(key, value) for key, value in tags.items()]
        with self._explained():
            for start in range(0, len(pairs), TAGS_A_BATCH):
                self._client.log_batch(run, tags=pairs[start : start + TAGS_A_BATCH])

    def once(self, run: str, key: str, value: str) -> str:
        """Set a param that none has set yet; whoever was first, return what it is. MLflow never changes a param."""
        try:
            with self._explained():
                self._client.log_param(run, key, value)
        except TrackingError as error:
            standing = None if isinstance(error, Away) else self.get(run).params.get(key)
            if standing is None:
                raise
            return standing
        return value

    def upload(self, run: str, name: str, path: Path) -> None:
        """Put a file into a run as `name`, whatever it is called here."""
        with tempfile.TemporaryDirectory() as folder, self._explained():
            link = Path(folder) / Path(name).name
            link.symlink_to(path.resolve())
            parent = Path(name).parent.as_posix()
            self._client.log_artifact(run, str(link), None if parent == "." else parent)

    def upload_folder(self, run: str, name: str, folder: Path) -> None:
        """Put all files of a folder into the folder `name` of a run."""
        with self._explained():
            self._client.log_artifacts(run, str(folder), name)

    def write(self, run: str, name: str, value: object) -> None:
        """Put JSON into a run as `name`."""
        with tempfile.TemporaryDirectory() as folder:
            artifacts.write_json(Path(folder) / "value.json", value)
            self.upload(run, name, Path(folder) / "value.json")

    def download(self, run: str, name: str, path: Path) -> None:
        """Copy a file of a run to `path`. Nothing vouches for its bytes: compare them with a digest.

        One request: MLflow's own client makes some thirty of it, and calls a file missing when the server is away.
        """
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder, self._explained():
            whole = Path(folder) / "whole"
            self._files(run)._download_file(name, str(whole))
            whole.replace(path)

    def remove(self, run: str, name: str) -> None:
        with self._explained():
            self._files(run).delete_artifacts(name)

    def link(self, run: str) -> str:
        """Where MLflow's pages show a run, as seen from any other."""
        return f"#/experiments/{self._experiment}/runs/{run}"

    def log_data(self, run: str, digests: Mapping[str, str], contexts: Mapping[str, str]) -> None:
        """Log data sets by name as what a run read. MLflow cuts their digests; their sources hold the whole sha256."""
        entities = self._mlflow.entities
        data = [
            entities.DatasetInput(
                entities.Dataset(
                    name, digest[:DIGEST_LETTERS], "local", json.dumps({"uri": name, "sha256": digest}, sort_keys=True)
                ),
                [entities.InputTag("mlflow.data.context", contexts[name])],
            )
            for name, digest in digests.items()
        ]
        with self._explained():
            self._client.log_inputs(run, data)

    def registered(self, model: str, sha256: str) -> str | None:
        """The newest version of a model with these bytes, if there is one."""
        with self._explained():
            versions = self._client.search_model_versions(f"name = '{model}'")
        known = [int(version.version) for version in versions if version.tags.get("sha256") == sha256]
        return str(max(known)) if known else None

    def register(self, model: str, run: str, folder: str, tags: Mapping[str, str], alias: str | None) -> None:
        """Make a folder of a run a version of a model, unless one has the same sha256; and let `alias` name it."""
        version = self.registered(model, tags["sha256"])
        with self._explained():
            if version is None:
                self._ensure_model(model)
                made = self._client.create_model_version(
                    model, f"runs:/{run}/{folder}", run, tags=dict(tags), await_creation_for=0
                )
                version = str(made.version)
            if alias is not None:
                self._client.set_registered_model_alias(model, alias, version)

    def _ensure_model(self, model: str) -> None:
        try:
            self._client.create_registered_model(model)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def end(self, run: str, status: str, at_ms: int | None = None) -> None:
        with self._explained():
            self._client.set_terminated(run, status, at_ms)

    def reopen(self, run: str) -> None:
        with self._explained():
            self._client.update_run(run, status="RUNNING")

    def forget(self, run: str) -> None:
        with self._explained():
            self._client.delete_run(run)

    def _files(self, run: str) -> "ArtifactRepository":
        if run not in self._folders:
            self._found(self._client.get_run(run))
        return self._repository(self._folders[run], tracking_uri=self.uri)

    def _found(self, run: "Run") -> Found:
        self._folders[run.info.run_id] = str(run.info.artifact_uri)
        return Found(run.info.run_id, run.info.status, dict(run.data.tags), dict(run.data.params))

    def _open(self) -> "tuple[MlflowClient, str]":
        """A client and the id of the project's experiment; one process at a time makes what is not there yet."""
        local = self.uri == f"sqlite:///{paths.MLFLOW_DATABASE}"
        lock = FileLock(paths.MLFLOW_DATABASE.with_suffix(".lock")) if local else contextlib.nullcontext()
        with lock:
            client = self._mlflow.MlflowClient(self.uri)
            known = client.get_experiment_by_name(PROJECT)
            if known is not None:
                return client, known.experiment_id
            try:
                return client, client.create_experiment(PROJECT, paths.MLFLOW_ARTIFACTS.as_uri() if local else None)
            except self._mlflow.MlflowException as error:
                known = client.get_experiment_by_name(PROJECT)
                if error.error_code != "RESOURCE_ALREADY_EXISTS" or known is None:  # else another client was faster
                    raise
                return client, known.experiment_id

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Name the server in what goes wrong, and tell one that is away from one that refuses."""
        try:
            yield
        except (self._mlflow.MlflowException, requests.RequestException) as error:
            raise _kind(error, self._served)(f"MLflow at {self.uri} does not answer or refuses: {error}.") from error


def _imported() -> tuple[Any, Any]:
    """What of mlflow is used here; imported late, since many commands end up with nothing to ask of it."""
    with _all_stays():
        import mlflow
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return mlflow, get_artifact_repository


@contextlib.contextmanager
def _all_stays() -> Iterator[None]:
    """Make many objects that stay, as an import does, and have no one look for garbage among them, then or later.

    Importing mlflow takes two seconds of every item, and a third more if the collector goes through it again and again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _kind(error: Any, served: bool) -> type[TrackingError]:
    if isinstance(error, requests.RequestException):
        status = 0 if error.response is None else error.response.status_code
        missing, refused = status == 404, 400 <= status < 500 and status != 429
    else:
        missing, refused = error.error_code == "RESOURCE_DOES_NOT_EXIST", error.error_code in FOR_GOOD
    if missing:
        return MissingInStoreError
    return TrackerAway if served and not refused else TrackingError
