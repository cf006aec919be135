"""Ornaments: a learner in, a learner out, which differ in what the inner one gets to see of the world."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.cell import truncated_normal
from vsml.core.layers import Image
from vsml.core.types import Learner, RandomKey, State, Theta

KERNEL, STRIDE = 3, 2


def padded(learner: Learner, inputs: int, outputs: int, features: int, classes: int) -> Learner:
    """`learner`, of `inputs` and `outputs`, for smaller tasks, of `features` and `classes`.

    Zeros follow the features and the label; of the logits the first `classes` are the prediction. Within, the error is
    that of all `outputs`, so a learner that bets on a class that is not there hears of it. As in the authors' code
    (arXiv 2012.14905: to 28 x 28 inputs and 62 outputs) but for two things, our reading: they pad an image below and to
    the right, we pad the flat vector, which is the same for images of full size; and they score all outputs.

    Raises:
      ValueError: the task is larger than the learner.
    """
    if features > inputs:
        raise ValueError(
            f"features (={features}) must be at most the inputs of the learner (={inputs}): "
            "make the examples smaller or the learner larger."
        )
    if classes > outputs:
        raise ValueError(
            f"classes (={classes}) must be at most the outputs of the learner (={outputs}): "
            "leave classes out or make the learner larger."
        )

    def step(theta: Theta, state: State, x: Float[Array, " features"], y: Float[Array, " classes"]):
        x, y = jnp.pad(x, (0, inputs - features)), jnp.pad(y, (0, outputs - classes))
        state, logits = learner.step(theta, state, x, y)
        return state, logits[:classes]

    return learner._replace(step=step)


class Encoder(nn.Module):
    """Three 3x3 convolutions of stride 2 with zero padding, as wide as SAME; relu, relu, tanh (the authors' code).

    For c channels and images of h channels: 9 h c + 18 c^2 + 3 c parameters.
    """

    channels: int

    @nn.compact
    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " features"]:
        squashes: tuple[Callable, ...] = (nn.relu, nn.relu, jnp.tanh)
        for squash in squashes:
            fan_in = KERNEL**2 * image.shape[-1]
            convolve = nn.Conv(self.channels, (KERNEL, KERNEL), STRIDE, kernel_init=truncated_normal(fan_in))
            image = squash(convolve(image))
        return image.ravel()


def conv_front(learner: Learner, shape: Image, channels: int) -> Learner:
    """`learner` behind a meta-learned convolutional encoder, which does not change within an episode.

    An example is an image of `shape` (height, width, channels), flat in this order; the inner learner must have
    `conv_features(shape, channels)` inputs. Theta is {"front", "inner"}, the state is that of the inner learner. The
    baselines of the paper's Omniglot have 64 channels (meta RNN) or 8 (the others).
    """
    encoder = Encoder(channels)
    encode: Callable[..., Any] = encoder.apply

    def init_theta(key: RandomKey) -> Theta:
        front_key, inner_key = jax.random.split(key)
        return {
            "front": encoder.init(front_key, jnp.zeros(shape))["params"],
            "inner": learner.init_theta(inner_key),
        }

    def init_state(theta: Theta, key: RandomKey) -> State:
        return learner.init_state(theta["inner"], key)

    def step(theta: Theta, state: State, x: Float[Array, " pixels"], y: Float[Array, " classes"]):
        features = encode({"params": theta["front"]}, x.reshape(shape))
        return learner.step(theta["inner"], state, features, y)

    return Learner(init_theta, init_state, step)


def conv_features(shape: Image, channels: int) -> int:
    """How many features `conv_front` makes of an image of `shape`: 1,024 of 28 x 28 with 64 channels, 128 with 8."""
    height, width = (-(-side // STRIDE**3) for side in shape[:2])
    return height * width * channels
