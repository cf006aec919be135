"""The recurrent net of the baselines that are one: a textbook LSTM with a linear read-out, as modules of flax.

    z = heard W_heard + hidden W_hidden + bias,   split into the gates i, g, f, o
    memory' = sigmoid(f + 1) memory + sigmoid(i) tanh(g);    hidden' = sigmoid(o) tanh(memory')

This is the LSTM of the library of the authors' code (arXiv 2012.14905; the 1 makes it remember from the start), not
the cell of VSML, whose gates are offset by 5. Weights start truncated normal of sd 1 / sqrt(fan-in), biases at 0.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import truncated_normal

FORGET_OFFSET = 1.0


class LSTMState(NamedTuple):
    hidden: Float[Array, " h"]
    memory: Float[Array, " h"]


class LSTM(nn.Module):
    """4 h (heard + h + 1) parameters."""

    hidden: int

    @nn.compact
    def __call__(self, state: LSTMState, heard: Float[Array, " heard"], ticks: int = 1) -> LSTMState:
        """Tick `ticks` times under the same input, whose share of the gates is then computed once."""
        gates, fan_in = 4 * self.hidden, len(heard) + self.hidden
        w_heard = self.param("w_heard", truncated_normal(fan_in), (len(heard), gates))
        w_hidden = self.param("w_hidden", truncated_normal(fan_in), (self.hidden, gates))
        drive = heard @ w_heard + self.param("bias", nn.initializers.zeros, (gates,))
        for _ in range(ticks):
            i, g, f, o = jnp.split(drive + state.hidden @ w_hidden, 4)
            memory = jax.nn.sigmoid(f + FORGET_OFFSET) * state.memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            state = LSTMState(jax.nn.sigmoid(o) * jnp.tanh(memory), memory)
        return state


def initial_state(hidden: int) -> LSTMState:
    """Zeros: nothing is random at the start."""
    return LSTMState(jnp.zeros(hidden), jnp.zeros(hidden))


def linear(fan_in: int, outputs: int, name: str) -> nn.Dense:
    """An affine map of fan_in * outputs + outputs parameters."""
    return nn.Dense(outputs, kernel_init=truncated_normal(fan_in), name=name)
