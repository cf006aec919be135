"""Clone, then improve: meta-training goes on from backpropagation (workshop version of the paper)."""

import numpy as np

from pipeline.show.style import PAGE, Figure, accuracy_axis, curve, example_axis, panels
from pipeline.studies.cloning.measures import CLONES, tested, words
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("clone_test/*.npz",)
ALT = (
    "A panel for each data set and network. Cumulative accuracy against examples seen, on a logarithmic axis, of the "
    "improved clone, of the clone as it was and of SGD."
)
CAPTION = (
    "Clone, then improve. The clone of backpropagation was meta-trained further, on episodes of {improved_on}, for "
    "what it predicts. Cumulative accuracy while learning online, each example predicted before it is learned from; "
    "lines are means, shades \u00b1 1 standard deviation over {clones} with {clone_episodes} episodes each. Initial "
    "weights and examples are the same for all."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    every = tested(tables)
    figure = Figure((PAGE, 2.2))
    grid = panels(figure, len(every))
    for axes, (task, own) in zip(grid, every.items(), strict=True):
        for learner, look in CLONES.items():
            values = np.concatenate(own.cumulative(learner))
            curve(axes, np.arange(1, values.shape[-1] + 1), values, look.style)
        axes.set(title=words(task), xlabel="examples seen")
        example_axis(axes, min(10, values.shape[-1] // 2), values.shape[-1])
        accuracy_axis(axes, "y", (0, 1))
    grid[0].set_ylabel("cumulative accuracy")
    grid[0].legend(fontsize=7.5, loc="lower right")
    return figure
