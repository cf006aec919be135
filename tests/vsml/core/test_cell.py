"""The cell: its size, and that its shortcuts and hand-written gradients are the plain LSTM at every connection."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.cell import Cell, Cells
from vsml.learners.network import network


@pytest.mark.parametrize(("layer_norm", "parameters"), [(False, 2384), (True, 2416)])
def test_theta_has_the_papers_size(key, layer_norm, parameters):
    theta = network((784, 10), layer_norm=layer_norm).init_theta(key)
    assert sum(z.size for z in jax.tree.leaves(theta)) == parameters


def test_state_has_the_papers_size(key):
    learner = network((784, 10))
    state = learner.init_state(learner.init_theta(key), key)
    assert sum(z.size for z in jax.tree.leaves(state.layers)) == 250_880


def test_half_of_the_memory_starts_random(key):
    learner = network((25, 10))
    cells = learner.init_state(learner.init_theta(key), key).layers[0]
    assert np.abs(cells.memory[..., :8]).max() <= 2 / 5
    assert float(cells.memory[..., :8].std()) == pytest.approx(0.88 / 5, rel=0.1)  # 0.88: sd of a normal cut at two
    assert not cells.memory[..., 8:].any()
    assert not cells.hidden.any()


def plain_cell(theta, cells, fwd, bwd, np=np):
    """The equations, connection by connection, for `np` = numpy (float64) or jax.numpy (to differentiate)."""
    hidden, memory = cells
    z = hidden @ theta["gates_hidden"] + theta["gates_bias"][None, None]
    z = z + (fwd @ theta["gates_fwd"])[:, None] + (bwd @ theta["gates_bwd"])[None]
    i, g, f, o = np.split(z, 4, axis=-1)
    memory = memory / (1 + np.exp(-f - 5)) + np.tanh(g) / (1 + np.exp(5 - i))
    hidden = np.tanh(memory) / (1 + np.exp(-o))
    said = []
    for direction, axis in (("fwd", 0), ("bwd", 1)):
        message = hidden @ theta[f"head_{direction}"] + theta[f"head_{direction}_bias"][None, None]
        if f"norm_{direction}_scale" in theta:
            message = message - message.mean(-1, keepdims=True)
            message = message / np.sqrt(np.square(message).mean(-1, keepdims=True) + 1e-5)
            message = message * theta[f"norm_{direction}_scale"][None, None]
            message = message + theta[f"norm_{direction}_offset"][None, None]
        said.append(message.mean(axis))
    return hidden, memory, *said


def some_layer(key, a, b, layer_norm, episodes=()):
    """A cell, a theta without zeros and ones, where mistakes hide, and states and messages of a layer."""
    cell, keys = Cell(16, 8, layer_norm), jax.random.split(key, 6)
    cells = Cells(*(jax.random.normal(k, (*episodes, a, b, 16)) for k in keys[:2]))
    fwd, bwd = (jax.random.normal(k, (*episodes, units, 8)) for k, units in zip(keys[2:4], (a, b), strict=True))
    first = jax.tree.map(lambda z: z[(0,) * len(episodes)], (cells, fwd, bwd))
    leaves, treedef = jax.tree.flatten(cell.init(keys[4], *first, 1)["params"])
    noise = [0.5 * jax.random.normal(k, z.shape) for k, z in zip(jax.random.split(keys[5], 16), leaves, strict=False)]
    return cell, treedef.unflatten([z + n for z, n in zip(leaves, noise, strict=True)]), cells, fwd, bwd


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_tick_and_its_gradient_are_those_of_a_plain_lstm(key, layer_norm):
    cell, *inputs = some_layer(key, 5, 3, layer_norm)
    weights = [
        jax.random.normal(jax.random.fold_in(key, n), s) for n, s in enumerate([(5, 3, 16)] * 2 + [(3, 8), (5, 8)])
    ]

    def ours(theta, cells, fwd, bwd):
        answer: Any = cell.apply({"params": theta}, cells, fwd, bwd, 1)
        (hidden, memory), up, down = answer
        return hidden, memory, up, down

    def worth(layer, *inputs):
        return sum(jnp.sum(w * out) for w, out in zip(weights, layer(*inputs), strict=True))

    plain = partial(plain_cell, np=jnp)
    mine, theirs = (jax.jit(jax.value_and_grad(partial(worth, f), argnums=range(4)))(*inputs) for f in (ours, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), mine, theirs)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize(("episodes", "a", "b"), [(8, 64, 10), (5, 784, 10)])
def test_a_message_that_is_said_alone_is_right(key, episodes, a, b, direction):
    """At sizes that are really run, and with the other message dropped as in a network.

    jaxlib 0.10.2 compiles some matmuls that end in a reduction wrongly, by much and without a word. Which ones depends
    on what else the program keeps, so small layers that return everything show nothing.
    """
    cell, theta, *layer = some_layer(key, a, b, True, (episodes,))

    def message(cells, fwd, bwd):
        return cell.apply({"params": theta}, cells, fwd, bwd, 1)[1 + direction]

    wide, states = jax.tree.map(lambda z: np.asarray(z, np.float64), (theta, layer))
    expected = [plain_cell(wide, *jax.tree.map(lambda z, n=n: z[n], states))[2 + direction] for n in range(episodes)]
    np.testing.assert_allclose(jax.jit(jax.vmap(message))(*layer), np.stack(expected), rtol=1e-4, atol=1e-5)


def test_the_gates_saturate_and_pass_on_what_is_not_a_number(key):
    cell, theta, cells, fwd, bwd = some_layer(key, 3, 2, False)
    far = cell.apply({"params": theta}, cells, 1e6 * fwd, bwd, 1)[0]
    assert all(np.isfinite(z).all() for z in far)
    assert np.abs(far.hidden).max() <= 1 + 1e-6
    assert np.isnan(cell.apply({"params": theta}, cells, fwd.at[0, 0].set(jnp.nan), bwd, 1)[0].hidden[0]).all()


def test_tanh_is_right_to_a_millionth(key):
    """With weights of zero nothing is let in, and each cell says half the tanh of the memory that it kept."""
    cell, theta, cells, fwd, bwd = some_layer(key, 80, 1, False)
    memory = jnp.broadcast_to(jnp.linspace(-12, 12, 80)[:, None, None], cells.memory.shape)
    after = cell.apply({"params": jax.tree.map(jnp.zeros_like, theta)}, Cells(cells.hidden, memory), fwd, bwd, 1)[0]
    expected = np.tanh(np.float64(memory) / (1 + np.exp(-5))) / 2
    np.testing.assert_allclose(after.hidden, expected, rtol=1e-6)
