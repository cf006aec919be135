"""How nearly each learning algorithm and its instance of VSML are the same, in numbers and words. Reads tables only."""

from collections.abc import Iterator
from typing import Any

from pipeline.results import Results
from pipeline.tables import Tables

TABLE = "unify/unification.npz"
WORST = {  # over the lifetimes: of a deviation the largest, of what it is held against the smallest
    "prediction_deviation": max,
    "state_deviation": max,
    "prediction_size": min,
    "state_size": min,
    "learning": min,
    "control_deviation": min,
}
COUNTS = ("entries", "nonzero", "distinct", "parameters")  # of W~
METHODS = {
    "network": "VSML network of LSTMs",
    "meta_rnn": "Meta RNN",
    "fast_weights": "Fast weight programmer",
    "hebb": "Hebb",
    "oja": "Oja",
    "local_rule": "Learned local rule",
    "sgd": "SGD, linear layer",
    "matrix": "One RNN with the matrix W\u0303",
}
CONTROLS = {
    "network": "one tick instead of two",
    "meta_rnn": "one tick instead of two",
    "fast_weights": "adds and does not replace",
    "hebb": "Oja\u2019s rule",
    "oja": "Hebb\u2019s rule",
    "local_rule": "error and activity exchanged",
    "sgd": "rate 10 % lower",
    "matrix": "two ticks instead of one",
}


def unification(tables: Tables) -> Results:
    """`unification/pair/metric` -> {"value", "sd", "n"}: the worst of n lifetimes, which has no sd; and W~ counted."""
    arrays = tables[TABLE].arrays
    found: Results = {}
    for pair, *each in zip(arrays["pair"].tolist(), *(arrays[metric] for metric in WORST), strict=True):
        for (metric, worst), values in zip(WORST.items(), each, strict=True):
            found[f"unification/{pair}/{metric}"] = _entry(float(worst(values)), len(values))
    found |= {f"unification/matrix/{what}": _entry(int(arrays[f"matrix/{what}"]), 1) for what in COUNTS}
    return found


def rows(found: Results) -> Iterator[dict[str, Any]]:
    """The table of the report."""
    for pair, method in METHODS.items():
        values = {metric: f"{found[f'unification/{pair}/{metric}']['value']:.1e}" for metric in WORST}
        n = found[f"unification/{pair}/learning"]["n"]
        yield {"method": method, "control": CONTROLS[pair], "n": n} | values


def words_of_matrix(found: Results) -> str:
    """W~ in numbers."""
    entries, nonzero, distinct, parameters = (found[f"unification/matrix/{what}"]["value"] for what in COUNTS)
    return (
        f"{nonzero:,} of {entries:,} entries are not zero; they have {distinct} distinct values, "
        f"made from {parameters} parameters"
    )


def _entry(value: float, n: int) -> dict[str, Any]:
    return {"value": value, "sd": None, "n": n}
