"""How nearly each learning algorithm and its instance of VSML are the same, in numbers and words. Reads tables only."""

from typing import Any, NamedTuple

from pipeline.show.display import Cell
from pipeline.show.measures import Key, Results, single
from pipeline.studies.learning.tables import Tables

TABLE = "unify/unification.npz"
UNIFICATION = "unification"  # the subject of all numbers here
# What counts over the episodes: of a deviation the largest, of what it is held against the smallest.
WORST = dict.fromkeys(("prediction_deviation", "state_deviation"), max)
WORST |= dict.fromkeys(("prediction_size", "state_size", "learning", "control_deviation"), min)
COUNTS = ("entries", "nonzero", "distinct", "parameters")  # of W~


class Pair(NamedTuple):
    """An algorithm as an instance of VSML: its name, and the near relative of it that is the control."""

    method: str
    control: str


PAIRS = {
    "network": Pair("VSML network of LSTMs", "one tick instead of two"),
    "meta_rnn": Pair("Meta RNN", "one tick instead of two"),
    "fast_weights": Pair("Fast weight programmer", "adds and does not replace"),
    "hebb": Pair("Hebb", "Oja\u2019s rule"),
    "oja": Pair("Oja", "Hebb\u2019s rule"),
    "local_rule": Pair("Learned local rule", "error and activity exchanged"),
    "nearest_mean": Pair("Nearest class mean", "means that forget"),
    "sgd": Pair("SGD, linear layer", "rate 10 % lower"),
    "matrix": Pair("One RNN with the matrix W\u0303", "two ticks instead of one"),
}


def unification(tables: Tables) -> Results:
    """Of the subject `unification`, by pair the worst of n episodes, which has no sd; and W~ counted.

    Nothing without the table.
    """
    if TABLE not in tables:
        return {}
    arrays = tables[TABLE].arrays
    found: Results = {}
    for metric, worst in WORST.items():
        for pair, values in zip(arrays["pair"].tolist(), arrays[metric], strict=True):
            found[Key(UNIFICATION, pair, metric)] = single(float(worst(values)), len(values))
    return found | {Key(UNIFICATION, "matrix", what): single(int(arrays[f"matrix/{what}"]), 1) for what in COUNTS}


def page(found: Results) -> dict[str, Any]:
    """What the report says of all this: a row for each algorithm, and W~ counted."""
    rows = []
    for key, pair in PAIRS.items():
        *cells, control = (f"{found[Key(UNIFICATION, key, metric)]['value']:.1e}" for metric in WORST)
        rows.append([pair.method, *cells, Cell(control, pair.control)])
    matrix = {what: found[Key(UNIFICATION, "matrix", what)]["value"] for what in COUNTS}
    return {"rows": rows, "matrix": matrix, "n": found[Key(UNIFICATION, next(iter(PAIRS)), "learning")]["n"]}
