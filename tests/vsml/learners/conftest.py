"""For the oracles: an episode of a learner whose theta was moved off its start, where zeros and ones hide mistakes."""

import jax
import numpy as np
import pytest

from vsml.core.rollout import unroll
from vsml.core.types import Episode


@pytest.fixture
def off_start(key):
    def off_start(learner, features, classes, time=20):
        """Theta and episode in float64 of numpy, predictions and the state at the end."""
        random = np.random.default_rng(0)
        theta = jax.jit(learner.init_theta)(key)
        theta = jax.tree.map(lambda z: np.float32(z + 0.5 * random.normal(size=z.shape)), theta)
        x, y = random.normal(size=(time, features)), np.eye(classes)[random.integers(classes, size=time)]
        episode = Episode(x.astype(np.float32), y.astype(np.float32))
        live = jax.jit(lambda theta, episode: unroll(learner, theta, learner.init_state(theta, key), episode))
        state, predictions = live(theta, episode)
        assert np.ptp(predictions) > 0.1  # the comparison is about something
        return jax.tree.map(np.float64, (theta, episode)), predictions, state

    return off_start


@pytest.fixture
def count():
    """How many parameters theta of a learner has."""

    def count(learner):
        theta = jax.eval_shape(learner.init_theta, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(theta))

    return count
