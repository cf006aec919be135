"""What rules that learned to remember recall, in numbers and words. Reads tables only.

All of it is about a reconstruction: of arXiv 2003.03124 we know the abstract and nothing more.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline import sighted, synapse
from pipeline.artifacts import Table
from pipeline.results import Results, summary
from pipeline.tables import RULE, Tables, by_seed, experiments

NAMES = {
    "direct": "Direct",
    "hidden": "Hidden layer with feedback",
    "recurrent": "Recurrent",
    "frozen": "Direct, synapses never change",
    "sparse": "Recurrent, half of the synapses",
    "alike": "Direct, one embedding for all",
    "mlp": "Direct, functions are MLPs",
    "gru": "Direct, functions are GRUs",
    "synapse_1": "Direct, synapses of 1 number",
    "synapse_8": "Direct, synapses of 8 numbers",
    "window_1": "Direct, gradient through 1 snippet",
    "window_4": "Direct, gradient through 4 snippets",
}
FIXED = {"hebb": "Hebb with decay", "delta": "Delta rule"}
CHANCE = 0.5


def name(experiment: str) -> str:
    return NAMES.get(experiment, experiment)


def in_order(tables: Tables) -> list[str]:
    known = list(NAMES)
    return sorted(experiments(tables, "recall_test"), key=lambda e: (known.index(e) if e in known else 99, e))


def middle(every: Sequence[int]) -> int:
    """The horizon that is looked at closer: 4 where it is one."""
    return 4 if 4 in every else every[0]


def tests(tables: Tables, experiment: str) -> list[Table]:
    return list(by_seed(tables, "recall_test", experiment).values())


def horizons(tables: Tables, experiment: str) -> list[int]:
    return tests(tables, experiment)[0].arrays["horizon"].tolist()


def thorough(tables: Tables) -> list[str]:
    """The experiments that met more than their own kind of stream."""
    return [name for name in in_order(tables) if "fixed" in tests(tables, name)[0].arrays]


def by_lag(tables: Tables, experiment: str) -> Float[np.ndarray, "seed horizon life lag"]:
    """Share of bits recalled right of the snippet of each lag, once a life has settled."""
    found = []
    for table in tests(tables, experiment):
        settled = table.arrays["right"][:, :, int(table.arrays["settled"]) :]
        found.append(settled.mean(2) / float(table.arrays["bits"]))
    return np.stack(found)


def last(tables: Tables, experiment: str) -> Float[np.ndarray, "horizon seed life"]:
    """Accuracy over the last D snippets, of the rule that was trained to remember D."""
    lags = by_lag(tables, experiment)
    return np.stack([lags[:, i, :, :d].mean(-1) for i, d in enumerate(horizons(tables, experiment))])


def summed(table: Table, array: str, bits: int | None = None) -> Float[np.ndarray, "*any lag"]:
    """An array of bits that were summed over all exams, as a share."""
    exams = int(table.arrays["exams"]) * (bits or int(table.arrays["bits"]))
    return table.arrays[array] / exams


def best_fixed(
    table: Table, kind: str, horizon: int, array: str = "fixed", bits: int | None = None, at: int | None = None
) -> tuple[float, float, float]:
    """Accuracy over the last snippets of the best rule of a kind, its rate and decay: the grid is tuned in hindsight.

    `at` picks one level of an array of several.
    """
    shares = summed(table, array, bits)
    of_rule = (shares if at is None else shares[at])[..., :horizon].mean((-2, -1))
    of_kind = np.where(table.arrays["rule"] == kind, of_rule, -1.0)
    best = int(of_kind.argmax())
    return float(of_rule[best]), float(table.arrays["rate"][best]), float(table.arrays["decay"][best])


def recall(tables: Tables) -> Results:
    """`recall/experiment/metric` -> {"value", "sd", "n"}; sd over lives, and over seeds where there are several."""
    found: Results = {}
    for experiment in in_order(tables):
        for horizon, lives in zip(horizons(tables, experiment), last(tables, experiment), strict=True):
            found[f"recall/{experiment}/last@{horizon}"] = summary(lives)
    reference = thorough(tables)[:1]
    for experiment in reference:
        table = tests(tables, experiment)[0]
        n = table.arrays["fixed"].shape[1]
        for index, horizon in enumerate(horizons(tables, experiment)):
            for kind in FIXED:
                found[f"recall/{kind}/last@{horizon}"] = _entry(best_fixed(table, kind, horizon)[0], n)
            inverse = summed(table, "pseudo_inverse")[index, :, :horizon]
            found[f"recall/pseudo_inverse/last@{horizon}"] = _entry(float(inverse.mean()), n)
    for experiment in thorough(tables):
        found |= _harder(tables, experiment) | sighted.sighted(tests(tables, experiment), f"recall/{experiment}")
    return found | _synapse(tables)


def levels(tables: Tables, experiment: str, kind: str) -> Float[np.ndarray, "level horizon seed"]:
    """Accuracy over the last D snippets at each level of `noise` or `correlation`."""
    tests_ = tests(tables, experiment)
    right = np.stack([summed(table, f"{kind}/right") for table in tests_])
    each = [right[:, :, i, :, :d].mean((-2, -1)) for i, d in enumerate(horizons(tables, experiment))]
    return np.stack(each).transpose(2, 0, 1)


def moved(tables: Tables, experiment: str, what: str) -> Float[np.ndarray, "horizon seed"]:
    """The same after a move: `what` is `size_N` or `transfer_NETWORK`."""
    bits = int(what.removeprefix("size_")) if what.startswith("size_") else None
    right = np.stack([summed(table, f"{what}/right", bits) for table in tests(tables, experiment)])
    return np.stack([right[:, i, :, :d].mean((-2, -1)) for i, d in enumerate(horizons(tables, experiment))])


def moves(tables: Tables, experiment: str) -> list[str]:
    """The moves of its tests: other sizes in order, then other networks."""
    arrays = tests(tables, experiment)[0].arrays
    found = [key.removesuffix("/right") for key in arrays if re.fullmatch(r"(size|transfer)_\w+/right", key)]
    return sorted(found, key=lambda what: (not what.startswith("size_"), len(what), what))


def _harder(tables: Tables, experiment: str) -> Results:
    found: Results = {}
    table = tests(tables, experiment)[0]
    for kind in ("noise", "correlation"):
        for at, level in enumerate(table.arrays[kind].tolist()):
            for horizon, seeds in zip(horizons(tables, experiment), levels(tables, experiment, kind)[at], strict=True):
                found[f"recall/{experiment}/{kind}_{level:g}@{horizon}"] = summary(seeds[:, None])
    for what in moves(tables, experiment):
        for horizon, seeds in zip(horizons(tables, experiment), moved(tables, experiment, what), strict=True):
            found[f"recall/{experiment}/{what}@{horizon}"] = summary(seeds[:, None])
    return found


def _synapse(tables: Tables) -> Results:
    """Cosine of what the learned rule changes of a lone synapse with what the textbook rules would."""
    found: Results = {}
    for experiment in thorough(tables):
        every = tests(tables, experiment)
        if "fresh/change" not in every[0].arrays:
            continue
        for index, horizon in enumerate(horizons(tables, experiment)):
            for state in ("fresh", "stored"):
                name = f"recall/{experiment}/{state}"
                likes = [synapse.textbook(table, state, index) for table in every]
                for kind in FIXED:
                    values = np.array([like[kind].cosine for like in likes])
                    found[f"{name}_like_{kind}@{horizon}"] = summary(values[:, None])
                held = np.array([like["delta"].held for like in likes])
                found[f"{name}_held@{horizon}"] = summary(held[:, None])
    return found


def rows(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
    """The table of the report: recall of each rule and of what it is held against, by horizon."""
    every = sorted({d for experiment in in_order(tables) for d in horizons(tables, experiment)})
    others = FIXED | {"pseudo_inverse": "Pseudo-inverse of the last ones, not online"}
    for key, words in ({e: name(e) for e in in_order(tables)} | others).items():
        cells = [found.get(f"recall/{key}/last@{horizon}") for horizon in every]
        if any(cells):
            table = tests(tables, key)[0].arrays if key not in others else None
            yield {
                "name": words,
                "synapses": int(table["synapses"]) if table else None,
                "numbers": int(table["numbers"]) if table else None,
                "horizons": every,
                "cells": cells,
            }


def page(found: Results, tables: Tables, introspected: str) -> dict[str, Any]:
    """What the report says of all this; `introspected` is the set whose images introspection shows."""
    table = tests(tables, in_order(tables)[0])[0]
    lines = list(rows(found, tables))
    return {
        "rows": lines,
        "horizons": lines[0]["horizons"],
        "bits": int(table.arrays["bits"]),
        "exams": int(table.arrays["exams"]),
        "settled": int(table.arrays["settled"]),
        "verdict": verdict(found, tables),
        "synapse": synapse.words(found),
        "sighted": list(sighted.words(found, f"recall/{thorough(tables)[0]}", f"{introspected}/{RULE}")),
    }


def verdict(found: Results, tables: Tables) -> str:
    """Where learned rules recall more than the best fixed one, and where they do not."""
    sentences = []
    for experiment in thorough(tables):
        ahead, behind = [], []
        for horizon in horizons(tables, experiment):
            value = found[f"recall/{experiment}/last@{horizon}"]["value"]
            best = max(found[f"recall/{kind}/last@{horizon}"]["value"] for kind in FIXED)
            (ahead if value > best else behind).append((horizon, value, best))
        said = [f"{d} ({value:.3f} against {best:.3f})" for d, value, best in ahead]
        lost = [f"{d} ({value:.3f} against {best:.3f})" for d, value, best in behind]
        sentences.append(
            f"{name(experiment)}: "
            + (f"above the best fixed rule over the last {', '.join(said)}" if said else "nowhere above it")
            + (f"; not above it over the last {', '.join(lost)}." if lost else ".")
        )
    return " ".join(sentences)


def _entry(value: float, n: int) -> dict[str, Any]:
    return {"value": value, "sd": None, "n": n}
