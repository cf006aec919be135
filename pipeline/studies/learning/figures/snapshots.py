"""Snapshots: what the rule is like while it is being learned (ours, in no paper)."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import PAGE, Figure, accuracy_axis, curve, direct_labels, panels
from pipeline.studies.learning.measures import AFTER, agreement, outcomes, snapshots
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import RULE, Profile, Tables, baselines, by_seed, tasks

NEEDS = ("meta_test/vsml-*.npz", "meta_train/vsml-*/curve.npz", "baseline/*.npz")
ALT = (
    "Two line charts against the meta-step: the accuracy of the rule, with level lines for its rivals, and the share "
    "of equal answers of the rule and each rival among examples about which both are wrong."
)
CAPTION = (
    "Through meta-training. Snapshots of the rule, tested like the rule itself on the first data set of the tests "
    "(unseen images of {trained_on}), {episodes} episodes each. Left: accuracy over whole episodes; level lines: "
    "simple rivals, and SGD and Adam at their best rate, chosen in hindsight. Right: the share of equal answers of the "
    "rule and a rival where both are wrong. A rule that turns into another learner climbs to 1 beside it. Lines: means "
    "over {seeds}; bands: \u00b1 1 standard deviation over them."
)
RIVALS = ("nearest_mean", "ridge", "naive_bayes", "sgd", "adam")


def draw(tables: Tables, profile: Profile) -> Figure:
    task, steps = snapshots(tables)
    end = len(next(iter(by_seed(tables, "meta_train", RULE).values())).arrays["loss"])
    x, learners = [*steps, end], [*(f"{RULE}{AFTER}{step}" for step in steps), RULE]
    rivals = [name for name in RIVALS if name in baselines(tables) and task in tasks(tables, name)]
    figure = Figure((PAGE, 2.7))
    left, right = panels(figure, 2)
    accuracy = np.stack([outcomes(tables, task, name).correct.mean((1, 2)) for name in learners], axis=1)
    curve(left, x, accuracy, LOOKS[RULE].style)
    ends = {left: [(float(accuracy[:, -1].mean()), LOOKS[RULE])], right: []}
    for name in rivals:
        level = float(outcomes(tables, task, name).correct.mean())
        left.axhline(level, **LOOKS[name].style)
        ends[left].append((level, LOOKS[name]))
        shares = [agreement(tables, task, learner, name) for learner in learners]
        of_seeds = np.stack([np.nanmean(share.equal_wrong, axis=1) for share in shares if share], axis=1)
        curve(right, x, of_seeds, LOOKS[name].style, shade=0.08)
        ends[right].append((float(of_seeds[:, -1].mean()), LOOKS[name]))
    for axes, words in ((left, "Accuracy"), (right, "Equal answers where both are wrong")):
        accuracy_axis(axes, "y")
        axes.set(xlim=(0, end), xlabel="meta-step", title=f"{words}: {title(task)}")
        direct_labels(axes, ends[axes], 0.075)
    return figure
