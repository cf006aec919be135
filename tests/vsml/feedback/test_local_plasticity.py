"""The rule against a loop over numbers in numpy, with every change that it knows; and what it never does."""

import jax
import numpy as np
import pytest

from tests.vsml import made
from vsml.core.types import Episode
from vsml.feedback.lifetime import query_loss, squared_error
from vsml.feedback.local_plasticity import local_plasticity
from vsml.feedback.network import System

SIZES = (4, 5, 3, 2)
RULE = made.RULE
CHANGES = {
    "as it is": {},
    "targets": {"source": "target", "output": "target"},
    "Hebb": {"decay": False},
    "linear feedback": {"rectified": False},
    "two ways back": {"feedback_hidden": (6,)},
    "derivative": {"derivative": True},
    "hidden hear sizes": {"hidden_hear": "size"},
    "hidden hear nothing": {"hidden_hear": "nothing"},
    "backpropagated": {"drive": "backprop"},
    "output alone": {"plastic": 1},
    "by neuron": {"per": "neuron"},
    "by layer": {"per": "layer"},
    "one": {"per": "one"},
    "hidden layers faster": {"hidden_gain": 7.0},
}


def begun(rule, classifies=False):
    """The learner, a theta of noise, the state and a mini-batch."""
    learner, key = local_plasticity(SIZES, rule, classifies=classifies), jax.random.key(3)
    theta = made.moved(jax.tree.map(lambda z: np.full(z.shape, 0.1), jax.eval_shape(learner.init_theta, key)), 0.3)
    return learner, theta, learner.init_state(theta, key), made.noise(6, 4), made.noise(6, 2, seed=1)


def by_hand(theta, state, x, y, rule, classifies=False):
    """The weights after a mini-batch, synapse by synapse."""
    theta, x, y = jax.tree.map(np.float64, (theta, x, y))
    weights = [np.asarray(state.get(str(n), theta["forward"][str(n)])["w"], np.float64) for n in range(3)]
    heard = [x]
    for n, w in enumerate(weights):
        z = heard[-1] @ w + theta["forward"][str(n)]["b"]
        heard.append(np.maximum(z, 0) if n < 2 else z)
    said = heard[-1]
    if classifies:
        said = np.exp(said) / np.exp(said).sum(-1, keepdims=True)
    source = y - said if rule.source == "error" else y
    back = {2: source}
    for n in (1, 0):
        back[n] = (back[n + 1] @ weights[n + 1].T) * (heard[n + 1] > 0)
    after = {}
    for name in state:
        n = int(name)
        told = np.abs(source) if n < 2 and rule.hidden_hear == "size" else source
        u = heard[n + 1]
        if n < 2 and rule.drive == "backprop":
            u = back[n]
        elif n == 2 and rule.output == "target":
            u = y
        elif n == 2 or rule.hidden_hear != "nothing":
            f, ways = told, theta["feedback"][name]
            for i in range(len(ways)):
                f = f @ ways[str(i)]["w"] + ways[str(i)]["b"]
                f = np.maximum(f, 0) if rule.rectified or i < len(ways) - 1 else f
            if rule.derivative:
                f = f * np.sign(heard[n + 1])
            u = theta["strength"][name] * f + (1 - theta["strength"][name]) * u
        change = np.zeros_like(weights[n])
        for b in range(len(x)):
            for i in range(change.shape[1]):
                for j in range(change.shape[0]):
                    change[j, i] += u[b, i] * heard[n][b, j] - rule.decay * u[b, i] ** 2 * weights[n][j, i]
        alpha = theta["plasticity"].get("all", theta["plasticity"].get(name))
        after[name] = weights[n] + (rule.hidden_gain if n < 2 else 1) * alpha * change
    return after


@pytest.mark.parametrize("change", [*CHANGES, "classes"])
def test_a_step_is_the_equation(change):
    """Of classes, an error of logits is that of their softmax."""
    rule, classifies = RULE._replace(**CHANGES.get(change, {})), change == "classes"
    learner, theta, state, x, y = begun(rule, classifies)
    after, said = jax.jit(learner.step)(theta, state, x, y)
    expected = by_hand(theta, state, x, y, rule, classifies)
    assert set(after) == set(expected) and all(set(layer) == {"w"} for layer in after.values())  # never a bias
    for name, want in expected.items():
        assert np.abs(want - np.asarray(state[name]["w"])).max() > 1e-3  # the comparison is about something
        np.testing.assert_allclose(after[name]["w"], want, rtol=1e-4, atol=1e-5)
    assert said.shape == y.shape


def test_weights_at_the_start(key):
    learned, random, zero = (
        local_plasticity(SIZES, RULE._replace(birth=birth), classifies=False) for birth in ("learned", "random", "zero")
    )
    theta = jax.jit(learned.init_theta)(key)
    np.testing.assert_array_equal(learned.init_state(theta, key)["1"]["w"], theta["forward"]["1"]["w"])
    assert not np.allclose(random.init_state(theta, key)["1"]["w"], theta["forward"]["1"]["w"])
    assert not np.asarray(zero.init_state(theta, key)["1"]["w"]).any()


def test_the_meta_gradient_is_the_slope(key):
    learner, theta, _, _, _ = begun(RULE)
    episode = Episode(made.noise(6, 3, 4), made.noise(6, 3, 2, seed=1))
    loss = jax.jit(lambda theta: query_loss(System(learner, None), squared_error, 4)(theta, key, episode))
    grad = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(theta))
    for group in ("forward", "feedback", "plasticity", "strength"):
        square = sum(np.square(z).sum() for z in jax.tree.leaves(grad[group]))
        assert square > 0
        up, down = (
            float(loss(theta | {group: jax.tree.map(lambda z, g, s=step: z + s * g, theta[group], grad[group])}))
            for step in (5e-4 / square**0.5, -5e-4 / square**0.5)
        )
        assert up - down == pytest.approx(1e-3 * square**0.5, rel=0.05), group


def test_more_plastic_layers_than_there_are_and_an_unknown_kind_of_plasticity_are_refused(key):
    with pytest.raises(ValueError, match=r"plastic \(=4\) must be 1 to 3"):
        local_plasticity(SIZES, RULE._replace(plastic=4), classifies=False)
    with pytest.raises(ValueError, match="'synapses' is none of"):
        local_plasticity(SIZES, RULE._replace(per="synapses"), classifies=False).init_theta(key)
