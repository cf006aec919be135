"""Scores against optax, and what a learner hears against the derivative of its score."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vsml.core.scores import bounded, cross_entropy, prediction_error


def test_cross_entropy_is_that_of_optax_and_the_error_is_its_gradient(key):
    logits, y = 3 * jax.random.normal(key, (6, 4)), jax.nn.one_hot(jnp.arange(6) % 4, 4)
    np.testing.assert_allclose(cross_entropy(logits, y), optax.losses.softmax_cross_entropy(logits, y), rtol=1e-5)
    gradient = jax.grad(lambda z: cross_entropy(z, y).sum())(logits)
    np.testing.assert_allclose(prediction_error(logits, y), gradient, atol=1e-6)


def test_logits_bend_towards_their_bound():
    np.testing.assert_allclose(bounded(jnp.array([-1e9, 0.01, 50.0])), [-100, 0.01, 100 * np.tanh(0.5)], rtol=1e-5)
