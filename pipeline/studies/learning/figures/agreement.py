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
    count = len(learners)
    shares = np.full((2, count, count, 2), np.nan)  # equal or equal where wrong; row; column; mean or sd
    for row, column in np.ndindex(count, count):
        found = agreement(tables, task, learners[row], learners[column]) if row != column or not row else None
        for panel, values in enumerate(found or ()):
            of_episodes = np.nanmean(values, axis=0)
            shares[panel, row, column] = values[np.isfinite(values)].mean(), of_episodes.std(ddof=1)
    figure = Figure((PAGE, 1.1 + 0.3 * count))
    names = [LOOKS[name].name for name in learners]
    words = ("Equal answers", "Equal answers where both are wrong")
    for axes, values, heading in zip(figure.subplots(1, 2, sharey=True), shares, words, strict=True):
        heat_map(axes, values[..., 0], "Purples", 1.0)
        for row, column in np.argwhere(np.isfinite(values[..., 0])):
            mean, spread = values[row, column]
            shade = "white" if mean > 0.6 else "black"
            axes.text(column, row, f"{mean:.2f}\n±{spread:.2f}", ha="center", va="center", fontsize=5, color=shade)
        axes.set_xticks(range(count), names, rotation=90)
        axes.set_title(f"{heading}: {title(task)}")
        in_rows(axes, names)
    return figure
