"""How much rules that learned to remember recall, by how much there is to remember."""

from collections.abc import Sequence

import numpy as np

from pipeline.show.looks import Look
from pipeline.show.measures import sd
from pipeline.show.style import FAINT, PAGE, Axes, Figure, NullLocator, direct_labels
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall.measures import (
    CHANCE,
    FIXED,
    INVERSE,
    LEARNERS,
    best_fixed,
    horizons,
    in_order,
    last,
    levels,
    middle,
    summed,
    tests,
    thorough,
)

NEEDS = ("recall_test/*.npz",)
ALT = (
    "Three panels. Left: accuracy of recall over the last D snippets against D, a line for each network of the learned "
    "rule, and dashed lines for the delta rule, Hebb\u2019s rule and the pseudo-inverse. Middle and right: accuracy "
    "over the last 4 snippets when bits of the query are flipped, and when cues are alike."
)
CAPTION = (
    "Learning to remember. Our reconstruction: of arXiv 2003.03124 we know the abstract only. Left: share of bits "
    "recalled right over the last D snippets, by rules that were meta-trained to remember D, on streams longer than "
    "any episode of their meta-training; mean \u00b1 1 standard deviation over {recall_seeds}. The fixed rules learn "
    "the same streams in a direct linear network; their rates and decays are the best of a grid for each D, in "
    "hindsight, which flatters them. Middle and right: rules for D = {recall_middle} when bits of a query are "
    "flipped at random, and when the bits of all cues agree with a pattern of the episode by a correlation."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 2.5))
    left, noise, alike = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
    ends = _by_horizon(left, tables)
    left.set(ylabel="bits recalled right", ylim=(0.45, 1.02), title="random snippets")
    for axes, kind, words in ((noise, "noise", "flipped bits"), (alike, "correlation", "correlation of cues")):
        _by_level(axes, tables, kind)
        axes.set(xlabel=words, title=f"D = {middle(horizons(tables, thorough(tables)[0]))}")
    for axes in (left, noise, alike):
        axes.axhline(CHANCE, color=FAINT, linewidth=0.8)
        axes.grid(axis="y")
    direct_labels(alike, ends, 0.055)
    return figure


def _by_horizon(axes: Axes, tables: Tables) -> list:
    ends, every = [], horizons(tables, in_order(tables)[0])
    for experiment in [name for name in in_order(tables) if name in LEARNERS and LEARNERS[name].colour]:
        look, values = LEARNERS[experiment], last(tables, experiment).mean(-1)
        _bars(axes, horizons(tables, experiment), values, look)
        ends.append((float(values.mean()), look))
    for experiment in thorough(tables)[:1]:
        table = tests(tables, experiment)[0]
        inverse = summed(table, INVERSE.key)
        lines = [(look, [best_fixed(table, kind, d)[0] for d in every]) for kind, look in FIXED.items()]
        for look, values in (*lines, (INVERSE, [inverse[i, :, :d].mean() for i, d in enumerate(every)])):
            axes.plot(every, values, **look.style)
            ends.append((float(np.mean(values)), look))
    axes.set_xscale("log", base=2)
    axes.set_xticks(every, [str(d) for d in every])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("snippets to remember, D")
    return ends


def _by_level(axes: Axes, tables: Tables, kind: str) -> None:
    for number, experiment in enumerate(thorough(tables)):
        table, every = tests(tables, experiment)[0], horizons(tables, experiment)
        x, chosen = table.arrays[kind], middle(every)
        _bars(axes, x, levels(tables, experiment, kind)[:, every.index(chosen)], LEARNERS[experiment])
        for rule, look in FIXED.items() if number == 0 else ():
            fixed = (best_fixed(table, rule, chosen, f"{kind}/fixed", at=at)[0] for at in range(len(x)))
            axes.plot(x, list(fixed), **look.style)


def _bars(axes: Axes, x: Sequence[float] | np.ndarray, values: np.ndarray, look: Look) -> None:
    """Means of `values` [x, seed] with bars of +- 1 standard deviation over seeds; none for a single seed."""
    style = look.style | {"marker": look.marker, "markersize": 3, "elinewidth": 0.8}
    axes.errorbar(x, values.mean(1), yerr=np.nan_to_num(sd(values, axis=1)), **style)
