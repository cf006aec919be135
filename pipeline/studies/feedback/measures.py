"""Feedback with local plasticity beside gradient descent, in numbers and words. Reads tables only.

An experiment is called METHOD_on_TASK, or METHOD_on_TASK_iid where examples come shuffled. A part is a function or a
class.
What is forgotten, and how updates interfere, are defined by us: the paper's own definitions are unknown.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.run import artifacts
from pipeline.show.display import Cell
from pipeline.show.looks import GREY, Look, by_key
from pipeline.show.measures import Key, Results, summary
from pipeline.studies.learning.ranking import plus_minus, signed, title
from pipeline.studies.learning.tables import Tables, by_seed, experiments

ON, SHUFFLED = "_on_", "_iid"
FEEDBACK = "feedback"  # the subject of all numbers here
LEARNERS = by_key(  # the methods in the order of tables; those with a colour have lines in figures
    Look("flp", "FLP", "#D55E00", "-", "o", 1.8),
    Look("first_order", "first order", "#0072B2", "--", "s", longer="first-order gradient"),
    Look("second_order", "second order", "#009E73", (0, (6, 1.5, 1, 1.5)), "^", longer="second-order gradient"),
    Look("learned_rates", "learned rates", "#CC79A7", (0, (3, 1, 1, 1)), "v", longer="second order, learned rates"),
    Look("pretrained", "pretrained, then plain descent"),
    Look(
        "first_order_output", "first order, output", "#56B4E9", (0, (1, 1)), "D", 1.2, "first order, output layer only"
    ),
    Look("flp_output", "FLP, output layer only"),
    Look("flp_random_feedback", "FLP, random feedback"),
    Look("flp_hebb", "FLP, Hebb for Oja"),
    Look("flp_linear", "FLP, linear feedback"),
    Look("flp_blind_hidden", "FLP, no feedback to hidden"),
)


class Tested:
    """The tests of an experiment: a table for each of its seeds, in their order."""

    def __init__(self, experiment: str, seeds: dict[int, artifacts.Table]) -> None:
        self.experiment, self.seeds = experiment, seeds
        self.method, _, self.task = experiment.partition(ON)
        first = next(iter(seeds.values())).arrays
        self.regression, self.in_order = str(first["task"]) == "sines", bool(first["in_order"])
        self.metric = "mse" if self.regression else "accuracy"  # under which `worth` is among the results
        look = LEARNERS.get(self.method)
        self.name = look.words if look else title(self.method)
        self.look = look if look and look.colour else None  # None: it has no line of its own in figures

    def episodes(self, array: str, initial: bool = False) -> np.ndarray:
        """[seed episode ...]; of theta as meta-trained, or in its initial state."""
        return np.stack([table.arrays[array][int(initial)] for table in self.seeds.values()])

    def worth(self, initial: bool = False) -> Float[np.ndarray, "seed episode"]:
        """Accuracy at the end of each episode; of a regression, mean squared error."""
        return self.episodes("loss" if self.regression else "correct", initial)[:, :, -1].mean(-1)

    def so_far(self) -> Float[np.ndarray, "seed episode learned"]:
        """Mean loss on the parts that were learned so far, right after each of them."""
        loss = self.episodes("loss")[:, :, 1:]
        return np.stack([loss[:, :, last, : last + 1].mean(-1) for last in range(loss.shape[-1])], -1)

    def forgetting(self) -> Float[np.ndarray, "seed episode"]:
        """How much worse each part is known at the end than right after its examples: MSE gained, or accuracy lost.

        Accuracy is lost to the competition of later classes, too: only a comparison between learners means something.
        """
        sign, array = (1, "loss") if self.regression else (-1, "correct")
        known = self.episodes(array)[:, :, 1:]
        right_after = np.diagonal(known, axis1=2, axis2=3)
        return sign * (known[:, :, -1] - right_after)[..., :-1].mean(-1)

    def interference(self) -> Float[np.ndarray, "seed 1"]:
        """What an update for one part does to the loss on others, over the size of what it does to its own."""
        effect = self.episodes("effect").mean((1, 2), dtype=np.float64)
        parts = effect.shape[-1]
        own = np.trace(effect, axis1=1, axis2=2) / parts
        others = (effect.sum((1, 2)) - own * parts) / (parts * (parts - 1))
        return (others / np.maximum(np.abs(own), np.finfo(np.float64).tiny))[:, None]

    def cosines(self) -> Float[np.ndarray, "seed layer"]:
        """Alignment of each layer's updates with the gradient; NaN where there was no update."""
        found = self.episodes("cosine").astype(np.float64)
        counted = np.isfinite(found)
        total = np.where(counted, found, 0).sum(1)
        return np.where(counted.any(1), total / np.maximum(counted.sum(1), 1), np.nan)


def tested(tables: Tables) -> dict[str, Tested]:
    """By the names of experiments."""
    names = experiments(tables, "feedback_test")
    return {name: Tested(name, by_seed(tables, "feedback_test", name)) for name in names}


def tasks(tables: Tables, regression: bool) -> list[str]:
    """Those whose examples come in order."""
    every = tested(tables).values()
    return sorted({each.task.removesuffix(SHUFFLED) for each in every if each.regression == regression})


def in_order(tables: Tables) -> list[str]:
    """The same of both kinds: regressions first."""
    return [*tasks(tables, regression=True), *tasks(tables, regression=False)]


def on(tables: Tables, task: str) -> list[Tested]:
    """The experiments on a task, in the order of LEARNERS; others after them."""
    found, known = [each for each in tested(tables).values() if each.task == task], list(LEARNERS)
    return sorted(found, key=lambda one: (known.index(one.method) if one.method in known else 99, one.experiment))


def by_method(tables: Tables, task: str) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """For each experiment on a task its colour, and `worth` of each seed: in order, and shuffled if that was tested."""
    rows = []
    for each in on(tables, task):
        shuffled = tested(tables).get(each.experiment + SHUFFLED)
        colour = each.look.colour if each.look else GREY
        rows.append((colour, each.worth().mean(1), shuffled.worth().mean(1) if shuffled else None))
    return rows


def feedback(tables: Tables) -> Results:
    """Results of the subject `feedback`, by experiment, over episodes; of ratios and cosines, over seeds."""
    found: Results = {}
    for name, each in tested(tables).items():
        own = {each.metric: each.worth(), "initial": each.worth(initial=True), "interference": each.interference()}
        for layer, cosine in enumerate(each.cosines().T, start=1):
            if np.isfinite(cosine).all():
                own[f"cosine_layer_{layer}"] = cosine[:, None]
        if each.in_order:
            own["forgetting"] = each.forgetting()
        found |= {Key(FEEDBACK, name, metric): summary(values) for metric, values in own.items()}
    return found


def page(found: Results, tables: Tables) -> dict[str, Any]:
    """What the report says of all this, and a row for each task and method, examples in order and shuffled."""
    rows: list[list[Cell | str | None]] = []
    for task in in_order(tables):
        for number, each in enumerate(on(tables, task)):
            head = None if number else Cell(title(task), "MSE" if each.regression else "accuracy")
            own = {key.metric: entry for key, entry in found.items() if key[:2] == (FEEDBACK, each.experiment)}
            shuffled = found.get(Key(FEEDBACK, each.experiment + SHUFFLED, each.metric))
            entries = (own[each.metric], shuffled, own["initial"], own["forgetting"])
            cells = [plus_minus(entry, digits=3, nothing="") for entry in entries]
            cosines = [abs(entry["value"]) for metric, entry in own.items() if metric.startswith("cosine_layer")]
            hidden = f"{np.mean(cosines[:-1]):.2f}" if len(cosines) > 1 else ""
            rows.append([head, each.name, *cells, signed(own["interference"]["value"], 3), hidden])
    seeds = max(len(each.seeds) for each in tested(tables).values())
    return {"rows": rows, "seeds": seeds}
