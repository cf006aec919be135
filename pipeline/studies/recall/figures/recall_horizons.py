"""How much rules that learned to remember recall, by how much there is to remember."""

import numpy as np

from pipeline.show.style import FAINT, PAGE, Axes, Figure, NullLocator, direct_labels
from pipeline.studies.learning.measures import sd
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
    "over the last 4 snippets when bits of the question are flipped, and when cues are alike."
)
CAPTION = (
    "Learning to remember. Our reconstruction: of arXiv 2003.03124 we know the abstract only. Left: share of bits "
    "recalled right over the last D snippets, by rules that were meta-trained to remember D, on streams longer than "
    "any life of their meta-training; mean \u00b1 1 standard deviation over {recall_seeds}. The fixed rules learn "
    "the same streams in a direct linear network; their rates and decays are the best of a grid for each D, in "
    "hindsight, which flatters them. Middle and right: rules for D = {recall_middle} when bits of a question are "
    "flipped at random, and when the bits of all cues agree with a pattern of the life by a correlation."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 2.5))
    left, noise, alike = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
    ends = _by_horizon(left, tables)
    for axes, kind, words in ((noise, "noise", "flipped bits"), (alike, "correlation", "correlation of cues")):
        _by_level(axes, tables, kind)
        axes.set_xlabel(words)
        axes.set_title(f"D = {middle(horizons(tables, thorough(tables)[0]))}")
        axes.grid(axis="y")
    left.set_title("random snippets")
    left.set_ylabel("bits recalled right")
    left.set_ylim(0.45, 1.02)
    direct_labels(alike, ends, 0.055)
    return figure


def _by_horizon(axes: Axes, tables: Tables) -> list:
    ends, every = [], horizons(tables, in_order(tables)[0])
    for experiment in [name for name in in_order(tables) if name in LEARNERS and LEARNERS[name].colour]:
        look, values = LEARNERS[experiment], last(tables, experiment).mean(-1)
        x = horizons(tables, experiment)
        spread = np.nan_to_num(sd(values, axis=1))
        style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width, "marker": look.marker}
        axes.errorbar(x, values.mean(1), yerr=spread, elinewidth=0.8, markersize=3, **style)
        ends.append((float(values.mean()), look))
    for experiment in thorough(tables)[:1]:
        table = tests(tables, experiment)[0]
        lines = {kind: [best_fixed(table, kind, d)[0] for d in every] for kind in FIXED}
        inverse = summed(table, "pseudo_inverse")
        lines["pseudo_inverse"] = [inverse[i, :, :d].mean() for i, d in enumerate(every)]
        for kind, values in lines.items():
            look = FIXED.get(kind, INVERSE)
            axes.plot(every, values, color=look.colour, linestyle=look.line, linewidth=look.width)
            ends.append((float(np.mean(values)), look))
    axes.axhline(CHANCE, color=FAINT, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(every, [str(d) for d in every])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("snippets to remember, D")
    axes.grid(axis="y")
    return ends


def _by_level(axes: Axes, tables: Tables, kind: str) -> None:
    for experiment in thorough(tables):
        look, table = LEARNERS[experiment], tests(tables, experiment)[0]
        every = horizons(tables, experiment)
        chosen, x = every.index(middle(every)), table.arrays[kind]
        values = levels(tables, experiment, kind)[:, chosen]
        spread = np.nan_to_num(sd(values, axis=1))
        style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width, "marker": look.marker}
        axes.errorbar(x, values.mean(1), yerr=spread, elinewidth=0.8, markersize=3, **style)
    for experiment in thorough(tables)[:1]:
        table, every = tests(tables, experiment)[0], horizons(tables, experiment)
        for rule in FIXED:
            look = FIXED[rule]
            values = [
                best_fixed(table, rule, middle(every), f"{kind}/fixed", at=at)[0]
                for at in range(len(table.arrays[kind]))
            ]
            axes.plot(table.arrays[kind], values, color=look.colour, linestyle=look.line, linewidth=look.width)
    axes.axhline(CHANCE, color=FAINT, linewidth=0.8)
