"""Ways to make a new task of an old one: the same labels, seen through other features."""

import jax
from jaxtyping import Array, Float

from vsml.core.types import RandomKey


def random_projection(
    key: RandomKey, x: Float[Array, "example features"], inputs: int
) -> Float[Array, "example {inputs}"]:
    """Mix the features of every example by one fresh random matrix into `inputs` new ones.

    The entries are U(-l, l) with l = sqrt(6 / (features + inputs)) (code of arXiv 2012.14905, there square).
    The mean square of the features changes by the factor 2 features / (features + inputs) on average.
    """
    features = x.shape[1]
    limit = (6 / (features + inputs)) ** 0.5
    return x @ jax.random.uniform(key, (features, inputs), x.dtype, -limit, limit)
