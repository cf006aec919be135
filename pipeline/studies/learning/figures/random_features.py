"""Random features: what they add to a shipped rule, and how it then compares with gradient descent."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.measures import cumulative, sd
from pipeline.show.style import GREY, PAGE, Figure, band, example_axis, legend_outside, panels
from pipeline.studies.learning.measures import FEATURES, shipped_rules, shipped_tests
from pipeline.studies.learning.ranking import FAMILIES, SIMPLE, rivals, title
from pipeline.studies.learning.tables import RULE, SYNTHETIC, Profile, Tables, baselines, in_order

NEEDS = ("zoo_test/*.npz", "baseline/*.npz")
ALT = (
    "A panel for each data set: by how much the cumulative accuracy of the shipped rule with random features exceeds "
    "that of the same rule without them, of the best network by gradient descent, of the best simple learner, and of "
    "gradient descent with the same features, against the number of examples seen; a line at zero."
)
CAPTION = (
    "Random features. Cumulative accuracy of the shipped rule {shipped} that sees each example together with "
    "random functions of it, less that of others on the same {episodes} episodes: the same rule on the examples alone; "
    "the best of all SGD and Adam of this profile, linear and with a hidden layer, and the best of nearest class mean, "
    "ridge and naive Bayes, both on the examples alone; the better of linear SGD and Adam with the same random "
    "features. All of these have constant memory. Who is best, and at which learning rate or strength, is chosen in "
    "hindsight for each set and for every single point of the line. Lines: means, bands: ± 1 standard error of the "
    "paired differences. Above zero the rule with random features is ahead. Other shipped rules are in the table of "
    "the report."
)
FIRST = 20  # examples: a share of fewer is noise
RIVALS = {  # whom the lead is over
    "networks": ("the best of SGD and Adam", LOOKS["adam_hidden"]),
    "simple": ("the best of the simple learners", LOOKS["ridge"]),
    "features": ("SGD or Adam with the same features", LOOKS["sgd"]),
    "alone": ("the rule without them", LOOKS["vsml"]),
}


def draw(tables: Tables, profile: Profile) -> Figure:
    (name, *_) = shipped_rules(tables)
    tests = shipped_tests(tables, name)
    every = [task for task in tests if task not in SYNTHETIC and not profile.tasks[task].one_shot]
    seen = [task for task in every if RULE in profile.trained_on and profile.seen(task, RULE)]
    tested = {rival: tables[f"baseline/{rival}.npz"].arrays for rival in baselines(tables)}
    figure = Figure((PAGE, 2.5))
    grid = panels(figure, len(every))
    for axes, task in zip(grid, in_order(every, seen), strict=True):
        learners, key = tests[task], f"{task}/correct"
        of_kind = {  # each [rate episode time]
            "networks": [tested[who][key] for who in rivals(FAMILIES) if key in tested.get(who, ())],
            "simple": [tested[who][key] for who in rivals(SIMPLE) if key in tested.get(who, ())],
            "features": [learners[who] for who in learners if who.endswith(FEATURES) and not who.startswith("zoo_")],
            "alone": [learners[f"zoo_{name}"]],
        }
        own = cumulative(learners[f"zoo_{name}{FEATURES}"])[0]
        x = np.arange(FIRST, own.shape[-1] + 1)
        for rival in (rival for rival in RIVALS if of_kind[rival]):
            # At each time the lead is over whoever has the highest mean then.
            theirs = cumulative(np.concatenate(of_kind[rival]))
            best = np.take_along_axis(theirs, theirs.mean(1).argmax(0)[None, None], axis=0)[0]
            lead = (own - best)[:, FIRST - 1 :]
            label, look = RIVALS[rival]
            error = sd(lead, axis=0) / len(lead) ** 0.5
            band(axes, x, lead.mean(0), error, look.style | {"label": f"over {label}"})
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set(title=title(task), xlabel="examples seen")
        example_axis(axes, FIRST, own.shape[-1])
    low, high = grid[0].get_ylim()
    grid[0].set_yticks([tick for tick in grid[0].get_yticks() if low <= tick <= high])
    grid[0].set_ylabel("lead in cumulative accuracy")
    legend_outside(figure, grid[0], "upper left", 3)
    return figure
