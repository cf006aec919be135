"""Incremental sine waves: what is known while functions come one after the other, and at the end."""

import numpy as np

from pipeline.show.style import PAGE, Figure, bars, decades, legend_outside, seed_dots
from pipeline.studies.feedback.measures import by_method, on, tasks
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Three panels with a logarithmic axis of mean squared error. Left: after each function, on those learned so "
    "far, of FLP and of gradient descent. Middle: at the end of the episode, on each function. Right: at the end, on "
    "all functions, a row for each learner and a dot for each meta-seed."
)
CAPTION = (
    "Sine waves, one after the other. Left: mean squared error on the functions learned so far. "
    "Middle: on each function at the end of the episode; what came first is the oldest. Bars: \u00b1 1 standard "
    "deviation over {feedback_seeds}, {taught} episodes each. Right: on all functions at the end, a dot for each "
    "meta-seed, filled where functions come in order and hollow where examples are shuffled."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=True)
    figure = Figure((PAGE, 2.9))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    rows = on(tables, of_task)
    for axes, xlabel, title in (
        (left, "functions learned", "While learning"),
        (middle, "function, in the order learned", "At the end"),
    ):
        for each in rows:
            if look := each.look:
                values = each.so_far() if axes is left else each.episodes("loss")[:, :, -1]
                parts = np.arange(1, values.shape[-1] + 1)
                bars(axes, parts, values.mean(1), look, marker=look.marker, markersize=3.5)
        decades(axes, "y")
        axes.set(xlabel=xlabel, title=title, xticks=parts)
    left.set_ylabel("mean squared error")
    legend_outside(figure, left, "lower left", 5)
    seed_dots(right, by_method(tables, of_task), [each.name for each in rows], size=16)
    right.set(xlabel="mean squared error", title="All functions")
    decades(right, "x")
    return figure
