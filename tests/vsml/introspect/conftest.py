"""A small problem on which everything can be label_shown by hand: images of four classes, and the shipped rule."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vsml
from vsml.core.types import Learner, Theta
from vsml.learners.gradient import gradient

CLASSES, FEATURES = 4, 6


class Problem(NamedTuple):
    x: jax.Array
    y: np.ndarray


@pytest.fixture(scope="session")
def problem() -> Problem:
    random = np.random.default_rng(0)
    y = random.permutation(np.repeat(np.arange(CLASSES, dtype=np.int32), 15))
    centres = random.standard_normal((CLASSES, FEATURES))
    return Problem(jnp.asarray(centres[y] + 0.3 * random.standard_normal((60, FEATURES)), jnp.float32), y)


@pytest.fixture(scope="session")
def rule() -> tuple[Learner, Theta]:
    found = vsml.load("digits")
    return found.learner(FEATURES, CLASSES), found.theta


@pytest.fixture
def sgd() -> Learner:
    return gradient((FEATURES, CLASSES), optax.sgd(0.1))
