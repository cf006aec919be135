"""Episodes for meta-training and meta-testing: what they promise, under jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.tasks import episodes, transforms

EXAMPLES, FEATURES, CLASSES = 60, 5, 6
Y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4, 5], [5, 5, 5, 5, 5, 35])).astype(np.int32)
# the first feature is the number of the example, the second its class: an episode tells where it came from
X = jnp.asarray(np.column_stack([np.arange(EXAMPLES), Y, np.zeros((EXAMPLES, FEATURES - 2))]), jnp.float32)


def test_test_episode_shows_no_example_twice_and_keeps_its_label(key):
    episode = episodes.test_episode(key, X, Y, CLASSES, EXAMPLES)
    numbers = np.asarray(episode.x[:, 0]).astype(int)
    assert sorted(numbers) == list(range(EXAMPLES))
    assert list(numbers) != list(range(EXAMPLES))
    np.testing.assert_array_equal(np.asarray(episode.y), np.eye(CLASSES)[Y[numbers]])
    other = episodes.test_episode(jax.random.key(1), X, Y, CLASSES, EXAMPLES)
    assert not np.array_equal(episode.x, other.x)
    shorter = episodes.test_episode(key, X, Y, CLASSES, 20)
    np.testing.assert_array_equal(shorter.x, episode.x[:20])


def test_test_episode_refuses_to_repeat_examples(key):
    with pytest.raises(ValueError, match=r"length \(=61\) must be at most the number of examples \(=60\)"):
        episodes.test_episode(key, X, Y, CLASSES, EXAMPLES + 1)


def test_raw_episode_relabels_a_subset_of_the_classes(key):
    made = jax.jit(jax.vmap(lambda k: episodes.raw_episode(k, X, Y, classes=3, length=200)))(jax.random.split(key, 40))
    label, number, true = np.argmax(made.y, -1), np.asarray(made.x[..., 0]).astype(int), np.asarray(made.x[..., 1])
    np.testing.assert_array_equal(true, Y[number])
    orders = set()
    for one_label, one_true in zip(label, true, strict=True):
        order = tuple(np.unique(one_true[one_label == c]) for c in range(3))
        assert all(len(classes) == 1 for classes in order), "one label, one class"
        orders.add(tuple(int(classes[0]) for classes in order))
        assert len(set(list(orders)[-1])) == 3
    assert len(orders) > 30, "every episode has its own subset and order"
    assert {c for order in orders for c in order} == set(range(CLASSES))
    shares = np.bincount(label.ravel(), minlength=3) / label.size
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)


def test_raw_episode_draws_classes_evenly_and_every_example_of_them(key):
    episode = episodes.raw_episode(key, X, Y, classes=CLASSES, length=6000)
    true, number = np.asarray(episode.x[:, 1]).astype(int), np.asarray(episode.x[:, 0]).astype(int)
    np.testing.assert_allclose(np.bincount(true) / 6000, 1 / CLASSES, atol=0.02)  # though one class has 35 of 60
    assert set(number) == set(range(EXAMPLES))


def test_raw_episode_takes_the_classes_that_are_there(key):
    here = np.isin(Y, [1, 4])
    episode = episodes.raw_episode(key, X[here], Y[here], classes=2, length=50)
    assert episode.y.shape == (50, 2)
    assert set(np.asarray(episode.x[:, 1])) == {1.0, 4.0}
    with pytest.raises(ValueError, match=r"classes \(=3\) must be at most the number of classes in y \(=2\)"):
        episodes.raw_episode(key, X[here], Y[here], classes=3, length=50)


def test_projected_episode_has_its_own_projection_and_keeps_the_scale(key):
    keys = jax.random.split(key, 64)
    x = jax.random.normal(jax.random.key(7), (EXAMPLES, 64))
    for inputs in (4, 200):
        made = jax.jit(jax.vmap(lambda k, n=inputs: episodes.projected_episode(k, x, Y, inputs=n, classes=2, length=9)))
        episode = made(keys)
        assert episode.x.shape == (64, 9, inputs) and episode.y.shape == (64, 9, 2)
        assert abs(float(jnp.mean(episode.x**2)) - 1) < 0.15
    assert len(np.unique(np.asarray(episode.x[:, 0, 0]))) == 64


def test_projected_episode_is_one_matrix_within_an_episode(key):
    x = jax.random.normal(jax.random.key(7), (EXAMPLES, FEATURES))
    projected = episodes.projected_episode(key, x, Y, inputs=FEATURES, classes=CLASSES, length=100)
    raw = episodes.raw_episode(jax.random.split(key)[1], x, Y, classes=CLASSES, length=100)
    np.testing.assert_array_equal(projected.y, raw.y)
    matrix, *_ = np.linalg.lstsq(np.asarray(raw.x), np.asarray(projected.x), rcond=None)
    np.testing.assert_allclose(raw.x @ matrix, projected.x, atol=1e-5)
    assert np.abs(matrix).max() <= (6 / (2 * FEATURES)) ** 0.5  # the paper's limit: the scale is 1 for a square one


def test_random_projection_has_the_limits_of_the_paper(key):
    matrix = transforms.random_projection(key, jnp.eye(64), 32)  # the identity shows the matrix
    limit = (6 / (64 + 32)) ** 0.5
    assert 0.99 * limit < float(jnp.max(matrix)) < limit
    assert -limit < float(jnp.min(matrix)) < -0.99 * limit
    assert abs(float(jnp.var(matrix)) / (limit**2 / 3) - 1) < 0.1


@pytest.mark.parametrize("make", ["test_episode", "raw_episode", "projected_episode"])
def test_same_key_same_episode_jitted_or_not(key, make):
    sizes = {
        "test_episode": {"classes": CLASSES, "length": 8},
        "raw_episode": {"classes": 3, "length": 8},
        "projected_episode": {"inputs": 7, "classes": 3, "length": 8},
    }

    def made(k):
        return getattr(episodes, make)(k, X, Y, **sizes[make])

    jax.tree.map(np.testing.assert_array_equal, made(key)[1], jax.jit(made)(key)[1])
    np.testing.assert_allclose(made(key)[0], jax.jit(made)(key)[0], rtol=1e-5, atol=1e-5)
