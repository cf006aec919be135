"""Every method and its instance of VSML, through whole episodes; instances that are not the method are found out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.rollout import unroll
from vsml.unification.general import learner
from vsml.unification.pairs import CLASSES, FEATURES, clusters, compare, pairs
from vsml.unification.references import local_rule

PAIRS = pairs()
LENGTH = 200
# Not with the cell: its tanh is of float32 whatever the precision.
EXACT = ("oja", "local_rule", "nearest_mean", "matrix")

each_pair = pytest.mark.parametrize("name", PAIRS)


@functools.cache
def compared(name):
    found = jax.jit(functools.partial(compare, PAIRS[name], length=LENGTH))(jax.random.key(3))
    return {what: float(value) for what, value in found._asdict().items()}


@each_pair
def test_the_instance_is_the_method_in_every_prediction_and_state(name):
    found = compared(name)
    assert found["prediction_deviation"] < 1e-5 * max(found["prediction_size"], 1)
    assert found["state_deviation"] < 1e-5 * max(found["state_size"], 1)


@each_pair
def test_there_is_something_to_agree_on(name):
    found = compared(name)
    assert found["learning"] > 0.1
    assert found["state_size"] > 0.1
    assert found["learning"] > 1e4 * found["prediction_deviation"]


@each_pair
def test_a_near_relative_is_shown_from_the_method(name):
    found = compared(name)
    assert found["control_deviation"] > 0.01 * found["prediction_size"]
    assert found["control_deviation"] > 1e3 * found["prediction_deviation"]


@pytest.mark.parametrize("name", EXACT)
def test_what_deviates_is_rounding_and_goes_with_it(name):
    with jax.enable_x64(True):
        found = jax.jit(functools.partial(compare, PAIRS[name], length=40))(jax.random.key(3))
        assert found.prediction_deviation.dtype == jnp.float64
        assert found.prediction_deviation < 1e-12 * max(float(found.prediction_size), 1)
        assert found.state_deviation < 1e-12 * max(float(found.state_size), 1)
        assert found.learning > 0.01


@each_pair
def test_an_instance_predicts_before_its_label_matters_and_keeps_its_shapes(name):
    pair, key = PAIRS[name], jax.random.key(1)
    ours, classes = learner(pair.instance), pair.instance.classes

    def live():
        theta = pair.across(pair.method.init_theta(key))
        initial_state, x = ours.init_state(theta, key), jnp.ones(pair.features)
        of_each_label = jax.vmap(
            lambda y: ours.step(theta, initial_state, x, y), out_axes=(0, None)
        )  # else vmap refuses
        return initial_state, of_each_label(jnp.eye(classes))

    initial_state, (told, prediction) = jax.eval_shape(live)
    assert prediction.shape == (classes,)
    assert jax.tree.map(lambda z: ((classes, *z.shape), z.dtype), initial_state) == jax.tree.map(
        lambda z: (z.shape, z.dtype), told
    )


@pytest.mark.parametrize("name", ["meta_rnn", "fast_weights", "sgd"])
def test_the_theta_of_an_instance_is_that_of_the_method_brought_across(name):
    pair, key = PAIRS[name], jax.random.key(2)
    found = jax.jit(learner(pair.instance).init_theta)(key)
    expected = jax.jit(lambda key: pair.across(pair.method.init_theta(key)))(key)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_local_rule_is_the_plain_loop():
    key = jax.random.key(4)
    method = local_rule(FEATURES, CLASSES)
    theta, episode = jax.jit(lambda: (method.init_theta(key), clusters(key, 12, FEATURES, CLASSES)))()
    initial_state = method.init_state(theta, key)
    state, predictions = jax.jit(lambda: unroll(method, theta, initial_state, episode))()
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
