"""What `make deploy` refuses before it asks any cluster."""

import re
import shutil
from collections.abc import Callable

import pytest

from pipeline.cluster import deploy

DIGEST = f"sha256:{'7' * 64}"

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the manifests")


@pytest.fixture
def refused(monkeypatch, tmp_path) -> Callable[..., str]:
    """What `make deploy` says of words, on a machine that knows no cluster."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere")

    def answer(*words: str) -> str:
        with pytest.raises((deploy.DeployError, ValueError)) as exit:
            deploy.main(words[0], words[1:], tmp_path / "deployed")
        return str(exit.value)

    return answer


TAGGED = ["cluster", "vsml=registry.example:5000/vsml:1", f"postgres=docker.io/library/postgres@{DIGEST}"]
BY_DIGEST = ["cluster", *(f"{name}=registry.example/{name}@{DIGEST}" for name in deploy.VARIABLES)]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["minikube"], r"k8s/overlays has no 'minikube', only \['cluster', 'kind'\]."),
        (["kind", "kueue"], r"k8s/components has no 'kueue', only \["),
        (["kind", "vsml=registry.example:5000/vsml"], "has neither a tag nor a digest"),
        (TAGGED, r"has none for registry.example:5000/vsml:1, vsml-cuda13\."),
        (TAGGED, r"cluster IMAGE=REGISTRY/vsml@sha256:… GPU_IMAGE=REGISTRY/vsml-cuda13@sha256:…\n"),  # and no POSTGRES
        (BY_DIGEST, "current-context is not set"),  # which is asked for last
    ],
)
def test_words_that_mean_nothing_and_images_that_are_not_fixed(refused, words, answer):
    assert re.search(answer, refused(*words))
