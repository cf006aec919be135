"""How well the clone runs backpropagation, in numbers and words. Reads tables only."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from pipeline.show.display import Cell
from pipeline.show.looks import LOOKS, Look, by_key
from pipeline.show.measures import Key, Results, cumulative, single, summary
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import Tables

LEARNERS = ("clone", "improved", "sgd")  # in the order of the tables
CLONES = by_key(  # and in the order of figures, beside SGD
    Look("improved", "improved clone", "#009E73", (0, (6, 1, 1, 1)), "^", 1.8),
    Look("clone", "VSML clone", "#D55E00", "-", "o", 1.6),
    LOOKS["sgd"],
)
CLONING = "cloning"  # the subject of all numbers here
LOOKED_AT = 100  # examples after which early learning is looked at, if an episode is as long
TERMS = ("products", "learned weight", "learned bias", "below")  # of the ways in which an update can miss


class Tested(NamedTuple):
    """What all clones did on a task, beside SGD: of each clone and episode, after or during each stretch of it."""

    correct: Bool[np.ndarray, "clone episode stretch learner time"]
    held_out: Float[np.ndarray, "clone episode stretch learner"]
    agree: Float[np.ndarray, "clone episode stretch"]
    missed: Float[np.ndarray, "clone episode stretch layer term square"]
    terms: list[str]

    @property
    def examples(self) -> np.ndarray:
        """How many each episode had learned from after each stretch."""
        return self.correct.shape[-1] * np.arange(1, self.correct.shape[2] + 1)

    def on_test_images(self, learner: str) -> Float[np.ndarray, "clone episode stretch"]:
        return self.held_out[..., LEARNERS.index(learner)]

    def cumulative(self, learner: str) -> Float[np.ndarray, "clone episode time"]:
        """Share of right predictions among the first ones of each episode."""
        right = self.correct[..., LEARNERS.index(learner), :]
        return cumulative(right.reshape(*right.shape[:2], -1))

    def early(self, learner: str) -> Float[np.ndarray, "clone episode"]:
        return self.cumulative(learner)[:, :, :LOOKED_AT][:, :, -1]

    def misses(self) -> Float[np.ndarray, "stretch layer term"]:
        """Norm of what updates missed over the norm of what backpropagation wanted, over clones, episodes and queries.

        Not a number where backpropagation wanted nothing.
        """
        missed, wanted = np.moveaxis(self.missed.sum((0, 1), dtype=np.float64), -1, 0)
        return np.sqrt(np.divide(missed, wanted, out=np.full_like(missed, np.nan), where=wanted > 0))


def tested(tables: Tables) -> dict[str, Tested]:
    """By task; nothing without clones."""
    every = [table.arrays for path, table in tables.items() if path.startswith("clone_test/")]
    found: dict[str, Tested] = {}
    for task in sorted({name.removesuffix("/agree") for one in every for name in one if name.endswith("/agree")}):
        arrays = {what: np.stack([one[f"{task}/{what}"] for one in every]) for what in Tested._fields[:-1]}
        found[task] = Tested(**arrays, terms=every[0]["term"].tolist())
    return found


def cloning(tables: Tables) -> Results:
    """Results of the subject `cloning`, by task; a miss is a ratio of norms over all episodes and has no sd.

    There is none where backpropagation wanted nothing, and nothing at all without clones.
    """
    found: Results = {}
    for task, own in tested(tables).items():
        for learner in LEARNERS:
            found[Key(CLONING, task, learner)] = summary(own.on_test_images(learner)[:, :, -1])
            found[Key(CLONING, task, f"{learner}_early")] = summary(own.early(learner))
            found[Key(CLONING, task, f"{learner}_online")] = summary(own.cumulative(learner)[:, :, -1])
        found[Key(CLONING, task, "agreement")] = summary(own.agree[:, :, -1])
        for layer, of_layer in enumerate(own.misses()[-1], start=1):
            for term, value in zip(own.terms, of_layer.tolist(), strict=True):
                if np.isfinite(value):
                    found[_miss(task, layer, term)] = single(value, own.agree[..., 0].size)
    return found


def words(task: str) -> str:
    """`digits-64-32-10` as `Digits, 64-32-10`."""
    name, _, sizes = task.partition("-")
    return f"{title(name)}, {sizes}"


def page(found: Results, tables: Tables, early: int) -> dict[str, Any]:
    """What the report says of all this, by rows: the tests of each task and layer, and what was improved.

    `early` is the number of examples after which both are young.
    """
    tests: list[list[Cell | str | None]] = []
    improvement: list[list[str | None]] = []
    kinds = {"_early": f"first {early}", "_online": "whole episode", "": "test images"}
    for task, own in tested(tables).items():
        ends = [found[Key(CLONING, task, metric)] for metric in ("clone", "sgd", "agreement")]
        first = [Cell(words(task), f"{ends[0]['n']} episodes"), *map(plus_minus, ends)]
        for layer in range(1, own.missed.shape[3] + 1):
            missed = [plus_minus(found.get(_miss(task, layer, term)), digits=3) for term in TERMS]
            tests.append([*(first if layer == 1 else [None] * len(first)), str(layer), *missed])
        for kind, over in kinds.items():
            cells = [plus_minus(found[Key(CLONING, task, learner + kind)]) for learner in LEARNERS]
            improvement.append([words(task) if kind == "_early" else None, over, *cells])
    return {"tests": tests, "improvement": improvement, "early": early}


def _miss(task: str, layer: int, term: str) -> Key:
    return Key(CLONING, task, f"layer_{layer}_{term.replace(' ', '_')}")
