"""Variants: the rule meta-trained again with one thing changed at a time, on each set of the tests."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, GUESSING, PAGE, Figure, dot, in_rows, panels, ticks
from pipeline.studies.learning.measures import accuracies, guessing
from pipeline.studies.learning.ranking import accuracy, tasks, title
from pipeline.studies.learning.tables import RULE, Profile, Tables
from pipeline.studies.learning.variants import NAMES, known

NEEDS = ("meta_test/*.npz", "baseline/sgd.npz", "test_data/*.npz")
ALT = "Dot chart of the cumulative accuracy of the rule and of its variants, a row each, a column for each set."
CAPTION = (
    "Variants. Cumulative accuracy at the end of the episode (at most {length} examples) of the rule and of rules that "
    "were meta-trained with one thing changed; a column for each set of the tests, of which the first is that of "
    "meta-training (other images). Dots: means, bars: ± 1 standard deviation over {seeds} with {episodes} episodes "
    "each. Line: the rule itself; dotted: always guessing the commonest class."
)
LOOK = LOOKS[RULE]


def draw(tables: Tables, profile: Profile) -> Figure:
    results = accuracies(tables, profile)
    names = known(results)
    figure = Figure((PAGE, 0.7 + 0.2 * len(names)))
    columns = tasks(results)
    for axes, task in zip(panels(figure, len(columns)), columns, strict=True):
        for row, name in enumerate(names):
            if entry := accuracy(results, task, name, None):
                if name == RULE:
                    axes.axvline(entry["value"], color=GREY, linewidth=0.8)
                dot(axes, entry, row, LOOK, 3.5, mfc=LOOK.colour if name == RULE else "white")
        axes.axvline(guessing(tables, profile.tasks[task]), **GUESSING)
        axes.set_title(title(task), fontweight="normal", fontsize=7)
        in_rows(axes, [NAMES[name] for name in names])
        ticks(axes, "x", (0, 0.5, 1))
        axes.set_xlim(0, 1.02)
    figure.supxlabel("cumulative accuracy")
    return figure
