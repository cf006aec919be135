"""Feedback and local plasticity through the doors of its stages."""

from typing import Any

import jax
import numpy as np
import pytest

from pipeline.run import artifacts, paths
from pipeline.studies import params
from pipeline.studies.feedback import build as support
from pipeline.studies.feedback import feedback_train


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
    assert table.axes["effect"] == ("theta", "episode", "stretch", "part", "other")
    learned, newborn = table.arrays["loss"]
    np.testing.assert_array_equal(newborn[:, 0], newborn[:, -1])  # without plasticity it learns nothing
    assert not np.array_equal(learned[:, 0], learned[:, -1])


def _sections(profile: str) -> dict[str, Any]:
    return params.read(paths.ROOT / profile / "params.yaml").feedback.experiments


@pytest.fixture
def drawings(tmp_path):
    """Where every set's file lies: five classes, of which the first has a dot in the corner and others are empty."""
    x = np.full((5 * 20, 784), 255, np.uint8)
    x[:20, 0] = 0
    y = np.repeat(np.arange(5), 20).astype(np.int32)
    artifacts.write_table(tmp_path / "set.npz", {"x": x, "y": y}, {"x": ("example", "pixel"), "y": ("example",)})
    return lambda name: tmp_path / "set.npz"


def test_every_experiment_has_a_meta_step_and_a_rate_for_each_group_of_its_theta(drawings):
    key, thetas = jax.random.key(0), {}
    for profile in ("", "profiles/smoke", "profiles/siblings", "profiles/paper"):
        for section in _sections(profile).values():
            kind = str((section.task, section.network, section.learner))  # several experiments differ in training alone
            if kind not in thetas:
                school = support.school(section, drawings)
                thetas[kind] = theta = jax.eval_shape(school.init_theta, key)
                slope = jax.eval_shape(lambda theta, s=school: jax.grad(s.loss)(theta, key, s.draw(key)), theta)
                assert jax.tree.map(lambda z: z.shape, slope) == jax.tree.map(lambda z: z.shape, theta)
            feedback_train.by_group(section.training, thetas[kind])


def test_rates_of_other_groups_are_refused_by_name(drawings):
    section = _sections("profiles/smoke")["second_order_on_sines"]
    school = support.school(_sections("profiles/smoke")["flp_on_sines"], drawings)
    theta = jax.eval_shape(school.init_theta, jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"rates are for \['forward', 'rates'\], and theta has the groups \['feedback'"
    ):
        feedback_train.by_group(section.training, theta)


@pytest.mark.parametrize("mirrored", [False, True])
def test_drawings_have_their_ink_high_and_their_turns_and_mirror_images_as_classes(drawings, mirrored):
    task = _sections("profiles/siblings")["flp_on_omniglot"].task
    pool = support.train_pool(task.model_copy(update={"mirrored": mirrored}), drawings)
    assert pool.shape == (40 if mirrored else 20, 20, 784)
    corners = [int(np.flatnonzero(pool[number, 0])[0]) for number in range(0, len(pool), 5)]
    assert corners[:4] == [0, 28 * 27, 783, 27]
    assert corners[4:] == ([27, 783, 28 * 27, 0] if mirrored else [])  # of each turn, what a mirror makes of it
    assert not pool[1::5].any()


def test_classes_of_unequal_size_are_refused(drawings):
    table = artifacts.read_table(drawings("any"))
    arrays = {name: values[1:] for name, values in table.arrays.items()}
    artifacts.write_table(drawings("any"), arrays, table.axes)
    with pytest.raises(ValueError, match=r"set\.npz has classes of 19 to 20 drawings; all must have as many"):
        support.draw(_sections("profiles/siblings")["flp_on_omniglot"], drawings, 4)


def test_only_meta_training_sees_drawings_redrawn(drawings):
    section, key = _sections("profiles/siblings")["flp_on_omniglot"], jax.random.key(0)
    trained, tested = (jax.jit(support.draw(section, drawings, *of))(key) for of in ((), (4,)))
    assert set(np.unique(tested.x)) == {0, 1}
    assert len(np.unique(trained.x)) > 2


def test_a_network_is_pretrained_without_lives_and_then_lives_by_descent(drawings):
    section = _sections("profiles/siblings")["pretrained_on_omniglot"]
    school = support.school(section, drawings)

    @jax.jit
    def begin(key):
        theta, episode = school.init_theta(key), school.draw(key)
        return theta, episode, jax.grad(school.loss)(theta, key, episode)

    theta, episode, slope = begin(jax.random.key(0))
    assert theta["head"]["w"].shape == (64, 40) and episode.y.shape == (50, 40)
    assert not np.any(theta["forward"]["1"]["w"])  # the layer of episodes starts anew
    assert not np.any(slope["forward"]["1"]["w"])  # and is not in school
    assert all(np.any(part) for part in jax.tree.leaves((slope["head"], slope["trunk"], slope["forward"]["0"])))
    assert support.settings(section) == {
        "name": "descent",
        "plastic": section.learner.plastic,
        "order": "first",
        "rate": section.learner.rate,
        "per": None,
        "clip": None,
    }


def test_convolutions_over_numbers_are_refused():
    section = _sections("profiles/smoke")["flp_on_sines"]
    network = section.network.model_copy(update={"convolutions": ((2, 3, 1),)})
    with pytest.raises(ValueError, match=r"convolutions \(=\(\(2, 3, 1\),\)\) are for images"):
        support.system(section.model_copy(update={"network": network}))
