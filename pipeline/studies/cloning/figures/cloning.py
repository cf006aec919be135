"""Cloning: VSML, running forward only, learns as backpropagation does (the paper's figure 5)."""

import numpy as np

from pipeline.show.measures import sd
from pipeline.show.style import GREY, PAGE, Axes, Figure, NullLocator
from pipeline.studies.cloning.measures import CLONES, Tested, tested, words
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
        for index, look in enumerate((CLONES["clone"], CLONES["sgd"])):
            values = own.on_test_images(look.key).reshape(-1, len(x))
            style = look.style | {"label": look.name, "elinewidth": 0.8, "zorder": 3 - index}
            top.errorbar(x, values.mean(0), yerr=sd(values, axis=0), **style)
        top.set_title(words(task).replace(", ", "\n") if len(every) > 2 else words(task))
        _misses(bottom, own)
        for axes in (top, bottom):
            axes.set_xlim(0, 1.08 * x[-1])
            axes.set_xticks([0, x[-1]], ["0", f"{x[-1]:,}"])
            axes.grid(axis="y")
    grid[0, 0].set_ylabel("test accuracy")
    grid[1, 0].set_ylabel("miss, relative to\nbackpropagation")
    figure.supxlabel("examples learned from", fontsize=7.5)
    handles = {name: line for axes in grid.flat for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper left", ncols=5, frameon=False, fontsize=7)
    return figure


def _misses(axes: Axes, own: Tested) -> None:
    """Against examples learned from, a line for each layer and term; a logarithmic axis of whole decades up to 2."""
    found = own.misses()[..., [own.terms.index(term) for term in SHOWN]]
    for layer, of_layer in enumerate(np.moveaxis(found, 1, 0)):
        for (term, name), line, y in zip(SHOWN.items(), ("-", ":"), of_layer.T, strict=True):
            if term != "below" or layer > 0:  # nothing is below the first layer
                label, colour = f"{name}, layer {layer + 1}", LAYERS[layer % len(LAYERS)]
                axes.plot(own.examples, y, label=label, linestyle=line, color=colour, marker=".")
    axes.axhline(1, color=GREY, linewidth=0.6)
    lowest = int(np.floor(np.log10(found[found > 0].min(initial=1.0)) - 0.01))
    decades = [10.0**power for power in range(lowest, 1)]
    axes.set(yscale="log", ylim=(decades[0], 2))
    axes.set_yticks(decades, [f"{decade:g}" for decade in decades])
    axes.yaxis.set_minor_locator(NullLocator())
