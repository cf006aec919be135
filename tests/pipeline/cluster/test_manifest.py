"""Where an item runs, by the environment and by what it needs; and the Job that is made of a PodTemplate."""

import copy
import os
from unittest import mock

import pytest
from kubernetes import client

from pipeline.cluster import execute
from pipeline.cluster.execute import chosen
from pipeline.cluster.manifest import PODS, image_of, manifest, name_of, pods_of, template_name, where_of
from pipeline.studies.stages import STAGES

JOB = ("meta_train", ("vsml", "0"), "ab" * 32, "run", "order")


def _template(pods="1", subdomain: str | None = "vsml-gang", name="stage", **env):
    values = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"} | env
    container = {
        "name": name,
        "image": "registry/vsml@sha256:0",
        "env": [{"name": key, "value": value} for key, value in values.items()],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    volumes = [{"name": "work", "emptyDir": {}}]
    spec = {"restartPolicy": "Always", "containers": [container], "volumes": volumes, "subdomain": subdomain}
    annotations = {"vsml/commit": "c0ffee", PODS: pods}
    return {
        "metadata": {"name": "vsml-large", "labels": {"queue": "q"}, "annotations": annotations},
        "template": {"metadata": {"labels": {"team": "a"}, "creationTimestamp": None}, "spec": spec},
    }


def _env(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_the_template_is_kept_and_filled():
    template = _template()
    before = copy.deepcopy(template)
    made = manifest(template, *JOB)
    assert before == template
    client.V1Job.model_validate(made)  # which knows all fields, and refuses others
    assert made["metadata"]["name"] == "vsml-meta-train-abababababababab"
    assert made["metadata"]["labels"]["queue"] == "q"
    pod = made["spec"]["template"]
    (container,), (given,) = pod["spec"]["containers"], template["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["python", "-m", "pipeline", "meta_train", "vsml", "0"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["labels"]["team"] == "a"
    own = {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "PIPELINE_EXECUTOR": "pod"}
    assert _env(made).items() >= (own | {"VSML_RUN": "run", "VSML_ORDER": "order"}).items()
    assert all(container[name] == given[name] for name in ("image", "resources", "volumeMounts"))
    assert all(len(value) <= 63 for value in made["metadata"]["labels"].values())


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (_template(VSML_RUN="other"), r"sets \['VSML_RUN'\].*remove them"),
        (_template(name="main"), r"containers \['main'\], expected one that is called 'stage'"),
        (_template("2", subdomain=None), "vsml-large asks for 2 pods, but has no subdomain"),
        *((_template(wrong), f"vsml/pods: '{wrong}', expected a number") for wrong in ("0", "-1", "two", "1.5")),
    ],
)
def test_a_template_that_sets_what_is_ours_or_asks_for_what_cannot_be_is_refused(template, complaint):
    with pytest.raises(ValueError, match=complaint):
        manifest(template, *JOB)


def test_a_template_that_asks_for_pods_has_a_population_spread_over_an_indexed_job():
    alone, made = manifest(_template(), *JOB), manifest(_template("3"), *JOB)
    client.V1Job.model_validate(made)
    spec = made["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 3 * alone["spec"]["backoffLimit"], "the loss of one ends three"
    assert spec["podFailurePolicy"] == alone["spec"]["podFailurePolicy"]
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}, "which commits for all"
    assert spec["template"]["spec"]["subdomain"] == "vsml-gang"
    own = {"VSML_COORDINATOR": f"{made['metadata']['name']}-0.vsml-gang:8476", "VSML_PROCESSES": "3"}
    assert _env(made) == _env(alone) | own
    assert {stage for stage in STAGES if pods_of(stage, _template("2")) == 2} == {"meta_train"}
    assert all("completionMode" not in job["spec"] for job in (alone, manifest(_template("2"), "clone", *JOB[1:])))


def test_where_an_item_runs_says_what_decides_its_numbers():
    assert where_of("clone", _template("2")) == "registry/vsml@sha256:0 c0ffee"
    several = _template("2", XLA_FLAGS="--a")
    several["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "4"
    assert where_of("meta_train", several) == "registry/vsml@sha256:0 c0ffee on 2 pods with 4 nvidia.com/gpu with --a"


def test_the_commit_is_that_of_the_environment_or_of_the_annotation():
    assert image_of(_template()) == ("registry/vsml@sha256:0", "c0ffee")
    assert image_of(_template(VSML_COMMIT="beef"))[1] == "beef"


def test_every_stage_has_a_size_and_a_name_that_kubernetes_takes():
    large = {stage for stage in STAGES if template_name(stage) == "vsml-large"}
    assert large == {"meta_train", "clone", "improve", "feedback_train"}
    assert all(len(name_of(stage, "ab" * 32)) <= 52 and "_" not in name_of(stage, "ab" * 32) for stage in STAGES)


ITEMS = {("test_data", "digits"): True, ("test_data", "kmnist"): False, ("train_data", "mnist"): False}
ITEMS |= {("meta_train", "vsml", "0"): True, ("figure", "cloning"): False, ("report",): False}


def test_what_downloads_or_draws_stays_with_the_driver_and_an_executor_must_exist(monkeypatch):
    for (stage, *item), travels in ITEMS.items():
        for name in ("local", "pod", "kubernetes"):
            monkeypatch.setenv("PIPELINE_EXECUTOR", name)
            assert chosen(stage, tuple(item)) == (name if travels or name != "kubernetes" else "local")
    monkeypatch.setenv("PIPELINE_EXECUTOR", "slurm")
    with pytest.raises(ValueError, match=r"'slurm', which is none of .*; unset, it is local"):
        chosen("report", ())


def test_a_stage_is_bound_to_dvc_to_a_pod_and_to_a_replay_and_not_to_the_shell_of_a_user(monkeypatch):
    bound = mock.Mock()
    monkeypatch.setattr(execute.repro, "die_with_parent", bound)
    monkeypatch.setattr(execute, "execute_here", lambda *item: None)
    for name, times in (("HOME", 0), ("DVC_STAGE", 1), ("VSML_SPOOL", 1)):
        with mock.patch.dict(os.environ, {name: "x"}):
            execute.execute("unify", ())
        assert bound.call_count == times
        bound.reset_mock()
