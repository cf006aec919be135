"""Online gradient descent: the baselines SGD and Adam as learners with nothing to meta-learn."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from vsml.core.scores import bounded, cross_entropy
from vsml.core.types import Learner, RandomKey

Weights = list[tuple[Float[Array, "_ _"], Float[Array, " _"]]]  # [a b] and [b] of each layer


def gradient(sizes: tuple[int, ...], optimizer: optax.GradientTransformation) -> Learner:
    """Learn one example at a time by one step of `optimizer` on its cross-entropy.

    `sizes` is (features, hidden layers in order, classes); hidden units are tanh, logits are 100 tanh(z / 100).
    Theta is (): the newborn weights are truncated normal with sd 1 / sqrt(a), biases 0. The learning rate of
    `optimizer` may be traced, so a grid of rates is one `vmap`. Baselines of arXiv 2012.14905, section 4.2.
    """

    def init_state(theta: tuple[()], key: RandomKey):
        del theta
        keys = jax.random.split(key, len(sizes) - 1)
        weights = [
            (jax.random.truncated_normal(k, -2.0, 2.0, (a, b)) / a**0.5, jnp.zeros(b))
            for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]
        return weights, optimizer.init(weights)

    def step(theta: tuple[()], state, x: Float[Array, " features"], y: Float[Array, " classes"]):
        del theta
        weights, memory = state
        (_, logits), grads = jax.value_and_grad(_loss, has_aux=True)(weights, x, y)
        updates, memory = optimizer.update(grads, memory, weights)
        return (optax.apply_updates(weights, updates), memory), logits

    return Learner(init_theta=lambda key: (), init_state=init_state, step=step)


def _loss(
    weights: Weights, x: Float[Array, " features"], y: Float[Array, " classes"]
) -> tuple[Float[Array, ""], Float[Array, " classes"]]:
    """Cross-entropy of the prediction on `x`, and the prediction (logits)."""
    *hidden, (w, b) = weights
    for v, c in hidden:
        x = jnp.tanh(x @ v + c)
    logits = bounded(x @ w + b)
    return cross_entropy(logits, y), logits
