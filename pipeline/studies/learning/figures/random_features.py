"""Random features: what they add to a shipped rule, and how it then compares with gradient descent."""

import numpy as np
from jaxtyping import Bool, Float

from pipeline.show.looks import LOOKS
from pipeline.show.style import GREY, PAGE, Axes, Figure, example_axis
from pipeline.studies.learning.measures import cumulative, sd
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.shipped import FEATURES, lived, names
from pipeline.studies.learning.tables import RULE, SYNTHETIC, Profile, Tables, baselines, in_order

NEEDS = ("zoo_test/*.npz", "baseline/*.npz")
ALT = (
    "A panel for each data set: by how much the cumulative accuracy of the shipped rule with random features exceeds "
    "that of the same rule without them, of the best network by gradient descent, and of gradient descent with the "
    "same features, against the number of examples seen; a line at zero."
)
CAPTION = (
    "Random features. Cumulative accuracy of the shipped rule {shipped} that sees each example together with "
    "random functions of it, less that of others on the same {lives} lives: the same rule on the examples alone; "
    "the best of all SGD and Adam of this profile, linear and with a hidden layer, on the examples alone; the "
    "better of linear SGD and Adam with the same random features. Who is best, and at which learning rate, is "
    "chosen in hindsight for each set and for every single point of the line. Lines: means, bands: ± 1 standard "
    "error of the paired differences. Above zero the rule with random features is ahead. Other shipped rules are in "
    "the table of the report."
)
FIRST = 20  # examples: a share of fewer is noise
RIVALS = {  # whom the lead is over
    "networks": ("the best of SGD and Adam", LOOKS["adam_hidden"]),
    "features": ("SGD or Adam with the same features", LOOKS["sgd"]),
    "alone": ("the rule without them", LOOKS["vsml"]),
}


def draw(tables: Tables, profile: Profile) -> Figure:
    (name, *_) = names(tables)
    streams = {task: who for task, who in lived(tables, name).items() if not profile.tasks[task].one_shot}
    every = {task: learners for task, learners in streams.items() if task not in SYNTHETIC}
    figure = Figure((PAGE, 2.5))
    panels = figure.subplots(1, len(every), sharey=True, squeeze=False)[0]
    seen = [task for task in every if profile.seen(task, RULE)]
    for axes, task in zip(panels, in_order(every, seen), strict=True):
        _panel(axes, tables, name, task, every[task])
    low, high = panels[0].get_ylim()
    panels[0].set_yticks([tick for tick in panels[0].get_yticks() if low <= tick <= high])
    panels[0].set_ylabel("lead in cumulative accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=7)
    return figure


def _panel(axes: Axes, tables: Tables, name: str, task: str, learners: dict[str, np.ndarray]) -> None:
    own = cumulative(learners[f"zoo_{name}{FEATURES}"])[0]
    grids = [tables[f"baseline/{rival}.npz"].arrays for rival in baselines(tables)]
    taught = [grid[f"{task}/correct"] for grid in grids if f"{task}/correct" in grid]
    alike = [correct for who, correct in learners.items() if who.endswith(FEATURES) and not who.startswith("zoo_")]
    over = {"networks": taught, "features": alike, "alone": [learners[f"zoo_{name}"]]}
    x = np.arange(FIRST, own.shape[-1] + 1)
    for rival, (label, look) in RIVALS.items():
        lead = (own - _best(over[rival]))[:, FIRST - 1 :]
        mean, error = lead.mean(0), sd(lead, axis=0) / len(lead) ** 0.5
        axes.plot(x, mean, color=look.colour, linestyle=look.line, linewidth=look.width, label=f"over {label}")
        axes.fill_between(x, mean - error, mean + error, color=look.colour, alpha=0.15, linewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_title(title(task))
    axes.set_xlabel("examples seen")
    example_axis(axes, FIRST, own.shape[-1])
    axes.grid(axis="y")


def _best(correct: list[Bool[np.ndarray, "rate life time"]]) -> Float[np.ndarray, "life time"]:
    """At each time, the cumulative accuracy of whoever has the highest mean then."""
    every = cumulative(np.concatenate(correct))
    best = every.mean(1).argmax(0)
    return np.take_along_axis(every, best[None, None], axis=0)[0]
