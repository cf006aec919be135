"""The manifests on a real API server: it takes them, grants the driver what it needs, and keeps its Secrets."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from pipeline.cluster import deploy, doctor
from pipeline.cluster.connection import NAMESPACE, SERVERS, Api
from pipeline.cluster.manifest import COMMIT, TEMPLATES

pytestmark = pytest.mark.cluster
NEWER = {"CronJob", "LocalQueue", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
DRIVER = f"system:serviceaccount:{NAMESPACE}:driver"


def kubectl(*words: str, given: str | None = None, succeeds: bool = True) -> str:
    done = subprocess.run(["kubectl", *words], input=given, capture_output=True, text=True, check=False)
    assert not succeeds or done.returncode == 0, done.stderr
    return done.stdout


def applied(manifests: list[dict], *how: str) -> str:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    return kubectl("apply", *how, "-f", "-", given=listed)


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    both = (NAMESPACE, SERVERS)
    there = kubectl("get", "namespace", *both, "--ignore-not-found", "--output=name").split()
    assert not there, f"{there} are in use, and these tests would delete them; they want a cluster of their own."
    for name in both:
        kubectl("create", "namespace", name)
    yield
    kubectl("delete", "namespace", *both, "--wait=false")


def test_the_api_server_takes_every_overlay(namespace, rendered):
    known = [line.split() for line in kubectl("api-resources", "--no-headers").splitlines()]
    known = {(words[-3], words[-1]) for words in known}  # an older server lacks some, and one without Kueue
    manifests = [one for one in rendered.manifests if (one["apiVersion"], one["kind"]) in known]
    assert {one["kind"] for one in rendered.manifests if one not in manifests} <= NEWER
    answer = applied(manifests, "--dry-run=server")
    assert len(answer.splitlines()) == len(manifests)
    assert all(line.endswith("(server dry run)") for line in answer.splitlines())


def test_secrets_are_made_once_and_never_shown(namespace, rendered, capsys):
    for component, first in (("s3", "mlflow-s3 --from-literal=access-key"), ("external-mlflow", "mlflow-external")):
        if component in rendered.components:
            with pytest.raises(deploy.DeployError, match=f"create secret generic {first}"):
                deploy.make_secrets(rendered.manifests)
            return
    deploy.make_secrets(rendered.manifests)
    first = secrets()
    kubectl("delete", "secret", "mlflow-stage", f"--namespace={NAMESPACE}")  # stages have the login that MLflow knows
    deploy.make_secrets(rendered.manifests)
    assert secrets() == first
    assert {name: set(keys) for name, keys in first.items()} == {n: set(keys) for n, keys in deploy.SECRETS.items()}
    assert secrets(NAMESPACE) == {"mlflow-stage": first["mlflow-stage"]}, "where stages run there is no other"
    shown = capsys.readouterr().out
    assert not any(value in shown for keys in first.values() for value in keys.values())


def secrets(namespace: str = SERVERS) -> dict[str, dict[str, str]]:
    listed = json.loads(kubectl("get", "secrets", f"--namespace={namespace}", "--output=json"))["items"]
    return {one["metadata"]["name"]: one["data"] for one in listed if one["type"] == "Opaque"}


def test_the_driver_may_do_its_work_and_nothing_else(namespace, rendered):
    applied(rendered.kind("ServiceAccount", "Role", "RoleBinding", "PodTemplate"))
    for (group, resource), verbs in doctor.RIGHTS.items():
        for verb in verbs:
            assert may(verb, f"{resource.split('/')[0]}{'.' * bool(group)}{group}", *resource.split("/")[1:])
    for verb, resource in (("get", "secrets"), ("create", "pods"), ("delete", "podtemplates"), ("list", "nodes")):
        assert not may(verb, resource)
    for verb, resource in (("create", "jobs.batch"), ("get", "secrets"), ("list", "pods")):
        assert not may(verb, resource, namespace=SERVERS)
    for name in TEMPLATES:
        assert Api().template(name)["metadata"]["annotations"][COMMIT] == rendered.commit


def test_the_doctor_finds_what_was_applied(namespace, rendered):
    applied(rendered.kind("PodTemplate"))
    verdicts = {finding.about: finding for finding in doctor.examine()}
    assert verdicts["rights"].verdict == "ok"
    assert ("none wanted" in verdicts["GPUs"].fact) != ("gpu" in rendered.components or rendered.overlay == "cluster")
    kubectl("delete", "podtemplate", "vsml-small", f"--namespace={NAMESPACE}")
    missing = [finding.fact for finding in doctor.examine() if finding.about == "vsml-small"]
    assert missing == ["Namespace vsml has no PodTemplate vsml-small. `make deploy` puts it there."]


def test_servers_among_stages_are_not_left_behind_in_silence(namespace, tmp_path):
    kubectl("create", "deployment", "mlflow", "--image=older", f"--namespace={NAMESPACE}")
    with pytest.raises(deploy.DeployError, match=f"namespace of stages.* `VSML_SERVERS={NAMESPACE} make deploy"):
        deploy.main("kind", [], tmp_path / "deployed")
    kubectl("delete", "deployment", "mlflow", f"--namespace={NAMESPACE}")


def may(verb: str, resource: str, subresource: str = "", namespace: str = NAMESPACE) -> bool:
    words = ["auth", "can-i", verb, resource, f"--as={DRIVER}", f"--namespace={namespace}"]
    return kubectl(*words, *[f"--subresource={subresource}"] * bool(subresource), succeeds=False).strip() == "yes"
