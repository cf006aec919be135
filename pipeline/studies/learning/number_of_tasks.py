"""Rules that were meta-trained on few or many random projections of one set: the experiments of profiles/tasks."""

import re
from typing import Any, NamedTuple

from pipeline.show.display import Table
from pipeline.show.looks import LOOKS
from pipeline.show.measures import Key, Results
from pipeline.studies.learning import ranking
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import RULE

LEARNERS = (RULE, "meta_rnn")  # the experiment `vsml_8` has 8 projections, and `vsml` a new one in each episode


class Level(NamedTuple):
    """An experiment; `projections` is None if each episode had a new one."""

    experiment: str
    projections: int | None


def levels(results: Results, learner: str) -> list[Level]:
    """The experiments with a learner, from the fewest projections on."""
    every = {key.learner: re.fullmatch(rf"{learner}(?:_(\d+))?", key.learner) for key in results}
    found = [Level(name, int(match[1]) if match[1] else None) for name, match in every.items() if match]
    return sorted(found, key=lambda level: level.projections or float("inf"))


def number_of_tasks(results: Results) -> dict[str, Any]:
    """The meta loss at the end, and the accuracy on each task of the tests at the end of an episode; a row each."""
    first, *others = ranking.tasks(results)
    rows = []
    for learner in LEARNERS:
        for level in levels(results, learner):
            entries = [results[Key("meta_train", level.experiment, "final_loss")]]
            entries += [ranking.accuracy(results, task, level.experiment, None) for task in (first, *others)]
            cells = [plus_minus(entry, "sd_seeds") for entry in entries]
            rows.append([LOOKS[learner].name, str(level.projections or "ever new"), *cells])
    heads = ["Learner", "Projections", "Meta loss", *map(title, (first, *others))]
    n = results[Key(first, RULE, "cumulative", ranking.length(results, first))]["n"]
    return {"table": Table(tuple(heads), rows).markdown(), "n": n, "length": ranking.length(results, first)}
