"""What a pod of ours must be: Pod Security *restricted*, and more than that."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim"}
OF_CONTAINERS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}

SOUND: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "stage",
            "image": f"registry.example/vsml@sha256:{'5' * 64}",
            "env": [{"name": "HOME", "value": "/work"}],
            "securityContext": OF_CONTAINERS,
            "resources": {
                "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
                "limits": {"memory": "1Gi", "ephemeral-storage": "1Gi"},
            },
        }
    ],
    "volumes": [{"name": "work", "emptyDir": {"sizeLimit": "1Gi"}}],
}


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
        yield from (f"{container['name']}: {rule}" for rule in _broken_by_container(container))


def _broken_by_container(container: dict[str, Any]) -> Iterator[str]:
    if container.get("securityContext") != OF_CONTAINERS:
        yield f"its securityContext is {container.get('securityContext')}"
    asked = container.get("resources", {})
    requests, limits = asked.get("requests", {}), asked.get("limits", {})
    if not requests.keys() >= {"cpu", "memory", "ephemeral-storage"}:
        yield "it does not say what it needs"
    if not limits.keys() >= {"memory", "ephemeral-storage"}:
        yield "it has no limits"
    if any("/" in name for name in requests):
        yield "it requests a device, which belongs into limits"
    if "@sha256:" not in container["image"] and container["image"].rpartition(":")[0] == "":
        yield f"its image {container['image']} is of no fixed build"
    if container["image"].endswith(":latest"):
        yield "its image is the latest"
    if any("value" in variable and "PASSWORD" in variable["name"] for variable in container.get("env", [])):
        yield "a password is in the manifest"


def test_every_pod_keeps_every_rule(rendered):
    pods = rendered.pods()
    assert len(pods) == 5
    assert {name: list(broken_rules(pod["spec"])) for name, pod in pods.items()} == {name: [] for name in pods}


def drop(*path: str | int):
    return path, None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        drop("automountServiceAccountToken"),
        drop("enableServiceLinks"),
        (("serviceAccountName",), "driver"),
        (("hostNetwork",), True),
        drop("securityContext", "runAsNonRoot"),
        (("securityContext", "runAsUser"), 0),
        drop("securityContext", "seccompProfile"),
        (("volumes", 0), {"name": "work", "hostPath": {"path": "/"}}),
        (("volumes", 0), {"name": "work", "emptyDir": {}}),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "securityContext", "privileged"), True),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        drop("containers", 0, "resources", "limits"),
        drop("containers", 0, "resources", "requests", "cpu"),
        (("containers", 0, "resources", "requests", "nvidia.com/gpu"), "1"),
        (("containers", 0, "image"), "registry.example/vsml:latest"),
        (("containers", 0, "image"), "vsml"),
        (("containers", 0, "env", 0), {"name": "MLFLOW_TRACKING_PASSWORD", "value": "hunter2"}),
    ],
    ids=str,
)
def test_one_broken_rule_is_found(path, value):
    pod = copy.deepcopy(SOUND)
    assert not list(broken_rules(pod))
    *way, last = path
    inner = pod
    for step in way:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    assert len(list(broken_rules(pod))) == 1


def test_gpus_are_asked_for_by_the_large_pod_alone_and_only_where_there_are_some(rendered):
    asking = {
        name: container["resources"]["limits"]["nvidia.com/gpu"]
        for name, pod in rendered.pods().items()
        for container in pod["spec"]["containers"]
        if "nvidia.com/gpu" in container["resources"]["limits"]
    }
    gpu = rendered.overlay == "cluster" or "gpu" in rendered.components
    assert asking == ({"PodTemplate vsml-large": "1"} if gpu else {})
    (stage,) = rendered.pods()["PodTemplate vsml-large"]["spec"]["containers"]
    assert ("vsml-cuda13@" in stage["image"]) == gpu


def test_every_image_is_the_one_that_was_named(rendered):
    images = {c["image"] for pod in rendered.pods().values() for c in pod["spec"]["containers"]}
    assert all(image.startswith("registry.example/") for image in images)


def test_servers_have_probes(rendered):
    for name in ("Deployment mlflow", "StatefulSet postgres"):
        (server,) = rendered.pods()[name]["spec"]["containers"]
        assert server.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}


def test_the_namespace_lets_nothing_else_in(rendered):
    assert rendered.one("Namespace", "vsml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_in_the_repository(rendered):
    assert not rendered.kind("Secret")
