"""What matters to a rule that learns to remember: ablations, and moves to other sizes and networks."""

import numpy as np

from pipeline.show.measures import sd
from pipeline.show.style import FAINT, GREY, PAGE, Axes, Figure
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall.measures import (
    CHANCE,
    best_fixed,
    horizons,
    in_order,
    last,
    moved,
    moves,
    name,
    tests,
    thorough,
)

NEEDS = ("recall_test/*.npz",)
ALT = (
    "Left: a row for each variant of the direct network with its accuracy of recall over the last 4 and 8 snippets. "
    "Right: accuracy of rules that were moved to networks of other sizes and kinds without training, beside the best "
    "fixed rule of that size."
)
CAPTION = (
    "Ablations and moves. Our reconstruction. Left: share of bits recalled right by variants of the direct network, "
    "each meta-trained anew, and mean \u00b1 1 standard deviation over {recall_seeds}. Right: rules of the direct "
    "network with {recall_bits} bits, lived without further training in direct networks of other sizes and in a "
    "recurrent one; grey: the best fixed rule of the same size, tuned in hindsight."
)
LOOKED_AT = (4, 8)
COLOURS = ("#D55E00", "#0072B2")


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 3.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    _variants(left, tables)
    _moves(right, tables)
    return figure


def _variants(axes: Axes, tables: Tables) -> None:
    every = [one for one in in_order(tables) if one not in ("hidden", "recurrent", "sparse")]
    for place, experiment in enumerate(every):
        known = horizons(tables, experiment)
        for offset, (horizon, colour) in enumerate(zip(LOOKED_AT, COLOURS, strict=True)):
            if horizon in known:
                values = last(tables, experiment)[known.index(horizon)].mean(-1)
                y, spread = place + 0.3 * offset, float(np.nan_to_num(sd(values)))
                label = f"D = {horizon}" if place == 0 else None
                axes.errorbar(values.mean(), y, xerr=spread, color=colour, marker="os"[offset], label=label)
    axes.axvline(CHANCE, color=FAINT, linewidth=0.8)
    axes.set_yticks(np.arange(len(every)) + 0.15, [name(one) for one in every])
    axes.invert_yaxis()
    axes.set(xlim=(0.45, 1.02), xlabel="bits recalled right", title="meta-trained anew")
    axes.legend(frameon=False, loc="center", bbox_to_anchor=(0.45, 0.5))
    axes.grid(axis="x")


def _moves(axes: Axes, tables: Tables) -> None:
    experiment = thorough(tables)[0]
    table, known = tests(tables, experiment)[0], horizons(tables, experiment)
    own = int(table.arrays["bits"])
    sizes = {own: None} | {int(what[5:]): what for what in moves(tables, experiment) if what.startswith("size_")}
    networks = [what for what in moves(tables, experiment) if what.startswith("transfer_")]
    places = [*sorted(sizes), *networks]
    for offset, (horizon, colour) in enumerate(zip(LOOKED_AT, COLOURS, strict=True)):
        if horizon not in known:
            continue
        index = known.index(horizon)
        for x, place in enumerate(places):
            what = sizes.get(place, place)
            trained = last(tables, experiment)[index].mean(-1)
            values = trained if what is None else moved(tables, experiment, what)[index]
            at, spread = x + 0.2 * offset - 0.1, float(np.nan_to_num(sd(values)))
            axes.errorbar(at, values.mean(), yerr=spread, color=colour, marker="os"[offset])
            if place in sizes:
                array, bits = ("fixed", own) if what is None else (f"{what}/fixed", place)
                fixed = max(best_fixed(table, kind, horizon, array, bits)[0] for kind in ("hebb", "delta"))
                axes.plot(at, fixed, color=GREY, marker="_", markersize=9)
    axes.axhline(CHANCE, color=FAINT, linewidth=0.8)
    words = [f"{place} bits" if place in sizes else str(place).removeprefix("transfer_") for place in places]
    axes.set_xticks(range(len(places)), words)
    axes.set(ylim=(0.45, 1.02), title="moved without training")
    axes.grid(axis="y")
