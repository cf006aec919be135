"""The draws of jax.random for arrays of several axes, in programs that compile fast; the numbers are the same bits.

XLA on a CPU takes two seconds to compile a draw of three axes (of a batch: one more), and 0.3 s for as many numbers in
a row: the numbers of a draw depend on its key and on their number, so they may be drawn in a row and then arranged.
"""

import functools
import math
from collections.abc import Callable

import jax
from jaxtyping import Array

from vsml.core.types import RandomKey


def _in_a_row(sampler: Callable[..., Array]) -> Callable[..., Array]:
    """`sampler` of jax.random, called as (key, shape, its own arguments)."""

    @functools.wraps(sampler)
    def draw(key: RandomKey, shape: tuple[int, ...], *arguments, **more) -> Array:
        return sampler(key, *arguments, shape=(math.prod(shape),), **more).reshape(shape)

    return draw


normal = _in_a_row(jax.random.normal)
uniform = _in_a_row(jax.random.uniform)
truncated_normal = _in_a_row(jax.random.truncated_normal)
bernoulli = _in_a_row(jax.random.bernoulli)
rademacher = _in_a_row(jax.random.rademacher)
