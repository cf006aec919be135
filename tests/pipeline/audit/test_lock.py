"""dvc.lock against the disk, where no run is asked; and commits and plans that are not whole."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.audit import lock, runs
from pipeline.audit.hashing import Hasher, files
from pipeline.run import paths
from pipeline.run.flow import Item
from pipeline.run.job import dep_files

# What DVC 3 writes of a folder that is empty but for what .dvcignore names: a profile without items of that stage.
FOLDER, DRAW = "artifacts/recall_test", "exec python -m pipeline figure"
LINE = {"path": FOLDER, "hash": "md5", "md5": "d751713988987e9331980363e24189ce.dir", "size": 0, "nfiles": 0}


@pytest.fixture
def findings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / ".keep").touch()

    def check():
        there = files(Path(FOLDER))
        digests = Hasher().each(there.values())
        disk = {name: digests[path] for name, path in there.items() if path in digests}
        item = Item("figure", "figure", (), {}, DRAW, (FOLDER,), ())
        entry = lock.Entry(item, {"cmd": DRAW, "deps": [LINE]}, ".", {FOLDER: disk})
        return lock.check(entry, lock.Evidence(), {})

    return check


def test_an_empty_folder_is_no_missing_one_and_a_file_in_it_and_its_loss_are_found(findings, tmp_path):
    assert findings() == []
    (tmp_path / FOLDER / ".hidden").mkdir()
    (tmp_path / FOLDER / ".hidden/file").touch()
    assert findings() == [] and not dep_files(Item("figure", "figure", (), {}, DRAW, (FOLDER,), ()), ".")
    (tmp_path / FOLDER / "deep").mkdir()
    (tmp_path / FOLDER / "deep/new.npz").write_bytes(b"new")
    (changed,) = findings()
    assert (changed.kind, changed.object) == ("broken", FOLDER)
    shutil.rmtree(tmp_path / FOLDER)
    (lost,) = findings()
    assert (lost.kind, lost.object, lost.found) == ("unproven", FOLDER, "no such file")


def test_a_commit_of_which_a_file_is_lost_is_known_by_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("a = 1")
    make = "git init -q; git add .; git -c user.name=t -c user.email=t@t commit -qm a; git rev-parse HEAD HEAD:a.py"
    commit, lost = subprocess.check_output(make, cwd=tmp_path, shell=True, text=True).split()
    (tmp_path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    assert runs.committed(commit) == ({}, lost)


@pytest.mark.parametrize("text", ['{"x": 1}', "[]", "{"])
def test_what_is_no_plan_is_taken_for_a_damaged_one(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    assert lock._held(tmp_path / "plan.json") is lock._held(tmp_path / "none.json") is None
    (tmp_path / "plan.json").write_text('{"code": "c", "params": {}, "settings": {}, "versions": {}}')
    assert lock._held(tmp_path / "plan.json")


def test_a_run_must_say_the_versions_of_its_plan_but_those_that_earlier_runs_do_not():
    plan = {"versions": {"jax": "1", "numpy": "2", "scipy": "3"}}
    entry = lock.Entry(Item("unify", "unify", (), {}, "", (), ()), None, ".", {}, plan)
    run = runs.Found("id", "FINISHED", {"stage": "unify", "version.numpy": "2"}, {}, {})
    said = [one for one in runs._itself(run, entry, None) if one.expected != one.found]
    assert [(one.object, one.found) for one in said] == [("tag version.jax", None)]
