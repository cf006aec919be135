"""What a pod of ours must be: Pod Security *restricted*, and more than that; and the user that its image knows."""

import copy
import functools
import operator
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.run import paths

VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim"}
OF_CONTAINERS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def broken_rules(pod: dict[str, Any]) -> Iterator[str]:
    """Of the spec of a pod, each as a sentence."""
    for name in ("automountServiceAccountToken", "enableServiceLinks"):
        if pod.get(name) is not False:
            yield f"{name} is not false"
    for name in ("hostNetwork", "hostPID", "hostIPC", "serviceAccountName"):
        if name in pod:
            yield f"{name} is set"
    context = pod.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser", 0) > 0 and context.get("runAsGroup", 0) > 0):
        yield "it may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "it has no seccomp profile"
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= VOLUMES:
            yield f"volume {volume['name']} is {sorted(volume)}"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        asked, image = container.get("resources", {}), container["image"]
        requests, limits = asked.get("requests", {}), asked.get("limits", {})
        secret = [one for one in container.get("env", []) if "value" in one and "PASSWORD" in one["name"]]
        broken = {
            f"its securityContext is {container.get('securityContext')}": container.get("securityContext")
            != OF_CONTAINERS,
            "it does not say what it needs": not requests.keys() >= {"cpu", "memory", "ephemeral-storage"},
            "it has no limits": not limits.keys() >= {"memory", "ephemeral-storage"},
            "it requests a device, which belongs into limits": any("/" in name for name in requests),
            f"its image {image} is of no fixed build": "@sha256:" not in image and ":" not in image,
            "its image is the latest": image.endswith(":latest"),
            "a password is in the manifest": bool(secret),
        }
        yield from (f"{container['name']}: {rule}" for rule, is_so in broken.items() if is_so)


def test_every_pod_keeps_every_rule(rendered):
    pods = rendered.pods()
    servers = 0 if "external-mlflow" in rendered.components else 3
    assert len(pods) == 2 + servers + 2 * ("backup" in rendered.components)
    assert {name: list(broken_rules(pod["spec"])) for name, pod in pods.items()} == {name: [] for name in pods}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("automountServiceAccountToken",), None),
        (("enableServiceLinks",), None),
        (("serviceAccountName",), "driver"),
        (("hostNetwork",), True),
        (("securityContext", "runAsNonRoot"), None),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile"), None),
        (("volumes", 0), {"name": "work", "hostPath": {"path": "/"}}),
        (("volumes", 0), {"name": "work", "emptyDir": {}}),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "securityContext", "privileged"), True),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        (("containers", 0, "resources", "limits"), None),
        (("containers", 0, "resources", "requests", "cpu"), None),
        (("containers", 0, "resources", "requests", "nvidia.com/gpu"), "1"),
        (("containers", 0, "image"), "registry.example/vsml:latest"),
        (("containers", 0, "image"), "vsml"),
        (("containers", 0, "env", 0), {"name": "MLFLOW_TRACKING_PASSWORD", "value": "hunter2"}),
    ],
    ids=str,
)
def test_one_broken_rule_is_found(rendered_all, path, value):
    """`value` takes the place of what is at `path`, or it is dropped."""
    pod = copy.deepcopy(rendered_all.pods()["PodTemplate vsml-small"]["spec"])
    *way, last = path
    inner: Any = functools.reduce(operator.getitem, way, pod)
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    assert len(list(broken_rules(pod))) == 1


def test_gpus_are_asked_for_by_the_large_pod_alone_and_only_where_there_are_some(rendered):
    asking = {
        name: (device, number)
        for name, pod in rendered.pods().items()
        for container in pod["spec"]["containers"]
        for device, number in container["resources"]["limits"].items()
        if "/" in device
    }
    gpu = rendered.overlay == "cluster" or "gpu" in rendered.components
    device = "nvidia.com/mig-1g.10gb" if "mig" in rendered.components else "nvidia.com/gpu"
    assert asking == ({"PodTemplate vsml-large": (device, "1")} if gpu else {})
    spec = rendered.pods()["PodTemplate vsml-large"]["spec"]
    assert ("nvidia.com/gpu" in {one["key"] for one in spec["tolerations"]}) == gpu
    assert ("nodeSelector" in spec) == ("node-pool" in rendered.components)
    (stage,) = spec["containers"]
    assert ("vsml-cuda13@" in stage["image"]) == gpu


def test_the_image_runs_as_the_user_of_the_manifests(rendered):
    dockerfile = (paths.ROOT / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    ours = [pod["spec"] for pod in rendered.pods().values() if "vsml" in pod["spec"]["containers"][0]["image"]]
    assert {str(spec["securityContext"]["runAsUser"]) for spec in ours} == {user}


def test_images_are_those_that_were_named_servers_have_probes_and_nothing_else_is_let_in(served):
    rendered = served
    images = {c["image"] for pod in rendered.pods().values() for c in pod["spec"]["containers"]}
    assert all(image.startswith("registry.example/") for image in images)
    for name in ("Deployment mlflow", "StatefulSet postgres"):
        (server,) = rendered.pods()[name]["spec"]["containers"]
        assert server.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}
    for one in rendered.kind("Namespace"):
        assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not rendered.kind("Secret"), "no secret is in the repository"
