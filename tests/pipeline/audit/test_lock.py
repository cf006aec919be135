"""dvc.lock against the disk, where no run is asked."""

import shutil
from pathlib import Path

import pytest

from pipeline.audit import lock
from pipeline.audit.hashing import Hasher, files
from pipeline.run.flow import Item

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
    (tmp_path / FOLDER / "deep").mkdir()
    (tmp_path / FOLDER / "deep/new.npz").write_bytes(b"new")
    (changed,) = findings()
    assert (changed.kind, changed.object) == ("broken", FOLDER)
    shutil.rmtree(tmp_path / FOLDER)
    (lost,) = findings()
    assert (lost.kind, lost.object, lost.found) == ("unproven", FOLDER, "no such file")
