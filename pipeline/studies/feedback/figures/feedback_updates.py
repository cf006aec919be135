"""How updates differ from those of gradient descent: alignment, interference, forgetting."""

import numpy as np

from pipeline.show.style import GREY, PAGE, Figure, legend_outside, ticks
from pipeline.studies.feedback.measures import on, tasks
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Three panels on the sine waves. Left: cosine between updates and the gradient, by layer, near zero in hidden "
    "layers where learning is local. Middle: what an update for one function does to the others. Right: how much is"
    " forgotten."
)
CAPTION = (
    "Where updates point. Sine waves one after the other; definitions are ours. Left: cosine between a "
    "layer\u2019s update and the descent direction for the same example, from the same weights. Middle: by how much "
    "an update for one function changes the error on the others, over the size of what it does to its own; negative"
    " helps. Right: error on a function at the end less that right after it was learned. A dot for each of "
    "{feedback_seeds}, lines through their mean; with few seeds no standard deviation is drawn."
)
LINEAR = 0.01  # the axis is linear within, and logarithmic without


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=True)
    rows = [(each, each.look) for each in on(tables, of_task) if each.look]
    figure = Figure((PAGE, 2.6))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    layers = max(each.cosines().shape[-1] for each, _ in rows)
    for each, look in rows:
        values = each.cosines()
        x = np.arange(layers - values.shape[-1] + 1, layers + 1)  # the last layers are the plastic ones
        left.plot(x, values.mean(0), **look.style)
        left.plot(x, values.T, color=look.colour, marker=look.marker, markersize=3, linewidth=0)
    left.axhline(0, color=GREY, linewidth=0.6)
    left.set(xlabel="layer", ylabel="cosine with the gradient", title="Alignment")
    left.set(xticks=range(1, layers + 1), yticks=(0, 0.5, 1), ylim=(-0.2, 1.05))
    legend_outside(figure, left, "lower left", 5)

    for axes, title, ylabel, found in (
        (middle, "Interference", "others over own", [each.interference().mean(1) for each, _ in rows]),
        (right, "Forgetting", "MSE gained", [each.forgetting().mean(1) for each, _ in rows]),
    ):
        for at, (values, (_, look)) in enumerate(zip(found, rows, strict=True)):
            axes.plot((at - 0.25, at + 0.25), [values.mean()] * 2, color=look.colour, linewidth=1.2)
            axes.scatter(np.full(len(values), at), values, s=16, color=look.colour, marker=look.marker)
        axes.axhline(0, color=GREY, linewidth=0.6)
        size = 1.5 * max(LINEAR, *(np.abs(values).max() for values in found))
        powers = [10.0**power for power in range(-2, 4) if 10.0**power <= size]
        axes.set_yscale("symlog", linthresh=LINEAR)
        axes.set(title=title, ylabel=ylabel, xticks=[], xlim=(-0.6, len(rows) - 0.4), ylim=(-size, size))
        ticks(axes, "y", [*(-power for power in powers), 0, *powers])
    return figure
