"""`python -m pipeline doctor` asks for all that a stage on the cluster needs, and says how to mend what is not so.

Every question is asked that can be: what is wrong with the cluster hides nothing about MLflow.
"""

import hashlib
import os
import re
import secrets
import sys
import uuid
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import requests

from pipeline.cluster.connection import NAMESPACE, ClusterError, Connection
from pipeline.run import job as provenance
from pipeline.track.patience import Away

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
ROUND_TRIP_BYTES = 2**20
TIMEOUT_S = 20
DEPLOY = "make deploy OVERLAY=kind (or cluster; see docs/cluster.md)"
FORWARD = f"kubectl -n {NAMESPACE} port-forward service/mlflow 5000 &\nexport MLFLOW_TRACKING_URI=http://localhost:5000"
LOGIN = (
    "export MLFLOW_TRACKING_USERNAME=vsml\n"
    f"export MLFLOW_TRACKING_PASSWORD=$(kubectl -n {NAMESPACE} get secret mlflow-login -o jsonpath={{.data.password}}"
    " | base64 -d)"
)


class Finding(NamedTuple):
    about: str
    verdict: Literal["ok", "missing", "unknown"]  # unknown: it may be right, and nobody here can tell
    fact: str
    remedy: str = ""  # commands


def main(words: list[str]) -> None:
    """Print every finding; exit with 1 if something is missing."""
    if words:
        sys.exit(f"Usage: python -m pipeline doctor, without further words; got {words}.")
    missing = 0
    for finding in examine():
        missing += finding.verdict == "missing"
        print(
            f"{finding.verdict.upper() if finding.verdict == 'missing' else finding.verdict:8} "
            f"{finding.about}: {finding.fact}"
        )
        for line in finding.remedy.splitlines():
            print(f"{'':8} > {line}")
        sys.stdout.flush()
    if missing:
        sys.exit(f"{missing} of what a stage on the cluster needs is missing; mend the first one first.")


def examine() -> Iterator[Finding]:
    """The cluster from the outside in, then MLflow, as this machine and as pods see it."""
    templates: dict[str, dict[str, Any]] = {}
    yield from _cluster(templates)
    yield from _mlflow(templates)


def _cluster(templates: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Fills `templates` with those that are there."""
    try:
        reached = Connection()
        version = kubernetes_version(reached)
    except ClusterError as error:
        yield Finding("cluster", "missing", str(error), "kubectl cluster-info")
        return
    number, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST))
    if version < OLDEST:
        old = f"{reached.name} is Kubernetes {number}, which ignores what Jobs need of {oldest}: podFailurePolicy."
        yield Finding("cluster", "missing", old, "kubectl config get-contexts")
    else:
        yield Finding("cluster", "ok", f"{reached.name}, Kubernetes {number}")
    yield _rights(reached)
    for name in TEMPLATES:
        yield _template(reached, name, templates)
    yield _gpus(reached, templates)


def _rights(reached: Connection) -> Finding:
    denied = []
    for (group, resource), verbs in RIGHTS.items():
        try:
            refused = [verb for verb in verbs if not allowed(reached, group, resource, verb)]
        except ClusterError as error:
            return Finding("rights", "unknown", str(error), "kubectl auth can-i --list")
        if refused:
            denied.append(f"{'/'.join(refused)} {resource}")
    if denied:
        grant = f"kubectl -n {reached.namespace} create rolebinding driver-NAME --role=driver --user=NAME"
        return Finding("rights", "missing", f"This account may not {', '.join(denied)} in {reached.namespace}.", grant)
    return Finding("rights", "ok", f"all that a driver needs in namespace {reached.namespace}")


def _template(reached: Connection, name: str, templates: dict[str, dict[str, Any]]) -> Finding:
    try:
        template = pod_template(reached, name)
    except ClusterError as error:
        if error.status == 404:
            return Finding(name, "missing", f"The namespace {reached.namespace} has no PodTemplate {name}.", DEPLOY)
        return Finding(name, "unknown", str(error), f"kubectl -n {reached.namespace} get podtemplate {name}")
    templates[name] = template
    image = template["template"]["spec"]["containers"][0]["image"]
    here, there = provenance.git(), template["metadata"].get("annotations", {}).get(COMMIT, "unset")
    again = f"make image && {DEPLOY}"
    if here["tree"] != "clean":
        changed = f"The tree is {here['tree']}, so that pods, with {image}, would not run the code that is here."
        return Finding(name, "missing", changed, f"git commit\n{again}")
    if there != here["commit"]:
        other = f"{image} is said to be of commit {there}, and the tree is at {here['commit']}."
        return Finding(name, "missing", other, f"{again}\ngit checkout {there}" if there != "unset" else again)
    return Finding(name, "ok", f"{image} of commit {there[:12]}")


def _gpus(reached: Connection, templates: dict[str, dict[str, Any]]) -> Finding:
    large = templates.get("vsml-large")
    if large is None:
        return Finding("GPUs", "unknown", "Without the PodTemplate vsml-large nobody knows how many it wants.")
    wanted = int(large["template"]["spec"]["containers"][0]["resources"].get("limits", {}).get(GPU, 0))
    if not wanted:
        return Finding("GPUs", "ok", "none wanted: vsml-large computes on CPUs")
    try:
        nodes = gpus(reached)
    except ClusterError as error:
        return Finding("GPUs", "unknown", f"{error} vsml-large wants {wanted}.", "kubectl describe nodes")
    if max(nodes.values(), default=0) < wanted:
        few = f"vsml-large wants {wanted} of {GPU} on one node, and the nodes offer {nodes}."
        device = "kubectl describe nodes  # are GPU nodes up, and is NVIDIA's device plugin or GPU operator installed?"
        return Finding("GPUs", "missing", few, device)
    return Finding("GPUs", "ok", f"{sum(nodes.values())} on {sum(map(bool, nodes.values()))} nodes, {wanted} a pod")


def kubernetes_version(cluster: Connection) -> tuple[int, int]:
    """Major and minor number, as (1, 34)."""
    # `major` and `minor` are empty in some builds.
    said = _ask_cluster(cluster, "GET", "/version").get("gitVersion", "")
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
    return _ask_cluster(cluster, "POST", f"/apis/{group_version}/selfsubjectaccessreviews", review)["status"]["allowed"]


def pod_template(cluster: Connection, name: str) -> dict[str, Any]:
    """A PodTemplate."""
    return _ask_cluster(cluster, "GET", f"/api/v1/namespaces/{cluster.namespace}/podtemplates/{name}")


def gpus(cluster: Connection) -> dict[str, int]:
    """How many GPUs each node has for pods."""
    nodes = _ask_cluster(cluster, "GET", "/api/v1/nodes")["items"]
    return {node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes}


def _ask_cluster(cluster: Connection, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return cluster.ask(method, path, body=body)
    except Away as error:
        raise ClusterError(f"{cluster.name} cannot be reached: {error} Is the network up, is a VPN needed?") from error


def _mlflow(templates: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not uri.startswith(("http://", "https://")):
        not_set = f"MLFLOW_TRACKING_URI is {uri!r}, where the address of a server is expected."
        yield Finding("MLflow", "missing", not_set, FORWARD)
        return
    with requests.Session() as session:
        if username := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            session.auth = (username, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        try:
            session.get(f"{uri}/health", timeout=TIMEOUT_S).raise_for_status()
        except requests.RequestException as error:
            again = f"kubectl -n {NAMESPACE} get pods  # is mlflow running?\n{FORWARD}"
            yield Finding("MLflow", "missing", f"{uri} does not answer: {error}.", again)
            return
        asked = _asked(session, uri, urlsplit(uri).netloc, "MLflow")
        yield asked
        hosts = {_tracking_host(template) for template in templates.values()}
        for host in sorted(filter(None, hosts)):
            yield _asked(session, uri, host, "MLflow for pods")
        if not hosts:
            yield Finding(
                "MLflow for pods", "unknown", "Without a PodTemplate nobody knows by which name pods call it."
            )
        if asked.verdict == "ok":
            yield _round_trip(session, uri)


def _asked(session: requests.Session, uri: str, host: str, about: str) -> Finding:
    """A question that needs login and an allowed Host header, asked under the name `host`."""
    question = f"{uri}/api/2.0/mlflow/experiments/search"
    try:
        answer = session.post(question, json={"max_results": 1}, headers={"Host": host}, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        return Finding(about, "missing", f"{uri} stopped answering: {error}.", FORWARD)
    if answer.status_code == 403 and "Host header" in answer.text:
        allow = (
            f"{DEPLOY}  # with {host} and {host.split(':')[0]}:* in MLFLOW_SERVER_ALLOWED_HOSTS of k8s/base/mlflow.yaml"
        )
        return Finding(about, "missing", f"{uri} refuses requests to the host {host}.", allow)
    if answer.status_code == 401:
        return Finding(about, "missing", f"{uri} does not know this user and password.", LOGIN)
    if answer.status_code != 200:
        odd = f"{uri} answers {answer.status_code} {answer.reason}: {answer.text[:200]}"
        return Finding(about, "missing", odd, f"kubectl -n {NAMESPACE} logs deployment/mlflow")
    return Finding(about, "ok", f"{uri} answers as {host}")


def _round_trip(session: requests.Session, uri: str) -> Finding:
    """A file to the artifact store and back, as every dep and every out will go."""
    sent = secrets.token_bytes(ROUND_TRIP_BYTES)
    url = f"{uri}/api/2.0/mlflow-artifacts/artifacts/doctor/{uuid.uuid4()}"
    look = f"kubectl -n {NAMESPACE} logs deployment/mlflow  # is the volume full, or S3 away?"
    step = "upload"
    try:
        session.put(url, data=sent, timeout=TIMEOUT_S).raise_for_status()
        step = "download"
        back = session.get(url, timeout=TIMEOUT_S)
        back.raise_for_status()
        step = "delete"
        session.delete(url, timeout=TIMEOUT_S).raise_for_status()
    except requests.RequestException as error:
        return Finding("artifacts", "missing", f"The {step} of {ROUND_TRIP_BYTES:,} bytes failed: {error}.", look)
    digests = [hashlib.sha256(content).hexdigest() for content in (sent, back.content)]
    if digests[0] != digests[1]:
        return Finding("artifacts", "missing", f"sha256 {digests[0]} went up, {digests[1]} came back.", look)
    return Finding("artifacts", "ok", f"{ROUND_TRIP_BYTES:,} bytes went up, came back the same and were deleted")


def _tracking_host(template: dict[str, Any]) -> str | None:
    for variable in template["template"]["spec"]["containers"][0].get("env", []):
        if variable["name"] == "MLFLOW_TRACKING_URI":
            return urlsplit(variable["value"]).netloc
    return None
