"""What was learned: how one snippet changes a lone synapse, beside Hebb and the delta rule."""

import numpy as np

from pipeline.show.style import PAGE, Axes, Figure
from pipeline.studies.learning.tables import Profile, Tables
from pipeline.studies.recall.measures import FIXED, horizons, middle, tests, thorough
from pipeline.studies.recall.synapse import textbook

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
    (experiment,) = [name for name in thorough(tables) if "ends" in tests(tables, name)[0].arrays][:1]
    every, table = horizons(tables, experiment), tests(tables, experiment)[0]
    index = every.index(middle(every))
    figure = Figure((PAGE, 4.2))
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    ends = table.arrays["ends"]
    for row, state in zip(grid, ("fresh", "stored"), strict=True):
        learned = table.arrays[f"{state}/change"][index]
        _map(row[0], ends, learned, f"learned, {state} synapse")
        for axes, (kind, rule) in zip(row[1:], FIXED.items(), strict=True):
            like = textbook(table, state, index)[kind]
            words = "Hebb" if kind == "hebb" else f"{rule.words}, w = {like.held:.2f}"
            _map(axes, ends, like.change, f"{words} (cosine {like.cosine:.2f})")
        row[0].set_ylabel("answer, behind the synapse")
    for axes in grid[-1]:
        axes.set_xlabel("cue, before the synapse")
    return figure


def _map(axes: Axes, ends: np.ndarray, change: np.ndarray, title: str) -> None:
    largest = max(float(np.abs(change).max()), np.finfo(np.float32).tiny)
    levels = np.linspace(-1, 1, 17)
    axes.contourf(ends, ends, change.T / largest, levels=levels, cmap="PuOr")
    axes.contour(ends, ends, change.T / largest, levels=[0], colors="black", linewidths=0.8)
    axes.set(title=title, xticks=(-1, 0, 1), yticks=(-1, 0, 1))
