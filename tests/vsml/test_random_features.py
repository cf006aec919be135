"""Random features: what a learner is shown, and what they are good for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.rollout import rollout, unroll
from vsml.core.scores import correct
from vsml.core.types import Episode
from vsml.learners.gradient import gradient
from vsml.learners.network import network
from vsml.random_features import with_random_features


def linear(features, classes):
    return gradient((features, classes), optax.sgd(0.03))


def products(key, time=400):
    """Two classes, told apart by the sign of a product: no single feature says anything."""
    x = jax.random.normal(key, (time, 2))
    return Episode(x, jax.nn.one_hot((jnp.prod(x, axis=1) > 0).astype(int), 2))


def test_it_is_the_inner_learner_on_examples_widened_by_hand(key):
    outer, inner = with_random_features(lambda *sizes: network(sizes), 5)(2, 2), network((7, 2))
    theta, episode = inner.init_theta(key), products(key, time=6)
    start = outer.init_state(theta, key)
    assert (start.weights.shape, start.bias.shape) == ((2, 5), (5,))
    random = jnp.tanh(episode.x @ start.weights + start.bias[None])
    by_hand = episode._replace(x=jnp.concatenate([episode.x, random], axis=1))
    state, ours = unroll(outer, theta, start, episode)
    inner_state, theirs = unroll(inner, theta, start.inner, by_hand)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), state.inner, inner_state)
    np.testing.assert_array_equal(state.weights, start.weights)
    np.testing.assert_array_equal(state.bias, start.bias)


def test_sums_of_standardised_features_reach_where_tanh_bends(key):
    x = jax.random.normal(key, (200, 50))
    start = with_random_features(linear, 300)(50, 2).init_state((), key)
    assert float(jnp.square(x @ start.weights).mean() ** 0.5) == pytest.approx(2, rel=0.05)


def test_every_episode_has_its_own_and_learners_of_one_start_share_them(key):
    sgd, vsml = (with_random_features(sized, 5)(2, 2) for sized in (linear, lambda *sizes: network(sizes)))
    theta = vsml.init_theta(key)
    one, other = jax.random.split(key)
    np.testing.assert_array_equal(sgd.init_state((), one).weights, vsml.init_state(theta, one).weights)
    assert not np.allclose(sgd.init_state((), one).weights, sgd.init_state((), other).weights)


def test_a_linear_learner_gets_what_depends_on_two_features_at_once(key):
    @functools.partial(jax.jit, static_argnums=0)
    def accuracy(learner):
        episodes = jax.vmap(lambda key: correct(rollout(learner, (), key, episode := products(key)), episode.y)[200:])
        return episodes(jax.random.split(key, 8)).mean()

    assert float(accuracy(linear(2, 2))) < 0.6
    assert float(accuracy(with_random_features(linear, 64)(2, 2))) > 0.8


def test_none_is_refused():
    with pytest.raises(ValueError, match=r"count \(=0\) of random features must be at least 1"):
        with_random_features(linear, 0)
