import hashlib
import runpy
import shutil

import numpy as np
import pytest

from pipeline.run import artifacts, paths


def test_a_table_comes_back_as_it_was_and_has_the_same_bytes_in_whatever_order_it_is_given(tmp_path):
    arrays = {"S/loss": np.ones((2, 3), np.float32), "learner": np.array(["sgd", "adam"])}
    axes = {"S/loss": ("episode", "time"), "learner": ("learner",)}
    artifacts.write_table(tmp_path / "1.npz", arrays, axes)
    artifacts.write_table(tmp_path / "2.npz", dict(reversed(arrays.items())), dict(reversed(axes.items())))
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    table = artifacts.read_table(tmp_path / "1.npz")
    assert table.axes == axes and table.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(table.arrays[name], array, strict=True)


@pytest.mark.parametrize(
    ("axes", "complaint"),
    [({"a": ("episode",)}, r"\(2, 3\), but its axes are \('episode',\)"), ({}, "same names")],
)
def test_axes_must_fit(tmp_path, axes, complaint):
    with pytest.raises(ValueError, match=complaint):
        artifacts.write_table(tmp_path / "t.npz", {"a": np.ones((2, 3))}, axes)


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        artifacts.write_arrays(tmp_path / "t.npz", {"a": np.array([{}])})
    assert list(tmp_path.iterdir()) == []


def test_a_rule_comes_back_with_all_that_gives_it_meaning(tmp_path):
    theta = {"lstm": {"w": np.ones((2, 2)), "b": np.zeros(2)}, "head": np.ones(1)}
    artifacts.write_rule(tmp_path / "r.npz", theta, {"hidden": 2}, {"seed": "0"})
    rule = artifacts.read_rule(tmp_path / "r.npz")
    assert (rule.learner, rule.provenance) == ({"hidden": 2}, {"seed": "0"})
    np.testing.assert_array_equal(rule.theta["lstm"]["w"], theta["lstm"]["w"])
    assert rule.theta.keys() == theta.keys() and rule.theta["lstm"].keys() == theta["lstm"].keys()


def test_what_is_no_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"t\.npz is missing"):
        artifacts.read_table(tmp_path / "t.npz")
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match="no npz file"):
        artifacts.read_table(tmp_path / "t.npz")
    artifacts.write_rule(tmp_path / "r.npz", {"w": np.ones(1)}, {}, {})
    with pytest.raises(ValueError, match="not a table"):
        artifacts.read_table(tmp_path / "r.npz")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    artifacts.write_text(tmp_path / "t", "old")
    with pytest.raises(KeyboardInterrupt), artifacts.atomic(tmp_path / "t") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"t": "old"}


def test_json_is_sorted_and_digests_are_of_the_bytes(tmp_path):
    artifacts.write_json(tmp_path / "j", {"b": 1, "a": "µ"})
    assert (tmp_path / "j").read_text() == '{\n  "a": "µ",\n  "b": 1\n}\n'
    assert artifacts.sha256_file(tmp_path / "j") == hashlib.sha256((tmp_path / "j").read_bytes()).hexdigest()


@pytest.mark.parametrize(("folder", "kept"), [("site-packages", "cache/vsml"), ("clone", "clone")])
def test_what_is_kept_between_runs_lies_in_a_clone_and_never_beside_an_installed_wheel(
    folder, kept, tmp_path, monkeypatch
):
    monkeypatch.delenv("VSML_STATE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / folder / "pipeline/run").mkdir(parents=True)
    copy = shutil.copy(paths.__file__, tmp_path / folder / "pipeline/run")
    assert runpy.run_path(str(copy))["COMPILED"] == tmp_path / kept / ".compiled"
