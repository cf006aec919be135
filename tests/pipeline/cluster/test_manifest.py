"""The Job that is made of a PodTemplate."""

import copy

import pytest

from pipeline.cluster.connection import check
from pipeline.cluster.manifest import PODS, Submission, image_of, manifest, name_of, pods_of, template_name
from pipeline.studies.stages import STAGES

TEMPLATE = {
    "metadata": {"name": "vsml-large", "labels": {"queue": "q"}, "annotations": {"vsml/commit": "c0ffee"}},
    "template": {
        "metadata": {"labels": {"team": "a"}, "creationTimestamp": None},
        "spec": {
            "restartPolicy": "Always",
            "containers": [
                {
                    "name": "stage",
                    "image": "registry/vsml@sha256:0",
                    "env": [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}],
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                    "volumeMounts": [{"name": "work", "mountPath": "/work"}],
                }
            ],
            "volumes": [{"name": "work", "emptyDir": {}}],
        },
    },
}
JOB = Submission("meta_train", ("vsml", "0"), "ab" * 32, "run", "order")


def test_the_template_is_kept_and_filled():
    before = copy.deepcopy(TEMPLATE)
    made = manifest(JOB, TEMPLATE)
    assert before == TEMPLATE
    check(made)
    assert made["metadata"]["name"] == "vsml-meta-train-abababababababab"
    assert made["metadata"]["labels"]["queue"] == "q"
    pod = made["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["python", "-m", "pipeline", "meta_train", "vsml", "0"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["labels"]["team"] == "a"
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (env["MLFLOW_TRACKING_URI"], env["PIPELINE_EXECUTOR"]) == ("http://mlflow:5000", "pod")
    assert (env["VSML_RUN"], env["VSML_ORDER"]) == ("run", "order")
    for name in ("image", "resources", "volumeMounts"):
        assert container[name] == TEMPLATE["template"]["spec"]["containers"][0][name]
    assert all(len(value) <= 63 for value in made["metadata"]["labels"].values())


def test_a_template_that_sets_what_is_ours_or_has_no_place_for_it_is_refused():
    taken = copy.deepcopy(TEMPLATE)
    taken["template"]["spec"]["containers"][0]["env"].append({"name": "VSML_RUN", "value": "other"})
    with pytest.raises(ValueError, match=r"sets \['VSML_RUN'\].*remove them"):
        manifest(JOB, taken)
    other = copy.deepcopy(TEMPLATE)
    other["template"]["spec"]["containers"][0]["name"] = "main"
    with pytest.raises(ValueError, match=r"containers \['main'\], expected one that is called 'stage'"):
        manifest(JOB, other)


def _gang(pods: str, subdomain: str | None = "vsml-gang"):
    template = copy.deepcopy(TEMPLATE)
    template["metadata"]["annotations"][PODS] = pods
    if subdomain:
        template["template"]["spec"]["subdomain"] = subdomain
    return template


def test_a_template_that_asks_for_pods_has_a_population_spread_over_an_indexed_job():
    alone, made = manifest(JOB, TEMPLATE), manifest(JOB, _gang("3"))
    check(made)
    spec = made["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 3 * alone["spec"]["backoffLimit"], "the loss of one ends three"
    assert spec["podFailurePolicy"] == alone["spec"]["podFailurePolicy"]
    assert spec["template"]["spec"]["subdomain"] == "vsml-gang"
    env, of_one = (
        {entry["name"]: entry.get("value") for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        for job in (made, alone)
    )
    own = {"VSML_COORDINATOR": f"{made['metadata']['name']}-0.vsml-gang:8476", "VSML_PROCESSES": "3"}
    assert env == of_one | own
    assert "completionMode" not in alone["spec"]


def test_a_stage_whose_work_cannot_be_spread_has_one_pod_and_a_template_that_asks_for_what_cannot_be_is_refused():
    assert {stage for stage in STAGES if pods_of(stage, _gang("2")) == 2} == {"meta_train"}
    assert "completionMode" not in manifest(JOB._replace(stage="clone", item=("0",)), _gang("2"))["spec"]
    with pytest.raises(ValueError, match="vsml-large asks for 2 pods, but has no subdomain"):
        manifest(JOB, _gang("2", subdomain=None))
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(ValueError, match=f"vsml/pods: '{wrong}', expected a number"):
            manifest(JOB, _gang(wrong))


def test_fields_that_no_job_has_are_found_before_a_server_is_asked():
    wrong = copy.deepcopy(TEMPLATE)
    wrong["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(ValueError, match="imagee"):
        check(manifest(JOB, wrong))


def test_the_commit_is_that_of_the_environment_or_of_the_annotation():
    assert image_of(TEMPLATE) == ("registry/vsml@sha256:0", "c0ffee")
    told = copy.deepcopy(TEMPLATE)
    told["template"]["spec"]["containers"][0]["env"].append({"name": "VSML_COMMIT", "value": "beef"})
    assert image_of(told)[1] == "beef"


def test_every_stage_has_a_size_and_a_name_that_kubernetes_takes():
    sizes = {stage: template_name(stage) for stage in STAGES}
    assert {stage for stage, size in sizes.items() if size == "vsml-large"} == {
        "meta_train",
        "clone",
        "improve",
        "feedback_train",
    }
    assert all(len(name_of(stage, "ab" * 32)) <= 52 and "_" not in name_of(stage, "ab" * 32) for stage in STAGES)
