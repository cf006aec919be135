"""Scores against optax, and what a learner hears against the derivative of its score."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vsml.core.scores import bounded, cross_entropy, prediction_error


def test_cross_entropy_is_that_of_optax_and_the_error_is_its_gradient(key):
    @jax.jit
    def both(logits, y):
        gradient = jax.grad(lambda z: cross_entropy(z, y).sum())(logits)
        theirs = optax.losses.softmax_cross_entropy(logits, y), gradient
        return (cross_entropy(logits, y), prediction_error(logits, y)), theirs

    ours, theirs = both(3 * jax.random.normal(key, (6, 4)), np.eye(4, dtype=np.float32)[np.arange(6) % 4])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def test_logits_bend_towards_their_bound():
    np.testing.assert_allclose(bounded(jnp.array([-1e9, 0.01, 50.0])), [-100, 0.01, 100 * np.tanh(0.5)], rtol=1e-5)
