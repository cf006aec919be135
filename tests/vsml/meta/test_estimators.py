"""Estimators stand in for one another: what they must agree on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.vsml import made
from vsml.core.rollout import rollout
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.meta_rnn import meta_rnn
from vsml.meta.estimators import across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss

LEARNER = meta_rnn(3, 2, hidden=3)  # of all that forget nothing the one that is compiled first
LOSS = lifetime_loss(LEARNER, cross_entropy)


def draw_from(table, key):
    """12 examples of `table` in some order, the label of all by a coin: what came before matters."""
    x_key, y_key = jax.random.split(key)
    y = jnp.broadcast_to(jax.nn.one_hot(jax.random.bernoulli(y_key).astype(int), 2), (12, 2))
    return Episode(table[jax.random.permutation(x_key, len(table))[:12]], y)


@pytest.fixture(scope="module")
def lifetimes():
    """(theta, keys, draw): 4 lifetimes of 12 examples."""
    keys = jax.random.split(jax.random.key(1), 4)
    return jax.jit(LEARNER.init_theta)(jax.random.key(0)), keys, Partial(draw_from, made.noise(20, 3))


@pytest.fixture(scope="module")
def exact(lifetimes):
    """Loss and gradient of all lifetimes at once."""
    return jax.jit(backprop(LOSS))(*lifetimes)


def close(ours, theirs, rtol=1e-4):
    scale = max(float(np.abs(z).max()) for z in jax.tree.leaves(theirs))
    made.close(ours, theirs, rtol, rtol * scale)


def flat(tree):
    return np.concatenate([np.ravel(z) for z in jax.tree.leaves(tree)])


def cosine(a, b):
    a, b = flat(a), flat(b)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_backprop_is_the_mean_over_episodes_one_by_one(lifetimes, exact):
    theta, keys, draw = lifetimes

    @jax.jit
    def one(key):
        init_key, episode_key = jax.random.split(key)
        return jax.value_and_grad(LOSS)(theta, init_key, draw(episode_key))

    unrolled = [one(key) for key in keys]
    close(exact, jax.tree.map(lambda *z: np.mean(z, axis=0), *unrolled))
    assert len({float(value) for value, _ in unrolled}) == len(keys)  # each key its own lifetime


def test_the_loss_of_the_last_predictions_is_theirs(lifetimes):
    theta, (key, *_), draw = lifetimes

    @jax.jit
    def both(key):
        episode = draw(key)
        last = lifetime_loss(LEARNER, cross_entropy, last=3)(theta, key, episode)
        return last, cross_entropy(rollout(LEARNER, theta, key, episode), episode.y)

    last, scores = both(key)
    assert float(last) == pytest.approx(float(scores[-3:].mean()), rel=1e-5)


def test_rematerialisation_changes_nothing(lifetimes, exact):
    close(jax.jit(backprop(lifetime_loss(LEARNER, cross_entropy, 4)))(*lifetimes), exact)


def test_truncation_at_the_end_is_no_truncation(lifetimes, exact):
    close(jax.jit(truncated_bptt(LEARNER, cross_entropy, 12))(*lifetimes), exact)
    loss, grad = jax.jit(truncated_bptt(LEARNER, cross_entropy, 3))(*lifetimes)
    close(loss, exact[0])
    assert cosine(grad, exact[1]) < 0.999


def test_es_points_along_backprop(lifetimes):
    theta, keys, draw = lifetimes
    episode = draw(keys[0])

    def loss(theta, key, episode):
        """Every lifetime the same one, so that the perturbations are all that differs."""
        return LOSS(theta, keys[0], episode)

    pairs = 1024
    value, slope = jax.jit(jax.value_and_grad(loss))(theta, keys[0], episode)
    es = jax.jit(antithetic_es(loss, std=0.01, at_once=256))
    estimated_value, estimate = es(
        theta, jax.random.split(keys[1], pairs), Partial(lambda episode, _: episode, episode)
    )
    # The cosine of such an estimate in d dimensions is about sqrt(pairs / (pairs + d)); here d = 140.
    assert cosine(estimate, slope) > 0.9
    assert np.linalg.norm(flat(estimate)) / np.linalg.norm(flat(slope)) == pytest.approx(1.0, abs=0.15)
    assert float(estimated_value) == pytest.approx(float(value), rel=1e-3)


def test_es_sees_the_episodes_of_backprop(lifetimes, exact):
    """Perturbed by next to nothing, it sees the same losses."""
    close(jax.jit(antithetic_es(LOSS, 1e-5, at_once=2))(*lifetimes)[0], exact[0])


def test_both_of_a_pair_go_through_the_same_lifetime(lifetimes):
    """Where key and episode decide everything and theta nothing, there is no slope, to the bit."""
    es = antithetic_es(lambda theta, key, episode: jax.random.normal(key) + episode.x.sum(), std=0.01, at_once=4)
    assert not flat(jax.jit(es)(*lifetimes)[1]).any()


@pytest.mark.parametrize("estimator", [backprop, partial(antithetic_es, std=0.05)])
def test_nothing_depends_on_how_many_run_at_once(lifetimes, estimator):
    one, *others = (jax.jit(estimator(LOSS, at_once=n))(*lifetimes) for n in (1, 2, 4))
    for other in others:
        close(one, other)


@pytest.mark.parametrize("one", [backprop, partial(antithetic_es, std=0.05)])
def test_memory_does_not_grow_with_the_population(lifetimes, one):
    theta, _, draw = lifetimes
    estimator = across_devices(one(LOSS, at_once=8), jax.devices())

    def working_bytes(population):
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), population))
        memory = jax.jit(estimator).lower(theta, keys, draw).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert working_bytes(1024) == pytest.approx(working_bytes(64), rel=0.1)


def test_devices_change_nothing_and_the_table_to_draw_from_is_no_constant_of_the_program(lifetimes, exact):
    traced = jax.jit(across_devices(backprop(LOSS), jax.devices())).trace(*lifetimes)
    close(traced.lower().compile()(*lifetimes), exact)
    assert (20, 3) not in [np.shape(z) for z in traced.jaxpr.consts]


def test_what_does_not_divide_is_refused(lifetimes):
    theta, keys, draw = lifetimes
    spread, cut = across_devices(backprop(LOSS), jax.devices()), lifetime_loss(LEARNER, cross_entropy, 5)
    for estimator, population, said in (
        (antithetic_es(LOSS, std=0.1, at_once=3), 4, r"at_once \(=3\) must divide the population \(=4\)"),
        (backprop(LOSS, at_once=3), 4, r"at_once \(=3\) must divide the population \(=4\)"),
        (backprop(cut), 4, r"segment \(=5\) must divide the length of the episode \(=12\)"),
        (spread, 3, r"population \(=3\) must be a multiple of the number of devices \(=2\)"),
    ):
        with pytest.raises(ValueError, match=said):
            jax.eval_shape(estimator, theta, keys[:population], draw)
