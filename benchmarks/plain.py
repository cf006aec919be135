"""The plain form of a VSML network: the equations as the paper writes them, one small LSTM for each connection.

Every connection concatenates what it hears with its hidden state, multiplies once, and speaks through both heads; the
mean over connections comes last. `vsml.learners.network` is the same function of the same theta, reordered. This form
serves to measure that one by, and for nothing else.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import GATE_OFFSET, NORM_EPSILON, Cells
from vsml.core.layers import boundary
from vsml.core.scores import bounded
from vsml.core.types import Learner, Theta
from vsml.learners.network import LOGIT_CHANNEL, NetworkState, network, stack

# The learner of the default experiment.
OPTIONS: dict[str, Any] = {"ticks": 1, "backward_pass": True, "feed_label": True}


def plain_network(sizes: tuple[int, ...], *, layer_norm: bool, image=None, convolutions=()) -> Learner:
    """`network` with `OPTIONS`; it differs in what a grid of cells does in a tick."""
    ours = network(sizes, layer_norm=layer_norm, image=image, convolutions=convolutions, **OPTIONS)
    layers = stack(sizes, image, convolutions)
    depth = len(layers)

    def step(theta: Theta, state: NetworkState, x: Array, y: Array):
        def grid(cells, fwd, bwd, ticks):
            del ticks  # one
            return plain_grid(theta, cells, fwd, bwd)

        message = theta["gates_fwd"].shape[0]
        cells, descending = list(state.layers), [*state.descending, boundary(state.error, state.label, message=message)]
        fwd, heard = boundary(x, message=message), []
        for k in range(depth):
            heard.append(fwd)
            cells[k], fwd, _ = layers[k].tick(grid, cells[k], fwd, descending[k], 1)
        logits = bounded(fwd[:, LOGIT_CHANNEL])
        bwd = boundary(jax.nn.softmax(logits) - y, y, message=message)
        for k in reversed(range(depth)):
            cells[k], _, bwd = layers[k].tick(grid, cells[k], heard[k], bwd, 1)
            if k:
                descending[k - 1] = bwd
        nothing = jnp.zeros_like(y)
        return NetworkState(tuple(cells), tuple(descending[:-1]), nothing, nothing), logits

    return Learner(ours.init_theta, ours.init_state, step)


def plain_grid(
    theta: Theta, cells: Cells, fwd: Float[Array, "a n"], bwd: Float[Array, "b n"]
) -> tuple[Cells, Float[Array, "b n"], Float[Array, "a n"]]:
    """One tick of all connections of a layer."""
    (a, n), b = fwd.shape, len(bwd)
    hears = (jnp.broadcast_to(fwd[:, None], (a, b, n)), jnp.broadcast_to(bwd[None], (a, b, n)), cells.hidden)
    weights = jnp.concatenate([theta["gates_fwd"], theta["gates_bwd"], theta["gates_hidden"]])
    z = jnp.concatenate(hears, axis=-1) @ weights + theta["gates_bias"][None, None]
    i, g, f, o = jnp.split(z, 4, axis=-1)
    memory = jax.nn.sigmoid(f + GATE_OFFSET["f"]) * cells.memory
    memory = memory + jax.nn.sigmoid(i + GATE_OFFSET["i"]) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o + GATE_OFFSET["o"]) * jnp.tanh(memory)
    return Cells(hidden, memory), _said(theta, "fwd", hidden).mean(0), _said(theta, "bwd", hidden).mean(1)


def _said(theta: Theta, direction: str, hidden: Float[Array, "a b h"]) -> Float[Array, "a b n"]:
    message = hidden @ theta[f"head_{direction}"] + theta[f"head_{direction}_bias"][None, None]
    if f"norm_{direction}_scale" not in theta:
        return message
    message = message - message.mean(-1, keepdims=True)
    message = message * jax.lax.rsqrt(jnp.square(message).mean(-1, keepdims=True) + NORM_EPSILON)
    return message * theta[f"norm_{direction}_scale"][None, None] + theta[f"norm_{direction}_offset"][None, None]
