"""What a learner knows after each part of a life, and how its updates differ from those of gradient descent.

The definitions of alignment, interference and forgetting are ours: those of arXiv 2006.09549, section 7, are unknown.

    alignment     cosine between an update of a layer's weights and -dL/dW, same lesson, same weights
    interference  by how much an update for part i changes the loss on part j
    forgetting    loss on a part at the end of the life, less that right after its lessons (from `loss`)

Axis letters: stretch (as many lessons as there are on one part), part, layer, question.
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
    """One life, looked at when it is born and after each stretch."""

    loss: Float[Array, "1+stretch part"]
    correct: Float[Array, "1+stretch part"]  # share of right answers; of no meaning for a regression
    cosine: Float[Array, " layer"]  # mean over lessons; NaN where no update and gradient was ever other than zero
    effect: Float[Array, "stretch part part"]  # change of the loss on the second by an update for the first


def live(system: System, score: Score, course: Course, theta: Theta, key: RandomKey, episode: Episode) -> Trial:
    """A life on an episode of `course`, with 2 questions a part or more: an update is made from the first of them.

    Raises:
      ValueError: there are fewer questions.
    """
    if course.questions < 2:
        raise ValueError(f"questions (={course.questions}) must be 2 or more: one is learned from, others are asked.")
    learner = system.learner
    taught, asked = cut(system.seen(theta, episode), course.length)
    asked = jax.tree.map(lambda z: z.reshape(course.parts, course.questions, *z.shape[1:]), asked)
    stretches = jax.tree.map(lambda z: z.reshape(course.parts, course.lessons, *z.shape[1:]), taught)

    def stretch(state: State, lessons: Episode):
        state, cosines = jax.lax.scan(lambda s, lesson: _lesson(learner, score, theta, s, *lesson), state, lessons)
        return state, (state, cosines)

    born = learner.init_state(theta, key)
    _, (states, cosines) = jax.lax.scan(stretch, born, stretches)
    every = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), born, states)
    loss, correct = jax.lax.map(lambda state: _exam(learner, score, theta, state, asked), every)
    effect = jax.lax.map(lambda state: _effects(learner, score, theta, state, asked), states)
    return Trial(loss, correct, jnp.nanmean(cosines, (0, 1)), effect)


def _lesson(
    learner: Learner, score: Score, theta: Theta, state: State, x: Array, y: Array
) -> tuple[State, Float[Array, " layer"]]:
    """The state after a lesson, and the cosine of each layer's update with the way down."""
    after, _ = learner.step(theta, state, x, y)
    grads = jax.grad(lambda state: score(learner.step(theta, state, x, y)[1], y).mean())(state)
    cosines = [_cosine(after[name]["w"] - state[name]["w"], -grads[name]["w"]) for name in sorted(state, key=int)]
    return after, jnp.stack(cosines)


def _cosine(a: Array, b: Array) -> Float[Array, ""]:
    size = jnp.linalg.norm(a.ravel()) * jnp.linalg.norm(b.ravel())
    return jnp.where(size > 0, jnp.vdot(a, b) / jnp.where(size > 0, size, 1.0), jnp.nan)


def _exam(
    learner: Learner, score: Score, theta: Theta, state: State, asked: Episode
) -> tuple[Float[Array, " part"], Float[Array, " part"]]:
    said = jax.vmap(lambda x, y: answers(learner, theta, state, x, y))(asked.x, asked.y)
    right = said.argmax(-1) == asked.y.argmax(-1)

    def mean(z: Array) -> Float[Array, " part"]:
        return z.reshape(len(z), -1).mean(-1)

    return mean(score(said, asked.y)), mean(right.astype(jnp.float32))


def _effects(learner: Learner, score: Score, theta: Theta, state: State, asked: Episode) -> Float[Array, "part part"]:
    first, others = jax.tree.map(lambda z: z[:, 0], asked), jax.tree.map(lambda z: z[:, 1:], asked)
    before, _ = _exam(learner, score, theta, state, others)

    def after(x: Array, y: Array) -> Float[Array, " part"]:
        moved, _ = learner.step(theta, state, x, y)
        return _exam(learner, score, theta, moved, others)[0]

    return jax.vmap(after)(first.x, first.y) - before[None]
