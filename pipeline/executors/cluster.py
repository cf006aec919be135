"""What the doctor asks a cluster, each once: is it one that a driver can use?"""

import re
from typing import Any

from pipeline.executors.connection import ClusterError, Connection
from pipeline.patience import Away

TEMPLATES = ("vsml-small", "vsml-large")
OLDEST = (1, 31)  # the first Kubernetes in which podFailurePolicy is stable
GPU = "nvidia.com/gpu"
COMMIT = "vsml/commit"  # annotation of a PodTemplate: from which commit its image is
RIGHTS = {  # of a driver, by API group and resource; k8s/base/driver.yaml grants the same
    ("batch", "jobs"): ("create", "delete", "get", "list", "watch"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "pods/log"): ("get",),
    ("", "podtemplates"): ("get",),
    ("", "events"): ("list", "watch"),
}


def version(cluster: Connection) -> tuple[int, int]:
    """Of Kubernetes: (1, 34)."""
    said = _ask(cluster, "GET", "/version").get("gitVersion", "")  # `major` and `minor` are empty in some builds
    if (number := re.match(r"v(\d+)\.(\d+)\.", said)) is None:
        raise ClusterError(f"{cluster.name} says that its version is {said!r}, where v1.34.1 or the like is expected.")
    return int(number[1]), int(number[2])


def allowed(cluster: Connection, group: str, resource: str, verb: str) -> bool:
    """Whether the account of this connection may do so in the namespace."""
    kind, _, sub = resource.partition("/")
    attributes = {"namespace": cluster.namespace, "group": group, "resource": kind, "subresource": sub, "verb": verb}
    group_version = "authorization.k8s.io/v1"
    review = {
        "apiVersion": group_version,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return _ask(cluster, "POST", f"/apis/{group_version}/selfsubjectaccessreviews", review)["status"]["allowed"]


def template(cluster: Connection, name: str) -> dict[str, Any]:
    """A PodTemplate."""
    return _ask(cluster, "GET", f"/api/v1/namespaces/{cluster.namespace}/podtemplates/{name}")


def gpus(cluster: Connection) -> dict[str, int]:
    """How many GPUs each node has for pods."""
    nodes = _ask(cluster, "GET", "/api/v1/nodes")["items"]
    return {node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes}


def _ask(cluster: Connection, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return cluster.ask(method, path, body=body)
    except Away as error:
        raise ClusterError(f"{cluster.name} cannot be reached: {error} Is the network up, is a VPN needed?") from error
