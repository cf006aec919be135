"""A rule meta-trained in one clone is made again, bit for bit, in a second one that has nothing but its git."""

import re
import subprocess

import pytest

from tests.pipeline.conftest import Clone

pytestmark = pytest.mark.slow
OUTS = ("rule.npz", "curve.npz", "snapshots.npz", "curve.csv")


def test_a_rule_is_made_again_in_another_clone(clone, tmp_path):
    clone.stages("train_data digits", "meta_train vsml 0", "uploads")  # the other clone asks the store of this one
    other = Clone(tmp_path / "another clone")
    subprocess.run(["git", "clone", "--quiet", str(clone.root), str(other.root)], check=True)
    command = ("python", "-m", "pipeline", "replay", "meta_train", "vsml", "0")

    alone = other.start(*command)
    _, error = alone.communicate(timeout=600)
    assert alone.returncode == 2 and "no finished run of meta_train" in error and "MLFLOW_TRACKING_URI" in error

    before = {path.name for path in other.root.iterdir()}
    replay = other.start(*command, MLFLOW_TRACKING_URI=f"sqlite:///{clone.root}/mlflow.db")
    said, error = replay.communicate(timeout=600)  # all packages are compiled again, so that it takes its time
    assert replay.returncode == 0, said + error
    verdicts = dict(re.findall(r"^  (artifacts/\S+): (.+)$", said, re.MULTILINE))
    assert verdicts == {f"artifacts/meta_train/vsml-0/{name}": "bit-identical" for name in OUTS}, said
    assert "meta-step 20 of 20" in said  # it was computed, and not found
    assert {path.name for path in other.root.iterdir()} == before  # nothing is left of it
