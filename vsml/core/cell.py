"""The cell: the tiny LSTM that stands at every connection (a, b) of a layer, with the same parameters at each.

    a, b   units below and above the layer
    n      channels of a message (8 in the paper)
    h      hidden channels of a cell (16 in the paper)
    gates  4 h, in the order i, g, f, o

A cell hears the message of its unit below and of its unit above, ticks, and says one message each way
(arXiv 2012.14905; constants from the authors' released code):

    z = fwd_a W_fwd + bwd_b W_bwd + hidden_ab W_hidden + bias
    memory' = sigmoid(f + 5) memory + sigmoid(i - 5) tanh(g);    hidden' = sigmoid(o) tanh(memory')
    fwd_b = mean_a head_fwd(hidden'_ab);    bwd_a = mean_b head_bwd(hidden'_ab)

The paper sums the messages; the released code takes the mean, and so do we.

What makes it fast, without changing the function: messages drive the gates of a whole row or column at once, so their
matmuls run once a unit and not once a connection; a head is linear, so the mean goes first (with layer norm only the
head's scale and offset may follow the mean, but the centring is done to the head's columns, once); scale and offset
of the gates are folded into the weights; a tanh is a fraction, and fractions are multiplied out before they are
divided; and the gradient of a tick is by hand.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# sigmoid(z) = (1 + tanh(z / 2)) / 2: one tanh serves all four gates, of scale (z + offset).
GATE_OFFSET = {"i": -5.0, "g": 0.0, "f": 5.0, "o": 0.0}
GATE_SCALE = {"i": 0.5, "g": 1.0, "f": 0.5, "o": 0.5}
NORM_EPSILON = 1e-5

# tanh x = x P(x^2) / Q(x^2) to a few units in the last place of a float32, highest power first (Eigen's coefficients).
# It saturates at the bound.
TANH_BOUND = 7.90531110763549805
TANH_P = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


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
        scale, offset = (_by_gate(z, self.hidden) for z in (GATE_SCALE, GATE_OFFSET))
        drive_fwd = _matmul(fwd, self.gates_fwd * scale[None, :])
        # The bias is what a channel that always says 1 weighs: in its gradient XLA then adds up no cells once more.
        weights = jnp.concatenate([self.gates_bwd, (self.gates_bias + offset)[None, :]]) * scale[None, :]
        drive_bwd = _matmul(jnp.pad(bwd, ((0, 0), (0, 1)), constant_values=1.0), weights)
        gates_hidden = self.gates_hidden * scale[None, :]
        hidden, memory = cells
        for _ in range(ticks):
            hidden, memory = tick(gates_hidden, hidden, memory, drive_fwd, drive_bwd)
        return Cells(hidden, memory), _say(self.head_fwd, hidden, axis=0), _say(self.head_bwd, hidden, axis=1)


def truncated_normal(fan_in: int) -> nn.initializers.Initializer:
    """Normal of standard deviation 1 / sqrt(fan_in), redrawn beyond two of them."""
    return nn.initializers.truncated_normal(fan_in**-0.5)


def _by_gate(value: Mapping[str, float], hidden: int) -> Float[Array, " gates"]:
    return jnp.repeat(jnp.array(list(value.values())), hidden)


def _say(head: Mapping[str, Array], hidden: Float[Array, "a b h"], axis: int) -> Float[Array, "unit n"]:
    if "scale" not in head:
        return hidden.mean(axis) @ head["kernel"] + head["bias"][None, :]
    kernel, bias = (z - z.mean(-1, keepdims=True) for z in (head["kernel"], head["bias"]))
    return _normalised(kernel, bias, hidden).mean(axis) * head["scale"][None, :] + head["offset"][None, :]


def _normalised(
    kernel: Float[Array, "h n"], bias: Float[Array, " n"], hidden: Float[Array, "a b h"]
) -> Float[Array, "a b n"]:
    """What every cell says, over its root mean square. The head is centred, so the mean over channels is zero already.

    A gradient by hand, as `tick` has one, would be no faster.
    """
    said = _matmul(hidden, kernel) + bias[None, None, :]
    return said * jax.lax.rsqrt(jnp.square(said).mean(-1, keepdims=True) + NORM_EPSILON)


@jax.custom_vjp
def _matmul(x: Float[Array, "*unit c"], matrix: Float[Array, "c d"]) -> Float[Array, "*unit d"]:
    """x @ matrix. As JAX derives it, the gradient in the matrix is a transposed product: naive loops in XLA."""
    return x @ matrix


def _matmul_forward(x, matrix):
    return x @ matrix, (x, matrix)


def _matmul_backward(inputs, cotangent):
    x, matrix = inputs
    units = tuple(range(x.ndim - 1))
    return cotangent @ matrix.T, jnp.tensordot(x, cotangent, axes=(units, units))


_matmul.defvjp(_matmul_forward, _matmul_backward)


def _tanh(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """tanh in plain arithmetic, which XLA fuses and vectorises."""
    p, q = _fraction(x)
    return p / q


def _fraction(x: Float[Array, "*any"]) -> tuple[Float[Array, "*any"], Float[Array, "*any"]]:
    """Numerator and denominator of tanh x; the denominator is between 0.004 and 1. Not a number stays so.

    Constants are scalars here and in `_polynomial`: those of the shape of x, JAX moves out of the scan over a lifetime,
    and every tick reads them from memory.
    """
    x = jax.lax.clamp(-TANH_BOUND, x, TANH_BOUND)
    return x * _polynomial(TANH_P, x * x), _polynomial(TANH_Q, x * x)


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def _gates(product, drive_fwd, drive_bwd):
    """The pre-activations, gate by gate. Split before tanh: XLA then makes no pass over all gates."""
    return jnp.split(product + drive_fwd[:, None, :] + drive_bwd[None, :, :], 4, axis=-1)


@jax.custom_vjp
def tick(
    gates_hidden: Float[Array, "h gates"],
    hidden: Float[Array, "a b h"],
    memory: Float[Array, "a b h"],
    drive_fwd: Float[Array, "a gates"],
    drive_bwd: Float[Array, "b gates"],
) -> tuple[Float[Array, "a b h"], Float[Array, "a b h"]]:
    """One step of every LSTM of a layer; return the new hidden and memory.

    Weights and drives come with scale and offset of the gates in them. The gradient is written by hand because a
    lifetime is thousands of ticks: only the inputs are kept, the gates are computed again, and the gradient in the
    shared weights is one matmul over all connections. Plain differentiation keeps every gate and spends its time
    moving them.
    """
    # A division takes as long as ten multiplications and XLA stores each quotient: two of them here instead of five.
    z = _gates(hidden @ gates_hidden, drive_fwd, drive_bwd)
    (i, i_under), (g, g_under), (f, f_under), (o, o_under) = map(_fraction, z)
    kept, let_in = memory * (f_under + f) * (i_under * g_under), g * (i_under + i) * f_under
    memory = 0.5 * (kept + let_in) / (f_under * (i_under * g_under))
    squashed, squashed_under = _fraction(memory)
    return 0.5 * (o_under + o) * squashed / (o_under * squashed_under), memory


def _tick_forward(*inputs):
    return tick(*inputs), inputs


def _tick_backward(inputs, cotangents):
    gates_hidden, hidden, memory, drive_fwd, drive_bwd = inputs
    d_hidden, d_memory = cotangents
    i, g, f, o = map(_tanh, _gates(hidden @ gates_hidden, drive_fwd, drive_bwd))
    squashed, squashed_under = _fraction(0.5 * ((memory + g) + (f * memory + i * g)))
    # As one fraction, for what ends in a division XLA computes once and not again for every use.
    under = squashed_under * squashed_under
    half = (0.25 * d_hidden * (1 + o) * (under - squashed * squashed) + 0.5 * d_memory * under) / under
    squashed = squashed / squashed_under
    parts = (
        half * g * (1 - i * i),
        half * (1 + i) * (1 - g * g),
        half * memory * (1 - f * f),
        0.5 * d_hidden * squashed * (1 - o * o),
    )
    # XLA fuses a concatenation into one slow loop with a branch for every number, and runs it once for each use.
    d_gates = jnp.zeros((*hidden.shape[:-1], 4 * hidden.shape[-1]), hidden.dtype)
    for gate, part in enumerate(parts):
        d_gates = jax.lax.dynamic_update_slice_in_dim(d_gates, part, gate * hidden.shape[-1], axis=-1)
    return (
        jnp.tensordot(hidden, d_gates, axes=((0, 1), (0, 1))),
        d_gates @ gates_hidden.T,
        half * (1 + f),
        d_gates.sum(1),
        d_gates.sum(0),
    )


tick.defvjp(_tick_forward, _tick_backward)
