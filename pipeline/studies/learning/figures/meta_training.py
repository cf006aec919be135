"""Meta-training: what an episode costs the learning algorithm, while it is being learned."""

import numpy as np

from pipeline.show.looks import Look
from pipeline.show.measures import smooth
from pipeline.show.style import COLUMN, GREY, Figure, direct_labels
from pipeline.studies.learning.tables import RULE, Profile, Tables, by_seed

NEEDS = ("meta_train/vsml-*/curve.npz",)
ALT = "Line chart of the meta loss against the meta-step, one line per seed, with the phases of the curriculum marked."
CAPTION = (
    "Meta-training. Meta loss (mean cross-entropy over an episode, in nats) against the meta-step for {seeds}; "
    "lines: running mean of each seed, pale: each meta-step. Vertical lines mark where the curriculum moves on to "
    "other episodes: losses of different phases are of different tasks."
)
SEEDS = (("#D55E00", "-"), ("#6b2f00", (0, (5, 1.5))), ("#9a7b62", (0, (1.5, 1))))  # shades of VSML's colour
MANY = Look("", "", "#D55E00", width=0.9)  # more seeds than that look the same


def draw(tables: Tables, profile: Profile) -> Figure:
    curves = {seed: table.arrays for seed, table in by_seed(tables, "meta_train", RULE).items()}
    phase = next(iter(curves.values()))["phase"]
    figure = Figure((COLUMN, 2.5))
    axes = figure.add_subplot(xlabel="meta-step", ylabel="meta loss (nats)")
    few = len(curves) <= len(SEEDS)
    ends = []
    for index, (seed, curve) in enumerate(curves.items()):
        loss = np.where(curve["skipped"], np.nan, curve["loss"])
        mean = smooth(loss, 1 + len(loss) // 40)
        look = Look("", f"seed {seed}", *SEEDS[index], width=1.4) if few else MANY
        axes.plot(loss, color=look.colour, linewidth=0.4, alpha=min(0.3, 1 / len(curves)))
        axes.plot(mean, **look.style)
        ends.append((float(mean[np.isfinite(mean)][-1]), look))
    if not few:
        ends = [(float(np.mean([y for y, _ in ends])), MANY._replace(name=f"{len(curves)} seeds"))]
    axes.set(xlim=(0, len(phase) - 1), ylim=(0, None))

    # Lines where phases begin, and their numbers, without the word where there is no room for it.
    starts = np.flatnonzero(np.diff(phase, prepend=phase[0] - 1)).tolist()
    widths = np.diff([*starts, len(phase)]) / len(phase)
    heading = {"transform": axes.get_xaxis_transform(), "color": GREY, "fontsize": 6.5}
    for number, (start, width) in enumerate(zip(starts, widths, strict=True), start=1):
        axes.axvline(start, color=GREY, linewidth=0.6)
        words = f"phase {number}" if widths.min() > 0.17 else f"{number}" if width > 0.05 else ""
        axes.text(start, 1.02, words, **heading)
    if widths.min() <= 0.17:
        axes.text(len(phase) - 1, 1.02, "phase", **heading)
    direct_labels(axes, ends, gap=0.06 * axes.get_ylim()[1])
    return figure
