"""Incremental sine waves: what is known while functions come one after the other, and at the end."""

import numpy as np

from pipeline.show.style import GREY, PAGE, Axes, Figure, decades, ink
from pipeline.studies.feedback.measures import LEARNERS, drawn, lives, method, name, on, so_far, tasks, worth
from pipeline.studies.learning.measures import sd
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Three panels with a logarithmic axis of mean squared error. Left: after each function, on those learned so "
    "far, of FLP and of gradient descent. Middle: at the end of the life, on each function. Right: at the end, on "
    "all functions, a row for each learner and a dot for each meta-seed."
)
CAPTION = (
    "Sine waves, one after the other. Left: mean squared error on the functions learned so far. "
    "Middle: on each function at the end of the life; what came first is the oldest. Bars: \u00b1 1 standard "
    "deviation over {feedback_seeds}, {taught} lives each. Right: on all functions at the end, a dot for each "
    "meta-seed, filled where functions come in order and hollow where lessons are shuffled."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=True)
    figure = Figure((PAGE, 2.9))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for each in on(tables, of_task):
        if drawn(each):
            _line(left, so_far(tables, each).mean(1), method(each))
            _line(middle, lives(tables, each, "loss")[:, :, -1].mean(1), method(each))
    for axes, words in ((left, "functions learned"), (middle, "function, in the order learned")):
        axes.set_xlabel(words)
        decades(axes, "y")
        axes.set_xticks(range(1, so_far(tables, on(tables, of_task)[0]).shape[-1] + 1))
        axes.grid(axis="y")
    left.set_ylabel("mean squared error")
    left.set_title("While learning")
    middle.set_title("At the end")
    handles = left.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=5, frameon=False, fontsize=7)
    _dots(right, tables, of_task)
    return figure


def _line(axes: Axes, values: np.ndarray, of_method: str) -> None:
    """`values` [seed, part]; bars end within the axis."""
    look, x, mean = LEARNERS[of_method], np.arange(1, values.shape[-1] + 1), values.mean(0)
    spread = sd(values, axis=0) if len(values) > 1 else np.zeros_like(mean)
    bars = np.stack([np.minimum(spread, 0.9 * mean), spread])
    style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width, "marker": look.marker}
    axes.errorbar(x, mean, yerr=bars, markersize=3.5, elinewidth=0.8, label=look.name, **style)


def _dots(axes: Axes, tables: Tables, of_task: str) -> None:
    rows = on(tables, of_task)
    for row, each in enumerate(rows):
        colour = found.colour if (found := drawn(each)) else GREY
        for experiment, fill in ((each, colour), (f"{each}_iid", "none")):
            if experiment in on(tables, of_task) + on(tables, f"{of_task}_iid"):
                values = worth(tables, experiment).mean(1)
                axes.scatter(
                    values, np.full(len(values), row), s=16, facecolors=fill, edgecolors=colour, linewidths=0.9
                )
    axes.set(xlabel="mean squared error", ylim=(len(rows) - 0.5, -0.5))
    decades(axes, "x")
    axes.set_yticks(range(len(rows)), [name(each) for each in rows], fontsize=6.5, color=ink(GREY))
    axes.grid(axis="x")
    axes.set_title("All functions")
