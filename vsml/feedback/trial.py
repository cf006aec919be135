"""What a learner knows after each part of an episode, and how its updates differ from those of gradient descent.

The definitions of alignment, interference and forgetting are ours: those of arXiv 2006.09549, section 7, are unknown.

    alignment     cosine between an update of a layer's weights and -dL/dW, same example, same weights
    interference  by how much an update for part i changes the loss on part j
    forgetting    loss on a part at the end of the episode, less that right after its support examples (from `loss`)

Axis letters: stretch (as many support examples as there are on one part), part, layer, query.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.types import Episode, Learner, RandomKey, State, Theta
from vsml.feedback.lifetime import answers, cut
from vsml.feedback.network import System
from vsml.feedback.tasks import Course
from vsml.meta.losses import Score


class Trial(NamedTuple):
    """One episode, measured at its start and after each stretch."""

    loss: Float[Array, "1+stretch part"]
    correct: Float[Array, "1+stretch part"]  # share of right answers; of no meaning for a regression
    cosine: Float[Array, " layer"]  # mean over support; NaN where no update and gradient was ever other than zero
    effect: Float[Array, "stretch part part"]  # change of the loss on the second by an update for the first


def run_episode(system: System, score: Score, course: Course, theta: Theta, key: RandomKey, episode: Episode) -> Trial:
    """Go through an episode of `course` with 2 queries a part or more: an update is made from the first of them.

    Raises:
      ValueError: there are fewer queries.
    """
    if course.queries < 2:
        raise ValueError(f"queries (={course.queries}) must be 2 or more: one is learned from, others are predicted.")
    learner = system.learner
    shown, asked = cut(system.seen(theta, episode), course.length)
    asked = jax.tree.map(lambda z: z.reshape(course.parts, course.queries, *z.shape[1:]), asked)
    stretches = jax.tree.map(lambda z: z.reshape(course.parts, course.support, *z.shape[1:]), shown)

    def stretch(state: State, support: Episode):
        state, cosines = jax.lax.scan(lambda s, example: _update(learner, score, theta, s, *example), state, support)
        return state, (state, cosines)

    start = learner.init_state(theta, key)
    _, (states, cosines) = jax.lax.scan(stretch, start, stretches)
    every = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, states)
    loss, correct = jax.lax.map(lambda state: _test(learner, score, theta, state, asked), every)
    effect = jax.lax.map(lambda state: _effects(learner, score, theta, state, asked), states)
    return Trial(loss, correct, jnp.nanmean(cosines, (0, 1)), effect)


def _update(
    learner: Learner, score: Score, theta: Theta, state: State, x: Array, y: Array
) -> tuple[State, Float[Array, " layer"]]:
    """The state after a support example, and the cosine of each layer's update with the way down."""
    after, _ = learner.step(theta, state, x, y)
    grads = jax.grad(lambda state: score(learner.step(theta, state, x, y)[1], y).mean())(state)
    cosines = [_cosine(after[name]["w"] - state[name]["w"], -grads[name]["w"]) for name in sorted(state, key=int)]
    return after, jnp.stack(cosines)


def _cosine(a: Array, b: Array) -> Float[Array, ""]:
    size = jnp.linalg.norm(a.ravel()) * jnp.linalg.norm(b.ravel())
    return jnp.where(size > 0, jnp.vdot(a, b) / jnp.where(size > 0, size, 1.0), jnp.nan)


def _test(
    learner: Learner, score: Score, theta: Theta, state: State, asked: Episode
) -> tuple[Float[Array, " part"], Float[Array, " part"]]:
    said = jax.vmap(lambda x, y: answers(learner, theta, state, x, y))(asked.x, asked.y)
    right = said.argmax(-1) == asked.y.argmax(-1)

    def mean(z: Array) -> Float[Array, " part"]:
        return z.reshape(len(z), -1).mean(-1)

    return mean(score(said, asked.y)), mean(right.astype(jnp.float32))


def _effects(learner: Learner, score: Score, theta: Theta, state: State, asked: Episode) -> Float[Array, "part part"]:
    first, others = jax.tree.map(lambda z: z[:, 0], asked), jax.tree.map(lambda z: z[:, 1:], asked)
    before, _ = _test(learner, score, theta, state, others)

    def after(x: Array, y: Array) -> Float[Array, " part"]:
        moved, _ = learner.step(theta, state, x, y)
        return _test(learner, score, theta, moved, others)[0]

    return jax.vmap(after)(first.x, first.y) - before[None]
