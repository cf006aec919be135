"""Hebbian fast weights: a layer whose weights change by what passes through them, by a rule with meta-learned rates.

    out = u (W + C * F) + bias,    v = softmax(out),    eta = sigmoid(rate)
    Hebb:  F' = (1 - eta) F + eta u v^T          Oja:  F'_ij = F_ij + eta v_j (u_i - v_j F_ij)

    u   what the layer hears: [example, error, label]   F   fast weights, zero at the start: all that an episode learns
    W, C   slow weights and plasticities, one for each connection;  `*` is element-wise

Two passes an example. The first hears [x, 0, 0]: it predicts, logits = 100 tanh(out / 100), and changes nothing. The
second hears [x, softmax(logits) - y, y], and F becomes F'; the label then is among what the layer hears, so that W can
put it into v, where Hebb's rule ties it to x.

Both rules leave F finite for good: Hebb's is a running mean of u v^T, and in Oja's the factor of F is 1 - eta v_j^2,
between 0 and 1, while each step adds at most |u_i|.

Baseline of arXiv 2012.14905, section 4; equations, passes and starting values from the authors' released code, where
Hebb's rule forgets, the softmax is that of the unbounded `out`, and C is one number a connection. (Plastic weights
after Miconi et al., 2018, arXiv 1804.02464.)
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import truncated_normal
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta

INITIAL_PLASTICITY = 0.01
INITIAL_RATE = -4.5  # eta = sigmoid(-4.5) = 0.011


class PlasticLayer(nn.Module):
    """An example passes twice through a plastic layer, which changes its fast weights.

    The passes differ in the error and the label alone, so the example is multiplied once. The rules are written with
    as few products of the size of F as they allow: for the meta-gradient, each is kept at every step of an episode.
    """

    oja: bool

    @nn.compact
    def __call__(
        self, fast: Float[Array, "heard outputs"], x: Float[Array, " inputs"], y: Float[Array, " outputs"]
    ) -> tuple[Float[Array, "heard outputs"], Float[Array, " outputs"]]:
        """Return the fast weights thereafter and the prediction before them."""
        heard, outputs = fast.shape
        slow = self.param("slow", truncated_normal(heard), fast.shape)
        plasticity = self.param("plasticity", nn.initializers.constant(INITIAL_PLASTICITY), fast.shape)
        bias = self.param("bias", nn.initializers.zeros, (outputs,))
        eta = jax.nn.sigmoid(self.param("rate", nn.initializers.constant(INITIAL_RATE), ()))
        for_x, for_error_and_label = jnp.split(slow + plasticity * fast, [len(x)])

        first = x @ for_x + bias
        logits = bounded(first)
        error_and_label = jnp.concatenate([prediction_error(logits, y), y])
        v = jax.nn.softmax(first + error_and_label @ for_error_and_label)[None, :]
        u = jnp.concatenate([x, error_and_label])[:, None]
        return fast * (1 - eta * (v * v if self.oja else 1.0)) + (eta * u) * v, logits


def hebbian(inputs: int, outputs: int, *, oja: bool) -> Learner:
    """A plastic layer for examples of `inputs` features and `outputs` classes, by Oja's rule or by Hebb's.

    With u of inputs + 2 outputs numbers, theta has 2 len(u) outputs + outputs + 1 parameters: 112,655 at the paper's
    784 inputs and 62 outputs. Its state are the fast weights, [u outputs].
    """
    layer = PlasticLayer(oja)
    apply: Callable[..., Any] = layer.apply
    shape = (inputs + 2 * outputs, outputs)

    def init_theta(key: RandomKey) -> Theta:
        return layer.init(key, jnp.zeros(shape), jnp.zeros(inputs), jnp.zeros(outputs))["params"]

    def init_state(theta: Theta, key: RandomKey) -> Float[Array, "heard outputs"]:
        del theta, key  # all episodes begin alike
        return jnp.zeros(shape)

    def step(
        theta: Theta, fast: Float[Array, "heard outputs"], x: Float[Array, " inputs"], y: Float[Array, " outputs"]
    ):
        return apply({"params": theta}, fast, x, y)

    return Learner(init_theta, init_state, step)
