"""The theory: VSML is one big RNN whose weight matrix is sparse and shared (arXiv 2012.14905).

As a grid of A x A sub-RNNs of N channels that exchange messages, with the input x_a arriving in channel 0:

    s_abj <- tanh(sum_i s_abi W_ij + sum_{a', i} s_{a'ai} C_ij + x_a [j = 0])

As one vector s of A A N neurons, which forgets that there is a grid, s <- tanh(s W~ + the same input), with

    W~[(c, d, i), (a, b, j)] =  C_ij + W_ij   if d = a and (c, d) = (a, b)     the connection (a, a) hears itself
                                C_ij          if d = a and (c, d) != (a, b)    (a, b) hears all that goes to unit a
                                W_ij          if d != a and (c, d) = (a, b)    its own memory
                                0             otherwise

    W   within a sub-RNN;    C   between them

A network that learns is thus a meta RNN whose matrix has zeros and repetitions. The input is ours: the equation of the
theory is that of x = 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vsml.core import draws
from vsml.core.types import RandomKey, Theta
from vsml.unification.general import Instance, Messages, Outside, Seen, silent


class Sharing(NamedTuple):
    """How sparse a matrix is, and how much of it is repetition."""

    entries: int
    nonzero: int
    distinct: int  # values that are not zero
    parameters: int  # from which it is made


def minimal(units: int, channels: int) -> Instance:
    """The grid of A = B = `units` that passes messages; its prediction is channel 0 of the messages upwards."""

    def init_theta(key: RandomKey) -> Theta:
        within, between = jax.random.split(key)
        return {
            "within": draws.normal(within, (channels, channels)) / (2 * channels) ** 0.5,
            "between": draws.normal(between, (channels, channels)) / (2 * units * channels) ** 0.5,
        }

    def init_state(theta: Theta, key: RandomKey) -> tuple[Float[Array, "a b n"], Outside]:
        return 0.5 * draws.normal(key, (units, units, channels)), ()

    def say(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, heard.up.at[:, 0].add(seen.x), jnp.zeros((units, 0))  # the units above are the units below

    def f_rnn(theta: Theta, s: Float[Array, " n"], fwd: Float[Array, " n"], bwd: Array) -> Float[Array, " n"]:
        return jnp.tanh(s @ theta["within"] + fwd)

    def f_fwd(theta: Theta, s: Float[Array, " n"]) -> Float[Array, " n"]:
        return s @ theta["between"]

    def predict(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " units"]:
        return heard.up[:, 0]

    return Instance((units, units), units, init_theta, init_state, f_rnn, f_fwd, silent, (say,), predict)


def big_matrix(
    within: Float[Array | np.ndarray, "_ _"], between: Float[Array | np.ndarray, "_ _"], units: int
) -> Float[Array, "neuron neuron"]:
    """W~, case by case.

    Raises:
      ValueError: W and C are not square and of one size.
    """
    if within.shape != between.shape or within.shape[0] != within.shape[1]:
        raise ValueError(
            f"W {within.shape} and C {between.shape} must be square and of one size: channels by channels."
        )
    blocks = jnp.stack([jnp.zeros_like(within), jnp.asarray(within), jnp.asarray(between), within + between])
    whole = blocks[cases(units)]  # [source target i j]
    neurons = units * units * len(within)
    return whole.transpose(0, 2, 1, 3).reshape(neurons, neurons)


def cases(units: int) -> Int[np.ndarray, "source target"]:
    """Which block of W~ is what, from connection (c, d) to (a, b): 0 for zeros, 1 for W, 2 for C, 3 for both."""
    c, d, a, b = np.ogrid[:units, :units, :units, :units]
    return (1 * ((c == a) & (d == b)) + 2 * (d == a)).reshape(units**2, units**2)


def sharing(units: int, channels: int, key: RandomKey) -> Sharing:
    """What is counted in W~ itself, at random W and C."""
    theta = minimal(units, channels).init_theta(key)
    whole = np.asarray(big_matrix(theta["within"], theta["between"], units))
    distinct = np.unique(whole[whole != 0])
    return Sharing(whole.size, int(np.count_nonzero(whole)), len(distinct), sum(z.size for z in theta.values()))
