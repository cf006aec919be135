"""What rules that learned to remember recall, in numbers. Reads tables only.

All of it is about a reconstruction: of arXiv 2003.03124 we know the abstract and nothing more. An accuracy is the share
of bits recalled right. A horizon D is how many of the last snippets a rule was trained to remember; what is given by
horizon is about the rule of that D.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.show.looks import GREY, Look, by_key
from pipeline.show.measures import Key, Results, single, summary
from pipeline.studies.learning.association import gains
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.learning.tables import RULE, Tables, by_seed, experiments

Arrays = dict[str, np.ndarray]  # of the tests of one seed

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
LIKENESS = ("fresh_like_hebb", "stored_like_hebb", "stored_like_delta", "stored_held")  # metrics of `recall`


def name(learner: str) -> str:
    every = LEARNERS | FIXED | {INVERSE.key: INVERSE}
    return every[learner].words if learner in every else learner


def in_order(tables: Tables) -> list[str]:
    """The experiments that were tested: those of `LEARNERS` in its order, others after them."""
    known = list(LEARNERS)
    return sorted(experiments(tables, "recall_test"), key=lambda e: (known.index(e) if e in known else 99, e))


def middle(every: Sequence[int]) -> int:
    """The horizon that is looked at closer: 4 where it is one."""
    return 4 if 4 in every else every[0]


def tests(tables: Tables, experiment: str) -> list[Arrays]:
    """Those of each seed."""
    return [table.arrays for table in by_seed(tables, "recall_test", experiment).values()]


def horizons(tables: Tables, experiment: str) -> list[int]:
    return tests(tables, experiment)[0]["horizon"].tolist()


def thorough(tables: Tables) -> list[str]:
    """The experiments that met more than their own kind of stream."""
    return [name for name in in_order(tables) if "fixed" in tests(tables, name)[0]]


def by_lag(tables: Tables, experiment: str) -> dict[int, Float[np.ndarray, "seed episode lag"]]:
    """By horizon, the accuracy about the snippet of each lag, once an episode has settled."""
    found = [a["right"][:, :, int(a["settled"]) :].mean(2) / float(a["bits"]) for a in tests(tables, experiment)]
    return dict(zip(horizons(tables, experiment), np.stack(found, axis=1), strict=True))


def last(tables: Tables, experiment: str) -> dict[int, Float[np.ndarray, "seed episode"]]:
    """By horizon, the accuracy over so many last snippets."""
    return {horizon: lags[..., :horizon].mean(-1) for horizon, lags in by_lag(tables, experiment).items()}


def share(arrays: Arrays, array: str) -> Float[np.ndarray, "*any lag"]:
    """An array of bits recalled right, summed over what counts of an episode, as a share of the bits that were asked.

    `size_N/...` is of a network of N bits.
    """
    other = re.match(r"size_(\d+)/", array)
    return arrays[array] / (int(arrays["moments"]) * int(other[1] if other else arrays["bits"]))


def best_fixed(arrays: Arrays, kind: str, horizon: int, array: str = "fixed") -> Float[np.ndarray, "*level"]:
    """Accuracy over the last snippets of the best rule of a kind: the grid is tuned in hindsight, at each level."""
    of_rules = share(arrays, array)[..., :horizon].mean((-2, -1))
    return of_rules[..., arrays["rule"] == kind].max(-1)


def changed(tables: Tables, experiment: str, what: str) -> dict[int, Float[np.ndarray, "*level seed"]]:
    """By horizon, the accuracy over so many last snippets: after a move, or at each level of noise or correlation."""
    right = np.stack([share(arrays, f"{what}/right") for arrays in tests(tables, experiment)], axis=-4)
    every = enumerate(horizons(tables, experiment))
    return {horizon: right[..., index, :, :horizon].mean((-2, -1)) for index, horizon in every}


def moves(tables: Tables, experiment: str) -> list[str]:
    """To where its rules were moved without training, `size_N` or `transfer_NETWORK`, in their order."""
    arrays = tests(tables, experiment)[0]
    found = [key.removesuffix("/right") for key in arrays if re.fullmatch(r"(size|transfer)_\w+/right", key)]
    return sorted(found, key=place)


def place(move: str) -> tuple[bool, int, str]:
    """What moves are sorted by: other sizes in order, then other networks."""
    return not move.startswith("size_"), len(move), move


class Textbook(NamedTuple):
    """What a textbook rule would change where the learned rule is looked at, and how alike the two are."""

    change: Float[np.ndarray, "pre post"]
    cosine: float
    held: float  # the w of the delta rule x (y - w x) that is most like the learned one; Hebb's rule has 0


def textbook(arrays: Arrays, state: str, index: int) -> dict[str, Textbook]:
    """Hebb's rule, and the delta rule of the w that fits best: least squares of the change on x y and x^2.

    A rule that ignores what a synapse holds has w = 0 and is Hebb's. `index` is that of the horizon.
    """
    learned, ends = arrays[f"{state}/change"][index].astype(np.float64), arrays["ends"].astype(np.float64)
    pre, post = np.meshgrid(ends, ends, indexing="ij")
    hebb, own = pre * post, pre * pre
    slope = (learned * hebb).sum() / (hebb * hebb).sum()  # over ends that are symmetric, x y and x^2 are orthogonal
    held = -(learned * own).sum() / (own * own).sum() / slope if slope else 0.0
    found = {}
    for kind, w in (("hebb", 0.0), ("delta", float(held))):
        change = hebb - w * own
        norms = np.sqrt((learned * learned).sum() * (change * change).sum())
        found[kind] = Textbook(change, float((learned * change).sum() / max(norms, np.finfo(float).tiny)), w)
    return found


def own_gains(seeds: list[Arrays]) -> Float[np.ndarray, "seed age episode gap"]:
    """What one exposure adds to the class of an image, less what it adds for images of other classes.

    That is what is tied to the image, and not said of everything. `seeds` are as VSML's introspection has them.
    """
    same, _, stranger = np.moveaxis(gains(seeds), -1, 0)  # as QUERIES of introspection
    return same - stranger


def of_images(tables: Tables, experiment: str) -> dict[int, Float[np.ndarray, "seed age episode gap"]]:
    """By horizon, `own_gains` of rules that learn to classify images, in VSML's protocol of introspection."""
    probability = [arrays["query_probability"] for arrays in tests(tables, experiment)]
    every = enumerate(horizons(tables, experiment))
    return {horizon: own_gains([{"query_probability": one[index]} for one in probability]) for index, horizon in every}


def recall(tables: Tables) -> Results:
    """Results of the subject `recall`, by experiment; sd over episodes, and over seeds where there are several.

    Of experiments with thorough tests, besides: accuracies on harder streams and after moves; the cosines of what the
    rule changes of a lone synapse, fresh or stored in, with what textbook rules would, and the w of the delta rule; and
    of images `gain_own` of each age and horizon, and `gain_own_after_GAP` for the last gap.
    """
    found: Results = {}
    for experiment in in_order(tables):
        for horizon, accuracies in last(tables, experiment).items():
            found[Key(RECALL, experiment, "last", horizon)] = summary(accuracies)
    for experiment in thorough(tables)[:1]:  # the fixed rules have the same streams beside each
        arrays = tests(tables, experiment)[0]
        for index, horizon in enumerate(horizons(tables, experiment)):
            values = {kind: best_fixed(arrays, kind, horizon) for kind in FIXED}
            values[INVERSE.key] = share(arrays, "pseudo_inverse")[index, :, :horizon].mean()
            for key, value in values.items():
                found[Key(RECALL, key, "last", horizon)] = single(float(value), arrays["fixed"].shape[1])

    for experiment in thorough(tables):
        every = tests(tables, experiment)

        def keep(metric: str, horizon: int, seeds: Any, learner: str = experiment) -> None:
            found[Key(RECALL, learner, metric, horizon)] = summary(np.array(seeds)[:, None])

        for kind in ("noise", "correlation"):
            for horizon, levels in changed(tables, experiment, kind).items():
                for level, seeds in zip(every[0][kind].tolist(), levels, strict=True):
                    keep(f"{kind}_{level:g}", horizon, seeds)
        for what in moves(tables, experiment):
            for horizon, seeds in changed(tables, experiment, what).items():
                keep(what, horizon, seeds)
        for index, horizon in enumerate(horizons(tables, experiment)):
            for state in ("fresh", "stored") if "ends" in every[0] else ():
                likes = [textbook(arrays, state, index) for arrays in every]
                for kind in FIXED:
                    keep(f"{state}_like_{kind}", horizon, [like[kind].cosine for like in likes])
                keep(f"{state}_held", horizon, [like["delta"].held for like in likes])
        for horizon, gained in of_images(tables, experiment).items():
            end = gained.shape[-1] - 1
            for at, age in enumerate(every[0]["age"].tolist()):
                for metric, gap in (("gain_own", 0), (f"gain_own_after_{end}", end)):
                    found[Key(RECALL, experiment, metric, age, horizon)] = summary(gained[:, at, :, gap])
    return found


def page(found: Results, tables: Tables, introspected: str) -> dict[str, Any]:
    """What the report says of all this; `introspected` is the set whose images introspection shows."""
    first, every = tests(tables, in_order(tables)[0])[0], {e: tests(tables, e)[0] for e in in_order(tables)}
    asked = sorted({horizon for arrays in every.values() for horizon in arrays["horizon"].tolist()})
    rows = []
    for learner in (*every, *FIXED, INVERSE.key):
        entries = [found.get(Key(RECALL, learner, "last", horizon)) for horizon in asked]
        if any(entries):
            sizes = [str(every[learner][what]) if learner in every else "\u2013" for what in ("synapses", "numbers")]
            rows.append([name(learner), *(plus_minus(entry, "sd_seeds", 3) for entry in entries), *sizes])
    return {what: int(first[what]) for what in ("bits", "moments", "settled")} | {
        "horizons": asked,
        "rows": rows,
        "chance": CHANCE,
        "synapse": [
            [str(key.at), *(plus_minus(found[key._replace(metric=metric)], "sd_seeds") for metric in LIKENESS)]
            for key in found
            if key.metric == LIKENESS[0]
        ],
        "sighted": [row for one in thorough(tables)[:1] for row in _of_images(found, one, asked, introspected)],
    }


def _of_images(found: Results, experiment: str, horizons: Iterable[int], images: str) -> list[list[str]]:
    """A row for each age: what an exposure adds by the rule for each horizon, and by VSML on that set of images."""
    rows = []
    for age in dict.fromkeys(key.at for key in found if key[:3] == (RECALL, experiment, "gain_own")):
        own = [found.get(Key(RECALL, experiment, "gain_own", age, horizon)) for horizon in horizons]
        entries = (*own, found.get(Key(images, RULE, "gain_own", age)))
        rows.append([str(age), *(plus_minus(entry, "sd_seeds") for entry in entries)])
    return rows
