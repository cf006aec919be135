"""Few-shot characters: accuracy after a life in which each example is seen once, in order and shuffled."""

import numpy as np

from pipeline.show.style import FAINT, GREY, PAGE, Axes, Figure, accuracy_axis, ink
from pipeline.studies.feedback.measures import LEARNERS, drawn, lives, method, name, on, tasks, tests, worth
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Two panels of accuracy on unseen characters. Left: at the end of the life, a row for each learner and a dot "
    "for each meta-seed, filled where classes come one after the other and hollow where examples are shuffled. "
    "Right: accuracy on each class at the end, by the order in which classes came."
)
CAPTION = (
    "Few-shot learning. Characters that meta-training has not seen, each example shown once. Left: accuracy at "
    "the end of the life, {taught} lives for each dot, which is one of {feedback_seeds}; filled: classes one after the "
    "other; hollow: examples shuffled. Right: at the end, by the order in which classes came; bands are \u00b1 1 "
    "standard deviation over meta-seeds. Dashed: guessing."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=False)
    figure = Figure((PAGE, 2.9))
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    rows, shuffled = on(tables, of_task), on(tables, f"{of_task}_iid")
    parts = tests(tables)[rows[0]][0].arrays["correct"].shape[-1]
    for row, each in enumerate(rows):
        colour = found.colour if (found := drawn(each)) else GREY
        for experiment, fill in ((each, colour), (f"{each}_iid", "none")):
            if experiment in rows + shuffled:
                values = worth(tables, experiment).mean(1)
                left.scatter(
                    values, np.full(len(values), row), s=18, facecolors=fill, edgecolors=colour, linewidths=0.9
                )
        if drawn(each):
            _by_order(right, lives(tables, each, "correct")[:, :, -1].mean(1), method(each))
    left.set(xlabel="accuracy", xlim=(0, 1.03), ylim=(len(rows) - 0.5, -0.5))
    left.set_yticks(range(len(rows)), [name(each) for each in rows], fontsize=6.5, color=ink(GREY))
    left.axvline(1 / parts, color=FAINT, linestyle="--", linewidth=0.8)
    right.axhline(1 / parts, color=FAINT, linestyle="--", linewidth=0.8)
    accuracy_axis(left.xaxis)
    accuracy_axis(right.yaxis)
    left.grid(axis="x")
    right.grid(axis="y")
    left.set_title(f"{title(of_task)}: all classes")
    right.set_title("By class")
    right.set(xlabel="class, in the order learned", ylabel="accuracy", ylim=(0, 1.03))
    right.set_xticks(range(1, parts + 1))
    right.legend(frameon=False, fontsize=6.5, loc="lower right")
    return figure


def _by_order(axes: Axes, values: np.ndarray, of_method: str) -> None:
    """`values` [seed, class]."""
    look, x, mean, spread = LEARNERS[of_method], np.arange(1, values.shape[-1] + 1), values.mean(0), values.std(0)
    style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width, "marker": look.marker}
    axes.plot(x, mean, markersize=3.5, label=look.name, **style)
    axes.fill_between(x, mean - spread, mean + spread, color=look.colour, alpha=0.15, linewidth=0)
