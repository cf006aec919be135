"""Episodes from a data set of labelled examples: lifetimes to meta-train on, and lifetimes to be tested by."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core.types import Episode, RandomKey
from vsml.tasks.transforms import random_projection


def test_episode(
    key: RandomKey,
    x: Float[Array, "example features"],
    y: Int[Array | np.ndarray, " example"],
    classes: int,
    length: int,
) -> Episode:
    """`length` examples in random order, no example twice.

    Raises:
      ValueError: there are fewer than `length` examples.
    """
    if length > len(x):
        raise ValueError(f"length (={length}) must be at most the number of examples (={len(x)}), each is lived once.")
    order = jax.random.permutation(key, len(x))[:length]
    return Episode(x[order], jax.nn.one_hot(jnp.asarray(y)[order], classes, dtype=x.dtype))


def raw_episode(
    key: RandomKey,
    x: Float[Array, "example features"],
    y: Int[Array | np.ndarray, " example"],
    *,
    classes: int,
    length: int,
) -> Episode:
    """A task of its own: a random subset of `classes` of the classes in `y`, in a fresh random order.

    Each of the `length` examples is of a class drawn uniformly from the subset, and is drawn uniformly, with
    replacement, from the examples of that class; labels are positions in the fresh order. The index of examples
    by class is made once, when the caller is traced, so `y` must be known then: close over it.

    Raises:
      ValueError: `y` has fewer than `classes` classes.
    """
    _, sizes = np.unique(np.asarray(y), return_counts=True)
    if classes > len(sizes):
        raise ValueError(f"classes (={classes}) must be at most the number of classes in y (={len(sizes)}).")
    by_class = jnp.asarray(np.argsort(np.asarray(y), kind="stable"))  # examples of the first class, of the second, …
    starts, sizes = jnp.asarray(np.cumsum(sizes) - sizes), jnp.asarray(sizes)

    subset_key, label_key, example_key = jax.random.split(key, 3)
    subset = jax.random.permutation(subset_key, len(sizes))[:classes]
    label = jax.random.randint(label_key, (length,), 0, classes)
    drawn = subset[label]
    order = by_class[starts[drawn] + jax.random.randint(example_key, (length,), 0, sizes[drawn])]
    return Episode(x[order], jax.nn.one_hot(label, classes, dtype=x.dtype))


def projected_episode(
    key: RandomKey,
    x: Float[Array, "example features"],
    y: Int[Array | np.ndarray, " example"],
    *,
    inputs: int,
    classes: int,
    length: int,
) -> Episode:
    """The meta-training task: a `raw_episode` seen through its own random projection to `inputs` features.

    The projection is scaled so that features of mean square 1 keep it, whatever `inputs` is; the scale is 1 when
    `inputs` is the number of features, as in the paper.

    Raises:
      ValueError: as `raw_episode`.
    """
    projection_key, episode_key = jax.random.split(key)
    episode = raw_episode(episode_key, x, y, classes=classes, length=length)
    features = x.shape[1]
    scale = ((features + inputs) / (2 * features)) ** 0.5
    return episode._replace(x=scale * random_projection(projection_key, episode.x, inputs))
