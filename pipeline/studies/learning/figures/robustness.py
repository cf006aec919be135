"""Robustness: the learned algorithm on tasks that are changed in ways it never met (the paper's figure 7)."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, PAGE, RULED, Figure, accuracy_axis, dot, in_rows, note, panels
from pipeline.studies.learning.measures import TOLERANCE, accuracies, differences, robust
from pipeline.studies.learning.ranking import accuracy, early, signed, title, when
from pipeline.studies.learning.tables import RULE, SETTINGS, Profile, Tables, settings, tasks

NEEDS = ("meta_test/robust-*.npz", "meta_test/vsml-*.npz")
ALT = (
    "Dot chart of the cumulative accuracy of VSML on MNIST and Fashion-MNIST, unchanged and changed in five ways, with "
    "a band of 0.05 about the unchanged task."
)
CAPTION = (
    "Robustness. Cumulative accuracy of VSML {early} and at the end of the episode on each set unchanged (line: the "
    "reference; band: \u00b1 0.05) and changed in five ways that meta-training never used: only five of the classes, "
    "other sizes of the image, a random projection of its pixels, a shuffle of them. Dots: means, bars: ± 1 standard "
    "deviation over {seeds} with {episodes} episodes each. Filled: within 0.05 of the reference; open: not, and the "
    "triangle points to which side. Second number: the difference from the reference."
)
LOOK = LOOKS[RULE]


def draw(tables: Tables, profile: Profile) -> Figure:
    results, experiment = accuracies(tables, profile), robust(tables)
    of_set = settings(tasks(tables, experiment))
    names = [words for base, of in of_set.items() for words in (title(base), *(SETTINGS[key] for key in of))]
    figure = Figure((PAGE, 0.65 + 0.23 * len(names)))
    moments = list(dict.fromkeys((early(results), None)))
    grid = panels(figure, len(moments))
    for axes, moment in zip(grid, moments, strict=True):
        heading, found = 0, differences(tables, moment)
        for of_setting in of_set.values():
            entries = {task: accuracy(results, task, experiment, moment) for task in of_setting.values()}
            if reference := entries[of_setting["unchanged"]]:  # else episodes are shorter than that
                span, centre = (heading + 0.55, heading + len(of_setting) + 0.45), reference["value"]
                axes.fill_betweenx(span, centre - TOLERANCE, centre + TOLERANCE, color=RULED, linewidth=0)
                axes.plot([centre, centre], span, color=GREY, linewidth=0.8)
            for row, (task, entry) in enumerate(entries.items(), start=heading + 1):
                if not reference or not entry:
                    continue
                style, weight, difference = {}, "normal", found.get(task)
                if difference and not difference["within"]:
                    marker, weight = ">" if difference["value"] > 0 else "<", "bold"
                    style = {"marker": marker, "markersize": 5, "mfc": "white"}
                dot(axes, entry, row, LOOK, **style)
                note(axes, 1.04, row, entry["value"], LOOK)
                if difference:
                    note(axes, 1.32, row, signed(difference["value"], 3), LOOK, ha="right", fontweight=weight)
            heading += len(of_setting) + 1
        axes.set(xlabel="cumulative accuracy", title=when(moment).capitalize())
        in_rows(axes, names, margin=0.6)
        accuracy_axis(axes, "x")
    for tick, words in zip(grid[0].get_yticklabels(), names, strict=True):
        if words not in SETTINGS.values():
            tick.set(fontweight="bold", color="black")
    return figure
