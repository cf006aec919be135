"""Generalisation: the learned algorithm on the set of its meta-training and on sets it never met."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, PAGE, RULED, Figure, accuracy_axis, dot, in_rows, note, panels
from pipeline.studies.learning.measures import accuracies, guessing
from pipeline.studies.learning.ranking import CONSTANT, EVERY, best, early, kinship, tasks, title, when, winners
from pipeline.studies.learning.tables import RULE, Profile, Tables

NEEDS = ("meta_test/vsml-*.npz", "baseline/*.npz", "test_data/*.npz")
ALT = (
    "Dot chart of the cumulative accuracy of VSML, SGD, Adam and simpler learners on {tasks} data sets, {early} and at "
    "the end of the episode, with the level of guessing marked."
)
CAPTION = (
    "Generalisation. Cumulative accuracy {early} and at the end of the episode (at most {length} examples). Dots: "
    "means, bars: ± 1 standard deviation; VSML over {seeds} with {episodes} episodes each, all others over the same "
    "{episodes} episodes; SGD and Adam at the better of a linear model and one hidden layer and at its best learning "
    "rate, ridge and naive Bayes at the best strength, chosen in hindsight per set and panel. All have constant memory "
    "but 1-NN (grey), which keeps every example. Bold: the highest mean of the others. Grey ticks: always guessing the "
    "commonest class. Only {trained_on} took part in meta-training: other images, through random projections."
)


def draw(tables: Tables, profile: Profile) -> Figure:
    results = accuracies(tables, profile)
    names = tasks(results)
    known = sum(profile.seen(name, RULE) for name in names)
    known_families = [family for family in EVERY if any(family in best(results, name, None, EVERY) for name in names)]
    gap = 1 / (len(known_families) + 1)
    figure = Figure((PAGE, 0.9 + max(0.52, 0.14 / gap) * len(names)))
    moments = list(dict.fromkeys((early(results), None)))
    for axes, moment in zip(panels(figure, len(moments)), moments, strict=True):
        for row, task in enumerate(names):
            families = best(results, task, moment, EVERY)
            ahead = winners({family: entry for family, entry in families.items() if family in CONSTANT})
            for family, entry in families.items():
                look, y = LOOKS[entry["learner"]], row + gap * (known_families.index(family) + 1) - 0.5
                dot(axes, entry, y, look)
                note(axes, 1.04, y, entry["value"], look, fontweight="bold" if family in ahead else "normal")
                note(axes, 1.16, y, look.name, look)
            guess = guessing(tables, profile.tasks[task])
            axes.plot([guess, guess], [row - 0.42, row + 0.42], color=GREY, linewidth=1.2)
            if row:
                axes.axhline(row - 0.5, color=GREY if row == known else RULED, linewidth=0.6)
        axes.set(xlabel="cumulative accuracy", title=when(moment).capitalize())
        accuracy_axis(axes, "x")
        in_rows(axes, [f"{title(name)}\n{kinship(results, name)}" for name in names], margin=0.55)
    return figure
