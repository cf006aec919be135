"""`make deploy OVERLAY=…` applies the manifests of k8s/ to the cluster that kubectl talks to.

It adds what no manifest should hold: which images, from which commit, and Secrets of random bytes. What it applies is
left in k8s/.deployed, for `kubectl diff -f k8s/.deployed/manifests.json`.
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

from pipeline.cluster.connection import NAMESPACE, SERVERS
from pipeline.cluster.doctor import FORWARD, LOGIN
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.nearest import near

K8S = paths.ROOT / "k8s"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
BY_TAG = ("kind",)  # overlays for clusters of one machine; all others take images by digest only
VARIABLES = {"vsml": "IMAGE", "vsml-cuda13": "GPU_IMAGE", "postgres": "POSTGRES"}  # of make, by name in the manifests
PLACE = re.compile(r'("(?:namespace|kubernetes\.io/metadata\.name)": "|//mlflow\.)(vsml-servers|vsml)\b')
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
    for name in images.keys() - VARIABLES.keys():
        raise ValueError(f"{name!r} is none of the images {list(VARIABLES)}.{near(name, VARIABLES)}")
    commit = provenance.git()["commit"]
    if overlay in BY_TAG:
        built = {name: f"{name}:{commit[:12]}" for name in ("vsml", "vsml-cuda13")}  # by `make image`
        images = {"postgres": "docker.io/library/postgres:17", **built} | images
    manifests = render(folder, overlay, [word for word in more if "=" not in word], images, commit)
    if overlay not in BY_TAG:
        refuse_tags(overlay, manifests, images)
    print(f"Cluster: {_kubectl('config', 'current-context').strip()}, namespaces {NAMESPACE} and {SERVERS}.")
    served = any(one["kind"] == "Deployment" for one in manifests)  # else MLflow is elsewhere
    if served and SERVERS != NAMESPACE and _kubectl("-n", NAMESPACE, "get", "deployment/mlflow", "--ignore-not-found"):
        raise DeployError(
            f"MLflow runs in the namespace of stages, {NAMESPACE}. `VSML_SERVERS={NAMESPACE} make deploy …` leaves it "
            "there; docs/cluster.md says how what it has goes to a namespace of its own."
        )
    _apply([one for one in manifests if one["kind"] in ("Namespace", "ServiceAccount")])
    make_secrets(manifests)
    if served:
        _kubectl("-n", SERVERS, "delete", "job", "mlflow-migrate", "--ignore-not-found")  # a Job cannot be changed
    print(_apply(manifests), end="")
    if not served:
        return
    look = f"Look with: kubectl -n {SERVERS} get pods,events; kubectl -n {SERVERS} logs job/mlflow-migrate"
    migrated = "wait job/mlflow-migrate --for=condition=complete"
    for command in ("rollout status statefulset/postgres", migrated, "rollout status deployment/mlflow"):
        print(f"Waiting: kubectl {command}", flush=True)
        _kubectl("-n", SERVERS, *command.split(), "--timeout=15m", remedy=look)
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
        "images": [{"name": name, "newName": reference} for name, reference in images.items()],
        "patches": [{"target": {"kind": "PodTemplate"}, "patch": json.dumps(commit_patch)}],
    }
    artifacts.write_json(folder / "kustomization.yaml", kustomization)  # JSON is YAML
    rendered = YAML(typ="safe", pure=True).load_all(_kubectl("kustomize", str(folder)))
    manifests = [json.loads(text) for text in dict.fromkeys(map(_placed, rendered))]
    artifacts.write_json(folder / "manifests.json", {"apiVersion": "v1", "kind": "List", "items": manifests})
    return manifests


def _placed(manifest: dict[str, Any]) -> str:
    """The JSON of a manifest in the namespaces of now, in the place of those that the files name."""
    places = {"vsml": NAMESPACE, "vsml-servers": SERVERS}
    if manifest["kind"] == "Namespace":
        manifest["metadata"]["name"] = places[manifest["metadata"]["name"]]
    return PLACE.sub(lambda found: found[1] + places[found[2]], json.dumps(manifest))


def refuse_tags(overlay: str, manifests: list[dict[str, Any]], images: Mapping[str, str]) -> None:
    """Raise DeployError for images without a digest: a tag may be another image tomorrow, and on another node."""
    names = {reference: name for name, reference in images.items()} | {name: name for name in VARIABLES}
    tags = sorted({value for value in found(manifests, "image") if not DIGEST.search(value)})
    if tags:
        ours = [names[tag] for tag in tags if tag in names]
        wanted = " ".join(f"{VARIABLES[name]}=REGISTRY/{name}@sha256:…" for name in ours)
        remedy = f"  make deploy OVERLAY={overlay} {wanted}" if ours else "Write it into the overlay."
        raise DeployError(
            f"Overlay {overlay} takes images by digest only, and has none for {', '.join(tags)}.\n{remedy}\n"
            "`docker push` prints the digest of what it pushed; for an image of others, such as postgres:17, "
            "`docker buildx imagetools inspect docker.io/library/postgres:17` does."
        )


def make_secrets(manifests: list[dict[str, Any]]) -> None:
    """Make those that are missing of random bytes, for servers to start anew with; neither change nor print any.

    Raises:
      DeployError: one is missing whose content only its owner knows.
    """
    wanted: dict[str, dict[str, set[str]]] = {}  # keys, by Secret and namespace
    for one in manifests:
        for ref in found(one, "secretKeyRef"):
            wanted.setdefault(ref["name"], {}).setdefault(one["metadata"]["namespace"], set()).add(ref["key"])
    made = False
    for name, spaces in wanted.items():
        get = ("get", "secret", name, "--ignore-not-found", "--output=json")
        there = {space: _kubectl("-n", space, *get) for space in spaces}
        missing = [space for space, text in there.items() if not text]
        held = [json.loads(text)["data"] for text in there.values() if text]  # MLflow and stages have one of the same
        if missing and not held and name not in SECRETS:
            literals = " ".join(f"--from-literal={key}=…" for key in sorted(set().union(*spaces.values())))
            raise DeployError(
                f"The Secret {name} is missing, and only you know what is in it:\n"
                f"  kubectl -n {missing[0]} create secret generic {name} {literals}"
            )
        random = {key: value or secrets.token_hex(24) for key, value in SECRETS.get(name, {}).items()}
        for space in missing:
            about = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space}}
            _kubectl("create", "-f", "-", given=about | ({"data": held[0]} if held else {"stringData": random}))
            print(f"Secret {name}: made in {space}, {'as where it is already' if held else 'from random bytes'}.")
        made |= bool(missing)
    if made:
        servers = "--selector=app.kubernetes.io/component in (postgres,mlflow)"
        _kubectl("-n", SERVERS, "delete", "pod", servers, "--ignore-not-found")


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
    command = ["kubectl", *words]
    try:
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        where = "https://kubernetes.io/docs/tasks/tools"
        raise DeployError(f"kubectl is not there, of which version 1.24 or later is needed: {where}") from None
    if done.returncode:
        raise DeployError(f"kubectl {' '.join(words)} failed: {done.stderr.strip()}\n{remedy}".strip())
    return done.stdout
