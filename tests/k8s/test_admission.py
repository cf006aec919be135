"""The policies of component admission, evaluated as an API server would: whose Jobs are admitted, and whose are not."""

import copy
import functools
import operator
from typing import Any

import pytest

from pipeline.cluster import manifest

celpy = pytest.importorskip("celpy", reason="cel-python evaluates the policies")
POD = ("spec", "template", "spec")
STAGE = (*POD, "containers", 0)
SECRET = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "postgres", "key": "password"}}}
OTHER_VOLUME = {"name": "work", "secret": {"secretName": "postgres"}}


def refusals(rendered, job: dict[str, Any]) -> list[str]:
    """What the policies that are bound to such a Job say of it."""
    said, labels = [], job["metadata"].get("labels", {})
    for binding in (one["spec"] for one in rendered.kind("ValidatingAdmissionPolicyBinding")):
        wanted = binding["matchResources"].get("objectSelector", {}).get("matchLabels", {})
        if not wanted.items() <= labels.items():
            continue
        policy = rendered.one("ValidatingAdmissionPolicy", binding["policyName"])["spec"]
        known: dict[str, Any] = {"object": celpy.json_to_cel(job)}
        if "paramRef" in binding:
            known["params"] = celpy.json_to_cel(rendered.one("PodTemplate", binding["paramRef"]["name"]))
        known["variables"] = celpy.celtypes.MapType()
        for variable in policy.get("variables", []):
            name = celpy.celtypes.StringType(variable["name"])
            known["variables"][name] = program(variable["expression"]).evaluate(known)
        rules = policy["validations"]
        said += [rule["message"] for rule in rules if not program(rule["expression"]).evaluate(known)]
    return said


@functools.cache
def program(expression: str):
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def job_of(rendered, stage: str) -> dict[str, Any]:
    template = rendered.one("PodTemplate", manifest.template_name(stage))
    return manifest.manifest(template, stage, ("vsml", "0"), "ab" * 32, "run", "order")


@pytest.mark.parametrize("stage", ["meta_train", "clone", "meta_test"])  # on several pods, large, small
def test_the_jobs_of_stages_are_admitted(rendered_all, stage):
    assert refusals(rendered_all, job_of(rendered_all, stage)) == []


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("metadata", "labels"), {}, "label vsml/template"),
        (("metadata", "labels", "vsml/template"), "mine", "label vsml/template"),
        (("metadata", "labels", "vsml/template"), "vsml-small", "sizes"),
        ((*STAGE, "image"), "registry.example/mine@sha256:1", "image"),
        ((*STAGE, "command"), ["sh", "-c"], "command"),
        ((*STAGE, "env", 0), SECRET, "environment"),
        ((*STAGE, "env", 0), {"name": "PYTHONPATH", "value": "/work"}, "environment"),
        ((*STAGE, "envFrom"), [{"secretRef": {"name": "postgres"}}], "beside its command"),
        ((*STAGE, "securityContext", "readOnlyRootFilesystem"), False, "security"),
        ((*POD, "volumes", 0), OTHER_VOLUME, "volumes"),
        ((*POD, "initContainers"), [{"name": "first", "image": "mine"}], "beside its command"),
        ((*POD, "serviceAccountName"), "driver", "account"),
        ((*POD, "automountServiceAccountToken"), True, "token"),
        ((*POD, "nodeName"), "control-plane", "nodes"),
        (("spec", "template", "metadata", "labels", "app.kubernetes.io/component"), "mlflow", "labelled"),
    ],
    ids=str,
)
def test_a_job_that_is_not_as_its_template_is_refused(rendered_all, path, value, why):
    job = copy.deepcopy(job_of(rendered_all, "meta_train"))
    *way, last = path
    functools.reduce(operator.getitem, way, job)[last] = value
    assert any(why in said for said in refusals(rendered_all, job))
