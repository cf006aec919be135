"""The same drawing from another hand: of another size, more slanted, elsewhere on the paper. Ours, to have more.

Axis letters: drawing, pixel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.types import RandomKey

Image = tuple[int, int, int]  # height, width, channels


def redrawn(
    key: RandomKey, x: Float[Array, "drawing pixels"], image: Image, jitter: float
) -> Float[Array, "drawing pixels"]:
    """Each drawing by a hand of its own, paper where nothing was drawn.

    Height, width and slant each change by up to `jitter`, and so does the place, in halves of the image.
    """
    height, width, channels = image

    def one(key: RandomKey, drawing: Float[Array, " pixels"]) -> Float[Array, " pixels"]:
        size_key, slant_key, place_key = jax.random.split(key, 3)
        size = 1 + jax.random.uniform(size_key, (2,), minval=-jitter, maxval=jitter)
        slant = jax.random.uniform(slant_key, (), minval=-jitter, maxval=jitter)
        place = jax.random.uniform(place_key, (2,), minval=-jitter, maxval=jitter)
        lines, columns = jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij")
        at_line = (lines - place[0]) / size[0]
        at_column = (columns - place[1] - slant * lines) / size[1]
        at = [(at_line + 1) * (height - 1) / 2, (at_column + 1) * (width - 1) / 2]
        layers = jnp.moveaxis(drawing.reshape(height, width, channels), -1, 0)
        moved = jax.vmap(lambda layer: jax.scipy.ndimage.map_coordinates(layer, at, order=1))(layers)
        return jnp.moveaxis(moved, 0, -1).ravel()

    return jax.vmap(one)(jax.random.split(key, len(x)), x)
