"""A learned rule on a stream of examples: what `vsml.VSMLClassifier` and `vsml.river` have in common.

Compiled programs are shared by all learners of one form. They take chunks of a few sizes only, of which they go through
as many examples as there are, so a stream of odd chunks compiles no more than three of them.
"""

import json
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core.types import Learner, State, Theta
from vsml.learners.settings import FIXED_SIZE, learner
from vsml.random_features import with_random_features
from vsml.zoo import Rule, load, whole

CHUNKS = (1, 32, 1024)  # examples of a compiled program
CLASSIFY = ("vsml", *FIXED_SIZE)  # kinds of rules
FARTHEST = 1e150  # of a feature as it comes, whose square is then finite in 64 bits
LARGEST = 1e6  # of a standardised feature: the gates are flat long before, and it is far from the end of float32

# Of each feature, [n feature] or [1 feature]: how many examples had it, their mean, their squared deviations from it.
Units = tuple[np.ndarray, np.ndarray, np.ndarray]


class Online:
    """A rule within an episode: its state, and the mean and the variance of each feature so far.

    All of it is plain arrays, so it can be copied and pickled. A feature that is nan is missing: it counts in no mean
    and is shown as 0, the mean.
    """

    def __init__(
        self, rule: Any, features: int, classes: int, *, random_features=0, standardise: bool = True, seed: int = 0
    ) -> None:
        """Begin an episode.

        Args:
          rule: a name of `vsml.names()`, the path of a file of `vsml.save`, or a `Rule`.
          features, classes: of an example, and of its label.
          random_features: fixed random functions that are shown beside each example; see `vsml.random_features`.
          standardise: bring features to mean 0 and variance 1. If not, they should come like that.
          seed: of the random initial state.

        Raises:
          ValueError: the rule does not classify, or not so many features or classes, or random_features is no number.
        """
        rule = rule if isinstance(rule, Rule) else load(rule)
        if (kind := rule.settings["name"]) not in CLASSIFY:
            raise ValueError(f"{rule.name!r} is a rule of the kind {kind!r}, it must be one of {CLASSIFY}, as 'mnist'.")
        self._form = json.dumps(rule.settings), whole("random_features", random_features, 0)
        self._theta: Theta = jax.tree.map(jnp.asarray, rule.theta)
        self._standardise, self._seed = standardise, seed
        self.features, self.classes = features, classes
        self._state: State = self._initial(features, classes)
        none = np.zeros((1, features))
        self._units: Units = none, none, none

    def learn(self, x: np.ndarray, y: np.ndarray, *, known: bool = False) -> None:
        """Learn examples in their order.

        Args:
          x: [n features], in their own units.
          y: [n], the number of each one's class, from 0 on.
          known: standardise by all examples of x. Else each one by those up to itself, so it makes no difference how a
            stream is cut into chunks.

        Raises:
          ValueError: the shapes do not fit, a feature is infinite, or a number is that of no class.
        """
        x, y = self._checked(x), np.asarray(y)
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or not ((y >= 0) & (y < self.classes)).all():
            raise ValueError(
                f"y (shape {y.shape}, dtype {y.dtype}) must have {len(x)} class numbers from 0 to {self.classes - 1}, "
                "one an example."
            )
        units, state = self._units, self._state
        for rows in _blocks(len(x)) if known else ():
            units = _last(_running(units, x[rows]))
        for rows in _blocks(len(x)):
            at_each = units if known else _running(units, x[rows])
            shown = _padded(self._standardised(x[rows], at_each)), _padded(y[rows].astype(np.int32))
            state = _learn(self._learner(), self.classes, self._theta, state, *shown, rows.stop - rows.start)
            units = _last(at_each)
        self._units, self._state = units, state  # at the end: who interrupts this finds what was there before

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Those of each class [n classes] for examples x [n features], by what was learned; nothing is learned here.

        Raises:
          ValueError: the shape does not fit, or a feature is infinite.
        """
        x = self._checked(x)
        logits = np.empty((len(x), self.classes))
        for rows in _blocks(len(x)):
            asked, count = _padded(self._standardised(x[rows], self._units)), rows.stop - rows.start
            logits[rows] = _predict(self._learner(), self.classes, self._theta, self._state, asked, count)[:count]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    def grow(self, features: int, classes: int) -> None:
        """Go on with more features or classes: what was learned stays, new connections begin as in a new episode."""
        wider = jax.tree.map(partial(_grown, at=self.features), self._state, self._initial(features, self.classes))
        self._state = jax.tree.map(_grown, wider, self._initial(features, classes))
        self.features, self.classes = features, classes
        seen, mean, squares = (np.pad(part, ((0, 0), (0, features - part.shape[1]))) for part in self._units)
        self._units = seen, mean, squares

    def _learner(self) -> Learner:
        return _built(*self._form, self.features, self.classes)

    def _initial(self, features: int, classes: int) -> State:
        return _built(*self._form, features, classes).init_state(self._theta, jax.random.key(self._seed))

    def _checked(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(f"x (shape {x.shape}) must be [n, {self.features}], the features of each of n examples.")
        if (beyond := (np.abs(x) > FARTHEST).any(1)).any():
            where = f"beyond {FARTHEST:g}, first in example {beyond.argmax()}"
            raise ValueError(f"x has infinite features or some {where}: replace or remove them.")
        return x

    def _standardised(self, x: np.ndarray, units: Units) -> np.ndarray:
        if self._standardise:
            seen, mean, squares = units
            sd = np.sqrt(squares / np.maximum(seen, 1))
            x = np.divide(x - mean, sd, out=np.zeros_like(x), where=sd > 0)
        return np.clip(np.nan_to_num(x), -LARGEST, LARGEST).astype(np.float32)


def _running(units: Units, x: np.ndarray) -> Units:
    """The units after each example of x [n features].

    In 64 bits, and from deviations from an old mean: features may be large and vary little.
    """
    seen, mean, squares = units
    first = np.take_along_axis(x, (~np.isnan(x)).argmax(0)[None], axis=0)  # number of each feature, if there is one
    before = np.where(seen > 0, mean, np.nan_to_num(first))
    deviations = np.where(np.isnan(x), 0.0, x - before)
    seen, drift = seen + (~np.isnan(x)).cumsum(0), deviations.cumsum(0)
    mean_drift = drift / np.maximum(seen, 1)
    squares = squares + np.square(deviations).cumsum(0) - drift * mean_drift
    return seen, before + mean_drift, np.maximum(squares, 0.0)


def _last(units: Units) -> Units:
    seen, mean, squares = units
    return seen[-1:], mean[-1:], squares[-1:]


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNKS[-1], count)) for start in range(0, count, CHUNKS[-1]))


def _padded(rows: np.ndarray) -> np.ndarray:
    """With zeros at the end, so that they fill a chunk of the next size."""
    size = next(size for size in CHUNKS if size >= len(rows))
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


def _grown(old: Array, new: Array, at: int | None = None) -> Array:
    """`old` in the shape of `new`, one axis of which may be longer; what is more is at `at`, by default at the end."""
    for axis, (size, wanted) in enumerate(zip(old.shape, new.shape, strict=True)):
        if size < wanted:
            place = size if at is None else at
            head, tail = jnp.split(old, [place], axis)
            old = jnp.concatenate(
                [head, jax.lax.slice_in_dim(new, place, place + wanted - size, axis=axis), tail], axis
            )
    return old


@lru_cache(maxsize=64)
def _built(settings: str, random_features: int, features: int, classes: int) -> Learner:
    """One object for all learners of a form, by which compiled programs are found again."""
    sized = partial(learner, json.loads(settings))
    return (with_random_features(sized, random_features) if random_features else sized)(features, classes)


@partial(jax.jit, static_argnums=(0, 1))
def _learn(
    learner: Learner,
    classes: int,
    theta: Theta,
    state: State,
    x: Float[Array, "chunk features"],
    y: Int[Array, " chunk"],
    count: Int[Array, ""],
) -> State:
    """The state after the first `count` examples of a chunk."""
    return jax.lax.fori_loop(
        0, count, lambda i, state: learner.step(theta, state, x[i], jax.nn.one_hot(y[i], classes))[0], state
    )


@partial(jax.jit, static_argnums=(0, 1))
def _predict(
    learner: Learner, classes: int, theta: Theta, state: State, x: Float[Array, "chunk features"], count: Int[Array, ""]
) -> Float[Array, "chunk classes"]:
    """The logits of the first `count` examples of a chunk, each from this very state."""
    nothing = jnp.zeros(classes)  # a step takes a label, but predicts before it may matter

    def one(i: Int[Array, ""], logits: Float[Array, "chunk classes"]) -> Float[Array, "chunk classes"]:
        return logits.at[i].set(learner.step(theta, state, x[i], nothing)[1])

    return jax.lax.fori_loop(0, count, one, jnp.zeros((len(x), classes)))
