"""Effects of cloning: whether a clone learns as its teacher does, and what further meta-training is good for."""

from typing import Literal

from pydantic import PositiveInt

from pipeline.studies.claims import Effect, Effects
from pipeline.studies.cloning import measures as cloning
from pipeline.studies.learning.claims import Made
from pipeline.studies.learning.tables import Tables

NAMES = {"clone": "clone", "improved": "improved clone", "sgd": "SGD"}


def clone_accuracy(
    made: Made,
    *,
    of: Literal["clone", "improved"],
    against: Literal["clone", "sgd"],
    score: Literal["early", "held_out"],
    on: Literal["home", "elsewhere"],
    layers: PositiveInt,
) -> Effects:
    """Accuracy of a clone, or of one improved by meta-training, less that of SGD or of the plain clone.

    By networks of so many layers, on the set of that meta-training (home) or on each other one (elsewhere).
    """
    for task in cloning.tasks(made.tables) if cloning.tests(made.tables) else ():
        name, _, sizes = task.partition("-")
        if sizes.count("-") == layers and (name == made.improved_on) == (on == "home"):
            own, other = (_accuracy(made.tables, task, learner, score) for learner in (of, against))
            words = "first examples" if score == "early" else "test images at the end"
            yield f"{cloning.words(task)}, {words}: {NAMES[of]} less {NAMES[against]}", own - other


def _accuracy(tables: Tables, task: str, learner: str, score: str) -> Effect:
    if score == "held_out":
        return cloning.of_clones(tables, f"{task}/held_out")[:, :, -1, cloning.LEARNERS.index(learner)]
    online = cloning.cumulative(tables, task, learner)
    return online[:, :, min(cloning.LOOKED_AT, online.shape[-1]) - 1]
