"""What is published is what the code and the params of now make, and is on the pages."""

import json
import shutil
import subprocess

import pytest

from pipeline.__main__ import xla_flags
from pipeline.run import paths
from pipeline.run.params import read_yaml
from pipeline.studies import published, readme


@pytest.fixture(autouse=True)
def usual_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS")  # those of the tests
    monkeypatch.setenv("XLA_FLAGS", xla_flags())


@pytest.fixture
def root(tmp_path):
    """The default profile and what is published of it, to be edited."""
    others = shutil.ignore_patterns(*(folder.name for folder in (paths.ROOT / "profiles").iterdir()))
    shutil.copytree(paths.ROOT / "docs", tmp_path / "docs", ignore=others)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    # As committed: a run on this machine may have left other last digits.
    git = ["git", "show", "HEAD:dvc.lock"]
    (tmp_path / "dvc.lock").write_bytes(subprocess.run(git, cwd=paths.ROOT, check=True, capture_output=True).stdout)
    return tmp_path


def test_what_is_here_is_that_of_the_last_run():
    readme.main(check=True)


def test_results_and_figures_of_no_run_are_named(root):
    stored = json.loads((root / "docs/results.json").read_text())
    (root / "docs/results.json").write_text(json.dumps(stored))  # the same numbers, but another file
    shutil.copy(root / "docs/figures/cloning.png", root / "docs/figures/agreement.png")
    (problem,) = published.problems(root)
    assert problem.startswith(f"{root}/docs has results.json, agreement.png of no run of {root}/dvc.lock: ")


def test_items_older_than_the_params_and_items_that_never_ran_are_counted(root, write_params):
    params = read_yaml(root / "params.yaml")
    params["unify"]["length"] += 1
    params["items"]["seeds"].append(7)
    write_params(root / "params.yaml", params)
    (problem,) = published.problems(root)
    told = f"{root}/dvc.lock has nothing of the code and params of now for "
    assert problem.startswith(told) and problem.endswith(" more: make repro there.")
    (root / "dvc.lock").unlink()
    _, nothing = published.problems(root)
    assert nothing.startswith(told) and int(nothing.split()[-5]) > int(problem.split()[-5])


def test_items_of_other_code_and_of_nobody_are_named(root):
    lock = (root / "dvc.lock").read_text()
    plan = "artifacts/plan/meta_train@vsml-1.json\n      hash: md5\n      md5: "
    at = lock.index(plan) + len(plan)
    lock = f"{lock[:at]}{'f' * 32}{lock[at + 32 :]}"
    unify = lock[lock.index("  unify:\n") :].split("\n  ", 1)[0]
    gone = f"  unify@gone:{unify.removeprefix('  unify:')}\n    cmd: none\n    outs: []\n"
    (root / "dvc.lock").write_text(lock + gone)
    gone, old = published.problems(root)
    assert gone == f"{root}/dvc.lock has entries of no item of its dvc.yaml, unify@gone: remove them."
    assert old.endswith(" of the code and params of now for meta_train@vsml-1: make repro there.")
