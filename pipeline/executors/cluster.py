"""The way to a cluster, and what a driver may ask of it, in the plain dictionaries that the API server sends.

Not in the client's models: they refuse an answer that lacks a field, and drop fields that are newer than themselves.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from pipeline.executors.api import ClusterError

NAMESPACE = "vsml"
TEMPLATES = ("vsml-small", "vsml-large")
OLDEST = (1, 31)  # the first Kubernetes in which podFailurePolicy is stable
GPU = "nvidia.com/gpu"
COMMIT = "vsml/commit"  # annotation of a PodTemplate: from which commit its image is
CONNECT_S, READ_S = 10, 20
RIGHTS = {  # of a driver, by API group and resource; k8s/base/driver.yaml grants the same
    ("batch", "jobs"): ("create", "delete", "get", "list", "watch"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "pods/log"): ("get",),
    ("", "podtemplates"): ("get",),
    ("", "events"): ("list", "watch"),
}


class Cluster(NamedTuple):
    name: str  # of the context, for people
    api: client.ApiClient


def connect() -> Cluster:
    """The cluster of KUBECONFIG (or ~/.kube/config), or the one that this process runs in a pod of. Sends nothing.

    Raises:
      ClusterError: no usable kubeconfig.
    """
    settings = client.Configuration()
    settings.retries = False  # type: ignore[assignment]  # who asks is told at once
    files = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())  # the client asked at import only
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            name = "the cluster of this pod"
            config.load_incluster_config(client_configuration=settings)
        else:
            name = config.list_kube_config_contexts(files)[1]["name"]
            config.load_kube_config(files, client_configuration=settings)
    except ConfigException as error:
        raise ClusterError(
            f"No cluster is named by {files}, nor by a token of this machine ({error}). Ask an administrator for a "
            "kubeconfig, `export KUBECONFIG=FILE`, and choose a context with `kubectl config use-context NAME`."
        ) from error
    return Cluster(name, client.ApiClient(settings))


def version(cluster: Cluster) -> tuple[int, int]:
    """Of Kubernetes: (1, 34)."""
    said = _ask(cluster, "GET", "/version").get("gitVersion", "")  # `major` and `minor` are empty in some builds
    if (number := re.match(r"v(\d+)\.(\d+)\.", said)) is None:
        raise ClusterError(f"{cluster.name} says that its version is {said!r}, where v1.34.1 or the like is expected.")
    return int(number[1]), int(number[2])


def allowed(cluster: Cluster, group: str, resource: str, verb: str) -> bool:
    """Whether the account of this connection may do so in the namespace."""
    kind, _, sub = resource.partition("/")
    attributes = {"namespace": NAMESPACE, "group": group, "resource": kind, "subresource": sub, "verb": verb}
    group_version = "authorization.k8s.io/v1"
    review = {
        "apiVersion": group_version,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return _ask(cluster, "POST", f"/apis/{group_version}/selfsubjectaccessreviews", review)["status"]["allowed"]


def template(cluster: Cluster, name: str) -> dict[str, Any]:
    """A PodTemplate."""
    return _ask(cluster, "GET", f"/api/v1/namespaces/{NAMESPACE}/podtemplates/{name}")


def gpus(cluster: Cluster) -> dict[str, int]:
    """How many GPUs each node has for pods."""
    nodes = _ask(cluster, "GET", "/api/v1/nodes")["items"]
    return {node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes}


def _ask(cluster: Cluster, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    json_only = {"Accept": "application/json", "Content-Type": "application/json"}
    request = cluster.api.param_serialize(
        method, path, header_params=json_only, body=body, auth_settings=["BearerToken"]
    )
    try:
        answer = cluster.api.call_api(*request, _request_timeout=(CONNECT_S, READ_S))
        content = answer.read()
    except HTTPError as error:
        raise ClusterError(f"{cluster.name} cannot be reached: {error}. Is the network up, is a VPN needed?") from error
    if not 200 <= answer.status <= 299:
        raise ClusterError(f"{cluster.name} answers {answer.status} {answer.reason} to {method} {path}.", answer.status)
    try:
        return json.loads(content)
    except ValueError as error:
        raise ClusterError(f"{cluster.name} answers {content[:100]!r} to {method} {path}, and no JSON.") from error
