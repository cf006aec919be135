"""The cell: the tiny LSTM that stands at every connection (a, b) of a layer, with the same parameters at each.

    a, b   units below and above the layer
    n      channels of a message (8 in the paper)
    h      hidden channels of a cell (16 in the paper)
    gates  4 h, in the order i, g, f, o

A cell hears the message of its unit below and of its unit above, ticks, and says one message each way
(arXiv 2012.14905, section 3; constants from the authors' released code):

    z = fwd_a W_fwd + bwd_b W_bwd + hidden_ab W_hidden + bias
    memory' = sigmoid(f + 5) memory + sigmoid(i - 5) tanh(g);    hidden' = sigmoid(o) tanh(memory')
    fwd_b = mean_a head_fwd(hidden'_ab);    bwd_a = mean_b head_bwd(hidden'_ab)

The paper sums the messages; the released code takes the mean, and so do we.

Two identities save most of the work without changing the function: messages drive the gates of a whole row or
column at once, so their matmuls run once a unit and not once a connection; and a head is linear, so the mean goes
first. With layer norm only the head's scale and offset may follow the mean.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# sigmoid(z) = (1 + tanh(z / 2)) / 2: one tanh serves all four gates, after this scale and shift.
GATE_OFFSET = {"i": -5.0, "g": 0.0, "f": 5.0, "o": 0.0}
GATE_SCALE = {"i": 0.5, "g": 1.0, "f": 0.5, "o": 0.5}
NORM_EPSILON = 1e-5


class Cells(NamedTuple):
    """The states of all cells of a layer; what the learner learns is in here (V_L)."""

    hidden: Float[Array, "a b h"]
    memory: Float[Array, "a b h"]


class Cell(nn.Module):
    """The shared parameters (V_M) and what they do, for a whole layer of cells at once.

    2,384 parameters at the paper's sizes, 2,416 with layer norm.
    """

    hidden: int = 16
    message: int = 8
    layer_norm: bool = False

    def setup(self):
        gates = 4 * self.hidden
        fan_in = 2 * self.message + self.hidden
        self.gates_fwd = self.param("gates_fwd", truncated_normal(fan_in), (self.message, gates))
        self.gates_bwd = self.param("gates_bwd", truncated_normal(fan_in), (self.message, gates))
        self.gates_hidden = self.param("gates_hidden", truncated_normal(fan_in), (self.hidden, gates))
        self.gates_bias = self.param("gates_bias", nn.initializers.zeros, (gates,))
        self.head_fwd, self.head_bwd = self._head("fwd"), self._head("bwd")

    def _head(self, direction: str) -> dict[str, Array]:
        head = {
            "kernel": self.param(f"head_{direction}", truncated_normal(self.hidden), (self.hidden, self.message)),
            "bias": self.param(f"head_{direction}_bias", nn.initializers.zeros, (self.message,)),
        }
        if self.layer_norm:
            head["scale"] = self.param(f"norm_{direction}_scale", nn.initializers.ones, (self.message,))
            head["offset"] = self.param(f"norm_{direction}_offset", nn.initializers.zeros, (self.message,))
        return head

    def __call__(
        self, cells: Cells, fwd: Float[Array, "a n"], bwd: Float[Array, "b n"], ticks: int
    ) -> tuple[Cells, Float[Array, "b n"], Float[Array, "a n"]]:
        """Tick `ticks` times under the same incoming messages; only the messages of the last tick leave."""
        drive_fwd = fwd @ self.gates_fwd + self.gates_bias[None, :]
        drive_bwd = bwd @ self.gates_bwd
        hidden, memory = cells
        for _ in range(ticks):
            hidden, memory = tick(self.gates_hidden, hidden, memory, drive_fwd, drive_bwd)
        return Cells(hidden, memory), _say(self.head_fwd, hidden, axis=0), _say(self.head_bwd, hidden, axis=1)


def truncated_normal(fan_in: int) -> nn.initializers.Initializer:
    """Normal of standard deviation 1 / sqrt(fan_in), redrawn beyond two of them."""
    return nn.initializers.truncated_normal(fan_in**-0.5)


def _say(head: Mapping[str, Array], hidden: Float[Array, "a b h"], axis: int) -> Float[Array, "unit n"]:
    if "scale" not in head:
        return hidden.mean(axis) @ head["kernel"] + head["bias"][None, :]
    message = hidden @ head["kernel"] + head["bias"][None, None, :]
    message = message - message.mean(-1, keepdims=True)
    message = message * jax.lax.rsqrt(jnp.square(message).mean(-1, keepdims=True) + NORM_EPSILON)
    return message.mean(axis) * head["scale"][None, :] + head["offset"][None, :]


def _gates(gates_hidden, hidden, drive_fwd, drive_bwd):
    """tanh of the scaled, shifted pre-activations; i, f and o become sigmoids by (1 + tanh) / 2."""
    h = hidden.shape[-1]
    scale = jnp.repeat(jnp.array(list(GATE_SCALE.values()), hidden.dtype), h)
    offset = jnp.repeat(jnp.array(list(GATE_OFFSET.values()), hidden.dtype), h)
    z = hidden @ gates_hidden + drive_fwd[:, None, :] + drive_bwd[None, :, :]
    return jnp.split(jnp.tanh((z + offset[None, None, :]) * scale[None, None, :]), 4, axis=-1)


@jax.custom_vjp
def tick(
    gates_hidden: Float[Array, "h gates"],
    hidden: Float[Array, "a b h"],
    memory: Float[Array, "a b h"],
    drive_fwd: Float[Array, "a gates"],
    drive_bwd: Float[Array, "b gates"],
) -> tuple[Float[Array, "a b h"], Float[Array, "a b h"]]:
    """One step of every LSTM of a layer; return the new hidden and memory.

    Its gradient is written by hand because a lifetime is thousands of ticks: only the inputs are kept, the gates are
    computed again, and the gradient in the shared weights is one matmul over all connections. Plain
    differentiation keeps every gate and spends its time moving them.
    """
    i, g, f, o = _gates(gates_hidden, hidden, drive_fwd, drive_bwd)
    memory = 0.5 * (1 + f) * memory + 0.5 * (1 + i) * g
    return 0.5 * (1 + o) * jnp.tanh(memory), memory


def _tick_forward(gates_hidden, hidden, memory, drive_fwd, drive_bwd):
    inputs = (gates_hidden, hidden, memory, drive_fwd, drive_bwd)
    return tick(*inputs), inputs


def _tick_backward(inputs, cotangents):
    gates_hidden, hidden, memory, drive_fwd, drive_bwd = inputs
    d_hidden, d_memory = cotangents
    i, g, f, o = _gates(gates_hidden, hidden, drive_fwd, drive_bwd)
    squashed = jnp.tanh(0.5 * (1 + f) * memory + 0.5 * (1 + i) * g)
    d_memory = d_memory + d_hidden * 0.5 * (1 + o) * (1 - squashed * squashed)
    # d tanh(u / 2 + ...) / du = (1 - tanh^2) / 2, and another 1 / 2 from the sigmoid.
    d_gates = jnp.concatenate(
        [
            d_memory * g * 0.25 * (1 - i * i),
            d_memory * 0.5 * (1 + i) * (1 - g * g),
            d_memory * memory * 0.25 * (1 - f * f),
            d_hidden * squashed * 0.25 * (1 - o * o),
        ],
        axis=-1,
    )
    return (
        jnp.tensordot(hidden, d_gates, axes=((0, 1), (0, 1))),
        d_gates @ gates_hidden.T,
        d_memory * 0.5 * (1 + f),
        d_gates.sum(1),
        d_gates.sum(0),
    )


tick.defvjp(_tick_forward, _tick_backward)
