"""The network against the paper's words, taken literally: one Python loop over connections, in float64."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from vsml.core.rollout import rollout, unroll
from vsml.core.types import Episode
from vsml.learners.network import network

CONFIGS = {
    "default order": ((4, 3), {}),
    "backward pass": ((4, 3), {"ticks": 1, "backward_pass": True, "feed_label": True, "layer_norm": True}),
    "three layers": ((4, 2, 3, 3), {"feed_label": True}),
    "three layers, each its own": ((4, 2, 3, 3), {"per_layer": True, "layer_norm": True}),
    "three layers, backward pass": ((4, 2, 3, 3), {"backward_pass": True, "feed_label": True, "ticks": 3}),
    "batch, two layers": ((4, 2, 3), {"batch": 3, "backward_pass": True, "feed_label": True, "layer_norm": True}),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def plain_cell(theta, state, fwd, bwd):
    """One connection, one tick: concatenate, multiply, gate, speak."""
    hidden, memory = state
    weights = np.concatenate([theta["gates_fwd"], theta["gates_bwd"], theta["gates_hidden"]])
    i, g, f, o = np.split(np.concatenate([fwd, bwd, hidden]) @ weights + theta["gates_bias"], 4)
    memory = sigmoid(f + 5) * memory + sigmoid(i - 5) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(memory)
    return (hidden, memory), [plain_head(theta, direction, hidden) for direction in ("fwd", "bwd")]


def plain_head(theta, direction, hidden):
    message = hidden @ theta[f"head_{direction}"] + theta[f"head_{direction}_bias"]
    if f"norm_{direction}_scale" in theta:
        message = (message - message.mean()) / np.sqrt(message.var() + 1e-5)
        message = message * theta[f"norm_{direction}_scale"] + theta[f"norm_{direction}_offset"]
    return message


def plain_layer(theta, cells, fwd, bwd, ticks):
    """All connections of a layer, one by one; what leaves is the mean of the messages of the last tick."""
    a, b = len(fwd), len(bwd)
    for _ in range(ticks):
        said = {}
        for i, j in product(range(a), range(b)):
            cells[i, j], said[i, j] = plain_cell(theta, cells[i, j], fwd[i], bwd[j])
    up = [np.mean([said[i, j][0] for i in range(a)], axis=0) for j in range(b)]
    down = [np.mean([said[i, j][1] for j in range(b)], axis=0) for i in range(a)]
    return up, down


def pad(*channels):
    return [np.concatenate([c, np.zeros(8 - len(c))]) for c in np.stack(channels, -1)]


def plain_episode(thetas, initial_state, descending, x_episode, y_episode, *, ticks, backward_pass, feed_label, batch):
    """Predictions of a whole episode. `initial_state`: per layer {(a, b): (hidden, memory)}; once a batch copy."""
    depth, classes = len(thetas), y_episode.shape[-1]
    layers = [[{c: s for c, s in cells.items()} for cells in initial_state] for _ in range(batch)]
    descending = [[list(d) for d in descending] for _ in range(batch)]
    error, label = np.zeros((batch, classes)), np.zeros((batch, classes))
    predictions = []
    xs, ys = x_episode.reshape(-1, batch, x_episode.shape[-1]), y_episode.reshape(-1, batch, classes)
    for x, y in zip(xs, ys, strict=True):
        if batch > 1:
            for k in range(depth):
                for c in layers[0][k]:
                    shared = [np.mean([copy[k][c][part][:8] for copy in layers], axis=0) for part in (0, 1)]
                    for copy in layers:
                        copy[k][c] = tuple(np.concatenate([shared[p], copy[k][c][p][8:]]) for p in (0, 1))
        row = []
        for n in range(batch):
            fwd, heard = pad(x[n]), []
            for k in range(depth):
                heard.append(fwd)
                above = pad(error[n], label[n]) if k == depth - 1 else descending[n][k]
                fwd, down = plain_layer(thetas[k], layers[n][k], fwd, above, ticks)
                if k:
                    descending[n][k - 1] = down
            logits = 100 * np.tanh(np.array([m[1] for m in fwd]) / 100)
            row.append(logits)
            softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            error[n], label[n] = (softmax - y[n]) / batch, y[n] if feed_label else 0
            if backward_pass:
                down = pad(error[n], label[n])
                for k in reversed(range(depth)):
                    _, down = plain_layer(thetas[k], layers[n][k], heard[k], down, ticks)
                    if k:
                        descending[n][k - 1] = down
                error[n], label[n] = 0, 0
        predictions.append(row)
    return np.array(predictions)


@pytest.mark.parametrize("name", CONFIGS)
def test_network_is_the_loop_over_connections(key, name):
    sizes, options = CONFIGS[name]
    learner = network(sizes, **options)
    batch, depth = options.get("batch", 1), len(sizes) - 1
    random, lead = np.random.default_rng(0), (4,) if batch == 1 else (4, batch)
    x, y = random.normal(size=(*lead, sizes[0])), np.eye(sizes[-1])[random.integers(sizes[-1], size=lead)]
    episode = Episode(x.astype(np.float32), y.astype(np.float32))
    # Biases, scales and offsets start at 0 and 1, where mistakes hide; and the gates move little from the start.
    theta = jax.tree.map(lambda z: np.float32(z + random.normal(size=z.shape)), jax.jit(learner.init_theta)(key))

    @jax.jit
    def live(theta, episode):
        state = learner.init_state(theta, key)
        return state, unroll(learner, theta, state, episode)[1]

    state, ours = live(theta, episode)
    wide = jax.tree.map(lambda z: np.asarray(z, np.float64), theta)
    thetas = [jax.tree.map(lambda z, k=k: z[k] if options.get("per_layer") else z, wide) for k in range(depth)]
    first = state if batch == 1 else jax.tree.map(lambda z: z[0], state)
    initial_state = [
        {(i, j): (np.float64(h[i, j]), np.float64(c[i, j])) for i, j in product(*map(range, h.shape[:2]))}
        for h, c in (map(np.asarray, cells) for cells in first.layers)
    ]
    theirs = plain_episode(
        thetas,
        initial_state,
        [np.zeros((b, 8)) for b in sizes[1:-1]],
        np.asarray(episode.x, np.float64),
        np.asarray(episode.y, np.float64),
        ticks=options.get("ticks", 2),
        backward_pass=options.get("backward_pass", False),
        feed_label=options.get("feed_label", False),
        batch=batch,
    )
    assert np.ptp(theirs) > 0.1  # the comparison is about something
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=2e-3, atol=2e-4)


def test_one_theta_runs_networks_of_any_size(key):
    theta = jax.eval_shape(network((2, 2)).init_theta, key)
    for sizes in [(5, 3), (7, 4, 2)]:
        episode = Episode(jnp.ones((2, sizes[0])), jnp.ones((2, sizes[-1])))
        assert jax.eval_shape(partial(rollout, network(sizes)), theta, key, episode).shape == (2, sizes[-1])


def test_sizes_without_a_layer_are_refused():
    with pytest.raises(ValueError, match=r"sizes \(=\(5,\)\)"):
        network((5,))


def read_by_every_step(jaxpr):
    """Sizes of what a loop over time reads again at every step."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield from (value.aval.size for value in equation.invars[: equation.params["num_consts"]])
        for inner in jaxprs_in_params(equation.params):
            yield from read_by_every_step(inner)


def test_the_gradient_reads_no_constants_of_the_size_of_the_states(key):
    """JAX moves constants out of a loop; as large as the states, they are slow to read, in gradients only."""
    learner = network((50, 20), layer_norm=True, backward_pass=True, feed_label=True)
    episode = Episode(jnp.zeros((5, 50)), jnp.zeros((5, 20)))
    theta = jax.eval_shape(learner.init_theta, key)
    gradient = jax.grad(lambda theta: jnp.square(rollout(learner, theta, key, episode)).sum())
    sizes = list(read_by_every_step(jax.make_jaxpr(gradient)(theta).jaxpr))
    largest = max(z.size for z in jax.tree.leaves(theta))
    assert sizes and max(sizes) <= largest < 50 * 20 * 16
