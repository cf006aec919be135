"""The way to one namespace of one cluster, in the plain dictionaries that its API server sends. Imports kubernetes.

Not in the client's models: they refuse an answer that lacks a field, and drop fields that are newer than themselves.
What fails in passing is tried again for many minutes: the official client does not do that for all of it, and cannot
ask for logs by sinceTime. A log is a hint: it may end at any moment, for any reason, and whoever reads one asks
afterwards how things stand.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.utils.quantity import parse_quantity
from yaml import YAMLError

from pipeline.track.patience import Away, patiently
from pipeline.track.tracking import without_secrets

NAMESPACE = os.environ.get("VSML_NAMESPACE") or "vsml"  # of stages, where `make deploy` puts their templates
SERVERS = os.environ.get("VSML_SERVERS") or f"{NAMESPACE}-servers"  # of MLflow and PostgreSQL
CONNECT_S, READ_S = 10.0, 30.0
PATIENCE_S = 20 * 60
PASSING = (408, 410, 429)  # of the 4xx, those that are over when one asks again
MALFORMED = (config.ConfigException, YAMLError, OSError, LookupError, TypeError, AttributeError, ValueError)
IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ClusterError(RuntimeError):
    """The cluster refuses, or has not what is needed."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def amount(quantity: str) -> Decimal:
    """What a quantity of Kubernetes, such as 500m or 2Gi, is as a number."""
    return parse_quantity(quantity)


class Api:
    """Jobs, pods, logs and templates of one namespace.

    From KUBECONFIG (or ~/.kube/config) or, in a pod, from its service account; nothing is sent at first. The namespace
    is that of VSML_NAMESPACE, or of the kubeconfig's context, or `vsml`.

    Raises:
      ClusterError: no usable kubeconfig.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self.name, namespace = self._log_in()
        self.namespace = os.environ.get("VSML_NAMESPACE") or namespace
        self.core = f"/api/v1/namespaces/{self.namespace}"
        self.batch = f"/apis/batch/v1/namespaces/{self.namespace}"

    def _log_in(self) -> tuple[str, str]:
        """Read who we are there, which may be another token by now; return the names of cluster and namespace."""
        settings = client.Configuration()
        settings.retries = False  # type: ignore[assignment]  # they are ours
        file = os.environ.get("KUBECONFIG")  # for which the client asks the environment at import only
        if not file and IN_CLUSTER.exists():
            config.load_incluster_config(client_configuration=settings)
            name, namespace = "the cluster of this pod", IN_CLUSTER.read_text().strip()
        else:
            file = file or str(Path("~/.kube/config").expanduser())
            try:
                # The client leaves keys in files until atexit, which a fork of `repro` never comes to.
                Finalize(None, config.kube_config._cleanup_temp_files, exitpriority=0)
                config.load_kube_config(file, client_configuration=settings)
                _, context = config.list_kube_config_contexts(file)
                if not str(settings.host).startswith(("https://", "http://")):
                    raise ValueError(f"its server is {settings.host!r}, expected https://HOST")
            except MALFORMED as error:
                raise ClusterError(
                    f"No cluster is named by {file}, nor by a token of this machine ({' '.join(str(error).split())}). "
                    "Ask an administrator for a kubeconfig, `export KUBECONFIG=FILE`, and choose a context with "
                    "`kubectl config use-context NAME`."
                ) from error
            name, namespace = context["name"], context["context"].get("namespace") or NAMESPACE
        self._host, self._client = without_secrets(str(settings.host)), client.ApiClient(settings)
        return name, namespace

    def template(self, name: str) -> dict[str, Any]:
        found = self.ask("GET", f"{self.core}/podtemplates/{name}", none_if=404)
        if found is None:
            absent = f"Namespace {self.namespace} has no PodTemplate {name}. `make deploy` puts it there."
            raise ClusterError(absent, 404)
        return found

    def job(self, name: str) -> dict[str, Any] | None:
        return self.ask("GET", f"{self.batch}/jobs/{name}", none_if=404)

    def jobs(self, selector: str) -> list[dict[str, Any]]:
        return self.ask("GET", f"{self.batch}/jobs", {"labelSelector": selector})["items"]

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The pods of a Job, the oldest first."""
        pods = self.ask("GET", f"{self.core}/pods", {"labelSelector": f"job-name={job}"})["items"]
        pods.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))
        return pods

    def events(self, name: str, uid: str | None) -> list[dict[str, Any]]:
        """What the cluster says of a Job or a pod, the newest last; not of an older one of the same name."""
        found = self.ask("GET", f"{self.core}/events", {"fieldSelector": f"involvedObject.name={name}"})["items"]
        found = [one for one in found if uid in (None, one["involvedObject"].get("uid", uid))]
        return sorted(found, key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")

    def create(self, job: dict[str, Any]) -> bool:
        """Create a Job; false if there is one of that name already, be it by a request whose answer was lost."""
        strict = {"fieldValidation": "Strict"}  # fields that no Job has are refused, and not dropped
        return self.ask("POST", f"{self.batch}/jobs", strict, job, none_if=409) is not None

    def delete(self, name: str) -> None:
        """Delete a Job with its pods; it takes a moment until they are gone."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        self.ask("DELETE", f"{self.batch}/jobs/{name}", body=options, none_if=404)

    def log(self, pod: str, since: str | None, follow: bool, quiet_s: float) -> Iterator[bytes]:
        """What a pod says, with time stamps, in pieces as they come; it ends where the server ends it.

        Raises:
          Away: the stream broke, or nothing came for `quiet_s`.
          ClusterError: there is no such log now.
        """
        query = {"container": "stage", "timestamps": "true", "follow": str(follow).lower()}
        query |= {"sinceTime": since} if since is not None else {}
        return self._stream("GET", f"{self.core}/pods/{pod}/log", query, read_s=quiet_s)

    def ask(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Any = None, none_if: int | None = None
    ) -> Any:
        """What the server answers, which is asked again while it is away; None if it refuses with status `none_if`.

        Raises:
          Away: it was away for all of the patience.
          ClusterError: it refuses.
        """

        def once() -> dict[str, Any]:
            text = b"".join(self._stream(method, path, query, body))
            try:
                return json.loads(text)
            except ValueError as error:
                raise Away(f"The cluster answers {text[:100]!r}, which is no JSON.") from error

        try:
            return patiently(once, f"The cluster at {self._host}", self._patience_s)
        except Away as error:
            raise Away(f"{self.name} cannot be reached: {error} Is the network up, is a VPN needed?") from error
        except ClusterError as error:
            if error.status != none_if:
                raise
            return None

    def _stream(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Any = None, read_s: float = READ_S
    ) -> Iterator[bytes]:
        """One request; its answer as it comes, if it is a good one.

        Raises:
          Away: what fails in passing: 410, 429, 5xx, a connection that breaks.
          ClusterError: what will fail again.
        """
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        told = {"query_params": list(query.items()), "header_params": headers, "body": body}
        try:
            for last in (False, True):
                ready = self._client.param_serialize(method, path, **told, auth_settings=["BearerToken"])
                answer = self._client.call_api(*ready, _request_timeout=(CONNECT_S, read_s)).response
                if answer.status != 401 or last:
                    break
                answer.drain_conn()
                try:
                    self._log_in()  # tokens expire, and are renewed in their files
                except ClusterError as error:  # which may be half written at this moment
                    raise Away(f"{method} {path}: {answer.status}, and then: {error}") from error
            with answer:
                if answer.status < 300:
                    yield from answer.stream(2**16)
                    return
                text = b"".join(answer.stream(2**16)).decode(errors="replace")
        except client.ApiException as error:  # of TLS
            raise ClusterError(f"{method} {path}: {error}. Check the certificates of the kubeconfig.") from error
        except urllib3.exceptions.HTTPError as error:
            raise Away(f"{method} {path}: {error}.") from error
        try:
            text = json.loads(text)["message"]  # of a Status of Kubernetes
        except (ValueError, KeyError, TypeError):
            text = text[:300]
        said = f"{method} {path}: {answer.status} {answer.reason}: {text}"
        if answer.status in PASSING or answer.status >= 500:
            raise Away(said)
        # Who may do it all may still be refused by a quota or a policy.
        unknown = answer.status == 401 or (answer.status == 403 and re.search(r"\bcannot\b", text))
        remedy = " Has the kubeconfig the right user, context and namespace?" if unknown else ""
        raise ClusterError(said + remedy, answer.status)
