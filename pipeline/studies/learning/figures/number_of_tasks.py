"""Number of tasks: when rules generalise that were meta-trained on few or many random projections of one set."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, GUESSING, PAGE, Figure, bars, direct_labels, ticks
from pipeline.studies.learning.measures import accuracies, final_loss, outcomes
from pipeline.studies.learning.number_of_tasks import LEARNERS, levels
from pipeline.studies.learning.ranking import tasks
from pipeline.studies.learning.tables import Profile, Tables, by_seed

NEEDS = ("meta_train/*/curve.npz", "meta_test/*.npz", "baseline/nearest_mean.npz", "test_data/*.npz")
ALT = "Three line charts against the number of projections: meta loss, accuracy on new projections, on other data sets."
CAPTION = (
    "Number of tasks. Rules that were meta-trained on two digits at a time, seen through so many random projections in "
    "all (new: another one in each episode), with labels permuted in each episode. Left: meta loss (mean cross-entropy "
    "over an episode, in nats) at the end of meta-training. Middle: cumulative accuracy at the end of the episode "
    "({length} examples) on other images of digits through new projections, mean over pairs of digits. Right: the same "
    "on data sets that meta-training never saw. Lines: means, bars: ± 1 standard deviation over {seeds} with "
    "{episodes} episodes of each task. Grey: nearest class mean on the same episodes; dotted: guessing."
)
RIVAL = LOOKS["nearest_mean"]
NEW = 4  # how many times further right than the largest number a new projection in each episode stands


def draw(tables: Tables, profile: Profile) -> Figure:
    figure, results = Figure((PAGE, 2.5)), accuracies(tables, profile)
    left, *others = figure.subplots(1, 3)
    known = {True: [], False: []}  # tasks by whether meta-training drew from their sets
    for task in tasks(results):
        known[profile.seen(task, LEARNERS[0])].append(task)

    def accuracy(learner: str, of_tasks: list[str]) -> np.ndarray:
        """[seed], the mean over tasks and their episodes."""
        return np.mean([outcomes(tables, task, learner).correct.mean((1, 2)) for task in of_tasks], axis=0)

    for learner in LEARNERS:
        found, look = levels(results, learner), LOOKS[learner]
        numbers = [level.projections for level in found]
        x = [number or NEW * max(filter(None, numbers)) for number in numbers]
        curves = [by_seed(tables, "meta_train", level.experiment).values() for level in found]
        bars(left, x, np.array([[final_loss(curve) for curve in of_level] for of_level in curves]).T, look)
        for axes, of_tasks in zip(others, known.values(), strict=True):
            bars(axes, x, np.array([accuracy(level.experiment, of_tasks) for level in found]).T, look)
    left.axhline(np.log(2), **GUESSING)
    left.set(ylim=(0, 0.8), title="Meta-training", ylabel="meta loss (nats)")
    for axes, of_tasks, words in zip(others, known.values(), ("New projections", "Other data sets"), strict=True):
        ends = [(float(line.get_ydata()[-1]), LOOKS[name]) for line, name in zip(axes.lines, LEARNERS, strict=False)]
        mean = float(accuracy(RIVAL.key, of_tasks).mean())
        axes.axhline(mean, color=GREY, linewidth=0.8)
        axes.axhline(0.5, **GUESSING)
        ticks(axes, "y", (0.4, 0.6, 0.8, 1))
        axes.set(ylim=(0.4, 1), title=words, ylabel="cumulative accuracy")
    direct_labels(others[-1], ends, 0.05)
    for axes in (left, *others):
        axes.set(xscale="log", xlabel="projections in meta-training")
        axes.minorticks_off()
        axes.set_xticks(x, [str(number or "new") for number in numbers])
    return figure
