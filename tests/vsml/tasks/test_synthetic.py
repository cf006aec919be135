"""The drawn data sets are those of the paper."""

import jax
import jax.numpy as jnp
import numpy as np

from vsml.tasks.synthetic import random_points, sum_sign


def test_random_points_are_revisited_with_the_same_label(key):
    episode = random_points(key, 300, 7)
    assert episode.x.shape == (300, 7) and episode.y.shape == (300, 10)
    np.testing.assert_array_equal(jnp.sum(episode.y, axis=1), 1)
    points, which = np.unique(np.asarray(episode.x), axis=0, return_inverse=True)
    assert len(points) == 20
    labels = np.asarray(jnp.argmax(episode.y, axis=1))
    assert all(len(set(labels[which == point])) == 1 for point in range(20))
    assert len(set(labels)) > 3
    rounds = which.ravel().reshape(15, 20)
    np.testing.assert_array_equal(np.sort(rounds), np.tile(np.arange(20), (15, 1)))  # each once in 20, as released
    assert len(np.unique(rounds, axis=0)) == 15


def test_random_points_are_standard_normal_and_new_in_every_episode(key):
    x = np.asarray(jax.jit(jax.vmap(lambda k: random_points(k, 50, 40).x))(jax.random.split(key, 30)))
    assert abs(x.mean()) < 0.05 and abs(x.std() - 1) < 0.05 and len(np.unique(x[:, 0, 0])) == 30


def test_sum_sign_is_the_sign_of_the_sum(key):
    x, y = map(np.asarray, sum_sign(key, 2000, 64))
    assert x.shape == (2000, 64) and y.shape == (2000, 2)
    np.testing.assert_array_equal(y.argmax(1), np.asarray(jnp.sum(x, axis=1) >= 0))
    assert 0.45 < y[:, 1].mean() < 0.55
    assert 0.53 < x.mean(1).std() < 0.64  # of U(-1, 1) for every example, plus noise of sd 0.88 / 8
    assert np.abs(x).max() <= 3  # the mean is within 1, the noise is cut at 2
