"""The way to a cluster: clients of its API, and what a driver may ask of it.

Raises ClusterError for everything that a kubeconfig, a network or an account can lack, each with its remedy.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

NAMESPACE = "vsml"
TEMPLATES = ("vsml-small", "vsml-large")
OLDEST = (1, 31)  # the first Kubernetes in which podFailurePolicy is stable
GPU = "nvidia.com/gpu"
COMMIT = "vsml/commit"  # annotation of a PodTemplate: from which commit its image is
TIMEOUT_S = 20
RIGHTS = {  # of a driver, by API group and resource; k8s/base/driver.yaml grants the same
    ("batch", "jobs"): ("create", "delete", "get", "list", "watch"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "pods/log"): ("get",),
    ("", "podtemplates"): ("get",),
    ("", "events"): ("list", "watch"),
}


class ClusterError(Exception):
    """Why the cluster cannot be used, and what to do about it."""


class RefusedError(ClusterError):
    """The API server answers with an HTTP status that is an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Cluster(NamedTuple):
    """Clients that share one connection pool. They raise ApiException, and urllib3's HTTPError for the network."""

    name: str  # of the context, for people
    api: client.ApiClient
    batch: client.BatchV1Api
    core: client.CoreV1Api


def connect() -> Cluster:
    """The cluster of KUBECONFIG (or ~/.kube/config), or the one that this process runs in a pod of.

    Nothing is sent: `version` is the first question to ask.
    """
    settings = client.Configuration()
    settings.retries = False  # type: ignore[assignment]  # who asks knows what may be asked again
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    try:
        if in_pod:
            name = "of this pod"
            config.load_incluster_config(client_configuration=settings)
        else:
            name = config.list_kube_config_contexts()[1]["name"]
            config.load_kube_config(client_configuration=settings)
    except ConfigException as error:
        where = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser()
        raise ClusterError(
            f"No cluster is known: {error} Name the file that its administrator gave you: export KUBECONFIG=FILE "
            f"(now {where}), and choose a context: kubectl config use-context NAME."
        ) from error
    api = client.ApiClient(settings)
    return Cluster(name, api, client.BatchV1Api(api), client.CoreV1Api(api))


def version(cluster: Cluster) -> tuple[int, int]:
    """Of Kubernetes: (1, 34)."""
    with answers("its version"):
        info = client.VersionApi(cluster.api).get_code(_request_timeout=TIMEOUT_S)
        return int(info.major), int(info.minor.rstrip("+"))


def allowed(cluster: Cluster, group: str, resource: str, verb: str) -> bool:
    """Whether the account of this connection may do so in the namespace."""
    kind, _, sub = resource.partition("/")
    attributes = client.V1ResourceAttributes(
        namespace=NAMESPACE, group=group, resource=kind, subresource=sub or None, verb=verb
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    with answers("what this account may do"):
        asked = client.AuthorizationV1Api(cluster.api)
        return asked.create_self_subject_access_review(review, _request_timeout=TIMEOUT_S).status.allowed


def template(cluster: Cluster, name: str) -> dict[str, Any]:
    """A PodTemplate as the plain dictionary that the API server sends."""
    with answers(f"the PodTemplate {name}"):
        found = cluster.core.read_namespaced_pod_template(name, NAMESPACE, _request_timeout=TIMEOUT_S)
        return cluster.api.sanitize_for_serialization(found)


def gpus(cluster: Cluster) -> dict[str, int]:
    """How many GPUs each node has for pods."""
    with answers("its nodes"):
        nodes = cluster.core.list_node(_request_timeout=TIMEOUT_S).items
        return {node.metadata.name: int(node.status.allocatable.get(GPU, 0)) for node in nodes}


@contextlib.contextmanager
def answers(what: str) -> Iterator[None]:
    """Turn what the API server or the network says into a ClusterError, with `status` when there is one."""
    try:
        yield
    except ApiException as error:
        raise RefusedError(
            f"The API server does not tell {what}: {error.status} {error.reason}.", error.status
        ) from error
    except HTTPError as error:
        raise ClusterError(
            f"The API server cannot be reached ({error}). Is the network up, or a VPN needed?"
        ) from error
