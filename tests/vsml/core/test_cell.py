"""The cell: its size, and that its shortcuts and hand-written gradients are the plain LSTM at every connection."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.vsml import made
from vsml.core.cell import Cell, Cells
from vsml.learners.network import network


@pytest.mark.parametrize(("layer_norm", "parameters"), [(False, 2384), (True, 2416)])
def test_theta_and_state_have_the_papers_size(key, layer_norm, parameters):
    learner = network((784, 10), layer_norm=layer_norm)
    theta = jax.eval_shape(learner.init_theta, key)
    assert sum(z.size for z in jax.tree.leaves(theta)) == parameters
    state = jax.eval_shape(learner.init_state, theta, key)
    assert sum(z.size for z in jax.tree.leaves(state.layers)) == 250_880


def test_half_of_the_memory_starts_random(key):
    hidden, memory = map(np.asarray, jax.jit(network((25, 10)).init_state)((), key).layers[0])
    assert np.abs(memory[..., :8]).max() <= 2 / 5
    assert memory[..., :8].std() == pytest.approx(0.88 / 5, rel=0.1)  # 0.88: sd of a normal cut at two
    assert not memory[..., 8:].any()
    assert not hidden.any()


def some_layer(a, b, layer_norm, episodes=()):
    """A cell, a theta without zeros and ones, where mistakes hide, and states and messages of a layer."""
    cell = Cell(16, 8, layer_norm)
    cells = Cells(*(made.noise(*episodes, a, b, 16, seed=seed) for seed in range(2)))
    fwd, bwd = (made.noise(*episodes, units, 8, seed=units) for units in (a, b))
    first = jax.tree.map(lambda z: z[(0,) * len(episodes)], (cells, fwd, bwd))
    theta = jax.jit(lambda key: cell.init(key, *first, 1)["params"])(jax.random.key(0))
    return cell, made.moved(theta, 0.5), cells, fwd, bwd


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_tick_and_its_gradient_are_those_of_a_plain_lstm(layer_norm):
    cell, *inputs = some_layer(5, 3, layer_norm)
    weights = [made.noise(*s, seed=seed) for seed, s in enumerate([(5, 3, 16)] * 2 + [(3, 8), (5, 8)])]

    def ours(theta, cells, fwd, bwd):
        answer: Any = cell.apply({"params": theta}, cells, fwd, bwd, 1)
        (hidden, memory), up, down = answer
        return hidden, memory, up, down

    def worth(layer, *inputs):
        return sum(jnp.sum(w * out) for w, out in zip(weights, layer(*inputs), strict=True))

    plain = partial(made.plain_cell, np=jnp)
    mine, theirs = (jax.jit(jax.value_and_grad(partial(worth, f), argnums=range(4)))(*inputs) for f in (ours, plain))
    made.close(mine, theirs, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("episodes", "a", "b"), [(8, 64, 10), (5, 784, 10)])
def test_a_message_that_is_said_alone_is_right(episodes, a, b):
    """At sizes that are really run, compiled as users do, and with the other message dropped as in a network.

    jaxlib 0.10.2 compiles some matmuls that end in a reduction wrongly, by much and without a word. Which ones depends
    on what else the program keeps, so small layers that return everything show nothing.
    """
    cell, theta, *layer = some_layer(a, b, True, (episodes,))

    wide, states = jax.tree.map(lambda z: np.asarray(z, np.float64), (theta, layer))
    said = [made.plain_cell(wide, *jax.tree.map(lambda z, n=n: z[n], states))[2:] for n in range(episodes)]
    for direction, expected in enumerate(zip(*said, strict=True)):

        def message(cells, fwd, bwd, direction=direction):
            return cell.apply({"params": theta}, cells, fwd, bwd, 1)[1 + direction]

        ours = jax.jit(jax.vmap(message), compiler_options={"xla_cpu_use_fusion_emitters": True})(*layer)
        np.testing.assert_allclose(ours, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_the_gates_saturate_and_pass_on_what_is_not_a_number():
    cell, theta, cells, fwd, bwd = some_layer(3, 2, False)
    tick = jax.jit(lambda fwd: cell.apply({"params": theta}, cells, fwd, bwd, 1)[0])
    far = tick(1e6 * fwd)
    assert all(np.isfinite(z).all() for z in far)
    assert np.abs(far.hidden).max() <= 1 + 1e-6
    assert np.isnan(tick(fwd.at[0, 0].set(np.nan)).hidden[0]).all()


def test_tanh_is_right_to_a_millionth():
    """With weights of zero nothing is let in, and each cell says half the tanh of the memory that it kept."""
    cell, theta, cells, fwd, bwd = some_layer(80, 1, False)
    memory = np.broadcast_to(np.linspace(-12, 12, 80, dtype=np.float32)[:, None, None], cells.memory.shape)
    silent = jax.tree.map(jnp.zeros_like, theta)
    after = jax.jit(lambda *heard: cell.apply({"params": silent}, *heard, 1)[0])(
        Cells(cells.hidden, jnp.asarray(memory)), fwd, bwd
    )
    expected = np.tanh(np.float64(memory) / (1 + np.exp(-5))) / 2
    np.testing.assert_allclose(after.hidden, expected, rtol=1e-6)
