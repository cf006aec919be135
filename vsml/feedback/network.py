"""Feed-forward networks whose last layers change in an episode, behind layers and convolutions that do not.

    x_l = ReLU(W_l x_{l-1} + b_l),    y = x_L = W_L x_{L-1} + b_L        (arXiv 2006.09549 and released code)

Weights are Kaiming normal with sd sqrt(2 / fan-in), biases 0. Weights are held as [a b]: below, above.

Axis letters: batch (points that are learned from at once), a, b, k (taps of a kernel), c (channels).
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.types import Episode, Learner, RandomKey, Theta

Layers = dict[str, dict[str, Array]]  # by number from 0 on: w and b, or what belongs to them
KINDS = ("synapse", "neuron", "layer", "one")


def kaiming(key: RandomKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal with sd sqrt(2 / fan-in); all axes but the last one are below."""
    return draws.normal(key, shape) * (2 / math.prod(shape[:-1])) ** 0.5


def initial_layers(shapes: list[tuple[int, ...]], key: RandomKey) -> Layers:
    keys = jax.random.split(key, len(shapes))
    return {
        str(number): {"w": kaiming(k, shape), "b": jnp.zeros(shape[-1])}
        for number, (k, shape) in enumerate(zip(keys, shapes, strict=True))
    }


def dense_shapes(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.pairwise(sizes))


def last(sizes: tuple[int, ...], plastic: int) -> list[str]:
    """The names of the layers that change in an episode.

    Raises:
      ValueError: there are not so many.
    """
    layers = len(sizes) - 1
    if not 1 <= plastic <= layers:
        raise ValueError(f"plastic (={plastic}) must be 1 to {layers}, the layers of the network {sizes}: correct it.")
    return [str(number) for number in range(layers - plastic, layers)]


def assembled(forward: Layers, state: Layers) -> list[dict[str, Array]]:
    """All layers, those that change as they are now."""
    return [forward[str(number)] | state.get(str(number), {}) for number in range(len(forward))]


def climb(layers: list[dict[str, Array]], x: Float[Array, "batch a"]) -> list[Float[Array, "batch _"]]:
    """What each layer hears, and at last what the network says."""
    heard = [x]
    for number, layer in enumerate(layers, start=1):
        said = heard[-1] @ layer["w"] + layer["b"][None]
        heard.append(jax.nn.relu(said) if number < len(layers) else said)
    return heard


def coefficients(kind: str, shapes: dict[str, tuple[int, ...]], value: float) -> dict[str, Array]:
    """Numbers that the outer loop learns, all `value` at first: one for each synapse, neuron or layer, or one for all.

    Raises:
      ValueError: no such kind.
    """
    if kind == "one":
        return {"all": jnp.full((), value, jnp.float32)}
    form = {"synapse": lambda shape: shape, "neuron": lambda shape: (1,) * (len(shape) - 1) + shape[-1:]}
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {KINDS}: choose how many coefficients there are.")
    return {
        name: jnp.full(form.get(kind, lambda shape: ())(shape), value, jnp.float32) for name, shape in shapes.items()
    }


def of_layer(found: dict[str, Array], name: str) -> Array:
    return found["all"] if "all" in found else found[name]


class Trunk(NamedTuple):
    """Convolutions, ReLU after each, that are meta-learned and do not change in an episode; SAME padding.

    `image` is (height, width, channels), in which order the features of an example are flat; a convolution is
    (channels, kernel, stride).
    """

    image: tuple[int, int, int]
    convolutions: tuple[tuple[int, int, int], ...]

    @property
    def features(self) -> int:
        height, width, channels = self.image
        # after the loop, channels are those of the last convolution
        for channels, _, stride in self.convolutions:  # noqa: B007
            height, width = -(-height // stride), -(-width // stride)
        return height * width * channels

    def init(self, key: RandomKey) -> Layers:
        below = [self.image[2], *(channels for channels, _, _ in self.convolutions)]
        return initial_layers([(k, k, a, c) for (c, k, _), a in zip(self.convolutions, below, strict=False)], key)

    def watch(self, layers: Layers, x: Float[Array, "time pixels"]) -> Float[Array, "time features"]:
        z = x.reshape(len(x), *self.image)
        for number, (_, _, stride) in enumerate(self.convolutions):
            layer, axes = layers[str(number)], ("NHWC", "HWIO", "NHWC")
            z = jax.lax.conv_general_dilated(z, layer["w"], (stride, stride), "SAME", dimension_numbers=axes)
            z = jax.nn.relu(z + layer["b"][None, None, None])
        return z.reshape(len(x), -1)


class System(NamedTuple):
    """A learner, and the trunk through which it sees; None where it sees examples as they are."""

    learner: Learner  # of what the trunk says
    trunk: Trunk | None

    def init_theta(self, key: RandomKey) -> Theta:
        if self.trunk is None:
            return self.learner.init_theta(key)
        own_key, trunk_key = jax.random.split(key)
        return self.learner.init_theta(own_key) | {"trunk": self.trunk.init(trunk_key)}

    def seen(self, theta: Theta, episode: Episode) -> Episode:
        """The episode as the learner sees it. The trunk does not change in an episode, so it sees all at once."""
        if self.trunk is None:
            return episode
        return episode._replace(x=self.trunk.watch(theta["trunk"], episode.x))

    def whole(self) -> Learner:
        """Trunk and learner as one, an example at a time: the same predictions."""

        def step(theta: Theta, state, x: Array, y: Array):
            (seen,) = self.seen(theta, Episode(x[None], y[None])).x
            return self.learner.step(theta, state, seen, y)

        return Learner(self.init_theta, self.learner.init_state, step)
