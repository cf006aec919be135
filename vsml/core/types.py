"""The words of the house as types: episode, learner, theta, state.

Axis letters, here and in every annotation of `vsml`:

    time      examples of one episode, in order
    features  numbers that describe one example
    classes   outputs of the learner, one logit each
    p         episodes of one meta-step (the population)
    a, b      units below and above a layer of cells
    n, h      channels of a message, hidden channels of a cell

Sections and figures of arXiv 2012.14905 are those of v3/v4 (NeurIPS 2021), as far as we know them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Key, PyTree

RandomKey = Key[Array, ""]
Theta = PyTree  # what the outer loop learns, the paper's V_M; () if nothing
State = PyTree  # what one learner carries through an episode, the paper's V_L


class Episode(NamedTuple):
    """One episode: the examples in the order in which they are shown."""

    x: Float[Array, "time *features"]
    y: Float[Array, "time *classes"]  # one-hot; of regressions and of recall the targets


class Learner(NamedTuple):
    """An online learning algorithm, as three pure functions of one episode; `jax.vmap` makes many.

        init_theta(key) -> theta                    what the outer loop learns
        init_state(theta, key) -> state             at the start of an episode
        step(theta, state, x, y) -> state, logits   x [features], y and logits [classes]

    `step` predicts the logits of `x` before `y` may influence them; a test holds every learner to it.
    """

    init_theta: Callable[[RandomKey], Theta]
    init_state: Callable[[Theta, RandomKey], State]
    step: Callable[[Theta, State, Array, Array], tuple[State, Any]]
