"""What tables a profile has: of which learners, on which tasks, and what it must be known of those to read them.

`tables` maps paths under artifacts/ to tables.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from pipeline.run.artifacts import Table
from pipeline.studies.learning.params import PAPER_RATES
from pipeline.studies.params import Params

Tables = Mapping[str, Table]

RULE = "vsml"  # the experiment that the figures and the README are about
SETTINGS = {  # of the paper's figure 7, and what they are called
    "unchanged": "unchanged",
    "classes": "five classes",
    "48px": "48\u00d748 pixels",
    "21px": "21\u00d721 pixels",
    "projected": "random projection",
    "shuffled": "shuffled pixels",
}
SYNTHETIC = {"random": 10, "sum_sign": 2}  # sets without a file, and their classes
PAPER = "_paper"  # `sgd_paper` is `sgd` at the paper's learning rate instead of the best


class Task(NamedTuple):
    """What is predicted in a test: all classes of a set, some, or so many; in long or in one-shot episodes."""

    set: str
    classes: tuple[int, ...] | int | None = None
    one_shot: bool = False
    inputs: int | None = None  # None for those of the set


class Profile(NamedTuple):
    """What the numbers and the figures must know of a profile; nothing of how things were trained."""

    tasks: Mapping[str, Task]  # of all suites
    trained_on: Mapping[str, tuple[str, ...]]  # by experiment, the sets that meta-training draws from
    horizons: tuple[int, ...]  # examples after which accuracy is reported; the end of the episode is one more
    introspected: str  # the set whose images introspection shows; "" if there is none

    @classmethod
    def of(cls, params: Params) -> "Profile":
        """That of a profile, which may have no item of VSML and then need not have all sections."""
        suites = params.tests.suites if params.has("tests") else {}
        every = [item for suite in suites.values() for item in suite.items()]
        tasks = {name: Task(task.set, task.classes, task.episodes == "one_shot", task.inputs) for name, task in every}
        trained_on = {name: params.experiments[name].data.sets for name in params.items.experiments}
        horizons = params.results.horizons if params.has("results") else ()
        introspected = params.introspect.set if params.has("introspect") else ""
        return cls(tasks, trained_on, horizons, introspected)

    def seen(self, task: str, experiment: str) -> bool:
        """Whether meta-training drew from the set of the task: other images of it, or other points."""
        return self.tasks[task].set in self.trained_on[experiment]


def by_seed(tables: Tables, stage: str, experiment: str) -> dict[int, Table]:
    """The tables that `stage` made of `experiment`, in the order of their seeds."""
    pattern = re.compile(rf"{stage}/{re.escape(experiment)}-(\d+)(/curve)?\.npz")
    found = {int(match[1]): table for path, table in tables.items() if (match := pattern.fullmatch(path))}
    if not found:
        raise ValueError(f"No {stage} of {experiment!r} among the tables {sorted(tables)}: `dvc repro` makes it.")
    return dict(sorted(found.items()))


def experiments(tables: Tables, stage: str = "meta_test") -> list[str]:
    """Those that `stage` made a table of."""
    return sorted({path.split("/")[1].rpartition("-")[0] for path in tables if path.startswith(f"{stage}/")})


def baselines(tables: Tables) -> list[str]:
    return sorted(path.split("/")[1].removesuffix(".npz") for path in tables if path.startswith("baseline/"))


def at_paper_rates(tables: Tables) -> list[str]:
    """The baselines whose grid of rates has that of the paper, under the names of that one rate."""
    found = []
    for name in baselines(tables):
        rate = PAPER_RATES.get(name.removesuffix("_hidden"))
        if rate is not None and np.isclose(tables[f"baseline/{name}.npz"].arrays["rate"], rate).any():
            found.append(name + PAPER)
    return found


def tasks(tables: Tables, learner: str) -> list[str]:
    """What `learner` was tested on: learners of different suites have different tasks."""
    path = f"baseline/{learner.removesuffix(PAPER)}.npz"
    table = tables[path] if path in tables else next(iter(by_seed(tables, "meta_test", learner).values()))
    return sorted(name.removesuffix("/correct") for name in table.arrays if re.fullmatch("[^/]+/correct", name))


def in_order(names: Iterable[str], seen: Collection[str]) -> list[str]:
    """Tasks, each once: first those that meta-training has seen, then the other real ones, then the synthetic ones."""
    return sorted(set(names), key=lambda name: (name not in seen, name in SYNTHETIC, name))


def settings(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """By set and setting, the tasks `<set>_<setting>` of figure 7; unchanged first, and MNIST before other sets."""
    names = set(names)
    sets = [name.removesuffix("_unchanged") for name in names if name.endswith("_unchanged")]
    return {
        base: {setting: task for setting in SETTINGS if (task := f"{base}_{setting}") in names}
        for base in sorted(sets, key=lambda base: (base != "mnist", base))
    }


def without_settings(names: Iterable[str]) -> list[str]:
    """The tasks that are not of figure 7."""
    names = list(names)
    changed = {task for of_setting in settings(names).values() for task in of_setting.values()}
    return [name for name in names if name not in changed]


def main_tasks(tables: Tables, profile: Profile) -> list[str]:
    """The tasks of the main experiment, in order; none without it."""
    names = without_settings(tasks(tables, RULE)) if RULE in experiments(tables) else []
    return in_order(names, [name for name in names if profile.seen(name, RULE)])
