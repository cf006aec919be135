"""Predictions and what they were worth. A score maps those of a lifetime and its labels to one number an example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LOGIT_BOUND = 100.0


def bounded(z: Float[Array, "*time classes"]) -> Float[Array, "*time classes"]:
    """The logits of every learner: 100 tanh(z / 100) (code of arXiv 2012.14905), so that no loss is infinite."""
    return LOGIT_BOUND * jnp.tanh(z / LOGIT_BOUND)


def prediction_error(
    logits: Float[Array, "*time classes"], y: Float[Array, "*time classes"]
) -> Float[Array, "*time classes"]:
    """softmax(logits) - y, the gradient of the cross-entropy in the logits: what a learner hears of its prediction."""
    return jax.nn.softmax(logits) - y


def cross_entropy(logits: Float[Array, "*time classes"], y: Float[Array, "*time classes"]) -> Float[Array, "*time"]:
    """Cross-entropy in nats of each prediction; the meta loss of VSML is its mean (arXiv 2012.14905, 4.2)."""
    return -jnp.sum(y * jax.nn.log_softmax(logits), axis=-1)


def correct(logits: Float[Array, "*time classes"], y: Float[Array, "*time classes"]) -> Bool[Array, "*time"]:
    """Whether the most probable class of each prediction is the true one."""
    return jnp.argmax(logits, axis=-1) == jnp.argmax(y, axis=-1)
