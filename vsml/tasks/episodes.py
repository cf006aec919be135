"""Episodes from data sets of labelled examples: those to meta-train on, and those to test with."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from vsml.core.types import Episode, RandomKey
from vsml.tasks.datasets import Facts
from vsml.tasks.views import View

Draw = Callable[[RandomKey], Episode]


class Source(NamedTuple):
    """A data set to draw from: raw features [example feature] and labels [example]."""

    facts: Facts
    x: np.ndarray
    y: np.ndarray


class Task(NamedTuple):
    """What an episode is about: classes of a source in one view.

    `classes` is how many of them, chosen and numbered at random for each episode, or which, numbered as they stand.
    """

    source: Source
    view: View
    classes: int | tuple[int, ...]


class Pool(NamedTuple):
    """The tasks of `stream` and `one_shot` as arrays; sources lie one after the other, without repetition."""

    x: Num[Array, "example feature"]
    by_class: Int[Array, " example"]  # rows of x: those of the first class of the first source, of the second, …
    starts: Int[Array, " class"]
    sizes: Int[Array, " class"]
    choices: Int[Array, "task choice"]  # the classes that a task may have; only the first `counts` of a row hold
    counts: Int[Array, " task"]
    shuffled: Int[Array, " task"]
    pixels: Float[Array, "task 2"]  # mean and standard deviation
    views: Int[Array, " task"]


def test_episode(
    key: RandomKey,
    x: Num[Array | np.ndarray, "example features"],
    y: Int[Array | np.ndarray, " example"],
    classes: int,
    length: int,
) -> Episode:
    """`length` examples in random order, no example twice.

    Raises:
      ValueError: there are fewer than `length` examples.
    """
    if length > len(x):
        raise ValueError(f"length (={length}) must be at most the number of examples (={len(x)}), each is shown once.")
    order = jax.random.permutation(key, len(x))[:length]
    return Episode(jnp.asarray(x)[order], jax.nn.one_hot(jnp.asarray(y)[order], classes))


def stream(tasks: Sequence[Task], length: int, projections: int | None = None, *, proportional: bool = False) -> Draw:
    """Draw one of `tasks`, and `length` examples of it: a class uniformly, then one of its examples, with replacement.

    If `proportional`, all examples have equal chances, so that classes are as frequent as in the set (released code).

    With `projections`, there are so many different views in all, instead of one for each episode.

    All data are arguments of what is returned and not constants in it: it is a pytree, and may be passed to a
    compiled function.

    Raises:
      ValueError: the tasks differ in their number of classes, or have more than their source.
    """
    return _draw(tasks, partial(_stream_labels, length=length, proportional=proportional), projections)


def one_shot(tasks: Sequence[Task], projections: int | None = None) -> Draw:
    """Draw one of `tasks`, one example of each of its classes in random order, and then another one of any class.

    The paper's Omniglot protocol; labels are shuffled, unlike in its released code.

    Raises:
      ValueError: as `stream`, or a class has a single example.
    """
    if any(np.unique(task.source.y, return_counts=True)[1].min() < 2 for task in tasks):
        raise ValueError("Each class must have 2 examples or more, one to show and one to ask for.")
    return _draw(tasks, _one_shot_labels, projections)


def _draw(tasks: Sequence[Task], labels: Callable, projections: int | None) -> Draw:
    """The data of `tasks` and how to draw from them, with equal chances for each."""
    counts = {task.classes if isinstance(task.classes, int) else len(task.classes) for task in tasks}
    if len(counts) > 1:
        raise ValueError(f"The tasks must have one number of classes, got {sorted(counts)}: draw them apart.")
    views = list(dict.fromkeys(task.view for task in tasks))
    draw = partial(_episode, labels=labels, views=tuple(views), classes=counts.pop(), projections=projections)
    return jax.tree_util.Partial(draw, _pool(tasks, views))


def _pool(tasks: Sequence[Task], views: list[View]) -> Pool:
    sources = list({id(task.source): task.source for task in tasks}.values())
    by_class, starts, sizes, first_class, first_row = [], [], [], {}, 0
    for source in sources:
        _, size = np.unique(source.y, return_counts=True)
        first_class[id(source)] = sum(map(len, sizes))
        by_class.append(first_row + np.argsort(source.y, kind="stable"))
        starts.append(first_row + np.cumsum(size) - size)
        sizes.append(size)
        first_row += len(source.y)
    choices = []
    for task in tasks:
        known = len(np.unique(task.source.y))
        chosen = range(known) if isinstance(task.classes, int) else task.classes
        wanted = task.classes if isinstance(task.classes, int) else max(chosen) + 1
        if wanted > known:
            raise ValueError(f"classes (={task.classes}) must be at most, or be numbers below, the {known} of the set.")
        choices.append(first_class[id(task.source)] + np.asarray(chosen))
    widest = max(map(len, choices))
    return Pool(
        x=jnp.concatenate([jnp.asarray(source.x) for source in sources]),
        by_class=jnp.asarray(np.concatenate(by_class)),
        starts=jnp.asarray(np.concatenate(starts)),
        sizes=jnp.asarray(np.concatenate(sizes)),
        choices=jnp.asarray([np.resize(chosen, widest) for chosen in choices]),
        counts=jnp.asarray([len(chosen) for chosen in choices]),
        shuffled=jnp.asarray([int(isinstance(task.classes, int)) for task in tasks]),
        pixels=jnp.asarray([task.source.facts.pixels for task in tasks], jnp.float32),
        views=jnp.asarray([views.index(task.view) for task in tasks]),
    )


def _episode(
    pool: Pool, key: RandomKey, *, labels: Callable, views: tuple[View, ...], classes: int, projections: int | None
) -> Episode:
    task_key, class_key, label_key, view_key = jax.random.split(key, 4)
    if projections is not None:
        # from a key of its own: the same few views in every run and for every meta-seed
        view_key = jax.random.fold_in(jax.random.key(0), jax.random.randint(view_key, (), 0, projections))
    task = jax.random.randint(task_key, (), 0, len(pool.counts))
    order = jnp.arange(pool.choices.shape[1])
    # 2 is beyond every uniform: slots that this task lacks sort last
    luck = jnp.where(order < pool.counts[task], jax.random.uniform(class_key, order.shape), 2.0)
    chosen = pool.choices[task][jnp.where(pool.shuffled[task], jnp.argsort(luck), order)[:classes]]
    label, rank = labels(label_key, pool.sizes[chosen])
    row = pool.by_class[pool.starts[chosen][label] + rank]
    mean, sd = pool.pixels[task]
    matrix = jax.lax.switch(pool.views[task], views, view_key)
    x = (pool.x[row].astype(jnp.float32) - mean) / sd
    return Episode(x @ matrix, jax.nn.one_hot(label, classes))


def _stream_labels(
    key: RandomKey, sizes: Int[Array, " classes"], *, length: int, proportional: bool
) -> tuple[Int[Array, " time"], Int[Array, " time"]]:
    """The class of each example, and its number within the class."""
    if proportional:
        ends = jnp.cumsum(sizes)
        example = jax.random.randint(key, (length,), 0, ends[-1])
        label = jnp.searchsorted(ends, example, side="right")
        return label, example - (ends - sizes)[label]
    label_key, rank_key = jax.random.split(key)
    label = jax.random.randint(label_key, (length,), 0, len(sizes))
    return label, jax.random.randint(rank_key, (length,), 0, sizes[label])


def _one_shot_labels(key: RandomKey, sizes: Int[Array, " classes"]) -> tuple[Int[Array, " time"], Int[Array, " time"]]:
    order_key, rank_key, ask_key, other_key = jax.random.split(key, 4)
    order = jax.random.permutation(order_key, len(sizes))
    shown = jax.random.randint(rank_key, sizes.shape, 0, sizes)
    asked = jax.random.randint(ask_key, (), 0, len(sizes))
    other = (shown[asked] + jax.random.randint(other_key, (), 1, sizes[asked])) % sizes[asked]
    return jnp.append(order, asked), jnp.append(shown[order], other)
