"""Cloning: VSML, running forward only, learns as backpropagation does (the paper's section 4.1)."""

import numpy as np

from pipeline.show.style import GREY, PAGE, Figure, bars, decades, legend_outside
from pipeline.studies.cloning.measures import CLONES, tested, words
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("clone_test/*.npz",)
ALT = (
    "A column of two panels for each data set and network. Top: test accuracy against examples learned from, of the "
    "clone and of SGD. Bottom, on a logarithmic axis: by how much the clone's updates miss those of backpropagation."
)
CAPTION = (
    "Learning-algorithm cloning. Top: accuracy on held-out test images while the clone, a VSML network that is only "
    "run forward, and true online SGD with the same learning rate, initial weights and examples learn; mean \u00b1 1 "
    "standard deviation over {clones} with {clone_episodes} episodes each. Bottom: norm of what the clone\u2019s "
    "updates miss over the norm of what backpropagation wants there, from the weights that the clone holds, over all "
    "episodes and {clone_queries} examples each."
)
SHOWN = {"learned weight": "weights", "below": "error passed down"}
LAYERS = ("#0b3954", "#3f88c5", "#a2c3e6")


def draw(tables: Tables, profile: Profile) -> Figure:
    every = tested(tables)
    figure = Figure((PAGE, 3.8))
    grid = figure.subplots(2, len(every), sharey="row", squeeze=False)
    for (top, bottom), (task, own) in zip(grid.T, every.items(), strict=True):
        x = own.examples
        for zorder, look in ((3, CLONES["clone"]), (2, CLONES["sgd"])):
            bars(top, x, own.on_test_images(look.key).reshape(-1, len(x)), look, zorder=zorder)
        top.set_title(words(task).replace(", ", "\n") if len(every) > 2 else words(task))
        # A line for each layer and term; nothing is passed below the first layer.
        for layer, misses in enumerate(np.moveaxis(own.misses(), 1, 0)):
            style = {"color": LAYERS[layer % len(LAYERS)], "marker": "."}
            for (term, name), line in list(zip(SHOWN.items(), ("-", ":"), strict=True))[: 1 + layer]:
                y, label = misses[:, own.terms.index(term)], f"{name}, layer {layer + 1}"
                bottom.plot(x, y, label=label, linestyle=line, **style)
        bottom.axhline(1, color=GREY, linewidth=0.6)
        decades(bottom, "y")
        bottom.set_ylim(top=2)
        for axes in (top, bottom):
            axes.set_xlim(0, 1.08 * x[-1])
            axes.set_xticks([0, x[-1]], ["0", f"{x[-1]:,}"])
    grid[0, 0].set_ylabel("test accuracy")
    grid[1, 0].set_ylabel("miss, relative to\nbackpropagation")
    figure.supxlabel("examples learned from")
    legend_outside(figure, grid, "upper left", 5)
    return figure
