"""What was learned: how one snippet changes a lone synapse, beside Hebb and the delta rule."""

import numpy as np

from pipeline.show.style import PAGE, Figure
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall.measures import FIXED, horizons, middle, tests, textbook, thorough

NEEDS = ("recall_test/*.npz",)
ALT = (
    "Two rows of three panels, coloured by sign and size against what is before and behind a synapse. Top: a fresh "
    "synapse; bottom: one that holds an association. From left to right: what the learned rule changes, what the "
    "delta rule and what the delta rule would."
)
CAPTION = (
    "What the learned rule does. Our reconstruction; direct network, D = {recall_middle}, first seed: by how much "
    "one snippet changes what a lone synapse answers, against cue x and answer y at its two ends, each panel over "
    "its own largest change. Top: a fresh synapse. Bottom: one that was taught (1, 1) once before. Beside it "
    "Hebb\u2019s rule x y and the delta rule x (y \u2212 w x) of the w that is most like the learned one; the cosine "
    "with it is over the whole panel."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    experiment = next(name for name in thorough(tables) if "ends" in tests(tables, name)[0])
    every, arrays = horizons(tables, experiment), tests(tables, experiment)[0]
    index, ends = every.index(middle(every)), arrays["ends"]
    figure = Figure((PAGE, 4.2))
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, state in zip(grid, ("fresh", "stored"), strict=True):
        maps = [(f"learned, {state} synapse", arrays[f"{state}/change"][index])]
        for kind, like in textbook(arrays, state, index).items():
            words = "Hebb" if kind == "hebb" else f"{FIXED[kind].words}, w = {like.held:.2f}"
            maps.append((f"{words} (cosine {like.cosine:.2f})", like.change))
        for axes, (title, change) in zip(row, maps, strict=True):
            share = change.T / max(float(np.abs(change).max()), np.finfo(np.float32).tiny)
            axes.contourf(ends, ends, share, levels=np.linspace(-1, 1, 17), cmap="PuOr")
            axes.contour(ends, ends, share, levels=[0], colors="black", linewidths=0.8)
            axes.set(title=title, xticks=(-1, 0, 1), yticks=(-1, 0, 1))
            axes.set(xlabel="cue, before the synapse", ylabel="answer, behind the synapse")
            axes.label_outer()
    return figure
