"""What `make deploy` refuses before it asks any cluster."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from pipeline.cluster import deploy
from pipeline.run import paths

DIGEST = f"sha256:{'7' * 64}"

ENGINE = f"""#!/bin/sh
echo "$*" >> "$LOG"
if [ "$*" = "$FAILS" ]; then echo "cannot $1" >&2; exit 125; fi
if [ "$1" = image ]; then echo "docker.io/library/python@{DIGEST}"; fi
"""
PULLED, ASKED = "pull --quiet python:3", "image inspect --format {{index .RepoDigests 0}} python:3"

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


def test_an_image_of_ones_own_without_a_digest_is_refused_too():
    with pytest.raises(deploy.DeployError, match=r"none for busybox:1\.\nWrite it into the overlay\."):
        deploy.refuse_tags("mine", [{"image": "busybox:1"}], {})


@pytest.mark.parametrize(
    ("base", "fails", "asks", "built_on"),
    [
        ("python:3", "", [PULLED, ASKED], f"docker.io/library/python@{DIGEST}"),
        (f"mirror.example/python@{DIGEST}", "", [], f"mirror.example/python@{DIGEST}"),
        ("python:3", PULLED, [PULLED], None),
        ("python:3", ASKED, [PULLED, ASKED], None),
    ],
)
def test_an_image_is_built_on_the_digest_of_its_base_or_not_at_all(tmp_path, base, fails, asks, built_on):
    engine, log = tmp_path / "engine", tmp_path / "log"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    command = ["make", "image", f"ENGINE={engine}", f"BASE={base}"]
    env = os.environ | {"LOG": str(log), "FAILS": fails}
    done = subprocess.run(command, cwd=paths.ROOT, env=env, capture_output=True, text=True, check=False)
    said = log.read_text().splitlines()
    builds = [line for line in said if line.startswith("build ")]
    assert [line for line in said if line not in builds] == asks
    assert [f"--build-arg BASE={built_on} " in line for line in builds] == [True] * (built_on is not None)
    assert (done.returncode == 0) == bool(builds), done.stderr
