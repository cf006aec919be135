"""The outer loop: theta follows the meta-gradient. Logging, checkpoints and stopping are the caller's."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from vsml.core.types import Episode, RandomKey, Theta
from vsml.meta.estimators import ValueAndGrad

Sample = Callable[[RandomKey], tuple[Key[Array, " p"], Episode]]


class MetaState(NamedTuple):
    """All that the outer loop carries; with it and the key, a run goes on as if it had never stopped."""

    theta: Theta
    optimizer_state: Any  # of a `guarded` optimiser: optax.ApplyIfFiniteState
    step: Int[Array, ""]


class Report(NamedTuple):
    """What one meta-step saw."""

    loss: Float[Array, ""]  # nats, mean over the population
    grad_norm: Float[Array, ""]  # before any clipping
    skipped: Bool[Array, ""]  # the meta-gradient was not finite and theta stayed


class NonFiniteMetaGradientError(ArithmeticError):
    """The meta-gradient keeps being infinite or not a number."""


def sampler(sample_episode: Callable[[RandomKey], Episode], population: int) -> Sample:
    """Draw `population` independent lifetimes: a key to be born with and an episode for each."""

    def sample(key: RandomKey) -> tuple[Key[Array, " p"], Episode]:
        life_key, episode_key = jax.random.split(key)
        episodes = jax.vmap(sample_episode)(jax.random.split(episode_key, population))
        return jax.random.split(life_key, population), episodes

    return sample


def guarded(optimizer: optax.GradientTransformation, patience: int) -> optax.GradientTransformation:
    """`optimizer` that leaves theta and its own state alone when the meta-gradient is not finite."""
    return optax.apply_if_finite(optimizer, max_consecutive_errors=patience)


def start(theta: Theta, optimizer: optax.GradientTransformation) -> MetaState:
    """The state before the first meta-step."""
    return MetaState(theta, optimizer.init(theta), jnp.zeros((), jnp.int32))


def meta_train(
    value_and_grad: ValueAndGrad,
    optimizer: optax.GradientTransformation,
    sample: Sample,
    state: MetaState,
    key: RandomKey,
    steps: int,
    patience: int,
) -> Iterator[tuple[int, MetaState, Report]]:
    """Take `steps` meta-steps from `state` on; yield the number, the state and the report of each.

    The lifetimes of a step depend on `key` and the number of the step alone, so a run that resumes from any yielded
    state repeats the rest to the bit. `optimizer` is a `guarded` one.

    Raises:
      NonFiniteMetaGradientError: `patience` meta-gradients in a row were not finite.
    """

    @jax.jit
    def meta_step(state: MetaState) -> tuple[MetaState, Report]:
        keys, episodes = sample(jax.random.fold_in(key, state.step))
        loss, grad = value_and_grad(state.theta, keys, episodes)
        updates, optimizer_state = optimizer.update(grad, state.optimizer_state, state.theta)
        after = MetaState(optax.apply_updates(state.theta, updates), optimizer_state, state.step + 1)
        return after, Report(loss, optax.tree.norm(grad), ~after.optimizer_state.last_finite)

    for _ in range(steps):
        state, report = meta_step(state)
        if int(state.optimizer_state.notfinite_count) >= patience:
            raise NonFiniteMetaGradientError(
                f"{patience} meta-gradients in a row were not finite, the last at meta-step {int(state.step) - 1} "
                f"(loss {float(report.loss):g}). Lower the learning rate or the gradient clip, or shorten the episodes."
            )
        yield int(state.step), state, report
