"""Estimators: backpropagation and evolution strategies, on the default rule and on the paper's own variant."""

import numpy as np

from pipeline.show.looks import Look, by_key
from pipeline.show.measures import smooth
from pipeline.show.style import GUESSING, PAGE, Figure, direct_labels, panels
from pipeline.studies.learning.tables import Profile, Tables, by_seed

NEEDS = ("meta_train/small_*/curve.npz", "meta_train/paper_*/curve.npz")
ALT = "Two line charts of the meta loss by two estimators: of the default rule, and of the paper's own variant."
CAPTION = (
    "Estimators. Meta loss (mean cross-entropy over an episode, in nats) of each of {seeds}, running mean, against the "
    "share of meta-training, which takes about as long by backpropagation as by evolution strategies. Dotted: guessing "
    "one of the two classes of these tasks."
)
RULES = {"small": "The default rule", "paper": "The paper\u2019s own variant"}
LOOKS = by_key(Look("bptt", "backpropagation", "#D55E00"), Look("es", "evolution strategies", "#0072B2", (0, (4, 1.5))))
CLASSES = 2  # of the tasks of profiles/variants


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 2.5))
    for axes, (rule, title) in zip(panels(figure, len(RULES)), RULES.items(), strict=True):
        ends = []
        for key, look in LOOKS.items():
            curves = [table.arrays for table in by_seed(tables, "meta_train", f"{rule}_{key}").values()]
            for curve in curves:
                loss = np.where(curve["skipped"], np.nan, curve["loss"])
                share = np.linspace(0, 1, len(loss))
                axes.plot(share, smooth(loss, 1 + len(loss) // 60), **(look.style | {"linewidth": 0.9}))
            ends.append((float(np.mean([curve["loss"][-20:].mean() for curve in curves])), look))
        axes.axhline(np.log(CLASSES), **GUESSING)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of meta-training", title=title)
        direct_labels(axes, ends, gap=0.08)
    figure.axes[0].set_ylabel("meta loss (nats)")
    return figure
