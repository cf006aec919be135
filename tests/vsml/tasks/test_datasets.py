"""The facts agree with the data that scikit-learn ships, and standardisation does what it says."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets as published

from vsml.tasks.datasets import SETS, Facts, standardise

TABLES = ("digits", "wine", "breast_cancer", "iris")


@pytest.mark.parametrize("name", TABLES)
def test_facts_agree_with_the_published_data(name):
    data = getattr(published, f"load_{name}")()
    assert data.data.shape[1] == SETS[name].features
    assert sorted(set(data.target)) == list(range(SETS[name].classes))
    x = np.asarray(standardise(SETS[name], data.data.astype(np.float32)))
    assert x.dtype == np.float32 and x.shape == data.data.shape
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01


def test_images_have_a_shape_and_tables_have_none():
    for name, facts in SETS.items():
        assert (facts.shape is None) == (name in ("wine", "breast_cancer", "iris"))
        if facts.shape is not None:
            assert math.prod(facts.shape) == facts.features and facts.pixels is not None


def test_the_pixels_of_bytes_are_the_papers_of_pixels_up_to_1():
    x = np.arange(256, dtype=np.uint8).repeat(SETS["cifar10"].features).reshape(256, -1)
    found = standardise(SETS["cifar10"], x)
    assert found.dtype == np.float32
    papers = (x / 255 - 0.47336) / 0.25157
    np.testing.assert_allclose(found, papers, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(standardise(SETS["cifar10"], jnp.asarray(x)), found)
    np.testing.assert_allclose(standardise(SETS["cifar10"], x.astype(np.float32)), found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "x", "expected"),
    [
        ((8.0, 4.0), [[0, 16], [8, 8]], [[-2, 2], [0, 0]]),  # pixels share one scale
        (None, [[1, 5, 100], [3, 5, 500]], [[-1, 0, -1], [1, 0, 1]]),  # columns have their own, constants are zero
        (None, np.array([[250, 3], [5, 3]], np.uint8), [[1, 0], [-1, 0]]),  # and so are bytes of a table
    ],
)
def test_pixels_share_one_scale_and_columns_have_their_own(pixels, x, expected):
    x = np.asarray(x, getattr(x, "dtype", np.float32))
    found = standardise(Facts(features=x.shape[1], classes=2, pixels=pixels), x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_columns_that_are_large_or_constant_do_not_drown_in_rounding_and_facts_of_another_set_are_refused():
    seconds = 1.7e9 + np.arange(1000)
    x = np.column_stack([seconds, np.full(1000, 0.1)])
    found = np.asarray(standardise(Facts(features=2, classes=2), x))
    np.testing.assert_allclose(np.diff(found[:, 0]), 1 / seconds.std(), rtol=1e-3)
    assert not found[:, 1].any()
    with pytest.raises(ValueError, match="must have 4 features, got 13"):
        standardise(SETS["iris"], np.zeros((2, 13), np.float32))
