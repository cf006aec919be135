"""`python -m pipeline doctor` asks for all that a stage on the cluster needs, and says how to mend what is not so.

Every question is asked that can be: what is wrong with the cluster hides nothing about MLflow.
"""

import os
import re
import secrets
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import requests

from pipeline.cluster.connection import SERVERS, Api, ClusterError
from pipeline.cluster.manifest import LARGE_TEMPLATE, TEMPLATES, devices_of, env_of, image_of, other_code
from pipeline.run import job as provenance
from pipeline.track import tracking
from pipeline.track.patience import Away
from pipeline.track.store import PROJECT

OLDEST = (1, 31)  # the first Kubernetes in which podFailurePolicy is stable
PODS = "MLflow for pods"
RIGHTS = {  # of a driver, by API group and resource; k8s/base/stages/driver.yaml grants the same
    ("batch", "jobs"): ("create", "delete", "get", "list"),
    ("", "pods"): ("list",),
    ("", "pods/log"): ("get",),
    ("", "podtemplates"): ("get",),
    ("", "events"): ("list",),
}
REVIEW = "authorization.k8s.io/v1"
ROUND_TRIP_BYTES = 2**20
TIMEOUT_S = 20
DEPLOY = "make deploy OVERLAY=kind (or cluster; see docs/cluster.md)"
FORWARD = f"kubectl -n {SERVERS} port-forward service/mlflow 5000 &\nexport MLFLOW_TRACKING_URI=http://localhost:5000"
LOGIN = (
    "export MLFLOW_TRACKING_USERNAME=driver\n"
    f"export MLFLOW_TRACKING_PASSWORD=$(kubectl -n {SERVERS} get secret mlflow-driver -o jsonpath={{.data.password}}"
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
        remedies = [f"{'':8} > {line}" for line in remedy.splitlines()]
        word = verdict.upper() if verdict == "missing" else verdict
        print(f"{word:8} {about}: {fact}", *remedies, sep="\n", flush=True)
    if missing:
        sys.exit(f"{missing} of what a stage on the cluster needs is missing; mend the first one first.")


def examine() -> Iterator[Finding]:
    """The cluster from the outside in, then MLflow, as this machine and as pods see it."""
    templates: dict[str, dict[str, Any]] = {}  # that stages can run in, by name
    try:
        api = Api(patience_s=0)
        yield _version(api)
    except (Away, ClusterError) as error:
        yield Finding("cluster", "missing", str(error), "kubectl cluster-info")
    else:
        checks = [("rights", "auth can-i --list", _rights)]
        checks += [(name, f"get podtemplate {name}", partial(_template, name, templates)) for name in TEMPLATES]
        for about, command, check in [*checks, ("GPUs", "describe nodes", partial(_gpus, templates))]:
            try:
                yield check(api)
            except (Away, ClusterError) as error:
                yield Finding(about, "unknown", str(error), f"kubectl -n {api.namespace} {command}")
    yield from _mlflow(templates)


def _version(api: Api) -> Finding:
    said = api.ask("GET", "/version").get("gitVersion", "")  # `major` and `minor` are empty in some builds
    number = re.match(r"v(\d+)\.(\d+)\.", said)
    if number is None:
        raise ClusterError(f"{api.name} says that its version is {said!r}, where v1.34.1 or the like is expected.")
    version, oldest = ".".join(number.groups()), ".".join(map(str, OLDEST))
    if (int(number[1]), int(number[2])) < OLDEST:
        old = f"{api.name} is Kubernetes {version}, which ignores what Jobs need of {oldest}: podFailurePolicy."
        return Finding("cluster", "missing", old, "kubectl config get-contexts")
    return Finding("cluster", "ok", f"{api.name}, Kubernetes {version}")


def _rights(api: Api) -> Finding:
    def refused(group: str, resource: str, verb: str) -> bool:
        kind, _, sub = resource.partition("/")
        right = {"namespace": api.namespace, "verb": verb, "group": group, "resource": kind, "subresource": sub}
        body = {"apiVersion": REVIEW, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": right}}
        return not api.ask("POST", f"/apis/{REVIEW}/selfsubjectaccessreviews", body=body)["status"]["allowed"]

    of_each = {right: [verb for verb in verbs if refused(*right, verb)] for right, verbs in RIGHTS.items()}
    denied = [f"{'/'.join(verbs)} {resource}" for (_, resource), verbs in of_each.items() if verbs]
    if denied:
        grant = f"kubectl -n {api.namespace} create rolebinding driver-NAME --role=driver --user=NAME"
        return Finding("rights", "missing", f"This account may not {', '.join(denied)} in {api.namespace}.", grant)
    return Finding("rights", "ok", f"all that a driver needs in namespace {api.namespace}")


def _template(name: str, templates: dict[str, dict[str, Any]], api: Api) -> Finding:
    """Adds the template to `templates` if stages can run in it."""
    try:
        template = api.template(name)
        image, there = image_of(template)
    except (ValueError, ClusterError) as error:
        if isinstance(error, ClusterError) and error.status != 404:
            raise
        return Finding(name, "missing", str(error), DEPLOY)
    templates[name] = template
    here = provenance.git()
    if other := other_code(template, here):
        again = f"make image && {DEPLOY}"
        if here["tree"] != "clean":
            again = f"git commit\n{again}"
        elif there not in (None, "unset"):
            again = f"{again}\ngit checkout {there}"
        return Finding(name, "missing", other, again)
    return Finding(name, "ok", f"{image} of commit {here['commit'][:12]}")


def _gpus(templates: dict[str, dict[str, Any]], api: Api) -> Finding:
    if LARGE_TEMPLATE not in templates:
        return Finding("GPUs", "unknown", f"Without the PodTemplate {LARGE_TEMPLATE} nobody knows how many it wants.")
    wanted = devices_of(templates[LARGE_TEMPLATE])
    if not wanted:
        return Finding("GPUs", "ok", f"none wanted: {LARGE_TEMPLATE} computes on CPUs")
    offers = [one["status"]["allocatable"] for one in api.ask("GET", "/api/v1/nodes")["items"]]
    fit = [offer for offer in offers if all(int(offer.get(name, 0)) >= wanted[name] for name in wanted)]
    if not fit:
        few = f"{LARGE_TEMPLATE} wants {wanted} on one node, which none of {len(offers)} nodes offers."
        device = "kubectl describe nodes  # are GPU nodes up, and is NVIDIA's device plugin or GPU operator installed?"
        return Finding("GPUs", "missing", few, device)
    return Finding("GPUs", "ok", f"{len(fit)} of {len(offers)} nodes have the {wanted} that a pod wants")


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
            asked = _asked(session, uri, urlsplit(uri).netloc, "MLflow")
            yield asked
            hosts = {urlsplit(env_of(one).get("MLFLOW_TRACKING_URI", "")).netloc for one in templates.values()}
            yield from [_asked(session, uri, host, PODS) for host in sorted(hosts - {""})]
        except requests.RequestException as error:
            again = f"kubectl -n {SERVERS} get pods  # is mlflow running?\n{FORWARD}"
            yield Finding("MLflow", "missing", f"{uri} does not answer: {error}.", again)
            return
        if not templates:
            yield Finding(PODS, "unknown", "Without a PodTemplate nobody knows by which name pods call it.")
        if asked.verdict == "ok":
            yield _round_trip(session, uri)


def _asked(session: requests.Session, uri: str, host: str, about: str) -> Finding:
    """A question that needs login and an allowed Host header, asked under the name `host`."""
    question = f"{uri}/api/2.0/mlflow/experiments/search"
    answer = session.post(question, json={"max_results": 1}, headers={"Host": host}, timeout=TIMEOUT_S)
    match answer.status_code:
        case 200:
            return Finding(about, "ok", f"{uri} answers as {host}")
        case 401:
            return Finding(about, "missing", f"{uri} does not know this user and password.", LOGIN)
        case 403 if "Host header" in answer.text:
            names = f"{host} and {host.split(':')[0]}:*"
            allow = f"{DEPLOY}  # with {names} in MLFLOW_SERVER_ALLOWED_HOSTS of k8s/base/servers/mlflow.yaml"
            return Finding(about, "missing", f"{uri} refuses requests to the host {host}.", allow)
    odd = f"{uri} answers {answer.status_code} {answer.reason}: {answer.text[:200]}"
    return Finding(about, "missing", odd, f"kubectl -n {SERVERS} logs deployment/mlflow")


def _round_trip(session: requests.Session, uri: str) -> Finding:
    """A file to the artifact store and back, as every dep and every out will go."""
    sent, back = secrets.token_bytes(ROUND_TRIP_BYTES), b""
    look, step = f"kubectl -n {SERVERS} logs deployment/mlflow  # is the volume full, or S3 away?", "placing"
    try:
        own = session.get(f"{uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={PROJECT}", timeout=TIMEOUT_S)
        folder = own.json()["experiment"]["experiment_id"] if own.ok else "doctor"  # where a user may write
        url = f"{uri}/api/2.0/mlflow-artifacts/artifacts/{folder}/doctor/{uuid.uuid4()}"
        for step, method in {"upload": "PUT", "download": "GET", "delete": "DELETE"}.items():
            answer = session.request(method, url, data=sent if step == "upload" else None, timeout=TIMEOUT_S)
            answer.raise_for_status()
            back = answer.content if step == "download" else back
    except requests.RequestException as error:
        return Finding("artifacts", "missing", f"The {step} of {ROUND_TRIP_BYTES:,} bytes failed: {error}.", look)
    if sent != back:
        return Finding("artifacts", "missing", f"{len(sent):,} bytes went up, {len(back):,} others came back.", look)
    return Finding("artifacts", "ok", f"{ROUND_TRIP_BYTES:,} bytes went up, came back the same and were deleted")
