"""Fast association: does one exposure to an image suffice? The paper's figure 9 (arXiv 2012.14905, section 5)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core.rollout import rollout
from vsml.core.types import Episode, Learner, RandomKey, Theta


def repeated_digits(
    key: RandomKey,
    x: Float[Array, "example features"],
    y: Int[Array | np.ndarray, " example"],
    classes: int = 10,
    per_class: int = 2,
    repeats: int = 2,
    identical: bool = True,
) -> tuple[Episode, Int[Array, " time"]]:
    """An episode of `per_class` random images of each class, in random order, each shown `repeats` times in a row.

    Our sources leave open what comes twice in a row. Not `identical` is the other reading: `per_class` times, `repeats`
    different images of one class follow each other. Return the episode and, for each moment, which image of the episode
    is seen: 0, 1, … in order of appearance.
    `y` must be known when the caller is traced: close over it.

    Raises:
      ValueError: a class has fewer examples than are shown of it, or `y` has a class beyond `classes`.
    """
    sizes = np.bincount(np.asarray(y), minlength=classes)
    need = per_class if identical else per_class * repeats
    if len(sizes) > classes or sizes.min() < need:
        raise ValueError(
            f"y must have classes 0 to {classes - 1}, each with at least {need} examples, got {sizes.tolist()}."
        )
    example_key, order_key = jax.random.split(key)
    shuffled = jax.random.permutation(example_key, len(x))
    by_class = shuffled[jnp.argsort(jnp.asarray(y)[shuffled], stable=True)]
    starts = np.cumsum(sizes) - sizes
    chosen = by_class[(starts[:, None] + np.arange(need)[None, :]).reshape(classes * per_class, -1)]
    chosen = jax.random.permutation(order_key, chosen)
    image = jnp.arange(chosen.size)
    seen = chosen.ravel()
    if identical:
        seen, image = jnp.repeat(seen, repeats), jnp.repeat(image, repeats)
    return Episode(x[seen], jax.nn.one_hot(jnp.asarray(y)[seen], classes, dtype=x.dtype)), image


def probabilities(learner: Learner, theta: Theta, key: RandomKey, episode: Episode) -> Float[Array, "time classes"]:
    """The probability of each class at each moment of an episode, before its label is shown."""
    return jax.nn.softmax(rollout(learner, theta, key, episode))
