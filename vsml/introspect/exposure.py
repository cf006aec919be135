"""One exposure: what a single example changes, how long that lasts, and what a wrong label does.

After some examples an episode forks. One branch sees nothing more, one sees an image with its right label, one sees
the same image with a wrong label; then all three go through the same examples. At every moment after the fork, queries
that change nothing ask for the probability of the right and of the wrong class

    same      for the image of the fork itself
    other     for other images of its class that were never shown
    stranger  for images of the other classes

The gain of one exposure is the probability of the right class in the branch that saw it, less that in the branch that
did not: the same episode twice, so nothing else differs. Strangers are the control: a learner that merely repeats the
last label gains as much on them, and has associated nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core.types import Episode, Learner, RandomKey, State, Theta
from vsml.introspect.querying import predict_only

LABEL_SHOWN = ("nothing", "right", "wrong")
QUERIES = ("same", "other", "stranger")


class Fork(NamedTuple):
    """An episode, and what may be shown in it: one image, its label, and a wrong one."""

    episode: Episode
    x: Float[Array, " features"]
    right: Float[Array, " classes"]
    wrong: Float[Array, " classes"]
    others: Float[Array, "others features"]
    strangers: Float[Array, "others features"]


def draw_fork(
    key: RandomKey,
    x: Float[Array, "example features"],
    y: Int[Array | np.ndarray, " example"],
    classes: int,
    length: int,
    others: int,
) -> Fork:
    """A random image, `others` more of its class and of other classes, and an episode of `length` other examples.

    `y` must be known when the caller is traced: close over it.

    Raises:
      ValueError: too few examples in all, or in a class.
    """
    sizes = np.bincount(np.asarray(y), minlength=classes)
    if sizes.min() <= others or len(y) < length + 1 + 2 * others:
        raise ValueError(
            f"y has {len(y)} examples, {sizes.min()} of its rarest class: there must be {length + 1 + 2 * others} "
            f"(the episode and the queries), more than others (={others}) of each class. Lower length or others."
        )
    order_key, wrong_key = jax.random.split(key)
    first, rest = jnp.split(jax.random.permutation(order_key, len(y)), [1])
    label = jnp.asarray(y)
    kin = label[rest] == label[first]
    same = rest[jnp.argsort(~kin, stable=True)][:others]
    strangers = rest[jnp.argsort(kin, stable=True)][:others]
    query = jnp.isin(rest, jnp.concatenate([same, strangers]))
    shown = rest[jnp.argsort(query, stable=True)][:length]
    shift = jax.random.randint(wrong_key, (), 1, classes)
    one_hot = jax.nn.one_hot(label, classes, dtype=x.dtype)
    wrong = jnp.roll(one_hot[first[0]], shift)
    return Fork(Episode(x[shown], one_hot[shown]), x[first[0]], one_hot[first[0]], wrong, x[same], x[strangers])


def follow(
    learner: Learner, theta: Theta, key: RandomKey, fork: Fork, age: Int[Array, ""], gaps: int
) -> Float[Array, "label_shown gap query class"]:
    """Go through `age` examples, fork, go through `gaps` more; the probabilities after 0, 1, …, `gaps` of them.

    label_shown: `LABEL_SHOWN`; query: `QUERIES`, the mean over images of a kind; class: the right
    one, then the wrong one. The episode must be `gaps` + 1 longer than any age, which may be traced, so that all ages
    are one compilation.
    """
    state = learner.init_state(theta, key)
    state = jax.lax.fori_loop(
        0, age, lambda t, s: learner.step(theta, s, fork.episode.x[t], fork.episode.y[t])[0], state
    )
    branches = [state, *(learner.step(theta, state, fork.x, y)[0] for y in (fork.right, fork.wrong))]
    after = jax.tree.map(lambda z: jax.lax.dynamic_slice_in_dim(z, age, gaps + 1), fork.episode)

    def advance(state: State, example: tuple[Array, Array]):
        return learner.step(theta, state, *example)[0], _probabilities(learner, theta, state, fork)

    states = jax.tree.map(lambda *z: jnp.stack(z), *branches)
    return jax.vmap(lambda s: jax.lax.scan(advance, s, tuple(after))[1])(states)


def _probabilities(learner: Learner, theta: Theta, state: State, fork: Fork) -> Float[Array, "query class"]:
    images = jnp.concatenate([fork.x[None], fork.others, fork.strangers])
    probability = jax.nn.softmax(predict_only(learner, theta, state, images, len(fork.right)))
    asked = probability @ jnp.stack([fork.right, fork.wrong], axis=1)
    same, others, strangers = jnp.split(asked, [1, 1 + len(fork.others)])
    return jnp.stack([same[0], others.mean(0), strangers.mean(0)])
