"""Characters that are drawn by a rule and need no data set: a class is a few strokes, a drawing is one hand's version.

A stroke is a quadratic Bezier curve; its ink is exp(-d^2 / 2 w^2) at distance d, and strokes join by their maximum.
Hands differ in where points lie, in slant, size, place and width. Our own stand-in for Omniglot, in kind only.

Axis letters: class, drawing, stroke, dot (along a stroke), pixel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from vsml.core import draws
from vsml.core.types import RandomKey

SIDE = 28  # pixels
STROKES, DOTS = 4, 12
FEWEST = 2  # strokes


def glyphs(key: RandomKey, classes: int, drawings: int) -> UInt8[Array, "class drawing pixel"]:
    """As bytes: 0 is paper, 255 ink. The same key gives the same characters."""

    @jax.jit
    def character(key: RandomKey) -> UInt8[Array, "drawing pixel"]:
        shape_key, count_key, hand_key = jax.random.split(key, 3)
        points = draws.uniform(shape_key, (STROKES, 3, 2), minval=-0.8, maxval=0.8)
        used = jnp.arange(STROKES) < jax.random.randint(count_key, (), FEWEST, STROKES + 1)
        hands = jax.random.split(hand_key, drawings)
        return jax.vmap(lambda hand: _drawn(hand, points, used))(hands)

    return jax.lax.map(character, jax.random.split(key, classes))


def _drawn(key: RandomKey, points: Float[Array, "stroke 3 2"], used: Array) -> UInt8[Array, " pixel"]:
    shake_key, form_key, place_key, width_key = jax.random.split(key, 4)
    form = jnp.eye(2) + 0.15 * draws.normal(form_key, (2, 2))
    points = points + 0.07 * draws.normal(shake_key, points.shape)
    points = points @ form + 0.06 * draws.normal(place_key, (1, 1, 2))
    at = jnp.linspace(0, 1, DOTS)
    bend = jnp.stack([(1 - at) ** 2, 2 * at * (1 - at), at**2])
    dots = jnp.einsum("pd,spx->sdx", bend, points)
    line = jnp.linspace(-1, 1, SIDE)
    height, width = jnp.meshgrid(line, line, indexing="ij")
    pixels = jnp.stack([height.ravel(), width.ravel()], -1)
    far = jnp.square(pixels[:, None, None] - dots[None]).sum(-1).min(-1)
    sharp = jax.random.uniform(width_key, (), minval=0.06, maxval=0.09)
    ink = jnp.where(used[None], jnp.exp(-far / (2 * sharp**2)), 0.0).max(-1)
    return jnp.round(255 * ink).astype(jnp.uint8)
