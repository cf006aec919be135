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
SERIES = ((0, 4, "#D55E00", "o"), (1, 8, "#0072B2", "s"))  # number, horizon, look


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 3.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))

    variants = [one for one in recall.in_order(tables) if one not in ("hidden", "recurrent", "sparse")]
    for row, experiment in enumerate(variants):
        trained = recall.last(tables, experiment)
        for number, horizon, colour, marker in SERIES:
            if horizon in trained:
                seeds, label = trained[horizon].mean(-1), f"D = {horizon}" if row == 0 else None
                spread = float(np.nan_to_num(sd(seeds)))
                left.errorbar(seeds.mean(), row + 0.3 * number, xerr=spread, color=colour, marker=marker, label=label)
    left.axvline(recall.CHANCE, color=FAINT, linewidth=0.8)
    left.set_yticks(np.arange(len(variants)) + 0.15, [recall.name(one) for one in variants])
    left.invert_yaxis()
    left.set(xlim=(0.45, 1.02), xlabel="bits recalled right", title="meta-trained anew")
    left.legend(frameon=False, loc="center", bbox_to_anchor=(0.45, 0.5))
    left.grid(axis="x")

    # Where a rule was trained stands among the sizes to which it was moved.
    experiment = recall.thorough(tables)[0]
    arrays, trained = recall.tests(tables, experiment)[0], recall.last(tables, experiment)
    found = {f"size_{arrays['bits']}": {horizon: episodes.mean(-1) for horizon, episodes in trained.items()}}
    found |= {what: recall.changed(tables, experiment, what) for what in recall.moves(tables, experiment)}
    places = sorted(found, key=recall.place)
    for x, what in enumerate(places):
        for number, horizon, colour, marker in SERIES:
            if horizon in trained:
                seeds, at = found[what][horizon], x + 0.2 * number - 0.1
                spread = float(np.nan_to_num(sd(seeds)))
                right.errorbar(at, seeds.mean(), yerr=spread, color=colour, marker=marker)
                if what.startswith("size_"):
                    fixed = f"{what}/fixed" if f"{what}/fixed" in arrays else "fixed"
                    best = max(recall.best_fixed(arrays, kind, horizon, fixed) for kind in recall.FIXED)
                    right.plot(at, best, color=GREY, marker="_", markersize=9)
    right.axhline(recall.CHANCE, color=FAINT, linewidth=0.8)
    words = [
        f"{which} bits" if kind == "size" else which for kind, _, which in (what.partition("_") for what in places)
    ]
    right.set_xticks(range(len(places)), words)
    right.set(ylim=(0.45, 1.02), title="moved without training")
    right.grid(axis="y")
    return figure
