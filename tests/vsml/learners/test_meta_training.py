"""Every baseline that is meta-learned can be: a task that only a learner can do is soon done."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.fast_memory import fast_memory
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.wrappers import conv_features, conv_front
from vsml.meta.losses import lifetime_loss

IMAGE, CHANNELS = (4, 4, 1), 4
POINTS = jnp.asarray(np.random.default_rng(5).choice([-1.0, 1.0], (2, 16)), jnp.float32)


def quick(learner):
    """Hebbian weights that change fast from the start, so that behind a front the outer loop has less to find."""

    def init_theta(key):
        theta = learner.init_theta(key)
        return {**theta, "rate": jnp.zeros(()), "plasticity": jnp.ones_like(theta["plasticity"])}

    return learner._replace(init_theta=init_theta)


LEARNERS = {  # and their learning rates
    "meta rnn": (meta_rnn(16, 2, hidden=16), 0.03),
    "hebb": (hebbian(16, 2, oja=False), 0.3),
    "oja": (hebbian(16, 2, oja=True), 0.3),
    "fast memory": (fast_memory(16, 2, hidden=16, rows=4, columns=16), 0.03),
    "oja behind convolutions": (
        conv_front(quick(hebbian(conv_features(IMAGE, CHANNELS), 2, oja=True)), IMAGE, CHANNELS),
        0.01,
    ),
}


def which_is_which(key):
    """Two points in random order; which of them is class 0 is drawn once an episode."""
    point_key, class_key = jax.random.split(key)
    point = jax.random.randint(point_key, (12,), 0, 2)
    label = (point + jax.random.randint(class_key, (1,), 0, 2)) % 2
    return Episode(POINTS[point], jax.nn.one_hot(label, 2))


@pytest.mark.parametrize("name", LEARNERS)
def test_meta_training_learns_to_learn(name, key):
    learner, rate = LEARNERS[name]
    loss, optimizer = lifetime_loss(learner, cross_entropy), optax.adam(rate)

    def mean_loss(theta, key):
        episode_keys, episode_keys = jax.random.split(key, (2, 16))
        return jax.vmap(loss, in_axes=(None, 0, 0))(theta, episode_keys, jax.vmap(which_is_which)(episode_keys)).mean()

    @jax.jit
    def meta_train(key):
        def meta_step(carry, key):
            theta, memory = carry
            loss, grads = jax.value_and_grad(mean_loss)(theta, key)
            updates, memory = optimizer.update(grads, memory)
            return (optax.apply_updates(theta, updates), memory), loss

        theta = learner.init_theta(key)
        return jax.lax.scan(meta_step, (theta, optimizer.init(theta)), jax.random.split(key, 150))[1]

    losses = np.asarray(meta_train(key))
    assert losses[0] > 0.65, "untrained, it does not know which is which"
    assert losses[-10:].mean() < 0.2, f"the best is {np.log(2) / 12:.3f}: the first is a guess, then it knows"
