"""VSML: a network whose every weight is a tiny LSTM with shared parameters (arXiv 2012.14905, sections 2 and 3).

    theta   parameters of the cell (V_M), the same at every connection; any size of network runs on them
    state   cell states of each layer (V_L), messages on their way down, the last error and label

Order of events within a step, as in the authors' released code. By default the input x_t arrives together with the
error of the *previous* example; messages climb all layers within the step and descend one layer a step. With
`backward_pass`, the layers tick once more from top to bottom with the fresh error of this example.

Where the sources are silent, this is our reading: in the backward pass a layer still hears what it heard from below
in the forward pass; the label is fed with the error and withdrawn with it; the copies of a batch are born equal.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import Cell, Cells
from vsml.core.layers import boundary, newborn
from vsml.core.types import Learner, RandomKey, Theta

LOGIT_BOUND = 100.0
LOGIT_CHANNEL = 1  # the input enters on channel 0, the prediction leaves on the next


class NetworkState(NamedTuple):
    layers: tuple[Cells, ...]
    descending: tuple[Float[Array, "b n"], ...]  # to each layer but the last, from the layer above it
    error: Float[Array, " classes"]
    label: Float[Array, " classes"]


def network(
    sizes: tuple[int, ...],
    *,
    hidden: int = 16,
    message: int = 8,
    ticks: int = 2,
    backward_pass: bool = False,
    feed_label: bool = False,
    layer_norm: bool = False,
    per_layer: bool = False,
    batch: int = 1,
) -> Learner:
    """A VSML network of dense layers.

    Args:
      sizes: units of each level, inputs first, classes last; one more than there are layers.
      hidden, message: channels of a cell and of a message.
      ticks: ticks of a layer each time that messages arrive.
      backward_pass: a second sweep K..1 with the error of the present example.
      feed_label: the top layer hears the label beside the error.
      layer_norm: normalise each message before the mean.
      per_layer: give every layer its own theta (leading axis: layers) instead of one for all.
      batch: examples of a step. Above 1, x is [batch features] and y [batch classes]: each example ticks its own copy
        of the state, and the first half of hidden and memory is averaged over the copies before each step.

    Raises:
      ValueError: fewer than two sizes, or no room for the error and the label in a message.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes (={sizes}) must name at least the inputs and the classes.")
    if message < 2:
        raise ValueError(f"message (={message}) must be at least 2: error and label need a channel each.")
    grids = list(pairwise(sizes))
    depth = len(grids)
    cell = Cell(hidden, message, layer_norm)

    def init_theta(key: RandomKey) -> Theta:
        def one(key):
            cells = newborn(key, 1, 1, hidden)
            return cell.init(key, cells, jnp.zeros((1, message)), jnp.zeros((1, message)), 1)["params"]

        return jax.vmap(one)(jax.random.split(key, depth)) if per_layer else one(key)

    def run(theta: Theta, layer: int, cells: Cells, fwd: Array, bwd: Array) -> tuple[Cells, Array, Array]:
        own = jax.tree.map(lambda z: z[layer], theta) if per_layer else theta
        answer: Any = cell.apply({"params": own}, cells, fwd, bwd, ticks)
        return answer

    def init_state(theta: Theta, key: RandomKey) -> NetworkState:
        del theta
        keys = jax.random.split(key, depth)
        nothing = jnp.zeros(sizes[-1])
        state = NetworkState(
            tuple(newborn(k, a, b, hidden) for k, (a, b) in zip(keys, grids, strict=True)),
            tuple(jnp.zeros((b, message)) for _, b in grids[:-1]),
            nothing,
            nothing,
        )
        return state if batch == 1 else jax.tree.map(lambda z: jnp.broadcast_to(z, (batch, *z.shape)), state)

    def step(theta: Theta, state: NetworkState, x: Array, y: Array):
        layers, descending = list(state.layers), [*state.descending, None]
        descending[-1] = boundary(state.error, state.label, message=message)
        fwd, heard = boundary(x, message=message), []
        for k in range(depth):
            heard.append(fwd)
            layers[k], fwd, bwd = run(theta, k, layers[k], fwd, descending[k])
            if k:
                descending[k - 1] = bwd
        logits = LOGIT_BOUND * jnp.tanh(fwd[:, LOGIT_CHANNEL] / LOGIT_BOUND)

        error = (jax.nn.softmax(logits) - y) / batch
        label = y if feed_label else jnp.zeros_like(y)
        if backward_pass:
            bwd = boundary(error, label, message=message)
            for k in reversed(range(depth)):
                layers[k], _, bwd = run(theta, k, layers[k], heard[k], bwd)
                if k:
                    descending[k - 1] = bwd
            error, label = jnp.zeros_like(error), jnp.zeros_like(label)
        return NetworkState(tuple(layers), tuple(descending[:-1]), error, label), logits

    def step_batch(theta: Theta, state: NetworkState, x: Array, y: Array):
        state = state._replace(layers=jax.tree.map(_merge, state.layers))
        return jax.vmap(step, in_axes=(None, 0, 0, 0))(theta, state, x, y)

    return Learner(init_theta, init_state, step if batch == 1 else step_batch)


def _merge(states: Float[Array, "batch a b h"]) -> Float[Array, "batch a b h"]:
    """Average the first half of the channels over the batch; what was learned is shared, the rest stays apart."""
    half = states.shape[-1] // 2
    shared = jnp.broadcast_to(states[..., :half].mean(0), (*states.shape[:-1], half))
    return jnp.concatenate([shared, states[..., half:]], axis=-1)
