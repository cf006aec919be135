"""The sections `clone`, `improve` and `clone_test`: theta that runs backpropagation, and what it becomes."""

from pydantic import PositiveFloat, PositiveInt

from pipeline.run.params import Count, Name, Optimizer, Section, Sizes, Some


class CloneForm(Section):
    """Sizes of the clone's cells, ticks of a layer each time that messages arrive, and memory for a weight of 1."""

    hidden: PositiveInt
    message: PositiveInt
    ticks: PositiveInt
    scale: PositiveFloat


class RandomConnections(Section):
    """Meta-steps by the coarse score and then by the fine one, on so many connections for `length` examples."""

    coarse: PositiveInt
    fine: PositiveInt
    connections: PositiveInt
    length: PositiveInt
    population: PositiveInt


class Shadow(Section):
    """Meta-steps beside networks that learn a set by exact gradient descent of rate `pace`."""

    steps: PositiveInt
    set: Name
    hidden_layers: Sizes
    pace: PositiveFloat
    length: PositiveInt
    population: PositiveInt


class Clone(Section):
    """How theta is meta-trained to run backpropagation with learning rate `rate`."""

    form: CloneForm
    rate: PositiveFloat
    optimizer: Optimizer
    random: RandomConnections
    shadow: Shadow


class SomeEpisodes(Section):
    length: PositiveInt
    population: PositiveInt


class Improve(Section):
    """How a clone is meta-trained further: each meta-step on all `episodes`, by networks with these hidden layers."""

    optimizer: Optimizer
    steps: PositiveInt
    set: Name
    hidden_layers: Sizes
    episodes: Some[SomeEpisodes]
    segment: PositiveInt


class CloneTest(Section):
    """The clone learns each set with each choice of hidden layers, beside SGD, for `stretches` of `length` examples.

    After each stretch both are examined on `held_out` test images, and `queries` of the clone's updates are compared.
    """

    sets: Some[Name]
    networks: Some[Sizes]
    episodes: PositiveInt
    stretches: PositiveInt
    length: PositiveInt
    held_out: PositiveInt
    queries: PositiveInt
    seed: Count
