"""An auditor's way from a figure to its data and to the rule, on a real MLflow server, by its own client."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow as mlflow_client
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import RunTag

from pipeline.run import artifacts, paths
from pipeline.track import lineage, tracking
from pipeline.track.store import Store

DATA, TEST = "artifacts/train_data/digits.npz", "artifacts/test_data/digits.npz"
LEARNED = "artifacts/meta_train/vsml-0/rule.npz"
TABLE = "artifacts/meta_test/vsml-0.npz"
PLAN = "artifacts/plan/meta_test@vsml-0.json"


@pytest.fixture
def store(mlflow):
    return Store()


@pytest.fixture
def client(store):
    return MlflowClient(store.uri)


@pytest.fixture
def at(client):
    """Where MLflow's pages show a run as one of training, not of a GenAI."""
    experiment = client.get_experiment_by_name("vsml").experiment_id
    return lambda run: f"#/experiments/{experiment}/runs/{run}?workflowType=machine_learning"


@pytest.fixture
def finish(store, tmp_path):
    """A run of a stage that read these files and leaves those; what they hold is this test's own."""
    for name in (DATA, TEST, LEARNED, TABLE, PLAN):
        artifacts.write_text(tmp_path / name, f"{name} of {tmp_path}")

    def of(stage, item, deps, outs, **more):
        run = store.create(f"{stage} {item}", {"stage": stage})
        digests = {name: artifacts.sha256_file(tmp_path / name) for name in (*deps, *outs)}
        manifest = {"stage": stage, "item": list(item), "fingerprint": "f" * 64} | more
        manifest |= {"deps": {name: digests[name] for name in deps}, "outs": {name: digests[name] for name in outs}}
        lineage.describe(store, run, manifest, tmp_path)
        for name in outs:
            store.upload(run, f"outs/{name}", tmp_path / name)
        store.tag(run, tracking.by_digest("outs", manifest["outs"]))
        store.end(run, "FINISHED")
        return run

    return of


def test_each_dep_names_the_run_that_made_it_back_to_the_data(finish, store, client, at):
    data, test = finish("train_data", ("digits",), (), (DATA,)), finish("test_data", ("digits",), (), (TEST,))
    learned = finish("meta_train", ("vsml", "0"), (DATA,), (LEARNED,))
    finish("upload", (), (), (PLAN,))  # as for a pod: it is in the store, but made by no run
    tested = finish("meta_test", ("vsml", "0"), (PLAN, LEARNED, TEST), (TABLE,))
    drawn = finish("figure", ("cloning",), (TABLE, TEST), ())
    tags = {run: client.get_run(run).data.tags for run in (data, learned, tested, drawn)}
    made_from = {
        run: {key.removeprefix("made_from."): made for key, made in of.items() if key.startswith("made_from.")}
        for run, of in tags.items()
    }
    assert made_from == {
        data: {},
        learned: {DATA: data},
        tested: {LEARNED: learned, TEST: test},
        drawn: {TABLE: tested, TEST: test},
    }
    note = client.get_run(drawn).data.tags["mlflow.note.content"]
    assert f"- [{TABLE}]({at(tested)})" in note.splitlines()
    left = client.download_artifacts(tested, f"outs/{TABLE}")
    assert store.having(artifacts.sha256_file(left)) == (tested, f"outs/{TABLE}")


def test_a_number_leads_to_its_figure_and_a_rule_to_its_test(finish, store, client, at, tmp_path):
    learned = finish("meta_train", ("vsml", "0"), (DATA,), (LEARNED,))
    tested = finish("meta_test", ("vsml", "0"), (LEARNED, TEST), (TABLE,))
    old, drawn = (finish("figure", ("a b",), (TABLE,), ()) for _ in range(2))
    artifacts.write_json(tmp_path / paths.report("claims.json"), {"claims": []})
    report = finish("report", (), (TABLE,), (paths.report("claims.json").as_posix(),))

    def first_in_note(run):
        return client.get_run(run).data.tags["mlflow.note.content"].split("\n\n")[0]

    assert first_in_note(learned) == f"Used by [meta_test vsml 0]({at(tested)})"
    assert first_in_note(tested) == f"Used by [figure a b]({at(drawn)}), [report]({at(report)})"
    assert old not in client.get_run(tested).data.tags.values() and first_in_note(drawn) == "Made from"


def test_a_note_names_its_users_and_keeps_what_an_auditor_wrote(finish, client, at):
    made = finish("baseline", ("sgd",), (), (TABLE,))
    first = finish("figure", ("a",), (TABLE,), ())
    assert client.get_run(made).data.tags["mlflow.note.content"] == f"Used by [figure a]({at(first)})"
    client.set_tag(made, "mlflow.note.content", "Looked at by me.\n\nTwice.")
    second = finish("figure", ("b",), (TABLE,), ())
    users = f"Used by [figure a]({at(first)}), [figure b]({at(second)})"
    assert client.get_run(made).data.tags["mlflow.note.content"] == f"{users}\n\nLooked at by me.\n\nTwice."


def test_what_many_machines_draw_at_once_is_all_named(finish, client):
    made = finish("baseline", ("sgd",), (), (TABLE,))
    with ThreadPoolExecutor(8) as machines:
        drawn = [machines.submit(finish, "figure", (f"{number}",), (TABLE,), ()) for number in range(16)]
    note = client.get_run(made).data.tags["mlflow.note.content"]
    assert all(f"[figure {number}]" in note and run.result() in note for number, run in enumerate(drawn))


def test_the_version_of_a_rule_has_the_numbers_of_its_test(finish, client, tmp_path):
    for seed, number in (("8", 0.25), ("9", 0.5), ("9", 0.75)):
        artifacts.write_text(tmp_path / LEARNED, f"the rule {seed} of {tmp_path}")
        finish("meta_train", ("vsml", seed), (DATA,), (LEARNED,))
        finish("meta_test", ("vsml", seed), (LEARNED, TEST), (TABLE,), metrics={"digits/accuracy": number})
    for seed, number in (("8", "0.25"), ("9", "0.75")):
        (version,) = client.search_model_versions(f"name = 'learned.vsml-{seed}'")
        assert version.tags["digits/accuracy"] == number


def test_data_sets_are_inputs_with_their_digests_and_what_they_were_for(finish, client, tmp_path):
    for stage, name, out, use in (("meta_train", DATA, LEARNED, "training"), ("baseline", TEST, TABLE, "evaluation")):
        run = finish(stage, ("vsml", "0"), (name,), (out,))
        (read,) = client.get_run(run).inputs.dataset_inputs
        digest = artifacts.sha256_file(tmp_path / name)
        assert (read.dataset.name, read.dataset.digest) == (name, digest[:36])
        assert json.loads(read.dataset.source) == {"sha256": digest, "uri": name}
        assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", use)]


def test_a_learned_rule_is_one_version_however_often_it_is_made(finish, client, tmp_path):
    first = finish("meta_train", ("vsml", "7"), (DATA,), (LEARNED,))
    finish("meta_train", ("vsml", "7"), (DATA,), (LEARNED,))
    digest = artifacts.sha256_file(tmp_path / LEARNED)
    (found,) = [v for v in client.search_model_versions("name = 'learned.vsml-7'") if v.tags["sha256"] == digest]
    assert found.run_id == first and found.aliases == []
    artifacts.write_text(tmp_path / LEARNED, f"another rule of {tmp_path}")
    finish("meta_train", ("vsml", "7"), (DATA,), (LEARNED,))
    newest = max(client.search_model_versions("name = 'learned.vsml-7'"), key=lambda version: int(version.version))
    assert newest.tags["sha256"] == artifacts.sha256_file(tmp_path / LEARNED) != digest


def test_a_rule_that_ships_is_found_by_its_alias_and_predicts_online(store, client, tmp_path):
    rule, stays = "vsml/zoo/mnist.npz", {"stage": "zoo_test", "item": ["mnist"], "fingerprint": "f" * 64, "outs": {}}
    digest = artifacts.sha256_file(paths.ROOT / rule)
    for _ in range(2):
        run = store.create("zoo_test mnist", {"stage": "zoo_test"})
        manifest = stays | {"deps": {rule: digest}, "metrics": {"digits/accuracy": 0.875}}
        lineage.describe(store, run, manifest, tmp_path)
    found = client.get_model_version_by_alias("mnist", "released")
    assert (found.tags["sha256"], found.tags["digits/accuracy"]) == (digest, "0.875")
    assert "## How it was made" in found.description and len(found.description) < 5000  # the card
    assert len(client.search_model_versions("name = 'mnist'")) == 1
    got = download_artifacts(artifact_uri="models:/mnist@released", dst_path=str(tmp_path / "got"))
    assert artifacts.sha256_file(Path(got) / "rule.npz") == digest

    model = mlflow_client.pyfunc.load_model("models:/mnist@released")
    key = np.random.default_rng(0)
    y = key.integers(0, 2, 60)
    x = key.normal(size=(60, 5)) + 4 * y[:, None]
    shown = np.where(np.arange(60) < 40, y, -1)
    probabilities = model.predict({"x": x, "y": shown})
    assert probabilities.shape == (60, 2) and np.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == y)[40:].mean() > 0.9
    assert np.allclose(probabilities[0], model.predict({"x": x[:1], "y": shown[:1] * 0 - 1}, {"classes": 2})[0])
    with pytest.raises(Exception, match="y"):
        model.predict({"x": x})


def test_a_run_has_its_numbers_once_its_commit_and_its_figures(finish, store, client, tmp_path):
    numbers, picture = {"digits/accuracy": 0.875, "digits/accuracy_100": 0.5}, "artifacts/figure/a b.png"
    artifacts.write_text(tmp_path / picture, "pixels")
    run = finish("figure", ("a b",), (), (picture,), metrics=numbers)
    again = {"stage": "figure", "item": [], "fingerprint": "", "deps": {}, "outs": {}, "metrics": numbers}
    lineage.describe(store, run, again, tmp_path)
    assert client.get_run(run).data.metrics == numbers
    assert [len(client.get_metric_history(run, name)) for name in numbers] == [1, 1]
    shown = f"![{picture}](get-artifact?run_uuid={run}&path=outs/artifacts/figure/a%20b.png)\n"
    assert client.get_run(run).data.tags["mlflow.note.content"].startswith(shown)
    made = client.get_run(store.create("unify", {"stage": "unify", "commit": "c" * 40})).data.tags
    assert (made["mlflow.source.git.commit"], made["mlflow.source.name"]) == ("c" * 40, "python -m pipeline unify")
    assert made["mlflow.user"]


def test_the_run_of_a_report_has_the_verdicts(finish, store, client, tmp_path):
    judged = [{"id": "vsml-differs", "verdict": "reproduced"}, {"id": "vsml-robust", "verdict": "not run"}]
    artifacts.write_json(tmp_path / paths.report("claims.json"), {"claims": judged})
    run = finish("report", (), (), (paths.report("claims.json").as_posix(),))
    tags = client.get_run(run).data.tags
    assert (tags["claim.vsml-differs"], tags["claim.vsml-robust"]) == ("reproduced", "not run")


def test_a_note_is_not_cut_inside_a_link_and_takes_less_than_three_seconds(finish, client, at, tmp_path):
    names = [f"artifacts/meta_test/a_long_name_of_an_experiment-{seed}.npz" for seed in range(80)]
    pdf, claims = "artifacts/figure/cloning.pdf", paths.report("claims.json").as_posix()
    for name in (*names, pdf):
        artifacts.write_text(tmp_path / name, f"{name} of {tmp_path}")
    artifacts.write_json(tmp_path / claims, {"claims": []})
    made = finish("all", (), (), names)
    client.log_batch(made, tags=[RunTag(f"used_by.figure {number}", "f" * 32) for number in range(100)])
    began = time.process_time()
    drawn = finish("figure", ("cloning",), names, (pdf,))
    assert time.process_time() - began < 3.0
    before = client.get_run(drawn).data.tags["mlflow.note.content"].splitlines()
    report = finish("report", (), (pdf,), (claims,))
    first, empty, *links, more = client.get_run(drawn).data.tags["mlflow.note.content"].splitlines()
    assert (first, empty) == (f"Used by [report]({at(report)})", "") and links == before[:-1][: len(links)]
    users, more_of_them = client.get_run(made).data.tags["mlflow.note.content"].splitlines()
    assert users.endswith(")") and len(client.get_run(drawn).data.tags) > 80
    assert more == before[-1] == more_of_them == "- and more, which its tags name"
    for lines in (before, [first, empty, *links, more], [users, more]):
        assert 7000 < len("\n".join(lines)) <= 8000
