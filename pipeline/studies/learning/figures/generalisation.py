"""Generalisation: the learned algorithm on the set of its meta-training and on sets it never met."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, PAGE, RULED, Figure, accuracy_axis, dot, in_rows, note, panels
from pipeline.studies.learning.measures import accuracies, guessing
from pipeline.studies.learning.ranking import best, early, kinship, tasks, title, when, winners
from pipeline.studies.learning.tables import RULE, Profile, Tables

NEEDS = ("meta_test/vsml-*.npz", "baseline/*.npz", "test_data/*.npz")
ALT = (
    "Dot chart of the cumulative accuracy of VSML, SGD and Adam on {tasks} data sets, {early} and at the end of "
    "the episode, with the level of guessing marked."
)
CAPTION = (
    "Generalisation. Cumulative accuracy {early} and at the end of the episode (at most {length} examples). Dots: "
    "means, bars: ± 1 standard deviation; VSML over {seeds} with {episodes} episodes each, SGD and Adam over the same "
    "{episodes} episodes, each at the better of a linear model and one hidden layer and at its best learning rate, "
    "chosen in hindsight per set and panel. Bold: the highest mean. Grey ticks: always guessing the commonest class. "
    "Only {trained_on} took part in meta-training: other images, through random projections."
)
OFFSET = {"VSML": -0.25, "SGD": 0.0, "Adam": 0.25}


def draw(tables: Tables, profile: Profile) -> Figure:
    results = accuracies(tables, profile)
    names = tasks(results)
    known = sum(profile.seen(name, RULE) for name in names)
    figure = Figure((PAGE, 0.9 + 0.52 * len(names)))
    moments = list(dict.fromkeys((early(results), None)))
    for axes, moment in zip(panels(figure, len(moments)), moments, strict=True):
        for row, task in enumerate(names):
            families = best(results, task, moment)
            for family, entry in families.items():
                look, y = LOOKS[entry["learner"]], row + OFFSET[family]
                weight = "bold" if family in winners(families) else "normal"
                dot(axes, entry, y, look.colour, look.marker)
                note(axes, 1.04, y, f"{entry['value']:.2f}", look.colour, fontweight=weight)
                note(axes, 1.16, y, look.name, look.colour)
            guess = guessing(tables, profile.tasks[task])
            axes.plot([guess, guess], [row - 0.36, row + 0.36], color=GREY, linewidth=1.2)
            if row:
                axes.axhline(row - 0.5, color=GREY if row == known else RULED, linewidth=0.6)
        axes.set(xlabel="cumulative accuracy", title=when(moment).capitalize())
        accuracy_axis(axes, "x")
        in_rows(axes, [f"{title(name)}\n{kinship(results, name)}" for name in names], margin=0.55)
    return figure
