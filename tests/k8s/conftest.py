"""Every overlay, bare and with all components, and each component alone, as kustomize renders them."""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.cluster import deploy

COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGES = {name: f"registry.example/{name}@sha256:{'5' * 64}" for name in deploy.VARIABLES}
COMPONENTS = sorted(path.name for path in (deploy.K8S / "components").iterdir())
ALL = [name for name in COMPONENTS if name not in ("existing-namespace", "external-mlflow", "mig")]  # that go together
CASES = {
    "kind": ("kind", []),
    "cluster": ("cluster", []),
    "kind with all": ("kind", ALL),
    "cluster with all": ("cluster", ALL),
    "cluster with mig": ("cluster", ["mig"]),
    **{f"kind with {name}": ("kind", [name]) for name in COMPONENTS if name != "mig"},
}
POD_KINDS = {"CronJob", "Deployment", "Job", "StatefulSet", "PodTemplate"}


class Rendered(NamedTuple):
    overlay: str
    components: list[str]
    commit: str
    manifests: list[dict[str, Any]]

    def kind(self, *kinds: str) -> list[dict[str, Any]]:
        return [manifest for manifest in self.manifests if manifest["kind"] in kinds]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        (manifest,) = [manifest for manifest in self.kind(kind) if manifest["metadata"]["name"] == name]
        return manifest

    def pods(self) -> dict[str, dict[str, Any]]:
        """The template of every pod, by the kind and name of what makes it."""
        found = {f"{made['kind']} {made['metadata']['name']}": made for made in self.kind(*POD_KINDS)}
        spec = {name: made.get("spec", made) for name, made in found.items()}
        return {name: one.get("jobTemplate", {}).get("spec", one)["template"] for name, one in spec.items()}


@functools.cache
def _render(overlay: str, *components: str) -> Rendered:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not there, which renders the manifests")
    with tempfile.TemporaryDirectory() as folder:
        manifests = deploy.render(Path(folder) / "deployed", overlay, list(components), IMAGES, COMMIT)
    return Rendered(overlay, list(components), COMMIT, manifests)


@pytest.fixture(params=CASES)
def rendered(request) -> Rendered:
    overlay, components = CASES[request.param]
    return _render(overlay, *components)


@pytest.fixture(scope="session")
def rendered_all() -> Rendered:
    """A cluster with GPUs and all components that go together, with files on a volume."""
    return _render("cluster", *(name for name in ALL if name != "s3"))


@pytest.fixture
def served(rendered) -> Rendered:
    """One that has servers."""
    if "external-mlflow" in rendered.components:
        pytest.skip("its servers are elsewhere")
    return rendered
