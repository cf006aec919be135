"""Ways to see an example: all are linear maps of its features, so a view is a matrix, drawn anew for every episode."""

from collections.abc import Callable
from math import isqrt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.layers import Image
from vsml.core.types import RandomKey

Matrix = Float[Array, "features inputs"]
View = Callable[[RandomKey], Matrix]


def view(name: str, image: Image | None, features: int, inputs: int) -> View:
    """The view of that name, from `features` of an example to `inputs` numbers.

      raw                 the features; images are resized to a square of `inputs` pixels if need be
      projected           mixed by a random matrix into `inputs` new ones (`random_projection`)
      resized_projected   resized first, then mixed into as many (figure 7 of arXiv 2012.14905)
      shuffled            the features in a random order

    Raises:
      ValueError: no such view, or one that cannot give `inputs` numbers.
    """
    match name:
        case "raw":
            matrix = resizing(image, features, inputs)
            return lambda key: jnp.asarray(matrix)
        case "projected":
            return lambda key: random_projection(key, features, inputs)
        case "resized_projected":
            matrix = resizing(image, features, inputs)
            return lambda key: jnp.asarray(matrix) @ random_projection(key, inputs, inputs)
        case "shuffled" if inputs == features:
            return lambda key: jax.random.permutation(key, jnp.eye(features))
        case "shuffled":
            raise ValueError(f"inputs (={inputs}) must be the number of features (={features}) to shuffle them.")
    raise ValueError(f"{name!r} is none of the views: raw, projected, resized_projected, shuffled.")


def random_projection(key: RandomKey, features: int, inputs: int) -> Matrix:
    """Entries U(-l, l), scaled so that features of mean square 1 keep it on average, whatever `inputs` is.

    l = sqrt(6 / (features + inputs)) as in the code of arXiv 2012.14905; there it is square and the scale is 1.
    """
    limit = (6 / (features + inputs)) ** 0.5
    scale = ((features + inputs) / (2 * features)) ** 0.5
    return scale * draws.uniform(key, (features, inputs), minval=-limit, maxval=limit)


def resizing(image: Image | None, features: int, inputs: int) -> Float[np.ndarray, "features inputs"]:
    """Bilinear, with antialiasing, to a square of `inputs` grey pixels; the identity if the number is the same.

    Raises:
      ValueError: not an image, or `inputs` is no square number.
    """
    if inputs == features:
        return np.eye(features, dtype=np.float32)
    side = isqrt(inputs)
    if image is None or side**2 != inputs:
        raise ValueError(f"inputs (={inputs}) must be {features} as in the set, or a square number if it has images.")
    height, width, channels = image
    units = np.eye(height * width, dtype=np.float32).reshape(-1, height, width)
    grey = np.asarray(jax.image.resize(units, (len(units), side, side), "linear")).reshape(-1, inputs)
    return np.repeat(grey / channels, channels, axis=0)
