"""What is measured: networks, how many episodes, and how many of them run at once on a device."""

import math
from functools import partial
from typing import NamedTuple

import jax
from jax.tree_util import Partial

from benchmarks.plain import OPTIONS, plain_network
from vsml.core.layers import Convolution
from vsml.core.types import Episode, Learner, RandomKey
from vsml.learners.network import network, stack

HIDDEN, MESSAGE = 16, 8
SHORTEST, LONGEST = 20, 100  # examples of an episode; the gradient keeps every state, in both forms


class Case(NamedTuple):
    name: str
    sizes: tuple[int, ...]
    episodes: int
    at_once: int | None = None  # on each device; None: all. The same for both forms
    layer_norm: bool = True
    image: tuple[int, int, int] | None = None
    convolutions: tuple[tuple[int, int, int], ...] = ()

    @property
    def label(self) -> str:
        once = "" if self.at_once is None else f", {self.at_once} at once"
        return f"{self.name}, {self.episodes} ep.{once}{'' if self.layer_norm else ', no norm'}"

    def ours(self) -> Learner:
        shape = {"image": self.image, "convolutions": self.convolutions}
        return network(self.sizes, layer_norm=self.layer_norm, **shape, **OPTIONS)

    def plain(self) -> Learner:
        return plain_network(self.sizes, layer_norm=self.layer_norm, image=self.image, convolutions=self.convolutions)

    def ticks_per_example(self) -> int:
        """Sub-RNNs that tick for one example; twice each, once a sweep. Those of a convolution tick at every place."""
        total = 0
        for layer in stack(self.sizes, self.image, self.convolutions):
            if isinstance(layer, Convolution):
                height, width, channels = layer.result
                total += height * width * channels * layer.kernel**2 * layer.image[2]
            else:
                total += layer.below * layer.above
        return 2 * total

    def length(self, device_ns: float, budget_s: float) -> int:
        """Examples of an episode that take the plain gradient about `budget_s`."""
        examples = budget_s * 1e9 / (device_ns * self.ticks_per_example() * self.episodes)
        return min(max(SHORTEST, math.ceil(examples)), LONGEST)

    def draw(self, length: int) -> Partial:
        return Partial(partial(_noise, length=length, inputs=self.sizes[0], classes=self.sizes[-1]))


def _noise(key: RandomKey, *, length: int, inputs: int, classes: int) -> Episode:
    x_key, y_key = jax.random.split(key)
    y = jax.nn.one_hot(jax.random.randint(y_key, (length,), 0, classes), classes)
    return Episode(jax.random.normal(x_key, (length, inputs)), y)


CONV = {"image": (28, 28, 1), "convolutions": ((8, 5, 3),)}
CASES = (
    Case("64-10", (64, 10), 1),
    Case("64-10", (64, 10), 32),
    Case("784-10", (784, 10), 1),
    Case("784-10", (784, 10), 32, at_once=1),
    Case("784-10", (784, 10), 32, at_once=1, layer_norm=False),
    Case("784-32-10", (784, 32, 10), 1),
    Case("784-32-10", (784, 32, 10), 32, at_once=1),
    Case("1-conv", (784, 10), 1, **CONV),
    Case("1-conv", (784, 10), 32, at_once=1, **CONV),
)
# Enough work for one GPU, in episodes that it holds at once with all their states: some 5 GiB for the largest.
GPU = (
    Case("64-10", (64, 10), 1024),
    Case("784-10", (784, 10), 128),
    Case("784-10", (784, 10), 1024, at_once=128),
    Case("784-10", (784, 10), 1024, at_once=128, layer_norm=False),
    Case("784-32-10", (784, 32, 10), 128),
    Case("1-conv", (784, 10), 128, at_once=32, **CONV),
)
QUICK = (Case("64-10", (64, 10), 8),)
