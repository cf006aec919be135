"""An experiment of VSML: what it meta-trains, by which estimator, on which lives."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline.run.section import Count, Name, Optimizer, Section
from pipeline.studies.learning.learners import Learner

GENERATED = ("random", "sum_sign")  # sets without a file


class Estimating(Section):
    """At most `at_once` lives (of ES: pairs of them) side by side on each device; null for all.

    Few need less memory, and on a CPU less time.
    """

    at_once: PositiveInt | None


class Backprop(Estimating):
    """`segment` examples are lived again at a time on the way back; null keeps every state."""

    name: Literal["backprop"]
    segment: PositiveInt | None


class TruncatedBptt(Estimating):
    name: Literal["truncated_bptt"]
    chunk: PositiveInt


class AntitheticEs(Estimating):
    name: Literal["antithetic_es"]
    std: PositiveFloat


Estimator = Annotated[Backprop | TruncatedBptt | AntitheticEs, Field(discriminator="name")]


class Data(Section):
    """What is meta-trained on. In a `stream` every prediction counts.

    In `one_shot` each class is shown once, and only the prediction for one more example counts. Lives see the sets
    through so many different `projections` in all; null draws one for each life.
    """

    sets: Annotated[tuple[Name, ...], Field(min_length=1)]
    episodes: Literal["stream", "one_shot"]
    projections: PositiveInt | None


Classes = Annotated[int, Field(ge=2)] | Annotated[tuple[Count, ...], Field(min_length=2)] | None
View = Literal["raw", "projected", "resized_projected", "shuffled"]


class Lives(Section):
    """`population` lives a meta-step, spread over all combinations of sets, views, inputs and classes.

    views: raw images, resized to a square of `inputs` pixels; projected to as many features at random; resized and
    then projected; shuffled pixels. inputs: null for those of the set. classes: how many, in a fresh random order
    for each life; or which, in this order; or null for all in their own order.
    """

    views: Annotated[tuple[View, ...], Field(min_length=1)]
    inputs: Annotated[tuple[PositiveInt | None, ...], Field(min_length=1)]
    classes: Annotated[tuple[Classes, ...], Field(min_length=1)]
    length: PositiveInt
    population: PositiveInt


class Phase(Section):
    """`steps` meta-steps, each on all of `lives`, whose sizes may differ."""

    steps: PositiveInt
    lives: Annotated[tuple[Lives, ...], Field(min_length=1)]


class Experiment(Section):
    """All that decides what an experiment learns, and the suites of tests that it lives.

    start: the number that a leaf of theta starts from, by the leaf's name; others are drawn as the learner draws them.
    """

    learner: Learner
    estimator: Estimator
    optimizer: Optimizer
    data: Data
    curriculum: Annotated[tuple[Phase, ...], Field(min_length=1)]
    suites: Annotated[tuple[Name, ...], Field(min_length=1)]
    start: dict[str, float] = Field(default_factory=dict)
