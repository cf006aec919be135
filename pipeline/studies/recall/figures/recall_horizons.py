"""How much rules that learned to remember recall, by how much there is to remember."""

import numpy as np

from pipeline.show.looks import Look
from pipeline.show.measures import sd
from pipeline.show.style import FAINT, PAGE, Axes, Figure, NullLocator, direct_labels
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall import measures as recall
from pipeline.studies.recall.measures import FIXED, INVERSE, LEARNERS

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
    left, noise, alike = panels = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
    every, ends = recall.horizons(tables, recall.in_order(tables)[0]), []

    for experiment in recall.in_order(tables):
        look = LEARNERS.get(experiment)
        if look and look.colour:
            seeds = np.stack([episodes.mean(-1) for episodes in recall.last(tables, experiment).values()])
            _bars(left, recall.horizons(tables, experiment), seeds, look)
            ends.append((float(seeds.mean()), look))
    for experiment in recall.thorough(tables)[:1]:
        arrays = recall.tests(tables, experiment)[0]
        inverse = recall.share(arrays, INVERSE.key)
        lines = [(look, [recall.best_fixed(arrays, kind, d) for d in every]) for kind, look in FIXED.items()]
        for look, values in (*lines, (INVERSE, [inverse[i, :, :d].mean() for i, d in enumerate(every)])):
            left.plot(every, values, **look.style)
            ends.append((float(np.mean(values)), look))
    left.set_xscale("log", base=2)
    left.set_xticks(every, [str(horizon) for horizon in every])
    left.xaxis.set_minor_locator(NullLocator())
    left.set(xlabel="snippets to remember, D", ylabel="bits recalled right", ylim=(0.45, 1.02), title="random snippets")

    for axes, kind, words in ((noise, "noise", "flipped bits"), (alike, "correlation", "correlation of cues")):
        for number, experiment in enumerate(recall.thorough(tables)):
            arrays, chosen = recall.tests(tables, experiment)[0], recall.middle(recall.horizons(tables, experiment))
            _bars(axes, arrays[kind], recall.changed(tables, experiment, kind)[chosen], LEARNERS[experiment])
            if number == 0:  # the fixed rules have the same streams beside each
                axes.set(xlabel=words, title=f"D = {chosen}")
                for rule, look in FIXED.items():
                    axes.plot(arrays[kind], recall.best_fixed(arrays, rule, chosen, f"{kind}/fixed"), **look.style)
    for axes in panels:
        axes.axhline(recall.CHANCE, color=FAINT, linewidth=0.8)
        axes.grid(axis="y")
    direct_labels(alike, ends, 0.055)
    return figure


def _bars(axes: Axes, x: list[int] | np.ndarray, values: np.ndarray, look: Look) -> None:
    """Means of `values` [x, seed] with bars of +- 1 standard deviation over seeds; none for a single seed."""
    style = look.style | {"marker": look.marker, "markersize": 3, "elinewidth": 0.8}
    axes.errorbar(x, values.mean(1), yerr=np.nan_to_num(sd(values, axis=1)), **style)
