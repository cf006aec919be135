"""The gradient baselines: what a step is, what the outer gradient sees of it, and what is measured of an episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.vsml import made
from vsml.core.rollout import unroll
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.feedback.descent import Descent, descent
from vsml.feedback.lifetime import query_loss, squared_error
from vsml.feedback.network import System, Trunk
from vsml.feedback.tasks import Course, sines
from vsml.feedback.trial import run_episode

SIZES = (3, 4, 2)
EPISODE = Episode(made.noise(5, 6, 3), made.noise(5, 6, 2, seed=1))
HOW = Descent(plastic=2, order="first", rate=0.1, per=None, clip=None)


def test_a_step_goes_down_the_mean_error_of_the_batch(key):
    learner = descent(SIZES, HOW, squared_error)
    theta = jax.jit(learner.init_theta)(key)
    after, said = jax.jit(learner.step)(theta, learner.init_state(theta, key), EPISODE.x[0], EPISODE.y[0])
    layers = theta["forward"]

    def loss(layers):
        hidden = jnp.maximum(EPISODE.x[0] @ layers["0"]["w"] + layers["0"]["b"][None], 0)
        out = hidden @ layers["1"]["w"] + layers["1"]["b"][None]
        return jnp.sum((out - EPISODE.y[0]) ** 2) / 6

    want = jax.tree.map(lambda z, g: z - 0.1 * g, layers, jax.jit(jax.grad(loss))(layers))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after, want)
    assert float(squared_error(said, EPISODE.y[0]).mean()) == pytest.approx(float(loss(layers)), rel=1e-5)


def test_no_number_of_the_gradient_exceeds_the_clip(key):
    learner = descent(SIZES, HOW._replace(clip=0.01), squared_error)
    theta = jax.jit(learner.init_theta)(key)
    start = learner.init_state(theta, key)
    after, _ = jax.jit(learner.step)(theta, start, EPISODE.x[0], 100 * EPISODE.y[0])
    pairs = zip(*map(jax.tree.leaves, (after, start)), strict=True)
    assert max(np.abs(np.asarray(a) - b).max() for a, b in pairs) == pytest.approx(0.001, rel=1e-3)


def test_orders_share_the_same_episode_and_differ_in_the_outer_gradient(key):
    found = {}
    for order in ("first", "second"):
        learner = descent(SIZES, HOW._replace(order=order, per="synapse"), squared_error)
        theta = jax.jit(learner.init_theta)(key)
        loss = jax.jit(query_loss(System(learner, None), squared_error, 4))
        found[order] = jax.jit(jax.value_and_grad(loss))(theta, key, EPISODE), theta, loss
    (first, slope), _, _ = found["first"]
    (second, exact), theta, loss = found["second"]
    assert float(first) == pytest.approx(float(second), rel=1e-6)
    assert not np.allclose(slope["forward"]["0"]["w"], exact["forward"]["0"]["w"], rtol=1e-2)
    direction = jax.tree.map(np.sign, exact["forward"])
    up, down = (
        loss(theta | {"forward": jax.tree.map(lambda z, d, s=s: z + s * d, theta["forward"], direction)}, key, EPISODE)
        for s in (1e-3, -1e-3)
    )
    size = sum(np.abs(g).sum() for g in jax.tree.leaves(exact["forward"]))
    assert float(up - down) / 2e-3 == pytest.approx(size, rel=0.02)


def test_learned_rates_are_one_for_each_weight_and_bias_and_only_the_last_layers_change(key):
    theta = jax.eval_shape(descent(SIZES, HOW._replace(per="synapse"), squared_error).init_theta, key)
    shapes = {name: rate.shape for name, rate in theta["rates"].items()}
    assert shapes == {"0_w": (3, 4), "0_b": (4,), "1_w": (4, 2), "1_b": (2,)}
    learner = descent(SIZES, HOW._replace(plastic=1), squared_error)
    assert set(jax.eval_shape(lambda: learner.init_state(learner.init_theta(key), key))) == {"1"}


def test_trunk_and_learner_as_one_give_the_same_episode(key):
    trunk = Trunk((5, 5, 1), ((3, 3, 2), (2, 3, 2)))
    assert trunk.features == 2 * 2 * 2
    system = System(descent((trunk.features, 4, 2), HOW, cross_entropy), trunk)
    whole, learner = system.whole(), system.learner

    @jax.jit
    def both(key):
        theta = system.init_theta(key)
        episode = Episode(jax.random.normal(key, (4, 25)), jax.nn.one_hot(jnp.array([0, 1, 1, 0]), 2))
        seen = system.seen(theta, episode)
        _, ahead = unroll(learner, theta, learner.init_state(theta, key), seen)
        _, along = unroll(whole, theta, whole.init_state(theta, key), episode)
        assert set(theta) == {"forward", "trunk"}
        return ahead, along

    np.testing.assert_allclose(*both(key), rtol=1e-4, atol=1e-5)


def test_an_episode_without_queries_is_refused(key):
    loss = query_loss(System(descent(SIZES, HOW, squared_error), None), squared_error, 5)
    with pytest.raises(ValueError, match=r"has 5 examples, of which support \(=5\)"):
        loss({}, key, EPISODE)


COURSE = Course(parts=3, support=2, queries=3, in_order=True)
SLOW = HOW._replace(rate=0.01)


@pytest.fixture(scope="module")
def unrolled():
    """A step, the state before any, the episode and its trial."""
    key, system = jax.random.key(0), System(descent((4, 5, 1), SLOW, squared_error), None)

    @jax.jit
    def run(key):
        theta, episode = system.init_theta(key), sines(COURSE, points=4)(key)
        trial = run_episode(system, squared_error, COURSE, theta, key, episode)
        return theta, system.learner.init_state(theta, key), episode, trial

    theta, born, episode, trial = run(key)
    return jax.jit(lambda *inputs: system.learner.step(theta, *inputs)), born, episode, trial


def mse(step, state, episode, rows):
    errors = [step(state, episode.x[row], episode.y[row])[1] - episode.y[row] for row in rows]
    return np.mean(np.square(np.stack(errors)))


def test_losses_are_those_of_the_states_after_each_part(unrolled):
    step, state, episode, trial = unrolled
    assert trial.loss.shape == (4, 3)
    for moment in range(4):
        for part in range(3):
            want = mse(step, state, episode, range(6 + 3 * part, 9 + 3 * part))
            assert float(trial.loss[moment, part]) == pytest.approx(want, rel=1e-4)
        for row in range(2 * moment, 2 * moment + 2):
            state, _ = step(state, episode.x[row], episode.y[row])
    np.testing.assert_allclose(trial.cosine, 1, atol=1e-5)  # with one rate it is aligned with the gradient


def test_an_update_is_from_one_query_and_judged_by_the_others(unrolled):
    step, state, episode, trial = unrolled
    for row in range(2):
        state, _ = step(state, episode.x[row], episode.y[row])
    moved, _ = step(state, episode.x[9], episode.y[9])  # the first question on part 1
    for part in range(3):
        rows = range(7 + 3 * part, 9 + 3 * part)
        want = mse(step, moved, episode, rows) - mse(step, state, episode, rows)
        assert float(trial.effect[0, 1, part]) == pytest.approx(want, rel=1e-2, abs=1e-4)
    assert np.trace(np.sum(trial.effect, 0)) < 0  # descent helps where it goes down


def test_who_never_changes_has_no_alignment(key):
    system = System(descent((4, 5, 1), SLOW._replace(per="one"), squared_error), None)

    @jax.jit
    def run(key):
        theta = system.init_theta(key)
        theta["rates"] = jax.tree.map(jnp.zeros_like, theta["rates"])
        return run_episode(system, squared_error, COURSE, theta, key, sines(COURSE, points=4)(key))

    trial = run(key)
    assert np.isnan(trial.cosine).all() and not np.asarray(trial.effect).any()


def test_a_single_query_is_refused(key):
    course = COURSE._replace(queries=1)
    system = System(descent((4, 5, 1), SLOW, squared_error), None)
    with pytest.raises(ValueError, match=r"queries \(=1\) must be 2 or more"):
        run_episode(system, squared_error, course, {}, key, jax.jit(sines(course, points=4))(key))
