"""Convolution: on linear cells it is a convolution and its transpose; on one position and tap it is a dense layer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.vsml import made
from vsml.core.cell import Cell, Cells
from vsml.core.layers import Convolution, Dense, convolve, taps
from vsml.core.rollout import rollout
from vsml.core.types import Episode
from vsml.learners.network import network

SHAPES = [((6, 5, 2), 3, 3, 2), ((7, 7, 1), 2, 3, 1), ((4, 4, 3), 1, 2, 2), ((1, 1, 4), 3, 1, 1), ((5, 8, 2), 2, 3, 3)]


def linear(cells, fwd, bwd, ticks):
    """Cells whose hidden state is one weight: up and down come the sums of weight times message."""
    return cells, jnp.einsum("abn,an->bn", cells.hidden, fwd), jnp.einsum("abn,bn->an", cells.hidden, bwd)


@pytest.mark.parametrize(("image", "channels", "kernel", "stride"), SHAPES)
def test_linear_cells_convolve_and_their_messages_down_are_the_transpose(image, channels, kernel, stride):
    result = Convolution(image, channels, kernel, stride).result
    x, weights, g = (made.noise(*shape) for shape in (image, (kernel, kernel, image[2], channels), result))

    @jax.jit
    def both(x, weights, g):
        hidden = weights.reshape(-1, image[2], channels, 1)
        heard = x.reshape(-1, image[2], 1), g.reshape(-1, channels, 1)
        ours = convolve(linear, Cells(hidden, hidden), *heard, taps(image, kernel, stride))[1:]
        y, transpose = jax.vjp(lambda x: convolved(x, weights, stride), x)
        ones = jnp.ones((*image[:2], 1)), jnp.ones((*y.shape[:2], 1))
        hears = jax.vjp(lambda x: convolved(x, jnp.ones((kernel, kernel, 1, 1)), stride), ones[0])[1]
        return ours, y, transpose(g)[0], hears(ones[1])[0]

    (up, down), y, expected, count = jax.tree.map(np.asarray, both(x, weights, g))
    np.testing.assert_allclose(up.reshape(y.shape) * kernel**2, y, atol=1e-5)
    np.testing.assert_allclose(down.reshape(image) * count, expected, atol=1e-5)
    assert count.min() >= 1, "a message must come down to every position"


def convolved(x, weights, stride):
    """By XLA, with the released code's padding for a kernel of 3: a zero on each side, if needed."""
    kernel = len(weights)
    before = (kernel - 1) // 2
    padding = [(before, (-(-size // stride) - 1) * stride + kernel - size - before) for size in x.shape[:2]]
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], weights, (stride, stride), padding, dimension_numbers=dimensions)[0]


def test_a_kernel_of_three_has_a_zero_on_each_side():
    table = taps((28, 28, 1), 3, 2)
    assert table.shape == (14 * 14, 9)
    np.testing.assert_array_equal(table[0], [784, 784, 784, 784, 0, 1, 784, 28, 29])


@pytest.mark.parametrize("ticks", [1, 2])
def test_a_kernel_of_one_on_one_position_is_dense(key, ticks):
    conv, dense = Convolution((1, 1, 5), 3, 1, 1), Dense(5, 3)
    learner = network((5, 3), ticks=ticks, layer_norm=True)

    @jax.jit
    def both(key, fwd, bwd):
        theta, cells = learner.init_theta(key), dense.initial_state(key, 16)

        def grid(*heard) -> Any:
            return Cell(layer_norm=True).apply({"params": theta}, *heard)

        shared = jax.tree.map(lambda z: z[None], cells)
        return conv.tick(grid, shared, fwd, bwd, ticks), dense.tick(grid, cells, fwd, bwd, ticks)

    ours, theirs = both(key, made.noise(5, 8), made.noise(3, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a.reshape(b.shape), b, atol=1e-6), ours, theirs)


def test_the_state_of_shared_cells_is_the_mean_over_positions():
    def heard(cells, fwd, bwd, ticks):
        return Cells(cells.hidden + fwd.sum(), cells.memory + bwd.sum()), bwd, fwd

    fwd, bwd = (jnp.array(z)[:, None, None] for z in ([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 5.0, 8.0]))
    state = jnp.ones((1, 1, 1, 1))
    cells, _, _ = convolve(heard, Cells(state, state), fwd, bwd, taps((2, 2, 1), 1, 1))
    assert (float(cells.hidden.sum()), float(cells.memory.sum())) == (1 + 1.5, 1 + 4.0)


def test_initial_cells_vary_with_their_fan_in(key):
    conv = jax.jit(lambda key: Convolution((28, 28, 4), 64, 3, 2).initial_state(key, 16))(key)
    assert conv.memory.shape == (9, 4, 64, 16)
    side = 3  # of the kernel, as released; not its area
    assert float(conv.memory[..., :8].std()) == pytest.approx(0.88 / side**0.5, rel=0.1)


def test_a_stride_that_leaves_inputs_out_and_an_image_of_another_size_are_refused():
    for kernel, stride in ((1, 2), (3, 4), (4, 4), (3, 0)):
        with pytest.raises(ValueError, match=f"stride \\(={stride}\\) must be 1 or more, and less than what a kernel"):
            taps((8, 8, 1), kernel, stride)
    with pytest.raises(ValueError, match=r"image \(=\(5, 5, 1\)\) must have as many numbers as there are inputs"):
        network((24, 3), image=(5, 5, 1), convolutions=((2, 3, 2),))


def test_every_pixel_matters_to_a_convolutional_network_and_every_label_to_the_next_prediction(key):
    learner = network(
        (36, 3), image=(6, 6, 1), convolutions=((2, 3, 2), (2, 3, 2)), ticks=1, backward_pass=True, feed_label=True
    )

    def last(x, y):
        return rollout(learner, learner.init_theta(key), key, Episode(x, y))[-1].sum()

    by_x, by_y = jax.jit(jax.grad(last, (0, 1)))(made.noise(3, 36), jnp.eye(3))
    assert (np.abs(by_x[:2]) > 0).all()
    assert (np.abs(by_y[:2]) > 0).all()
