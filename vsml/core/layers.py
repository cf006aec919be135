"""Layers: grids of cells between the units below and the units above."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import Cells
from vsml.core.types import RandomKey


def newborn(key: RandomKey, below: int, above: int, hidden: int) -> Cells:
    """The cells of a dense layer at birth, random for every life and not meta-learned (released code).

    The first half of the memory is truncated normal (two sd) of sd 1 / sqrt(below); all else is zero.
    """
    half = hidden // 2
    memory = jax.random.truncated_normal(key, -2.0, 2.0, (below, above, half)) * below**-0.5
    memory = jnp.concatenate([memory, jnp.zeros((below, above, hidden - half))], axis=-1)
    return Cells(jnp.zeros_like(memory), memory)


def boundary(*channels: Float[Array, " unit"], message: int) -> Float[Array, "unit {message}"]:
    """What the world says to a layer: the given numbers in the first channels of each message, zeros in the rest."""
    return jnp.pad(jnp.stack(channels, axis=-1), ((0, 0), (0, message - len(channels))))
