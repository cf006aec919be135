"""How well the clone runs backpropagation, in numbers and words. Reads tables only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.artifacts import Table
from pipeline.comparison import title
from pipeline.results import Results, summary
from pipeline.tables import Tables

LEARNERS = ("clone", "improved", "sgd")
LOOKED_AT = 100  # examples after which early learning is looked at, if a life is as long
SUFFERS = 0.01  # so much less accuracy is called a loss
TERMS = {  # what the report shows of the ways in which an update can miss
    "products": "Output",
    "learned weight": "Weight update",
    "learned bias": "Bias update",
    "below": "Error passed down",
}


def tests(tables: Tables) -> list[Table]:
    """Those of all clones, in the order of their seeds."""
    return [table for path, table in tables.items() if path.startswith("clone_test/")]


def tasks(tables: Tables) -> list[str]:
    return sorted(name.removesuffix("/held_out") for name in tests(tables)[0].arrays if name.endswith("/held_out"))


def of_clones(tables: Tables, name: str) -> np.ndarray:
    """An array of the tests of all clones: its first axes are the clone and the life."""
    return np.stack([table.arrays[name] for table in tests(tables)])


def misses(tables: Tables, task: str) -> Float[np.ndarray, "stretch layer term"]:
    """Norm of what updates missed over the norm of what backpropagation wanted, over all clones, lives and probes.

    Not a number where backpropagation wanted nothing.
    """
    missed, wanted = np.moveaxis(of_clones(tables, f"{task}/missed").sum((0, 1), dtype=np.float64), -1, 0)
    return np.sqrt(np.divide(missed, wanted, out=np.full_like(missed, np.nan), where=wanted > 0))


def cumulative(tables: Tables, task: str, learner: str) -> Float[np.ndarray, "clone life time"]:
    """Share of right predictions among the first ones of each life."""
    right = of_clones(tables, f"{task}/correct")[..., LEARNERS.index(learner), :]
    lives = right.reshape(*right.shape[:2], -1)
    return lives.cumsum(-1) / np.arange(1, lives.shape[-1] + 1)


def cloning(tables: Tables) -> Results:
    """`cloning/task/metric` -> {"value", "sd", "n"}; a miss is a ratio of norms over all lives and has no sd.

    There is none where backpropagation wanted nothing.
    """
    found: Results = {}
    terms = tests(tables)[0].arrays["term"].tolist()
    for task in tasks(tables):
        held_out = of_clones(tables, f"{task}/held_out")
        for index, learner in enumerate(LEARNERS):
            found[f"cloning/{task}/{learner}"] = summary(held_out[:, :, -1, index])
            online = cumulative(tables, task, learner)
            found[f"cloning/{task}/{learner}_early"] = summary(online[:, :, min(LOOKED_AT, online.shape[-1]) - 1])
            found[f"cloning/{task}/{learner}_online"] = summary(online[:, :, -1])
        found[f"cloning/{task}/agreement"] = summary(of_clones(tables, f"{task}/agree")[:, :, -1])
        for layer, of_layer in enumerate(misses(tables, task)[-1], start=1):
            for term, value in zip(terms, of_layer.tolist(), strict=True):
                if np.isfinite(value):
                    name = f"cloning/{task}/layer_{layer}_{term.replace(' ', '_')}"
                    found[name] = {"value": value, "sd": None, "n": held_out[..., 0, 0].size}
    return found


def words(task: str) -> str:
    """`digits-64-32-10` as `Digits, 64-32-10`."""
    name, _, sizes = task.partition("-")
    return f"{title(name)}, {sizes}"


def rows(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
    """The table of the report: a row for each task and layer."""
    for task in tasks(tables):
        layers = misses(tables, task).shape[1]
        for layer in range(1, layers + 1):
            missed = {
                words: found.get(f"cloning/{task}/layer_{layer}_{term.replace(' ', '_')}")
                for term, words in TERMS.items()
            }
            yield {
                "task": words(task),
                "first": layer == 1,
                "layers": layers,
                "layer": layer,
                "clone": found[f"cloning/{task}/clone"],
                "improved": found[f"cloning/{task}/improved"],
                "sgd": found[f"cloning/{task}/sgd"],
                "agreement": found[f"cloning/{task}/agreement"],
                "missed": missed,
            }


def improvement(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
    """What meta-training after cloning was good for, a row for each task; and the verdict on it in words."""
    for task in tasks(tables):
        names = ("clone_early", "improved_early", "clone", "improved")
        value = {name: found[f"cloning/{task}/{name}"]["value"] for name in names}
        faster, at_end = value["improved_early"] > value["clone_early"], value["improved"] - value["clone"]
        verdict = f"learns {'faster' if faster else 'no faster'} at first, and at the end " + (
            "is worse" if at_end < -SUFFERS else "is no worse" if at_end <= SUFFERS else "is better"
        )
        yield {
            "task": words(task),
            "learners": [
                {what: found[f"cloning/{task}/{name}{what}"] for what in ("_early", "_online", "")} for name in LEARNERS
            ],
            "verdict": verdict,
        }


def examples(tables: Tables, task: str) -> np.ndarray:
    """How many each life had learned from after each stretch."""
    *_, stretches, _, length = tests(tables)[0].arrays[f"{task}/correct"].shape
    return length * np.arange(1, stretches + 1)
