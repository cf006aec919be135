"""How much rules that learned to remember recall, by how much there is to remember."""

import numpy as np

from pipeline.show.style import FAINT, PAGE, Figure, bars, direct_labels, ticks
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
    left, *others = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
    every, ends = recall.horizons(tables, recall.in_order(tables)[0]), []
    thorough = recall.thorough(tables)
    first = (
        recall.tests(tables, thorough[0])[0] if thorough else {}
    )  # the fixed rules have the same streams beside each

    for experiment in recall.in_order(tables):
        look = LEARNERS.get(experiment)
        if look and look.colour:
            found = {d: episodes.mean(-1) for d, episodes in recall.last(tables, experiment).items()}
            seeds = np.stack([*found.values()], axis=-1)
            bars(left, [*found], seeds, look, marker=look.marker, markersize=3)
            ends.append((float(seeds.mean()), look))
    if first:
        inverse = recall.share(first, INVERSE.key)
        lines = [(look, [recall.best_fixed(first, kind, d) for d in every]) for kind, look in FIXED.items()]
        for look, values in (*lines, (INVERSE, [inverse[i, :, :d].mean() for i, d in enumerate(every)])):
            left.plot(every, values, **look.style)
            ends.append((float(np.mean(values)), look))
    left.set_xscale("log", base=2)
    ticks(left, "x", every)
    left.set(xlabel="snippets to remember, D", ylabel="bits recalled right", ylim=(0.45, 1.02), title="random snippets")

    kinds = (("noise", "flipped bits"), ("correlation", "correlation of cues"))
    for axes, (kind, xlabel) in zip(others, kinds, strict=True):
        for experiment in thorough:
            chosen, look = recall.middle(recall.horizons(tables, experiment)), LEARNERS[experiment]
            values = recall.changed(tables, experiment, kind)[chosen].T
            bars(axes, first[kind], values, look, marker=look.marker, markersize=3)
        for rule, look in FIXED.items() if first else ():
            chosen = recall.middle(recall.horizons(tables, thorough[0]))
            axes.set(xlabel=xlabel, title=f"D = {chosen}")
            axes.plot(first[kind], recall.best_fixed(first, rule, chosen, f"{kind}/fixed"), **look.style)
    for axes in (left, *others):
        axes.axhline(recall.CHANCE, color=FAINT, linewidth=0.8)
    direct_labels(others[-1], ends, 0.055)
    return figure
