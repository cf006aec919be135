"""Forgetting: what is recalled of a snippet by how long ago it was, and how the length of the gradient matters."""

import numpy as np

from pipeline.show.style import FAINT, LINES, PAGE, SHADES, Figure, curve, panels
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall.measures import CHANCE, by_lag, horizons, in_order

NEEDS = ("recall_test/*.npz",)
ALT = (
    "A panel for each network of the learned rule. Accuracy of recall against how many snippets ago, a curve for each "
    "number of snippets that the rule was trained to remember; a tick on each curve marks that number. Where rules "
    "were trained with gradients of other lengths, a last panel compares them."
)
CAPTION = (
    "Forgetting. Our reconstruction: share of bits recalled right of the snippet that came so many snippets ago, by "
    "rules that were meta-trained to remember the last D (colour; the upright line of that colour stands after the "
    "last snippet that is to be remembered); mean \u00b1 1 standard deviation over {recall_seeds}. A rule forgets "
    "what it was not asked for."
)
SHOWN = ("direct", "hidden", "recurrent")
WINDOWS = {"window_1": (1, "#fdae6b"), "window_4": (4, "#f16913"), "direct": (16, "#a63603")}  # length, colour


def draw(tables: Tables, profile: Profile) -> Figure:
    shown, windows = ([name for name in names if name in in_order(tables)] for names in (SHOWN, WINDOWS))
    figure = Figure((PAGE, 2.3))
    grid = panels(figure, len(shown) + (len(windows) > 1))
    drawn = []  # title of a panel; by the label of each curve, its style and accuracies
    for axes, experiment in zip(grid, shown, strict=False):
        of_horizons = enumerate(by_lag(tables, experiment).items())
        drawn.append((experiment, {f"D = {d}": (SHADES[i % 4], found) for i, (d, found) in of_horizons}))
        for index, horizon in enumerate(horizons(tables, experiment)):
            axes.axvline(horizon - 0.5, color=SHADES[index % 4]["color"], linewidth=0.6, ymax=0.06)
    if len(windows) > 1:
        # For the longest horizon but one: the longest may be more than the network can hold.
        horizon = horizons(tables, windows[0])[-2:][0]
        of_windows = {}
        for name, line in zip(windows, LINES, strict=False):
            length, colour = WINDOWS[name]
            style = {"color": colour, "linestyle": line}
            of_windows[f"gradient through {length}"] = style, by_lag(tables, name)[horizon]
        drawn.append((f"direct, D = {horizon}", of_windows))
    for axes, (title, curves) in zip(grid, drawn, strict=True):
        for label, (style, recalled) in curves.items():
            curve(axes, np.arange(recalled.shape[-1]), recalled.mean(1), style | {"label": label})
        axes.axhline(CHANCE, color=FAINT, linewidth=0.8)
        axes.set(title=title, xlabel="snippets ago")
        axes.legend(loc="upper right")
    grid[0].set(ylabel="bits recalled right", ylim=(0.45, 1.02))
    return figure
