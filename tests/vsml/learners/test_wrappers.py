"""Wrappers: the inner learner sees what it should, and theta and state are still its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.core.types import Episode
from vsml.learners.gradient import gradient
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.wrappers import conv_features, conv_front, padded


@pytest.mark.parametrize("inner", [meta_rnn(7, 5, hidden=4), gradient((7, 5), optax.sgd(0.1))], ids=["rnn", "sgd"])
def test_padded_is_the_inner_learner_on_examples_padded_by_hand(key, inner):
    episode, outer = made.episode(4, 3, 6), padded(inner, 7, 5, 4, 3)
    by_hand = Episode(jnp.pad(episode.x, ((0, 0), (0, 3))), jnp.pad(episode.y, ((0, 0), (0, 2))))

    @jax.jit
    def both(key):
        theta = inner.init_theta(key)
        ours = unroll(outer, theta, outer.init_state(theta, key), episode)
        return ours, unroll(inner, theta, inner.init_state(theta, key), by_hand)

    (state, ours), (inner_state, theirs) = both(key)
    np.testing.assert_allclose(ours, theirs[:, :3], rtol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), state, inner_state)


def test_tasks_larger_than_the_learner_are_refused():
    inner = meta_rnn(7, 5, hidden=4)
    with pytest.raises(ValueError, match=r"features \(=3072\) must be at most the inputs of the learner \(=784\)"):
        padded(inner, 784, 62, 3072, 10)
    with pytest.raises(ValueError, match=r"classes \(=100\) must be at most the outputs of the learner \(=62\)"):
        padded(inner, 784, 62, 784, 100)


def plain_convolution(image, kernel, bias):
    """3x3, stride 2, zeros around it: out = ceil(in / 2), and the odd zero, if any, after the image."""
    height, width, _ = image.shape
    out = np.zeros((-(-height // 2), -(-width // 2), kernel.shape[-1])) + bias
    for row, column in np.ndindex(out.shape[:2]):
        for i, j in np.ndindex(3, 3):
            r, c = 2 * row + i - height % 2, 2 * column + j - width % 2
            if 0 <= r < height and 0 <= c < width:
                out[row, column] += image[r, c] @ kernel[i, j]
    return out


@pytest.mark.parametrize("shape", [(9, 6, 2), (5, 5, 1)])
def test_conv_front_is_three_plain_convolutions_before_the_inner_learner(key, shape):
    inner = meta_rnn(conv_features(shape, 3), 4, hidden=4)
    (theta, episode), ours, _ = made.off_start(conv_front(inner, shape, 3), int(np.prod(shape)), 4, time=5)
    features = []
    for x in episode.x:
        image = x.reshape(shape)
        for name, squash in [("Conv_0", "relu"), ("Conv_1", "relu"), ("Conv_2", "tanh")]:
            image = plain_convolution(image, theta["front"][name]["kernel"], theta["front"][name]["bias"])
            image = np.maximum(image, 0) if squash == "relu" else np.tanh(image)
        features.append(image.ravel())
    behind = Episode(jnp.asarray(features, jnp.float32), jnp.asarray(episode.y, jnp.float32))
    theirs = jax.jit(functools.partial(rollout, inner))(jax.tree.map(np.float32, theta["inner"]), key, behind)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "shape, channels, features", [((28, 28, 1), 64, 1024), ((28, 28, 1), 8, 128), ((9, 6, 2), 3, 6)]
)
def test_conv_features_is_what_comes_out(key, shape, channels, features):
    assert conv_features(shape, channels) == features
    learner = conv_front(meta_rnn(features, 5, hidden=4), shape, channels)
    theta = jax.eval_shape(learner.init_theta, key)
    state = jax.eval_shape(learner.init_state, theta, key)
    x, y = jnp.zeros(int(np.prod(shape))), jnp.zeros(5)
    assert jax.eval_shape(learner.step, theta, state, x, y)[1].shape == (5,)
