"""How nearly each learning algorithm and its instance of VSML are the same, in numbers and words. Reads tables only."""

from typing import Any, NamedTuple

from pipeline.show.display import Cell, Table
from pipeline.show.measures import Key, Results, single
from pipeline.studies.learning.tables import Tables

TABLE = "unify/unification.npz"
UNIFICATION = "unification"  # the subject of all numbers here
WORST = {  # over the lifetimes: of a deviation the largest, of what it is held against the smallest
    "prediction_deviation": max,
    "state_deviation": max,
    "prediction_size": min,
    "state_size": min,
    "learning": min,
    "control_deviation": min,
}
HEADS = (
    "Deviation, predictions",
    "Deviation, states",
    "Largest prediction",
    "Largest state",
    "Moved by learning",
    "Deviation of the control",
)
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
    "sgd": Pair("SGD, linear layer", "rate 10 % lower"),
    "matrix": Pair("One RNN with the matrix W\u0303", "two ticks instead of one"),
}
METHODS = {key: pair.method for key, pair in PAIRS.items()}
CONTROLS = {key: pair.control for key, pair in PAIRS.items()}


def unification(tables: Tables) -> Results:
    """Of the subject `unification`, by pair the worst of n episodes, which has no sd; and W~ counted.

    Nothing without the table.
    """
    if TABLE not in tables:
        return {}
    arrays = tables[TABLE].arrays
    found: Results = {}
    for pair, *each in zip(arrays["pair"].tolist(), *(arrays[metric] for metric in WORST), strict=True):
        for (metric, worst), values in zip(WORST.items(), each, strict=True):
            found[Key(UNIFICATION, pair, metric)] = single(float(worst(values)), len(values))
    return found | {Key(UNIFICATION, "matrix", what): single(int(arrays[f"matrix/{what}"]), 1) for what in COUNTS}


def table(found: Results) -> Table:
    """A row for each algorithm."""
    rows = []
    for key, pair in PAIRS.items():
        *cells, control = (f"{found[Key(UNIFICATION, key, metric)]['value']:.1e}" for metric in WORST)
        rows.append([pair.method, *cells, Cell(control, pair.control)])
    n = found[Key(UNIFICATION, next(iter(PAIRS)), "learning")]["n"]
    caption = (
        f"Largest absolute deviation of an instance from its algorithm, over {n} lifetimes; of what it is held "
        "against, the smallest of the lifetimes"
    )
    return Table(("Algorithm", *HEADS), rows, "Unification", caption)


def page(found: Results) -> dict[str, Any]:
    """What the report says of all this."""
    return {"table": table(found), "matrix": words_of_matrix(found)}


def words_of_matrix(found: Results) -> str:
    """W~ in numbers."""
    entries, nonzero, distinct, parameters = (found[Key(UNIFICATION, "matrix", what)]["value"] for what in COUNTS)
    return (
        f"{nonzero:,} of {entries:,} entries are not zero; they have {distinct} distinct values, "
        f"made from {parameters} parameters"
    )
