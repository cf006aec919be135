"""Clones learn a data set by unrolling alone, beside true gradient descent on the same stream (section 4.1)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from vsml.cloning.clone import Form, clone
from vsml.cloning.training_tasks import compare
from vsml.core.rollout import unroll
from vsml.core.scores import correct
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.learners.gradient import gradient

LEARNERS = ("clone", "improved", "sgd")


class Stretch(NamedTuple):
    """What happened in one part of an episode."""

    correct: Bool[Array, "learner time"]  # online, before the label; the learners are LEARNERS
    held_out: Float[Array, " learner"]  # accuracy after it, on examples of another split
    agree: Float[Array, ""]  # share of these for which the clone and SGD predict the same
    missed: Float[Array, "layer term 2"]  # by the clone's next updates, as `compare` gives it; sums over the queries


def run_episode(
    form: Form,
    thetas: tuple[Theta, Theta],
    key: RandomKey,
    sizes: tuple[int, ...],
    rate: float,
    stretches: Episode,
    held_out: tuple[Float[Array, "example features"], Int[Array, " example"]],
    queries: Episode,
) -> Stretch:
    """Learn `stretches` [stretch time …], one after the other; what is returned has the leading axis [stretch].

    `thetas` are those of the clone and of what it was improved to. All learners start from the same weights. After
    each stretch they are tested on `held_out`, and the clone's updates for `queries` [query …], from where it stands,
    are compared with backpropagation in a network that has the weights which the clone then holds.
    """
    learner, descent = clone(sizes, form), sgd(sizes, rate)
    rules = (*((learner, theta) for theta in thetas), (descent, ()))

    def one(states, examples: Episode):
        unrolled = [unroll(*rule, state, examples) for rule, state in zip(rules, states, strict=True)]
        states, said = zip(*unrolled, strict=True)
        cells, _, weights = states
        x, label = held_out
        asked = [_each(lambda image, i=i: form.up(thetas[i], states[i], image)[2], x) for i in range(len(thetas))]
        answers = jnp.stack([*asked, _ask(descent, weights, x)])
        network = [form.held(layer) for layer in cells]
        _, missed = jax.lax.map(lambda query: compare(form, thetas[0], rate, cells, network, *query), tuple(queries))
        stretch = Stretch(
            jnp.stack([correct(logits, examples.y) for logits in said]),
            (answers == label[None, :]).mean(1),
            (answers[0] == answers[-1]).mean(),
            missed.sum(0),
        )
        return states, stretch

    states = tuple(rule.init_state(theta, key) for rule, theta in rules)
    return jax.lax.scan(one, states, stretches)[1]


def sgd(sizes: tuple[int, ...], rate: float) -> Learner:
    """True online SGD on what is cloned: the gradient is taken by differentiation, and inputs pass a tanh."""
    learner = gradient(sizes, optax.sgd(rate))
    return learner._replace(step=lambda theta, state, x, y: learner.step(theta, state, jnp.tanh(x), y))


def _ask(learner: Learner, state, x: Float[Array, "example features"]) -> Int[Array, " example"]:
    """Its predictions, from a copy of its state each, so that it learns nothing."""
    silence = jnp.zeros(state[0][-1][1].shape)
    return _each(lambda image: learner.step((), state, image, silence)[1], x)


def _each(logits: Callable[[Array], Array], x: Float[Array, "example features"]) -> Int[Array, " example"]:
    """The most probable class of every example, a few examples at a time."""
    return jax.lax.map(lambda image: logits(image).argmax(), x, batch_size=16)
