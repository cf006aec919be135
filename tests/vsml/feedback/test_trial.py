"""What is measured of an episode: losses after each part, alignment, and what an update does to others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.feedback.descent import Descent, descent
from vsml.feedback.lifetime import squared_error
from vsml.feedback.network import System
from vsml.feedback.tasks import Course, sines
from vsml.feedback.trial import run_episode

COURSE = Course(parts=3, support=2, queries=3, in_order=True)
HOW = Descent(plastic=2, order="first", rate=0.01, per=None, clip=None)


@pytest.fixture(scope="module")
def unrolled():
    """A step, the state before any, the episode and its trial."""
    key, system = jax.random.key(0), System(descent((4, 5, 1), HOW, squared_error), None)

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


def test_descent_with_one_rate_is_aligned_with_the_gradient(unrolled):
    np.testing.assert_allclose(unrolled[-1].cosine, 1, atol=1e-5)


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
    system = System(descent((4, 5, 1), HOW._replace(per="one"), squared_error), None)

    @jax.jit
    def run(key):
        theta = system.init_theta(key)
        theta["rates"] = jax.tree.map(jnp.zeros_like, theta["rates"])
        return run_episode(system, squared_error, COURSE, theta, key, sines(COURSE, points=4)(key))

    trial = run(key)
    assert np.isnan(trial.cosine).all() and not np.asarray(trial.effect).any()


def test_a_single_query_is_refused(key):
    course = COURSE._replace(queries=1)
    system = System(descent((4, 5, 1), HOW, squared_error), None)
    with pytest.raises(ValueError, match=r"queries \(=1\) must be 2 or more"):
        run_episode(system, squared_error, course, {}, key, jax.jit(sines(course, points=4))(key))
