"""The project's own cell as the sub-RNN of the general form, and a textbook LSTM as such a cell."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import GATE_OFFSET, Cell, Cells
from vsml.core.types import Theta
from vsml.learners.lstm import FORGET_OFFSET


def lstm(hidden: int, message: int, below: int, above: int) -> tuple[Callable, Callable, Callable]:
    """f_rnn, f_fwd and f_bwd of `vsml.core.cell` without layer norm, for a grid of `below` times `above`.

    The heads are divided by the number of units that are summed over, which makes the sums its means.
    """
    apply: Callable[..., Any] = Cell(hidden, message).apply

    def f_rnn(theta: Theta, s: Cells, fwd: Float[Array, " n"], bwd: Float[Array, " n"]) -> Cells:
        alone = jax.tree.map(lambda z: z[None, None], s)
        cells, _, _ = apply({"params": theta}, alone, fwd[None, :], bwd[None, :], 1)
        return jax.tree.map(lambda z: z[0, 0], cells)

    def f_fwd(theta: Theta, s: Cells) -> Float[Array, " n"]:
        return (s.hidden @ theta["head_fwd"] + theta["head_fwd_bias"]) / below

    def f_bwd(theta: Theta, s: Cells) -> Float[Array, " n"]:
        return (s.hidden @ theta["head_bwd"] + theta["head_bwd_bias"]) / above

    return f_rnn, f_fwd, f_bwd


def as_cell(textbook: Theta, inputs: int, message: int, head: Mapping[str, Array]) -> Theta:
    """Theta of the cell that is an LSTM of `vsml.learners.lstm` with the read-out `head`.

    Of what the LSTM hears, the first `inputs` come from below, the rest from above. The cell offsets its gates by
    constants of its own, which the bias takes back.
    """
    offset = {"i": 0.0, "g": 0.0, "f": FORGET_OFFSET, "o": 0.0}
    difference = jnp.array([offset[gate] - GATE_OFFSET[gate] for gate in GATE_OFFSET])
    w_fwd, w_bwd = jnp.split(textbook["w_heard"], [inputs])
    hidden, outputs = head["kernel"].shape
    return {
        "gates_fwd": jnp.pad(w_fwd, ((0, message - inputs), (0, 0))),
        "gates_bwd": jnp.pad(w_bwd, ((0, message - len(w_bwd)), (0, 0))),
        "gates_hidden": textbook["w_hidden"],
        "gates_bias": textbook["bias"] + jnp.repeat(difference, hidden),
        "head_fwd": jnp.pad(head["kernel"], ((0, 0), (0, message - outputs))),
        "head_fwd_bias": jnp.pad(head["bias"], (0, message - outputs)),
        "head_bwd": jnp.zeros((hidden, message)),
        "head_bwd_bias": jnp.zeros(message),
    }
