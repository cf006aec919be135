"""Online gradient descent: the baselines SGD and Adam as learners with nothing to meta-learn."""

import itertools
import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.layers import Image
from vsml.core.scores import bounded, cross_entropy
from vsml.core.types import Learner, RandomKey

Weights = list[tuple[Float[Array, "... _"], Float[Array, " _"]]]  # of each layer: [a b] or [k k a b], and [b]
Kernels = tuple[tuple[int, int, int], ...]


def gradient(
    sizes: tuple[int, ...],
    optimizer: optax.GradientTransformation,
    *,
    image: Image | None = None,
    convolutions: Kernels = (),
) -> Learner:
    """Learn one example at a time by one step of `optimizer` on its cross-entropy.

    `sizes` is (features, hidden layers in order, classes). With `convolutions`, (channels, kernel, stride) each and
    padded like SAME, the features are an `image` (height, width, channels), flat in this order, and what the last of
    them says is what the other layers see. Hidden units are tanh, logits are 100 tanh(z / 100). Theta is (): the
    initial weights are truncated normal with sd 1 / sqrt(fan-in), biases 0. The learning rate of `optimizer` may be
    traced, so a grid of rates is one `vmap`. Baselines of arXiv 2012.14905, section 4.2; the convolutions are a
    reconstruction.
    """
    strides = [stride for _, _, stride in convolutions]
    shapes = _shapes(sizes, image, convolutions)

    def init_state(theta: tuple[()], key: RandomKey):
        del theta
        keys = jax.random.split(key, len(shapes))
        weights = [
            (draws.truncated_normal(k, shape, -2.0, 2.0) / math.prod(shape[:-1]) ** 0.5, jnp.zeros(shape[-1]))
            for k, shape in zip(keys, shapes, strict=True)
        ]
        return weights, optimizer.init(weights)

    def step(theta: tuple[()], state, x: Float[Array, " features"], y: Float[Array, " classes"]):
        del theta
        weights, memory = state
        (_, logits), grads = jax.value_and_grad(loss, has_aux=True)(weights, x, y)
        updates, memory = optimizer.update(grads, memory, weights)
        return (optax.apply_updates(weights, updates), memory), logits

    def loss(
        weights: Weights, x: Float[Array, " features"], y: Float[Array, " classes"]
    ) -> tuple[Float[Array, ""], Float[Array, " classes"]]:
        """Cross-entropy of the prediction on `x`, and the prediction (logits)."""
        if image is not None:
            x = x.reshape(image)
        # not strict: convolutions come first, and there are as many strides as these
        for (v, c), stride in zip(weights, strides, strict=False):
            x = jnp.tanh(_convolve(x, v, stride) + c[None, None])
        *hidden, (w, b) = weights[len(strides) :]
        x = x.ravel()
        for v, c in hidden:
            x = jnp.tanh(x @ v + c)
        logits = bounded(x @ w + b)
        return cross_entropy(logits, y), logits

    return Learner(init_theta=lambda key: (), init_state=init_state, step=step)


def _shapes(sizes: tuple[int, ...], image: Image | None, convolutions: Kernels) -> list[tuple[int, ...]]:
    """Of the weights of every layer."""
    features, shapes = sizes[0], []
    if image is not None:
        height, width, below = image
        for channels, kernel, stride in convolutions:
            shapes.append((kernel, kernel, below, channels))
            height, width, below = -(-height // stride), -(-width // stride), channels
        features = height * width * below
    return [*shapes, *itertools.pairwise((features, *sizes[1:]))]


def _convolve(
    x: Float[Array, "height width a"], weights: Float[Array, "k k a b"], stride: int
) -> Float[Array, "above_height above_width b"]:
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], weights, (stride, stride), "SAME", dimension_numbers=axes)[0]
