"""The way to one namespace of one cluster, in the plain dictionaries that its API server sends. Imports kubernetes.

Not in the client's models: they refuse an answer that lacks a field, and drop fields that are newer than themselves.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from pipeline.patience import Away

NAMESPACE = "vsml"  # where `make deploy` puts everything
CONNECT_S, READ_S = 10.0, 30.0
PASSING = (408, 410, 429)  # of the 4xx, those that are over when one asks again
IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ClusterError(RuntimeError):
    """The cluster refuses, or has not what is needed."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """From KUBECONFIG (or ~/.kube/config) or, in a pod, from its service account; nothing is sent at first.

    The namespace is that of VSML_NAMESPACE, or of the kubeconfig's context, or `vsml`.

    Raises:
      ClusterError: no usable kubeconfig.
    """

    def __init__(self) -> None:
        settings = client.Configuration()
        settings.retries = False  # type: ignore[assignment]  # they are the caller's
        if not os.environ.get("KUBECONFIG") and IN_CLUSTER.exists():
            config.load_incluster_config(client_configuration=settings)
            self.name, namespace = "the cluster of this pod", IN_CLUSTER.read_text().strip()
        else:
            self.name, namespace = _from_file(settings)
        self.namespace = os.environ.get("VSML_NAMESPACE") or namespace
        self.host = settings.host
        self._client = client.ApiClient(settings)

    def send(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Any = None, read_s: float = READ_S
    ) -> urllib3.BaseHTTPResponse:
        """One request; its answer, if it is a good one.

        Raises:
          Away: what fails in passing: 410, 429, 5xx, a connection that breaks.
          ClusterError: what will fail again.
        """
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        ready = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*ready, _request_timeout=(CONNECT_S, read_s)).response
        except client.ApiException as error:  # of TLS
            raise ClusterError(f"{method} {path}: {error}. Check the certificates of the kubeconfig.") from error
        except urllib3.exceptions.HTTPError as error:
            raise Away(f"{method} {path}: {error}.") from error
        if answer.status < 300:
            return answer
        with answer:
            text = b"".join(pieces(answer)).decode(errors="replace")
        said = f"{method} {path}: {answer.status} {answer.reason}: {_message(text)}"
        if answer.status in PASSING or answer.status >= 500:
            raise Away(said)
        remedy = " Has the kubeconfig the right user, context and namespace?" if answer.status in (401, 403) else ""
        raise ClusterError(said + remedy, answer.status)

    def ask(self, method: str, path: str, query: Mapping[str, str] = {}, body: Any = None) -> dict[str, Any]:
        """What the server answers to one request; raises as `send` does."""
        with self.send(method, path, query, body) as answer:
            text = b"".join(pieces(answer))
        try:
            return json.loads(text)
        except ValueError as error:
            raise Away(f"The cluster answers {text[:100]!r}, which is no JSON.") from error


def pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """An answer as it comes."""
    try:
        yield from answer.stream(2**16)
    except urllib3.exceptions.HTTPError as error:
        raise Away(f"A stream broke: {error}.") from error


def check(job: dict[str, Any]) -> None:
    """Have the client's own models look a Job over before a server does.

    Raises:
      ValueError: fields that no Job has, or values of the wrong kind, each by its place.
    """
    try:
        client.V1Job.model_validate(job)
    except ValueError as error:
        raise ValueError(f"Job {job['metadata']['name']} is not well-formed; is the PodTemplate? {error}") from error


def _from_file(settings: client.Configuration) -> tuple[str, str]:
    """The name of the kubeconfig's context, and its namespace."""
    file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())  # the client asked at import only
    try:
        config.load_kube_config(file, client_configuration=settings)
        _, context = config.list_kube_config_contexts(file)
    except config.ConfigException as error:
        raise ClusterError(
            f"No cluster is named by {file}, nor by a token of this machine ({error}). Ask an administrator for a "
            "kubeconfig, `export KUBECONFIG=FILE`, and choose a context with `kubectl config use-context NAME`."
        ) from error
    return context["name"], context["context"].get("namespace") or NAMESPACE


def _message(text: str) -> str:
    """What a Status of Kubernetes says, or the text if it is none."""
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text[:300]
