"""For the oracles: an episode of a learner whose theta was moved off its start, where zeros and ones hide mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.rollout import unroll
from vsml.core.types import Episode


@pytest.fixture
def off_start(key):
    def off_start(learner, features, classes, time=20):
        """Theta and episode in float64 of numpy, predictions and the state at the end."""
        theta_key, noise_key, episode_key, x_key, y_key = jax.random.split(key, 5)
        leaves, treedef = jax.tree.flatten(jax.jit(learner.init_theta)(theta_key))
        keys = jax.random.split(noise_key, len(leaves))
        theta = treedef.unflatten([z + 0.5 * jax.random.normal(k, z.shape) for k, z in zip(keys, leaves, strict=True)])
        episode = Episode(
            jax.random.normal(x_key, (time, features)),
            jax.nn.one_hot(jax.random.randint(y_key, (time,), 0, classes), classes),
        )
        live = jax.jit(lambda theta, key: unroll(learner, theta, learner.init_state(theta, key), episode))
        state, predictions = live(theta, episode_key)
        assert float(jnp.ptp(predictions)) > 0.1  # the comparison is about something
        return jax.tree.map(np.float64, (theta, episode)), predictions, state

    return off_start


@pytest.fixture
def count():
    """How many parameters theta of a learner has."""

    def count(learner):
        theta = jax.eval_shape(learner.init_theta, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(theta))

    return count
