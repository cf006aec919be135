"""What is cloned: online gradient descent on a network of tanh units, written out; no derivative is taken anywhere.

    y_b  = sum_a tanh(x_a) w_ab + b_b            the x of the next layer, or what the last layer predicts from
    e'_a = (1 - tanh(x_a)^2) sum_b e_b w_ab      the error of the layer below; e = softmax(y) - label at the top
    change of w_ab: -rate tanh(x_a) e_b          change of b_b: -rate e_b

arXiv 2012.14905, section 3.2. Inputs pass a tanh, too, since every layer is the same.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Layer(NamedTuple):
    """Weights and biases of a layer, or their changes."""

    w: Float[Array, "a b"]
    b: Float[Array, " b"]


class Hop(NamedTuple):
    """What passes a layer as an error comes down through it."""

    x: Float[Array, " a"]  # heard from below
    error: Float[Array, " b"]  # heard from above
    below: Float[Array, " a"]  # the error that it passes on
    change: Layer


def climb(network: list[Layer], x: Float[Array, " a"]) -> tuple[list[Float[Array, " _"]], Float[Array, " classes"]]:
    """What each layer hears from below, and what the last one says."""
    heard = []
    for layer in network:
        heard.append(x)
        x = jnp.tanh(x) @ layer.w + layer.b
    return heard, x


def descend(
    network: list[Layer], heard: list[Float[Array, " _"]], error: Float[Array, " classes"], rate: float
) -> list[Hop]:
    """Backpropagate `error` from the top; the hops stand in the order of the layers."""
    hops = []
    for layer, x in zip(network[::-1], heard[::-1], strict=True):
        active = jnp.tanh(x)
        below = (1 - active * active) * (layer.w @ error)
        hops.append(Hop(x, error, below, Layer(-rate * active[:, None] * error[None, :], -rate * error)))
        error = below
    return hops[::-1]
