"""The Kubernetes Job of an item: the cluster's PodTemplate, filled with a command. Pure; nothing here asks a server."""

import copy
from typing import Any

from pipeline.cluster.gang import COORDINATOR, PROCESSES
from pipeline.track.tracking import RUN

SMALL_TEMPLATE, LARGE_TEMPLATE = TEMPLATES = ("vsml-small", "vsml-large")
LARGE = ("meta_train", "clone", "improve", "feedback_train")  # stages that compute for long
TRAINING = (*LARGE, "recall_train")  # stages whose curve tells that they go on
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


def name_of(stage: str, fingerprint: str) -> str:
    return f"vsml-{stage.replace('_', '-')}-{fingerprint[:16]}"


def template_name(stage: str) -> str:
    return LARGE_TEMPLATE if stage in LARGE else SMALL_TEMPLATE


def env_of(template: dict[str, Any]) -> dict[str, str]:
    """The environment that a template sets by value; flags of XLA are among it, which change numbers."""
    return {entry["name"]: entry.get("value") or "" for entry in stage_container(template).get("env", [])}


def devices_of(template: dict[str, Any]) -> dict[str, int]:
    """How many a template asks for, by resource: `nvidia.com/gpu` or a part of one, say `nvidia.com/mig-1g.10gb`."""
    limits = stage_container(template).get("resources", {}).get("limits", {})
    return {name: int(number) for name, number in limits.items() if "/" in name}


def image_of(template: dict[str, Any]) -> tuple[str, str | None]:
    """The image that a template names, and the commit that is in it as far as the template says."""
    commit = env_of(template).get("VSML_COMMIT") or template["metadata"].get("annotations", {}).get(COMMIT)
    return stage_container(template)["image"], commit


def other_code(template: dict[str, Any], here: dict[str, str]) -> str:
    """That the image of a template does not hold the code of the working tree `here`, as committed; or nothing."""
    image, commit = image_of(template)
    if here["tree"] == "clean" and commit == here["commit"]:
        return ""
    has = f"has commit {commit}" if commit else "says of no commit (VSML_COMMIT) that it holds it"
    return f"The working tree is {here['tree']} at commit {here['commit']}, and the image {image} {has}."


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


def where_of(stage: str, template: dict[str, Any]) -> str:
    """What decides the numbers of a stage there: image and commit, how sums are split, flags of XLA."""
    (image, commit), pods = image_of(template), pods_of(stage, template)
    words = [image, str(commit)] + [f"on {pods} pods"] * (pods > 1)
    words += [f"with {number} {name}" for name, number in devices_of(template).items() if number > 1]
    return " ".join(words + ([f"with {flags}"] if (flags := env_of(template).get("XLA_FLAGS")) else []))


def manifest(
    template: dict[str, Any], stage: str, item: tuple[str, ...], fingerprint: str, run: str, order: str
) -> dict[str, Any]:
    """The Job of an item, by its fingerprint, its run in MLflow, and the sha256 of the order in that run.

    Image, sizes, volumes, security and environment are the template's; env is added to, never replaced. Labels of the
    PodTemplate itself, such as the name of a queue, go onto the Job, those of its template onto the pods.

    Raises:
      ValueError: the template cannot hold the job.
    """
    name, pods = name_of(stage, fingerprint), pods_of(stage, template)
    pod = copy.deepcopy(template["template"])
    container = stage_container({**template, "template": pod})
    labels = {"app.kubernetes.io/name": "vsml", "vsml/stage": stage, "vsml/fingerprint": fingerprint[:63]}
    facts = {"vsml/run": run, "vsml/item": " ".join((stage, *item)), "vsml/fingerprint": fingerprint}
    meta = pod.get("metadata") or {}
    pod["metadata"] = {kind: meta.get(kind, {}) | own for kind, own in (("labels", labels), ("annotations", facts))}
    pod["spec"]["restartPolicy"] = "Never"
    values = {"PIPELINE_EXECUTOR": "pod", RUN: run, ORDER: order, "VSML_STATE": ".state"}
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
    if pods > 1:  # they find one another by number: Kubernetes names each pod of an Indexed Job after Job and number
        values |= {COORDINATOR: f"{name}-0.{pod['spec']['subdomain']}:{PORT}", PROCESSES: str(pods)}
        spec |= {"completionMode": "Indexed", "completions": pods, "parallelism": pods}
        spec["successPolicy"] = {"rules": [{"succeededIndexes": "0"}]}  # which has committed
    own: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in values.items()]
    own.append({"name": "VSML_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
    if taken := env_of(template).keys() & {entry["name"] for entry in own}:
        raise ValueError(f"The PodTemplate sets {sorted(taken)}, which are set for each Job: remove them there.")
    command = {"command": ["python", "-m", "pipeline"], "args": [stage, *item]}
    container |= command | {"env": [*container.get("env", []), *own]}
    about = {"name": name, "labels": template["metadata"].get("labels", {}) | labels, "annotations": facts}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def stage_container(template: dict[str, Any]) -> dict[str, Any]:
    """The container that stages run in.

    Raises:
      ValueError: the template has not just one.
    """
    containers = {container["name"]: container for container in template["template"]["spec"]["containers"]}
    if CONTAINER not in containers:
        name = template["metadata"]["name"]
        raise ValueError(
            f"PodTemplate {name} has the containers {list(containers)}, expected one that is called {CONTAINER!r}."
        )
    return containers[CONTAINER]
