"""What each part of the rule is worth: the experiments of profiles/variants, each with one thing changed, in words."""

from typing import Any

from pipeline.show.display import Cell, Table
from pipeline.show.measures import Results
from pipeline.studies.learning import ranking
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import RULE

CHANGES = {  # in the order of the tables; under a heading of each kind
    "": {RULE: "the default rule"},
    "what cells hear": {
        "no_label": "error, but no label",
        "no_backward_sweep": "error and label with the next example",
        "two_ticks": "two ticks",
        "no_layer_norm": "no layer norm",
        "scale_1": "scale 1 at the start",
    },
    "size of a cell\u2019s state": {"state_4": "4", "state_8": "8", "state_32": "32"},
    "random projections in all": {f"projections_{n}": f"{n}" for n in (1, 4, 16, 64)},
    "layers": {"deep": "a hidden layer", "conv": "a convolution"},
    "the paper\u2019s variant": {"paper_bptt": "by backpropagation", "paper_es": "by evolution strategies"},
    "estimator": {"vsml_es": "the default rule by evolution strategies"},
}
NAMES = {
    name: f"{kind}: {words}" if kind and words.isdecimal() else words
    for kind, of_kind in CHANGES.items()
    for name, words in of_kind.items()
}


def known(results: Results) -> list[str]:
    """The experiments that have results, in the order of CHANGES."""
    learners = {key.learner for key in results if key.metric == "cumulative"}
    return [name for name in NAMES if name in learners]


def variants(results: Results) -> dict[str, Any]:
    """The accuracy of each variant, a row each: on the set of meta-training at two moments, on others at the end."""
    first, *others = ranking.tasks(results)
    early, rows = ranking.early(results), []
    for name in known(results):
        entries = [ranking.accuracy(results, first, name, moment) for moment in (early, None)]
        entries += [ranking.accuracy(results, task, name, None) for task in others]
        cells = [Cell(plus_minus(entry, "sd_seeds", 2, "")) for entry in entries]
        rows.append([NAMES[name], *cells])
    heads = [f"{title(first)}, {moment or ranking.length(results, first)}" for moment in (early, None)]
    heads += [f"{title(task)}, {ranking.length(results, task)}" for task in others]
    n = ranking.accuracy(results, first, RULE, None)
    return {"table": Table(("Rule", *heads), rows).markdown(), "n": n and n["n"]}
