"""The baselines are what they are called: online gradient descent as anybody would write it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.rollout import rollout, unroll
from vsml.core.types import Episode
from vsml.learners.gradient import gradient

SIZES = {"linear": (6, 4), "hidden": (6, 8, 5, 4)}


@pytest.fixture
def episode():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(12, 6)), np.eye(4)[random.integers(4, size=12)]
    return Episode(*(jnp.asarray(part, jnp.float32) for part in (x, y)))


def plain_loop(weights, optimizer, episode):
    """Predict, then learn: the oracle, with the loss written out and nothing shared with the learner."""

    def logits(weights, x):
        for w, b in weights[:-1]:
            x = jnp.tanh(w.T @ x + b)
        return 100 * jnp.tanh((weights[-1][0].T @ x + weights[-1][1]) / 100)

    @jax.jit
    def learn(weights, memory, x, y):
        def loss(weights):
            return optax.losses.softmax_cross_entropy(logits(weights, x), y)

        updates, memory = optimizer.update(jax.grad(loss)(weights), memory, weights)
        return logits(weights, x), optax.apply_updates(weights, updates), memory

    memory, predictions = optimizer.init(weights), []
    for x, y in zip(*episode, strict=True):
        prediction, weights, memory = learn(weights, memory, x, y)
        predictions.append(prediction)
    return weights, np.stack(predictions)


@pytest.mark.parametrize("optimizer", [optax.sgd(0.3), optax.adam(0.05)], ids=["sgd", "adam"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_equals_a_plain_loop_of_grad_and_optax(key, episode, sizes, optimizer):
    learner = gradient(sizes, optimizer)
    initial_state = jax.jit(learner.init_state)((), key)
    (weights, _), predictions = jax.jit(lambda state: unroll(learner, (), state, episode))(initial_state)
    expected_weights, expected = plain_loop(initial_state[0], optimizer, episode)
    np.testing.assert_allclose(predictions, expected, rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda w, v: np.testing.assert_allclose(w, v, rtol=1e-4, atol=1e-5), weights, expected_weights)


def test_a_convolution_of_one_position_is_a_hidden_layer(key, episode):
    one = gradient((6, 4), optax.sgd(0.3), image=(1, 1, 6), convolutions=((5, 1, 1),))
    dense = gradient((6, 5, 4), optax.sgd(0.3))
    both = jax.jit(lambda key: [rollout(learner, (), key, episode) for learner in (one, dense)])(key)
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)


def test_one_step_of_softmax_regression_by_hand():
    learner = gradient((2, 2), optax.sgd(0.5))
    w, b = np.array([[0.1, -0.2], [0.3, 0.4]], np.float32), np.array([0.05, -0.05], np.float32)
    x, y = np.array([1.0, 2.0], np.float32), np.array([0.0, 1.0], np.float32)
    z = np.array([0.1 + 0.6 + 0.05, -0.2 + 0.8 - 0.05])  # 0.75 and 0.55: tanh bends them by less than 2e-5
    error = np.exp(z) / np.exp(z).sum() - y
    weights = [(jnp.asarray(w), jnp.asarray(b))]
    ((weights, _), prediction) = learner.step(
        (), (weights, optax.sgd(0.5).init(weights)), jnp.asarray(x), jnp.asarray(y)
    )
    np.testing.assert_allclose(prediction, z, atol=1e-4)
    np.testing.assert_allclose(weights[0][0], w - 0.5 * np.outer(x, error), atol=1e-4)
    np.testing.assert_allclose(weights[0][1], b - 0.5 * error, atol=1e-4)


def test_initial_weights_have_the_variance_of_their_fan_in_and_no_bias(key):
    weights, _ = jax.jit(gradient((400, 100, 3), optax.sgd(0.1)).init_state)((), key)
    for (w, b), fan_in in zip(weights, (400, 100), strict=True):
        assert not np.any(b)
        assert np.abs(w).max() <= 2 / fan_in**0.5
        assert 0.8 < np.std(w) * fan_in**0.5 < 0.95  # 0.88 is the sd of a normal cut at 2


def test_logits_are_bounded_where_the_learner_would_explode(episode):
    predictions = jax.jit(lambda key: rollout(gradient((6, 4), optax.sgd(1e6)), (), key, episode))(jax.random.key(1))
    assert np.abs(predictions).max() <= 100
    assert np.isfinite(predictions).all()


def test_a_grid_of_rates_is_one_vmap(key, episode):
    for optimizer in (optax.sgd, optax.adam):

        @jax.jit
        def both(rates, optimizer=optimizer):
            def live(rate):
                return rollout(gradient((6, 4), optimizer(rate)), (), key, episode)

            return jax.vmap(live)(rates), live(0.3)

        at_once, alone = both(jnp.array([0.01, 0.3]))
        np.testing.assert_allclose(at_once[1], alone, rtol=1e-5, atol=1e-6)
        assert not np.allclose(at_once[0], at_once[1])


def test_learns_what_can_be_learned(key):
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    episode = Episode(x, np.eye(2, dtype=np.float32)[(x[:, 0] > 0).astype(int)])
    predictions = jax.jit(lambda: rollout(gradient((6, 2), optax.sgd(0.1)), (), key, episode))()
    assert (np.argmax(predictions, axis=1) == episode.y.argmax(axis=1))[-100:].mean() > 0.9
