"""Layers: grids of cells between the units below and the units above.

    below, above   units on either side, and their messages [unit n]
    k              taps of a kernel: its offsets, row by row
    q, p           positions of the image below and of the one above
    a, b           channels at a position below and above

A convolution is a dense layer at every position and tap, whose cells are the same at all positions. Which position
below a tap hears stands in a gather table; strides and padding are in it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core import draws
from vsml.core.cell import Cells
from vsml.core.types import RandomKey

Image = tuple[int, int, int]  # height, width, channels

# What a grid of cells does, in `ticks` ticks: (cells[a b h], fwd[a n], bwd[b n], ticks) -> (cells, fwd[b n], bwd[a n])
Grid = Callable[[Cells, Array, Array, int], tuple[Cells, Array, Array]]


class Dense(NamedTuple):
    """A cell for every pair of a unit below and a unit above."""

    below: int
    above: int

    def initial_state(self, key: RandomKey, hidden: int) -> Cells:
        return initial_cells(key, (self.below, self.above), self.below, hidden)

    def tick(self, grid: Grid, cells: Cells, fwd: Array, bwd: Array, ticks: int) -> tuple[Cells, Array, Array]:
        """Messages [below n] from below and [above n] from above; return those [above n] up and [below n] down."""
        return grid(cells, fwd, bwd, ticks)


class Convolution(NamedTuple):
    """A 2-D convolution, (kernel - 1) // 2 zeros above and left of the image: out = ceil(in / stride).

    A kernel of 3 has a zero on each side, as in the released code. The cells are [k a b h].
    """

    image: Image  # below
    channels: int  # above
    kernel: int
    stride: int

    @property
    def result(self) -> Image:
        height, width, _ = self.image
        return -(-height // self.stride), -(-width // self.stride), self.channels

    @property
    def below(self) -> int:
        return int(np.prod(self.image))

    @property
    def above(self) -> int:
        return int(np.prod(self.result))

    def initial_state(self, key: RandomKey, hidden: int) -> Cells:
        return initial_cells(key, (self.kernel**2, self.image[2], self.channels), self.kernel, hidden)

    def tick(self, grid: Grid, cells: Cells, fwd: Array, bwd: Array, ticks: int) -> tuple[Cells, Array, Array]:
        """As that of a dense layer; units are in the order height, width, channel."""
        n = fwd.shape[-1]
        table = taps(self.image, self.kernel, self.stride)
        fwd, bwd = fwd.reshape(-1, self.image[2], n), bwd.reshape(-1, self.channels, n)
        for _ in range(ticks):  # positions share the cells, so they must agree after every tick
            cells, up, down = convolve(grid, cells, fwd, bwd, table)
        return cells, up.reshape(-1, n), down.reshape(-1, n)


Layer = Dense | Convolution


def convolve(
    grid: Grid,
    cells: Cells,
    fwd: Float[Array, "q a n"],
    bwd: Float[Array, "p b n"],
    taps: Int[np.ndarray, "p k"],
) -> tuple[Cells, Float[Array, "p b n"], Float[Array, "q a n"]]:
    """One tick of cells [k a b h] that are shared by all positions.

    Every cell ticks at each position under the messages there; its new state is the mean over the positions. The
    message up to a position is the mean over taps and channels below, padding included, as in the released code. The
    message down to a position is the mean over the channels above and over all (p, k) that hear it, so that positions
    at the border speak as loudly as others. (The released code reaches only a part of the positions
    with a stride above 1, which must be an oversight.)
    """
    q = len(fwd)
    padded = jnp.concatenate([fwd, jnp.zeros_like(fwd[:1])])  # position q is the padding
    at_every_tap = jax.vmap(grid, in_axes=(0, 0, None, None))
    at_every_position = jax.vmap(at_every_tap, in_axes=(None, 0, 0, None))
    cells, up, down = at_every_position(cells, padded[taps], bwd, 1)
    # a border position has fewer taps: a mean over all of them would make it speak softer
    hears = np.bincount(taps.ravel(), minlength=q + 1)[:q].astype(np.float32)
    heard = jnp.zeros_like(padded).at[taps].add(down)[:q] / hears[:, None, None]
    return jax.tree.map(lambda z: z.mean(0), cells), up.mean(1), heard


def taps(image: Image, kernel: int, stride: int) -> Int[np.ndarray, "p k"]:
    """For each position above and each offset of the kernel, the position below; their number stands for padding.

    Raises:
      ValueError: the stride is too wide for the kernel, so that some position would have no connection.
    """
    if (
        stride < 1
        or kernel < 1
        or not all(np.isin(np.arange(size), _reach(size, kernel, stride)).all() for size in image[:2])
    ):
        raise ValueError(
            f"stride (={stride}) must be 1 or more, and less than what a kernel (={kernel}) reaches: some inputs of an "
            f"image of {image[0]} x {image[1]} would reach nothing. Take a wider kernel."
        )
    rows, columns = (_reach(size, kernel, stride) for size in image[:2])
    outside = image[0] * image[1]
    table = rows[:, None, :, None] * image[1] + columns[None, :, None, :]
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[None, :, None, :]
    return np.where(inside, table, outside).reshape(len(rows) * len(columns), kernel**2)


def _reach(size: int, kernel: int, stride: int) -> Int[np.ndarray, "out kernel"]:
    """Along one axis, the position below that each offset hears, -1 for padding."""
    reach = np.arange(-(-size // stride))[:, None] * stride + np.arange(kernel)[None, :] - (kernel - 1) // 2
    return np.where((reach >= 0) & (reach < size), reach, -1)


def initial_cells(key: RandomKey, grid: tuple[int, ...], fan_in: int, hidden: int) -> Cells:
    """The initial cells of a layer, random for every episode and not meta-learned (released code).

    The first half of the memory is truncated normal (two sd) of sd 1 / sqrt(fan_in), all else is zero. The fan-in of a
    dense layer are its units below, that of a convolution the side of its kernel.
    """
    half = hidden // 2
    memory = draws.truncated_normal(key, (*grid, half), -2.0, 2.0) * fan_in**-0.5
    memory = jnp.concatenate([memory, jnp.zeros((*grid, hidden - half))], axis=-1)
    return Cells(jnp.zeros_like(memory), memory)


def boundary(*channels: Float[Array, " unit"], message: int) -> Float[Array, "unit {message}"]:
    """What the world says to a layer: the given numbers in the first channels of each message, zeros in the rest."""
    return jnp.pad(jnp.stack(channels, axis=-1), ((0, 0), (0, message - len(channels))))
