"""Estimators stand in for one another: what they must agree on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from vsml.core.rollout import rollout
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.network import network
from vsml.meta.estimators import across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss

LEARNER = network((3, 2), hidden=4, message=3, ticks=1, backward_pass=True)


def draw_from(table, key):
    """12 examples of `table` in some order, the label of all by a coin: what came before matters."""
    x_key, y_key = jax.random.split(key)
    y = jnp.broadcast_to(jax.nn.one_hot(jax.random.bernoulli(y_key).astype(int), 2), (12, 2))
    return Episode(table[jax.random.permutation(x_key, len(table))[:12]], y)


@pytest.fixture
def lifetimes(key):
    """(theta, keys, draw): 4 lifetimes of 12 examples."""
    theta_key, episode_key, table_key = jax.random.split(key, 3)
    draw = Partial(draw_from, jax.random.normal(table_key, (20, 3)))
    return LEARNER.init_theta(theta_key), jax.random.split(episode_key, 4), draw


def close(ours, theirs, rtol=1e-4):
    scale = max(float(jnp.abs(z).max()) for z in jax.tree.leaves(theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale), ours, theirs)


def flat(tree):
    return jnp.concatenate([z.ravel() for z in jax.tree.leaves(tree)])


def cosine(a, b):
    a, b = flat(a), flat(b)
    return float(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def test_backprop_is_the_mean_over_episodes_one_by_one(lifetimes):
    theta, keys, draw = lifetimes
    loss = jax.jit(jax.value_and_grad(lifetime_loss(LEARNER, cross_entropy)))
    unrolled = []
    for key in keys:
        init_key, episode_key = jax.random.split(key)
        unrolled.append(loss(theta, init_key, draw(episode_key)))
    mean = jax.tree.map(lambda *z: sum(z) / len(z), *unrolled)
    close(jax.jit(backprop(lifetime_loss(LEARNER, cross_entropy)))(*lifetimes), mean)
    assert len({float(value) for value, _ in unrolled}) == len(keys)  # each key its own lifetime


def test_the_loss_of_the_last_predictions_is_theirs(lifetimes):
    theta, (key, *_), draw = lifetimes
    scores = cross_entropy(rollout(LEARNER, theta, key, draw(key)), draw(key).y)
    last = lifetime_loss(LEARNER, cross_entropy, last=3)(theta, key, draw(key))
    assert float(last) == pytest.approx(float(scores[-3:].mean()), rel=1e-5)


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
    theta, keys, draw = lifetimes
    episode_key, episode = keys[0], draw(keys[0])

    def loss(theta, key, episode):
        """Every lifetime the same one, so that the perturbations are all that differs."""
        return lifetime_loss(LEARNER, cross_entropy)(theta, episode_key, episode)

    pairs = 2048
    value, exact = jax.jit(jax.value_and_grad(loss))(theta, episode_key, episode)
    es = jax.jit(antithetic_es(loss, std=0.01, at_once=256))
    estimated_value, estimate = es(
        theta, jax.random.split(keys[1], pairs), Partial(lambda episode, _: episode, episode)
    )
    # The cosine of such an estimate in d dimensions is about sqrt(pairs / (pairs + d)); here d = 232.
    assert cosine(estimate, exact) > 0.9
    assert float(jnp.linalg.norm(flat(estimate)) / jnp.linalg.norm(flat(exact))) == pytest.approx(1.0, abs=0.15)
    assert float(estimated_value) == pytest.approx(float(value), rel=1e-3)


def test_es_sees_the_episodes_of_backprop(lifetimes):
    """Perturbed by next to nothing, it sees the same losses."""
    loss = lifetime_loss(LEARNER, cross_entropy)
    close(jax.jit(antithetic_es(loss, 1e-5, at_once=2))(*lifetimes)[0], jax.jit(backprop(loss))(*lifetimes)[0])


@pytest.mark.parametrize("estimator", [backprop, partial(antithetic_es, std=0.05)])
def test_nothing_depends_on_how_many_run_at_once(lifetimes, estimator):
    loss = lifetime_loss(LEARNER, cross_entropy)
    one, two, four = (jax.jit(estimator(loss, at_once=n))(*lifetimes) for n in (1, 2, 4))
    close(one, four)
    close(two, four)


@pytest.mark.parametrize("one", [backprop, partial(antithetic_es, std=0.05)])
def test_memory_does_not_grow_with_the_population(lifetimes, one):
    theta, _, draw = lifetimes
    estimator = across_devices(one(lifetime_loss(LEARNER, cross_entropy), at_once=8), jax.devices())

    def working_bytes(population):
        keys = jax.random.split(jax.random.key(0), population)
        memory = jax.jit(estimator).lower(theta, keys, draw).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert working_bytes(1024) == pytest.approx(working_bytes(64), rel=0.1)


def test_devices_change_nothing(lifetimes):
    estimator = backprop(lifetime_loss(LEARNER, cross_entropy))
    close(jax.jit(across_devices(estimator, jax.devices()))(*lifetimes), jax.jit(estimator)(*lifetimes))


def test_the_table_to_draw_from_is_an_argument_of_the_program_and_no_constant(lifetimes):
    spread = across_devices(backprop(lifetime_loss(LEARNER, cross_entropy)), jax.devices())
    constants = jax.make_jaxpr(spread)(*lifetimes).consts
    assert (20, 3) not in [z.shape for z in constants]


def test_what_does_not_divide_is_refused(lifetimes):
    theta, keys, draw = lifetimes
    loss = lifetime_loss(LEARNER, cross_entropy)
    with pytest.raises(ValueError, match=r"at_once \(=3\) must divide the population \(=4\)"):
        antithetic_es(loss, std=0.1, at_once=3)(*lifetimes)
    with pytest.raises(ValueError, match=r"at_once \(=3\) must divide the population \(=4\)"):
        backprop(loss, at_once=3)(*lifetimes)
    with pytest.raises(ValueError, match=r"segment \(=5\) must divide the length of the episode \(=12\)"):
        backprop(lifetime_loss(LEARNER, cross_entropy, 5))(*lifetimes)
    with pytest.raises(ValueError, match=r"population \(=3\) must be a multiple of the number of devices \(=2\)"):
        across_devices(backprop(loss), jax.devices())(theta, keys[:3], draw)
