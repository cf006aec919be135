"""Incremental sine waves and few-shot characters: things to learn one after the other, and then queries on each.

A part is a function or a class. In order, all support examples of one part come before those of the next; shuffled, all
are mixed. The queries come last, part by part in that order (arXiv 2006.09549, after OML, 1905.12588).

Axis letters: part, support (of one part), query (of one part), point (of a mini-batch), class, drawing.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from vsml.core import draws
from vsml.core.types import Episode, RandomKey
from vsml.feedback.hands import Image, redrawn
from vsml.meta.estimators import Draw


class Course(NamedTuple):
    """How many parts an episode has, and how they come."""

    parts: int
    support: int  # examples of each part
    queries: int  # of each part
    in_order: bool

    @property
    def length(self) -> int:
        """Support examples of all parts."""
        return self.parts * self.support


def sines(course: Course, points: int, functions: int | None = None) -> Draw:
    """Functions A sin(x + phase), A in U[0.1, 5.1), phase in U[0, pi), at `points` x in U[-5, 5] an example.

    Examples are [point, one-hot of the part and x], targets [point, 1]. With `functions` there are only so many in
    all; without, each episode has fresh ones.
    """
    return jax.tree_util.Partial(partial(_sines, course=course, points=points, functions=functions))


def _sines(key: RandomKey, *, course: Course, points: int, functions: int | None) -> Episode:
    function_key, x_key, order_key = jax.random.split(key, 3)
    if functions is None:
        which, pool_key = jnp.arange(course.parts), function_key
    else:
        which = jax.random.choice(function_key, functions, (course.parts,), replace=False)
        # the same functions in every run, so that there are only so many
        pool_key = jax.random.key(0)

    def function(number: Array) -> Float[Array, "2"]:
        return jax.random.uniform(jax.random.fold_in(pool_key, number), (2,))

    drawn = jax.vmap(function)(which)
    amplitude, phase = 5 * (drawn[:, 0] + 0.02), jnp.pi * drawn[:, 1]
    shape = (course.parts, course.support + course.queries, points, 1)
    x = draws.uniform(x_key, shape, minval=-5.0, maxval=5.0)
    y = amplitude[:, None, None, None] * jnp.sin(x + phase[:, None, None, None])
    slot = jnp.broadcast_to(jnp.eye(course.parts)[:, None, None], (*shape[:-1], course.parts))
    return _arranged(order_key, course, jnp.concatenate([slot, x], -1), y)


class Hands(NamedTuple):
    """Who draws: see `redrawn`."""

    image: Image
    jitter: float


def characters(
    course: Course, pool: Num[Array, "class drawing pixels"], outputs: int, hands: Hands | None = None
) -> Draw:
    """Classes of a pool of drawings, support examples and queries of different drawings, labels in random order.

    With `hands` each drawing is redrawn whenever it is shown. The pool, bytes or numbers of 0 to 255 where ink is high,
    is an argument of what is returned and no constant in it.

    Raises:
      ValueError: the pool has too few classes or drawings, or there are too few outputs.
    """
    classes, drawings, _ = pool.shape
    wanted = course.support + course.queries
    if classes < course.parts or drawings < wanted:
        raise ValueError(
            f"{course.parts} classes of {wanted} drawings are wanted, and there are {classes} of {drawings}: ask for "
            "fewer, or take a larger set."
        )
    if outputs < course.parts:
        raise ValueError(f"outputs (={outputs}) must be at least the number of classes (={course.parts}).")
    return jax.tree_util.Partial(partial(_characters, course=course, outputs=outputs, hands=hands), pool)


def _characters(
    pool: Num[Array, "class drawing pixels"], key: RandomKey, *, course: Course, outputs: int, hands: Hands | None
) -> Episode:
    class_key, drawing_key, label_key, order_key, hand_key = jax.random.split(key, 5)
    classes, drawings, _ = pool.shape
    chosen = jax.random.choice(class_key, classes, (course.parts,), replace=False)
    wanted = course.support + course.queries
    keys = jax.random.split(drawing_key, course.parts)
    shown = jax.vmap(lambda k: jax.random.permutation(k, drawings)[:wanted])(keys)
    x = _shown(hand_key, pool[chosen[:, None], shown], hands)
    label = jax.nn.one_hot(jax.random.permutation(label_key, course.parts), outputs)
    return _arranged(order_key, course, x, jnp.broadcast_to(label[:, None], (*x.shape[:2], outputs)))


def catalogue(pool: Num[Array, "class drawing pixels"], examples: int, hands: Hands | None = None) -> Draw:
    """So many random drawings of a pool at once, each with the number of its class in the pool, which never changes."""
    return jax.tree_util.Partial(partial(_catalogue, examples=examples, hands=hands), pool)


def _catalogue(
    pool: Num[Array, "class drawing pixels"], key: RandomKey, *, examples: int, hands: Hands | None
) -> Episode:
    class_key, drawing_key, hand_key = jax.random.split(key, 3)
    classes, drawings, _ = pool.shape
    chosen = jax.random.randint(class_key, (examples,), 0, classes)
    shown = jax.random.randint(drawing_key, (examples,), 0, drawings)
    return Episode(_shown(hand_key, pool[chosen, shown], hands), jax.nn.one_hot(chosen, classes))


def _shown(key: RandomKey, drawings: Num[Array, "*any pixels"], hands: Hands | None) -> Float[Array, "*any pixels"]:
    x = drawings.astype(jnp.float32) / 255
    return x if hands is None else redrawn(key, x.reshape(-1, x.shape[-1]), *hands).reshape(x.shape)


def _arranged(
    key: RandomKey, course: Course, x: Float[Array, "part time ..."], y: Float[Array, "part time ..."]
) -> Episode:
    """The support examples of all parts, in order or shuffled, and then the queries."""
    order = jnp.arange(course.length) if course.in_order else jax.random.permutation(key, course.length)

    def arrange(z: Array) -> Array:
        shown, asked = z[:, : course.support], z[:, course.support :]
        return jnp.concatenate([shown.reshape(-1, *z.shape[2:])[order], asked.reshape(-1, *z.shape[2:])])

    return Episode(arrange(x), arrange(y))
