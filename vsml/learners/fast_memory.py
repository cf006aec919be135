"""The fast-weight memory: an LSTM that writes associations into a matrix by the delta rule, and reads from it.

    heard_t = [x_t, error_{t-1}, y_{t-1}],    hidden = LSTM(lstm_{t-1}, heard_t).hidden
    k1, k2, value = tanh(hidden W_write + ..);    beta = sigmoid(hidden w_beta + ..);    key = k1 (x) k2, flat
    M'  = M + beta (value - M key) key^T,  divided by its Frobenius norm where that exceeds 1
    q1, q2 = tanh(hidden W_read + ..);    found = layer_norm(M' (q1 (x) q2))
    logits = 100 tanh(((hidden + found W_found + ..) W_out + ..) / 100)

    M   memory [rows columns], zero at the start; rows: of a value; columns: of a key, the square of those of k1 and k2

Writing brings what is found under a key, M key, nearer to the value by the share beta |key|^2, and leaves what is under
orthogonal keys alone. The layer norm has no parameters; `..` are biases.

Baseline of arXiv 2012.14905, section 4, after Schlag, Munkhdalai and Schmidhuber (2021, arXiv 2011.07831), from which
the authors' released code, followed here, takes one read-out where there may be several in a row.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import NORM_EPSILON
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.lstm import LSTM, LSTMState, initial_state, linear


class FastMemoryState(NamedTuple):
    lstm: LSTMState
    memory: Float[Array, "rows columns"]
    error: Float[Array, " classes"]  # of the last prediction
    label: Float[Array, " classes"]  # of the last example


class MemoryNet(nn.Module):
    """The LSTM with its heads for writing, reading and answering."""

    hidden: int
    outputs: int

    @nn.compact
    def __call__(
        self, lstm: LSTMState, memory: Float[Array, "rows columns"], heard: Float[Array, " heard"]
    ) -> tuple[LSTMState, Float[Array, "rows columns"], Float[Array, " outputs"]]:
        rows, columns = memory.shape
        half = math.isqrt(columns)  # of a key
        lstm = LSTM(self.hidden, name="lstm")(lstm, heard)

        written = linear(self.hidden, 2 * half + rows + 1, "write")(lstm.hidden)
        first, second, value = jnp.split(jnp.tanh(written[:-1]), [half, 2 * half])
        key = jnp.outer(first, second).ravel()
        memory = memory + jax.nn.sigmoid(written[-1]) * jnp.outer(value - memory @ key, key)
        # Not by the norm itself, whose gradient at 0 is not a number.
        memory = memory * jax.lax.rsqrt(jnp.maximum(1.0, jnp.square(memory).sum()))

        first, second = jnp.split(jnp.tanh(linear(self.hidden, 2 * half, "read")(lstm.hidden)), 2)
        normalise = nn.LayerNorm(NORM_EPSILON, use_bias=False, use_scale=False)
        found = linear(rows, self.hidden, "found")(normalise(memory @ jnp.outer(first, second).ravel()))
        return lstm, memory, bounded(linear(self.hidden, self.outputs, "out")(lstm.hidden + found))


def fast_memory(inputs: int, outputs: int, *, hidden: int = 32, rows: int = 16, columns: int = 256) -> Learner:
    """An LSTM with a fast-weight memory for examples of `inputs` features and `outputs` classes.

    With k = sqrt(columns), theta has 4 hidden (inputs + 2 outputs + hidden + 1) + (hidden + 1) (2 k + rows + 1)
    + (hidden + 1) 2 k + (rows + 1) hidden + (hidden + 1) outputs parameters: 125,711 at the paper's 784 inputs, 62
    outputs, 32 hidden units and memory of 16 x 256. Its state is 2 hidden + rows columns numbers beside the last error
    and label.

    Raises:
      ValueError: `columns` is no square.
    """
    if math.isqrt(columns) ** 2 != columns:
        raise ValueError(f"columns (={columns}) must be a square: a key is the outer product of two vectors of a size.")
    net = MemoryNet(hidden, outputs)
    apply: Callable[..., Any] = net.apply

    def init_theta(key: RandomKey) -> Theta:
        return net.init(key, initial_state(hidden), jnp.zeros((rows, columns)), jnp.zeros(inputs + 2 * outputs))[
            "params"
        ]

    def init_state(theta: Theta, key: RandomKey) -> FastMemoryState:
        del theta, key  # all episodes begin alike
        return FastMemoryState(
            initial_state(hidden), jnp.zeros((rows, columns)), jnp.zeros(outputs), jnp.zeros(outputs)
        )

    def step(theta: Theta, state: FastMemoryState, x: Float[Array, " inputs"], y: Float[Array, " outputs"]):
        heard = jnp.concatenate([x, state.error, state.label])
        lstm, memory, logits = apply({"params": theta}, state.lstm, state.memory, heard)
        return FastMemoryState(lstm, memory, prediction_error(logits, y), y), logits

    return Learner(init_theta, init_state, step)
