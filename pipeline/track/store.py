"""MLflow as this project uses it: runs, their tags, params and curves, and files by path. Only importer of mlflow.

By default runs go to mlflow.db and mlartifacts/ in the repository; MLFLOW_TRACKING_URI names a server instead. What
goes wrong comes as a TrackingError, and as a TrackerAway if the same request may succeed later. What others lock for a
moment, as SQLite does, is waited for here.
"""

import contextlib
import getpass
import json
import logging
import os
import re
import shlex
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from pipeline.run import artifacts, paths
from pipeline.track.patience import Away, patiently
from pipeline.track.tracking import store_uri, without_secrets

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default of 7 holds training up for four minutes
os.environ.setdefault(TIMEOUT := "MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Through the server, always: where S3 is behind it, it would hand out presigned URLs, and pods have no way to S3.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")

PROJECT = "vsml"
METRICS_A_BATCH, DIGEST_LETTERS = 1000, 36  # the limits of MLflow
BYTES_A_S = 10**6  # at least, that a server puts away: it answers when it has passed on all of a file, to S3 maybe
RULE = "rule"  # a folder of a run, which is a version of a model
LOADER = "vsml.pyfunc"  # what `mlflow.pyfunc.load_model` imports for it
# Of the characters that a folder may have, those that mean something in an address, and no others.
IN_REPOSITORY = f"sqlite:///{str(paths.MLFLOW_DATABASE).replace('%', '%25').replace('?', '%3F')}"
LOCKED_S = 60.0  # that a database may be
REFUSALS = ("INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED", "BAD_REQUEST")  # will be said again


class TrackingError(RuntimeError):
    """MLflow cannot be reached or refuses."""


class TrackerAway(TrackingError, Away):  # noqa: N818 - as Away
    """MLflow does not answer, or not now."""


class MissingInStoreError(TrackingError):
    """MLflow has no such run or file."""


class ExistsInStoreError(TrackingError):
    """MLflow has one of that name already."""


class IntegrityError(RuntimeError):
    """Bytes are not those that were promised."""


class Found(NamedTuple):
    """What the store knows of a run."""

    id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


class Store:
    """The runs of this project in one MLflow store."""

    def __init__(self, uri: str | None = None) -> None:
        import mlflow  # takes two seconds, and many commands end up with nothing to ask of it
        from mlflow import entities

        # It logs tracebacks of what comes from it as an exception, too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        store_uri()
        self._uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or IN_REPOSITORY
        self.uri = self._uri if self._uri == IN_REPOSITORY else without_secrets(self._uri)  # for texts
        self._entities = entities
        self._folders: dict[str, str] = {}  # of a run's files, which never move
        local = self._uri == IN_REPOSITORY
        file = _database(self._uri)
        # MLflow would put files wherever this process runs.
        here = None if file is None else (file.parent / paths.MLFLOW_ARTIFACTS.name).as_uri()
        # Several processes at once would fail to make the tables of a new database.
        with FileLock(paths.MLFLOW_DATABASE.with_suffix(".lock")) if local else contextlib.nullcontext():
            explained = _Explained(mlflow, self._uri)
            if local and not paths.MLFLOW_DATABASE.exists():  # half of the tables, as on a full disk, none completes
                with artifacts.atomic(paths.MLFLOW_DATABASE) as new:
                    explained.MlflowClient(IN_REPOSITORY.removesuffix(paths.MLFLOW_DATABASE.name) + new.name)
            self._client = _Explained(explained.MlflowClient(self._uri), self._uri)
            if local and f"sqlite:///{paths.MLFLOW_DATABASE}" != IN_REPOSITORY:
                with contextlib.suppress(OSError):  # MLflow makes the folder that the address names letter by letter
                    os.removedirs(Path(IN_REPOSITORY.removeprefix("sqlite:///")).parent)
            with contextlib.suppress(ExistsInStoreError):  # another client was faster
                if self._client.get_experiment_by_name(PROJECT) is None:
                    self._client.create_experiment(PROJECT, here)
            found = self._client.get_experiment_by_name(PROJECT)
            if found.lifecycle_stage == "deleted":
                restore = f"mlflow experiments restore -x {found.experiment_id}"
                raise TrackingError(
                    f"Experiment {PROJECT} of MLflow at {self.uri} is deleted; to have it back: "
                    f"MLFLOW_TRACKING_URI={shlex.quote(self.uri)} {restore}"
                )
            if local and found.artifact_location != here:
                _relocate(found.artifact_location, str(here))
            self._experiment = found.experiment_id

    def create(self, name: str, tags: Mapping[str, str], began_ms: int | None = None) -> str:
        """Make a run that began at a time in ms since 1970, or begins now; return its id."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a number without a name, as in containers
            user = str(os.getuid())
        own = {"user": user, "source.name": f"python -m pipeline {name}", "source.type": "LOCAL"}
        own |= {"source.git.commit": commit} if (commit := tags.get("commit", "none")) != "none" else {}
        tags = {f"mlflow.{key}": value for key, value in own.items()} | dict(tags)  # what MLflow's pages show
        return self._client.create_run(self._experiment, began_ms, tags, name).info.run_id

    def find(self, tags: Mapping[str, str]) -> list[Found]:
        """The runs that have all these tags and are not deleted, the newest first."""
        words = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        order, runs, page = ["attributes.start_time DESC"], [], None
        while page is None or page.token:
            more = {} if page is None else {"page_token": page.token}
            page = self._client.search_runs([self._experiment], words, order_by=order, **more)
            runs += map(self._found, page)
        return runs

    def maker(self, digest: str) -> Found | None:
        """The newest finished run that has a file of this sha256, as `tracking.by_digest` makes known."""
        words = f"tags.`sha256.{digest}` LIKE '%' and attributes.status = 'FINISHED'"
        runs = self._client.search_runs([self._experiment], words, max_results=1)
        return self._found(runs[0]) if runs else None

    def having(self, digest: str) -> tuple[str, str] | None:
        """Id of the newest finished run with a file of this sha256, and the path in it; None if there is none."""
        run = self.maker(digest)
        return None if run is None else (run.id, run.tags[f"sha256.{digest}"])

    def get(self, run: str) -> Found:
        return self._found(self._client.get_run(run))

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        self._client.log_batch(run, tags=[self._entities.RunTag(key, value) for key, value in tags.items()])

    def log_params(self, run: str, params: Mapping[str, str]) -> None:
        self._client.log_batch(run, params=[self._entities.Param(key, value) for key, value in params.items()])

    def log_rows(self, run: str, first: int, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log rows of a curve in their order, the first as step `first` + 1: of each the time in ms, and its values."""
        size = METRICS_A_BATCH // max((len(row) for _, row in rows), default=1)  # so that no row goes up in part
        for start in range(0, len(rows), size):
            metrics = [
                self._entities.Metric(name, float(value), at_ms, step)
                for step, (at_ms, row) in enumerate(rows[start : start + size], first + start + 1)
                for name, value in row.items()
            ]
            self._client.log_batch(run, metrics=metrics)

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Log numbers without a step, as of the start of the run: what is logged again, MLflow keeps once."""
        self.log_rows(run, -1, [(self._client.get_run(run).info.start_time, metrics)])

    def last_step(self, run: str) -> int:
        """The last step of the curve that is logged."""
        return max((seen.step for seen in self._client.get_metric_history(run, "loss")), default=0)

    def once(self, run: str, key: str, value: str) -> str:
        """Set a param that none has set yet; whoever was first, return what it is. MLflow never changes a param."""
        try:
            self._client.log_param(run, key, value)
        except TrackingError as error:
            standing = None if isinstance(error, Away) else self.get(run).params.get(key)
            if standing is None:
                raise
            return standing
        return value

    def upload(self, run: str, name: str, path: Path) -> None:
        """Put a file into a run as `name`, whatever it is called here."""
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / Path(name).name
            link.symlink_to(path.resolve())
            parent = Path(name).parent.as_posix()
            with _time_for(link):
                self._client.log_artifact(run, str(link), None if parent == "." else parent)

    def upload_folder(self, run: str, name: str, folder: Path) -> None:
        """Put all files of a folder into the folder `name` of a run."""
        with _time_for(*(path for path in folder.rglob("*") if path.is_file())):
            self._client.log_artifacts(run, str(folder), name)

    def write(self, run: str, name: str, value: object) -> str:
        """Put JSON into a run as `name`; return the sha256 of the file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "value.json"
            artifacts.write_json(path, value)
            self.upload(run, name, path)
            return artifacts.sha256_file(path)

    def download(self, run: str, name: str, path: Path, digest: str | None = None) -> None:
        """Copy a file of a run to `path`. Without the `digest` that it should have, nothing vouches for its bytes.

        One request: MLflow's own client makes some thirty of it, and calls a file missing when the server is away.

        Raises:
          MissingInStoreError: there is no such file.
          IntegrityError: its sha256 is not `digest`; what is at `path` is of no use.
        """
        self._files(run)._download_file(name, str(path))
        found = artifacts.sha256_file(path)
        if digest is not None and found != digest:
            raise IntegrityError(f"{name} of MLflow run {run} has the sha256 {found}, expected {digest}.")

    def content(self, run: str, name: str, digest: str | None = None) -> bytes:
        """The bytes of a file of a run; raises as `download` does."""
        with tempfile.TemporaryDirectory() as folder:
            self.download(run, name, Path(folder) / "whole", digest)
            return Path(folder, "whole").read_bytes()

    def read(self, run: str, name: str, digest: str | None = None) -> Any:
        """The JSON in a file of a run; raises as `download` does."""
        return json.loads(self.content(run, name, digest))

    def remove(self, run: str, name: str) -> None:
        self._files(run).delete_artifacts(name)

    def link(self, run: str) -> str:
        """Where MLflow's pages show a run, as seen from any other; without the last words, as one of a GenAI."""
        return f"#/experiments/{self._experiment}/runs/{run}?workflowType=machine_learning"

    def log_data(self, run: str, read: Mapping[str, tuple[str, str]]) -> None:
        """Log what data sets a run read: of each its sha256 and its use. MLflow cuts digests; the source is whole."""
        of, data = self._entities, []
        for name, (digest, use) in read.items():
            source = json.dumps({"uri": name, "sha256": digest}, sort_keys=True)
            dataset = of.Dataset(name, digest[:DIGEST_LETTERS], "local", source)
            data.append(of.DatasetInput(dataset, [of.InputTag("mlflow.data.context", use)]))
        self._client.log_inputs(run, data)

    def register(
        self, model: str, run: str, path: Path, tags: Mapping[str, str], alias: str | None, about: str
    ) -> None:
        """Make a file of a run a version of a model, once for the sha256 among its tags; and let `alias` name it.

        It is loaded by `mlflow.pyfunc.load_model`; `about` is its description, as Markdown.
        """
        versions = self._client.search_model_versions(f"name = '{model}'")
        own = {"sha256": tags["sha256"], "loader": LOADER}  # earlier versions had none and cannot be loaded
        known = [int(one.version) for one in versions if own.items() <= one.tags.items()]
        if not known:
            with tempfile.TemporaryDirectory() as folder:
                _save_model(Path(folder) / RULE, path)
                self.upload_folder(run, RULE, Path(folder) / RULE)
            with contextlib.suppress(ExistsInStoreError):
                self._client.create_registered_model(model)
            source, own = f"runs:/{run}/{RULE}", dict(tags) | own
            made = self._client.create_model_version(model, source, run, own, description=about, await_creation_for=0)
            self._client.update_registered_model(model, about)  # the model's own page has the card of its last version
            known = [int(made.version)]
        if alias is not None:
            self._client.set_registered_model_alias(model, alias, str(max(known)))

    def rate(self, model: str, digest: str, metrics: Mapping[str, float]) -> None:
        """Have the version of a model that is of this sha256, if there is one, bear these numbers as tags."""
        for one in self._client.search_model_versions(f"name = '{model}'"):
            if one.tags.get("sha256") == digest:
                for key, value in {(name, str(value)) for name, value in metrics.items()} - one.tags.items():
                    self._client.set_model_version_tag(model, one.version, key, value)

    def end(self, run: str, status: str, at_ms: int | None = None) -> None:
        self._client.set_terminated(run, status, at_ms)

    def reopen(self, run: str) -> None:
        self._client.update_run(run, status="RUNNING")

    def forget(self, run: str) -> None:
        self._client.delete_run(run)

    def _files(self, run: str) -> Any:
        """The repository of a run's files."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if run not in self._folders:
            self.get(run)
        return _Explained(get_artifact_repository(self._folders[run], tracking_uri=self._uri), self._uri)

    def _found(self, run: Any) -> Found:
        self._folders[run.info.run_id] = str(run.info.artifact_uri)
        return Found(run.info.run_id, run.info.status, *map(dict, (run.data.tags, run.data.params, run.data.metrics)))


class _Explained:
    """What is called of MLflow: its errors name the server, and tell one that is away from one that refuses."""

    def __init__(self, of: Any, uri: str) -> None:
        self._of, self._uri, self._at_server = of, uri, uri.startswith("http")

    def __getattr__(self, name: str) -> Any:
        from mlflow import MlflowException

        shown = without_secrets(self._uri)

        def call(*words: Any, **more: Any) -> Any:
            try:
                return getattr(self._of, name)(*words, **more)
            except Exception as error:
                # Errors of requests and of files, as of a full disk, are OSErrors.
                if not isinstance(error, MlflowException | OSError) and "sqlalchemy" not in type(error).__module__:
                    raise
                # Of what SQLAlchemy says, without the statement and the link.
                said = re.split(r"\n\[SQL|\n\(Background", str(error))[0]
                said = said.replace(self._uri, shown).replace("<database_uri>", shown)
                what = "This machine fails" if self._of_here(error) else f"MLflow at {shown} does not answer or refuses"
                said = f"{what}: {said.rstrip('.')}."
                if "database schema" in said:  # MLflow takes every other schema for an older one
                    said += " If a newer MLflow made that database, no upgrade helps: install its version."
                raise self._kind(error)(said) from (error if shown == self._uri else None)

        # Whoever waits for a server has a patience of his own.
        for_s = 0 if self._at_server else LOCKED_S
        return lambda *words, **more: patiently(lambda: call(*words, **more), "The database", for_s)

    def _of_here(self, error: Any) -> bool:
        """Whether it is none of a server's, as of a full disk: those of connections and of requests are."""
        its = isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.startswith("requests")
        return self._at_server and isinstance(error, OSError) and error.errno is not None and not its

    def _kind(self, error: Any) -> type[TrackingError]:
        if not self._at_server and "database is locked" in str(error):
            return TrackerAway
        if self._of_here(error):
            return TrackingError
        # Errors of MLflow have a code, those of requests a response, if there was one.
        code = getattr(error, "error_code", "")
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if code == "RESOURCE_DOES_NOT_EXIST" or status == 404 or isinstance(error, FileNotFoundError):
            return MissingInStoreError
        if code == "RESOURCE_ALREADY_EXISTS":
            return ExistsInStoreError
        refused = code in REFUSALS or (400 <= status < 500 and status != 429)
        return TrackerAway if self._at_server and not refused else TrackingError


def _save_model(folder: Path, rule: Path) -> None:
    """Write a rule as a model of MLflow that LOADER loads: no code and no pickle beside it, and a signature."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow's import warns of a type hint of its own
        from mlflow.pyfunc import add_to_model  # from mlflow itself it would be imported later
    from mlflow.models import Model, ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    x, y = TensorSpec(np.dtype(float), (-1, -1), "x"), TensorSpec(np.dtype("int64"), (-1,), "y")
    params = [ParamSpec(name, DataType.long, 0) for name in ("classes", "random_features", "seed")]
    answer = TensorSpec(np.dtype(float), (-1, -1))
    model = Model(signature=ModelSignature(Schema([x, y]), Schema([answer]), ParamSchema(params)))
    add_to_model(model, loader_module=LOADER, data="rule.npz")
    folder.mkdir()
    shutil.copyfile(rule, folder / "rule.npz")
    model.save(folder / "MLmodel")


@contextlib.contextmanager
def _time_for(*files: Path) -> Iterator[None]:
    """Wait for an answer as long as a server may need for the largest of these files. One thread at a time uploads."""
    own = os.environ[TIMEOUT]
    os.environ[TIMEOUT] = str(int(own) + max((path.stat().st_size for path in files), default=0) // BYTES_A_S)
    try:
        yield
    finally:
        os.environ[TIMEOUT] = own


def _database(uri: str) -> Path | None:
    """The file that a database is, if it is one. What cannot be opened MLflow would try for two minutes."""
    if uri == IN_REPOSITORY:
        file = paths.MLFLOW_DATABASE
    elif uri.startswith("sqlite:"):
        from sqlalchemy.engine import make_url

        file = Path(make_url(uri).database or "").resolve()
    else:
        return None
    if os.path.lexists(file):
        try:
            sqlite3.connect(file).close()
        except sqlite3.OperationalError as error:
            remedy = "Move what is there away, and a new one is made; or let this user read and write it."
            raise TrackingError(f"{file} is no database that MLflow can use: {error}. {remedy}") from error
    return file


def _relocate(old: str, new: str) -> None:
    """The repository has moved, or was copied: have the runs in its database find their files where these are now."""
    with contextlib.closing(sqlite3.connect(paths.MLFLOW_DATABASE, timeout=LOCKED_S)) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("model_versions", "storage_location"),
        ):
            move = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
            database.execute(move, (new, len(old) + 1, len(old), old))
