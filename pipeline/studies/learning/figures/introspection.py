"""One exposure in numbers: what it adds and for how long, what a wrong label does, and what kind of step it is."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.measures import summary
from pipeline.show.style import FAINT, GREY, Figure, band, curve, dot, in_rows, legend_outside, stacked
from pipeline.studies.learning.association import QUERIES, gains, of_learners, when, wrong_gained, wrong_lost
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
ROWS = ("the same image", "another image\nof the class", "images of\nother classes")


def draw(tables: Tables, profile: Profile) -> Figure:
    learners = {LOOKS[name]: seeds for name, seeds in of_learners(tables, RULE)}
    ages, moment = (learners[LOOKS[RULE]][0][what].tolist() for what in ("age", "moment"))
    figure, top, bottom = stacked(4.5, 1.9)

    grid = top.subplots(len(QUERIES), len(ages), sharex=True, sharey=True, squeeze=False)
    for look, seeds in learners.items():
        gain = np.concatenate(np.moveaxis(gains(seeds), 1, 2))  # of episodes of all seeds: age gap query
        for p, a in np.ndindex(grid.shape):
            curve(grid[p, a], np.arange(gain.shape[2]), gain[:, a, :, p], look.style, shade=0.1)
            grid[p, a].axhline(0, **ZERO)
            grid[p, a].margins(x=0)
    for row, words in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(words)
    for first, last, age in zip(grid[0], grid[-1], ages, strict=True):
        first.set_title(when(age))
        last.set_xlabel("examples since the exposure")
    grid[0, 0].set(ylim=(-0.22, 1.05), yticks=(0, 0.5, 1))
    top.supylabel("added to the probability of the right class")
    legend_outside(top, grid[0, 0], "upper center", len(learners))

    # A wrong label, at the oldest age and right after it: filled for the image, open for another one of its class.
    raised, lost, cosine = bottom.subplots(1, 3, width_ratios=(1, 1, 1.3))
    dots: dict = {"marker": "o", "linestyle": "none"}
    for axes, measure, title, end in (
        (raised, wrong_gained, "wrong class gains", 1),
        (lost, wrong_lost, "right class lost", -1),
    ):
        for row, (look, seeds) in enumerate(learners.items()):
            for p, shift, face in ((0, -0.17, look.colour), (1, 0.17, "white")):
                dot(axes, summary(measure(seeds)[:, -1, :, 0, p]), row + shift, look, 3.5, mfc=face, **dots)
        axes.axvline(0, **ZERO)
        in_rows(axes, [look.name for look in learners], margin=0.6)
        axes.set(xlim=sorted((-0.15 * end, 1.15 * end)), xticks=(0, 0.5 * end, end), title=title)
        axes.set_xlabel("change of probability")
        axes.grid(True, axis="x")
    lost.set_yticklabels([])
    for words, face in (("the image", GREY), ("another", "white")):
        lost.plot([], [], markersize=3.5, color=GREY, mfc=face, label=words, **dots)
    lost.legend(loc="upper left", borderaxespad=0, handletextpad=0.2)

    for look, seeds in learners.items():
        values = np.concatenate([arrays["cosine"] for arrays in seeds])
        drawn = np.isfinite(values).sum(0) > 1  # of one value there is no deviation
        mean, spread = np.nanmean(values[:, drawn], 0), np.nanstd(values[:, drawn], 0, ddof=1)
        band(cosine, np.array(moment)[drawn], mean, spread, look.style, shade=0.1)
    cosine.axhline(0, **ZERO)
    cosine.set(xlabel="examples seen", xlim=(0, max(moment[-1], 1)), ylim=(-0.5, 1.08))
    cosine.set(title="cosine with a gradient step", xticks=moment[:: max(1, len(moment) // 4)])
    return figure
