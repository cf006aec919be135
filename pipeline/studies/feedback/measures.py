"""Feedback with local plasticity beside gradient descent, in numbers and words. Reads tables only.

An experiment is called METHOD_on_TASK, or METHOD_on_TASK_iid where examples come shuffled. A part is a function or a
class.
What is forgotten, and how updates interfere, are defined by us: the paper's own definitions are unknown.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.run import artifacts
from pipeline.show.display import Cell, Table
from pipeline.show.looks import GREY, Look, by_key
from pipeline.show.measures import Key, Results, summary
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import Tables, in_order

FOLDER, ON, SHUFFLED = "feedback_test/", "_on_", "_iid"
FEEDBACK = "feedback"  # the subject of all numbers here
LEARNERS = by_key(  # the methods in the order of tables; those with a colour have lines in figures
    Look("flp", "FLP", "#D55E00", "-", "o", 1.8),
    Look("first_order", "first order", "#0072B2", "--", "s", longer="first-order gradient"),
    Look("second_order", "second order", "#009E73", (0, (6, 1.5, 1, 1.5)), "^", longer="second-order gradient"),
    Look("learned_rates", "learned rates", "#CC79A7", (0, (3, 1, 1, 1)), "v", longer="second order, learned rates"),
    Look("pretrained", "pretrained, no lives"),
    Look(
        "first_order_output",
        "first order, output",
        "#56B4E9",
        (0, (1, 1)),
        "D",
        longer="first order, output layer only",
    ),
    Look("flp_output", "FLP, output layer only"),
    Look("flp_random_feedback", "FLP, random feedback"),
    Look("flp_hebb", "FLP, Hebb for Oja"),
    Look("flp_linear", "FLP, linear feedback"),
    Look("flp_blind_hidden", "FLP, no feedback to hidden"),
)
MATCHES = 0.02  # of accuracy; a gap that is smaller is called a draw


def tests(tables: Tables) -> dict[str, list[artifacts.Table]]:
    """By experiment, the tables of its seeds in their order."""
    found: dict[str, dict[int, artifacts.Table]] = {}
    for path, table in tables.items():
        if match := re.fullmatch(rf"{FOLDER}(.+)-(\d+)\.npz", path):
            found.setdefault(match[1], {})[int(match[2])] = table
    return {name: [table for _, table in sorted(by_seed.items())] for name, by_seed in found.items()}


def method(experiment: str) -> str:
    return experiment.partition(ON)[0]


def task(experiment: str) -> str:
    return experiment.partition(ON)[2]


def name(experiment: str) -> str:
    """The method's name for readers, in tables and sentences."""
    return LEARNERS[method(experiment)].words if method(experiment) in LEARNERS else title(method(experiment))


def drawn(experiment: str) -> Look | None:
    """How the method is drawn; None where it has no line of its own."""
    found = LEARNERS.get(method(experiment))
    return found if found is not None and found.colour else None


def lives(tables: Tables, experiment: str, array: str, newborn: bool = False) -> np.ndarray:
    """[seed, life, ...]; of theta as meta-trained, or in its initial state."""
    return np.stack([table.arrays[array][int(newborn)] for table in tests(tables)[experiment]])


def is_regression(tables: Tables, experiment: str) -> bool:
    return str(tests(tables)[experiment][0].arrays["task"]) == "sines"


def tasks(tables: Tables, regression: bool) -> list[str]:
    """Those whose examples come in order."""
    names = {task(each) for each in tests(tables) if is_regression(tables, each) == regression}
    return in_order({each.removesuffix(SHUFFLED) for each in names}, ())


def on(tables: Tables, of_task: str) -> list[str]:
    """The experiments on a task, in the order of LEARNERS; others after them."""
    found = [each for each in tests(tables) if task(each) == of_task]
    known = list(LEARNERS)
    return sorted(found, key=lambda each: (known.index(method(each)) if method(each) in known else 99, each))


def worth(tables: Tables, experiment: str, newborn: bool = False) -> Float[np.ndarray, "seed life"]:
    """Accuracy at the end of each episode; of a regression, mean squared error."""
    array = "loss" if is_regression(tables, experiment) else "correct"
    return lives(tables, experiment, array, newborn)[:, :, -1].mean(-1)


def by_method(tables: Tables, of_task: str) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """For each experiment on a task its colour, and `worth` of each seed: in order, and shuffled if that was tested."""
    shuffled = on(tables, of_task + SHUFFLED)
    rows = []
    for each in on(tables, of_task):
        found, iid = drawn(each), each + SHUFFLED
        other = worth(tables, iid).mean(1) if iid in shuffled else None
        rows.append((found.colour if found else GREY, worth(tables, each).mean(1), other))
    return rows


def so_far(tables: Tables, experiment: str) -> Float[np.ndarray, "seed life learned"]:
    """Mean loss on the parts that were learned so far, right after each of them."""
    loss = lives(tables, experiment, "loss")[:, :, 1:]
    return np.stack([loss[:, :, last, : last + 1].mean(-1) for last in range(loss.shape[-1])], -1)


def forgetting(tables: Tables, experiment: str) -> Float[np.ndarray, "seed life"]:
    """How much worse each part is known at the end than right after its examples: MSE gained, or accuracy lost.

    Accuracy is lost to the competition of later classes, too: only a comparison between learners means something.
    """
    sign, array = (1, "loss") if is_regression(tables, experiment) else (-1, "correct")
    known = lives(tables, experiment, array)[:, :, 1:]
    right_after = np.diagonal(known, axis1=2, axis2=3)
    return sign * (known[:, :, -1] - right_after)[..., :-1].mean(-1)


def interference(tables: Tables, experiment: str) -> Float[np.ndarray, " seed"]:
    """What an update for one part does to the loss on others, over the size of what it does to its own."""
    effect = lives(tables, experiment, "effect").mean((1, 2), dtype=np.float64)
    parts = effect.shape[-1]
    own = np.trace(effect, axis1=1, axis2=2) / parts
    others = (effect.sum((1, 2)) - own * parts) / (parts * (parts - 1))
    return others / np.maximum(np.abs(own), np.finfo(np.float64).tiny)


def cosines(tables: Tables, experiment: str) -> Float[np.ndarray, "seed layer"]:
    """Alignment of each layer's updates with the gradient; NaN where there was no update."""
    found = lives(tables, experiment, "cosine").astype(np.float64)
    counted = np.isfinite(found)
    total = np.where(counted, found, 0).sum(1)
    return np.where(counted.any(1), total / np.maximum(counted.sum(1), 1), np.nan)


def feedback(tables: Tables) -> Results:
    """Results of the subject `feedback`, by experiment, over episodes; of ratios and cosines, over seeds."""
    found: Results = {}
    for each, of_seeds in tests(tables).items():
        own = {metric(tables, each): worth(tables, each), "newborn": worth(tables, each, newborn=True)}
        own["interference"] = interference(tables, each)[:, None]
        for layer, cosine in enumerate(cosines(tables, each).T, start=1):
            if np.isfinite(cosine).all():
                own[f"cosine_layer_{layer}"] = cosine[:, None]
        if bool(of_seeds[0].arrays["in_order"]):
            own["forgetting"] = forgetting(tables, each)
        found |= {Key(FEEDBACK, each, metric): summary(values) for metric, values in own.items()}
    return found


def page(found: Results, tables: Tables, lives: int) -> dict[str, Any]:
    """What the report says of all this."""
    return {"table": table(found, tables, lives), "verdicts": list(verdicts(found, tables))}


def table(found: Results, tables: Tables, lives: int) -> Table:
    """A row for each task and method, examples in order and shuffled."""
    rows: list[list[Cell | str | None]] = []
    for regression in (True, False):
        for of_task in tasks(tables, regression):
            shuffled = {method(each): each for each in on(tables, of_task + SHUFFLED)}
            head: Cell | None = Cell(title(of_task), "MSE" if regression else "accuracy")
            for each in on(tables, of_task):
                own = {key.metric: entry for key, entry in found.items() if key[:2] == (FEEDBACK, each)}
                iid = shuffled.get(method(each))
                cosine = [entry["value"] for metric, entry in own.items() if metric.startswith("cosine_layer")]
                entries = [own[metric(tables, each)], found[Key(FEEDBACK, iid, metric(tables, iid))] if iid else None]
                entries += [own["newborn"], own["forgetting"]]
                cells = [plus_minus(entry, digits=3) if entry else "" for entry in entries]
                hidden = f"{np.mean(np.abs(cosine[:-1])):.2f}" if cosine[:-1] else ""
                rows.append([head, name(each), *cells, f"{own['interference']['value']:+.3f}", hidden])
                head = None
    seeds = max(map(len, tests(tables).values()))
    caption = (
        f"At the end of an episode, over {lives} episodes of each of {seeds} meta-seeds; a regression has a mean "
        "squared error, characters have an accuracy. Initial: without meta-training. Forgetting, interference and "
        "alignment are our definitions: see the figure of updates; what is forgotten of characters holds the "
        "competition of later classes, too"
    )
    heads = ("Task", "Learner", "In order", "Shuffled", "Initial", "Forgetting", "Interference", "Alignment, hidden")
    return Table(heads, rows, "Feedback and local plasticity", caption)


def metric(tables: Tables, experiment: str) -> str:
    """Under which metric `worth` is among the results."""
    return "mse" if is_regression(tables, experiment) else "accuracy"


def verdicts(found: Results, tables: Tables) -> Iterator[str]:
    """What the numbers say of the abstract's claims, in words that follow them."""
    for regression in (True, False):
        for of_task in tasks(tables, regression):
            if (own := f"flp{ON}{of_task}") not in tests(tables):
                continue
            for other in ("first_order", "first_order_output", "second_order", "learned_rates"):
                for kind, words in (("", "lessons in order"), (SHUFFLED, "lessons shuffled")):
                    pair = [f"{who}{ON}{of_task}{kind}" for who in ("flp", other)]
                    if all(each in tests(tables) for each in pair):
                        mine, theirs = (worth(tables, each).mean(1) for each in pair)
                        than = LEARNERS[other].words
                        yield f"{title(of_task)}, {words}: FLP {_against(mine, theirs, regression)} {than}."
            if not regression and own + SHUFFLED in tests(tables):
                in_order, shuffled = (found[Key(FEEDBACK, each, "accuracy")]["value"] for each in (own, own + SHUFFLED))
                lost = shuffled - in_order
                change = f"{'loses' if lost >= 0 else 'gains'} {abs(lost):.3f} of accuracy"
                yield f"{title(of_task)}: from shuffled lessons to lessons in order FLP {change}."


def _against(mine: Float[np.ndarray, " seed"], theirs: Float[np.ndarray, " seed"], regression: bool) -> str:
    """In words: FLP beside another learner. It wins or loses only where its seeds and those of the other lie apart."""
    numbers = f"({mine.mean():.3g} against {theirs.mean():.3g}; {_seeds(mine, theirs)})"
    if regression:
        return f"has {'less' if mine.mean() < theirs.mean() else 'more'} error {numbers} than the"
    gap = mine.mean() - theirs.mean()
    if abs(gap) <= MATCHES:
        return f"draws with {numbers} the"
    if _apart(mine, theirs):
        return f"{'wins' if gap > 0 else 'loses'} against {numbers} the"
    return f"is {'ahead of' if gap > 0 else 'behind'} {numbers} the"


def _apart(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Of several seeds, all on one side lie above all on the other; one seed shows nothing."""
    several = min(len(mine), len(theirs)) > 1
    return several and bool(mine.min() > theirs.max() or mine.max() < theirs.min())


def _seeds(mine: np.ndarray, theirs: np.ndarray) -> str:
    if min(len(mine), len(theirs)) == 1:
        return "one seed"
    return "seeds apart" if _apart(mine, theirs) else "seeds overlap"
