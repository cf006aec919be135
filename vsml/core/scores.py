"""What a prediction was worth. A score maps predictions and labels of a lifetime to one number an example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def cross_entropy(logits: Float[Array, "*time classes"], y: Float[Array, "*time classes"]) -> Float[Array, "*time"]:
    """Cross-entropy in nats of each prediction; the meta loss of VSML is its mean (arXiv 2012.14905, 4.2)."""
    return -jnp.sum(y * jax.nn.log_softmax(logits), axis=-1)


def correct(logits: Float[Array, "*time classes"], y: Float[Array, "*time classes"]) -> Bool[Array, "*time"]:
    """Whether the most probable class of each prediction is the true one."""
    return jnp.argmax(logits, axis=-1) == jnp.argmax(y, axis=-1)
