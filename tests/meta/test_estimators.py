"""Estimators stand in for one another: what they must agree on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.network import network
from vsml.meta.estimators import across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss

LEARNER = network((3, 2), hidden=4, message=3, ticks=1, backward_pass=True)


@pytest.fixture
def lifetimes(key):
    """(theta, keys, episodes): 4 lifetimes of 12 examples."""
    theta_key, life_key, x_key, y_key = jax.random.split(key, 4)
    y = jax.nn.one_hot(jax.random.randint(y_key, (4, 12), 0, 2), 2)
    episodes = Episode(jax.random.normal(x_key, (4, 12, 3)), y)
    return LEARNER.init_theta(theta_key), jax.random.split(life_key, 4), episodes


def close(ours, theirs, rtol=1e-4):
    scale = max(float(jnp.abs(z).max()) for z in jax.tree.leaves(theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale), ours, theirs)


def flat(tree):
    return jnp.concatenate([z.ravel() for z in jax.tree.leaves(tree)])


def cosine(a, b):
    a, b = flat(a), flat(b)
    return float(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def test_rematerialisation_changes_nothing(lifetimes):
    whole, kept = (backprop(lifetime_loss(LEARNER, cross_entropy, segment)) for segment in (None, 4))
    close(jax.jit(kept)(*lifetimes), jax.jit(whole)(*lifetimes))


def test_truncation_at_the_end_is_no_truncation(lifetimes):
    whole = jax.jit(backprop(lifetime_loss(LEARNER, cross_entropy)))(*lifetimes)
    close(jax.jit(truncated_bptt(LEARNER, cross_entropy, 12))(*lifetimes), whole)
    loss, grad = jax.jit(truncated_bptt(LEARNER, cross_entropy, 3))(*lifetimes)
    close(loss, whole[0])
    assert cosine(grad, whole[1]) < 0.999


def test_es_points_along_backprop(lifetimes):
    theta, keys, episodes = lifetimes
    life_key, episode = keys[0], jax.tree.map(lambda z: z[0], episodes)

    def loss(theta, key, episode):
        """Every lifetime the same one, so that the perturbations are all that differs."""
        return lifetime_loss(LEARNER, cross_entropy)(theta, life_key, episode)

    pairs = 2048
    keys, many = jax.random.split(keys[1], pairs), jax.tree.map(lambda z: jnp.stack([z] * pairs), episode)
    value, exact = jax.jit(jax.value_and_grad(loss))(theta, life_key, episode)
    estimated_value, estimate = jax.jit(antithetic_es(loss, std=0.01, at_once=256))(theta, keys, many)
    # The cosine of such an estimate in d dimensions is about sqrt(pairs / (pairs + d)); here d = 232.
    assert cosine(estimate, exact) > 0.9
    assert float(jnp.linalg.norm(flat(estimate)) / jnp.linalg.norm(flat(exact))) == pytest.approx(1.0, abs=0.15)
    assert float(estimated_value) == pytest.approx(float(value), rel=1e-3)


def test_es_does_not_depend_on_how_many_live_at_once(lifetimes):
    loss = lifetime_loss(LEARNER, cross_entropy)
    one, two = (jax.jit(antithetic_es(loss, std=0.05, at_once=n))(*lifetimes) for n in (1, 4))
    close(one, two)


def test_devices_change_nothing(lifetimes):
    estimator = backprop(lifetime_loss(LEARNER, cross_entropy))
    close(jax.jit(across_devices(estimator, jax.devices()))(*lifetimes), jax.jit(estimator)(*lifetimes))


def test_what_does_not_divide_is_refused(lifetimes):
    theta, keys, episodes = lifetimes
    loss = lifetime_loss(LEARNER, cross_entropy)
    with pytest.raises(ValueError, match=r"at_once \(=3\) must divide the population \(=4\)"):
        antithetic_es(loss, std=0.1, at_once=3)(*lifetimes)
    with pytest.raises(ValueError, match=r"segment \(=5\) must divide the length of the episode \(=12\)"):
        backprop(lifetime_loss(LEARNER, cross_entropy, 5))(*lifetimes)
    three = jax.tree.map(lambda z: z[:3], (keys, episodes))
    with pytest.raises(ValueError, match=r"population \(=3\) must be a multiple of the number of devices \(=2\)"):
        across_devices(backprop(loss), jax.devices())(theta, *three)
