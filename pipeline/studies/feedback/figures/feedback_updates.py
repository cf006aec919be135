"""How updates differ from those of gradient descent: alignment, interference, forgetting."""

import numpy as np

from pipeline.show.style import GREY, PAGE, Axes, Figure, NullLocator
from pipeline.studies.feedback.measures import cosines, drawn, forgetting, interference, on, tasks
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Three panels on the sine waves. Left: cosine between updates and the gradient, by layer, near zero in hidden "
    "layers where learning is local. Middle: what an update for one function does to the others. Right: how much is"
    " forgotten."
)
CAPTION = (
    "Where updates point. Sine waves one after the other; definitions are ours. Left: cosine between a "
    "layer\u2019s update and the descent direction for the same lesson, from the same weights. Middle: by how much "
    "an update for one function changes the error on the others, over the size of what it does to its own; negative"
    " helps. Right: error on a function at the end less that right after it was learned. A dot for each of "
    "{feedback_seeds}, lines through their mean; with few seeds no standard deviation is drawn."
)

LINEAR = 0.01  # the axis is linear within, and logarithmic without


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=True)
    rows = [each for each in on(tables, of_task) if drawn(each)]
    figure = Figure((PAGE, 2.6))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    layers = max(cosines(tables, each).shape[-1] for each in rows)
    for each in rows:
        values, look = cosines(tables, each), drawn(each)
        x = np.arange(layers - values.shape[-1] + 1, layers + 1)  # the last layers are the plastic ones
        style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width, "label": look.name}
        left.plot(x, values.mean(0), **style)
        for seed in values:
            left.plot(x, seed, color=look.colour, marker=look.marker, markersize=3, linewidth=0)
    left.axhline(0, color=GREY, linewidth=0.6)
    left.set(xlabel="layer", ylabel="cosine with the gradient", ylim=(-0.2, 1.05))
    left.set_yticks([0, 0.5, 1])
    left.set_xticks(range(1, layers + 1))
    left.grid(axis="y")
    left.set_title("Alignment")
    figure.legend(loc="outside lower left", ncols=5, frameon=False, fontsize=7)
    _dots(middle, [interference(tables, each) for each in rows], rows, "Interference")
    _dots(right, [forgetting(tables, each).mean(1) for each in rows], rows, "Forgetting")
    middle.set_ylabel("others over own")
    right.set_ylabel("MSE gained")
    return figure


def _dots(axes: Axes, of_rows: list[np.ndarray], rows: list[str], words: str) -> None:
    for at, (values, each) in enumerate(zip(of_rows, rows, strict=True)):
        look = drawn(each)
        axes.plot((at - 0.25, at + 0.25), [values.mean()] * 2, color=look.colour, linewidth=1.2)
        axes.scatter(np.full(len(values), at), values, s=16, color=look.colour, marker=look.marker)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(rows) - 0.4)
    size = 1.5 * max(LINEAR, np.abs(np.concatenate(of_rows)).max())
    powers = [10.0**power for power in range(-2, 4) if 10.0**power <= size]
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_ylim(-size, size)
    axes.set_yticks([*(-power for power in powers), 0, *powers])
    axes.set_yticklabels([*(f"-{power:g}" for power in powers), "0", *(f"{power:g}" for power in powers)])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    axes.set_title(words)
