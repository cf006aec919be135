"""What is known of the data sets before a learner meets them: their size, their classes, their units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real


class Facts(NamedTuple):
    """The size of a data set, and the units of its features.

    `classes` counts those of both splits together. `pixels` is the mean and the standard deviation of one pixel, in
    the units of the stored array, where all features are pixels of one kind, and None for a table whose columns have
    units of their own. `shape` is (height, width, channels) of an image, whose features are flattened in this order.
    """

    features: int
    classes: int
    pixels: tuple[float, float] | None = None
    shape: tuple[int, int, int] | None = None


def _images(shape: tuple[int, int, int], classes: int, mean: float, sd: float) -> Facts:
    """Images of bytes. `mean` and `sd` are those of pixels in [0, 1], as the code of arXiv 2012.14905 has them."""
    height, width, channels = shape
    return Facts(height * width * channels, classes, (255 * mean, 255 * sd), shape)


# The pixel numbers of digits are those of the meta-train split, rounded: no meta-test image enters them. Those of the
# other images are the paper's, which takes MNIST's for Fashion-MNIST too. Its deviation of Omniglot, sqrt(m (1 - m)),
# is that of the black-and-white originals; resized to 28 x 28 they have some grey, and deviate less.
SETS = {
    "digits": Facts(features=64, classes=10, pixels=(4.88, 6.02), shape=(8, 8, 1)),
    "wine": Facts(features=13, classes=3),
    "breast_cancer": Facts(features=30, classes=2),
    "iris": Facts(features=4, classes=3),
    "mnist": _images((28, 28, 1), 10, 0.13066, 0.30811),
    "fashion_mnist": _images((28, 28, 1), 10, 0.13066, 0.30811),
    "kmnist": _images((28, 28, 1), 10, 0.19176, 0.34834),
    "emnist": _images((28, 28, 1), 62, 0.17392, 0.33191),
    "cifar10": _images((32, 32, 3), 10, 0.47336, 0.25157),
    "svhn": _images((32, 32, 3), 10, 0.45142, 0.19929),
    # A class is a character. No character is in both splits, so each has a number of its own: the 964 of the train
    # split come first, the 659 of the test split after them.
    "omniglot": _images((28, 28, 1), 964 + 659, 0.92206, 0.26808),
    "omniglot_small1": _images((28, 28, 1), 136, 0.92206, 0.26808),
    "omniglot_small2": _images((28, 28, 1), 106, 0.92206, 0.26808),
}


def standardise(facts: Facts, x: Real[Array | np.ndarray, "example features"]) -> Float[Array, "example features"]:
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
    if facts.pixels is not None and x.dtype == np.uint8:
        mean, sd = facts.pixels
        return _scaled(x, mean, sd)
    x = np.asarray(x, np.float64)  # before the mean is off, a column may be large and vary little
    if facts.pixels is not None:
        mean, sd = facts.pixels
    else:
        mean, sd = x.mean(axis=0, keepdims=True), x.std(axis=0, keepdims=True)
        sd[x.min(axis=0, keepdims=True) == x.max(axis=0, keepdims=True)] = np.inf  # rounding may leave a tiny sd
    return jnp.asarray((x - mean) / sd, jnp.float32)


@jax.jit
def _scaled(
    x: Real[Array, "example features"], mean: Float[Array, ""], sd: Float[Array, ""]
) -> Float[Array, "example features"]:
    """On the device and in one pass: of a large set there is no copy but this one."""
    return (x.astype(jnp.float32) - mean) / sd
