"""The network against the paper's words, taken literally: loops over copies, layers and ticks, in float64."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.core.types import Episode
from vsml.learners.network import network

CONFIGS = {
    "default order": ((4, 3), {}),
    "backward pass": ((4, 3), {"ticks": 1, "backward_pass": True, "feed_label": True, "layer_norm": True}),
    "three layers, each its own": ((4, 2, 3, 3), {"per_layer": True, "layer_norm": True, "feed_label": True}),
    "three layers, backward pass": ((4, 2, 3, 3), {"backward_pass": True, "feed_label": True, "ticks": 3}),
    "batch, two layers": ((4, 2, 3), {"batch": 3, "backward_pass": True, "feed_label": True, "layer_norm": True}),
}


def pad(*channels):
    return np.pad(np.stack(channels, -1), ((0, 0), (0, 8 - len(channels))))


def plain_layer(theta, cells, fwd, bwd, ticks):
    """What leaves a layer are the messages of the last tick."""
    for _ in range(ticks):
        *cells, up, down = made.plain_cell(theta, cells, fwd, bwd)
    return cells, up, down


def plain_episode(thetas, initial_state, episode, ticks=2, backward_pass=False, feed_label=False):
    """Predictions [time copy class] of an episode [time copy …], each copy of a batch by itself but for what it shares.

    `initial_state` is of each layer, [copy a b h].
    """
    depth, (_, batch, classes) = len(thetas), episode.y.shape
    layers = [[[part[n] for part in cells] for cells in initial_state] for n in range(batch)]
    above = [[np.zeros((cells[0].shape[2], 8)) for cells in initial_state] for _ in range(batch)]
    predictions = []
    for x, y in zip(*episode, strict=True):
        if batch > 1:  # the first half of the channels is shared
            for k, part in product(range(depth), range(2)):
                mean = np.mean([copy[k][part][..., :8] for copy in layers], axis=0)
                for copy in layers:
                    copy[k][part] = np.concatenate([mean, copy[k][part][..., 8:]], axis=-1)
        predictions.append(np.zeros((batch, classes)))
        for n in range(batch):
            fwd, heard = pad(x[n]), []
            for k in range(depth):
                heard.append(fwd)
                layers[n][k], fwd, down = plain_layer(thetas[k], layers[n][k], fwd, above[n][k], ticks)
                if k:
                    above[n][k - 1] = down
            logits = 100 * np.tanh(fwd[:, 1] / 100)
            predictions[-1][n] = logits
            error = (np.exp(logits) / np.exp(logits).sum() - y[n]) / batch
            above[n][-1] = pad(error, y[n] if feed_label else 0 * y[n])
            if backward_pass:
                for k in reversed(range(depth)):
                    layers[n][k], _, down = plain_layer(thetas[k], layers[n][k], heard[k], above[n][k], ticks)
                    if k:
                        above[n][k - 1] = down
                above[n][-1] = pad(0 * error)
    return np.array(predictions)


@pytest.mark.parametrize("name", CONFIGS)
def test_network_is_the_plain_loop(key, name):
    sizes, options = CONFIGS[name]
    learner = network(sizes, **options)
    batch, per_layer = options.get("batch", 1), options.get("per_layer")
    episode = made.episode(sizes[0], sizes[-1], *((4,) if batch == 1 else (4, batch)))
    theta = made.moved(jax.jit(learner.init_theta)(key), 1.0)  # the gates move little from the start

    @jax.jit
    def live(theta, episode):
        state = learner.init_state(theta, key)
        return state.layers, unroll(learner, theta, state, episode)[1]

    layers, ours = live(theta, episode)
    theta, episode, layers = jax.tree.map(np.float64, (theta, episode, layers))
    if batch == 1:
        episode, layers = jax.tree.map(lambda z: z[:, None], episode), jax.tree.map(lambda z: z[None], layers)
    thetas = [jax.tree.map(lambda z, k=k: z[k] if per_layer else z, theta) for k in range(len(layers))]
    how = {name: options[name] for name in ("ticks", "backward_pass", "feed_label") if name in options}
    theirs = plain_episode(thetas, layers, episode, **how)
    assert np.ptp(theirs) > 0.1  # the comparison is about something
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=2e-3, atol=2e-4)


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
