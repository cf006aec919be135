"""What rules that learned to remember recall, in numbers and words. Reads tables only.

All of it is about a reconstruction: of arXiv 2003.03124 we know the abstract and nothing more.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.run import artifacts
from pipeline.show.display import Table
from pipeline.show.looks import GREY, Look, by_key
from pipeline.show.measures import Key, Results, single, summary
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.learning.tables import Tables, by_seed, experiments
from pipeline.studies.recall import sighted, synapse

RECALL = "recall"  # the subject of all numbers here
LEARNERS = by_key(  # networks of a learned rule, in the order of tables
    Look("direct", "direct", "#D55E00", "-", "o", 1.6, "Direct"),
    Look("hidden", "hidden layer", "#009E73", "-", "^", 1.6, "Hidden layer with feedback"),
    Look("recurrent", "recurrent", "#CC79A7", "-", "s", 1.6, "Recurrent"),
    Look("frozen", "synapses never change", "#8a8a8a", (0, (1, 2)), "x", longer="Direct, synapses never change"),
    Look("sparse", "recurrent, half of the synapses", "#8f6b00", "-", "D", longer="Recurrent, half of the synapses"),
    Look("alike", "Direct, one embedding for all"),
    Look("mlp", "Direct, functions are MLPs"),
    Look("gru", "Direct, functions are GRUs"),
    Look("synapse_1", "Direct, synapses of 1 number"),
    Look("synapse_8", "Direct, synapses of 8 numbers"),
    Look("window_1", "Direct, gradient through 1 snippet"),
    Look("window_4", "Direct, gradient through 4 snippets"),
)
FIXED = by_key(
    Look("hebb", "Hebb with decay, tuned", "#3b2a8c", (0, (4, 1.5)), longer="Hebb with decay"),
    Look("delta", "delta rule, tuned", "#0072B2", "--", longer="Delta rule"),
)
INVERSE = Look(
    "pseudo_inverse",
    "pseudo-inverse, not online",
    GREY,
    (0, (1, 1)),
    longer="Pseudo-inverse of the last ones, not online",
)
CHANCE = 0.5


def name(experiment: str) -> str:
    return LEARNERS[experiment].words if experiment in LEARNERS else experiment


def in_order(tables: Tables) -> list[str]:
    """The experiments that were tested: those of `LEARNERS` in its order, others after them."""
    known = list(LEARNERS)
    return sorted(experiments(tables, "recall_test"), key=lambda e: (known.index(e) if e in known else 99, e))


def middle(every: Sequence[int]) -> int:
    """The horizon that is looked at closer: 4 where it is one."""
    return 4 if 4 in every else every[0]


def tests(tables: Tables, experiment: str) -> list[artifacts.Table]:
    return list(by_seed(tables, "recall_test", experiment).values())


def horizons(tables: Tables, experiment: str) -> list[int]:
    return tests(tables, experiment)[0].arrays["horizon"].tolist()


def thorough(tables: Tables) -> list[str]:
    """The experiments that met more than their own kind of stream."""
    return [name for name in in_order(tables) if "fixed" in tests(tables, name)[0].arrays]


def by_lag(tables: Tables, experiment: str) -> Float[np.ndarray, "seed horizon life lag"]:
    """Share of bits recalled right of the snippet of each lag, once an episode has settled."""
    found = []
    for table in tests(tables, experiment):
        settled = table.arrays["right"][:, :, int(table.arrays["settled"]) :]
        found.append(settled.mean(2) / float(table.arrays["bits"]))
    return np.stack(found)


def last(tables: Tables, experiment: str) -> Float[np.ndarray, "horizon seed life"]:
    """Accuracy over the last D snippets, of the rule that was trained to remember D."""
    lags = by_lag(tables, experiment)
    return np.stack([lags[:, i, :, :d].mean(-1) for i, d in enumerate(horizons(tables, experiment))])


def summed(table: artifacts.Table, array: str, bits: int | None = None) -> Float[np.ndarray, "*any lag"]:
    """An array of bits that were summed over all exams, as a share."""
    exams = int(table.arrays["exams"]) * (bits or int(table.arrays["bits"]))
    return table.arrays[array] / exams


def best_fixed(
    table: artifacts.Table,
    kind: str,
    horizon: int,
    array: str = "fixed",
    bits: int | None = None,
    at: int | None = None,
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
    """Results of the subject `recall`, by experiment; sd over episodes, and over seeds where there are several."""
    found: Results = {}
    for experiment in in_order(tables):
        for horizon, lives in zip(horizons(tables, experiment), last(tables, experiment), strict=True):
            found[Key(RECALL, experiment, "last", horizon)] = summary(lives)
    reference = thorough(tables)[:1]
    for experiment in reference:
        table = tests(tables, experiment)[0]
        n = table.arrays["fixed"].shape[1]
        for index, horizon in enumerate(horizons(tables, experiment)):
            for kind in FIXED:
                found[Key(RECALL, kind, "last", horizon)] = single(best_fixed(table, kind, horizon)[0], n)
            inverse = summed(table, "pseudo_inverse")[index, :, :horizon]
            found[Key(RECALL, INVERSE.key, "last", horizon)] = single(float(inverse.mean()), n)
    for experiment in thorough(tables):
        found |= _harder(tables, experiment) | sighted.sighted(tests(tables, experiment), experiment)
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
                found[Key(RECALL, experiment, f"{kind}_{level:g}", horizon)] = summary(seeds[:, None])
    for what in moves(tables, experiment):
        for horizon, seeds in zip(horizons(tables, experiment), moved(tables, experiment, what), strict=True):
            found[Key(RECALL, experiment, what, horizon)] = summary(seeds[:, None])
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
                likes = [synapse.textbook(table, state, index) for table in every]
                for kind in FIXED:
                    values = np.array([like[kind].cosine for like in likes])
                    found[Key(RECALL, experiment, f"{state}_like_{kind}", horizon)] = summary(values[:, None])
                held = np.array([like["delta"].held for like in likes])
                found[Key(RECALL, experiment, f"{state}_held", horizon)] = summary(held[:, None])
    return found


def table(found: Results, tables: Tables) -> Table:
    """Recall of each rule and of what it is held against, by horizon."""
    every = sorted({d for experiment in in_order(tables) for d in horizons(tables, experiment)})
    rows = []
    for experiment in in_order(tables):
        arrays = tests(tables, experiment)[0].arrays
        rows.append([name(experiment), experiment, str(arrays["synapses"]), str(arrays["numbers"])])
    rows += [[look.words, look.key, plus_minus(None), plus_minus(None)] for look in (*FIXED.values(), INVERSE)]
    filled = []
    for words, key, *sizes in rows:
        entries = [found.get(Key(RECALL, key, "last", horizon)) for horizon in every]
        if any(entries):
            filled.append([words, *(plus_minus(entry, "sd_seeds", 3) for entry in entries), *sizes])
    caption = (
        "Bits recalled right over the last D snippets, by rules meta-trained for that D; \u00b1 standard deviation "
        f"over seeds; chance is {CHANCE}"
    )
    heads = ("Network and rule", *(f"D = {horizon}" for horizon in every), "Synapses", "Learned numbers")
    return Table(heads, filled, "Learning to remember", caption)


def page(found: Results, tables: Tables, introspected: str) -> dict[str, Any]:
    """What the report says of all this; `introspected` is the set whose images introspection shows."""
    arrays = tests(tables, in_order(tables)[0])[0].arrays
    numbers = {name: int(arrays[name]) for name in ("bits", "exams", "settled")}
    return numbers | {
        "table": table(found, tables),
        "verdict": verdict(found, tables),
        "synapse": synapse.words(found),
        "sighted": [words for one in thorough(tables)[:1] for words in sighted.words(found, one, introspected)],
    }


def verdict(found: Results, tables: Tables) -> str:
    """Where learned rules recall more than the best fixed one, and where they do not."""
    sentences = []
    for experiment in thorough(tables):
        ahead, behind = [], []
        for horizon in horizons(tables, experiment):
            value = found[Key(RECALL, experiment, "last", horizon)]["value"]
            best = max(found[Key(RECALL, kind, "last", horizon)]["value"] for kind in FIXED)
            (ahead if value > best else behind).append((horizon, value, best))
        said = [f"{d} ({value:.3f} against {best:.3f})" for d, value, best in ahead]
        lost = [f"{d} ({value:.3f} against {best:.3f})" for d, value, best in behind]
        sentences.append(
            f"{name(experiment)}: "
            + (f"above the best fixed rule over the last {', '.join(said)}" if said else "nowhere above it")
            + (f"; not above it over the last {', '.join(lost)}." if lost else ".")
        )
    return " ".join(sentences)
