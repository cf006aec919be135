"""The words of the house as types: episode, learner, theta, state.

Axis letters, here and in every annotation of `vsml`:

    time      examples of one episode, in order
    features  numbers that describe one example
    classes   outputs of the learner, one logit each
    p         episodes of one meta-step (the population)
    a, b      units below and above a layer of cells
    n, h      channels of a message, hidden channels of a cell
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
    y: Float[Array, "time *classes"]  # one-hot


class Learner(NamedTuple):
    """An online learning algorithm, as three pure functions.

    `step` predicts the logits of `x` before `y` may influence them; a test holds every learner to it.
    """

    init_theta: Callable[[RandomKey], Theta]
    init_state: Callable[[Theta, RandomKey], State]
    step: Callable[[Theta, State, Array, Array], tuple[State, Any]]
