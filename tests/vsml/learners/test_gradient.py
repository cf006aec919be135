"""The baselines are what they are called: online gradient descent as anybody would write it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.learners.gradient import gradient

SIZES = {"linear": (6, 4), "hidden": (6, 8, 5, 4)}
EPISODE = made.episode(6, 4, 12)


def plain_loop(weights, optimizer):
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
    for x, y in zip(*EPISODE, strict=True):
        prediction, weights, memory = learn(weights, memory, x, y)
        predictions.append(prediction)
    return weights, np.stack(predictions)


@pytest.mark.parametrize("optimizer", [optax.sgd(0.3), optax.adam(0.05)], ids=["sgd", "adam"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_equals_a_plain_loop_of_grad_and_optax(key, sizes, optimizer):
    learner = gradient(sizes, optimizer)
    initial_state = jax.jit(learner.init_state)((), key)
    (weights, _), predictions = jax.jit(lambda state: unroll(learner, (), state, EPISODE))(initial_state)
    expected_weights, expected = plain_loop(initial_state[0], optimizer)
    made.close((predictions, weights), (expected, expected_weights), atol=1e-5)


def test_a_convolution_of_one_position_is_a_hidden_layer(key):
    one = gradient((6, 4), optax.sgd(0.3), image=(1, 1, 6), convolutions=((5, 1, 1),))
    dense = gradient((6, 5, 4), optax.sgd(0.3))
    both = jax.jit(lambda key: [rollout(learner, (), key, EPISODE) for learner in (one, dense)])(key)
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)


def test_initial_weights_have_the_variance_of_their_fan_in_and_no_bias(key):
    weights, _ = jax.jit(gradient((400, 100, 3), optax.sgd(0.1)).init_state)((), key)
    for (w, b), fan_in in zip(weights, (400, 100), strict=True):
        assert not np.any(b)
        assert np.abs(w).max() <= 2 / fan_in**0.5
        assert 0.8 < np.std(w) * fan_in**0.5 < 0.95  # 0.88 is the sd of a normal cut at 2


def test_a_grid_of_rates_is_one_vmap(key):
    for optimizer in (optax.sgd, optax.adam):

        @jax.jit
        def both(rates, optimizer=optimizer):
            def live(rate):
                return rollout(gradient((6, 4), optimizer(rate)), (), key, EPISODE)

            return jax.vmap(live)(rates), live(0.3)

        at_once, alone = both(jnp.array([0.01, 0.3]))
        np.testing.assert_allclose(at_once[1], alone, rtol=1e-5, atol=1e-6)
        assert not np.allclose(at_once[0], at_once[1])
