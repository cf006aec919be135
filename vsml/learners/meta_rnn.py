"""The meta RNN: an LSTM that gets its last error and label as inputs, and must learn in its activity alone.

    heard_t = [x_t, error_{t-1}, y_{t-1}],    error_t = softmax(logits_t) - y_t,    error_0 = y_0 = 0
    lstm_t  = LSTM(lstm_{t-1}, heard_t), `ticks` times under the same input
    logits  = 100 tanh((hidden_t W + bias) / 100)

Baseline of arXiv 2012.14905, section 4; sizes and order of events from the authors' released code (Hochreiter et al.,
2001, is the origin). Unlike theta of VSML, this theta fits one number of inputs and of outputs: see `padded`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.lstm import LSTM, LSTMState, initial_state, linear


class MetaRNNState(NamedTuple):
    lstm: LSTMState
    error: Float[Array, " classes"]  # of the last prediction
    label: Float[Array, " classes"]  # of the last example


class RecurrentNet(nn.Module):
    """The LSTM and its linear read-out."""

    hidden: int
    outputs: int
    ticks: int

    @nn.compact
    def __call__(self, lstm: LSTMState, heard: Float[Array, " heard"]) -> tuple[LSTMState, Float[Array, " outputs"]]:
        lstm = LSTM(self.hidden, name="lstm")(lstm, heard, self.ticks)
        return lstm, bounded(linear(self.hidden, self.outputs, "readout")(lstm.hidden))


def meta_rnn(inputs: int, outputs: int, *, hidden: int = 128, ticks: int = 2) -> Learner:
    """A meta RNN for examples of `inputs` features and `outputs` classes.

    Theta has 4 hidden (inputs + 2 outputs + hidden + 1) + outputs (hidden + 1) parameters: 538,942 at the paper's
    784 inputs, 62 outputs and 128 hidden units. Its state is 2 hidden numbers beside the last error and label.
    """
    net = RecurrentNet(hidden, outputs, ticks)
    apply: Callable[..., Any] = net.apply

    def init_theta(key: RandomKey) -> Theta:
        return net.init(key, initial_state(hidden), jnp.zeros(inputs + 2 * outputs))["params"]

    def init_state(theta: Theta, key: RandomKey) -> MetaRNNState:
        del theta, key  # all episodes begin alike
        return MetaRNNState(initial_state(hidden), jnp.zeros(outputs), jnp.zeros(outputs))

    def step(theta: Theta, state: MetaRNNState, x: Float[Array, " inputs"], y: Float[Array, " outputs"]):
        lstm, logits = apply({"params": theta}, state.lstm, jnp.concatenate([x, state.error, state.label]))
        return MetaRNNState(lstm, prediction_error(logits, y), y), logits

    return Learner(init_theta, init_state, step)
