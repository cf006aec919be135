"""The outer loop: theta follows the meta-gradient. Logging, checkpoints and stopping are the caller's."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from vsml.core.types import RandomKey, Theta
from vsml.meta.estimators import Draw, ValueAndGrad


class Group(NamedTuple):
    """Episodes of one size within a meta-step; there may be groups of other sizes beside it."""

    value_and_grad: ValueAndGrad
    draw: Draw  # a pytree: the data in it are arguments of the compiled step
    population: int


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


def guarded(optimizer: optax.GradientTransformation, patience: int) -> optax.GradientTransformation:
    """`optimizer` that leaves theta and its own state alone when the meta-gradient is not finite."""
    return optax.apply_if_finite(optimizer, max_consecutive_errors=patience)


def start(theta: Theta, optimizer: optax.GradientTransformation) -> MetaState:
    """The state before the first meta-step."""
    return MetaState(theta, optimizer.init(theta), jnp.zeros((), jnp.int32))


def on_all(devices: list, tree: Any) -> Any:
    """A copy of `tree` on each device, those of other processes included, as meta-steps across devices leave theirs."""
    everywhere = NamedSharding(Mesh(devices, ("device",)), PartitionSpec())
    if everywhere.is_fully_addressable:
        return jax.device_put(tree, everywhere)
    return jax.jit(lambda tree: tree, out_shardings=everywhere)(tree)  # device_put reaches this process's devices only


def meta_train(
    groups: Sequence[Group],
    optimizer: optax.GradientTransformation,
    state: MetaState,
    key: RandomKey,
    steps: int,
    patience: int,
) -> Iterator[tuple[int, MetaState, Report]]:
    """Take `steps` meta-steps from `state` on; yield the number, the state and the report of each.

    Loss and meta-gradient are means over the episodes of all groups. Those of a step depend on `key` and the number of
    the step alone, so a run that resumes from any yielded state repeats the rest to the bit. `optimizer` is a
    `guarded` one.

    Raises:
      NonFiniteMetaGradientError: `patience` meta-gradients in a row were not finite.
    """
    population = sum(group.population for group in groups)
    for _ in range(steps):
        found = [
            _explore(group.value_and_grad, group.population, state.theta, key, state.step, number, group.draw)
            for number, group in enumerate(groups)
        ]
        state, report = _follow(optimizer, tuple(group.population / population for group in groups), state, found)
        if int(state.optimizer_state.notfinite_count) >= patience:
            raise NonFiniteMetaGradientError(
                f"{patience} meta-gradients in a row were not finite, the last at meta-step {int(state.step) - 1} "
                f"(loss {float(report.loss):g}). Lower the learning rate or the gradient clip, or shorten the episodes."
            )
        yield int(state.step), state, report


@partial(jax.jit, static_argnums=(0, 1))
def _explore(
    value_and_grad: ValueAndGrad,
    population: int,
    theta: Theta,
    key: RandomKey,
    step: Int[Array, ""],
    number: Int[Array, ""] | int,
    draw: Draw,
) -> tuple[Float[Array, ""], Theta]:
    """Loss and meta-gradient of one group. Keys and data are arguments, so that seeds share the compiled program."""
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), number), population)
    return value_and_grad(theta, keys, draw)


@partial(jax.jit, static_argnums=(0, 1))
def _follow(
    optimizer: optax.GradientTransformation,
    shares: tuple[float, ...],
    state: MetaState,
    found: list[tuple[Float[Array, ""], Theta]],
) -> tuple[MetaState, Report]:
    loss, grad = jax.tree.map(lambda *parts: sum(s * part for s, part in zip(shares, parts, strict=True)), *found)
    updates, optimizer_state = optimizer.update(grad, state.optimizer_state, state.theta)
    after = MetaState(optax.apply_updates(state.theta, updates), optimizer_state, state.step + 1)
    return after, Report(loss, optax.tree.norm(grad), ~after.optimizer_state.last_finite)
