"""Feedback and local plasticity through the doors of its stages."""

import numpy as np
import pytest

from pipeline import artifacts, lessons, params, paths
from pipeline.stages import feedback_train


@pytest.mark.slow
def test_a_rule_is_meta_trained_and_tested_beside_a_newborn_one(clone):
    for words in (
        "train_data digits",
        "test_data iris",
        "feedback_train flp_on_glyphs 1",
        "feedback_test flp_on_glyphs 1",
    ):
        clone.run("python", "-m", "pipeline", *words.split())
    rule = artifacts.read_rule(clone.root / paths.feedback_rule("flp_on_glyphs", 1))
    assert rule.learner["name"] == "local_plasticity"
    assert rule.provenance["experiment"] == "flp_on_glyphs" and rule.provenance["meta_steps"] == 20
    assert set(rule.theta) == {"forward", "trunk", "feedback", "plasticity", "strength"}
    assert np.abs(rule.theta["plasticity"]["1"]).max() > 1e-3  # zero at birth
    np.testing.assert_array_equal(rule.theta["strength"]["0"], 1)  # whose rate is zero
    curve = artifacts.read_table(clone.root / paths.feedback_curve("flp_on_glyphs", 1)).arrays
    assert len(curve["loss"]) == 20 and np.isfinite(curve["loss"]).all()
    table = artifacts.read_table(clone.root / paths.feedback_test("flp_on_glyphs", 1))
    assert table.arrays["loss"].shape == (2, 4, 4, 3)
    assert table.axes["effect"] == ("theta", "life", "stretch", "part", "other")
    learned, newborn = table.arrays["loss"]
    np.testing.assert_array_equal(newborn[:, 0], newborn[:, -1])  # without plasticity it learns nothing
    assert not np.array_equal(learned[:, 0], learned[:, -1])


@pytest.fixture
def sections(monkeypatch):
    def of(profile):
        return params.read(paths.ROOT / profile / "params.yaml").of_feedback.experiments

    return of


@pytest.mark.parametrize("profile", ["", "profiles/smoke", "profiles/siblings"])
def test_the_rates_of_every_experiment_are_those_of_its_theta(sections, profile):
    for section in sections(profile).values():
        theta, _ = feedback_train.born(section, 0)
        feedback_train.by_group(section.training, theta)


def test_rates_of_other_groups_are_refused_by_name(sections):
    section = sections("profiles/smoke")["second_order_on_sines"]
    theta, _ = feedback_train.born(sections("profiles/smoke")["flp_on_sines"], 0)
    with pytest.raises(
        ValueError, match=r"rates are for \['forward', 'rates'\], and theta has the groups \['feedback'"
    ):
        feedback_train.by_group(section.training, theta)


def test_drawings_have_their_ink_high_and_their_turns_as_classes(sections, tmp_path):
    section = sections("profiles/siblings")["flp_on_omniglot"]
    x = np.full((2 * 20, 784), 255, np.uint8)
    x[:20, 0] = 0  # a class with a dot in the corner, and an empty one
    y = np.repeat(np.arange(2), 20).astype(np.int32)
    artifacts.write_table(tmp_path / "set.npz", {"x": x, "y": y}, {"x": ("example", "pixel"), "y": ("example",)})
    task = section.task.model_copy(update={"parts": 2})
    draw = lessons.draw(section.model_copy(update={"task": task}), lambda name: tmp_path / "set.npz")
    (pool,) = draw.args
    assert pool.shape == (8, 20, 784)
    corners = [int(np.flatnonzero(np.asarray(pool[number, 0]))[0]) for number in (0, 2, 4, 6)]
    assert set(corners) == {0, 27, 28 * 27, 783} and not np.asarray(pool[1::2]).any()


def test_convolutions_over_numbers_are_refused(sections):
    section = sections("profiles/smoke")["flp_on_sines"]
    network = section.network.model_copy(update={"convolutions": ((2, 3, 1),)})
    with pytest.raises(ValueError, match=r"convolutions \(=\(\(2, 3, 1\),\)\) are for images"):
        lessons.system(section.model_copy(update={"network": network}))
