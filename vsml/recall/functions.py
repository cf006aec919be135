"""The two learned functions: how the vector state of a neuron, or of a synapse, follows from what it can hear.

    gated    candidate, gate = W_o [tanh(W_1 z + w_1) * (W_2 z + w_2)] + w_o       z = [own state; what is heard]
    mlp      candidate, gate = W_o  tanh(W_1 z + w_1) + w_o
    gru      gated recurrent unit of the state, on what is heard

In `gated`, products of two things that are heard, such as Hebb's, need few units. Kinds of "meta-network" of our
reconstruction of arXiv 2003.03124; the paper's are not known to us.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.types import RandomKey

Weights = Mapping[str, Array]
KINDS = ("gated", "mlp", "gru")


def init(kind: str, key: RandomKey, state: int, heard: int, width: int, gate_bias: float) -> dict[str, Array]:
    """Weights of a function of `state` own numbers and `heard` others.

    Raises:
      ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"meta-network (={kind!r}) must be one of {KINDS}.")
    own_key, heard_key, out_key = jax.random.split(key, 3)
    columns = {"gated": 2 * width, "mlp": width, "gru": 3 * state}[kind]
    scale = (state + heard) ** -0.5
    weights = {
        "own": scale * draws.normal(own_key, (state, columns)),
        "heard": scale * draws.normal(heard_key, (heard, columns)),
        "bias": jnp.zeros(columns),
    }
    if kind == "gru":
        return weights | {"bias": weights["bias"].at[state : 2 * state].set(gate_bias)}
    out = width**-0.5 * draws.normal(out_key, (width, 2 * state))
    return weights | {"out": out, "out_bias": jnp.zeros(2 * state).at[state:].set(gate_bias)}


def candidate_and_gate(
    kind: str, weights: Weights, own: Float[Array, "*unit state"], drive: Float[Array, "*unit columns"]
) -> tuple[Float[Array, "*unit state"], Float[Array, "*unit state"]]:
    """What the function proposes, not yet bounded, and its gate between 0 and 1.

    `drive` is what is heard times `heard` plus `bias`: the caller makes it once a neuron and not once a synapse.
    """
    if kind == "gru":
        state = own.shape[-1]
        product = own @ weights["own"][:, : 2 * state] + drive[..., : 2 * state]
        reset, gate = jnp.split(jax.nn.sigmoid(product), 2, axis=-1)
        return (reset * own) @ weights["own"][:, 2 * state :] + drive[..., 2 * state :], gate
    inner = own @ weights["own"] + drive
    if kind == "gated":
        half = inner.shape[-1] // 2
        units = jnp.tanh(inner[..., :half]) * inner[..., half:]
    else:
        units = jnp.tanh(inner)
    out = units @ weights["out"] + jnp.expand_dims(weights["out_bias"], tuple(range(units.ndim - 1)))
    candidate, gate = jnp.split(out, 2, axis=-1)
    return candidate, jax.nn.sigmoid(gate)
