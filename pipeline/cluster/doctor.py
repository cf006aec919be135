"""`python -m pipeline doctor` asks for all that a stage on the cluster needs, and says how to mend what is not so.

Every question is asked that can be: what is wrong with the cluster hides nothing about MLflow.
"""

import hashlib
import os
import re
import secrets
import sys
import uuid
from collections.abc import Generator, Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import requests

from pipeline.cluster.connection import NAMESPACE, Api, ClusterError
from pipeline.cluster.manifest import LARGE_TEMPLATE, TEMPLATES, env_of, image_of, stage_container
from pipeline.run import job as provenance
from pipeline.track import tracking
from pipeline.track.patience import Away

OLDEST = (1, 31)  # the first Kubernetes in which podFailurePolicy is stable
GPU = "nvidia.com/gpu"
RIGHTS = {  # of a driver, by API group and resource; k8s/base/driver.yaml grants the same
    ("batch", "jobs"): ("create", "delete", "get", "list", "watch"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "pods/log"): ("get",),
    ("", "podtemplates"): ("get",),
    ("", "events"): ("list", "watch"),
}
REVIEW = "authorization.k8s.io/v1"
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


def main() -> None:
    """Print every finding; exit with 1 if something is missing."""
    missing = 0
    for about, verdict, fact, remedy in examine():
        missing += verdict == "missing"
        print(f"{verdict.upper() if verdict == 'missing' else verdict:8} {about}: {fact}")
        for line in remedy.splitlines():
            print(f"{'':8} > {line}")
        sys.stdout.flush()
    if missing:
        sys.exit(f"{missing} of what a stage on the cluster needs is missing; mend the first one first.")


def examine() -> Iterator[Finding]:
    """The cluster from the outside in, then MLflow, as this machine and as pods see it."""
    templates = yield from _cluster()
    yield from _mlflow(templates)


def _cluster() -> Generator[Finding, None, dict[str, dict[str, Any]]]:
    """Returns the PodTemplates that are there, by name."""
    templates: dict[str, dict[str, Any]] = {}
    try:
        api = Api(patience_s=0)
        said = _ask(api, "GET", "/version").get("gitVersion", "")  # `major` and `minor` are empty in some builds
        number = re.match(r"v(\d+)\.(\d+)\.", said)
        if number is None:
            raise ClusterError(f"{api.name} says that its version is {said!r}, where v1.34.1 or the like is expected.")
    except ClusterError as error:
        yield Finding("cluster", "missing", str(error), "kubectl cluster-info")
        return templates
    version = ".".join(number.groups())
    if (int(number[1]), int(number[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        old = f"{api.name} is Kubernetes {version}, which ignores what Jobs need of {oldest}: podFailurePolicy."
        yield Finding("cluster", "missing", old, "kubectl config get-contexts")
    else:
        yield Finding("cluster", "ok", f"{api.name}, Kubernetes {version}")
    yield _rights(api)
    for name in TEMPLATES:
        yield _template(api, name, templates)
    yield _gpus(api, templates.get(LARGE_TEMPLATE))
    return templates


def _rights(api: Api) -> Finding:
    denied = []
    for (group, resource), verbs in RIGHTS.items():
        kind, _, sub = resource.partition("/")
        right = {"namespace": api.namespace, "group": group, "resource": kind, "subresource": sub}
        refused = []
        for verb in verbs:
            spec = {"resourceAttributes": right | {"verb": verb}}
            body = {"apiVersion": REVIEW, "kind": "SelfSubjectAccessReview", "spec": spec}
            try:
                answer = _ask(api, "POST", f"/apis/{REVIEW}/selfsubjectaccessreviews", body)
            except ClusterError as error:
                return Finding("rights", "unknown", str(error), "kubectl auth can-i --list")
            if not answer["status"]["allowed"]:
                refused.append(verb)
        if refused:
            denied.append(f"{'/'.join(refused)} {resource}")
    if denied:
        grant = f"kubectl -n {api.namespace} create rolebinding driver-NAME --role=driver --user=NAME"
        return Finding("rights", "missing", f"This account may not {', '.join(denied)} in {api.namespace}.", grant)
    return Finding("rights", "ok", f"all that a driver needs in namespace {api.namespace}")


def _template(api: Api, name: str, templates: dict[str, dict[str, Any]]) -> Finding:
    """Adds the template to `templates` if stages can run in it."""
    try:
        template = _ask(api, "GET", f"{api.core}/podtemplates/{name}")
        image, there = image_of(template)
    except ValueError as error:
        return Finding(name, "missing", str(error), DEPLOY)
    except ClusterError as error:
        if error.status == 404:
            return Finding(name, "missing", f"The namespace {api.namespace} has no PodTemplate {name}.", DEPLOY)
        return Finding(name, "unknown", str(error), f"kubectl -n {api.namespace} get podtemplate {name}")
    templates[name] = template
    here, again = provenance.git(), f"make image && {DEPLOY}"
    if here["tree"] != "clean":
        changed = f"The tree is {here['tree']}, so that pods, with {image}, would not run the code that is here."
        return Finding(name, "missing", changed, f"git commit\n{again}")
    if there != here["commit"]:
        other = f"{image} is said to be of commit {there}, and the tree is at {here['commit']}."
        known = there not in (None, "unset")
        return Finding(name, "missing", other, f"{again}\ngit checkout {there}" if known else again)
    return Finding(name, "ok", f"{image} of commit {here['commit'][:12]}")


def _gpus(api: Api, large: dict[str, Any] | None) -> Finding:
    if large is None:
        return Finding("GPUs", "unknown", f"Without the PodTemplate {LARGE_TEMPLATE} nobody knows how many it wants.")
    wanted = int(stage_container(large)["resources"].get("limits", {}).get(GPU, 0))
    if not wanted:
        return Finding("GPUs", "ok", f"none wanted: {LARGE_TEMPLATE} computes on CPUs")
    try:
        items = _ask(api, "GET", "/api/v1/nodes")["items"]
    except ClusterError as error:
        return Finding("GPUs", "unknown", f"{error} {LARGE_TEMPLATE} wants {wanted}.", "kubectl describe nodes")
    nodes = {node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0)) for node in items}
    if max(nodes.values(), default=0) < wanted:
        few = f"{LARGE_TEMPLATE} wants {wanted} of {GPU} on one node, and the nodes offer {nodes}."
        device = "kubectl describe nodes  # are GPU nodes up, and is NVIDIA's device plugin or GPU operator installed?"
        return Finding("GPUs", "missing", few, device)
    return Finding("GPUs", "ok", f"{sum(nodes.values())} on {sum(map(bool, nodes.values()))} nodes, {wanted} a pod")


def _ask(api: Api, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return api.ask(method, path, body=body)
    except Away as error:
        raise ClusterError(f"{api.name} cannot be reached: {error} Is the network up, is a VPN needed?") from error


def _mlflow(templates: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    uri = tracking.store_uri().rstrip("/")
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
        pods = "MLflow for pods"
        for host in sorted({urlsplit(env_of(one).get("MLFLOW_TRACKING_URI", "")).netloc for one in templates.values()}):
            if host:
                yield _asked(session, uri, host, pods)
        if not templates:
            yield Finding(pods, "unknown", "Without a PodTemplate nobody knows by which name pods call it.")
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
        names = f"{host} and {host.split(':')[0]}:*"
        allow = f"{DEPLOY}  # with {names} in MLFLOW_SERVER_ALLOWED_HOSTS of k8s/base/mlflow.yaml"
        return Finding(about, "missing", f"{uri} refuses requests to the host {host}.", allow)
    if answer.status_code == 401:
        return Finding(about, "missing", f"{uri} does not know this user and password.", LOGIN)
    if answer.status_code != 200:
        odd = f"{uri} answers {answer.status_code} {answer.reason}: {answer.text[:200]}"
        return Finding(about, "missing", odd, f"kubectl -n {NAMESPACE} logs deployment/mlflow")
    return Finding(about, "ok", f"{uri} answers as {host}")


def _round_trip(session: requests.Session, uri: str) -> Finding:
    """A file to the artifact store and back, as every dep and every out will go."""
    sent, step = secrets.token_bytes(ROUND_TRIP_BYTES), "upload"
    url = f"{uri}/api/2.0/mlflow-artifacts/artifacts/doctor/{uuid.uuid4()}"
    look = f"kubectl -n {NAMESPACE} logs deployment/mlflow  # is the volume full, or S3 away?"
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
