"""Feedback and local plasticity: through the doors of its stages, and what is said of it, on made-up tables."""

from typing import Any

import jax
import numpy as np
import pytest

from pipeline.run import artifacts, paths
from pipeline.show import figures
from pipeline.show.display import Cell
from pipeline.show.measures import Key
from pipeline.studies import params
from pipeline.studies.feedback import build as support
from pipeline.studies.feedback import feedback_train
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning.ranking import plus_minus


@pytest.mark.slow
def test_a_rule_is_meta_trained_and_tested_beside_a_newborn_one(clone):
    clone.stages(
        "train_data digits", "test_data iris", "feedback_train flp_on_glyphs 1", "feedback_test flp_on_glyphs 1"
    )
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


def _smaller(task):
    """The same task, in order, of glyphs no more than an episode needs: drawing them takes its time."""
    if task.name == "glyphs":
        few = {"train_classes": task.parts, "drawings": task.support + task.queries}
        assert all(getattr(task, name) >= least for name, least in few.items())
        task = task.model_copy(update=few)
    return task.model_copy(update={"in_order": True})


def test_every_experiment_has_a_meta_step_and_a_rate_for_each_group_of_its_theta(drawings):
    key, thetas, forms = jax.random.key(0), {}, set()
    for profile in ("", "profiles/smoke", "profiles/siblings", "profiles/paper"):
        for section in _sections(profile).values():
            task = _smaller(section.task)
            kind = str((task, section.network, section.learner))  # several experiments differ in training alone
            if kind not in thetas:
                school = support.school(section.model_copy(update={"task": task}), drawings)
                thetas[kind] = theta = jax.eval_shape(school.init_theta, key)
                examples = task.parts * (task.support + task.queries)
                assert [len(z) for z in jax.eval_shape(school.draw, key)] == [examples] * 2
                form = str((task.name, section.learner, *(len(layers) for _, layers in section.network)))
                if form not in forms:  # other numbers change no operation of the meta-gradient
                    forms.add(form)
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


@pytest.fixture
def tables(enter):
    enter("default")
    return figures.read(("feedback_test/*.npz",))


def test_experiments_are_those_of_the_items_by_task_and_method(tables):
    assert feedback.tasks(tables, regression=True) == ["sines"]
    assert feedback.tasks(tables, regression=False) == ["glyphs"]
    sines, shuffled = ([one.experiment for one in feedback.on(tables, task)] for task in ("sines", "glyphs_iid"))
    assert sines == ["flp_on_sines", "first_order_on_sines", "second_order_on_sines"]
    assert shuffled == ["flp_on_glyphs_iid", "second_order_on_glyphs_iid"]


def test_numbers_are_means_over_what_they_say(tables):
    first_order, flp = (feedback.tested(tables)[name] for name in ("first_order_on_sines", "flp_on_glyphs"))
    table = first_order.seeds[1].arrays
    np.testing.assert_allclose(first_order.worth()[1], table["loss"][0, :, -1].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(flp.worth(initial=True)[0], flp.seeds[0].arrays["correct"][1, :, -1].mean(-1))
    so_far = first_order.so_far()
    np.testing.assert_allclose(so_far[1, :, 1], table["loss"][0, :, 2, :2].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(so_far[..., -1], first_order.worth(), rtol=1e-6)


def test_what_was_learned_longer_ago_is_forgotten_more_and_updates_interfere(tables):
    tested = feedback.tested(tables)
    forgotten = tested["first_order_on_sines"].forgetting()
    assert forgotten.min() > 1.25 and forgotten.max() < 1.4  # 0.5 a part: the mean of 2, 1.5, 1 and 0.5, times 1 to 1.1
    np.testing.assert_allclose(tested["flp_on_sines"].forgetting(), 0, atol=1e-6)
    assert tested["second_order_on_glyphs"].forgetting().min() > 0  # of accuracy, what is lost counts
    for name, ratio in (("flp_on_sines", -0.04), ("second_order_on_sines", 0.03)):
        np.testing.assert_allclose(tested[name].interference(), ratio, rtol=1e-4)  # of others over own


def test_a_layer_that_never_changes_has_no_alignment(tables):
    flp = feedback.tested(tables)["flp_on_sines"]
    cosine = flp.seeds[0].arrays["cosine"]
    before = float(cosine[0, 0, 1])
    cosine[0, :, 0] = np.nan
    cosine[0, 1:, 1] = np.nan
    found = flp.cosines()
    assert np.isnan(found[0, 0]) and found[0, 1] == pytest.approx(before)
    assert Key("feedback", "flp_on_sines", "cosine_layer_1") not in feedback.feedback(tables)


def test_rows_are_complete(tables):
    found = feedback.feedback(tables)
    rows = feedback.page(found, tables)["rows"]
    assert [row[0] for row in rows] == [Cell("Sines", "MSE"), None, None, Cell("Glyphs", "accuracy"), None]
    shuffled = found[Key("feedback", "flp_on_glyphs_iid", "accuracy")]
    assert rows[0][3] == "" and rows[3][3] == plus_minus(shuffled, digits=3)
    assert float(str(rows[1][-1])) == pytest.approx(0.793, abs=0.006)  # alignment in hidden layers
