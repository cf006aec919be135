"""VSML in its general form: a grid of sub-RNNs that share one function and know of each other by messages only.

    s_ab  <- f_rnn(s_ab, fwd_a, bwd_b)                        for every connection (a, b), all with the same theta
    up_b   = sum_a f_fwd(s_ab),    down_a = sum_b f_bwd(s_ab)

(arXiv 2012.14905). Which learning algorithm that is, an `Instance` says: it chooses the three functions, the
initial states and what the world says at the boundary. Nothing in this file knows of any method.

    a, b   units below and above the grid;    n, m   channels of a message up and down

Order of events in a step, for every instance:

    ask      ticks before the prediction; the world knows x_t and the error and the label of the example *before*
    predict  the logits, from what the grid has said upwards
    tell     ticks after it, if any; the world knows x_t and now the error and the label of this example

In a tick the world speaks, every sub-RNN changes its state once, and the world hears the sums of what they then say.
Messages are functions of states, so what a connection has to say of its input (w_ab x_a, say) is part of its state.

We sum, as the paper does; `vsml.learners.network` takes means, as the released code does. A mean over A units is the
sum with f_fwd divided by A, so at each size the two are the same family; only the mean lets one theta serve all sizes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from vsml.core.scores import prediction_error
from vsml.core.types import Learner, RandomKey, State, Theta

Cells = PyTree  # the states of all sub-RNNs; each leaf is [a b ...]
Outside = PyTree  # what the world remembers beside the last error and label; () if nothing


class Seen(NamedTuple):
    """What the world knows in a tick."""

    x: Float[Array, " features"]
    error: Float[Array, " classes"]
    label: Float[Array, " classes"]


class Messages(NamedTuple):
    """What the grid has said in the last tick."""

    up: Float[Array, "b n"]
    down: Float[Array, "a m"]


# What the world says in a tick: (theta, outside, seen, heard) -> (outside, fwd[a n], bwd[b m])
Say = Callable[[Theta, Outside, Seen, Messages], tuple[Outside, Array, Array]]


class Instance(NamedTuple):
    """The choices that make the general form one learning algorithm.

    f_rnn, f_fwd and f_bwd are of one connection: s_ab, fwd_a [n] and bwd_b [m] carry no axis a or b.
    """

    grid: tuple[int, int]  # A, B
    classes: int
    init_theta: Callable[[RandomKey], Theta]
    initial_state: Callable[[Theta, RandomKey], tuple[Cells, Outside]]
    f_rnn: Callable[[Theta, Any, Array, Array], Any]
    f_fwd: Callable[[Theta, Any], Array]
    f_bwd: Callable[[Theta, Any], Array]
    ask: tuple[Say, ...]
    predict: Callable[[Theta, Outside, Messages], Array]
    tell: tuple[Say, ...] = ()


class VsmlState(NamedTuple):
    cells: Cells
    heard: Messages
    outside: Outside
    error: Float[Array, " classes"]  # of the last prediction
    label: Float[Array, " classes"]  # of the last example


def silent(theta: Theta, state: Any) -> Float[Array, " none"]:
    """An f_fwd or f_bwd of no channels, where nobody would listen."""
    del theta, state
    return jnp.zeros(0)


def learner(instance: Instance) -> Learner:
    """The instance as a learner."""

    def init_state(theta: Theta, key: RandomKey) -> VsmlState:
        cells, outside = instance.initial_state(theta, key)
        nothing = jnp.zeros(instance.classes)
        return VsmlState(cells, said(instance, theta, cells), outside, nothing, nothing)

    def run_ticks(theta: Theta, state: VsmlState, says: tuple[Say, ...], seen: Seen) -> VsmlState:
        for say in says:
            outside, fwd, bwd = say(theta, state.outside, seen, state.heard)
            cells, heard = tick(instance, theta, state.cells, fwd, bwd)
            state = state._replace(cells=cells, heard=heard, outside=outside)
        return state

    def step(theta: Theta, state: State, x: Float[Array, " features"], y: Float[Array, " classes"]):
        state = run_ticks(theta, state, instance.ask, Seen(x, state.error, state.label))
        logits = instance.predict(theta, state.outside, state.heard)
        error = prediction_error(logits, y)
        state = run_ticks(theta, state, instance.tell, Seen(x, error, y))
        return state._replace(error=error, label=y), logits

    return Learner(instance.init_theta, init_state, step)


def tick(
    instance: Instance, theta: Theta, cells: Cells, fwd: Float[Array, "a n"], bwd: Float[Array, "b m"]
) -> tuple[Cells, Messages]:
    """Every sub-RNN changes its state once, under the message of its unit below and that of its unit above.

    Raises:
      ValueError: the world does not speak for exactly the units of the grid.
    """
    if (len(fwd), len(bwd)) != instance.grid:
        raise ValueError(
            f"The world speaks for {len(fwd)} units below and {len(bwd)} above, but the grid is {instance.grid}: "
            "`ask` and `tell` must return a message for each unit."
        )
    of_a_row = jax.vmap(partial(instance.f_rnn, theta), in_axes=(0, None, 0))
    cells = jax.vmap(of_a_row, in_axes=(0, 0, None))(cells, fwd, bwd)
    return cells, said(instance, theta, cells)


def said(instance: Instance, theta: Theta, cells: Cells) -> Messages:
    """What all sub-RNNs say, summed over a upwards and over b downwards."""
    up, down = (jax.vmap(jax.vmap(partial(f, theta)))(cells) for f in (instance.f_fwd, instance.f_bwd))
    return Messages(up.sum(0), down.sum(1))
