"""Online learning: how fast each learner gets a data set that it meets for the first time (the paper's figure 6)."""

from pipeline.show.looks import GREY, LOOKS
from pipeline.show.style import COLUMN, GUESSING, Figure, learning_curves, stacked
from pipeline.studies.learning.measures import guessing, outcomes
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import RULE, Profile, Tables, baselines, main_tasks, tasks

NEEDS = ("meta_test/vsml-*.npz", "baseline/*.npz", "test_data/*.npz")
ALT = (
    "{tasks} panels, one per data set: cumulative accuracy against the number of examples seen, for VSML, for SGD and "
    "Adam, each linear and with a hidden layer, and for simpler learners."
)
CAPTION = (
    "Online learning. Cumulative accuracy (the share of right predictions so far, each made before its label is seen) "
    "against the number of examples seen, on unseen images of {trained_on} and on data sets that meta-training never "
    "saw. Lines: means, for VSML over {seeds} with {episodes} episodes each, for each baseline over the same "
    "{episodes} episodes at its best learning rate or strength for the set, chosen in hindsight. All have constant "
    "memory but 1-NN (dotted, grey), which keeps every example. Band: ± 1 standard deviation over the episodes of "
    "VSML. Level and dotted: always guessing the commonest class."
)
FIRST = 5  # examples: a share of fewer is noise
SHADE = 0.16


def draw(tables: Tables, profile: Profile) -> Figure:
    first, *others = main_tasks(tables, profile)
    rows = -(-len(others) // 2)
    figure, top, bottom = stacked(2.5, 1.35 * rows, COLUMN)
    bottom.suptitle(f"Data sets {_kinship(profile, others)}", x=0.01, ha="left")
    main, grid = top.add_subplot(ylabel="cumulative accuracy"), bottom.subplots(rows, 2, squeeze=False).ravel()
    for axes, task in zip((main, *grid), (first, *others), strict=False):
        rivals = [name for name in baselines(tables) if name in LOOKS and task in tasks(tables, name)]
        shades = {name: 0.0 for name in rivals} | {RULE: SHADE}  # VSML on top
        every = [(LOOKS[name], outcomes(tables, task, name).correct, shade) for name, shade in shades.items()]
        learning_curves(axes, every, FIRST, 0.075 if axes is main else None)
        axes.axhline(guessing(tables, profile.tasks[task]), **GUESSING)
        axes.set_title(title(task), fontweight="normal")
    main.set_title(f"{title(first)}: {_kinship(profile, [first])}", fontweight="bold")
    for axes in grid[max(0, len(others) - 2) : len(others)]:
        axes.set_xlabel("examples seen")

    # What is no line of a learner is named in the cell that no data set needs, or else beside the lines.
    axes, where = main, {"loc": "lower left", "bbox_to_anchor": (1.0, -0.02), "fontsize": 6}
    if len(others) < len(grid):
        axes, where = grid[-1], {"loc": "center left"}
        axes.set_axis_off()
    shade = axes.fill_between([], [], label="± 1 sd over episodes", color=LOOKS[RULE].colour, alpha=SHADE, linewidth=0)
    lines = axes.plot([], [], label="always guessing the\ncommonest class", **GUESSING)
    axes.legend(handles=[shade, *lines], labelcolor=GREY, **where)
    return figure


def _kinship(profile: Profile, names: list[str]) -> str:
    seen = [profile.seen(name, RULE) for name in names]
    return "unseen images" if all(seen) else "seen and never seen" if any(seen) else "never seen"
