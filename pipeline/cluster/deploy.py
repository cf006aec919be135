"""`make deploy OVERLAY=…` applies the manifests of k8s/ to the cluster that kubectl talks to.

It adds what no manifest should hold: which images, from which commit, and Secrets of random bytes. What it applies is
left in k8s/.deployed, for `kubectl diff -k k8s/.deployed`.
"""

import json
import os
import re
import secrets
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.cluster.connection import NAMESPACE
from pipeline.cluster.doctor import FORWARD, LOGIN
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.nearest import near

K8S = paths.ROOT / "k8s"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
BY_TAG = ("kind",)  # overlays for clusters of one machine; all others take images by digest only
VARIABLES = {"vsml": "IMAGE", "vsml-cuda13": "GPU_IMAGE", "postgres": "POSTGRES"}  # of make, by name in the manifests
RANDOM = ""
SECRETS = {  # made if absent, never changed; those of MLflow are for its administrator, drivers and stages
    "postgres": {"password": RANDOM},
    "mlflow-login": {"username": "vsml", "password": RANDOM},
    "mlflow-driver": {"username": "driver", "password": RANDOM},
    "mlflow-stage": {"username": "stage", "password": RANDOM},
    "mlflow-server": {"flask-secret-key": RANDOM},
}


class DeployError(Exception):
    """What is missing, and what to do about it."""


def main(overlay: str, more: Sequence[str], folder: Path = K8S / ".deployed") -> None:
    """Apply an overlay with components and images, NAME=IMAGE, and wait until MLflow is up.

    Raises:
      DeployError: something is missing.
      ValueError: a word means nothing here.
    """
    images = dict(word.split("=", 1) for word in more if "=" in word)
    commit = provenance.git()["commit"]
    if overlay in BY_TAG:
        built = {name: f"{name}:{commit[:12]}" for name in ("vsml", "vsml-cuda13")}  # by `make image`
        images = {"postgres": "docker.io/library/postgres:17", **built} | images
    manifests = render(folder, overlay, [word for word in more if "=" not in word], images, commit)
    if overlay not in BY_TAG:
        refuse_tags(overlay, manifests, images)
    print(f"Cluster: {_kubectl('config', 'current-context').strip()}, namespace {NAMESPACE}.")
    _apply([one for one in manifests if one["kind"] in ("Namespace", "ServiceAccount")])
    make_secrets(manifests)
    _kubectl("delete", "job", "mlflow-migrate", "--ignore-not-found")  # a Job cannot be changed
    print(_apply(manifests), end="")
    if not any(one["kind"] == "Deployment" for one in manifests):  # MLflow is elsewhere
        return
    look = f"Look with: kubectl -n {NAMESPACE} get pods,events; kubectl -n {NAMESPACE} logs job/mlflow-migrate"
    migrated = "wait job/mlflow-migrate --for=condition=complete"
    for command in ("rollout status statefulset/postgres", migrated, "rollout status deployment/mlflow"):
        print(f"Waiting: kubectl {command}", flush=True)
        _kubectl(*command.split(), "--timeout=15m", remedy=look)
    print("MLflow is up. To reach it from here:")
    print(textwrap.indent(f"{FORWARD}\n{LOGIN}\npython -m pipeline doctor", "  "))


def render(
    folder: Path, overlay: str, components: Sequence[str], images: Mapping[str, str], commit: str
) -> list[dict[str, Any]]:
    """All manifests of an overlay with components, images by name in the manifests, and the commit of those images.

    Raises:
      DeployError: kustomize refuses.
      ValueError: no such overlay or component, or an image of no fixed build.
    """
    for kind, names in (("overlays", [overlay]), ("components", components)):
        known = sorted(path.parent.name for path in (K8S / kind).glob("*/kustomization.yaml"))
        for name in set(names) - set(known):
            raise ValueError(f"k8s/{kind} has no {name!r}, only {known}.{near(name, known)}")
    for reference in images.values():
        if not re.search(r"@sha256:|:[^/]+$", reference):
            raise ValueError(f"The image {reference!r} has neither a tag nor a digest; name one of its builds.")
    commit_patch = [{"op": "add", "path": "/metadata/annotations/vsml~1commit", "value": commit}]
    base = os.path.relpath(K8S, folder.resolve())
    folder.mkdir(exist_ok=True)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{base}/overlays/{overlay}"],
        "components": [f"{base}/components/{name}" for name in sorted(components)],
        "namespace": NAMESPACE,
        "images": [{"name": name, "newName": reference} for name, reference in images.items()],
        "patches": [{"target": {"kind": "PodTemplate"}, "patch": json.dumps(commit_patch)}],
    }
    artifacts.write_json(folder / "kustomization.yaml", kustomization)  # JSON is YAML
    manifests = list(YAML(typ="safe", pure=True).load_all(_kubectl("kustomize", str(folder))))
    for policy in (one for one in manifests if one["kind"].startswith("ValidatingAdmissionPolicy")):
        del policy["metadata"]["namespace"]  # it is of the whole cluster, which kustomize does not know
    return manifests


def refuse_tags(overlay: str, manifests: list[dict[str, Any]], images: Mapping[str, str]) -> None:
    """Raise DeployError for images without a digest: a tag may be another image tomorrow, and on another node."""
    names = {reference: name for name, reference in images.items()} | {name: name for name in VARIABLES}
    tags = sorted({value for value in found(manifests, "image") if not DIGEST.search(value)})
    if tags:
        wanted = " ".join(f"{VARIABLES[names[tag]]}=REGISTRY/{names[tag]}@sha256:…" for tag in tags)
        raise DeployError(
            f"Overlay {overlay} takes images by digest only, and has none for {', '.join(tags)}.\n"
            f"  make deploy OVERLAY={overlay} {wanted}\n"
            "`docker push` prints the digest of what it pushed; for an image of others, such as postgres:17, "
            "`docker buildx imagetools inspect docker.io/library/postgres:17` does."
        )


def make_secrets(manifests: list[dict[str, Any]]) -> None:
    """Make those that are missing of random bytes, for servers to start anew with; neither change nor print any.

    Raises:
      DeployError: one is missing whose content only its owner knows.
    """
    wanted = sorted({(one["name"], one["key"]) for one in found(manifests, "secretKeyRef")})
    there = _kubectl("get", "secret", "--output=name").split()
    missing = [name for name in dict(wanted) if f"secret/{name}" not in there]
    for name in missing:
        if name not in SECRETS:
            literals = " ".join(f"--from-literal={key}=…" for secret, key in wanted if secret == name)
            raise DeployError(
                f"The Secret {name} is missing, and only you know what is in it:\n"
                f"  kubectl -n {NAMESPACE} create secret generic {name} {literals}"
            )
        values = {key: value or secrets.token_hex(24) for key, value in SECRETS[name].items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        _kubectl("create", "-f", "-", given=secret)
        print(f"Secret {name}: made from random bytes.")
    if missing:
        _kubectl("delete", "pod", "--selector=app.kubernetes.io/component in (postgres,mlflow)", "--ignore-not-found")


def found(node: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, anywhere in a tree."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from found(inner, key)


def _apply(manifests: list[dict[str, Any]]) -> str:
    return _kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": manifests})


def _kubectl(*words: str, given: dict[str, Any] | None = None, remedy: str = "") -> str:
    command = ["kubectl", f"--namespace={NAMESPACE}", *words]
    try:
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        where = "https://kubernetes.io/docs/tasks/tools"
        raise DeployError(f"kubectl is not there, of which version 1.24 or later is needed: {where}") from None
    if done.returncode:
        raise DeployError(f"kubectl {' '.join(words)} failed: {done.stderr.strip()}\n{remedy}".strip())
    return done.stdout
