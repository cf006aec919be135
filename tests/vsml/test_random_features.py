"""Random features: what a learner is shown, and what they are good for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.core.scores import correct
from vsml.core.types import Episode
from vsml.learners.gradient import gradient
from vsml.learners.meta_rnn import meta_rnn
from vsml.random_features import with_random_features


def linear(features, classes):
    return gradient((features, classes), optax.sgd(0.03))


def products(key, time=400):
    """Two classes, told apart by the sign of a product: no single feature says anything."""
    x = jax.random.normal(key, (time, 2))
    return Episode(x, jax.nn.one_hot((jnp.prod(x, axis=1) > 0).astype(int), 2))


def test_it_is_the_inner_learner_on_examples_widened_by_hand(key):
    outer, inner = with_random_features(linear, 5)(2, 2), linear(7, 2)

    @jax.jit
    def both(key):
        start, episode = outer.init_state((), key), products(key, time=6)
        assert (start.weights.shape, start.bias.shape) == ((2, 5), (5,))
        random = jnp.tanh(episode.x @ start.weights + start.bias[None])
        by_hand = episode._replace(x=jnp.concatenate([episode.x, random], axis=1))
        state, ours = unroll(outer, (), start, episode)
        return (state, ours), (start._replace(inner=state.inner), ours), unroll(inner, (), start.inner, by_hand)

    (state, ours), unchanged, (inner_state, theirs) = both(key)
    made.close((state.inner, ours), (inner_state, theirs), atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, (state, ours), unchanged)


def test_sums_of_standardised_features_reach_where_tanh_bends(key):
    start = jax.jit(with_random_features(linear, 300)(50, 2).init_state)((), key)
    assert np.square(made.noise(200, 50) @ start.weights).mean() ** 0.5 == pytest.approx(2, rel=0.05)


def test_every_episode_has_its_own_and_learners_of_one_start_share_them(key):
    sgd, rnn = (jax.jit(with_random_features(sized, 5)(2, 2).init_state) for sized in (linear, meta_rnn))
    one, other = jax.random.split(key)
    np.testing.assert_array_equal(sgd((), one).weights, rnn((), one).weights)
    assert not np.allclose(sgd((), one).weights, sgd((), other).weights)


def test_a_linear_learner_gets_what_depends_on_two_features_at_once_and_not_from_none(key):
    @functools.partial(jax.jit, static_argnums=0)
    def accuracy(learner):
        episodes = jax.vmap(lambda key: correct(rollout(learner, (), key, episode := products(key)), episode.y)[200:])
        return episodes(jax.random.split(key, 8)).mean()

    assert float(accuracy(linear(2, 2))) < 0.6
    assert float(accuracy(with_random_features(linear, 64)(2, 2))) > 0.8
    with pytest.raises(ValueError, match=r"count \(=0\) of random features must be at least 1"):
        with_random_features(linear, 0)
