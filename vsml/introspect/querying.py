"""Predict without learning: what a learner would predict for images whose labels it is not shown.

A query takes one step from a copy of the state and drops the state that results. It shows the function from
input to output that the state stands for at this moment.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.scores import LOGIT_BOUND
from vsml.core.types import Learner, State, Theta


def predict_only(
    learner: Learner, theta: Theta, state: State, x: Float[Array, "query features"], classes: int
) -> Float[Array, "query classes"]:
    """The logits of each query from this very state.

    A step takes a label too, but predicts before that may matter (a law of learners): any will do. The queries go
    one by one, since a state is large and episodes are mapped outside.
    """
    nothing = jnp.zeros(classes)
    return jax.lax.map(lambda query: learner.step(theta, state, query, nothing)[1], x)


def unbounded(logits: Float[Array, "*any classes"]) -> Float[Array, "*any classes"]:
    """The logits before `scores.bounded`, in which a linear learner is linear; beyond 99.9 all are alike."""
    return LOGIT_BOUND * jnp.arctanh(jnp.clip(logits / LOGIT_BOUND, -0.999, 0.999))


def slope(logits: Float[Array, "*any classes"]) -> Float[Array, "*any classes"]:
    """The derivative of `scores.bounded`, from its value."""
    return 1 - jnp.square(logits / LOGIT_BOUND)
