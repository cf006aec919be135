"""Effects inside of VSML: what a sighting does, and where a step points."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from pipeline import introspection
from pipeline.effects import RIVALS, Effect, Expected, Made, Rival
from pipeline.results import associations
from pipeline.tables import RULE, experiments


class SecondSighting(Expected):
    """Accuracy of VSML at the second sighting of an image, less a rival's or less a number."""

    quantity: Literal["second_sighting"]
    against: Rival | float

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        if RULE not in experiments(made.tables, "introspect"):
            return
        found = {
            name: values for name, what, values in associations(made.tables, RULE) if what == "second_sighting_accuracy"
        }
        if isinstance(self.against, float):
            yield f"Right at the second sighting: VSML less {self.against:g}", found[RULE] - self.against
        elif self.against in found:
            words = RIVALS[self.against]
            yield f"Right at the second sighting: VSML less {words}", found[RULE] - found[self.against]


class Association(Expected):
    """VSML's lead in what a sighting adds to the class of its image, less what it adds there to images of others."""

    quantity: Literal["association"]
    age: Literal["newborn", "later"]
    against: Rival

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        every = _learners(made)
        if self.against not in every:
            return
        own, other = (introspection.gains(every[name]) for name in (RULE, self.against))
        same, stranger = (introspection.PROBES.index(name) for name in ("same", "stranger"))
        for a, age in enumerate(every[RULE][0]["age"].tolist()):
            if (age == 0) == (self.age == "newborn"):
                lead = own[:, a, :, 0, same] - own[:, a, :, 0, stranger]
                lead = lead - (other[:, a, :, 0, same] - other[:, a, :, 0, stranger])
                yield f"One sighting {introspection.when(age)}: VSML less {RIVALS[self.against]}", lead


class GradientCosine(Expected):
    """How much less a step of VSML points where a gradient step would than a step of the rival does."""

    quantity: Literal["gradient_cosine"]
    against: Rival

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        every = _learners(made)
        if self.against not in every:
            return
        own, other = (np.stack([arrays["cosine"] for arrays in every[name]]) for name in (RULE, self.against))
        clear = np.isfinite(own).any(-1).all(0) & np.isfinite(other).any(-1).all(0)  # lives in which all have moved
        if clear.any():
            lead = np.nanmean(other[:, clear], axis=-1) - np.nanmean(own[:, clear], axis=-1)
            yield f"Cosine with gradient steps: {RIVALS[self.against]} less VSML", lead


def _learners(made: Made) -> dict[str, list[dict[str, Any]]]:
    has = RULE in experiments(made.tables, "introspect")
    return dict(introspection.of_learners(made.tables, RULE)) if has else {}
