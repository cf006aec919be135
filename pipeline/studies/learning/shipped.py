"""How the rules that ship with the package fare on the tasks of a profile. Reads tables only.

A rule takes them as it is, and with random features beside those of each example; then SGD and Adam have the same ones.
"""

import numpy as np
from jaxtyping import Bool, Float

from pipeline.show.display import Table
from pipeline.show.looks import LOOKS, called
from pipeline.show.measures import Key, Results, cumulative, moments, summary
from pipeline.studies.learning.measures import lives
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import Profile, Tables, baselines, in_order, tasks

FOLDER = "zoo_test/"
FEATURES = "_features"  # `sgd_features` is SGD that sees random features, too

Lived = dict[str, dict[str, Bool[np.ndarray, "rate life time"]]]  # by task and learner; a rule has no rates but one


def names(tables: Tables) -> list[str]:
    """The rules, in the order of the profile's items."""
    return [path.removeprefix(FOLDER).removesuffix(".npz") for path in tables if path.startswith(FOLDER)]


def lived(tables: Tables, name: str) -> Lived:
    """What came of every prediction: whether it was correct. First the rule, then all with random features."""
    found: Lived = {}
    for key, correct in tables[f"{FOLDER}{name}.npz"].arrays.items():
        *features, task, kind = key.split("/")
        if kind == "correct":
            learner = features[1] + FEATURES if features else f"zoo_{name}"
            found.setdefault(task, {})[learner] = correct if correct.ndim == 3 else correct[None]
    order = [f"zoo_{name}", f"zoo_{name}{FEATURES}", *(rival + FEATURES for rival in LOOKS)]
    return {task: {who: of[who] for who in sorted(of, key=order.index)} for task, of in found.items()}


def shipped(tables: Tables, profile: Profile) -> Results:
    """The cumulative accuracy of each learner on each task, over episodes, and the rate of SGD and Adam.

    The learner is `zoo_<rule>`, `zoo_<rule>_features`, `sgd_features` or `adam_features`; a rate is chosen in hindsight
    for this very number, as everywhere. Of a rule there is `lead`, too: by how much it is right more often
    than the best of SGD and Adam without random features, its `rival`, in the same episodes.
    """
    found: Results = {}
    for name in names(tables):
        rates = {key: grid for key, grid in tables[f"{FOLDER}{name}.npz"].arrays.items() if key.startswith("rate/")}
        for task, learners in lived(tables, name).items():
            for learner, correct in learners.items():
                length, one_shot = correct.shape[-1], profile.tasks[task].one_shot
                for moment in [length] if one_shot else moments(length, profile.horizons):
                    accuracy = cumulative(correct)[..., moment - 1]
                    best = int(accuracy.mean(1).argmax())
                    grid = rates.get(f"rate/{learner.removesuffix(FEATURES)}")
                    more = {} if grid is None else {"rate": float(f"{grid[best]:.6g}")}
                    key = Key(task, learner, "one_shot") if one_shot else Key(task, learner, "cumulative", moment)
                    found[key] = summary(accuracy[best][None]) | more
                    if grid is None and not one_shot and (rivals := _rivals(tables, task, moment)):
                        rival = max(rivals, key=lambda name: rivals[name].mean())
                        lead = summary(accuracy[best][None] - rivals[rival])
                        found[Key(task, learner, "lead", moment)] = lead | {"rival": rival}
    return found


def _rivals(tables: Tables, task: str, moment: int) -> dict[str, Float[np.ndarray, "1 life"]]:
    """The accuracy of each baseline in each episode, at the rate that is best after `moment` examples."""
    able = [name for name in baselines(tables) if task in tasks(tables, name)]
    return {name: lives(tables, task, name, moment).correct[..., :moment].mean(-1) for name in able}


def table(found: Results, tables: Tables, profile: Profile) -> Table:
    """A row for each learner and task, a column for each horizon, and the end of the episodes."""
    heads = ("Learner", "Task", *(f"After {moment:,}" for moment in profile.horizons), "At the end", "Examples")
    caption = (
        "Cumulative accuracy of the shipped rules after so many examples, and of SGD and Adam with random features, "
        "mean \u00b1 standard deviation over episodes"
    )
    rows: dict[tuple[str, str], list[str]] = {}  # SGD and Adam are in the table of every rule, and the same
    for name in names(tables):
        by_task = lived(tables, name)
        for task in in_order(by_task, ()):
            for learner, correct in by_task[task].items():
                examples, one_shot = correct.shape[-1], profile.tasks[task].one_shot
                of = [found.get(Key(task, learner, "cumulative", moment)) for moment in profile.horizons]
                end = found[Key(task, learner, "one_shot") if one_shot else Key(task, learner, "cumulative", examples)]
                cells = [plus_minus(entry) for entry in (*of, end)]
                row = [words(learner), title(task), *cells, "one shot" if one_shot else f"{examples:,}"]
                rows.setdefault((task, learner), row)
    return Table(heads, list(rows.values()), "Rules that ship", caption)


def words(learner: str) -> str:
    """The learner's name for readers."""
    own = learner.removesuffix(FEATURES)
    name = f"rule {own.removeprefix('zoo_')}" if own.startswith("zoo_") else called(own)
    return name if own == learner else f"{name}, with random features"
