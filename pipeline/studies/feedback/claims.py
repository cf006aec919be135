"""Effects of networks that learn by meta-trained feedback."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from pipeline.studies.claims import Effect, Effects
from pipeline.studies.feedback.measures import ON, Tested, tested
from pipeline.studies.learning.claims import Made
from pipeline.studies.learning.ranking import title

Score = Literal["final", "forgetting", "hidden_cosine", "interference"]
SCORES: dict[Score, tuple[str, Callable[[Tested], Effect]]] = {  # the last two: a mean over the episodes of each seed
    "final": ("mean squared error", Tested.worth),
    "forgetting": ("forgetting", Tested.forgetting),
    "hidden_cosine": (
        "absolute cosine with the gradient in hidden layers",
        lambda each: np.abs(each.cosines()[:, :-1]).mean(1, keepdims=True),
    ),
    "interference": ("interference", Tested.interference),
}


def feedback_score(made: Made, *, score: Score, of: str, against: str | None = None, task: str) -> Effects:
    """By how much a learner does better than another, or than 0, on the same task and episodes.

    `final`: accuracy at the end, or mean squared error as a share of the other's mean, since errors differ by factors.
    `forgetting`: how much worse parts are known then than right after them. `hidden_cosine`: absolute cosine of updates
    of hidden layers with the gradient's. `interference`: what updates for a part do to other parts. Less is better of
    all but accuracy.
    """
    every = tested(made.tables)
    names = [f"{learner}{ON}{task}" for learner in (of, against) if learner is not None]
    if not every.keys() >= set(names):
        return
    (what, measured), (own, *others) = SCORES[score], [every[name] for name in names]
    values = measured(own)
    less = measured(others[0]) - values if others else -values
    if score == "final" and own.regression and others:
        less, what = less / measured(others[0]).mean(), f"{what}, as a share of that of {others[0].name}"
    first, second = (others[0].name, own.name) if others else ("0", own.name)
    if score == "final" and not own.regression:  # more is better
        less, what = -less, "accuracy"
        first, second = second, first
    yield f"{title(task)}, {what}: {first} less {second}", less
