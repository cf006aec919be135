"""Online learning: how fast each learner gets a data set that it meets for the first time (the paper's figure 6)."""

import numpy as np

from pipeline.show.looks import LOOKS, Look
from pipeline.show.measures import cumulative
from pipeline.show.style import COLUMN, GREY, Axes, Figure, accuracy_axis, curve, direct_labels, example_axis, stacked
from pipeline.studies.learning.measures import guessing, lives
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import RULE, Profile, Tables, baselines, main_tasks, tasks

NEEDS = ("meta_test/vsml-*.npz", "baseline/*.npz", "test_data/*.npz")
ALT = (
    "{tasks} panels, one per data set: cumulative accuracy against the number of examples seen, for VSML and for SGD "
    "and Adam, each linear and with a hidden layer."
)
CAPTION = (
    "Online learning. Cumulative accuracy (the share of right predictions so far, each made before its label is seen) "
    "against the number of examples seen, on unseen images of {trained_on} and on data sets that meta-training never "
    "saw. Lines: means, for VSML over {seeds} with {lives} episodes each, for each baseline over the same {lives} "
    "episodes at its best learning rate for the set, chosen in hindsight. Band: ± 1 standard deviation over the "
    "episodes of VSML. Dotted: always guessing the commonest class."
)
FIRST = 5  # examples: a share of fewer is noise
BAND = {"color": LOOKS[RULE].colour, "alpha": 0.16, "linewidth": 0}
GUESSING = {"color": GREY, "linestyle": ":", "linewidth": 0.8}


def draw(tables: Tables, profile: Profile) -> Figure:
    first, *others = main_tasks(tables, profile)
    rows = -(-len(others) // 2)
    figure = Figure((COLUMN, 2.1 + 1.35 * rows))
    top, bottom = stacked(figure, 2.1, 1.35 * rows)
    main = top.add_subplot(ylabel="cumulative accuracy")
    direct_labels(main, _panel(main, tables, profile, first), gap=0.08)
    main.set_title(f"{title(first)}: {_kinship(profile, [first])}")
    head = f"Data sets {_kinship(profile, others)}"
    bottom.suptitle(head, x=0.01, ha="left", fontsize=8, fontweight="bold")
    panels = bottom.subplots(rows, 2, squeeze=False).ravel()
    for axes, name in zip(panels, others, strict=False):
        _panel(axes, tables, profile, name)
        axes.set_title(title(name), fontweight="normal")
    for axes in panels[max(0, len(others) - 2) : len(others)]:
        axes.set_xlabel("examples seen")
    for axes in panels[len(others) :]:
        axes.set_axis_off()
        _key(axes, loc="center left", fontsize=6.5)
    if len(others) == len(panels):
        _key(main, loc="lower left", bbox_to_anchor=(1.0, -0.02), fontsize=6)
    return figure


def _kinship(profile: Profile, names: list[str]) -> str:
    seen = [profile.seen(name, RULE) for name in names]
    return "unseen images" if all(seen) else "seen and never seen" if any(seen) else "never seen"


def _panel(axes: Axes, tables: Tables, profile: Profile, task: str) -> list[tuple[float, Look]]:
    ends = []
    rivals = [name for name in baselines(tables) if name in LOOKS and task in tasks(tables, name)]
    for learner in (*rivals, RULE):  # VSML on top
        look, accuracy = LOOKS[learner], cumulative(lives(tables, task, learner).correct)
        length = accuracy.shape[-1]
        x, accuracy = np.arange(FIRST, length + 1), accuracy.reshape(-1, length)[:, FIRST - 1 :]
        if learner == RULE:
            curve(axes, x, accuracy, look.style, shade=BAND["alpha"])
        else:
            axes.plot(x, accuracy.mean(axis=0), **look.style)
        ends.append((float(accuracy[:, -1].mean()), look))
    axes.axhline(guessing(tables, profile.tasks[task]), **GUESSING)
    accuracy_axis(axes, "y")
    example_axis(axes, FIRST, length)
    return ends


def _key(axes: Axes, **where) -> None:
    """Say, in the cell that no data set needs or else beside the lines, what is no line of a learner."""
    axes.fill_between([], [], label="± 1 sd over lives", **BAND)
    axes.plot([], [], label="always guessing the\ncommonest class", **GUESSING)
    axes.legend(frameon=False, labelcolor=GREY, **where)
