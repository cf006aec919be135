"""Looking without touching: what a learner would predict of images that it is not told about.

A probe takes one step from a copy of the state and forgets the state that results. What it sees is the function from
input to output that the state stands for at this moment.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.scores import LOGIT_BOUND
from vsml.core.types import Learner, State, Theta


def outlook(
    learner: Learner, theta: Theta, state: State, x: Float[Array, "probe features"], classes: int
) -> Float[Array, "probe classes"]:
    """The logits of each probe from this very state.

    A step takes a label too, but predicts before that may matter (a law of learners): any will do. The probes go
    one by one, since a state is large and lives are mapped outside.
    """
    nothing = jnp.zeros(classes)
    return jax.lax.map(lambda probe: learner.step(theta, state, probe, nothing)[1], x)


def unbounded(logits: Float[Array, "*any classes"]) -> Float[Array, "*any classes"]:
    """The logits before `scores.bounded`, in which a linear learner is linear; beyond 99.9 all are alike."""
    return LOGIT_BOUND * jnp.arctanh(jnp.clip(logits / LOGIT_BOUND, -0.999, 0.999))


def slope(logits: Float[Array, "*any classes"]) -> Float[Array, "*any classes"]:
    """The derivative of `scores.bounded`, from its value."""
    return 1 - jnp.square(logits / LOGIT_BOUND)
