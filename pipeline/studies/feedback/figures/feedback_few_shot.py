"""Few-shot characters: accuracy after an episode in which each example is seen once, in order and shuffled."""

import numpy as np

from pipeline.show.style import FAINT, PAGE, Figure, accuracy_axis, curve, seed_dots
from pipeline.studies.feedback.measures import by_method, on, tasks
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import Profile, Tables

NEEDS = ("feedback_test/*.npz",)
ALT = (
    "Two panels of accuracy on unseen characters. Left: at the end of the episode, a row for each learner and a dot "
    "for each meta-seed, filled where classes come one after the other and hollow where examples are shuffled. "
    "Right: accuracy on each class at the end, by the order in which classes came."
)
CAPTION = (
    "Few-shot learning. Characters that meta-training has not seen, each example shown once. Left: accuracy at the end "
    "of the episode, {taught} episodes for each dot, which is one of {feedback_seeds}; filled: classes one after the "
    "other; hollow: examples shuffled. Right: at the end, by the order in which classes came; bands are \u00b1 1 "
    "standard deviation over meta-seeds. Dashed: guessing."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    (of_task, *_) = tasks(tables, regression=False)
    figure = Figure((PAGE, 2.9))
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    rows = on(tables, of_task)
    parts = np.arange(1, rows[0].episodes("correct").shape[-1] + 1)
    seed_dots(left, by_method(tables, of_task), [each.name for each in rows], size=18)
    for each in rows:
        if look := each.look:
            of_class = each.episodes("correct")[:, :, -1].mean(1)  # [seed, class]
            curve(right, parts, of_class, look.style | {"marker": look.marker, "markersize": 3.5})
    left.axvline(1 / len(parts), color=FAINT, linestyle="--", linewidth=0.8)
    right.axhline(1 / len(parts), color=FAINT, linestyle="--", linewidth=0.8)
    accuracy_axis(left, "x", (0, 1.03))
    accuracy_axis(right, "y", (0, 1.03))
    left.set(xlabel="accuracy", title=f"{title(of_task)}: all classes")
    right.set(xlabel="class, in the order learned", ylabel="accuracy", title="By class", xticks=parts)
    right.legend(loc="lower right")
    return figure
