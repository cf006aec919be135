"""What feedback and local plasticity is held against: the same network, learning online by gradient descent.

    W <- W - eta * dL/dW,    b <- b - eta * db              of the last layers; L: squared error or cross-entropy

The outer loop learns where descent starts, as in MAML (arXiv 1703.03400) and OML (arXiv 1905.12588), and how fast each
weight goes if the rates are learned. First order: the inner gradient counts as a constant, as in the baseline of the
released code of arXiv 2006.09549. Second order: the outer gradient passes through it, as it does through FLP.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.types import Learner, RandomKey, State, Theta
from vsml.feedback.network import assembled, climb, coefficients, dense_shapes, initial_layers, last, of_layer
from vsml.meta.losses import Score


class Descent(NamedTuple):
    plastic: int  # layers, from the output down
    order: Literal["first", "second"]
    rate: float  # at first, if it is learned
    per: Literal["synapse", "neuron", "layer", "one"] | None  # learned rates; None: `rate` for good
    clip: float | None  # of each number of the inner gradient


def descent(sizes: tuple[int, ...], how: Descent, score: Score) -> Learner:
    """A network of `sizes` (features, hidden layers, outputs) that descends `score`; its state is {layer: {"w", "b"}}.

    Raises:
      ValueError: there are fewer layers than plastic ones.
    """
    plastic, shapes = last(sizes, how.plastic), dense_shapes(sizes)
    kinds = {f"{name}/{what}": shapes[int(name)][at:] for name in plastic for at, what in enumerate("wb")}

    def init_theta(key: RandomKey) -> Theta:
        forward = {"forward": initial_layers(shapes, key)}
        if how.per is None:
            return forward
        rates = coefficients(how.per, kinds, how.rate)
        return forward | {"rates": {name.replace("/", "_"): rate for name, rate in rates.items()}}

    def init_state(theta: Theta, key: RandomKey) -> State:
        del key  # all episodes begin alike
        return {name: dict(theta["forward"][name]) for name in plastic}

    def loss(state: State, theta: Theta, x: Float[Array, "batch a"], y: Float[Array, "batch b"]):
        said = climb(assembled(theta["forward"], state), x)[-1]
        return score(said, y).mean(), said

    def step(theta: Theta, state: State, x: Float[Array, "*batch a"], y: Float[Array, "*batch b"]):
        grads, said = jax.grad(loss, has_aux=True)(state, theta, x.reshape(-1, sizes[0]), y.reshape(-1, sizes[-1]))
        if how.order == "first":
            grads = jax.lax.stop_gradient(grads)
        if (most := how.clip) is not None:
            grads = jax.tree.map(lambda g: jnp.clip(g, -most, most), grads)

        def rate(name: str, what: str) -> Array | float:
            return how.rate if how.per is None else of_layer(theta["rates"], f"{name}_{what}")

        after = {
            name: {what: value - rate(name, what) * grads[name][what] for what, value in layer.items()}
            for name, layer in state.items()
        }
        return after, said.reshape(y.shape)

    return Learner(init_theta, init_state, step)
