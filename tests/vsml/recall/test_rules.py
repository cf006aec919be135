"""The learned rule against its equations, unit by unit and synapse by synapse, and what locality implies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.vsml import made
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import BOUND, Rules, initial_synapses, neural_rules, perceive, read_out

CUES, ANSWERS, KEY = 3, 2, jax.random.key(0)
X, Y = jnp.array([1.0, -1.0, 1.0]), jnp.array([-1.0, 1.0])


def network(name, density=1.0):
    return GRAPHS[name](CUES, ANSWERS, 2, density)


def off_start(rules, graph):
    """A theta far from its start, where gates and products differ from unit to unit; and synapses at birth."""
    theta, synapses = jax.jit(lambda key: (rules.init_theta(graph, key), initial_synapses(graph, rules, key)))(KEY)
    return made.moved(theta, 0.5), synapses


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


@pytest.mark.parametrize(("name", "kind"), [("direct", "gated"), ("hidden", "mlp"), ("recurrent", "gru")])
def test_a_step_is_the_equations_neuron_by_neuron(name, kind):
    graph, rules = network(name), Rules(kind=kind, width=5, synapse=3)
    theta, state = off_start(rules, graph)
    after, logits = jax.jit(neural_rules(graph, rules).step)(theta, state, X, Y)
    theta, state, after, logits = jax.tree.map(np.float64, (theta, state, after, logits))
    values, expected = by_hand(name, kind, theta, state, np.float64(X), np.float64(Y))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(after.values, values, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(after.values, state.values, strict=True)) > 0.1


@pytest.mark.parametrize("name", GRAPHS)
def test_theta_is_as_large_for_every_size_of_a_network(name):
    thetas = [jax.eval_shape(lambda n=n: Rules().init_theta(GRAPHS[name](n, n, n, 1.0), KEY)) for n in (2, 9)]
    assert thetas[0] == thetas[1]


def test_absent_synapses_stay_absent_and_no_neuron_hears_itself():
    graph, rules = network("recurrent", density=0.5), Rules()
    theta, state = off_start(rules, graph)
    ((values,), (present,)), _ = jax.jit(neural_rules(graph, rules).step)(theta, state, X, Y)
    present = np.asarray(present)
    assert not present.diagonal().any() and 0 < present.sum() < present.size - len(present)
    np.testing.assert_array_equal(np.abs(values).max(-1) > 0, present > 0)


def test_without_plasticity_nothing_changes_and_without_types_embeddings_are_one():
    graph = network("hidden")
    frozen = Rules(plastic=False)
    theta, state = off_start(frozen, graph)
    after, _ = jax.jit(neural_rules(graph, frozen).step)(theta, state, X, Y)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    one = jax.eval_shape(lambda: Rules(types=False).init_theta(graph, KEY))
    assert one["embedding"].shape == (1, 2) and theta["embedding"].shape == (3, 2)


def test_to_read_is_what_a_step_predicts():
    graph, rules = network("hidden"), Rules()
    theta, state = off_start(rules, graph)

    @jax.jit
    def both(state):
        read = read_out(graph, theta, perceive(graph, rules, theta, state, X))
        return read, neural_rules(graph, rules).step(theta, state, X, Y)[1]

    np.testing.assert_allclose(*both(state), rtol=1e-5)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"meta-network .*'lstm'.*gated"):
        Rules(kind="lstm").init_theta(network("direct"), jax.random.key(0))
