"""How learners are called and drawn: a record for each, and the list of those that every part of the project meets.

A new rival is added to `LOOKS` and is then known to figures and tables. Systems with learners of their own
(clones, feedback, recall) list them in their own file, as the same records. Colours are those of Okabe and Ito, which
colour-blind readers can tell apart; each learner of a list has one colour, one line style and one marker, so that a
grey print can be read too.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

GREY = "#555555"
PAPERS = "paper\u2019s rate"
KEEPING = "1-nearest neighbour, which keeps every example"


class Look(NamedTuple):
    """A learner's key in tables and results, its name, and how it is drawn.

    With an empty `colour` it has no line of its own in figures. `longer` is its name where there is room, in tables.
    `family` is the heading under which the best of several is compared with others. `dial` is what a grid
    of it has values of. If it `grows`, its memory does with the examples; that of all others is constant.
    """

    key: str
    name: str
    colour: str = ""
    line: str | tuple = "-"
    marker: str = ""
    width: float = 1.2
    longer: str | None = None
    family: str | None = None
    dial: str = "rate"
    grows: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """How matplotlib is to draw its line, and what a legend calls it."""
        return {"color": self.colour, "linestyle": self.line, "linewidth": self.width, "label": self.name}

    @property
    def words(self) -> str:
        """The name where there is room."""
        return self.longer or self.name


def by_key(*looks: Look) -> dict[str, Look]:
    return {look.key: look for look in looks}


LOOKS = by_key(
    Look("vsml", "VSML", "#D55E00", "-", "o", 1.8, family="VSML"),
    Look("sgd", "SGD", "#0072B2", "--", "s", longer="SGD at its best rate", family="SGD"),
    Look("sgd_hidden", "SGD, hidden", "#56B4E9", (0, (1, 1)), "D", family="SGD"),
    # At the paper's rate a colour is darker than at the best rate.
    Look("sgd_paper", f"SGD, {PAPERS}", "#00416b", (0, (1, 2)), "p", longer=f"SGD at the {PAPERS}"),
    Look("sgd_hidden_paper", f"SGD, hidden, {PAPERS}"),
    Look("adam", "Adam", "#009E73", (0, (6, 1.5, 1, 1.5)), "^", longer="Adam at its best rate", family="Adam"),
    Look("adam_hidden", "Adam, hidden", "#CC79A7", (0, (3, 1, 1, 1, 1, 1)), "v", family="Adam"),
    Look("adam_paper", f"Adam, {PAPERS}", "#00553f", (0, (4, 2, 1, 2, 1, 2)), "<", longer=f"Adam at the {PAPERS}"),
    Look("adam_hidden_paper", f"Adam, hidden, {PAPERS}"),
    Look("nearest_mean", "Nearest mean", "#000000", (0, (5, 1)), "*", 1.2, "nearest class mean", "Nearest mean"),
    Look("ridge", "Ridge", "#882255", (0, (8, 1, 2, 1)), "h", 1.2, "ridge regression", "Ridge", "strength"),
    Look("naive_bayes", "Naive Bayes", "#999933", (0, (3, 2)), "H", family="Naive Bayes", dial="strength"),
    Look("nearest_neighbour", "1-NN", "#999999", ":", "x", 1.2, KEEPING, "1-NN", grows=True),
    Look("meta_rnn", "Meta RNN", "#3b2a8c", (0, (8, 2)), "X", 1.4),
    Look("hebbian", "Hebbian", "#E69F00", (0, (2, 1)), "P"),
    Look("fast_memory", "Fast memory", "#8f6b00", (0, (4, 1.5)), "d"),
)


def growing(learners: Iterable[str]) -> str:
    """A sentence on whose memory grows with the examples; empty if nobody's does."""
    names = [f"{LOOKS[name].name} keeps every example" for name in learners if name in LOOKS and LOOKS[name].grows]
    return f"{' and '.join(names)}; the memory of all others is constant." if names else ""


def called(learner: str) -> str:
    """The name of a learner for readers; an experiment that is in no list is called by its key."""
    return LOOKS[learner].name if learner in LOOKS else learner
