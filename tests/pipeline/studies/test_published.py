"""What is published is what the code and the params of now make."""

import json
import shutil

import pytest

from pipeline.__main__ import xla_flags
from pipeline.run import paths
from pipeline.run.params import read_yaml
from pipeline.studies import published


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The default profile and what is published of it, to be edited."""
    monkeypatch.delenv("XLA_FLAGS")  # those of the tests
    monkeypatch.setenv("XLA_FLAGS", xla_flags())
    shutil.copytree(paths.ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("mnist", "siblings"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    return tmp_path


def test_as_it_is_there_is_nothing_to_say(root):
    assert published.problems(root) == []


def test_results_and_figures_of_no_run_are_named(root):
    stored = json.loads((root / "docs/results.json").read_text())
    (root / "docs/results.json").write_text(json.dumps(stored))  # the same numbers, but another file
    shutil.copy(root / "docs/figures/cloning.png", root / "docs/figures/agreement.png")
    (problem,) = published.problems(root)
    assert problem.startswith(f"{root}/docs has results.json, agreement.png of no run of {root}/dvc.lock: ")


def test_items_older_than_the_params_are_counted(root, write_params):
    params = read_yaml(root / "params.yaml")
    params["unify"]["length"] += 1
    write_params(root / "params.yaml", params)
    (problem,) = published.problems(root)
    assert problem == f"{root}/dvc.lock has what is not of the code and params of now, unify: make repro there."


def test_items_of_other_code_and_of_nobody_are_counted(root):
    lock = (root / "dvc.lock").read_text().replace("  unify:\n", "  unify@gone:\n")
    plan = "artifacts/plan/meta_train@vsml-1.json\n      hash: md5\n      md5: "
    at = lock.index(plan) + len(plan)
    (root / "dvc.lock").write_text(f"{lock[:at]}{'0' * 32}{lock[at + 32 :]}")
    lost, old = published.problems(root)
    assert lost == f"{root}/dvc.lock has entries of no item of its dvc.yaml, unify@gone: remove them."
    assert " has what is not of the code and params of now, meta_train@vsml-1: make repro there." in old
