"""Starts: meta losses on tiny tasks by backpropagation and evolution strategies, and with a hidden layer."""

import numpy as np

from pipeline.show.looks import Look, by_key
from pipeline.show.measures import smooth
from pipeline.show.style import GUESSING, PAGE, Figure, direct_labels, panels
from pipeline.studies.learning.tables import Profile, Tables, by_seed

NEEDS = ("meta_train/small_*/curve.npz", "meta_train/paper_*/curve.npz", "meta_train/deep_*/curve.npz")
ALT = "Three line charts of the meta loss: of the default rule, of the paper's own variant, and with a hidden layer."
CAPTION = (
    "Starts. Meta loss (mean cross-entropy over an episode) as a share of that of guessing, of each of {seeds}, "
    "running mean. Left and middle: on tasks of two classes by two estimators, backpropagation and evolution "
    "strategies (ES), against the share of meta-training, which takes about as long by either. Right: a hidden layer "
    "of 8 units, by backpropagation, from scratch and from a rule that was meta-trained without one; on tasks of two "
    "classes, then of four and of ten. Dotted: guessing."
)
BPTT = Look("bptt", "backpropagation", "#D55E00")
ES = Look("es", "ES", "#0072B2", (0, (4, 1.5)))
DEEP = Look("warm", "from a rule", "#009E73"), Look("scratch", "from scratch", "#CC79A7", (0, (4, 1.5)))
PANELS = {  # by how the names of their experiments begin
    "small": ("The default rule", by_key(BPTT, ES)),
    "paper": ("The paper\u2019s own variant", by_key(BPTT, ES)),
    "deep": ("With a hidden layer", by_key(*DEEP)),
}
CLASSES = np.array([2, 4, 10])  # of the tasks of each phase


def draw(tables: Tables, profile: Profile) -> Figure:
    figure = Figure((PAGE, 2.5))
    for axes, (rule, (title, looks)) in zip(panels(figure, len(PANELS)), PANELS.items(), strict=True):
        ends = []
        for key, look in looks.items():
            losses = []
            for table in by_seed(tables, "meta_train", f"{rule}_{key}").values():
                curve = table.arrays
                loss = np.where(curve["skipped"], np.nan, curve["loss"]) / np.log(CLASSES)[curve["phase"]]
                x, style = np.linspace(0, 1, len(loss)), look.style | {"linewidth": 0.9}
                axes.plot(x, smooth(loss, 1 + len(loss) // 60), **style)
                losses.append(loss[-20:].mean())
            ends.append((float(np.mean(losses)), look))
        axes.axhline(1, **GUESSING)
        axes.set(xlim=(0, 1), ylim=(0, 1.4), xlabel="share of meta-training", title=title)
        if rule != "small":  # which has the lines of the panel beside it
            direct_labels(axes, ends, gap=0.11)
    figure.axes[0].set_ylabel("meta loss / that of guessing")
    return figure
