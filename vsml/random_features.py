"""Random features: a learner is shown each example together with fixed random functions of it.

In one tick, a layer of cells from inputs to classes adds up what every input says by itself, so what depends on several
inputs at once is beyond it. Inputs that are themselves random functions of all features bring some of that within
reach, as a random hidden layer would (random kitchen sinks: Rahimi and Recht, NeurIPS 2008), and a rule of VSML takes
any number of inputs. Ours: in none of the papers, and no part of meta-training, which depends on nothing here.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.types import Learner, RandomKey, State, Theta

# Chosen among 1, 2 and 4 for the rule `mnist`, on training images of MNIST and Fashion-MNIST; they hardly differ.
GAIN = 2.0


class Shown(NamedTuple):
    weights: Float[Array, "features count"]  # fixed for the episode, as the bias is
    bias: Float[Array, " count"]
    inner: State


def with_random_features(sized: Callable[[int, int], Learner], count: int) -> Callable[[int, int], Learner]:
    """(features, classes) -> the learner that `sized` makes for `features` + `count`, of which `count` are random.

    They are tanh(x W + b), drawn with the initial state: W normal, of sd 2 / sqrt(features), so that features of mean
    square 1 give x W a root mean square of 2; b standard normal, without which all would be odd functions. Theta is
    that of the inner learner.

    Raises:
      ValueError: `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"count (={count}) of random features must be at least 1: without them, use the learner.")

    def learner(features: int, classes: int) -> Learner:
        inner = sized(features + count, classes)

        def init_state(theta: Theta, key: RandomKey) -> Shown:
            weights_key, bias_key, inner_key = jax.random.split(key, 3)
            weights = draws.normal(weights_key, (features, count)) * (GAIN * features**-0.5)
            return Shown(weights, jax.random.normal(bias_key, (count,)), inner.init_state(theta, inner_key))

        def step(theta: Theta, state: Shown, x: Float[Array, " features"], y: Float[Array, " classes"]):
            shown = jnp.concatenate([x, jnp.tanh(x @ state.weights + state.bias)])
            own, prediction = inner.step(theta, state.inner, shown, y)
            return state._replace(inner=own), prediction

        return Learner(inner.init_theta, init_state, step)

    return learner
