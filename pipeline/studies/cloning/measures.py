"""How well the clone runs backpropagation, in numbers and words. Reads tables only."""

import numpy as np
from jaxtyping import Float

from pipeline.run import artifacts
from pipeline.show.display import Cell, Table
from pipeline.show.looks import LOOKS, Look, by_key
from pipeline.show.measures import Key, Results, single, summary
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
SUFFERS = 0.01  # so much less accuracy is called a loss
TERMS = {  # what the report shows of the ways in which an update can miss
    "products": "Output",
    "learned weight": "Weight update",
    "learned bias": "Bias update",
    "below": "Error passed down",
}


def tests(tables: Tables) -> list[artifacts.Table]:
    """Those of all clones, in the order of their seeds."""
    return [table for path, table in tables.items() if path.startswith("clone_test/")]


def tasks(tables: Tables) -> list[str]:
    return sorted(name.removesuffix("/held_out") for name in tests(tables)[0].arrays if name.endswith("/held_out"))


def of_clones(tables: Tables, name: str) -> np.ndarray:
    """An array of the tests of all clones: its first axes are the clone and the episode."""
    return np.stack([table.arrays[name] for table in tests(tables)])


def misses(tables: Tables, task: str) -> Float[np.ndarray, "stretch layer term"]:
    """Norm of what updates missed over the norm of what backpropagation wanted, over all clones, episodes and probes.

    Not a number where backpropagation wanted nothing.
    """
    missed, wanted = np.moveaxis(of_clones(tables, f"{task}/missed").sum((0, 1), dtype=np.float64), -1, 0)
    return np.sqrt(np.divide(missed, wanted, out=np.full_like(missed, np.nan), where=wanted > 0))


def cumulative(tables: Tables, task: str, learner: str) -> Float[np.ndarray, "clone life time"]:
    """Share of right predictions among the first ones of each episode."""
    right = of_clones(tables, f"{task}/correct")[..., LEARNERS.index(learner), :]
    lives = right.reshape(*right.shape[:2], -1)
    return lives.cumsum(-1) / np.arange(1, lives.shape[-1] + 1)


def cloning(tables: Tables) -> Results:
    """Results of the subject `cloning`, by task; a miss is a ratio of norms over all episodes and has no sd.

    There is none where backpropagation wanted nothing, and nothing at all without clones.
    """
    found: Results = {}
    if not tests(tables):
        return found
    terms = tests(tables)[0].arrays["term"].tolist()
    for task in tasks(tables):
        held_out = of_clones(tables, f"{task}/held_out")
        for index, learner in enumerate(LEARNERS):
            found[Key(CLONING, task, learner)] = summary(held_out[:, :, -1, index])
            online = cumulative(tables, task, learner)
            found[Key(CLONING, task, f"{learner}_early")] = summary(online[:, :, min(LOOKED_AT, online.shape[-1]) - 1])
            found[Key(CLONING, task, f"{learner}_online")] = summary(online[:, :, -1])
        found[Key(CLONING, task, "agreement")] = summary(of_clones(tables, f"{task}/agree")[:, :, -1])
        for layer, of_layer in enumerate(misses(tables, task)[-1], start=1):
            for term, value in zip(terms, of_layer.tolist(), strict=True):
                if np.isfinite(value):
                    found[_miss(task, layer, term)] = single(value, held_out[..., 0, 0].size)
    return found


def words(task: str) -> str:
    """`digits-64-32-10` as `Digits, 64-32-10`."""
    name, _, sizes = task.partition("-")
    return f"{title(name)}, {sizes}"


def tests_table(found: Results, tables: Tables) -> Table:
    """A row for each task and layer."""
    rows: list[list[Cell | str | None]] = []
    for task in tasks(tables):
        ends = [found[Key(CLONING, task, metric)] for metric in ("clone", "sgd", "agreement")]
        first = [Cell(words(task), f"{ends[0]['n']} episodes"), *map(plus_minus, ends)]
        for layer in range(1, misses(tables, task).shape[1] + 1):
            missed = (found.get(_miss(task, layer, term)) for term in TERMS)
            of_layer = [f"{miss['value']:.3f}" if miss else plus_minus(None) for miss in missed]
            rows.append([*(first if layer == 1 else [None] * len(first)), str(layer), *of_layer])
    caption = (
        "Test accuracy at the end of the episode, and by how much the updates of each layer then miss those of "
        "backpropagation: norm of the miss over norm of the update"
    )
    heads = ("Data set, network", "Clone", "SGD", "Same answers", "Layer", *TERMS.values())
    return Table(heads, rows, "Cloning", caption)


def improvement_table(found: Results, tables: Tables, early: int) -> Table:
    """What meta-training after cloning was good for, and the verdict on it in words; `early` is when both are young."""
    rows: list[list[Cell | str | None]] = []
    kinds = {"_early": f"first {early}", "_online": "whole episode", "": "test images"}
    for task in tasks(tables):
        for number, (kind, over) in enumerate(kinds.items()):
            cells = [plus_minus(found[Key(CLONING, task, learner + kind)]) for learner in LEARNERS]
            head, last = (words(task), verdict(found, task)) if number == 0 else (None, None)
            rows.append([head, over, *cells, last])
    caption = (
        f"Cumulative accuracy after the first {early} examples and over the whole episode, and test accuracy at its end"
    )
    heads = ("Data set, network", "Accuracy over", "Clone", "Improved", "SGD", "The improved one")
    return Table(heads, rows, "Clone, then improve", caption)


def verdict(found: Results, task: str) -> str:
    """What became of the clone by meta-training."""
    metrics = ("clone_early", "improved_early", "clone", "improved")
    value = {metric: found[Key(CLONING, task, metric)]["value"] for metric in metrics}
    faster, at_end = value["improved_early"] > value["clone_early"], value["improved"] - value["clone"]
    return f"learns {'faster' if faster else 'no faster'} at first, and at the end " + (
        "is worse" if at_end < -SUFFERS else "is no worse" if at_end <= SUFFERS else "is better"
    )


def examples(tables: Tables, task: str) -> np.ndarray:
    """How many each episode had learned from after each stretch."""
    *_, stretches, _, length = tests(tables)[0].arrays[f"{task}/correct"].shape
    return length * np.arange(1, stretches + 1)


def _miss(task: str, layer: int, term: str) -> Key:
    return Key(CLONING, task, f"layer_{layer}_{term.replace(' ', '_')}")
