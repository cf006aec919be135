"""Every method and its instance of VSML, through whole episodes; instances that are not the method are found out."""

import functools

import jax
import numpy as np
import pytest

from vsml.core.rollout import unroll
from vsml.unification.general import learner
from vsml.unification.pairs import CLASSES, FEATURES, clusters, compare, pairs
from vsml.unification.references import local_rule

PAIRS = pairs()
# In float64, where what deviates is less by as much as rounding is; but for the cell, whose tanh is of float32.
EXACT = ("oja", "local_rule", "nearest_mean", "matrix")


@pytest.mark.parametrize("name", PAIRS)
def test_the_instance_is_the_method_in_every_prediction_and_state_and_a_near_relative_is_not(name):
    with jax.enable_x64(name in EXACT):
        compared = jax.jit(functools.partial(compare, PAIRS[name], length=200))(jax.random.key(3))
    assert compared.prediction_deviation.dtype == (np.float64 if name in EXACT else np.float32)
    found = {what: float(value) for what, value in compared._asdict().items()}
    rounding = 1e-12 if name in EXACT else 1e-5
    assert found["prediction_deviation"] < rounding * max(found["prediction_size"], 1)
    assert found["state_deviation"] < rounding * max(found["state_size"], 1)
    # There is something to agree on, and a near relative is not taken for the method.
    assert found["learning"] > 0.1
    assert found["state_size"] > 0.1
    assert found["learning"] > 1e4 * found["prediction_deviation"]
    assert found["control_deviation"] > 0.01 * found["prediction_size"]
    assert found["control_deviation"] > 1e3 * found["prediction_deviation"]


@pytest.mark.parametrize("name", ["meta_rnn", "fast_weights", "sgd"])
def test_the_theta_of_an_instance_is_that_of_the_method_brought_across(name):
    pair, key = PAIRS[name], jax.random.key(2)

    @jax.jit
    def both(key):
        return learner(pair.instance).init_theta(key), pair.across(pair.method.init_theta(key))

    jax.tree.map(np.testing.assert_array_equal, *both(key))


def test_the_local_rule_is_the_plain_loop():
    method = local_rule(FEATURES, CLASSES)

    @jax.jit
    def live(key):
        theta, episode = method.init_theta(key), clusters(key, 12, FEATURES, CLASSES)
        initial_state = method.init_state(theta, key)
        return theta, episode, initial_state, *unroll(method, theta, initial_state, episode)

    theta, episode, initial_state, state, predictions = live(jax.random.key(4))
    plain, rule = np.array(initial_state, np.float64), jax.tree.map(np.float64, theta)
    for x, y, prediction in zip(*episode, predictions, strict=True):
        logits = 100 * np.tanh(np.array(x, np.float64) @ plain / 100)
        np.testing.assert_allclose(prediction, logits, atol=1e-5)
        post = np.exp(logits) / np.exp(logits).sum()
        before = plain.copy()
        for a, b in np.ndindex(plain.shape):
            z = np.array([x[a], post[b], before[a, b], post[b] - y[b]])
            plain[a, b] += np.tanh(z @ rule["w_in"] + rule["b_in"]) @ rule["w_out"] + rule["b_out"]
    np.testing.assert_allclose(state, plain, atol=1e-5)
