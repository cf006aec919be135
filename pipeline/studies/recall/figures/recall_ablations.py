"""What matters to a rule that learns to remember: ablations, and moves to other sizes and networks."""

import numpy as np

from pipeline.show.measures import sd
from pipeline.show.style import FAINT, GREY, PAGE, Figure
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall import measures as recall

NEEDS = ("recall_test/*.npz",)
ALT = (
    "Left: a row for each variant of the direct network with its accuracy of recall over the last 4 and 8 snippets. "
    "Right: accuracy of rules that were moved to networks of other sizes and kinds without training, beside the best "
    "fixed rule of that size."
)
CAPTION = (
    "Ablations and moves. Our reconstruction. Left: share of bits recalled right by variants of the direct network, "
    "each meta-trained anew, and mean \u00b1 1 standard deviation over {recall_seeds}. Right: rules of the direct "
    "network with {recall_bits} bits, run without further training in direct networks of other sizes and in a "
    "recurrent one; grey: the best fixed rule of the same size, tuned in hindsight."
)
SERIES = {4: {"color": "#D55E00", "marker": "o"}, 8: {"color": "#0072B2", "marker": "s"}}  # by horizon


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 3.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    variants = [one for one in recall.in_order(tables) if one not in ("hidden", "recurrent", "sparse")]
    experiment = recall.thorough(tables)[0]
    arrays, trained = recall.tests(tables, experiment)[0], _seeds(tables, experiment)
    # Where a rule was trained stands among the sizes to which it was moved.
    found = {f"size_{arrays['bits']}": trained}
    found |= {what: recall.changed(tables, experiment, what) for what in recall.moves(tables, experiment)}
    places = sorted(found, key=recall.place)

    for number, (horizon, style) in enumerate(SERIES.items()):
        for row, of_variant in enumerate(_seeds(tables, one) for one in variants):
            if horizon in of_variant:
                seeds, label = of_variant[horizon], f"D = {horizon}" if row == 0 else None
                spread = float(np.nan_to_num(sd(seeds)))
                left.errorbar(seeds.mean(), row + 0.3 * number, xerr=spread, label=label, **style)
        for x, what in enumerate(places if horizon in trained else ()):
            seeds, at = found[what][horizon], x + 0.2 * number - 0.1
            right.errorbar(at, seeds.mean(), yerr=float(np.nan_to_num(sd(seeds))), **style)
            if what.startswith("size_"):
                fixed = f"{what}/fixed" if f"{what}/fixed" in arrays else "fixed"
                best = max(recall.best_fixed(arrays, kind, horizon, fixed) for kind in recall.FIXED)
                right.plot(at, best, color=GREY, marker="_", markersize=9)

    left.axvline(recall.CHANCE, color=FAINT, linewidth=0.8)
    left.set_yticks(np.arange(len(variants)) + 0.15, [recall.name(one) for one in variants])
    left.invert_yaxis()
    left.set(xlim=(0.45, 1.02), xlabel="bits recalled right", title="meta-trained anew")
    left.legend(fontsize=7.5, loc="center", bbox_to_anchor=(0.45, 0.5))
    left.grid(False, axis="y")
    left.grid(True, axis="x")
    right.axhline(recall.CHANCE, color=FAINT, linewidth=0.8)
    moves = (what.partition("_") for what in places)
    right.set_xticks(range(len(places)), [f"{which} bits" if kind == "size" else which for kind, _, which in moves])
    right.set(ylim=(0.45, 1.02), title="moved without training")
    return figure


def _seeds(tables: Tables, experiment: str) -> dict[int, np.ndarray]:
    """By horizon, the accuracy of each seed."""
    return {horizon: episodes.mean(-1) for horizon, episodes in recall.last(tables, experiment).items()}
