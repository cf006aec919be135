"""The Kubernetes Job of an item: the cluster's PodTemplate, filled with a command. Pure; nothing here asks a server."""

import copy
from typing import Any, NamedTuple

from pipeline.cluster.gang import COORDINATOR, PROCESSES
from pipeline.track.tracking import RUN

LARGE = (
    "meta_train",
    "clone",
    "improve",
    "feedback_train",
)  # stages that compute for long; the pods of all others are small
SHARED = ("meta_train",)  # stages whose population may be spread over several pods
CONFIGURATION, INTEGRITY = 78, 65  # exit codes of sysexits.h, EX_CONFIG and EX_DATAERR: to try again is no use
CONTAINER = "stage"
ORDER = "VSML_ORDER"  # sha256 of the order in the run
COMMIT = "vsml/commit"
PODS = "vsml/pods"  # annotation of a PodTemplate: over how many pods a stage that can be is spread
PORT = 8476  # of the coordinator of jax
LABEL = "app.kubernetes.io/name=vsml,vsml/fingerprint"  # of Jobs of items; others of the deployment have but the first
RETRIES = 6
KEPT_S = 24 * 3600  # a finished Job; its result is kept in MLflow


class Submission(NamedTuple):
    """What a Job is to do."""

    stage: str
    item: tuple[str, ...]
    fingerprint: str
    run: str  # of MLflow
    order: str  # sha256 of the order in that run

    @property
    def name(self) -> str:
        return name_of(self.stage, self.fingerprint)


def name_of(stage: str, fingerprint: str) -> str:
    return f"vsml-{stage.replace('_', '-')}-{fingerprint[:16]}"


def template_name(stage: str) -> str:
    return "vsml-large" if stage in LARGE else "vsml-small"


def image_of(template: dict[str, Any]) -> tuple[str, str | None]:
    """The image that a template names, and the commit that is in it as far as the template says."""
    container = _stage_container(template)
    told = {entry["name"]: entry.get("value") for entry in container.get("env", [])}
    commit = told.get("VSML_COMMIT") or template["metadata"].get("annotations", {}).get(COMMIT)
    return container["image"], commit


def flags_of(template: dict[str, Any]) -> str:
    """The flags of XLA that a template sets, which change numbers."""
    env = _stage_container(template).get("env", [])
    return next((entry.get("value") or "" for entry in env if entry["name"] == "XLA_FLAGS"), "")


def pods_of(stage: str, template: dict[str, Any]) -> int:
    """How many pods an item of a stage has.

    Raises:
      ValueError: the template names no number, or its pods would have no names under which they find one another.
    """
    said = template["metadata"].get("annotations", {}).get(PODS, "1")
    name = template["metadata"]["name"]
    if not said.isdecimal() or int(said) < 1:
        raise ValueError(f"PodTemplate {name} has the annotation {PODS}: {said!r}, expected a number from 1 on.")
    if int(said) > 1 and not template["template"]["spec"].get("subdomain"):
        raise ValueError(f"PodTemplate {name} asks for {said} pods, but has no subdomain: deploy with `distributed`.")
    return int(said) if stage in SHARED else 1


def manifest(job: Submission, template: dict[str, Any]) -> dict[str, Any]:
    """The Job. Image, sizes, volumes, security and environment are the template's; env is added to, never replaced.

    Labels of the PodTemplate itself, such as the name of a queue, go onto the Job, those of its template onto the pods.

    Raises:
      ValueError: the template cannot hold the job.
    """
    pod = copy.deepcopy(template["template"])
    labels = {"app.kubernetes.io/name": "vsml", "vsml/stage": job.stage, "vsml/fingerprint": job.fingerprint[:63]}
    facts = {"vsml/run": job.run, "vsml/item": " ".join((job.stage, *job.item)), "vsml/fingerprint": job.fingerprint}
    meta = pod.setdefault("metadata", {})
    pod["metadata"] = {
        "labels": meta.get("labels", {}) | labels,
        "annotations": meta.get("annotations", {}) | facts,
    }
    container = _stage_container({**template, "template": pod})
    container["command"] = ["python", "-m", "pipeline"]
    container["args"] = [job.stage, *job.item]
    pods = pods_of(job.stage, template)
    container["env"] = [*container.get("env", []), *_env(job, container, _gang(job, pods, pod["spec"]))]
    pod["spec"]["restartPolicy"] = "Never"
    final = {"containerName": CONTAINER, "operator": "In", "values": [INTEGRITY, CONFIGURATION]}
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": final},
    ]
    spec = {
        "backoffLimit": RETRIES * pods,  # when one is lost, all of them end
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": rules},
        "ttlSecondsAfterFinished": KEPT_S,
        "template": pod,
    }
    if pods > 1:
        spec |= {"completionMode": "Indexed", "completions": pods, "parallelism": pods}
    about = {"name": job.name, "labels": template["metadata"].get("labels", {}) | labels, "annotations": facts}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def _gang(job: Submission, pods: int, spec: dict[str, Any]) -> dict[str, str]:
    """By what pods of an Indexed Job find one another; Kubernetes numbers them, and names each after Job and number."""
    if pods == 1:
        return {}
    return {COORDINATOR: f"{job.name}-0.{spec['subdomain']}:{PORT}", PROCESSES: str(pods)}


def _env(job: Submission, container: dict[str, Any], of_gang: dict[str, str]) -> list[dict[str, Any]]:
    values = {"PIPELINE_EXECUTOR": "pod", RUN: job.run, ORDER: job.order, "VSML_STATE": ".state"} | of_gang
    own: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    own.append({"name": "VSML_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
    taken = {entry["name"] for entry in container.get("env", [])} & {entry["name"] for entry in own}
    if taken:
        raise ValueError(f"The PodTemplate sets {sorted(taken)}, which are set for each Job: remove them there.")
    return own


def _stage_container(template: dict[str, Any]) -> dict[str, Any]:
    containers = template["template"]["spec"]["containers"]
    found = [container for container in containers if container["name"] == CONTAINER]
    if len(found) != 1:
        names = [container["name"] for container in containers]
        name = template["metadata"]["name"]
        raise ValueError(f"PodTemplate {name} has the containers {names}, expected one that is called {CONTAINER!r}.")
    return found[0]
