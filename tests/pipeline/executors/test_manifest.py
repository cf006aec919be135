"""The Job that is made of a PodTemplate."""

import copy

import pytest

from pipeline.executors.connection import check
from pipeline.executors.manifest import Submission, image_of, manifest, name_of, template_name
from pipeline.flow import STAGES

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
