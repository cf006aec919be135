"""Data sets that are drawn, not loaded: nothing in them can have been seen in meta-training (arXiv 2012.14905, 4.4)."""

import jax
import jax.numpy as jnp

from vsml.core import draws
from vsml.core.types import Episode, RandomKey


def random_points(key: RandomKey, length: int, features: int, classes: int = 10, points: int = 20) -> Episode:
    """`points` fixed points of N(0, 1) with random labels: association and nothing else.

    Each is shown once in every `points` examples, each time in a new order (once in so many: released code).
    """
    point_key, label_key, visit_key = jax.random.split(key, 3)
    luck = draws.uniform(visit_key, (-(-length // points), points))
    visited = jnp.argsort(luck, axis=1).ravel()[:length]
    x = draws.normal(point_key, (points, features))
    y = jax.nn.one_hot(jax.random.randint(label_key, (points,), 0, classes), classes)
    return Episode(x[visited], y[visited])


def sum_sign(key: RandomKey, length: int, features: int) -> Episode:
    """Whether the features of an example add up to zero or more: two classes, no example twice.

    Features are normal, cut at 2 sd, around a mean U(-1, 1) that all features of one example share.
    """
    mean_key, noise_key = jax.random.split(key)
    mean = jax.random.uniform(mean_key, (length, 1), minval=-1.0, maxval=1.0)
    x = mean + draws.truncated_normal(noise_key, (length, features), -2.0, 2.0)
    return Episode(x, jax.nn.one_hot((jnp.sum(x, axis=1) >= 0).astype(int), 2))
