"""What each part of the rule is worth: the experiments of profiles/variants, each with one thing changed, in words."""

from typing import Any

from pipeline.show.display import Table
from pipeline.show.measures import Key, Results
from pipeline.studies.learning import ranking
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import RULE

NAMES = {  # in the order of the tables
    RULE: "the default rule",
    "no_label": "error, but no label",
    "no_backward_sweep": "error and label with the next example",
    "two_ticks": "two ticks",
    "no_layer_norm": "no layer norm",
    "scale_1": "scale 1 at the start",
    "state_4": "states of 4 numbers",
    "projections_1": "one projection in all",
    "small_bptt": "small tasks, by backpropagation",
    "small_es": "small tasks, by evolution strategies",
    "paper_bptt": "the paper\u2019s variant, by backpropagation",
    "paper_es": "the paper\u2019s variant, by evolution strategies",
    "paper_es_grown": "the same, on to larger tasks",
    "deep_scratch": "a hidden layer, from scratch",
    "deep_warm": "a hidden layer, from a rule without one",
}


def known(results: Results) -> list[str]:
    """The experiments that have results, in the order of NAMES."""
    learners = {key.learner for key in results if key.metric == "cumulative"}
    return [name for name in NAMES if name in learners]


def variants(results: Results) -> dict[str, Any]:
    """The accuracy of each variant, a row each: on the set of meta-training at two moments, on others at the end."""
    first, *others = ranking.tasks(results)
    early, rows = ranking.early(results), []
    for name in known(results):
        entries = [ranking.accuracy(results, first, name, moment) for moment in (early, None)]
        entries += [ranking.accuracy(results, task, name, None) for task in others]
        rows.append([NAMES[name], *(plus_minus(entry, "sd_seeds", 2, "") for entry in entries)])
    heads = [f"{title(first)}, {moment or ranking.length(results, first)}" for moment in (early, None)]
    heads += [f"{title(task)}, {ranking.length(results, task)}" for task in others]
    n = results[Key(first, RULE, "cumulative", ranking.length(results, first))]["n"]
    return {"table": Table(("Rule", *heads), rows).markdown(), "n": n}
