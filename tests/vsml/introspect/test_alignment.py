"""The cosine with gradient steps: 1 for the learner that takes them, and for it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.types import Episode, Learner
from vsml.introspect.alignment import alignment
from vsml.learners.gradient import gradient


@pytest.fixture
def lifetime(problem):
    return Episode(problem.x[:20], jax.nn.one_hot(problem.y[:20], 4))


def _cosine(learner, theta, lifetime, queries, every=4):
    return jax.jit(lambda: alignment(learner, theta, jax.random.key(3), lifetime, queries, every))()


def test_linear_sgd_takes_gradient_steps_at_any_rate_or_climbs_or_has_no_direction(lifetime, problem):
    def of(rate):
        return _cosine(gradient((6, 4), optax.sgd(rate)), (), lifetime, problem.x[20:32])

    found = jax.vmap(of)(jnp.array([0.01, 0.3, 3.0, -0.1, 0.0]))
    *descending, climbing, still = np.asarray(found.cosine)
    clear = np.isfinite(descending)
    assert (clear.mean(1) > 0.5).all(), "the rest was predicted with certainty, so nothing changed"
    np.testing.assert_allclose(np.array(descending)[clear], 1, atol=2e-3)
    np.testing.assert_allclose(climbing, -1, atol=2e-3)
    assert np.isnan(still).all() and still.shape == (5,)
    np.testing.assert_array_equal(found.change[-1], 0)


def test_others_take_other_steps(rule, lifetime, problem):
    others = (gradient((6, 4), optax.adam(0.01)), ()), (gradient((6, 8, 4), optax.sgd(0.3)), ()), rule
    for learner, theta in others:
        cosine = _cosine(learner, theta, lifetime, problem.x[20:32]).cosine
        assert np.isfinite(cosine).all()
        assert (np.abs(cosine) < 0.995).any()


def test_a_common_shift_of_all_logits_counts_for_nothing(lifetime, problem, sgd):
    """Softmax does not see it, so a learner that adds it to every step takes the same step."""

    def step(theta, state, x, y):
        (inner, shift), prediction = sgd.step((), state[0], x, y), state[1]
        return (inner, prediction + 2.0), shift + prediction

    shifting = Learner(sgd.init_theta, lambda theta, key: (sgd.init_state(theta, key), jnp.zeros(())), step)
    plain, shifted = (_cosine(one, (), lifetime, problem.x[20:32]).cosine for one in (sgd, shifting))
    assert np.asarray(shifted) == pytest.approx(np.asarray(plain), abs=0.05)


def test_moments_are_steps_of_the_whole_episode(rule, lifetime, problem):
    each = _cosine(rule[0], rule[1], lifetime, problem.x[20:24], every=1)
    some = _cosine(rule[0], rule[1], lifetime, problem.x[20:24], every=5)
    np.testing.assert_allclose(np.asarray(each.cosine)[::5], some.cosine, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"every \(=3\) must divide the length of the episode \(=20\)"):
        _cosine(rule[0], rule[1], lifetime, problem.x[20:24], every=3)
