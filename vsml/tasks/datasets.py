"""What is known of the data sets before a learner meets them: their size, their classes, their units."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Facts(NamedTuple):
    """The size of a data set, and the units of its features.

    `pixels` is the mean and the standard deviation of one pixel where all features are pixels of one
    kind, and None for a table whose columns have units of their own.
    """

    features: int
    classes: int
    pixels: tuple[float, float] | None = None


# The sets of scikit-learn's wheel. The pixel numbers of digits are those of the meta-train split, rounded: no
# meta-test image enters them.
SETS = {
    "digits": Facts(features=64, classes=10, pixels=(4.88, 6.02)),
    "wine": Facts(features=13, classes=3),
    "breast_cancer": Facts(features=30, classes=2),
    "iris": Facts(features=4, classes=3),
}


def standardise(facts: Facts, x: Float[Array | np.ndarray, "example features"]) -> Float[Array, "example features"]:
    """Bring raw features to about zero mean and unit variance.

    Pixels share the two numbers of `facts` (one scale for all, as the paper does for its images). The columns
    of a table have no such numbers: each is brought to zero mean and unit variance over the rows given. Labels
    are never used, but the rows are: a learner that meets them one by one has, in this, seen all of them before.
    A constant column becomes zero.

    Raises:
      ValueError: the rows do not have the number of features of `facts`.
    """
    if x.shape[1] != facts.features:
        raise ValueError(f"Each row must have {facts.features} features, got {x.shape[1]}: pass the facts of this set.")
    x = np.asarray(x, np.float64)  # before the mean is off, a column may be large and vary little
    if facts.pixels is not None:
        mean, sd = facts.pixels
    else:
        mean, sd = x.mean(axis=0, keepdims=True), x.std(axis=0, keepdims=True)
        sd[x.min(axis=0, keepdims=True) == x.max(axis=0, keepdims=True)] = np.inf  # rounding may leave a tiny sd
    return jnp.asarray((x - mean) / sd, jnp.float32)
