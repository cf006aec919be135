"""Cloning: VSML, running forward only, learns as backpropagation does (the paper's figure 5)."""

import numpy as np

from pipeline.show.measures import sd
from pipeline.show.style import GREY, PAGE, Axes, Figure, NullLocator
from pipeline.studies.cloning.measures import CLONES, LEARNERS, examples, misses, of_clones, tasks, tests, words
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("clone_test/*.npz",)
ALT = (
    "A column of two panels for each data set and network. Top: test accuracy against examples learned from, of the "
    "clone and of SGD. Bottom, on a logarithmic axis: by how much the clone's updates miss those of backpropagation."
)
CAPTION = (
    "Learning-algorithm cloning. Top: accuracy on held-out test images while the clone, a VSML network that is only "
    "run forward, and true online SGD with the same learning rate, initial weights and examples learn; mean \u00b1 1 "
    "standard deviation over {clones} with {clone_lives} episodes each. Bottom: norm of what the clone\u2019s updates "
    "miss over the norm of what backpropagation wants there, from the weights that the clone holds, over all episodes "
    "and {clone_probes} examples each."
)
SHOWN = {"learned weight": "weights", "below": "error passed down"}
LAYERS = ("#0b3954", "#3f88c5", "#a2c3e6")


def draw(tables: Tables, profile: Profile) -> Figure:
    every = tasks(tables)
    figure = Figure((PAGE, 3.8))
    grid = figure.subplots(2, len(every), sharey="row", squeeze=False)
    for column, task in enumerate(every):
        top, bottom = grid[:, column]
        _accuracy(top, tables, task)
        _missed(bottom, tables, task)
        top.set_title(words(task).replace(", ", "\n") if len(every) > 2 else words(task))
    grid[0, 0].set_ylabel("test accuracy")
    grid[1, 0].set_ylabel("miss, relative to\nbackpropagation")
    figure.supxlabel("examples learned from", fontsize=7.5)
    handles = {name: line for axes in grid.flat for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper left", ncols=5, frameon=False, fontsize=7)
    return figure


def _accuracy(axes: Axes, tables: Tables, task: str) -> None:
    x, held_out = examples(tables, task), of_clones(tables, f"{task}/held_out")
    for index, (learner, look) in enumerate((name, CLONES[name]) for name in ("clone", "sgd")):
        values = held_out[..., LEARNERS.index(learner)].reshape(-1, len(x))
        style = look.style | {"label": look.name, "elinewidth": 0.8, "zorder": 3 - index}
        axes.errorbar(x, values.mean(0), yerr=sd(values, axis=0), **style)
    _example_axis(axes, int(x[-1]))
    axes.grid(axis="y")


def _missed(axes: Axes, tables: Tables, task: str) -> None:
    terms = tests(tables)[0].arrays["term"].tolist()
    found = misses(tables, task)
    layers = found.shape[1]
    for layer in range(layers):
        for term, line in zip(SHOWN, ("-", ":"), strict=True):
            if term == "below" and layer == 0:
                continue  # nothing is below the first layer
            name = f"{SHOWN[term]}, layer {layer + 1}"
            x, y = examples(tables, task), found[:, layer, terms.index(term)]
            axes.plot(x, y, linestyle=line, color=LAYERS[layer % len(LAYERS)], marker=".", label=name)
    axes.axhline(1, color=GREY, linewidth=0.6)
    shown = found[..., [terms.index(term) for term in SHOWN]]
    lowest = int(np.floor(np.log10(shown[shown > 0].min(initial=1.0)) - 0.01))
    decades = [10.0**power for power in range(lowest, 1)]
    axes.set(yscale="log", ylim=(decades[0], 2))
    axes.set_yticks(decades, [f"{decade:g}" for decade in decades])
    axes.yaxis.set_minor_locator(NullLocator())
    _example_axis(axes, int(examples(tables, task)[-1]))
    axes.grid(axis="y")


def _example_axis(axes: Axes, last: int) -> None:
    axes.set_xlim(0, 1.08 * last)
    axes.set_xticks([0, last], ["0", f"{last:,}"])
