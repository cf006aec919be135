"""One exposure in numbers: what it adds and for how long, what a wrong label does, and what kind of step it is."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.measures import summary
from pipeline.show.style import FAINT, GREY, PAGE, Figure, band, curve, dot, in_rows, legend_outside, stacked
from pipeline.studies.learning.association import QUERIES, gains, of_learners, wrong_gained, wrong_lost
from pipeline.studies.learning.tables import RULE, Profile, Tables

NEEDS = ("introspect/vsml-*.npz",)
ALT = (
    "Three rows of curves over the examples since an exposure, one row each for the same image, for another image "
    "of its class and for images of other classes, one column for each age of the learner: what one exposure added "
    "to the probability of the right class, for VSML, SGD and Adam. Below them the effect of one wrong label, and "
    "over an episode the cosine between the steps of each learner and gradient steps."
)
CAPTION = (
    "One exposure. Top: an image of {introspected} is shown once, with its label, to learners that have seen some "
    "examples; lines are what that added to the probability of its class against the same episode without it, as more "
    "examples follow; shading \u00b1 1 standard deviation over episodes ({looks} for each of {seeds} of VSML; the "
    "very same {looks} for SGD and Adam, linear, at the rate that was best over whole episodes, in hindsight, and at "
    "the paper\u2019s). What images of other classes gain is no association: a large rate makes SGD repeat the "
    "last label for everything. A learner that knows much has less to gain. Bottom left and middle: the same image "
    "shown with one wrong label, at the oldest age: rise of the probability of the wrong class, and the right class "
    "against the right label shown. Bottom right: cosine between what a step changes in the centred logits of "
    "images not shown, and what SGD on a linear softmax model with the same predictions would change there; for "
    "linear SGD it is 1 but for rounding. Steps too small to have a direction in float32 are left out."
)
ZERO = {"color": FAINT, "linewidth": 0.5, "zorder": 0}
ROWS = {"same": "the same image", "other": "another image\nof the class", "stranger": "images of\nother classes"}


def draw(tables: Tables, profile: Profile) -> Figure:
    learners = dict(of_learners(tables, RULE))
    ages, moment = (learners[RULE][0][what].tolist() for what in ("age", "moment"))
    figure = Figure((PAGE, 6.4))
    top, bottom = stacked(figure, 4.5, 1.9)

    grid = top.subplots(len(QUERIES), len(ages), sharex=True, sharey=True, squeeze=False)
    for name, seeds in learners.items():
        gain, look = gains(seeds), LOOKS[name]
        for p, a in np.ndindex(grid.shape):
            values = gain[:, a, :, :, p].reshape(-1, gain.shape[3])
            curve(grid[p, a], np.arange(gain.shape[3]), values, look.style | {"label": look.name}, shade=0.1)
            grid[p, a].axhline(0, **ZERO)
            grid[p, a].margins(x=0)
            grid[p, a].grid(axis="y")
    for row, words in zip(grid, ROWS.values(), strict=True):
        row[0].set_ylabel(words)
    for first, last, age in zip(grid[0], grid[-1], ages, strict=True):
        first.set_title("at the start" if age == 0 else f"after {age} examples")
        last.set_xlabel("examples since the exposure")
    grid[0, 0].set(ylim=(-0.22, 1.05), yticks=(0, 0.5, 1))
    top.supylabel("added to the probability of the right class", fontsize=7.5)
    legend_outside(top, grid[0, 0], "upper center", len(learners))

    # A wrong label, at the oldest age and right after it: filled for the image, open for another one of its class.
    raised, lost, cosine = bottom.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for axes, measure, title, end in (
        (raised, wrong_gained, "wrong class gains", 1),
        (lost, wrong_lost, "right class lost", -1),
    ):
        for row, (name, seeds) in enumerate(learners.items()):
            for p, shift in ((0, -0.17), (1, 0.17)):
                entry, colour = summary(measure(seeds)[:, -1, :, 0, p]), LOOKS[name].colour
                dot(axes, entry, row + shift, colour, "o", 3.5, linestyle="none", mfc="white" if p else colour)
        axes.axvline(0, **ZERO)
        in_rows(axes, [LOOKS[name].name for name in learners], margin=0.6)
        axes.set(xlim=sorted((-0.15 * end, 1.15 * end)), xticks=(0, 0.5 * end, end))
        axes.set(xlabel="change of probability", title=title)
        axes.grid(axis="x")
    lost.set_yticklabels([])
    for words, face in (("the image", GREY), ("another", "white")):
        lost.plot([], [], linestyle="none", marker="o", markersize=3.5, color=GREY, mfc=face, label=words)
    lost.legend(loc="upper left", frameon=False, fontsize=6.5, borderaxespad=0, handletextpad=0.2)

    for name, seeds in learners.items():
        values = np.concatenate([arrays["cosine"] for arrays in seeds])
        drawn = np.isfinite(values).sum(0) > 1  # of one value there is no deviation
        known = values[:, drawn]
        x = np.array(moment)[drawn]
        band(cosine, x, np.nanmean(known, 0), np.nanstd(known, 0, ddof=1), LOOKS[name].style, shade=0.1)
    cosine.axhline(0, **ZERO)
    ticks = moment[:: max(1, len(moment) // 4)]
    cosine.set(xlabel="examples seen", xlim=(0, max(moment[-1], 1)), xticks=ticks, ylim=(-0.5, 1.08))
    cosine.set_title("cosine with a gradient step")
    cosine.grid(axis="y")
    return figure
