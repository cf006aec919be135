"""Views: matrices that show the features of an example in another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.tasks.views import random_projection, view

IMAGE = (4, 4, 1)


def test_raw_is_the_identity_at_full_size(key):
    np.testing.assert_array_equal(view("raw", None, 5, 5)(key), np.eye(5))


def test_a_smaller_image_keeps_constants_and_the_place_of_things(key):
    small = view("raw", IMAGE, 16, 4)(key)
    np.testing.assert_allclose(jnp.ones(16) @ small, 1.0, rtol=1e-6)
    corner = jnp.zeros((4, 4)).at[0, 3].set(1.0).ravel() @ small
    assert int(jnp.argmax(corner)) == 1


def test_an_image_grows_by_interpolation(key):
    ramp = jnp.tile(jnp.arange(4.0), (4, 1)).ravel()
    grown = (ramp @ view("raw", IMAGE, 16, 64)(key)).reshape(8, 8)
    np.testing.assert_allclose(grown[:, 1:-1], np.tile(np.arange(0.25, 3, 0.5), (8, 1)), atol=1e-5)


def test_colours_become_grey(key):
    image = jax.random.normal(key, (4, 4, 3))
    seen, grey = view("raw", (4, 4, 3), 48, 16)(key), view("raw", IMAGE, 16, 16)(key)
    np.testing.assert_allclose(image.ravel() @ seen, image.mean(-1).ravel() @ grey, atol=1e-6)


def test_shuffled_is_a_permutation_and_another_for_each_episode():
    first, second = (np.asarray(view("shuffled", None, 9, 9)(jax.random.key(n))) for n in (0, 1))
    np.testing.assert_array_equal(np.sort(first @ np.arange(9.0)), np.arange(9.0))
    assert set(first.ravel()) == {0.0, 1.0}
    assert not np.array_equal(first, second)


def test_projections_keep_the_scale_whatever_their_size(key):
    x = jax.random.normal(jax.random.key(7), (400, 64))
    for inputs in (4, 64, 200):
        seen = jax.vmap(lambda k, n=inputs: x @ view("projected", None, 64, n)(k))(jax.random.split(key, 64))
        assert seen.shape == (64, 400, inputs)
        assert abs(float(jnp.mean(seen**2)) - 1) < 0.1


def test_random_projection_has_the_limits_of_the_paper(key):
    matrix = random_projection(key, 64, 64)  # square, so its scale is 1
    limit = (6 / 128) ** 0.5
    assert 0.99 * limit < float(jnp.max(matrix)) < limit
    assert -limit < float(jnp.min(matrix)) < -0.99 * limit
    assert abs(float(jnp.var(matrix)) / (limit**2 / 3) - 1) < 0.1


def test_resized_projected_resizes_first(key):
    matrix = view("resized_projected", IMAGE, 16, 4)(key)
    np.testing.assert_allclose(matrix, view("raw", IMAGE, 16, 4)(key) @ random_projection(key, 4, 4), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "image", "inputs", "complaint"),
    [
        ("mirrored", IMAGE, 16, "'mirrored' is none of the views"),
        ("raw", IMAGE, 12, r"inputs \(=12\) must be 16 as in the set, or a square number"),
        ("raw", None, 4, r"inputs \(=4\) must be 16"),
        ("shuffled", IMAGE, 4, r"inputs \(=4\) must be the number of features \(=16\)"),
    ],
)
def test_views_that_cannot_be_are_refused(name, image, inputs, complaint):
    with pytest.raises(ValueError, match=complaint):
        view(name, image, 16, inputs)
