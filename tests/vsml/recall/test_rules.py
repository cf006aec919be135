"""The learned rule against its equations, unit by unit and synapse by synapse, and what locality implies."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import BOUND, Rules, initial_synapses, neural_rules, perceive, read_out, teach

CUES, ANSWERS = 3, 2
X, Y = jnp.array([1.0, -1.0, 1.0]), jnp.array([-1.0, 1.0])


def network(name, density=1.0):
    return GRAPHS[name](CUES, ANSWERS, 2, density)


def off_start(rules, graph, key):
    """A theta far from its start, where gates and products differ from unit to unit."""
    theta = rules.init_theta(graph, key)
    leaves, treedef = jax.tree.flatten(theta)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    return treedef.unflatten([z + 0.5 * jax.random.normal(k, z.shape) for k, z in zip(keys, leaves, strict=True)])


@functools.cache
def unrolled(name, kind):
    """One step of an episode, compiled once: theta, the state before, the state after, the prediction."""
    graph, rules = network(name), Rules(kind=kind, width=5, synapse=3)
    theta = off_start(rules, graph, jax.random.key(1))
    learner = neural_rules(graph, rules)
    state = learner.init_state(theta, jax.random.key(2))
    after, logits = jax.jit(learner.step)(theta, state, X, Y)
    return jax.tree.map(np.float64, (theta, state, after, logits))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def function(kind, weights, own, heard):
    """Candidate and gate of one unit or one synapse."""
    if kind == "gru":
        n = len(own)
        drive = heard @ weights["heard"] + weights["bias"]
        reset, gate = np.split(sigmoid(own @ weights["own"][:, : 2 * n] + drive[: 2 * n]), 2)
        return (reset * own) @ weights["own"][:, 2 * n :] + drive[2 * n :], gate
    inner = own @ weights["own"] + heard @ weights["heard"] + weights["bias"]
    one, two = np.split(inner, 2) if kind == "gated" else (inner, None)
    units = np.tanh(one) * two if kind == "gated" else np.tanh(one)
    candidate, gate = np.split(units @ weights["out"] + weights["out_bias"], 2)
    return candidate, sigmoid(gate)


def by_hand(name, kind, theta, state, x, y):
    graph = network(name)
    bodies = [np.zeros((size, 4)) for size in graph.sizes]
    values = [block.copy() for block in state.values]

    def sweep(told):
        for group, size in enumerate(graph.sizes):
            heard = np.zeros((size, 4))
            for number, source in graph.incoming(group):
                for i in range(graph.sizes[source]):
                    for j in range(size):
                        message = values[number][i, j] @ theta["message_synapse"]
                        heard[j] += message * (bodies[source][i] @ theta["message_body"])
            count = sum(graph.sizes[source] for _, source in graph.incoming(group))
            after = []
            for j in range(size):
                given = np.zeros(2)
                for (where, first, last), label_here in ((graph.cued, x), (graph.recalled, told)):
                    if where == group and first <= j < last and label_here is not None:
                        given = np.array([label_here[j - first], 1.0])
                z = np.concatenate([heard[j] / np.sqrt(max(count, 1)), given, theta["embedding"][group]])
                candidate, gate = function(kind, theta["body"], bodies[group][j], z)
                after.append((1 - gate) * bodies[group][j] + gate * np.tanh(candidate))
            bodies[group] = np.stack(after)

    for _ in range(graph.sweeps):
        sweep(None)
    where, first, last = graph.recalled
    logits = 2 * bodies[where][first:last] @ theta["read_out"]
    for _ in range(graph.answer_sweeps):
        sweep(y)
        for number, (source, target) in enumerate(graph.blocks):
            for i in range(graph.sizes[source]):
                for j in range(graph.sizes[target]):
                    ends = [(bodies[g][k], theta["embedding"][g]) for g, k in ((source, i), (target, j))]
                    z = np.concatenate([part for end in ends for part in end])
                    candidate, gate = function(kind, theta["synapse"], values[number][i, j], z)
                    new = np.clip(gate * values[number][i, j] + candidate, -BOUND, BOUND)
                    values[number][i, j] = state.present[number][i, j] * new
    return values, logits


@pytest.mark.parametrize(
    ("name", "kind"), [("direct", "gated"), ("hidden", "mlp"), ("recurrent", "gru"), ("recurrent", "gated")]
)
def test_a_step_is_the_equations_neuron_by_neuron(name, kind):
    theta, state, after, logits = unrolled(name, kind)
    values, expected = by_hand(name, kind, theta, state, np.float64(X), np.float64(Y))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(after.values, values, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(after.values, state.values, strict=True)) > 0.1


def test_neurons_of_a_type_are_interchangeable():
    graph, rules = network("direct"), Rules()
    theta = off_start(rules, graph, jax.random.key(1))
    state, order = initial_synapses(graph, rules, jax.random.key(2)), jnp.array([2, 0, 1])
    swapped = state._replace(values=(state.values[0][order],))
    step = jax.jit(neural_rules(graph, rules).step)
    (after, logits), (other, same) = step(theta, state, X, Y), step(theta, swapped, X[order], Y)
    np.testing.assert_allclose(logits, same, atol=1e-6)
    np.testing.assert_allclose(after.values[0][order], other.values[0], atol=1e-6)


@pytest.mark.parametrize("name", GRAPHS)
def test_theta_is_as_large_for_every_size_of_a_network(name):
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(Rules().init_theta(GRAPHS[name](n, n, n, 1.0), jax.random.key(0))))
        for n in (2, 9)
    ]
    assert sizes[0] == sizes[1]


def test_absent_synapses_stay_absent_and_no_neuron_hears_itself():
    graph, rules = network("recurrent", density=0.5), Rules()
    theta = off_start(rules, graph, jax.random.key(1))
    state, _ = neural_rules(graph, rules).step(theta, initial_synapses(graph, rules, jax.random.key(4)), X, Y)
    (values,), (present,) = state
    assert not present.diagonal().any() and 0 < present.sum() < present.size - len(present)
    np.testing.assert_array_equal(jnp.abs(values).max(-1) > 0, present > 0)


def test_the_answer_reaches_hidden_neurons_by_feedback_in_the_second_sweep():
    graph, rules = network("hidden"), Rules()
    theta = off_start(rules, graph, jax.random.key(1))
    state = initial_synapses(graph, rules, jax.random.key(2))
    bodies = perceive(graph, rules, theta, state, X)
    for support, reached in ((1, False), (2, True)):
        heard = graph._replace(answer_sweeps=support)
        below, other = (teach(heard, rules, theta, state, bodies, X, y).values[0] for y in (Y, -Y))
        assert np.array_equal(below, other) != reached


def test_without_plasticity_nothing_changes_and_without_types_embeddings_are_one():
    graph = network("hidden")
    frozen = Rules(plastic=False)
    theta, state = frozen.init_theta(graph, jax.random.key(0)), initial_synapses(graph, frozen, jax.random.key(1))
    after, _ = neural_rules(graph, frozen).step(theta, state, X, Y)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert Rules(types=False).init_theta(graph, jax.random.key(0))["embedding"].shape == (1, 2)
    assert theta["embedding"].shape == (3, 2)


def test_to_read_is_what_a_step_predicts():
    graph, rules = network("hidden"), Rules()
    theta, state = rules.init_theta(graph, jax.random.key(0)), initial_synapses(graph, rules, jax.random.key(1))
    read = read_out(graph, theta, perceive(graph, rules, theta, state, X))
    np.testing.assert_allclose(read, neural_rules(graph, rules).step(theta, state, X, Y)[1], rtol=1e-5)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"meta-network .*'lstm'.*gated"):
        Rules(kind="lstm").init_theta(network("direct"), jax.random.key(0))
