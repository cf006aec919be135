"""How nearly each learning algorithm and its instance of VSML are the same, in numbers and words. Reads tables only."""

from typing import Any, NamedTuple

from pipeline.show.display import Cell, Table
from pipeline.show.measures import Key, Results, single
from pipeline.studies.learning.tables import Tables

TABLE = "unify/unification.npz"
UNIFICATION = "unification"  # the subject of all numbers here
# Heads of the table, and what counts over the episodes: of a deviation the largest, of what it is held against the
# smallest.
WORST = {
    "prediction_deviation": ("Deviation, predictions", max),
    "state_deviation": ("Deviation, states", max),
    "prediction_size": ("Largest prediction", min),
    "state_size": ("Largest state", min),
    "learning": ("Moved by learning", min),
    "control_deviation": ("Deviation of the control", min),
}
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
    for metric, (_, worst) in WORST.items():
        for pair, values in zip(arrays["pair"].tolist(), arrays[metric], strict=True):
            found[Key(UNIFICATION, pair, metric)] = single(float(worst(values)), len(values))
    return found | {Key(UNIFICATION, "matrix", what): single(int(arrays[f"matrix/{what}"]), 1) for what in COUNTS}


def page(found: Results) -> dict[str, Any]:
    """What the report says of all this: a row for each algorithm, and W~ in words."""
    rows = []
    for key, pair in PAIRS.items():
        *cells, control = (f"{found[Key(UNIFICATION, key, metric)]['value']:.1e}" for metric in WORST)
        rows.append([pair.method, *cells, Cell(control, pair.control)])
    n = found[Key(UNIFICATION, next(iter(PAIRS)), "learning")]["n"]
    caption = (
        f"Largest absolute deviation of an instance from its algorithm, over {n} episodes; of what it is held "
        "against, the smallest of the episodes"
    )
    entries, nonzero, distinct, parameters = (found[Key(UNIFICATION, "matrix", what)]["value"] for what in COUNTS)
    words = (
        f"{nonzero:,} of {entries:,} entries are not zero; they have {distinct} distinct values, "
        f"made from {parameters} parameters"
    )
    heads = ("Algorithm", *(head for head, _ in WORST.values()))
    return {"table": Table(heads, rows, "Unification", caption), "matrix": words}
