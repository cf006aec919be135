"""Effects of networks that learn by meta-trained feedback."""

from typing import Literal

import numpy as np

from pipeline.studies.claims import Effect, Effects
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning.claims import Made

Score = Literal["final", "forgetting", "hidden_cosine", "interference"]


def feedback_score(made: Made, *, score: Score, of: str, against: str | None = None, task: str) -> Effects:
    """By how much a learner does better than another, or than 0, on the same task and episodes.

    `final`: accuracy, or mean squared error, at the end. `forgetting`: how much worse parts are known then than right
    after them. `hidden_cosine`: absolute cosine of updates of hidden layers with the gradient's. `interference`: what
    updates for a part do to other parts. Less is better of all but accuracy.
    """
    names = [f"{learner}{feedback.ON}{task}" for learner in (of, against) if learner is not None]
    if any(name not in feedback.tests(made.tables) for name in names):
        return
    own, *other = (_score(made, name, score) for name in names)
    more_is_better = score == "final" and not feedback.is_regression(made.tables, names[0])
    lead = (-own if not other else other[0] - own) * (-1 if more_is_better else 1)
    what = {
        "final": "accuracy" if more_is_better else "mean squared error",
        "forgetting": "forgetting",
        "hidden_cosine": "absolute cosine with the gradient in hidden layers",
        "interference": "interference",
    }[score]
    first, *second = (feedback.name(name) for name in (names if more_is_better else names[::-1]))
    words = f"{first} less {second[0]}" if second else f"0 less {first}"
    yield f"{feedback.title(task)}, {what}: {words}", lead


def _score(made: Made, name: str, score: Score) -> Effect:
    """Of each seed and episode; the last two scores are means over the episodes of a seed, [seed, 1]."""
    match score:
        case "final":
            return feedback.worth(made.tables, name)
        case "forgetting":
            return feedback.forgetting(made.tables, name)
        case "interference":
            return feedback.interference(made.tables, name)[:, None]
        case "hidden_cosine":
            return np.abs(feedback.cosines(made.tables, name)[:, :-1]).mean(1, keepdims=True)
