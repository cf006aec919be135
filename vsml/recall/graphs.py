"""Which neurons there are and which synapses join them, group by group.

Neurons of one type stand in one group and synapses in dense blocks between groups, so that a micro-step is a few
products of arrays whatever the network. A sparse network is a dense one of whose synapses a part is absent.
"""

from typing import NamedTuple


class Graph(NamedTuple):
    """Groups of neurons by number, and who hears whom; `cued` and `recalled` are (group, first neuron, one past)."""

    sizes: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...]  # (from, to)
    cued: tuple[int, int, int]
    recalled: tuple[int, int, int]
    sweeps: int  # through the groups, in their order, until a cue has reached what is recalled
    answer_sweeps: int  # sweeps with the answer until it has reached all who have synapses to change
    density: float  # share of the synapses that exist, drawn for each episode

    def incoming(self, group: int) -> list[tuple[int, int]]:
        """(number of the block, group that is heard) of what this group hears."""
        return [(number, source) for number, (source, target) in enumerate(self.blocks) if target == group]


def direct(cues: int, answers: int, hidden: int, density: float) -> Graph:
    """Inputs to outputs; there are no hidden neurons."""
    del hidden
    return Graph((cues, answers), ((0, 1),), (0, 0, cues), (1, 0, answers), 1, 1, density)


def hidden(cues: int, answers: int, hidden: int, density: float) -> Graph:
    """Inputs to hidden neurons and those to outputs, which speak back: a hidden neuron hears what is taught by that."""
    blocks = ((0, 1), (1, 2), (2, 1))
    return Graph((cues, hidden, answers), blocks, (0, 0, cues), (2, 0, answers), 1, 2, density)


def recurrent(cues: int, answers: int, hidden: int, density: float) -> Graph:
    """All to all but none to itself, of one type; the first are cued, the last recalled, hidden ones between."""
    every = cues + hidden + answers
    return Graph((every,), ((0, 0),), (0, 0, cues), (0, every - answers, every), 2, 1, density)


GRAPHS = {"direct": direct, "hidden": hidden, "recurrent": recurrent}
