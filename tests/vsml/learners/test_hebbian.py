"""Hebbian fast weights against a plain loop over single connections, in float64; and for ever finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.rollout import unroll
from vsml.core.types import Episode
from vsml.learners.hebbian import hebbian

RULES = pytest.mark.parametrize("oja", [False, True], ids=["hebb", "oja"])


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def plain_episode(theta, episode, oja):
    features, classes = episode.x.shape[1], episode.y.shape[1]
    fast = np.zeros((features + 2 * classes, classes))
    eta = 1 / (1 + np.exp(-theta["rate"]))

    def out(u):
        answer = theta["bias"].copy()
        for i, j in np.ndindex(fast.shape):
            answer[j] += u[i] * (theta["slow"][i, j] + theta["plasticity"][i, j] * fast[i, j])
        return answer

    predictions = []
    for x, y in zip(*episode, strict=True):
        logits = 100 * np.tanh(out(np.concatenate([x, 0 * y, 0 * y])) / 100)
        predictions.append(logits)
        u = np.concatenate([x, softmax(logits) - y, y])
        v = softmax(out(u))
        for i, j in np.ndindex(fast.shape):
            if oja:
                fast[i, j] += eta * v[j] * (u[i] - v[j] * fast[i, j])
            else:
                fast[i, j] += eta * (u[i] * v[j] - fast[i, j])
    return np.array(predictions), fast


@RULES
def test_hebbian_is_the_plain_loop(off_start, oja):
    slow = hebbian(5, 3, oja=oja)
    learner = slow._replace(init_theta=lambda key: {**jax.jit(slow.init_theta)(key), "rate": jnp.asarray(-0.5)})
    (theta, episode), ours, fast = off_start(learner, 5, 3)
    theirs, plain_fast = plain_episode(theta, episode, oja)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(fast, plain_fast, atol=1e-5)
    assert np.abs(fast).max() > 0.1


@RULES
def test_starting_values(key, oja):
    theta = jax.jit(hebbian(5, 3, oja=oja).init_theta)(key)
    np.testing.assert_allclose(jax.nn.sigmoid(theta["rate"]), 1 / (1 + np.exp(4.5)), rtol=1e-5)
    np.testing.assert_array_equal(theta["plasticity"], np.full((5 + 3 + 3, 3), 0.01, np.float32))
    assert not hebbian(5, 3, oja=oja).init_state(theta, key).any()


@RULES
@pytest.mark.parametrize("size", [1.0, 1e6])
@pytest.mark.parametrize("rate", [-4.5, 10.0])
def test_fast_weights_stay_bounded_over_2000_examples(key, oja, size, rate):
    """Hebb's never exceed the largest input; Oja's, that plus what a step adds at most."""
    learner = hebbian(5, 3, oja=oja)
    theta = {**jax.jit(learner.init_theta)(key), "rate": jnp.asarray(rate)}
    x = size * jax.random.uniform(key, (2000, 5), minval=-1.0)
    y = jax.nn.one_hot(jax.random.randint(key, (2000,), 0, 3), 3)
    states = []
    fast = learner.init_state(theta, key)
    live = jax.jit(lambda fast, episode: unroll(learner, theta, fast, episode))
    for part in np.split(np.arange(2000), 4):
        fast, predictions = live(fast, Episode(x[part], y[part]))
        assert bool(jnp.isfinite(predictions).all())
        states.append(fast)
    largest = float(jnp.max(jnp.abs(jnp.stack(states))))
    assert largest <= (2000 * jax.nn.sigmoid(rate) if oja else 1) * size


@RULES
def test_parameters_of_the_paper(count, oja):
    heard = 784 + 62 + 62
    slow = plasticity = heard * 62
    bias, rate = 62, 1
    assert count(hebbian(784, 62, oja=oja)) == slow + plasticity + bias + rate == 2 * 56_296 + 63 == 112_655
