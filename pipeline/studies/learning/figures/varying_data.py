"""Varying data: rules of four methods, meta-trained on many mixes of sets, on all sets (the paper's figure 8)."""

from pipeline.show.looks import LOOKS
from pipeline.show.style import FAINT, GREY, GUESSING, Figure, accuracy_axis, dot, in_rows, note, panels, stacked, ticks
from pipeline.studies.learning.measures import UNTRAINED, accuracies, by_method, guessing, over_fitting
from pipeline.studies.learning.ranking import accuracy, mix_title, signed, tasks, title
from pipeline.studies.learning.tables import PAPER, Profile, Tables, in_order

NEEDS = ("meta_test/*_on_*.npz", "meta_test/vsml-*.npz", "baseline/sgd.npz", "test_data/*.npz")
ALT = (
    "Dot chart of the cumulative accuracy of rules of several methods, a row for each mix of sets that they were "
    "meta-trained on, a column for each set that they were tested on; below, the means over seen and unseen sets."
)
CAPTION = (
    "Varying data sets. Cumulative accuracy at the end of the episode (at most {length} examples) of rules that were "
    "meta-trained on the mix of sets at the left, tested on the set above. Dots: means, bars: ± 1 standard deviation "
    "over {seeds} with {episodes} episodes each. Shaded: meta-training drew from the set that is tested. Lines: linear "
    "SGD on the same episodes, at its best rate in hindsight (solid) and at the paper\u2019s (dashed); dotted: always "
    "guessing the commonest class. Below: the mean over the shaded cells (filled) and over the others (open), and the "
    "first less the second. SGD is meta-trained on nothing: its gap is what the sets differ in difficulty, and what a "
    "method\u2019s gap exceeds it by is over-fitting."
)
SGD = {"color": LOOKS[UNTRAINED].colour, "linewidth": 0.8}
REFERENCES = {UNTRAINED: SGD | {"linestyle": "-"}, UNTRAINED + PAPER: SGD | {"linestyle": "--"}}
SHADE = "#f6e3d5"


def draw(tables: Tables, profile: Profile) -> Figure:
    results, methods = accuracies(tables, profile), by_method(profile.trained_on)
    mixes = list(dict.fromkeys(mix for of_mix in methods.values() for mix in of_mix))
    kinds = [(mix == "all", mix.startswith("all_but_")) for mix in mixes]  # one set, all, or all but one
    row = 0.6 if len(mixes) < 5 else 0.42  # inches
    figure, top, bottom = stacked(0.5 + row * len(mixes), 0.65 + 0.18 * (len(methods) + 1))

    # A column for each task, first those on sets that some mix has; a row for each mix, a dot for each method.
    names = [name for of_mix in methods.values() for name in of_mix.values()]
    every = {task for name in names for task in tasks(results, name)}
    columns = in_order(every, [task for task in every if any(profile.seen(task, name) for name in names)])
    grid = panels(top, len(columns))
    for axes, task in zip(grid, columns, strict=True):
        for learner, style in REFERENCES.items():
            if entry := accuracy(results, task, learner, None):
                axes.axvline(entry["value"], **style)
        for place, mix in enumerate(mixes):
            experiments = {method: of_mix[mix] for method, of_mix in methods.items() if mix in of_mix}
            if any(profile.seen(task, name) for name in experiments.values()):
                axes.axhspan(place - 0.5, place + 0.5, color=SHADE, linewidth=0, zorder=0)
            for index, (method, name) in enumerate(experiments.items()):
                if entry := accuracy(results, task, name, None):
                    y = place + (index - (len(experiments) - 1) / 2) * 0.2
                    dot(axes, entry, y, LOOKS[method], 3, elinewidth=0.8)
            if place:
                colour, width = (FAINT, 0.4) if kinds[place] == kinds[place - 1] else (GREY, 0.6)
                axes.axhline(place - 0.5, color=colour, linewidth=width, zorder=0.5)
        in_rows(axes, [mix_title(mix) for mix in mixes])
        ticks(axes, "x", (0, 0.5, 1))
        axes.set_xlim(0, 1.02)
        axes.set_title(title(task), fontweight="normal", fontsize=7)
        axes.axvline(guessing(tables, profile.tasks[task]), **GUESSING)
    grid[0].set_ylabel("meta-trained on")
    top.supxlabel("cumulative accuracy")

    # A row for each learner: what it reaches on seen and on unseen sets, and the gap.
    left, right = bottom.subplots(1, 2, width_ratios=[3, 2])
    found = over_fitting(tables, profile)
    for place, (learner, values) in enumerate(found.items()):
        look = LOOKS[learner]
        both = {what: values[what]["value"] for what in ("seen", "unseen") if what in values}
        left.plot(both.values(), [place] * len(both), color=look.colour, linewidth=1)
        for what, value in both.items():
            fill = look.colour if what == "seen" else "white"
            left.plot(value, place, color=look.colour, marker=look.marker, markersize=5, mfc=fill)
        if "gap" in values:
            note(left, 1.02, place, f"gap {signed(values['gap']['value'])}", look)
    left.set_xlabel("mean cumulative accuracy")
    left.set_title("Sets seen in meta-training (filled), and others (open)", fontsize=7.5)
    in_rows(left, [LOOKS[learner].name for learner in found])
    accuracy_axis(left, "x", (0, 1))

    right.set_axis_off()
    for look in (LOOKS[method] for method in methods):
        right.plot([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=0.8, label=look.name)
    right.fill_between([], [], color=SHADE, label="set of meta-training")
    for learner, style in REFERENCES.items():
        right.plot([], [], label=LOOKS[learner].name, **style)
    right.plot([], [], label="always guessing", **GUESSING)
    right.legend(loc="center right", ncols=2, borderaxespad=0)
    return figure
