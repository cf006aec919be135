"""Clone, then improve: meta-training goes on from backpropagation (workshop version of the paper)."""

import numpy as np

from pipeline.show.style import PAGE, Figure, accuracy_axis, example_axis
from pipeline.studies.cloning.measures import CLONES, cumulative, tasks, words
from pipeline.studies.learning.measures import sd
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("clone_test/*.npz",)
ALT = (
    "A panel for each data set and network. Cumulative accuracy against examples seen, on a logarithmic axis, of the "
    "improved clone, of the clone as it was and of SGD."
)
CAPTION = (
    "Clone, then improve. The clone of backpropagation was meta-trained further, on lives of {improved_on}, for what "
    "it predicts. Cumulative accuracy while learning online, each example predicted before it is learned from; lines "
    "are means, shades \u00b1 1 standard deviation over {clones} with {clone_lives} lives each. Newborn weights and "
    "examples are the same for all."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    every = tasks(tables)
    figure = Figure((PAGE, 2.2))
    grid = figure.subplots(1, len(every), sharey=True, squeeze=False)[0]
    for axes, task in zip(grid, every, strict=True):
        for learner, look in CLONES.items():
            values = np.concatenate(cumulative(tables, task, learner))
            x = np.arange(1, values.shape[-1] + 1)
            mean, spread = values.mean(0), sd(values, axis=0)
            axes.plot(x, mean, color=look.colour, linestyle=look.line, linewidth=look.width, label=look.name)
            axes.fill_between(x, mean - spread, mean + spread, color=look.colour, alpha=0.15, linewidth=0)
        axes.set_title(words(task))
        axes.set_xlabel("examples seen")
        example_axis(axes, min(10, values.shape[-1] // 2), values.shape[-1])
        axes.grid(axis="y")
    accuracy_axis(grid[0].yaxis)
    grid[0].set_ylabel("cumulative accuracy")
    grid[0].set_ylim(0, 1)
    grid[0].legend(frameon=False, loc="lower right")
    return figure
