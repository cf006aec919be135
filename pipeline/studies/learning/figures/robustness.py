"""Robustness: the learned algorithm on tasks that are changed in ways it never met (the paper's figure 7)."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, PAGE, RULED, Axes, Figure, accuracy_axis, dot, in_rows, ink, panels
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
    "deviation over {seeds} with {lives} episodes each. Filled: within 0.05 of the reference; open: not, and the "
    "triangle points to which side. Second number: the difference from the reference."
)
LOOK = LOOKS[RULE]


def draw(tables: Tables, profile: Profile) -> Figure:
    results, experiment = accuracies(tables, profile), robust(tables)
    of_set = settings(tasks(tables, experiment))
    rows = sum(len(of_setting) for of_setting in of_set.values()) + len(of_set)  # and a heading for each set
    figure = Figure((PAGE, 0.65 + 0.23 * rows))
    moments = list(dict.fromkeys((early(results), None)))
    grid = panels(figure, len(moments))
    names = [words for base, of in of_set.items() for words in (title(base), *(SETTINGS[key] for key in of))]
    for axes, moment in zip(grid, moments, strict=True):
        first, found = 0, differences(tables, moment)
        for of_setting in of_set.values():
            entries = {task: accuracy(results, task, experiment, moment) for task in of_setting.values()}
            _set(axes, first, of_setting, found, entries)
            first += len(of_setting) + 1
        axes.set(xlabel="cumulative accuracy", title=when(moment).capitalize())
        in_rows(axes, names, margin=0.6)
        accuracy_axis(axes, "x")
    for tick, heading in zip(grid[0].get_yticklabels(), names, strict=True):
        if heading not in SETTINGS.values():
            tick.set(fontweight="bold", color="black")
    return figure


def _set(
    axes: Axes, first: int, of_setting: dict[str, str], found: dict[str, dict], entries: dict[str, dict | None]
) -> None:
    """The rows of one set, below that of its heading, which is row `first`."""
    reference = entries[of_setting["unchanged"]]
    if reference is None:  # episodes are shorter than that
        return
    span, centre = (first + 0.55, first + len(of_setting) + 0.45), reference["value"]
    axes.fill_betweenx(span, centre - TOLERANCE, centre + TOLERANCE, color=RULED, linewidth=0)
    axes.plot([centre, centre], span, color=GREY, linewidth=0.8)
    for row, task in enumerate(of_setting.values(), start=first + 1):
        entry = entries[task]
        if entry is None:
            continue
        difference = found.get(task)
        near = difference is None or difference["within"]
        marker = LOOK.marker if difference is None or near else ">" if difference["value"] > 0 else "<"
        dot(axes, entry, row, LOOK.colour, marker, 4 if near else 5, mfc=LOOK.colour if near else "white")
        words = {"va": "center", "fontsize": 6.5, "color": ink(LOOK.colour)}
        axes.text(1.04, row, f"{entry['value']:.2f}", **words)
        if difference is not None:
            change = signed(difference["value"], 3)
            axes.text(1.32, row, change, ha="right", fontweight="normal" if near else "bold", **words)
