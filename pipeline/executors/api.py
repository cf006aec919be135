"""The Kubernetes API, as far as a driver needs it.

What fails in passing is tried again for many minutes: the official client does not do that for all of it, and cannot
ask for logs by sinceTime. Streams are hints: they may end at any moment, for any reason, and whoever reads one asks
afterwards how things stand.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.executors.connection import ClusterError, Connection, check, pieces
from pipeline.patience import Away, patiently

PATIENCE_S = 20 * 60
BATCH, CORE = "/apis/batch/v1", "/api/v1"


class Api:
    """Jobs, pods, logs and templates of one namespace."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._connection, self._patience_s = Connection(), patience_s
        self.namespace = self._connection.namespace

    def template(self, name: str) -> dict[str, Any]:
        found = self._read(CORE, f"podtemplates/{name}")
        if found is None:
            raise ClusterError(f"Namespace {self.namespace} has no PodTemplate {name}. `make deploy` puts it there.")
        return found

    def job(self, name: str) -> dict[str, Any] | None:
        return self._read(BATCH, f"jobs/{name}")

    def jobs(self, selector: str) -> list[dict[str, Any]]:
        return self._patiently("GET", BATCH, "jobs", {"labelSelector": selector})["items"]

    def pods(self, job: str) -> tuple[list[dict[str, Any]], str]:
        """The pods of a Job, the oldest first, and the version of this list, to wait for the next from."""
        found = self._patiently("GET", CORE, "pods", {"labelSelector": f"job-name={job}"})
        pods = found["items"]
        pods.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))
        return pods, found.get("metadata", {}).get("resourceVersion", "")

    def create(self, job: dict[str, Any]) -> bool:
        """Create a Job; false if there is one of that name already, be it by a request whose answer was lost."""
        check(job)
        try:
            self._patiently("POST", BATCH, "jobs", body=job)
        except ClusterError as error:
            if error.status == 409:
                return False
            raise
        return True

    def delete(self, name: str) -> None:
        """Delete a Job with its pods; it takes a moment until they are gone."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        try:
            self._patiently("DELETE", BATCH, f"jobs/{name}", body=options)
        except ClusterError as error:
            if error.status != 404:
                raise

    def wait_for_change(self, job: str, version: str, at_most_s: int) -> None:
        """Return when the pods of a Job may be others than in that version, or after a while; no telling which."""
        query = {"labelSelector": f"job-name={job}", "watch": "true", "timeoutSeconds": str(at_most_s)}
        try:
            where, query = self._where(CORE, "pods"), query | {"resourceVersion": version}
            with self._connection.send("GET", where, query, read_s=at_most_s + 5) as answer:
                next(pieces(answer), None)
        except (Away, ClusterError):  # 410, a cut, silence: the caller asks how things stand in any case
            return

    def log(self, pod: str, since: str | None, follow: bool, quiet_s: float) -> Iterator[bytes]:
        """What a pod says, with time stamps, in pieces as they come; it ends where the server ends it.

        Raises:
          Away: the stream broke, or nothing came for `quiet_s`.
          ClusterError: there is no such log now.
        """
        query = {"container": "stage", "timestamps": "true", "follow": str(follow).lower()}
        if since is not None:
            query["sinceTime"] = since
        with self._connection.send("GET", self._where(CORE, f"pods/{pod}/log"), query, read_s=quiet_s) as answer:
            yield from pieces(answer)

    def _read(self, group: str, path: str) -> dict[str, Any] | None:
        try:
            return self._patiently("GET", group, path)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def _patiently(self, method: str, group: str, path: str, query: Mapping = {}, body: Any = None) -> dict[str, Any]:
        where = self._where(group, path)
        what = f"The cluster at {self._connection.host}"
        return patiently(lambda: self._connection.ask(method, where, query, body), what, self._patience_s)

    def _where(self, group: str, path: str) -> str:
        return f"{group}/namespaces/{self.namespace}/{path}"
