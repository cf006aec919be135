"""Effects of the two sibling systems: networks that learn by feedback, and rules that remember."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from pipeline import feedback, recall
from pipeline.effects import Effect, Expected, Made


class Taught(Expected):
    """By how much a learner of the feedback experiments does better than another on the same task and lives.

    `worth` is accuracy, or mean squared error, at the end; `forgetting` how much worse parts are known then than right
    after them; `hidden_cosine` how far updates of hidden layers are from the gradient's direction, a mean over lives;
    `interference` what updates for a part do to other parts. Less is better of all but accuracy.
    """

    quantity: Literal["taught"]
    score: Literal["worth", "forgetting", "hidden_cosine", "interference"]
    of: str
    against: str | None  # None: against nothing, which is 0
    task: str

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        known, task = feedback.tests(made.tables), self.task
        names = [f"{learner}{feedback.ON}{task}" for learner in (self.of, self.against) if learner is not None]
        if any(name not in known for name in names):
            return
        own, *other = (self._score(made, name) for name in names)
        accuracy = self.score == "worth" and not feedback.is_regression(made.tables, names[0])
        lead = (-own if not other else other[0] - own) * (-1 if accuracy else 1)
        what = {
            "worth": "accuracy" if accuracy else "mean squared error",
            "forgetting": "forgetting",
            "hidden_cosine": "absolute cosine with the gradient in hidden layers",
            "interference": "interference",
        }[self.score]
        first, *second = (feedback.name(name) for name in (names if accuracy else names[::-1]))
        words = f"{first} less {second[0]}" if second else f"0 less {first}"
        yield f"{feedback.title(task)}, {what}: {words}", lead

    def _score(self, made: Made, name: str) -> Effect:
        if self.score == "worth":
            return feedback.worth(made.tables, name)
        if self.score == "forgetting":
            return feedback.forgetting(made.tables, name)
        if self.score == "interference":
            return feedback.interference(made.tables, name)[:, None]
        return np.abs(feedback.cosines(made.tables, name)[:, :-1]).mean(1, keepdims=True)


class Recalled(Expected):
    """Bits recalled of the last D snippets by rules trained to remember D, less those of others in the same streams."""

    quantity: Literal["recalled"]
    of: str
    against: str | Annotated[float, Field(ge=0, le=1)]  # an experiment, `fixed` for the best of a grid, or a number
    horizons: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        every = recall.in_order(made.tables)
        if self.of not in every or (isinstance(self.against, str) and self.against not in ("fixed", *every)):
            return
        own = dict(zip(recall.horizons(made.tables, self.of), recall.last(made.tables, self.of), strict=True))
        for horizon in self.horizons:
            rival = self._rival(made, horizon) if horizon in own else None
            if rival is not None:
                other, words = rival
                yield f"Last {horizon}: {recall.name(self.of)} less {words}", own[horizon] - other

    def _rival(self, made: Made, horizon: int) -> tuple[Effect | float, str] | None:
        """Accuracies, and a name for them; of fixed rules the best on these very streams, in hindsight."""
        if not isinstance(self.against, str):
            return self.against, f"{self.against:g}"
        if self.against != "fixed":
            trained = recall.horizons(made.tables, self.against)
            if horizon not in trained:
                return None
            lives = recall.last(made.tables, self.against)[trained.index(horizon)]
            return lives, recall.name(self.against)
        if self.of not in recall.thorough(made.tables):
            return None
        shares = recall.summed(recall.tests(made.tables, self.of)[0], "fixed")[..., :horizon].mean(-1)
        return shares[shares.mean(1).argmax()][None], "the best fixed rule"
