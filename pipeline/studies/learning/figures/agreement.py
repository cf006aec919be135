"""Agreement: which learners give the same answers, and make the same mistakes (ours, in no paper)."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import PAGE, Figure, heat_map, in_rows
from pipeline.studies.learning.measures import agreement
from pipeline.studies.learning.ranking import EVERY, title
from pipeline.studies.learning.tables import RULE, Profile, Tables, baselines, main_tasks, tasks

NEEDS = ("meta_test/vsml-*.npz", "baseline/*.npz", "test_data/*.npz")
ALT = (
    "Two matrices with a row for VSML and for each of its rivals and a column for each of them: the share of equal "
    "answers, and the share of equal answers where both are wrong."
)
CAPTION = (
    "Agreement. Left: the share of examples of an episode to which two learners give the same answer, before its label "
    "is shown, on the first data set of the tests (unseen images of {trained_on}). Right: the same among the examples "
    "about which both are wrong, where agreement is not owed to being right; two that err independently would seldom "
    "agree. Means over {episodes} episodes, with 1 standard deviation of these below them; those of VSML over {seeds}, "
    "and VSML with itself over pairs of meta-seeds. Baselines are at their best learning rate or strength, chosen in "
    "hindsight. 1-NN keeps every example, the memory of all others is constant."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    task, *_ = main_tasks(tables, profile)
    able = [name for names in EVERY.values() for name in names if name in baselines(tables)]
    learners = [RULE, *(name for name in able if task in tasks(tables, name))]
    names = [LOOKS[name].name for name in learners]
    figure = Figure((PAGE, 1.1 + 0.3 * len(names)))
    shares = np.full((2, len(names), len(names)), np.nan)  # of equal answers, or of those where both are wrong
    panels = figure.subplots(1, 2, sharey=True)
    for row, column in np.ndindex(len(names), len(names)):
        found = agreement(tables, task, learners[row], learners[column]) if row != column or not row else None
        for panel, values in enumerate(found or ()):
            shares[panel, row, column] = mean = values[np.isfinite(values)].mean()
            words = f"{mean:.2f}\n±{np.nanmean(values, axis=0).std(ddof=1):.2f}"
            shade = "white" if mean > 0.6 else "black"
            panels[panel].text(column, row, words, ha="center", va="center", fontsize=5, color=shade)
    for axes, values, heading in zip(
        panels, shares, ("Equal answers", "Equal answers where both are wrong"), strict=True
    ):
        heat_map(axes, values, "Purples", 1.0)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_title(f"{heading}: {title(task)}")
        in_rows(axes, names)
    return figure
