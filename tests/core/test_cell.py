"""The cell: its size, and the gradient of its tick that is written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.cell import tick
from vsml.learners.network import network


@pytest.mark.parametrize(("layer_norm", "parameters"), [(False, 2384), (True, 2416)])
def test_theta_has_the_papers_size(key, layer_norm, parameters):
    theta = network((784, 10), layer_norm=layer_norm).init_theta(key)
    assert sum(z.size for z in jax.tree.leaves(theta)) == parameters


def test_state_has_the_papers_size(key):
    learner = network((784, 10))
    state = learner.init_state(learner.init_theta(key), key)
    assert sum(z.size for z in jax.tree.leaves(state.layers)) == 250_880


def test_half_of_the_memory_is_born_random(key):
    learner = network((25, 10))
    cells = learner.init_state(learner.init_theta(key), key).layers[0]
    assert np.abs(cells.memory[..., :8]).max() <= 2 / 5
    assert float(cells.memory[..., :8].std()) == pytest.approx(0.88 / 5, rel=0.1)  # 0.88: sd of a normal cut at two
    assert not cells.memory[..., 8:].any()
    assert not cells.hidden.any()


def plain_tick(gates_hidden, hidden, memory, drive_fwd, drive_bwd):
    z = jnp.einsum("abh,hg->abg", hidden, gates_hidden) + drive_fwd[:, None, :] + drive_bwd[None, :, :]
    i, g, f, o = jnp.split(z, 4, axis=-1)
    memory = jax.nn.sigmoid(f + 5.0) * memory + jax.nn.sigmoid(i - 5.0) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(memory), memory


def test_tick_and_its_gradient_are_those_of_a_plain_lstm(key):
    shapes = [(4, 16), (3, 2, 4), (3, 2, 4), (3, 16), (2, 16)]
    inputs = [2.0 * jax.random.normal(k, s) for k, s in zip(jax.random.split(key, 5), shapes, strict=True)]
    weights = [jax.random.normal(k, (3, 2, 4)) for k in jax.random.split(jax.random.fold_in(key, 1), 2)]

    def worth(step, *inputs):
        return sum(jnp.sum(w * out) for w, out in zip(weights, step(*inputs), strict=True))

    ours, theirs = (jax.value_and_grad(worth, argnums=range(1, 6))(step, *inputs) for step in (tick, plain_tick))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), ours, theirs)
