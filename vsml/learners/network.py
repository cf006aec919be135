"""VSML: a network whose every weight is a tiny LSTM with shared parameters (arXiv 2012.14905).

    theta   parameters of the cell (V_M), the same at every connection; any size of network runs on them
    state   cell states of each layer (V_L), messages on their way down, the last error and label

Order of events within a step, as in the authors' released code. By default the input x_t arrives together with the
error of the *previous* example; messages climb all layers within the step and descend one layer a step. With
`backward_pass`, the layers tick once more from top to bottom with the fresh error of this example.

Where the sources are silent, this is our reading: in the backward pass a layer still hears what it heard from below
in the forward pass; the label is fed with the error and withdrawn with it; the copies of a batch start equal.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vsml.core.cell import Cell, Cells
from vsml.core.layers import Convolution, Dense, Image, Layer, boundary
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta

LOGIT_CHANNEL = 1  # the input enters on channel 0, the prediction leaves on the next


class NetworkState(NamedTuple):
    layers: tuple[Cells, ...]
    descending: tuple[Float[Array, "b n"], ...]  # to each layer but the last, from the layer above it
    error: Float[Array, " classes"]
    label: Float[Array, " classes"]


def network(
    sizes: tuple[int, ...],
    *,
    image: Image | None = None,
    convolutions: tuple[tuple[int, int, int], ...] = (),
    hidden: int = 16,
    message: int = 8,
    ticks: int = 2,
    backward_pass: bool = False,
    feed_label: bool = False,
    layer_norm: bool = False,
    per_layer: bool = False,
    batch: int = 1,
) -> Learner:
    """A VSML network of convolutions, if any, and dense layers.

    Args:
      sizes: units of each level that a dense layer joins, but inputs first and classes last.
      image: height, width and channels of an input, which arrives flat in this order; needed by convolutions only.
      convolutions: channels, kernel and stride of each, from the input up; dense layers take over above the last.
      hidden, message: channels of a cell and of a message.
      ticks: ticks of a layer each time that messages arrive.
      backward_pass: a second sweep K..1 with the error of the present example.
      feed_label: the top layer hears the label beside the error.
      layer_norm: normalise each message before the mean.
      per_layer: give every layer its own theta (leading axis: layers) instead of one for all.
      batch: examples of a step. Above 1, x is [batch features] and y [batch classes]: each example ticks its own copy
        of the state, and the first half of hidden and memory is averaged over the copies before each step.

    Raises:
      ValueError: fewer than two sizes, no room for the error and the label in a message, or an image that is missing
        or not of as many numbers as there are inputs.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes (={sizes}) must name at least the inputs and the classes.")
    if message < 2:
        raise ValueError(f"message (={message}) must be at least 2: error and label need a channel each.")
    layers = stack(sizes, image, convolutions)
    depth = len(layers)
    cell = Cell(hidden, message, layer_norm)

    def init_theta(key: RandomKey) -> Theta:
        def one(key):
            cells = Dense(1, 1).initial_state(key, hidden)
            return cell.init(key, cells, jnp.zeros((1, message)), jnp.zeros((1, message)), 1)["params"]

        return jax.vmap(one)(jax.random.split(key, depth)) if per_layer else one(key)

    def run(theta: Theta, k: int, cells: Cells, fwd: Array, bwd: Array) -> tuple[Cells, Array, Array]:
        own = jax.tree.map(lambda z: z[k], theta) if per_layer else theta

        def grid(*heard) -> Any:
            return cell.apply({"params": own}, *heard)

        return layers[k].tick(grid, cells, fwd, bwd, ticks)

    def init_state(theta: Theta, key: RandomKey) -> NetworkState:
        del theta
        keys = jax.random.split(key, depth)
        nothing = jnp.zeros(sizes[-1])
        state = NetworkState(
            tuple(layer.initial_state(k, hidden) for k, layer in zip(keys, layers, strict=True)),
            tuple(jnp.zeros((layer.above, message)) for layer in layers[:-1]),
            nothing,
            nothing,
        )
        return state if batch == 1 else jax.tree.map(lambda z: jnp.broadcast_to(z, (batch, *z.shape)), state)

    def step(theta: Theta, state: NetworkState, x: Array, y: Array):
        cells, descending = list(state.layers), [*state.descending, None]
        descending[-1] = boundary(state.error, state.label, message=message)
        fwd, heard = boundary(x, message=message), []
        for k in range(depth):
            heard.append(fwd)
            cells[k], fwd, bwd = run(theta, k, cells[k], fwd, descending[k])
            if k:
                descending[k - 1] = bwd
        logits = bounded(fwd[:, LOGIT_CHANNEL])

        error = prediction_error(logits, y) / batch
        label = y if feed_label else jnp.zeros_like(y)
        if backward_pass:
            bwd = boundary(error, label, message=message)
            for k in reversed(range(depth)):
                cells[k], _, bwd = run(theta, k, cells[k], heard[k], bwd)
                if k:
                    descending[k - 1] = bwd
            error, label = jnp.zeros_like(error), jnp.zeros_like(label)
        return NetworkState(tuple(cells), tuple(descending[:-1]), error, label), logits

    def step_batch(theta: Theta, state: NetworkState, x: Array, y: Array):
        state = state._replace(layers=jax.tree.map(_merge, state.layers))
        return jax.vmap(step, in_axes=(None, 0, 0, 0))(theta, state, x, y)

    # A gradient keeps the state at the start of each step only, which saves more time in memory than the second
    # computation of a step costs. Within a scan nothing can be taken for computed already, so no barrier is needed.
    checkpointed = jax.checkpoint(step if batch == 1 else step_batch, prevent_cse=False)
    return Learner(init_theta, init_state, checkpointed)


def stack(sizes: tuple[int, ...], image: Image | None, convolutions: tuple[tuple[int, int, int], ...]) -> list[Layer]:
    """The layers of a network, from the input up; arguments as those of `network`."""
    inputs, *above = sizes
    convolved: list[Layer] = []
    for channels, kernel, stride in convolutions:
        if image is None or np.prod(image) != inputs:
            raise ValueError(f"image (={image}) must have as many numbers as there are inputs (={inputs}).")
        layer = Convolution(image, channels, kernel, stride)
        convolved.append(layer)
        image, inputs = layer.result, layer.above
    return convolved + [Dense(a, b) for a, b in pairwise((inputs, *above))]


def _merge(states: Float[Array, "batch *grid h"]) -> Float[Array, "batch *grid h"]:
    """Average the first half of the channels over the batch; what was learned is shared, the rest stays apart."""
    half = states.shape[-1] // 2
    shared = jnp.broadcast_to(states[..., :half].mean(0), (*states.shape[:-1], half))
    return jnp.concatenate([shared, states[..., half:]], axis=-1)
