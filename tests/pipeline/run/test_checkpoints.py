from unittest import mock

import numpy as np

from pipeline.run import artifacts
from pipeline.run.checkpoints import Folder


def _saved(folder, steps):
    for step in steps:
        folder.save(step, {"theta": np.full(3, step)}, {"run": f"r{step}"})
    return sorted(folder.folder.iterdir())


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    folder = Folder(tmp_path / "c")
    assert folder.load() is None
    assert [path.name[:8] for path in _saved(folder, (5, 9, 100))] == ["00000009", "00000100"]
    for name in ("unfinished", ".unfinished.abc"):  # those that were being written are no checkpoints
        (folder.folder / name).write_bytes(b"half")
    last = folder.load()
    assert last is not None and (last.step, last.facts) == (100, {"run": "r100"})
    np.testing.assert_array_equal(last.arrays["theta"], [100, 100, 100])
    folder.remove()
    assert not folder.folder.exists()


def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_serves(tmp_path, capsys):
    folder = Folder(tmp_path / "c")
    old, new = _saved(folder, (5, 9))
    raw = bytearray(new.read_bytes())
    raw[len(raw) // 2] ^= 1
    new.write_bytes(raw)
    last = folder.load()
    assert last is not None and last.step == 5
    assert f"{new} is damaged" in capsys.readouterr().err
    old.write_bytes(b"")
    assert folder.load() is None


def test_what_is_put_in_the_place_of_checkpoints_is_the_only_one(tmp_path):
    here, there = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    _saved(here, (5, 9))
    _saved(there, (7, 100))
    newest = here.newest()
    assert newest is not None
    there.replace(newest.name, newest.read_bytes())
    last = there.load()
    assert last is not None and last.step == 9
    assert len(list(there.folder.iterdir())) == 1
    there.replace("", b"")
    assert there.load() is None


def test_two_processes_that_train_the_same_do_not_take_each_other_s_file(tmp_path, monkeypatch):
    folder, sha256_file = Folder(tmp_path / "c"), artifacts.sha256_file

    def meanwhile(path):
        monkeypatch.setattr(artifacts, "sha256_file", sha256_file)
        with mock.patch("os.getpid", return_value=1):
            _saved(folder, (5, 7))
        return sha256_file(path)

    monkeypatch.setattr(artifacts, "sha256_file", meanwhile)
    assert [path.name[:8] for path in _saved(folder, (9,))] == ["00000007", "00000009"]
