"""Effects of cloning: whether a clone learns as its teacher does, and what further meta-training is good for."""

from typing import Literal

from pydantic import PositiveInt

from pipeline.studies.claims import Effects
from pipeline.studies.cloning.measures import tested, words
from pipeline.studies.learning.claims import Made

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
    for task, found in tested(made.tables).items():
        name, _, sizes = task.partition("-")
        if sizes.count("-") == layers and (name == made.improved_on) == (on == "home"):
            early, both = score == "early", (of, against)
            own, other = (found.early(one) if early else found.on_test_images(one)[:, :, -1] for one in both)
            when = "first examples" if early else "test images at the end"
            yield f"{words(task)}, {when}: {NAMES[of]} less {NAMES[against]}", own - other
