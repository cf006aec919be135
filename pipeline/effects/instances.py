"""Effects of other algorithms in VSML's form: instances that are set by hand, and clones that are meta-trained."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from pipeline import cloning, unification
from pipeline.effects import Effect, Expected, Made
from pipeline.tables import Tables


class Deviation(Expected):
    """How far an instance is from its algorithm in a lifetime, in units of what learning moves; or its control is."""

    quantity: Literal["deviation"]
    of: Literal["instance", "control"]
    methods: Annotated[tuple[str, ...], Field(min_length=1)]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        if unification.TABLE not in made.tables:
            return
        arrays = made.tables[unification.TABLE].arrays
        for method in self.methods:
            row = arrays["pair"].tolist().index(method)
            of_learning = arrays["learning"][row].astype(np.float64)
            off = np.maximum(
                arrays["prediction_deviation"][row] / of_learning,
                arrays["state_deviation"][row] / arrays["state_size"][row],
            )
            words = unification.METHODS[method]
            if self.of == "control":  # a control that does no worse would say that the measure is blind
                near = unification.CONTROLS[method]
                yield (
                    f"{words}: near relative ({near}) less instance",
                    (arrays["control_deviation"][row] / of_learning - off)[:, None],
                )
            else:
                yield f"{words}: relative deviation of the instance", off[:, None]


class Cloned(Expected):
    """A clone, or one improved by meta-training, against SGD or the plain clone, by networks of so many layers."""

    quantity: Literal["clone"]
    of: Literal["clone", "improved"]
    against: Literal["clone", "sgd"]
    score: Literal["early", "held_out"]
    on: Literal["home", "elsewhere"]
    layers: PositiveInt

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        tables, names = made.tables, {"clone": "clone", "improved": "improved clone", "sgd": "SGD"}
        for task in cloning.tasks(tables) if cloning.tests(tables) else ():
            name, _, sizes = task.partition("-")
            if sizes.count("-") == self.layers and (name == made.improved_on) == (self.on == "home"):
                own, other = (self._score(tables, task, learner) for learner in (self.of, self.against))
                words = "first examples" if self.score == "early" else "test images at the end"
                yield f"{cloning.words(task)}, {words}: {names[self.of]} less {names[self.against]}", own - other

    def _score(self, tables: Tables, task: str, learner: str) -> Effect:
        if self.score == "held_out":
            return cloning.of_clones(tables, f"{task}/held_out")[:, :, -1, cloning.LEARNERS.index(learner)]
        online = cloning.cumulative(tables, task, learner)
        return online[:, :, min(cloning.LOOKED_AT, online.shape[-1]) - 1]
